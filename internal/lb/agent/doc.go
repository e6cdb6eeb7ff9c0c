// Package agent runs on an amphora: it takes a configuration from a controller
// over mutual TLS, and makes HAProxy, keepalived, nftables and the addresses of
// the load balancer be as it says.
//
// It guarantees:
//   - What HAProxy refuses takes no effect (haproxy -c), and is answered with
//     what it said.
//   - Members, weights and administrative states change through the runtime API;
//     everything else by a reload in which the listening sockets are handed on.
//     No connection is lost by either.
//   - A configuration that is older than the one in effect is refused.
//   - A VIP that this amphora must not hold is removed: when it is fenced, when
//     keepalived died, and when a configuration no longer has it.
//   - HAProxy and keepalived outlive the agent; the next one takes them over.
//
// It renders nothing but what depends on health that it alone knows.
package agent
