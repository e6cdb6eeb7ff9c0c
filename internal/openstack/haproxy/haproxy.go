// Package haproxy is what clients of the cloud talk to: every API at the virtual
// address, over TLS, and the database.
//
// Each controller runs one. Whichever holds the address has the traffic; the
// others listen as well (ip_nonlocal_bind) and have it at once when the address
// comes to them. A changed configuration is taken over without losing a
// connection: old workers serve what they have until it ends.
package haproxy

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/updraft-cloud/updraft/internal/configset"
	"github.com/updraft-cloud/updraft/internal/engine"
	"github.com/updraft-cloud/updraft/internal/openstack/mariadb"
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
)

// defaultTimeout is how long a request may take, in seconds.
const defaultTimeout = 60

// Service returns the service.
func Service() stack.Service {
	return stack.Service{Name: name, Doc: "TLS and load balancing for all APIs and the database, at the virtual address (HAProxy).", Build: build}
}

func build(d *stack.Deployment) []stack.Item {
	var out []stack.Item
	for _, h := range d.Spec.Controllers {
		b := d.On(h, name)
		dir := b.Dir(stack.ConfigDir(name), "", "0755")
		run := b.Runtime("/run/" + name)
		cert, key := d.Secrets.Certificate(name, d.VIP().String())
		watched := []string{b.Secret("vip.pem", cert+key, name), b.Config("haproxy.cfg", config(d))}
		nonlocal := &sysctl.Resource{Name: "net.ipv4.ip_nonlocal_bind", Value: "1"}
		if d.VIP().Is6() {
			nonlocal.Name = "net.ipv6.ip_nonlocal_bind"
		}
		b.Add(configset.Item{Resource: nonlocal, Phase: engine.Configure})
		b.Container(container.Resource{
			Name: name, Image: "infra",
			Exec:     []string{"haproxy", "-W", "-db", "-f", watched[1]},
			Volumes:  []container.Volume{stack.Mount(dir, dir), {Source: "/run/" + name, Target: "/run/" + name}},
			ReloadOn: watched, Reload: []string{"kill", "-USR2"},
			Ready: &container.Ready{HTTP: fmt.Sprintf("http://127.0.0.1:%d%s", AlivePort, AlivePath), Status: []int{200}},
		}, "sysctl:"+nonlocal.Name, run)
		out = append(out, b.Items()...)
	}
	return out
}

// maxConnections is for all of them together; each takes two files.
const maxConnections = 8000

// config is the configuration, which is the same on all controllers.
//
// A server that is down is looked at twice a second, so that a service that has
// just been started is used at once; one that is up every two seconds.
//
// Source: HAProxy's "Configuration Manual", version 3.0.
func config(d *stack.Deployment) string {
	var b strings.Builder
	b.WriteString(stack.Header)
	fmt.Fprintf(&b, `global
	maxconn %d
	user haproxy
	group haproxy
	log stdout format raw daemon notice
	stats socket /run/haproxy/admin.sock mode 600 level admin
	hard-stop-after 5m
	ssl-default-bind-options ssl-min-ver TLSv1.2 no-tls-tickets

defaults
	mode http
	log global
	option dontlognull
	option redispatch
	timeout connect 5s
	timeout client %[2]ds
	timeout server %[2]ds
	timeout http-request 30s
	timeout http-keep-alive 10s
	timeout check 5s
	default-server check inter 2s fastinter 500ms downinter 500ms fall 2 rise 1

frontend alive
	bind 127.0.0.1:%d
	monitor-uri %s

`, maxConnections, defaultTimeout, AlivePort, AlivePath)
	database(&b, d)
	for _, s := range d.Services {
		for _, e := range s.Endpoints {
			api(&b, d, s, e)
		}
	}
	return b.String()
}

// database passes connections to the first server that works: with several
// writers at once, Galera refuses what two of them changed at a time. TLS is
// between the clients and the server itself. Connections are kept in pools, and
// are idle for longer than any request.
func database(b *strings.Builder, d *stack.Deployment) {
	fmt.Fprintf(b, `listen mariadb
	mode tcp
	bind %s
	option mysql-check user %s post-41
	option clitcpka
	option srvtcpka
	timeout client 2h
	timeout server 2h
	default-server on-marked-down shutdown-sessions
`, netip.AddrPortFrom(d.VIP(), stack.DatabasePort), mariadb.CheckUser)
	for i, h := range d.Spec.Controllers {
		role := " on-marked-up shutdown-backup-sessions"
		if i > 0 {
			role = " backup"
		}
		fmt.Fprintf(b, "\tserver %s %s%s\n", h.Name, at(d.Address(h), stack.DatabasePort), role)
	}
}

// api proxies one endpoint.
func api(b *strings.Builder, d *stack.Deployment, s stack.Service, e stack.Endpoint) {
	fmt.Fprintf(b, "\nlisten %s-%d\n", s.Name, e.Port)
	line := func(format string, args ...any) { fmt.Fprintf(b, "\t"+format+"\n", args...) }
	line("bind %s ssl crt %s/vip.pem alpn h2,http/1.1", netip.AddrPortFrom(d.VIP(), uint16(e.Port)), stack.ConfigDir(name)) //nolint:gosec // ports are constants
	line("option forwardfor")
	line("http-request set-header X-Forwarded-Proto https")
	line("option httpchk")
	line("http-check send meth GET uri %s ver HTTP/1.1 hdr Host %s hdr Connection close", e.Check, d.VIP())
	line("http-check expect status %s", e.Status)
	if e.Costly {
		line("timeout check 10s")
		line("default-server inter 5s fastinter 2s downinter 2s")
	}
	line("balance leastconn")
	if e.Timeout > defaultTimeout {
		line("timeout client %ds", e.Timeout)
		line("timeout server %ds", e.Timeout)
		line("timeout tunnel %ds", e.Timeout)
	}
	if e.Sticky {
		line("cookie SERVER insert indirect nocache httponly secure")
	}
	for _, h := range d.Spec.Controllers {
		cookie := ""
		if e.Sticky {
			cookie = " cookie " + h.Name
		}
		line("server %s %s%s", h.Name, at(d.Address(h), e.Port), cookie)
	}
}

func at(address string, port int) string {
	return netip.AddrPortFrom(netip.MustParseAddr(address), uint16(port)).String() //nolint:gosec // ports are constants
}
