// Package gluster keeps servers' disks and Glance's images on three controllers
// at once, where the cloud file says storage: gluster.
//
// There are two volumes of GlusterFS, each with a whole copy on each of the first
// three controllers: instances, mounted on computes where Nova keeps disks, and
// images, mounted on controllers where Glance keeps its files. Whoever has one of
// them mounted writes to all copies itself; two of three suffice, and one alone is
// not written to. A copy that missed something is healed by the others when it is
// back, and one that lost its disk is filled anew.
//
// All of it is TLS with the cloud's authority, and a volume only lets in the hosts
// that mount it: by address, and by the name in their certificate.
//
// Programs are the distribution's, on the hosts themselves and in no container
// (docs/adr/0013-storage-by-glusterfs.md): mounts have to outlive whatever is
// restarted above them.
package gluster

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/updraft-cloud/updraft/internal/configset"
	"github.com/updraft-cloud/updraft/internal/engine"
	"github.com/updraft-cloud/updraft/internal/openstack/stack"
	"github.com/updraft-cloud/updraft/internal/resource/directory"
	"github.com/updraft-cloud/updraft/internal/resource/file"
	"github.com/updraft-cloud/updraft/internal/resource/pkg"
	"github.com/updraft-cloud/updraft/internal/resource/symlink"
	"github.com/updraft-cloud/updraft/internal/resource/unit"
	"github.com/updraft-cloud/updraft/internal/spec"
)

const (
	name = "gluster"
	// server is the unit of the daemon that manages the others.
	server = "glusterd.service"
	// The Debian packages; that of servers includes that of clients.
	serverPackage, clientPackage = "glusterfs-server", "glusterfs-client"
	// stateDir is where GlusterFS keeps what it knows. Of a client, only whether
	// it speaks TLS to servers.
	stateDir = "/var/lib/glusterd"
)

// Service returns the service.
func Service() stack.Service {
	return stack.Service{
		Name: name, Build: build, Sections: []string{Instances, Images, Volumes}, Setting: setting, Leaving: leaving(),
		Doc: "Disks of servers, images and volumes on three controllers at once (GlusterFS).",
	}
}

// Packages returns the packages of GlusterFS that a host needs.
func Packages(o *spec.OpenStack, h *spec.Host) []string {
	switch {
	case !Uses(o, h):
		return nil
	case slices.Contains(o.Bricks(), h):
		return []string{serverPackage}
	default:
		return []string{clientPackage}
	}
}

// Uses reports whether a host holds or mounts any of it.
func Uses(o *spec.OpenStack, h *spec.Host) bool {
	if !o.Storage.Shared() {
		return false
	}
	return slices.Contains(o.Bricks(), h) || slices.ContainsFunc(volumes(o), func(v volume) bool { return slices.Contains(v.clients, h) })
}

// build adds the hosts of the volumes first, then those that only mount them.
func build(d *stack.Deployment) []stack.Item {
	var out []stack.Item
	for _, h := range d.Hosts() {
		if !Uses(d.Spec, h) {
			continue
		}
		b := d.On(h, name)
		common(b)
		if slices.Contains(d.Spec.Bricks(), h) {
			serve(b)
		}
		for _, v := range volumes(d.Spec) {
			if slices.Contains(v.clients, h) {
				mount(b, v)
			}
		}
		out = append(out, b.Items()...)
	}
	return out
}

// address is a host's address among those that storage goes between.
func address(d *stack.Deployment, h *spec.Host) string {
	return h.AddressOn(d.Spec.Storage.Network).String()
}

// common adds what servers and clients need: the programs, and by which they
// believe each other.
//
// Source: GlusterFS's administrator's guide, "Setting up GlusterFS with SSL/TLS".
func common(b *stack.Builder) {
	for _, p := range Packages(b.D.Spec, b.Host) {
		b.Add(configset.Item{Resource: &pkg.Resource{Name: p}, Phase: engine.Install})
	}
	b.Dir(stack.ConfigDir(name), "", "0755")
	var also []string
	if at := address(b.D, b.Host); at != b.D.Address(b.Host) {
		also = append(also, at)
	}
	leaf := b.Leaf("", also...)
	for _, l := range [][2]string{{"pem", leaf}, {"key", leaf}, {"ca", stack.CAFile}} {
		b.Add(configset.Item{Resource: &symlink.Resource{Path: "/etc/ssl/glusterfs." + l[0], Target: l[1]}, Phase: engine.Configure})
	}
	b.Add(configset.Item{
		Resource: &directory.Resource{Path: stateDir, Mode: "0755", Owner: "root", Group: "root"},
		Phase:    engine.Configure, Needs: packageRefs(b),
	})
	b.Add(configset.Item{
		Resource: &file.Resource{
			Path: secureFile, Content: "option transport.socket.ssl-cert-depth 1\n", Mode: "0644", Owner: "root", Group: "root",
		},
		Phase: engine.Configure,
	})
}

// secureFile makes TLS of what programs say to glusterd. That it is there matters.
const secureFile = stateDir + "/secure-access"

// trust are references of what a program of GlusterFS reads when it starts.
func trust(b *stack.Builder) []string {
	return append(packageRefs(b), "file:"+secureFile, "file:"+stack.CAFile, "file:"+stack.LeafFile(name),
		"symlink:/etc/ssl/glusterfs.pem", "symlink:/etc/ssl/glusterfs.key", "symlink:/etc/ssl/glusterfs.ca")
}

func packageRefs(b *stack.Builder) []string {
	var out []string
	for _, p := range Packages(b.D.Spec, b.Host) {
		out = append(out, "package:"+p)
	}
	return out
}

// subject is the name in a host's certificate, of at most 64 characters (RFC 5280,
// ub-common-name).
func subject(h *spec.Host) string {
	const most = 64
	s := name + "-" + h.Name
	return s[:min(len(s), most)]
}

// daemon adds glusterd, which listens on the storage's address alone.
//
// Debian's unit ends all that glusterd has started along with it, and so the copies
// of all volumes at each restart; upstream's does not.
//
// With what it knows of a volume it may be unable to start: forget.sh has it learn anew.
//
// Before it answers, glusterd sets geo-replication up by running a program in Python
// some dozen times. Nobody replicates from here, and on a host where all else starts
// as well that took up to two minutes: it gets one that does nothing instead.
//
// Source: gsyncd.c for the environment variable, glusterd.c for what has to be said.
func daemon(b *stack.Builder) {
	const conf = "/etc/glusterfs/glusterd.vol"
	b.Add(configset.Item{
		Resource: &file.Resource{
			Path: conf, Content: fmt.Sprintf(daemonConfig, address(b.D, b.Host)), Mode: "0644", Owner: "root", Group: "root",
		},
		Phase: engine.Configure, Needs: packageRefs(b),
	})
	b.Add(configset.Item{
		Resource: &file.Resource{Path: config(noReplication), Content: "#!/bin/sh\necho gsyncd\n", Mode: "0755", Owner: "root", Group: "root"},
		Phase:    engine.Configure,
	})
	before := b.Config("forget.sh", forget)
	yes := true
	b.Add(configset.Item{
		Resource: &unit.Resource{
			Name: server, Enabled: &yes, State: unit.Started,
			DropIns: map[string]string{"storage": fmt.Sprintf(daemonUnit, before, address(b.D, b.Host), dataDir(), config(noReplication))},
			// Certificates are read at each connection.
			RestartOn: []string{conf, secureFile},
		},
		Phase: engine.Start, Needs: append(trust(b), "file:"+config(noReplication), "file:"+before), Triggers: []string{"file:" + conf},
	})
}

//go:embed forget.sh
var forget string

const daemonConfig = stack.Header + `volume management
    type mgmt/glusterd
    option working-directory ` + stateDir + `
    option transport-type socket
    option transport.socket.keepalive-time 10
    option transport.socket.keepalive-interval 2
    option transport.socket.read-fail-log off
    option transport.socket.listen-port 24007
    option transport.socket.bind-address %s
    option ping-timeout 0
    option event-threads 1
    option max-port 60999
end-volume
`

// noReplication stands in for the Python of geo-replication.
const noReplication = "no-replication.sh"

const daemonUnit = `[Unit]
After=network-online.target
Wants=network-online.target
StartLimitIntervalSec=0

[Service]
ExecStartPre=/bin/sh %s %s %s
Environment=PYTHON=%s
KillMode=process
Restart=always
RestartSec=1
`

var (
	optionRE = regexp.MustCompile(`^[a-z]+(\.[a-z0-9-]+)+$`)
	valueRE  = regexp.MustCompile(`^[A-Za-z0-9_.:,%/*@+-]+$`)
)

// setting checks an override of a volume's option. What becomes of the name only
// GlusterFS knows.
func setting(key string, value json.RawMessage) (fault, mend string) {
	var v any
	err := json.Unmarshal(value, &v)
	switch text := fmt.Sprint(v); {
	case !optionRE.MatchString(key):
		return fmt.Sprintf("%q is not the name of an option of a volume", key), "write it like network.ping-timeout"
	case err != nil || !valueRE.MatchString(text):
		return fmt.Sprintf("%s: %q is not one word", key, text), "write a word, a number, true or false"
	}
	return "", ""
}

// config is a file of the service on a host.
func config(file string) string { return path.Join(stack.ConfigDir(name), file) }

// words joins what a function gives of hosts.
func words(hosts []*spec.Host, separator string, of func(*spec.Host) string) string {
	var out []string
	for _, h := range hosts {
		out = append(out, of(h))
	}
	return strings.Join(out, separator)
}
