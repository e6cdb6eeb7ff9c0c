package api

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/updraft-cloud/updraft/internal/lb/model"
)

// isDatagram says whether connections are followed by address only: UDP and SCTP.
func isDatagram(p model.Protocol) bool { return p == model.ProtocolUDP || p == model.ProtocolSCTP }

func newPool(in *poolInput) *model.Pool {
	p := &model.Pool{Protocol: model.Protocol(in.protocol.v)}
	p.AdminStateUp = true
	changePool(p, in)
	return p
}

func changePool(p *model.Pool, in *poolInput) {
	in.common.apply(&p.Base)
	if in.algorithm.has() {
		p.LBAlgorithm = model.Algorithm(in.algorithm.v)
	}
	if in.persistence.sent {
		p.SessionPersistence = in.persistence.v.build(p.SessionPersistence)
		if in.persistence.null {
			p.SessionPersistence = nil
		}
	}
	in.tlsRef.apply(&p.TLSContainerRef, "")
	in.caRef.apply(&p.CATLSContainerRef, "")
	in.crlRef.apply(&p.CRLContainerRef, "")
	in.tlsEnabled.apply(&p.TLSEnabled, false)
	in.ciphers.apply(&p.TLSCiphers, "")
	in.versions.apply(&p.TLSVersions, nil)
	in.alpn.apply(&p.ALPNProtocols, nil)
	if !p.TLSEnabled {
		return
	}
	if p.TLSCiphers == "" {
		p.TLSCiphers = DefaultCiphers
	}
	if p.TLSVersions == nil {
		p.TLSVersions = defaultVersions
	}
	if p.ALPNProtocols == nil {
		p.ALPNProtocols = defaultALPN
	}
}

// build makes what is stored. What an update does not send stays as it is, unless
// the type changes, which the rest belongs to.
func (in persistenceInput) build(old *model.SessionPersistence) *model.SessionPersistence {
	sp := &model.SessionPersistence{Type: in.kind.or("")}
	if old != nil && (sp.Type == "" || sp.Type == old.Type) {
		*sp = *old
	}
	in.cookie.apply(&sp.CookieName, "")
	in.granularity.apply(&sp.Granularity, "")
	if in.timeout.sent {
		sp.Timeout = nil
		if in.timeout.has() {
			seconds := in.timeout.v
			sp.Timeout = &seconds
		}
	}
	return sp
}

// checkPool looks for what contradicts itself in a pool as it shall be.
func (s *Settings) checkPool(p *model.Pool, in *poolInput, old *model.Pool) *fault {
	if in.persistence.has() {
		if err := checkPersistence(p.SessionPersistence, p.Protocol); err != nil {
			return err
		}
	}
	if in.algorithm.sent && in.algorithm.null {
		return invalidOption("None", "lb_algorithm")
	}
	switch {
	case p.CRLContainerRef == "" || p.CATLSContainerRef != "":
	case old == nil:
		return invalid("A CA certificate reference is required to specify a revocation list.")
	case old.CATLSContainerRef != "":
		return invalid("A CA reference cannot be removed when a certificate revocation list is present.")
	default:
		return invalid("A CA reference is required to specify a certificate revocation list.")
	}
	return s.checkTLSOptions(in.ciphers, in.versions, in.alpn)
}

func checkPersistence(sp *model.SessionPersistence, protocol model.Protocol) *fault {
	cookies := sp.Type == model.PersistHTTPCookie || sp.Type == model.PersistAppCookie
	switch {
	case sp.Type == "":
		return invalid("Invalid session_persistence provided.")
	case isDatagram(protocol) && sp.Type == model.PersistSourceIP && sp.CookieName != "":
		return invalid("session_persistence SOURCE_IP type for UDP and SCTP protocols only accepts: type, persistence_timeout, persistence_granularity.")
	case isDatagram(protocol) && sp.CookieName != "":
		return invalid("Cookie names are not supported for UDP/SCTP pools.")
	case isDatagram(protocol) && cookies:
		return invalid("Session persistence of type %s is not supported for UDP/SCTP protocol pools.", sp.Type)
	case !isDatagram(protocol) && (sp.Timeout != nil && *sp.Timeout != 0 || sp.Granularity != ""):
		return invalid("persistence_timeout and persistence_granularity is only for UDP and SCTP protocol pools.")
	case sp.CookieName != "" && sp.Type != model.PersistAppCookie:
		return invalid(`Field "cookie_name" can only be specified with session persistence of type "APP_COOKIE".`)
	case strings.ContainsFunc(sp.CookieName, notInCookieNames):
		return invalid(`Supplied "cookie_name" is invalid.`)
	case sp.Type == model.PersistAppCookie && sp.CookieName == "":
		return invalid(`Field "cookie_name" must be specified when using the "APP_COOKIE" session persistence type.`)
	}
	return nil
}

// notInCookieNames are the characters that no token of HTTP has (RFC 6265, 2616).
func notInCookieNames(r rune) bool {
	return r <= ' ' || r >= 0x7f || strings.ContainsRune(`"(),/:;<=>?@[\]{}`, r)
}

func newMember(in *memberInput) *model.Member {
	m := &model.Member{Address: in.address.v, ProtocolPort: in.port.v, SubnetID: in.subnet.or(""), Weight: 1, VNICType: "normal"}
	m.AdminStateUp = true
	if in.sriov.or(false) {
		m.VNICType = "direct"
	}
	changeMember(m, in)
	return m
}

func changeMember(m *model.Member, in *memberInput) {
	in.common.apply(&m.Base)
	in.weight.apply(&m.Weight, 1)
	in.backup.apply(&m.Backup, false)
	in.monitorAddress.apply(&m.MonitorAddress, "")
	in.monitorPort.apply(&m.MonitorPort, 0)
}

// checkReserved refuses addresses that no member may have, however they are written.
func (s *Settings) checkReserved(address string) *fault {
	a, err := netip.ParseAddr(address)
	if err != nil {
		return invalidOption(address, "member address")
	}
	reserved := func(r string) bool { b, err := netip.ParseAddr(r); return err == nil && b == a.Unmap() }
	if slices.ContainsFunc(s.ReservedAddresses, reserved) {
		return invalidOption(address, "member address")
	}
	return nil
}

func newMonitor(in *monitorInput) *model.HealthMonitor {
	h := &model.HealthMonitor{Type: in.kind.v, MaxRetriesDown: 3}
	h.AdminStateUp = true
	changeMonitor(h, in)
	return h
}

func changeMonitor(h *model.HealthMonitor, in *monitorInput) {
	in.common.apply(&h.Base)
	in.delay.apply(&h.Delay, 0)
	in.timeout.apply(&h.Timeout, 0)
	in.retries.apply(&h.MaxRetries, 0)
	in.retriesDown.apply(&h.MaxRetriesDown, 3)
	in.method.apply(&h.HTTPMethod, "")
	in.path.apply(&h.URLPath, "")
	in.codes.apply(&h.ExpectedCodes, "")
	in.httpVersion.apply(&h.HTTPVersion, "")
	in.domain.apply(&h.DomainName, "")
	if !speaksHTTP(h.Type) {
		return
	}
	for field, def := range map[*string]string{&h.HTTPMethod: "GET", &h.URLPath: "/", &h.ExpectedCodes: "200"} {
		if *field == "" {
			*field = def
		}
	}
}

func speaksHTTP(monitor string) bool {
	return monitor == model.MonitorHTTP || monitor == model.MonitorHTTPS
}

// checkMonitor looks for what contradicts itself in a monitor as it shall be, and
// whether it fits the pool.
func (s *Settings) checkMonitor(h *model.HealthMonitor, in *monitorInput, pool model.Protocol, update bool) *fault {
	if s.ForbidPing && h.Type == model.MonitorPing && !update {
		return disabled("type", h.Type)
	}
	if err := s.checkMonitorOf(h, pool); err != nil {
		return err
	}
	for _, f := range []struct {
		name string
		in   opt[string]
	}{{"http_method", in.method}, {"url_path", in.path}, {"expected_codes", in.codes}} {
		if !speaksHTTP(h.Type) && (f.in.or("") != "" || update && f.in.sent) {
			return invalidOption(f.name, "health monitors of type "+h.Type)
		}
	}
	for _, f := range []struct {
		name string
		in   opt[int]
	}{{"delay", in.delay}, {"max_retries", in.retries}, {"timeout", in.timeout}} {
		if f.in.null {
			return invalidOption("None", f.name)
		}
	}
	switch {
	case h.DomainName != "" && h.HTTPVersion == "":
		return invalid("'http_version' must be specified when 'domain_name' is provided.")
	case h.DomainName != "" && h.HTTPVersion != "1.1":
		return invalidOption("http_version "+h.HTTPVersion, "health monitors HTTP 1.1 domain name health check")
	}
	return nil
}

// checkMonitorOf wants the type of a monitor to fit the protocol of its pool.
func (s *Settings) checkMonitorOf(h *model.HealthMonitor, pool model.Protocol) *fault {
	datagramOnly := h.Type == model.MonitorUDPConnect || h.Type == model.MonitorSCTP
	switch {
	case !isDatagram(pool) && datagramOnly:
		return invalid("The %s type is only supported for pools of type UDP/SCTP.", h.Type)
	case !isDatagram(pool):
		return nil
	case !datagramOnly && h.Type != model.MonitorTCP && h.Type != model.MonitorHTTP:
		return invalid("The associated pool protocol is %s, so only a UDP-CONNECT/SCTP/TCP/HTTP health monitor is supported.", pool)
	case h.Type == model.MonitorUDPConnect && h.Delay < s.MinUDPDelay:
		return invalid("The request delay value %d should be larger than %d for UDP-CONNECT health monitor type.", h.Delay, s.MinUDPDelay)
	}
	return nil
}
