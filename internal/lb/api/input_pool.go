package api

import "regexp"

type poolInput struct {
	common
	loadBalancer, listener opt[string]
	protocol, algorithm    opt[string]
	persistence            opt[persistenceInput]
	monitor                opt[monitorInput]
	members                opt[[]memberInput]
	tlsEnabled             opt[bool]
	tlsRef, caRef, crlRef  opt[string]
	ciphers                opt[string]
	versions, alpn         opt[[]string]
	full                   bool // in a tree: a definition, not only a name
}

var cookieName = regexp.MustCompile(`^[^\s,;\\]+$`)

type persistenceInput struct {
	kind, cookie, granularity opt[string]
	timeout                   opt[int]
}

func (in *persistenceInput) update() []field {
	return []field{
		enum("type", &in.kind, "SOURCE_IP", "HTTP_COOKIE", "APP_COOKIE"),
		pattern("cookie_name", &in.cookie, nameLimit, cookieName),
		integer("persistence_timeout", &in.timeout, 0, maxInt),
		address("persistence_granularity", &in.granularity),
	}
}

func (in *persistenceInput) create() []field {
	f := in.update()
	f[0] = required(f[0])
	return f
}

func (in *poolInput) changeable() []field {
	return fields(in.named(), []field{
		enum("lb_algorithm", &in.algorithm, "ROUND_ROBIN", "LEAST_CONNECTIONS", "SOURCE_IP", "SOURCE_IP_PORT"),
		text("tls_container_ref", &in.tlsRef, nameLimit),
		text("ca_tls_container_ref", &in.caRef, nameLimit),
		text("crl_container_ref", &in.crlRef, nameLimit),
		boolean("tls_enabled", &in.tlsEnabled),
		text("tls_ciphers", &in.ciphers, 2048),
		texts("tls_versions", &in.versions, 32),
		list("alpn_protocols", &in.alpn, schema{Type: "string", Enum: alpnProtocols}, asALPN),
	})
}

func (in *poolInput) update() []field {
	return fields(in.changeable(), []field{object("session_persistence", &in.persistence, (*persistenceInput).update)})
}

// nested is a pool within the creation of a load balancer: a definition, or the
// name of one.
func (in *poolInput) nested() []field {
	all := fields(in.changeable(), []field{
		enum("protocol", &in.protocol, poolProtocols...),
		object("session_persistence", &in.persistence, (*persistenceInput).create),
		object("healthmonitor", &in.monitor, (*monitorInput).nested),
		objects("members", &in.members, (*memberInput).nested),
	})
	for i, f := range all {
		if f.name == "name" {
			continue
		}
		read := f.read
		all[i].read = func(value any) *fault {
			in.full = true
			return read(value)
		}
	}
	return all
}

func (in *poolInput) create() []field {
	f := fields(in.changeable(), in.owned(), []field{
		uuid("listener_id", &in.listener),
		uuid("loadbalancer_id", &in.loadBalancer),
		required(enum("protocol", &in.protocol, poolProtocols...)),
		object("session_persistence", &in.persistence, (*persistenceInput).create),
	})
	for i := range f {
		if f[i].name == "lb_algorithm" {
			f[i] = required(f[i])
		}
	}
	return f
}

type memberInput struct {
	common
	address, subnet, monitorAddress opt[string]
	port, weight, monitorPort       opt[int]
	backup, sriov                   opt[bool]
}

func (in *memberInput) update() []field {
	return fields(in.undescribed(), []field{
		integer("weight", &in.weight, 0, 256),
		boolean("backup", &in.backup),
		integer("monitor_port", &in.monitorPort, 1, 65535),
		address("monitor_address", &in.monitorAddress),
	})
}

func (in *memberInput) nested() []field {
	return fields(in.update(), []field{
		required(address("address", &in.address)),
		required(integer("protocol_port", &in.port, 1, 65535)),
		uuid("subnet_id", &in.subnet),
		boolean("request_sriov", &in.sriov),
	})
}

func (in *memberInput) create() []field { return fields(in.nested(), in.owned()) }

type monitorInput struct {
	common
	pool, kind                               opt[string]
	delay, timeout, retries, retriesDown     opt[int]
	method, path, codes, httpVersion, domain opt[string]
}

var expectedCodes = regexp.MustCompile(`^(\d{3}(\s*,\s*\d{3})*)$|^(\d{3}-\d{3})$`)

func (in *monitorInput) update() []field {
	return fields(in.undescribed(), []field{
		integer("delay", &in.delay, 0, maxInt),
		integer("timeout", &in.timeout, 0, maxInt),
		integer("max_retries_down", &in.retriesDown, 1, 10),
		integer("max_retries", &in.retries, 1, 10),
		enum("http_method", &in.method, "GET", "HEAD", "POST", "PUT", "DELETE", "TRACE", "OPTIONS", "CONNECT", "PATCH"),
		scalar("url_path", &in.path, schema{Type: "string"}, asPath),
		pattern("expected_codes", &in.codes, 64, expectedCodes),
		scalar("http_version", &in.httpVersion, schema{Type: "number", Enum: []string{"1.0", "1.1"}}, asHTTPVersion),
		scalar("domain_name", &in.domain, schema{Type: "string", MaxLength: nameLimit}, asDomain),
	})
}

func (in *monitorInput) nested() []field {
	f := fields(in.update(), []field{required(enum("type", &in.kind, monitorTypes...))})
	for i := range f {
		switch f[i].name {
		case "delay", "timeout", "max_retries":
			f[i] = required(f[i])
		}
	}
	return f
}

func (in *monitorInput) create() []field {
	return fields(in.nested(), in.owned(), []field{required(uuid("pool_id", &in.pool))})
}
