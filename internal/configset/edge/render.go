package edge

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// header begins every file that updraft writes whole.
const header = "# Written by updraft. Changes made by hand are lost.\n"

// writer collects lines.
type writer struct{ strings.Builder }

func (w *writer) line(format string, args ...any) { fmt.Fprintf(w, format+"\n", args...) }

// haproxy renders haproxy.cfg. HAProxy sizes its tables by the limit of open
// files, which is a thousand million in some containers and a few thousand in
// others: fd-hard-limit bounds the former, where a fixed maxconn would keep it
// from starting in the latter. Only notices are logged: a line per request is more than the
// journal of a busy edge can take.
func (s *service) haproxy() string {
	var w writer
	w.WriteString(header)
	w.line("global")
	w.line("    log /dev/log local0 notice")
	w.line("    user haproxy")
	w.line("    group haproxy")
	w.line("    fd-hard-limit 65536")
	w.line("    stats socket %s mode 660 level admin expose-fd listeners", s.StatsSocket)
	w.line("    stats timeout 30s")
	w.line("")
	w.line("defaults")
	w.line("    log global")
	w.line("    mode %s", s.Mode)
	w.line("    option dontlognull")
	w.line("    option redispatch")
	w.line("    retries 2")
	w.line("    timeout connect 5s")
	w.line("    timeout client 60s")
	w.line("    timeout server 60s")
	if s.Mode == "http" {
		w.line("    timeout http-request 10s")
		w.line("    timeout http-keep-alive 10s")
	}
	w.line("")
	s.health(&w)
	s.frontend(&w)
	s.backend(&w)
	return w.String()
}

// health is what keepalived asks. It says nothing of the backends: if none
// answers, the other edge is no better off, and clients get a clear 503.
func (s *service) health(w *writer) {
	w.line("frontend updraft_health") // no label holds an underscore
	w.line("    mode http")
	w.line("    timeout http-request 5s")
	w.line("    timeout http-keep-alive 5s")
	w.line("    bind 127.0.0.1:%d", s.HealthPort)
	w.line("    monitor-uri /healthz")
	w.line("")
}

func (s *service) frontend(w *writer) {
	w.line("frontend %s", s.vip.Name)
	w.line("    bind %s", hostPort(s.vip.Address, s.Port))
	if s.Mode == "http" {
		w.line("    option forwardfor")
	}
	w.line("    default_backend %s", s.Backends)
	w.line("")
}

func (s *service) backend(w *writer) {
	w.line("backend %s", s.Backends)
	w.line("    balance %s", s.Balance)
	if s.Mode == "http" && s.Check != "" {
		w.line("    option httpchk")
		w.line("    http-check send meth GET uri %s ver HTTP/1.1 hdr Host %s", s.Check, s.vip.Name)
	}
	w.line("    default-server check inter 1s fall 2 rise 2")
	for _, b := range s.backends {
		w.line("    server %s %s weight %d", b.name, hostPort(b.address, s.BackendPort), b.weight)
	}
}

func hostPort(a netip.Addr, port int) string { return net.JoinHostPort(a.String(), strconv.Itoa(port)) }

// keepalived renders keepalived.conf. All edges begin as BACKUP, so that the
// one that has the address keeps it (nopreempt). VRRP version 3 is what allows
// intervals below a second; it has no authentication (RFC 9568, section 9).
func (s *service) keepalived() string {
	var w writer
	w.WriteString(header)
	w.line("global_defs {")
	w.line("    router_id %s", s.host)
	w.line("    vrrp_version 3")
	w.line("    vrrp_garp_master_delay 1")
	w.line("    enable_script_security")
	w.line("    script_user root")
	w.line("}")
	w.line("")
	w.line("vrrp_script haproxy {")
	w.line("    script %q", checkScript)
	w.line("    interval 1")
	w.line("    timeout 2")
	w.line("    fall 2")
	w.line("    rise 1")
	w.line("}")
	w.line("")
	s.instance(&w)
	return w.String()
}

func (s *service) instance(w *writer) {
	w.line("vrrp_instance %s {", s.vip.Name)
	w.line("    state BACKUP")
	if !s.Preempt {
		w.line("    nopreempt")
	}
	w.line("    interface %s", s.nic)
	w.line("    virtual_router_id %d", s.routerID)
	w.line("    priority %d", s.priority)
	w.line("    advert_int %s", strconv.FormatFloat(s.advert.Seconds(), 'f', -1, 64))
	if len(s.peers) > 0 { // alone, nobody needs to be told
		w.line("    unicast_src_ip %s", s.own)
		w.line("    unicast_peer {")
		for _, p := range s.peers {
			w.line("        %s", p)
		}
		w.line("    }")
	}
	w.line("    virtual_ipaddress {")
	w.line("        %s/%d dev %s", s.vip.Address, s.vip.Address.BitLen(), s.nic)
	w.line("    }")
	w.line("    track_script {")
	w.line("        haproxy")
	w.line("    }")
	w.line("}")
}

// check renders the script by which keepalived asks HAProxy. The kernel accepts
// connections for a process that hangs, so an answer is waited for.
func (s *service) check() string {
	return "#!/bin/bash\n" + header +
		fmt.Sprintf("exec 3<>/dev/tcp/127.0.0.1/%d || exit 1\n", s.HealthPort) +
		"printf 'GET /healthz HTTP/1.0\\r\\n\\r\\n' >&3\n" +
		"read -r -t 1 line <&3 && [[ $line == *' 200 '* ]]\n"
}
