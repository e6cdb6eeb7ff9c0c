package haproxy

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/updraft-cloud/updraft/internal/openstack/mariadb"
	"github.com/updraft-cloud/updraft/internal/openstack/stack"
	"github.com/updraft-cloud/updraft/internal/spec"
)

// maxConnections is for all of them together; each takes two files.
const maxConnections = 8000

// config is a controller's configuration.
//
// A server that is down is looked at twice a second, so that a service that has
// just been started is used at once; one that is up every two seconds. What was
// sent to a controller that has just died is not answered, not even by a refusal: the
// next one is tried after two seconds.
//
// Source: HAProxy's "Configuration Manual", version 3.0.
func config(d *stack.Deployment, h *spec.Host) string {
	var b strings.Builder
	b.WriteString(stack.Header)
	fmt.Fprintf(&b, `global
	maxconn %d
	user haproxy
	group haproxy
	log stdout format raw daemon notice
	stats socket /run/haproxy/admin.sock mode 600 level admin
	localpeer self
	hard-stop-after 5m
	ssl-default-bind-options ssl-min-ver TLSv1.2 no-tls-tickets
	ssl-default-server-options ssl-min-ver TLSv1.2

defaults
	mode http
	log global
	option dontlognull
	option redispatch 1
	timeout connect 2s
	timeout client %[2]ds
	timeout server %[2]ds
	timeout http-request 30s
	timeout http-keep-alive 10s
	timeout check 5s
	default-server check inter 2s fastinter 500ms downinter 500ms fall %[6]d rise 1

frontend alive
	bind 127.0.0.1:%[3]d
	monitor-uri %[4]s

frontend useful
	bind 127.0.0.1:%[5]d
	acl apart nbsrv(mariadb) lt 1
	monitor-uri %[4]s
	monitor fail if apart

`, maxConnections, defaultTimeout, AlivePort, AlivePath, UsefulPort, mariadb.CheckFall)
	if replicated(d) {
		b.WriteString(successor)
	}
	database(&b, d)
	for _, s := range d.Services {
		for _, e := range s.Endpoints {
			api(&b, d, h, s, e)
			if replicated(d) {
				hop{Name: fmt.Sprintf("%s-%d", s.Name, e.Port), Port: e.Port, Timeout: e.Timeout, Open: e.Peers}.accept(&b, d, h)
			}
		}
	}
	if replicated(d) {
		cache(&b, d, h)
	}
	return b.String()
}

// successor is who gets the tables of a process that is replaced.
const successor = `peers successor
	bind unix@/run/haproxy/peers.sock mode 600 user haproxy group haproxy
	server self

`

// database passes connections to the first server that works: with several
// writers at once, Galera refuses what two of them changed at a time. TLS is
// between the clients and the server itself. Connections are kept in pools, and
// are idle for longer than any request.
//
// A server that has no power any more is found out by what it does not acknowledge
// for 3 s (tcp-ut), and not by its check: HAProxy 3.0 forgets a client that is just being
// connected when the check fails and its sessions are shut down (on-marked-down). Such a
// client is neither served nor told, and PyMySQL waits for a server's first words for
// ever. A member that answers and is in no majority ends its sessions itself.
//
// Who has the clients keeps them: one that comes back is taken when the other goes, so
// that only failures, and servers that leave, move anybody. What is held is the one entry
// of a table (which has room for the one that is to take its place), and which HAProxy
// gives to its successor when it is reloaded.
func database(b *strings.Builder, d *stack.Deployment) {
	fmt.Fprintf(b, `listen mariadb
	mode tcp
	bind %s
	option clitcpka
	option srvtcpka
	timeout client 2h
	timeout server 2h
	default-server tcp-ut 3s
	%s
`, netip.AddrPortFrom(d.VIP(), stack.DatabasePort), databaseCheck(d))
	if replicated(d) {
		b.WriteString("\tstick-table type integer size 16 nopurge peers successor\n\tstick on int(1)\n")
	}
	for i, c := range d.Spec.Controllers {
		role := ""
		if i > 0 {
			role = " backup"
		}
		if replicated(d) {
			role = fmt.Sprintf(" port %d check-ssl crt %s ca-file %s verify required verifyhost %s%s", mariadb.CheckPort, stack.LeafFile(name), stack.CAFile, c.Name, role)
		}
		fmt.Fprintf(b, "\tserver %s %s%s\n", c.Name, at(d.Address(c), stack.DatabasePort), role)
	}
}

// databaseCheck is how a server is seen to work: by signing in, or by asking its
// guard. A member of Galera that is in a minority takes logins and no statements.
func databaseCheck(d *stack.Deployment) string {
	if !replicated(d) {
		return "option mysql-check user " + mariadb.CheckUser + " post-41"
	}
	return fmt.Sprintf("option httpchk\n\thttp-check send meth GET uri %s ver HTTP/1.1 hdr Host %s hdr Connection close\n\thttp-check expect status 200",
		mariadb.CheckPath, hostHeader(d.VIP()))
}

// api proxies one endpoint.
func api(b *strings.Builder, d *stack.Deployment, h *spec.Host, s stack.Service, e stack.Endpoint) {
	fmt.Fprintf(b, "\nlisten %s-%d\n", s.Name, e.Port)
	line := func(format string, args ...any) { fmt.Fprintf(b, "\t"+format+"\n", args...) }
	for i, vip := range d.VIPs() {
		if i == 0 || e.ForUsers() {
			line("bind %s ssl crt %s/vip.pem alpn h2,http/1.1", at(vip.String(), e.Port), stack.ConfigDir(name))
		}
	}
	line("option forwardfor")
	line("http-request set-header X-Forwarded-Proto https")
	line("option httpchk")
	line("http-check send meth GET uri %s ver HTTP/1.1 hdr Host %s hdr Connection close", e.Check, hostHeader(d.VIP()))
	line("http-check expect status %s", e.Status)
	if e.Costly {
		line("timeout check 10s")
		line("default-server inter 5s fastinter 2s downinter 2s")
	}
	line("balance leastconn")
	if replicated(d) {
		// A controller whose process ends meanwhile has taken the connection, but
		// nothing came of it; what only reads may be asked of another.
		line("retry-on conn-failure empty-response")
		line("http-request disable-l7-retry unless { method GET HEAD }")
	}
	if e.Timeout > defaultTimeout {
		line("timeout client %ds", e.Timeout)
		line("timeout server %ds", e.Timeout)
		line("timeout tunnel %ds", e.Timeout)
		// Who keeps a connection for that long keeps a process for it, too, as the
		// proxy to consoles does: none is left open for the next client.
		line("option http-server-close")
	}
	if e.Sticky {
		line("cookie SERVER insert indirect nocache httponly secure")
	}
	for _, c := range d.Spec.Controllers {
		cookie := ""
		if e.Sticky {
			cookie = " cookie " + c.Name
		}
		line("server %s %s%s", c.Name, to(d, h, c, e.Port), cookie)
	}
}

func at(address string, port int) string {
	return netip.AddrPortFrom(netip.MustParseAddr(address), uint16(port)).String() //nolint:gosec // ports are constants
}

// hostHeader is an address in a request's header Host (RFC 3986, section 3.2.2).
func hostHeader(a netip.Addr) string {
	if a.Is6() {
		return "[" + a.String() + "]"
	}
	return a.String()
}
