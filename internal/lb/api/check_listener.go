package api

import (
	"maps"
	"net/netip"
	"regexp"
	"slices"
	"strings"

	"github.com/updraft-cloud/updraft/internal/lb/model"
)

// newListener is the listener that a body describes, with the defaults.
func newListener(in *listenerInput) *model.Listener {
	l := &model.Listener{
		Protocol: model.Protocol(in.protocol.v), ProtocolPort: in.port.v, ClientAuthentication: model.ClientAuthNone,
		ConnectionLimit: -1, TimeoutClientData: 50000, TimeoutMemberConnect: 5000, TimeoutMemberData: 50000,
	}
	l.AdminStateUp = true
	changeListener(l, in)
	if l.Protocol == model.ProtocolTerminatedHTTPS {
		if l.TLSCiphers == "" {
			l.TLSCiphers = DefaultCiphers
		}
		if l.TLSVersions == nil {
			l.TLSVersions = defaultVersions
		}
		if l.ALPNProtocols == nil {
			l.ALPNProtocols = defaultALPN
		}
	}
	return l
}

// changeListener applies what was sent; null is the default, where there is one.
func changeListener(l *model.Listener, in *listenerInput) {
	in.common.apply(&l.Base)
	in.limit.apply(&l.ConnectionLimit, -1)
	in.defaultPool.apply(&l.DefaultPoolID, "")
	in.tlsRef.apply(&l.DefaultTLSContainerRef, "")
	in.sniRefs.apply(&l.SNIContainerRefs, nil)
	in.caRef.apply(&l.ClientCATLSRef, "")
	in.crlRef.apply(&l.ClientCRLRef, "")
	if in.clientAuth.sent {
		l.ClientAuthentication = model.ClientAuth(in.clientAuth.or(string(model.ClientAuthNone)))
	}
	in.headers.apply(&l.InsertHeaders, nil)
	in.timeoutClient.apply(&l.TimeoutClientData, 50000)
	in.timeoutConnect.apply(&l.TimeoutMemberConnect, 5000)
	in.timeoutMember.apply(&l.TimeoutMemberData, 50000)
	in.timeoutInspect.apply(&l.TimeoutTCPInspect, 0)
	in.cidrs.apply(&l.AllowedCIDRs, nil)
	terminates := l.Protocol == model.ProtocolTerminatedHTTPS
	in.ciphers.apply(&l.TLSCiphers, onlyIf(terminates, DefaultCiphers))
	in.versions.apply(&l.TLSVersions, onlyIf(terminates, defaultVersions))
	in.alpn.apply(&l.ALPNProtocols, onlyIf(terminates, defaultALPN))
	if in.hstsAge.sent {
		l.HSTSMaxAge = nil
		if in.hstsAge.has() {
			age := in.hstsAge.v
			l.HSTSMaxAge = &age
		}
	}
	in.hstsSubdomains.apply(&l.HSTSIncludeSubdomains, false)
	in.hstsPreload.apply(&l.HSTSPreload, false)
}

func onlyIf[T any](cond bool, v T) T {
	if !cond {
		var none T
		return none
	}
	return v
}

// apply changes the attributes that most kinds have.
func (c *common) apply(b *model.Base) {
	c.name.apply(&b.Name, "")
	c.description.apply(&b.Description, "")
	c.enabled.apply(&b.AdminStateUp, false)
	c.tags.apply(&b.Tags, nil)
}

// refs are the certificates of a listener.
func certificates(l *model.Listener) []string {
	refs := slices.Clone(l.SNIContainerRefs)
	if l.DefaultTLSContainerRef != "" {
		refs = append(refs, l.DefaultTLSContainerRef)
	}
	return refs
}

// checkListener looks for what contradicts itself in a listener as it shall be.
// in is what the request changes: what stands already is not judged by rules
// that came later.
func (s *Settings) checkListener(l *model.Listener, in *listenerInput, update bool) *fault {
	for _, check := range []func() *fault{
		func() *fault { return checkHeaders(in.headers.v, l.Protocol) },
		func() *fault { return s.checkTermination(l, in, update) },
		func() *fault { return checkClientAuth(l) },
		func() *fault { return s.checkTLSOptions(in.ciphers, in.versions, in.alpn) },
		func() *fault { return checkHSTS(l, in, update) },
	} {
		if err := check(); err != nil {
			return err
		}
	}
	return nil
}

func checkHeaders(headers map[string]string, protocol model.Protocol) *fault {
	if len(headers) == 0 || protocol == model.ProtocolUDP || protocol == model.ProtocolSCTP {
		return nil // UDP and SCTP have a fault of their own
	}
	if protocol != model.ProtocolHTTP && protocol != model.ProtocolTerminatedHTTPS {
		return invalidOption("insert-headers", "a "+string(protocol)+" protocol listener.")
	}
	var unknown, tls []string
	for _, name := range slices.Sorted(maps.Keys(headers)) {
		switch {
		case slices.Contains(plainHeaders, name):
		case slices.Contains(tlsHeaders, name):
			tls = append(tls, name)
		default:
			unknown = append(unknown, name)
		}
	}
	if len(unknown) > 0 {
		return invalidOption(strings.Join(unknown, ", "), "insert_headers")
	}
	if len(tls) > 0 && protocol != model.ProtocolTerminatedHTTPS {
		return invalidOption(strings.Join(tls, ", "), string(protocol)+" protocol listener.")
	}
	return nil
}

// checkTermination compares the protocol with the certificates that are named.
func (s *Settings) checkTermination(l *model.Listener, in *listenerInput, update bool) *fault {
	sent := in.tlsRef.or("") != "" || in.caRef.or("") != "" || len(in.sniRefs.v) > 0
	ends := l.Protocol == model.ProtocolTerminatedHTTPS || l.Protocol == model.ProtocolPrometheus && sent
	name := string(l.Protocol)
	if l.Protocol == model.ProtocolPrometheus && ends {
		name += " with TLS"
	}
	switch {
	case l.Protocol.L4() != model.ProtocolTCP && (sent || len(in.headers.v) > 0) && update:
		return invalid("%s protocol listener does not support TLS or header insertion.", l.Protocol)
	case l.Protocol.L4() != model.ProtocolTCP && (sent || len(in.headers.v) > 0):
		return invalid("%s protocol listener does not support TLS.", l.Protocol)
	case ends && s.ForbidTLS:
		return disabled("protocol", name)
	case l.Protocol == model.ProtocolPrometheus && s.ForbidPrometheus:
		return disabled("protocol", name)
	case !ends && sent:
		return invalid("Certificate container references are not allowed on %s protocol listeners.", l.Protocol)
	case l.ClientCATLSRef != "" && len(certificates(l)) == 0:
		return invalid("An SNI or default certificate container reference must be provided with a client CA container reference.")
	case ends && len(certificates(l)) == 0:
		return invalid("An SNI or default certificate container reference must be provided for %s protocol listeners.", name)
	}
	return nil
}

func checkClientAuth(l *model.Listener) *fault {
	if l.ClientAuthentication != model.ClientAuthNone && l.ClientCATLSRef == "" {
		return invalid("Client authentication setting %s requires a client CA container reference.", l.ClientAuthentication)
	}
	if l.ClientCRLRef != "" && l.ClientCATLSRef == "" {
		return invalid("A client authentication CA reference is required to specify a client authentication revocation list.")
	}
	return nil
}

var cipherString = regexp.MustCompile(`^[A-Za-z0-9\-+!:@=_.]+$`)

// checkTLSOptions looks at what was sent of listeners and pools alike.
func (s *Settings) checkTLSOptions(ciphers opt[string], versions, alpn opt[[]string]) *fault {
	if ciphers.or("") != "" {
		if !cipherString.MatchString(ciphers.v) {
			return invalid("Invalid characters in cipher string. Only alphanumeric, -, +, !, :, @, =, _, and . are allowed.")
		}
		rejected := slices.DeleteFunc(strings.Split(ciphers.v, ":"), func(c string) bool { return !slices.Contains(s.ProhibitedCiphers, c) })
		if len(rejected) > 0 {
			return invalid("The following ciphers have been prohibited by an administrator: %s", strings.Join(rejected, ", "))
		}
	}
	if versions.has() {
		if err := s.checkVersions(versions.v); err != nil {
			return err
		}
	}
	if alpn.has() && len(alpn.v) == 0 {
		return invalid("Empty ALPN protocol list. Either specify at least one ALPN protocol or remove this parameter to use the default.")
	}
	return nil
}

func (s *Settings) checkVersions(versions []string) *fault {
	if len(versions) == 0 {
		return invalid("Empty TLS version list. Either specify at least one TLS version or remove this parameter to use the default.")
	}
	var unknown, old []string
	for _, v := range versions {
		switch at := slices.Index(tlsVersions, v); {
		case at < 0:
			unknown = append(unknown, v)
		case at < slices.Index(tlsVersions, s.MinimumTLS):
			old = append(old, v)
		}
	}
	if len(unknown) > 0 {
		return invalid("Invalid TLS versions: %s", strings.Join(unknown, ", "))
	}
	if len(old) > 0 {
		return invalid("Requested TLS versions are less than the minimum: %s < %s", strings.Join(old, ", "), s.MinimumTLS)
	}
	return nil
}

func checkHSTS(l *model.Listener, in *listenerInput, update bool) *fault {
	wanted := in.hstsSubdomains.or(false) || in.hstsPreload.or(false)
	switch {
	case wanted && l.HSTSMaxAge == nil && update:
		return invalid("Cannot enable hsts_include_subdomains or hsts_preload if hsts_max_age was not set as well.")
	case wanted && l.HSTSMaxAge == nil:
		return invalid("HSTS configuration options hsts_include_subdomains and hsts_preload only make sense if hsts_max_age is set as well.")
	case in.hstsAge.has() && l.Protocol != model.ProtocolTerminatedHTTPS:
		return invalid("The HSTS feature can only be used for listeners using the TERMINATED_HTTPS protocol.")
	}
	return nil
}

// checkCIDRs wants a VIP of the family of each range.
func checkCIDRs(cidrs []string, lb *model.LoadBalancer) *fault {
	if len(cidrs) > 0 && len(lb.VIPSGIDs) > 0 {
		return invalid("Allowed CIDRs are not allowed when using custom VIP Security Groups.")
	}
	vips := vipAddresses(lb)
	for _, c := range cidrs {
		if !slices.ContainsFunc(vips, func(vip string) bool { return isIPv6(vip) == strings.Contains(c, ":") }) {
			return invalid("CIDR %s IP version incompatible with all VIPs %s IP version.", c, encode(vips))
		}
	}
	return nil
}

func vipAddresses(lb *model.LoadBalancer) []string {
	vips := []string{lb.VIP.Address}
	for _, v := range lb.AdditionalVIPs {
		vips = append(vips, v.Address)
	}
	return vips
}

func isIPv6(address string) bool {
	a, err := netip.ParseAddr(address)
	return err == nil && a.Is6() && !a.Is4In6()
}

// poolProtocolsOf are the protocols of pools that listeners can send to.
var poolProtocolsOf = map[model.Protocol][]model.Protocol{
	model.ProtocolTCP:             {model.ProtocolHTTP, model.ProtocolHTTPS, model.ProtocolProxy, model.ProtocolProxyV2, model.ProtocolTCP},
	model.ProtocolHTTP:            {model.ProtocolHTTP, model.ProtocolProxy, model.ProtocolProxyV2},
	model.ProtocolHTTPS:           {model.ProtocolHTTPS, model.ProtocolProxy, model.ProtocolProxyV2, model.ProtocolTCP},
	model.ProtocolTerminatedHTTPS: {model.ProtocolHTTP, model.ProtocolProxy, model.ProtocolProxyV2},
	model.ProtocolUDP:             {model.ProtocolUDP},
	model.ProtocolSCTP:            {model.ProtocolSCTP},
}

// checkProtocols wants a pool's protocol to fit a listener's.
func checkProtocols(listener, pool model.Protocol) *fault {
	switch {
	case listener == model.ProtocolPrometheus:
		return badRequest("Protocol PROMETHEUS listeners cannot have child objects.")
	case !slices.Contains(poolProtocolsOf[listener], pool):
		return invalid("The pool protocol '%s' is invalid while the listener protocol is '%s'.", pool, listener)
	}
	return nil
}
