package api

// What the bodies of requests may have, in the order in which faults are looked
// for. Create and update have lists of their own: what is not in the list of an
// update is immutable, and an unknown attribute there.

// common are the attributes that most kinds have.
type common struct {
	name, description opt[string]
	enabled           opt[bool]
	tags              opt[[]string]
	project           opt[string]
}

// nameLimit is how many characters most texts may have.
const nameLimit = 255

func (c *common) named() []field {
	return []field{text("name", &c.name, nameLimit), text("description", &c.description, nameLimit), boolean("admin_state_up", &c.enabled), tags(&c.tags)}
}

// unnamed are those of kinds without a description.
func (c *common) undescribed() []field {
	return []field{text("name", &c.name, nameLimit), boolean("admin_state_up", &c.enabled), tags(&c.tags)}
}

// owned are project_id and its old name. Children take the project of their
// load balancer whatever is sent.
func (c *common) owned() []field {
	return []field{text("project_id", &c.project, 36), text("tenant_id", &c.project, 36)}
}

func fields(lists ...[]field) []field {
	var out []field
	for _, l := range lists {
		out = append(out, l...)
	}
	return out
}

type loadBalancerInput struct {
	common
	subnet, network, port, address, qos opt[string]
	groups                              opt[[]string]
	additional                          opt[[]additionalInput]
	provider, flavor, zone              opt[string]
	listeners                           opt[[]listenerInput]
	pools                               opt[[]poolInput]
}

type additionalInput struct{ subnet, address, port opt[string] }

func (in *additionalInput) fields() []field {
	return []field{required(uuid("subnet_id", &in.subnet)), address("ip_address", &in.address), uuid("port_id", &in.port)}
}

func (in *loadBalancerInput) update() []field {
	return fields(in.named(), []field{
		uuid("vip_qos_policy_id", &in.qos),
		list("vip_sg_ids", &in.groups, schema{Type: "string", Format: "uuid"}, asUUID),
	})
}

func (in *loadBalancerInput) create() []field {
	return fields(in.update(), in.owned(), []field{
		address("vip_address", &in.address),
		uuid("vip_port_id", &in.port),
		uuid("vip_subnet_id", &in.subnet),
		uuid("vip_network_id", &in.network),
		objects("additional_vips", &in.additional, (*additionalInput).fields),
		objects("listeners", &in.listeners, (*listenerInput).nested),
		objects("pools", &in.pools, (*poolInput).nested),
		text("provider", &in.provider, 64),
		uuid("flavor_id", &in.flavor),
		text("availability_zone", &in.zone, nameLimit),
	})
}

type listenerInput struct {
	common
	loadBalancer                                 opt[string]
	protocol                                     opt[string]
	port, limit                                  opt[int]
	defaultPool                                  opt[string]
	pool                                         opt[poolInput]
	tlsRef, caRef, crlRef, clientAuth            opt[string]
	sniRefs                                      opt[[]string]
	headers                                      opt[map[string]string]
	timeoutClient, timeoutConnect, timeoutMember opt[int]
	timeoutInspect                               opt[int]
	cidrs                                        opt[[]string]
	ciphers                                      opt[string]
	versions, alpn                               opt[[]string]
	hstsAge                                      opt[int]
	hstsSubdomains, hstsPreload                  opt[bool]
	policies                                     opt[[]policyInput]
}

func (in *listenerInput) update() []field {
	return fields(in.named(), []field{
		integer("connection_limit", &in.limit, -1, maxInt),
		text("default_tls_container_ref", &in.tlsRef, nameLimit),
		texts("sni_container_refs", &in.sniRefs, nameLimit),
		uuid("default_pool_id", &in.defaultPool),
		headers("insert_headers", &in.headers),
		integer("timeout_client_data", &in.timeoutClient, 0, maxTimeout),
		integer("timeout_member_connect", &in.timeoutConnect, 0, maxTimeout),
		integer("timeout_member_data", &in.timeoutMember, 0, maxTimeout),
		integer("timeout_tcp_inspect", &in.timeoutInspect, 0, maxTimeout),
		text("client_ca_tls_container_ref", &in.caRef, nameLimit),
		enum("client_authentication", &in.clientAuth, "NONE", "OPTIONAL", "MANDATORY"),
		text("client_crl_container_ref", &in.crlRef, nameLimit),
		list("allowed_cidrs", &in.cidrs, schema{Type: "string"}, cidr),
		text("tls_ciphers", &in.ciphers, 2048),
		texts("tls_versions", &in.versions, 32),
		list("alpn_protocols", &in.alpn, schema{Type: "string", Enum: alpnProtocols}, asALPN),
		integer("hsts_max_age", &in.hstsAge, 0, maxInt),
		boolean("hsts_include_subdomains", &in.hstsSubdomains),
		boolean("hsts_preload", &in.hstsPreload),
	})
}

// nested is a listener within the creation of a load balancer.
func (in *listenerInput) nested() []field {
	return fields(in.update(), []field{
		required(enum("protocol", &in.protocol, listenerProtocols...)),
		required(integer("protocol_port", &in.port, 1, 65535)),
		object("default_pool", &in.pool, (*poolInput).nested),
		objects("l7policies", &in.policies, (*policyInput).nested),
	})
}

func (in *listenerInput) create() []field {
	return fields(in.update(), in.owned(), []field{
		required(enum("protocol", &in.protocol, listenerProtocols...)),
		required(integer("protocol_port", &in.port, 1, 65535)),
		required(uuid("loadbalancer_id", &in.loadBalancer)),
	})
}

// maxTimeout is 24 days in milliseconds, what HAProxy can keep.
const maxTimeout = 2073600000

// headers are the headers that a listener adds. Their names are looked at later,
// when the protocol is known.
func headers(name string, to *opt[map[string]string]) field {
	return field{name: name, schema: schema{Type: "object"}, read: func(value any) *fault {
		*to = opt[map[string]string]{sent: true, null: value == nil}
		m, ok := value.(map[string]any)
		if value != nil && !ok {
			return invalidInput(name, value, "Value should be an object")
		}
		to.v = make(map[string]string, len(m))
		for k, v := range m {
			s, reason := asHeader(v)
			if reason != "" {
				return invalidInput(name, value, reason)
			}
			to.v[k] = s
		}
		return nil
	}}
}

// asHeader takes the text of a header, and true and false without quotes.
func asHeader(value any) (string, string) {
	if b, ok := value.(bool); ok {
		return shown(b), ""
	}
	return asText(value, nameLimit)
}

func asALPN(value any) (string, string) {
	s, _ := value.(string)
	for _, p := range alpnProtocols {
		if s == p {
			return s, ""
		}
	}
	return "", "Value should be a valid ALPN protocol ID"
}
