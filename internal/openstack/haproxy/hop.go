package haproxy

import (
	"fmt"
	"strings"

	"github.com/updraft-cloud/updraft/internal/openstack/stack"
	"github.com/updraft-cloud/updraft/internal/spec"
)

// hop is the way from HAProxy of one controller to a program of another, by the
// HAProxy there. The program has the same port on its own host.
type hop struct {
	Name string
	Port int
	// Timeout is how long a connection may be idle, in seconds; 0 means the
	// default.
	Timeout int
	// Open is set when others than HAProxy come, without a certificate.
	Open bool
}

// replicated reports whether there is a way to go.
func replicated(d *stack.Deployment) bool { return len(d.Spec.Controllers) > 1 }

// to is how h reaches the program with that port on c: directly on its own host,
// and else over TLS, with a certificate of its own, at the name of the other's.
func to(d *stack.Deployment, h, c *spec.Host, port int) string {
	if h == c {
		return at(stack.Local, port)
	}
	return fmt.Sprintf("%s ssl crt %s ca-file %s verify required verifyhost %s",
		at(d.Address(c), port), stack.LeafFile(name), stack.CAFile, c.Name)
}

// accept takes what comes to h. Where the program does not answer the connection
// is refused before anything is said, and whoever called goes elsewhere. The
// program is looked at twice a second, and at once when it refuses.
func (p hop) accept(b *strings.Builder, d *stack.Deployment, h *spec.Host) {
	fmt.Fprintf(b, "\nlisten hop-%s\n", p.Name)
	line := func(format string, args ...any) { fmt.Fprintf(b, "\t"+format+"\n", args...) }
	client := fmt.Sprintf("ca-file %s verify required", stack.CAFile)
	if p.Open {
		client = ""
	}
	line("mode tcp")
	line("bind %s", strings.TrimSpace(fmt.Sprintf("%s ssl crt %s %s", at(d.Address(h), p.Port), stack.LeafFile(name), client)))
	line("tcp-request connection reject if { nbsrv lt 1 }")
	line("retries 0")
	if p.Timeout > defaultTimeout {
		line("timeout client %ds", p.Timeout)
		line("timeout server %ds", p.Timeout)
	}
	line("server %s %s inter 500ms fall 1 observe layer4 error-limit 1 on-error mark-down", h.Name, at(stack.Local, p.Port))
}

// cacheIdle is how long clients keep a connection to memcached that they do not
// use, in seconds.
const cacheIdle = 3600

// cache adds the way to the memcached of all controllers, which clients have on
// ports of their own host (see [stack.Deployment.Memcached]).
func cache(b *strings.Builder, d *stack.Deployment, h *spec.Host) {
	for i, c := range d.Spec.Controllers {
		fmt.Fprintf(b, "\nlisten memcached-%s\n\tmode tcp\n\tbind %s\n\ttimeout connect 1s\n\ttimeout client %[3]ds\n\ttimeout server %[3]ds\n\tretries 0\n\tserver %s %s\n",
			c.Name, at(stack.Local, stack.MemcacheNear+i), cacheIdle, c.Name, to(d, h, c, stack.MemcachePort))
	}
	hop{Name: "memcached", Port: stack.MemcachePort, Timeout: cacheIdle}.accept(b, d, h)
}
