package api

import (
	"github.com/updraft-cloud/updraft/internal/lb/model"
)

// Rows of the kinds of objects.
type (
	lbRow       = row[*model.LoadBalancer]
	listenerRow = row[*model.Listener]
	poolRow     = row[*model.Pool]
	memberRow   = row[*model.Member]
	monitorRow  = row[*model.HealthMonitor]
	policyRow   = row[*model.L7Policy]
	ruleRow     = row[*model.L7Rule]
)

// kinds are the tables of what is in trees. Those of whole trees are for the
// answer to a creation in a single call: references become objects, and objects
// do not refer back.
type kinds struct {
	lb, wholeLB             *kind[lbRow]
	listener, wholeListener *kind[listenerRow]
	pool, wholePool         *kind[poolRow]
	member                  *kind[memberRow]
	monitor, wholeMonitor   *kind[monitorRow]
	policy, wholePolicy     *kind[policyRow]
	rule                    *kind[ruleRow]
}

func newKinds() *kinds {
	k := &kinds{}
	k.rule = tenantKind("rule", "rules", identity[*model.L7Rule](), ruleAttrs(), statuses[*model.L7Rule](),
		owner[*model.L7Rule](), history[*model.L7Rule](), tagsOf[*model.L7Rule](), parent[*model.L7Rule]())
	k.policy = policyKind(references("rules", policyRules))
	k.wholePolicy = policyKind(nestedAs("rules", func() *kind[ruleRow] { return k.rule }, policyRules))
	k.monitor = monitorKind(true)
	k.wholeMonitor = monitorKind(false)
	k.member = memberKind()
	k.pool = poolKind(lbReference[*model.Pool](), []attribute[poolRow]{
		optional("healthmonitor_id", monitorOf), references("members", poolMembers)})
	k.wholePool = poolKind([]attribute[poolRow]{
		shownAs("healthmonitor", schema{Type: "object"}.nullable(), k.appendMonitor),
		nestedAs("members", func() *kind[memberRow] { return k.member }, poolMembers)})
	k.listener = listenerKind(lbReference[*model.Listener](), []attribute[listenerRow]{references("l7policies", listenerPolicies)})
	k.wholeListener = listenerKind([]attribute[listenerRow]{nestedAs("l7policies", func() *kind[policyRow] { return k.wholePolicy }, listenerPolicies)})
	k.lb = lbKind(references("listeners", lbListeners), references("pools", lbPools))
	k.wholeLB = lbKind(nestedAs("listeners", func() *kind[listenerRow] { return k.wholeListener }, lbListeners),
		nestedAs("pools", func() *kind[poolRow] { return k.wholePool }, lbPools))
	return k
}

func lbListeners(r lbRow) []*model.Listener            { return r.tree.Listeners() }
func lbPools(r lbRow) []*model.Pool                    { return r.tree.Pools() }
func listenerPolicies(r listenerRow) []*model.L7Policy { return r.tree.L7Policies(r.o.ID) }
func policyRules(r policyRow) []*model.L7Rule          { return r.tree.L7Rules(r.o.ID) }
func poolMembers(r poolRow) []*model.Member            { return r.tree.Members(r.o.ID) }

func monitorOf(r poolRow) string {
	if m := r.tree.HealthMonitorOf(r.o.ID); m != nil {
		return m.ID
	}
	return ""
}

func (k *kinds) appendMonitor(b []byte, r poolRow) []byte {
	m := r.tree.HealthMonitorOf(r.o.ID)
	if m == nil {
		return append(b, "null"...)
	}
	return appendObject(b, monitorRow{m, r.tree}, k.wholeMonitor.attrs)
}

// listenersOf are the listeners that a pool is the default of or that redirect
// to it, by creation.
func listenersOf(r poolRow) []*model.Listener {
	redirecting := map[string]bool{}
	for _, p := range r.tree.AllL7Policies() {
		if p.RedirectPoolID == r.o.ID {
			redirecting[p.ListenerID] = true
		}
	}
	var out []*model.Listener
	for _, l := range r.tree.Listeners() {
		if l.DefaultPoolID == r.o.ID || redirecting[l.ID] {
			out = append(out, l)
		}
	}
	return out
}

func lbKind(children ...attribute[lbRow]) *kind[lbRow] {
	return tenantKind("loadbalancer", "loadbalancers", identity[*model.LoadBalancer](), names[*model.LoadBalancer](),
		statuses[*model.LoadBalancer](), owner[*model.LoadBalancer](), history[*model.LoadBalancer](),
		[]attribute[lbRow]{
			optional("vip_address", func(r lbRow) string { return r.o.VIP.Address }),
			optional("vip_port_id", func(r lbRow) string { return r.o.VIP.PortID }),
			optional("vip_subnet_id", func(r lbRow) string { return r.o.VIP.SubnetID }),
			optional("vip_network_id", func(r lbRow) string { return r.o.VIP.NetworkID }),
			shownAs("vip_sg_ids", arrayOf("string"), func(b []byte, r lbRow) []byte { return appendTexts(b, r.o.VIPSGIDs) }),
			shownAs("additional_vips", arrayOf("object"), appendVIPs),
		}, children, []attribute[lbRow]{
			textual("provider", func(r lbRow) string { return r.o.Provider }),
			optional("flavor_id", func(r lbRow) string { return r.o.FlavorID }),
			optional("vip_qos_policy_id", func(r lbRow) string { return r.o.VIPQoSPolicyID }),
		}, tagsOf[*model.LoadBalancer](), []attribute[lbRow]{
			optional("availability_zone", func(r lbRow) string { return r.o.AvailabilityZone }),
			textual("vip_vnic_type", func(r lbRow) string { return orNormal(r.o.VIPVNICType) }),
		})
}

func orNormal(vnic string) string {
	if vnic == "" {
		return "normal"
	}
	return vnic
}

func appendVIPs(b []byte, r lbRow) []byte {
	b = append(b, '[')
	for i, v := range r.o.AdditionalVIPs {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendOptional(append(b, `{"subnet_id":`...), v.SubnetID)
		b = appendOptional(append(b, `,"ip_address":`...), v.Address)
		b = appendOptional(append(b, `,"port_id":`...), v.PortID)
		b = append(b, '}')
	}
	return append(b, ']')
}

func listenerKind(children ...[]attribute[listenerRow]) *kind[listenerRow] {
	return tenantKind("listener", "listeners", identity[*model.Listener](), names[*model.Listener](), statuses[*model.Listener](),
		listenerAttrs(), owner[*model.Listener](), attributes(children...), history[*model.Listener](), tagsOf[*model.Listener](), listenerTLS(), parent[*model.Listener]())
}

func listenerAttrs() []attribute[listenerRow] {
	return []attribute[listenerRow]{
		textual("protocol", func(r listenerRow) model.Protocol { return r.o.Protocol }),
		number("protocol_port", func(r listenerRow) int { return r.o.ProtocolPort }),
		number("connection_limit", func(r listenerRow) int { return r.o.ConnectionLimit }),
		optional("default_tls_container_ref", func(r listenerRow) string { return r.o.DefaultTLSContainerRef }),
		shownAs("sni_container_refs", arrayOf("string"), func(b []byte, r listenerRow) []byte { return appendTexts(b, r.o.SNIContainerRefs) }),
		optional("default_pool_id", func(r listenerRow) string { return r.o.DefaultPoolID }),
		shownAs("insert_headers", schema{Type: "object"}, func(b []byte, r listenerRow) []byte {
			if len(r.o.InsertHeaders) == 0 {
				return append(b, "{}"...)
			}
			return append(b, encode(r.o.InsertHeaders)...)
		}),
		number("timeout_client_data", func(r listenerRow) int { return r.o.TimeoutClientData }),
		number("timeout_member_connect", func(r listenerRow) int { return r.o.TimeoutMemberConnect }),
		number("timeout_member_data", func(r listenerRow) int { return r.o.TimeoutMemberData }),
		number("timeout_tcp_inspect", func(r listenerRow) int { return r.o.TimeoutTCPInspect }),
	}
}

func listenerTLS() []attribute[listenerRow] {
	return []attribute[listenerRow]{
		optional("client_ca_tls_container_ref", func(r listenerRow) string { return r.o.ClientCATLSRef }),
		textual("client_authentication", func(r listenerRow) model.ClientAuth { return r.o.ClientAuthentication }),
		optional("client_crl_container_ref", func(r listenerRow) string { return r.o.ClientCRLRef }),
		shownAs("allowed_cidrs", arrayOf("string").nullable(), func(b []byte, r listenerRow) []byte { return appendOptionalTexts(b, r.o.AllowedCIDRs) }),
		optional("tls_ciphers", func(r listenerRow) string { return r.o.TLSCiphers }),
		shownAs("tls_versions", arrayOf("string").nullable(), func(b []byte, r listenerRow) []byte { return appendOptionalTexts(b, r.o.TLSVersions) }),
		shownAs("alpn_protocols", arrayOf("string").nullable(), func(b []byte, r listenerRow) []byte { return appendOptionalTexts(b, r.o.ALPNProtocols) }),
		optionalInt("hsts_max_age", func(r listenerRow) *int { return r.o.HSTSMaxAge }),
		toggle("hsts_include_subdomains", func(r listenerRow) bool { return r.o.HSTSIncludeSubdomains }),
		toggle("hsts_preload", func(r listenerRow) bool { return r.o.HSTSPreload }),
	}
}
