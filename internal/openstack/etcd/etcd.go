// Package etcd is where controllers agree, when there is more than one of them, on
// what only one of them may do: today, which one begins the database's cluster anew
// after all of it was lost (package mariadb/guard).
//
// Each controller has a member, and what a majority has is what counts. Members and
// their clients show each other certificates of the cloud's authority.
//
// A member without data is a new one of a cluster that is not there yet, or one that
// has lost its disk. Which of the two is seen from the others (start.sh): a cluster
// that answers takes the old member out and this one in. A member that came back
// without its data under its old number would break what RAFT promises: it might
// vote twice.
//
// There is nothing in it that a backup should have: what it holds is about the
// moment.
package etcd

import (
	_ "embed"
	"fmt"
	"path"
	"strings"

	"github.com/updraft-cloud/updraft/internal/engine"
	"github.com/updraft-cloud/updraft/internal/openstack/stack"
	"github.com/updraft-cloud/updraft/internal/resource/command"
	"github.com/updraft-cloud/updraft/internal/resource/container"
	"github.com/updraft-cloud/updraft/internal/spec"
)

const (
	name = "etcd"
	user = "etcd"
	// peerPort is for the other members.
	peerPort = 2380
)

// Times in milliseconds: members that are busy for a second or two are not dead, and
// the first election takes up to twice as long as this one.
const (
	heartbeat = 300
	election  = 3000
)

// quota is how large the database may become, in bytes. It holds some hundred.
const quota = 64 << 20

// Service returns the service.
func Service() stack.Service {
	return stack.Service{
		Name: name, Build: build, Clusters: clusters, Looks: looks, Leaving: leaving(),
		Doc: "Where controllers agree on what one of them may do, when there is more than one (etcd).",
	}
}

// leaving has the others do without a member. It goes while it runs: with half of the
// members gone nobody could decide that.
func leaving() stack.Leaving {
	return stack.Leaving{
		Forget: func(d *stack.Deployment, stays *spec.Host, address string) string {
			peer := "https://" + stack.HostPort(address, peerPort)
			text := fmt.Sprintf(forget, ask(d, stays, "member", "list"), peer, ask(d, stays, "member", "remove"))
			if len(d.Spec.Controllers) == 1 {
				// Whoever comes to the one that stays finds what has begun there.
				text += "until " + ask(d, stays, "del", stack.BegunKey) + "; do again; done\n"
			}
			return text
		},
		Clear: "systemctl stop etcd || :\nrm -rf " + stack.DataDir(name) + "/data\n",
	}
}

// forget removes the member at a peer's URL. While those that stay elect another leader,
// which is when it was the one that left, they answer nobody.
const forget = `left=20
again() {
	left=$((left - 1))
	test "$left" -gt 0
	sleep 1
}
attempt() {
	members=$(%s) || return 1
	id=$(printf '%%s\n' "$members" | awk -F ', ' -v peer=%s '$4 == peer { print $1 }')
	if test -n "$id"; then %s "$id"; fi
}
until attempt; do again; done
`

//go:embed start.sh
var startScript string

func build(d *stack.Deployment) []stack.Item {
	if len(d.Spec.Controllers) == 1 {
		return nil
	}
	var out []stack.Item
	for _, h := range d.Spec.Controllers {
		b := d.On(h, name)
		member(b)
		if h == d.First() {
			begun(b)
		}
		out = append(out, b.Items()...)
	}
	return out
}

// member adds a controller's member. All are started at once: none is ready before
// a majority runs.
func member(b *stack.Builder) {
	dir := b.Dir(stack.ConfigDir(name), "", "0755")
	data := b.Data(user)
	leaf := b.Leaf(user)
	script := b.Config("start.sh", startScript)
	peers := func(hosts []*spec.Host, item func(h *spec.Host) string) string {
		var all []string
		for _, h := range hosts {
			all = append(all, item(h))
		}
		return strings.Join(all, ",")
	}
	run := append([]string{
		"bash", script, path.Join(data, "data"), b.Host.Name, peerURL(b.D, b.Host),
		peers(b.D.Spec.Controllers, func(h *spec.Host) string { return h.Name + "=" + peerURL(b.D, h) }),
		peers(b.D.Others(b.Host), func(h *spec.Host) string { return clientURL(b.D, h) }),
		leaf, stack.CAFile,
	}, commandLine(b.D, b.Host)...)
	b.Container(container.Resource{
		Name: name, Image: "infra", User: user, Exec: run,
		Volumes:     []container.Volume{stack.Mount(dir, dir), {Source: data, Target: data}},
		RestartOn:   []string{script, stack.CAFile},
		Ready:       &container.Ready{Exec: append(ctl(b.D, b.Host), "endpoint", "health"), Always: true, Timeout: "3m"},
		StopTimeout: "10s",
		// What asks it, here and in other services' jobs, asks with the script.
	}, "file:"+leaf, "file:"+b.Begun(leaf)[1], "directory:"+data, stack.Members)
}

// begun adds the command which notes that the clusters of the services have begun,
// once all of them have on the first controller. Whoever loses its disks from then on
// joins them.
func begun(b *stack.Builder) {
	var needs []string
	for _, c := range []string{name, "mariadb", "rabbitmq", "ovn-nb", "ovn-sb"} {
		needs = append(needs, "container:"+c)
	}
	b.Command(command.Resource{
		Name: "clusters begun", Script: ask(b.D, b.Host, "put", stack.BegunKey, "yes"), Unless: stack.BegunOnHost(b.D, b.Host),
	}, engine.Start, needs...)
}

func peerURL(d *stack.Deployment, h *spec.Host) string {
	return "https://" + stack.HostPort(d.Address(h), peerPort)
}

func clientURL(d *stack.Deployment, h *spec.Host) string {
	return "https://" + stack.HostPort(d.Address(h), stack.EtcdPort)
}

// commandLine is the member's command line, without what start.sh adds: whether there
// is a cluster, and of whom. Certificates are read again at each handshake, and the
// authorities are not.
//
// Source: etcd's documentation, "Configuration options", "Transport security model".
func commandLine(d *stack.Deployment, h *spec.Host) []string {
	leaf := stack.LeafFile(name)
	options := []string{
		"initial-cluster-token=" + d.Cloud.Name,
		"listen-peer-urls=" + peerURL(d, h),
		"initial-advertise-peer-urls=" + peerURL(d, h),
		"listen-client-urls=" + clientURL(d, h),
		"advertise-client-urls=" + clientURL(d, h),
		"cert-file=" + leaf, "key-file=" + leaf, "trusted-ca-file=" + stack.CAFile, "client-cert-auth",
		"peer-cert-file=" + leaf, "peer-key-file=" + leaf, "peer-trusted-ca-file=" + stack.CAFile, "peer-client-cert-auth",
		fmt.Sprintf("heartbeat-interval=%d", heartbeat),
		fmt.Sprintf("election-timeout=%d", election),
		fmt.Sprintf("quota-backend-bytes=%d", quota),
		"auto-compaction-mode=periodic", "auto-compaction-retention=1h",
		"snapshot-count=5000", "log-level=warn",
	}
	out := []string{"etcd"}
	for _, o := range options {
		out = append(out, "--"+o)
	}
	return out
}

// ctl begins the command line of a client on a controller, which asks its member.
func ctl(d *stack.Deployment, h *spec.Host) []string {
	leaf := stack.LeafFile(name)
	return []string{
		"etcdctl", "--endpoints=" + clientURL(d, h), "--cacert=" + stack.CAFile, "--cert=" + leaf, "--key=" + leaf,
		"--dial-timeout=2s", "--command-timeout=3s",
	}
}
