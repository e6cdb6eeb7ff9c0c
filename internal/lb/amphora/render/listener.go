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

// What a listener without a limit has, and the most for all (contract §4.2).
const (
	defaultLimit = 50_000
	maxLimit     = 1_000_000
)

// peersSection is the section that stick tables are shared by.
const (
	peersSection = "amphorae"
	peersPort    = 1025 // Octavia's
)

// Files in the agent's directory, by names that HAProxy finds from its working
// directory.
const certsDir = "certs"

func (w *work) listeners() error {
	h := &amphora.HAProxy{Listeners: []string{}}
	body := &writer{}
	limit := 0
	for _, l := range w.all {
		if l.Protocol.L4() != model.ProtocolTCP {
			v, err := w.virtual(l)
			if err != nil {
				return named("listener", l.ID, err)
			}
			w.config.Virtuals = append(w.config.Virtuals, v)
			continue
		}
		h.Listeners = append(h.Listeners, l.ID)
		limit = min(limit+connections(l), maxLimit)
		if err := w.frontend(body, h, l); err != nil {
			return named("listener", l.ID, err)
		}
	}
	if len(h.Listeners) == 0 {
		return nil
	}
	head := &writer{}
	w.global(head, limit)
	text, err := head.text()
	if err != nil {
		return err
	}
	frontends, err := body.text()
	h.Head = text + "\n" + frontends
	w.config.HAProxy = h
	return err
}

func named(kind, id string, err error) error {
	return fmt.Errorf("cannot render %s %s: %w", kind, id, err)
}

func connections(l *model.Listener) int {
	if l.ConnectionLimit < 0 {
		return defaultLimit
	}
	return min(l.ConnectionLimit, maxLimit)
}

func (w *work) global(o *writer, limit int) {
	o.section("global")
	o.line("uid", "65534")
	o.line("gid", "65534")
	o.line("stats", "socket", "unix@haproxy.sock", "mode", "0600", "level", "admin", "expose-fd", "listeners")
	o.line("maxconn", strconv.Itoa(max(limit, 1)))
	// A computer that has fewer descriptors serves fewer, and not none.
	o.line("no", "strict-limits")
	o.line("localpeer", w.place.AmphoraID)
	o.line("server-state-file", "server-state")
	o.line("crt-base", certsDir)
	o.line("ca-base", certsDir)
	o.line("tune.ssl.default-dh-param", "2048")
	o.section("defaults")
	o.line("mode", "tcp")
	o.line("retries", "3")
	o.line("option", "redispatch")
	o.line("option", "dontlognull")
	o.line("timeout", "connect", "5s")
	o.line("timeout", "client", "50s")
	o.line("timeout", "server", "50s")
	o.line("load-server-state-from-file", "global")
	o.section("peers", peersSection)
	w.peers(o)
}

// peers are told the entries of stick tables: the other amphora, and the next
// process of this one at a reload.
func (w *work) peers(o *writer) {
	if w.place.VRRP == nil {
		o.line("peer", w.place.AmphoraID, "unix@peers.sock")
		return
	}
	for _, p := range append([]Peer{w.place.VRRP.Self}, w.place.VRRP.Others...) {
		o.line("peer", p.AmphoraID, netip.AddrPortFrom(p.Address, peersPort).String())
	}
}

func isHTTP(p model.Protocol) bool {
	return p == model.ProtocolHTTP || p == model.ProtocolTerminatedHTTPS || p == model.ProtocolPrometheus
}

func (w *work) frontend(o *writer, h *amphora.HAProxy, l *model.Listener) error {
	o.section("frontend", l.ID)
	o.line("mode", mode(l))
	tls, err := w.bindTLS(l)
	if err != nil {
		return err
	}
	for _, v := range w.place.VIPs {
		o.line(append([]string{"bind", netip.AddrPortFrom(v.Address, uint16(l.ProtocolPort)).String()}, tls...)...)
	}
	o.line("maxconn", strconv.Itoa(max(connections(l), 1)))
	o.line("timeout", "client", millis(l.TimeoutClientData))
	if l.TimeoutTCPInspect > 0 && !isHTTP(l.Protocol) {
		o.line("tcp-request", "inspect-delay", millis(l.TimeoutTCPInspect))
	}
	w.allowed(o, l)
	if l.Protocol == model.ProtocolPrometheus {
		o.line("http-request", "use-service", "prometheus-exporter", "if", "{", "path", "/metrics", "}")
		o.line("http-request", "return", "status", "404")
		return nil
	}
	if isHTTP(l.Protocol) {
		if err := w.http(o, h, l); err != nil {
			return err
		}
	}
	if w.pools[l.DefaultPoolID] == nil {
		return nil
	}
	name, err := w.backend(h, l, l.DefaultPoolID)
	o.line("default_backend", name)
	return err
}

func mode(l *model.Listener) string {
	if isHTTP(l.Protocol) {
		return "http"
	}
	return "tcp"
}

// allowed lets in only whom the listener names. A line has 64 words at most, so
// each range has one of its own.
func (w *work) allowed(o *writer, l *model.Listener) {
	for _, cidr := range l.AllowedCIDRs {
		o.line("acl", "allowed", "src", cidr)
	}
	if len(l.AllowedCIDRs) > 0 {
		o.line("tcp-request", "connection", "reject", "if", "!allowed")
	}
}

// bindTLS returns the words of a bind line for a listener that ends TLS.
func (w *work) bindTLS(l *model.Listener) ([]string, error) {
	if l.Protocol != model.ProtocolTerminatedHTTPS && (l.Protocol != model.ProtocolPrometheus || l.DefaultTLSContainerRef == "") {
		return nil, nil
	}
	list, err := w.certificates(l)
	if err != nil {
		return nil, err
	}
	words := []string{"ssl", "crt-list", certsDir + "/" + list}
	if l.ClientCATLSRef != "" {
		more, err := w.clientAuth(l)
		if err != nil {
			return nil, err
		}
		words = append(words, more...)
	}
	words = append(words, cipherWords(l.TLSCiphers, l.TLSVersions)...)
	words = append(words, versionWords(l.TLSVersions)...)
	if len(l.ALPNProtocols) > 0 {
		words = append(words, "alpn", strings.Join(l.ALPNProtocols, ","))
	}
	return words, nil
}

// certificates lists them in a file; the first is shown to who asks for no name
// or for an unknown one.
func (w *work) certificates(l *model.Listener) (string, error) {
	var lines strings.Builder
	for _, ref := range append([]string{l.DefaultTLSContainerRef}, l.SNIContainerRefs...) {
		if ref == "" {
			continue
		}
		name, err := w.secret(ref, ".pem")
		if err != nil {
			return "", err
		}
		lines.WriteString(name + "\n")
	}
	return w.file([]byte(lines.String()), ".list"), nil
}

func (w *work) clientAuth(l *model.Listener) ([]string, error) {
	ca, err := w.secret(l.ClientCATLSRef, ".ca.pem")
	if err != nil {
		return nil, err
	}
	verify := map[model.ClientAuth]string{model.ClientAuthOptional: "optional", model.ClientAuthMandatory: "required"}[l.ClientAuthentication]
	if verify == "" {
		return nil, nil
	}
	words := []string{"ca-file", ca, "verify", verify}
	if l.ClientCRLRef != "" {
		crl, err := w.secret(l.ClientCRLRef, ".crl.pem")
		if err != nil {
			return nil, err
		}
		words = append(words, "crl-file", crl)
	}
	return words, nil
}

// cipherWords splits a list into those of TLS 1.3, which OpenSSL takes apart from
// the others. Versions before 1.2 need OpenSSL's security level 0.
func cipherWords(list string, versions []string) []string {
	var old, suites []string
	for c := range strings.SplitSeq(list, ":") {
		if strings.HasPrefix(c, "TLS_") {
			suites = append(suites, c)
		} else if c != "" {
			old = append(old, c)
		}
	}
	if slices.Contains(versions, "TLSv1") || slices.Contains(versions, "TLSv1.1") {
		if len(old) == 0 {
			old = []string{"DEFAULT"}
		}
		old = append(old, "@SECLEVEL=0")
	}
	var words []string
	if len(old) > 0 {
		words = append(words, "ciphers", strings.Join(old, ":"))
	}
	if len(suites) > 0 {
		words = append(words, "ciphersuites", strings.Join(suites, ":"))
	}
	return words
}

// tlsVersions are the contract's names with HAProxy's, in their order.
var tlsVersions = []struct{ api, bound, without string }{
	{"SSLv3", "SSLv3", "no-sslv3"}, {"TLSv1", "TLSv1.0", "no-tlsv10"}, {"TLSv1.1", "TLSv1.1", "no-tlsv11"},
	{"TLSv1.2", "TLSv1.2", "no-tlsv12"}, {"TLSv1.3", "TLSv1.3", "no-tlsv13"},
}

// versionWords names the lowest and the highest version; HAProxy takes either
// these or single ones that are left out, and only for a hole the latter are needed.
func versionWords(versions []string) []string {
	first, last := -1, -1
	var without []string
	for i, v := range tlsVersions {
		if !slices.Contains(versions, v.api) {
			without = append(without, v.without)
			continue
		}
		if first < 0 {
			first = i
		}
		last = i
	}
	switch {
	case first < 0:
		return nil
	case last-first+1+len(without) != len(tlsVersions):
		return without
	}
	return []string{"ssl-min-ver", tlsVersions[first].bound, "ssl-max-ver", tlsVersions[last].bound}
}
