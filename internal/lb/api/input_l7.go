package api

import "regexp"

type policyInput struct {
	common
	listener, action, url, prefix, poolID opt[string]
	pool                                  opt[poolInput]
	position, code                        opt[int]
	rules                                 opt[[]ruleInput]
}

func (in *policyInput) changeable() []field {
	return fields(in.named(), []field{
		scalar("redirect_url", &in.url, schema{Type: "string", Format: "uri"}, asURL),
		scalar("redirect_prefix", &in.prefix, schema{Type: "string", Format: "uri"}, asURL),
		integer("position", &in.position, 1, maxInt),
		codes("redirect_http_code", &in.code, 301, 302, 303, 307, 308),
	})
}

func (in *policyInput) actions() field {
	return enum("action", &in.action, "REJECT", "REDIRECT_TO_URL", "REDIRECT_TO_POOL", "REDIRECT_PREFIX")
}

func (in *policyInput) update() []field {
	return fields(in.changeable(), []field{in.actions(), uuid("redirect_pool_id", &in.poolID)})
}

func (in *policyInput) nested() []field {
	return fields(in.changeable(), []field{
		required(in.actions()),
		object("redirect_pool", &in.pool, (*poolInput).nested),
		objects("rules", &in.rules, (*ruleInput).nested),
	})
}

func (in *policyInput) create() []field {
	return fields(in.changeable(), in.owned(), []field{
		required(in.actions()),
		uuid("redirect_pool_id", &in.poolID),
		required(uuid("listener_id", &in.listener)),
		objects("rules", &in.rules, (*ruleInput).nested),
	})
}

type ruleInput struct {
	common
	kind, compare, key, value opt[string]
	invert                    opt[bool]
}

var oneLine = regexp.MustCompile(`^[^\r\n]*$`)

func (in *ruleInput) update() []field {
	return []field{
		enum("type", &in.kind, "HOST_NAME", "PATH", "FILE_TYPE", "HEADER", "COOKIE", "SSL_CONN_HAS_CERT", "SSL_VERIFY_RESULT", "SSL_DN_FIELD"),
		enum("compare_type", &in.compare, "REGEX", "STARTS_WITH", "ENDS_WITH", "CONTAINS", "EQUAL_TO"),
		pattern("key", &in.key, nameLimit, oneLine),
		pattern("value", &in.value, nameLimit, oneLine),
		boolean("invert", &in.invert),
		boolean("admin_state_up", &in.enabled),
		tags(&in.tags),
	}
}

func (in *ruleInput) nested() []field {
	f := in.update()
	for i := range f {
		switch f[i].name {
		case "type", "compare_type", "value":
			f[i] = required(f[i])
		}
	}
	return f
}

func (in *ruleInput) create() []field { return fields(in.nested(), in.owned()) }
