package openstack

import (
	"github.com/updraft-cloud/updraft/internal/configset"
	"github.com/updraft-cloud/updraft/internal/engine"
	"github.com/updraft-cloud/updraft/internal/openstack/stack"
	"github.com/updraft-cloud/updraft/internal/resource/sysctl"
)

// keepalive bounds how long a host waits on a connection whose other end is gone.
//
// Clients of databases ask through the virtual address. When that moves, whoever
// has sent a question and waits for the answer hears nothing any more: the new
// holder knows nothing of the connection, and says so only when it is sent
// something. The kernel's own default for that is two hours, in which a service
// looks alive and does nothing; here it is five seconds, and as many more when
// there is nobody at all. Source: tcp(7).
//
// The same bound holds for what was sent and never confirmed, of which keepalives
// know nothing: a service that was connected from the virtual address itself, as those
// on its holder are, cannot send from it any more when it has moved. 5 repetitions
// take 13 s, where the kernel's 15 take a quarter of an hour. Source: ip-sysctl.rst.
func keepalive(b *stack.Builder) {
	for _, s := range []sysctl.Resource{
		{Name: "net.ipv4.tcp_keepalive_time", Value: "5"},
		{Name: "net.ipv4.tcp_keepalive_intvl", Value: "1"},
		{Name: "net.ipv4.tcp_keepalive_probes", Value: "5"},
		{Name: "net.ipv4.tcp_retries2", Value: "5"},
	} {
		b.Add(configset.Item{Resource: &s, Phase: engine.Configure})
	}
}
