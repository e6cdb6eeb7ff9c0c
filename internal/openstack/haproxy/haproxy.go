// Package haproxy is what clients of the cloud talk to: every API at the virtual
// address, over TLS, and the database.
//
// It is also what speaks TLS for programs of controllers that do not do so
// themselves: the API processes and memcached listen on their own host alone, and
// what goes from one controller to another goes from its HAProxy to the other's.
// Both show a certificate of the cloud's authority, and whoever calls looks for the
// name it called. On the controller that has the virtual address requests go
// straight to its own processes.
//
// Each controller runs one. Whichever holds the address has the traffic; the
// others listen as well (ip_nonlocal_bind) and have it at once when the address
// comes to them. A changed configuration is taken over without losing a
// connection: old workers serve what they have until it ends.
package haproxy

import (
	_ "embed"
	"fmt"
	"path"
	"slices"

	"github.com/updraft-cloud/updraft/internal/configset"
	"github.com/updraft-cloud/updraft/internal/engine"
	"github.com/updraft-cloud/updraft/internal/openstack/stack"
	"github.com/updraft-cloud/updraft/internal/resource/container"
	"github.com/updraft-cloud/updraft/internal/resource/sysctl"
)

const (
	name = "haproxy"
	// AlivePort is where HAProxy tells the host itself that it works, at
	// AlivePath on the loopback interface.
	AlivePort = 8404
	AlivePath = "/alive"
	// UsefulPort is where it tells, at AlivePath, whether requests that come to this
	// host can be served: whether it reaches a database in which a majority is.
	UsefulPort = 8405
)

// defaultTimeout is how long a request may take, in seconds.
const defaultTimeout = 60

// Service returns the service.
func Service() stack.Service {
	return stack.Service{Name: name, Doc: "TLS and load balancing for all APIs and the database, at the virtual address (HAProxy).", Build: build}
}

//go:embed drain.sh
var drainScript string

func configFile() string { return path.Join(stack.ConfigDir(name), "haproxy.cfg") }

func build(d *stack.Deployment) []stack.Item {
	var out []stack.Item
	for _, h := range d.Spec.Controllers {
		b := d.On(h, name)
		dir := b.Dir(stack.ConfigDir(name), "", "0755")
		run := b.Runtime("/run/" + name)
		cert, key := d.Secrets.Certificate(name, names(d)...)
		var before []string
		if replicated(d) {
			before = []string{"/usr/bin/bash", b.Config(path.Base(stack.DrainScript), drainScript), "hops"}
		}
		watched := []string{b.Secret("vip.pem", cert+key, name), b.Leaf(name), b.Config("haproxy.cfg", config(d, h)), stack.CAFile}
		needs := []string{run}
		for _, key := range nonlocal(d) {
			b.Add(configset.Item{Resource: &sysctl.Resource{Name: key, Value: "1"}, Phase: engine.Configure})
			needs = append(needs, "sysctl:"+key)
		}
		b.Container(container.Resource{
			Name: name, Image: "infra",
			Exec:     []string{"haproxy", "-W", "-db", "-f", configFile()},
			Volumes:  []container.Volume{stack.Mount(dir, dir), {Source: "/run/" + name, Target: "/run/" + name}},
			ReloadOn: watched, Reload: []string{"kill", "-USR2"}, BeforeStop: before,
			Ready: &container.Ready{HTTP: fmt.Sprintf("http://127.0.0.1:%d%s", AlivePort, AlivePath), Status: []int{200}},
		}, needs...)
		out = append(out, b.Items()...)
	}
	return out
}

// names are the addresses that the certificate is for.
func names(d *stack.Deployment) []string {
	var out []string
	for _, a := range d.VIPs() {
		out = append(out, a.String())
	}
	return out
}

// nonlocal are the settings by which HAProxy may listen at addresses that another
// controller has.
func nonlocal(d *stack.Deployment) []string {
	var out []string
	for _, a := range d.VIPs() {
		key := "net.ipv4.ip_nonlocal_bind"
		if a.Is6() {
			key = "net.ipv6.ip_nonlocal_bind"
		}
		if !slices.Contains(out, key) {
			out = append(out, key)
		}
	}
	return out
}
