package stack

import (
	"fmt"
	"path"
	"strings"

	"github.com/updraft-cloud/updraft/internal/spec"
)

// leafName is the file with a service's certificate and its key.
const leafName = "tls.pem"

// LeafFile is where a service's certificate and key lie on a host: one file, so
// that whoever reads it while it is replaced sees a pair. Containers mount its
// directory, as a file that is mounted by itself stays the old one.
func LeafFile(service string) string { return path.Join(ConfigDir(service), leafName) }

// Leaf adds the service's certificate of the cloud's authority for this host,
// which names the host, its address and the names given, and returns the path of
// [LeafFile]. Root and the user's group can read it.
func (b *Builder) Leaf(user string, names ...string) string {
	cert, key := b.D.Secrets.Certificate(b.Service+"-"+b.Host.Name, append([]string{b.Host.Name, b.D.Address(b.Host)}, names...)...)
	return b.Secret(leafName, cert+key, user)
}

// Reread returns shell text for a command that makes a running container read files
// again: what does so, and what succeeds when that happened after the last of the
// files changed. One that was started since has read them anyway.
func Reread(container, script string, files ...string) (run, done string) {
	mark := path.Join(RunRoot, container+".read")
	// What is read is as new as the mark at least, whatever is written meanwhile. The
	// kernel's clock for files has steps of up to 10 ms, and one that was written in the
	// same step would not be older than the mark.
	run = fmt.Sprintf("sleep 0.02\ntouch %[1]s.new\n%[2]s\nmv %[1]s.new %[1]s\n", mark, script)
	var newer []string
	for _, f := range files {
		newer = append(newer, fmt.Sprintf("{ test %[1]s.read -nt %[2]s || test %[1]s.pid -nt %[2]s; }", path.Join(RunRoot, container), f))
	}
	return run, strings.Join(newer, " && ")
}

// Local is where what HAProxy stands before listens: on its own host alone. What
// comes over the network comes to HAProxy, over TLS.
const Local = "127.0.0.1"

// MemcacheNear is the first of the ports at which HAProxy of a controller has the
// memcached of all controllers, in their order.
const MemcacheNear = 11220

// Memcached returns where a program on a controller finds the memcached of all
// controllers. It is the same on each, as clients choose by it where a key lies:
// with more than one controller, ports of the local HAProxy, which speaks TLS to
// the others'.
func (d *Deployment) Memcached() []string {
	if len(d.Spec.Controllers) == 1 {
		return []string{HostPort(Local, MemcachePort)}
	}
	var out []string
	for i := range d.Spec.Controllers {
		out = append(out, HostPort(Local, MemcacheNear+i))
	}
	return out
}

// Others are the controllers beside h.
func (d *Deployment) Others(h *spec.Host) []*spec.Host {
	var out []*spec.Host
	for _, c := range d.Spec.Controllers {
		if c != h {
			out = append(out, c)
		}
	}
	return out
}
