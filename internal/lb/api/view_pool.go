package api

import (
	"github.com/updraft-cloud/updraft/internal/lb/model"
)

func poolKind(children ...[]attribute[poolRow]) *kind[poolRow] {
	return tenantKind("pool", "pools", identity[*model.Pool](), names[*model.Pool](), statuses[*model.Pool](), []attribute[poolRow]{
		textual("protocol", func(r poolRow) model.Protocol { return r.o.Protocol }),
		textual("lb_algorithm", func(r poolRow) model.Algorithm { return r.o.LBAlgorithm }),
		shownAs("session_persistence", schema{Type: "object"}.nullable(), appendPersistence),
	}, owner[*model.Pool](), []attribute[poolRow]{references("listeners", listenersOf)}, attributes(children...),
		history[*model.Pool](), tagsOf[*model.Pool](), []attribute[poolRow]{
			optional("tls_container_ref", func(r poolRow) string { return r.o.TLSContainerRef }),
			optional("ca_tls_container_ref", func(r poolRow) string { return r.o.CATLSContainerRef }),
			optional("crl_container_ref", func(r poolRow) string { return r.o.CRLContainerRef }),
			toggle("tls_enabled", func(r poolRow) bool { return r.o.TLSEnabled }),
			optional("tls_ciphers", func(r poolRow) string { return r.o.TLSCiphers }),
			shownAs("tls_versions", arrayOf("string").nullable(), func(b []byte, r poolRow) []byte { return appendOptionalTexts(b, r.o.TLSVersions) }),
			shownAs("alpn_protocols", arrayOf("string").nullable(), func(b []byte, r poolRow) []byte { return appendOptionalTexts(b, r.o.ALPNProtocols) }),
		}, parent[*model.Pool]())
}

func appendPersistence(b []byte, r poolRow) []byte {
	sp := r.o.SessionPersistence
	if sp == nil {
		return append(b, "null"...)
	}
	b = appendText(append(b, `{"type":`...), sp.Type)
	b = appendOptional(append(b, `,"cookie_name":`...), sp.CookieName)
	b = appendInt(append(b, `,"persistence_timeout":`...), sp.Timeout)
	b = appendOptional(append(b, `,"persistence_granularity":`...), sp.Granularity)
	return append(b, '}')
}

func memberKind() *kind[memberRow] {
	name := names[*model.Member]()[:1] // members have no description
	return tenantKind("member", "members", identity[*model.Member](), name, statuses[*model.Member](), []attribute[memberRow]{
		textual("address", func(r memberRow) string { return r.o.Address }),
		number("protocol_port", func(r memberRow) int { return r.o.ProtocolPort }),
		number("weight", func(r memberRow) int { return r.o.Weight }),
		toggle("backup", func(r memberRow) bool { return r.o.Backup }),
		optional("subnet_id", func(r memberRow) string { return r.o.SubnetID }),
	}, owner[*model.Member](), history[*model.Member](), []attribute[memberRow]{
		optional("monitor_address", func(r memberRow) string { return r.o.MonitorAddress }),
		optionalNumber("monitor_port", func(r memberRow) int { return r.o.MonitorPort }),
	}, tagsOf[*model.Member](), []attribute[memberRow]{
		textual("vnic_type", func(r memberRow) string { return orNormal(r.o.VNICType) }),
		hidden(textual("pool_id", func(r memberRow) string { return r.o.PoolID })),
	}, parent[*model.Member]())
}

// monitorKind is the table of health monitors, with the pool of each if refers.
func monitorKind(refers bool) *kind[monitorRow] {
	pools := shownAs("pools", arrayOf("object"), func(b []byte, r monitorRow) []byte {
		return append(appendID(append(b, '['), r.o.PoolID), ']')
	})
	if !refers {
		pools = hidden(pools)
	}
	name := names[*model.HealthMonitor]()[:1]
	return tenantKind("healthmonitor", "healthmonitors", identity[*model.HealthMonitor](), name, []attribute[monitorRow]{
		textual("type", func(r monitorRow) string { return r.o.Type }),
		number("delay", func(r monitorRow) int { return r.o.Delay }),
		number("timeout", func(r monitorRow) int { return r.o.Timeout }),
		number("max_retries", func(r monitorRow) int { return r.o.MaxRetries }),
		number("max_retries_down", func(r monitorRow) int { return r.o.MaxRetriesDown }),
		optional("http_method", func(r monitorRow) string { return r.o.HTTPMethod }),
		optional("url_path", func(r monitorRow) string { return r.o.URLPath }),
		optional("expected_codes", func(r monitorRow) string { return r.o.ExpectedCodes }),
		httpVersion(),
		optional("domain_name", func(r monitorRow) string { return r.o.DomainName }),
		hidden(textual("pool_id", func(r monitorRow) string { return r.o.PoolID })),
		pools,
	}, statuses[*model.HealthMonitor](), owner[*model.HealthMonitor](), history[*model.HealthMonitor](), tagsOf[*model.HealthMonitor](), parent[*model.HealthMonitor]())
}

// httpVersion is a number in the API.
func httpVersion() attribute[monitorRow] {
	a := optional("http_version", func(r monitorRow) string { return r.o.HTTPVersion })
	a.schema = schema{Type: "number"}.nullable()
	a.show = func(b []byte, r monitorRow) []byte {
		if r.o.HTTPVersion == "" {
			return append(b, "null"...)
		}
		return append(b, r.o.HTTPVersion...)
	}
	return a
}

func policyKind(rules attribute[policyRow]) *kind[policyRow] {
	return tenantKind("l7policy", "l7policies", identity[*model.L7Policy](), names[*model.L7Policy](), statuses[*model.L7Policy](),
		owner[*model.L7Policy](), []attribute[policyRow]{
			textual("action", func(r policyRow) string { return r.o.Action }),
			textual("listener_id", func(r policyRow) string { return r.o.ListenerID }),
			optional("redirect_pool_id", func(r policyRow) string { return r.o.RedirectPoolID }),
			optional("redirect_url", func(r policyRow) string { return r.o.RedirectURL }),
			optional("redirect_prefix", func(r policyRow) string { return r.o.RedirectPrefix }),
			number("position", func(r policyRow) int { return r.o.Position }),
			rules,
		}, history[*model.L7Policy](), tagsOf[*model.L7Policy](), []attribute[policyRow]{
			optionalNumber("redirect_http_code", func(r policyRow) int { return r.o.RedirectHTTPCode }),
		}, parent[*model.L7Policy]())
}

func ruleAttrs() []attribute[ruleRow] {
	return []attribute[ruleRow]{
		textual("type", func(r ruleRow) string { return r.o.Type }),
		textual("compare_type", func(r ruleRow) string { return r.o.CompareType }),
		optional("key", func(r ruleRow) string { return r.o.Key }),
		textual("value", func(r ruleRow) string { return r.o.Value }),
		toggle("invert", func(r ruleRow) bool { return r.o.Invert }),
		hidden(textual("l7policy_id", func(r ruleRow) string { return r.o.L7PolicyID })),
	}
}
