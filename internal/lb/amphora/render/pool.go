package render

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/updraft-cloud/updraft/internal/lb/amphora"
	"github.com/updraft-cloud/updraft/internal/lb/model"
)

// backend renders a pool as the listener uses it, once, and returns its name.
// Timeouts and the mode are the listener's, so that a pool of two listeners is
// two backends.
func (w *work) backend(h *amphora.HAProxy, l *model.Listener, poolID string) (string, error) {
	name := poolID + ":" + l.ID
	if slices.ContainsFunc(h.Backends, func(b amphora.Backend) bool { return b.Name == name }) {
		return name, nil
	}
	pool, monitor := w.pools[poolID], w.monitors[poolID]
	o := &writer{}
	o.line("mode", mode(l))
	o.line("option", "allbackups")
	o.line("timeout", "connect", millis(l.TimeoutMemberConnect))
	o.line("timeout", "server", millis(l.TimeoutMemberData))
	w.balance(o, pool)
	w.persistence(o, l, pool)
	monitorLines(o, monitor)
	text, err := o.text()
	if err != nil {
		return "", named("pool", poolID, err)
	}
	options, err := w.serverOptions(l, pool, monitor)
	if err != nil {
		return "", named("pool", poolID, err)
	}
	b := amphora.Backend{Name: name, Pool: poolID, Text: text}
	for _, m := range w.members[poolID] {
		s, err := w.server(l, pool, m, monitor, options)
		if err != nil {
			return "", named("member", m.ID, err)
		}
		b.Servers = append(b.Servers, s)
		w.probe(name, m, s, monitor)
	}
	h.Backends = append(h.Backends, b)
	return name, nil
}

// balance writes the algorithm. Hashes are consistent: only then HAProxy takes
// members and weights at run time, and a member that leaves moves its own
// clients only.
func (w *work) balance(o *writer, p *model.Pool) {
	switch p.LBAlgorithm {
	case model.LeastConnections:
		o.line("balance", "leastconn")
	case model.SourceIP:
		o.line("balance", "source")
		o.line("hash-type", "consistent")
	case model.SourceIPPort:
		o.line("tcp-request", "content", "set-var(sess.port)", "src_port")
		o.line("balance", "hash", "src,concat(-,sess.port)")
		o.line("hash-type", "consistent")
	default:
		o.line("balance", "roundrobin")
	}
}

func (w *work) persistence(o *writer, l *model.Listener, p *model.Pool) {
	s := p.SessionPersistence
	if s == nil {
		return
	}
	switch {
	case s.Type == model.PersistSourceIP:
		o.line("stick-table", "type", "ipv6", "size", "100k", "peers", peersSection)
		o.line("stick", "on", "src")
	case s.Type == model.PersistHTTPCookie && isHTTP(l.Protocol):
		o.line("cookie", "SRV", "insert", "indirect", "nocache")
	case s.Type == model.PersistAppCookie && isHTTP(l.Protocol):
		name := amphora.QuoteArg(s.CookieName)
		o.line("stick-table", "type", "string", "len", "64", "size", "100k", "peers", peersSection)
		o.line("stick", "store-response", "res.cook("+name+")")
		o.line("stick", "match", "req.cook("+name+")")
	}
}

func cookies(l *model.Listener, p *model.Pool) bool {
	s := p.SessionPersistence
	return s != nil && s.Type == model.PersistHTTPCookie && isHTTP(l.Protocol)
}

func monitorLines(o *writer, m *model.HealthMonitor) {
	if m == nil {
		return
	}
	if m.Timeout > 0 {
		o.line("timeout", "check", seconds(m.Timeout))
	}
	if m.Type != model.MonitorHTTP && m.Type != model.MonitorHTTPS {
		return
	}
	send := []string{"http-check", "send", "meth", or(m.HTTPMethod, "GET"), "uri", or(m.URLPath, "/")}
	if m.HTTPVersion == "1.1" {
		send = append(send, "ver", "HTTP/1.1")
	}
	if m.DomainName != "" {
		send = append(send, "hdr", "Host", amphora.LogFormat(m.DomainName))
	}
	o.line("option", "httpchk")
	o.line(send...)
	o.line("http-check", "expect", "status", or(m.ExpectedCodes, "200"))
}

func or(s, other string) string {
	if s == "" {
		return other
	}
	return s
}

// serverOptions are the words that all servers of a pool have.
func (w *work) serverOptions(l *model.Listener, p *model.Pool, m *model.HealthMonitor) ([]string, error) {
	var words []string
	checkTLS := false
	if m != nil && m.Type != model.MonitorPing {
		words = append(words, "check", "inter", seconds(m.Delay), "fall", strconv.Itoa(max(m.MaxRetriesDown, 1)), "rise", strconv.Itoa(max(m.MaxRetries, 1)))
		checkTLS = p.TLSEnabled || m.Type == model.MonitorHTTPS || m.Type == model.MonitorTLSHello
	}
	if checkTLS {
		words = append(words, "check-ssl", "check-alpn", "http/1.1")
		if m.DomainName != "" {
			words = append(words, "check-sni", m.DomainName)
		}
	}
	switch p.Protocol {
	case model.ProtocolProxy:
		words = append(words, "send-proxy")
	case model.ProtocolProxyV2:
		words = append(words, "send-proxy-v2")
	}
	if !p.TLSEnabled {
		if checkTLS {
			words = append(words, "verify", "none")
		}
		return words, nil
	}
	tls, err := w.serverTLS(l, p)
	return append(words, tls...), err
}

func (w *work) serverTLS(l *model.Listener, p *model.Pool) ([]string, error) {
	words := []string{"ssl"}
	if l.Protocol == model.ProtocolTerminatedHTTPS {
		words = append(words, "sni", "ssl_fc_sni")
	}
	for _, f := range []struct{ keyword, ref, suffix string }{
		{"crt", p.TLSContainerRef, ".pem"}, {"ca-file", p.CATLSContainerRef, ".ca.pem"}, {"crl-file", p.CRLContainerRef, ".crl.pem"},
	} {
		if f.ref == "" {
			continue
		}
		name, err := w.secret(f.ref, f.suffix)
		if err != nil {
			return nil, err
		}
		words = append(words, f.keyword, name)
	}
	verify := "none"
	if p.CATLSContainerRef != "" {
		verify = "required"
	}
	words = append(words, "verify", verify)
	words = append(words, cipherWords(p.TLSCiphers, p.TLSVersions)...)
	words = append(words, versionWords(p.TLSVersions)...)
	if len(p.ALPNProtocols) > 0 && isHTTP(l.Protocol) {
		words = append(words, "alpn", strings.Join(p.ALPNProtocols, ","))
	}
	return words, nil
}

func (w *work) server(l *model.Listener, p *model.Pool, m *model.Member, monitor *model.HealthMonitor, common []string) (amphora.Server, error) {
	addr, err := memberAddress(m)
	if err != nil {
		return amphora.Server{}, err
	}
	s := amphora.Server{Name: m.ID, Address: addr, Weight: m.Weight, Disabled: !m.AdminStateUp, Options: slices.Clone(common)}
	if monitor != nil && monitor.Type != model.MonitorPing {
		if m.MonitorAddress != "" {
			to, err := netip.ParseAddr(m.MonitorAddress)
			if err != nil {
				return s, err
			}
			// In brackets: HAProxy would take the end of an IPv6 address for a port.
			text := to.Unmap().WithZone("").String()
			if strings.Contains(text, ":") {
				text = "[" + text + "]"
			}
			s.Options = append(s.Options, "addr", text)
		}
		if m.MonitorPort != 0 {
			s.Options = append(s.Options, "port", strconv.Itoa(m.MonitorPort))
		}
	}
	if m.Backup {
		s.Options = append(s.Options, "backup")
	}
	if cookies(l, p) {
		s.Options = append(s.Options, "cookie", m.ID)
	}
	return s, nil
}

func memberAddress(m *model.Member) (netip.AddrPort, error) {
	addr, err := netip.ParseAddr(m.Address)
	if err != nil {
		return netip.AddrPort{}, err
	}
	if m.ProtocolPort < 1 || m.ProtocolPort > 65535 {
		return netip.AddrPort{}, fmt.Errorf("port %d is none", m.ProtocolPort)
	}
	return netip.AddrPortFrom(addr.Unmap().WithZone(""), uint16(m.ProtocolPort)), nil
}

// probe adds what HAProxy cannot check without starting programs.
func (w *work) probe(backend string, m *model.Member, s amphora.Server, monitor *model.HealthMonitor) {
	if monitor == nil || monitor.Type != model.MonitorPing || s.Disabled {
		return
	}
	w.config.Probes = append(w.config.Probes, amphora.Probe{
		Backend: backend, Server: s.Name, Monitor: monitorAddress(m, s.Address), Check: *check(monitor),
	})
}

func monitorAddress(m *model.Member, at netip.AddrPort) netip.AddrPort {
	if a, err := netip.ParseAddr(m.MonitorAddress); err == nil {
		at = netip.AddrPortFrom(a.Unmap().WithZone(""), at.Port())
	}
	if m.MonitorPort > 0 && m.MonitorPort <= 65535 {
		at = netip.AddrPortFrom(at.Addr(), uint16(m.MonitorPort))
	}
	return at
}

func check(m *model.HealthMonitor) *amphora.Check {
	if m == nil {
		return nil
	}
	return &amphora.Check{
		Type: m.Type, DelayMS: max(m.Delay, 1) * 1000, TimeoutMS: max(m.Timeout, 1) * 1000,
		Rise: max(m.MaxRetries, 1), Fall: max(m.MaxRetriesDown, 1),
		Method: or(m.HTTPMethod, "GET"), Path: or(m.URLPath, "/"), Host: m.DomainName, HTTP10: m.HTTPVersion != "1.1", Expect: or(m.ExpectedCodes, "200"),
	}
}
