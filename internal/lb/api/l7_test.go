package api

import (
	"fmt"
	"strings"
	"testing"
)

func TestPositionsOfPolicies(t *testing.T) {
	r := newRig(t)
	lb := r.lb()
	listener := r.listener(lb, 80)
	ids := map[string]string{}
	policy := func(name string, position any) {
		body := m{"listener_id": listener, "action": "REJECT", "name": name}
		if position != nil {
			body["position"] = position
		}
		ids[name] = r.child(lb, "/l7policies", "l7policy", body)
	}
	order := func() string {
		var out []string
		for _, o := range r.do("GET", "/l7policies?sort=position&project_id="+r.project, nil).at("l7policies").([]any) {
			out = append(out, fmt.Sprintf("%v%v", dig(o, "name"), dig(o, "position")))
		}
		return strings.Join(out, " ")
	}
	policy("a", nil)
	policy("b", 1)
	policy("c", 99)
	policy("d", 2)
	if got := order(); got != "b1 d2 a3 c4" {
		t.Errorf("after creation: %s", got)
	}
	r.must(200, "PUT", "/l7policies/"+ids["c"], m{"l7policy": m{"position": 1}})
	r.settle(lb)
	if got := order(); got != "c1 b2 d3 a4" {
		t.Errorf("after a move: %s", got)
	}
	r.do("DELETE", "/l7policies/"+ids["b"], nil).want(204, "")
	r.settle(lb)
	if got := order(); got != "c1 d2 a3" {
		t.Errorf("after a deletion: %s", got)
	}
	if got := string(encode(r.must(200, "GET", "/listeners/"+listener, nil)["l7policies"])); got != fmt.Sprintf(`[{"id":"%s"},{"id":"%s"},{"id":"%s"}]`, ids["c"], ids["d"], ids["a"]) {
		t.Errorf("the listener's policies: %s", got)
	}
}

func TestTargetsOfPolicies(t *testing.T) {
	r := newRig(t)
	lb := r.lb()
	listener, tcp, pool, udp := r.listener(lb, 80), r.listener(lb, 81, m{"protocol": "TCP"}), r.pool(lb), r.pool(lb, m{"protocol": "UDP"})
	elsewhere := r.pool(r.lb())
	r.refuses("/l7policies", "l7policy", m{"listener_id": listener, "action": "REJECT"}, []refusal{
		{"no action", m{"action": "absent"}, 400, field400("action", "None", "Mandatory field missing.")},
		{"another action", m{"action": "DROP"}, 400, field400("action", "DROP", "Value should be one of: REJECT, REDIRECT_TO_URL, REDIRECT_TO_POOL, REDIRECT_PREFIX")},
		{"no listener", m{"listener_id": noID}, 404, "Listener " + noID + " not found."},
		{"a pool that is not named", m{"action": "REDIRECT_TO_POOL"}, 400, "Invalid L7 Policy arguments: redirect_pool_id or redirect_pool must not be None"},
		{"a URL that is not named", m{"action": "REDIRECT_TO_URL"}, 400, "Invalid L7 Policy arguments: redirect_url must not be None"},
		{"a prefix that is not named", m{"action": "REDIRECT_PREFIX"}, 400, "Invalid L7 Policy arguments: redirect_prefix must not be None"},
		{"a URL that is none", m{"action": "REDIRECT_TO_URL", "redirect_url": "www.example"}, 400, field400("redirect_url", "www.example", "Value must be a valid URL string")},
		{"a URL of FTP", m{"action": "REDIRECT_TO_URL", "redirect_url": "ftp://a.example"}, 400, field400("redirect_url", "ftp://a.example", "Value must be a valid URL string")},
		{"both kinds of target", m{"action": "REDIRECT_PREFIX", "redirect_prefix": "http://a.example", "redirect_pool_id": pool}, 400,
			"Invalid L7 Policy arguments: Cannot specify redirect_pool_id and redirect_url or redirect_prefix at the same time"},
		{"no such pool", m{"action": "REDIRECT_TO_POOL", "redirect_pool_id": noID}, 404, "Pool " + noID + " not found."},
		{"a pool of another load balancer", m{"action": "REDIRECT_TO_POOL", "redirect_pool_id": elsewhere}, 404, "Pool " + elsewhere + " not found."},
		{"a pool of another protocol", m{"action": "REDIRECT_TO_POOL", "redirect_pool_id": udp}, 400, "Validation failure: The pool protocol 'UDP' is invalid while the listener protocol is 'HTTP'."},
		{"a listener of TCP", m{"listener_id": tcp}, 501, "Provider 'amphora' does not support a requested option: TCP protocol listeners do not support L7 policies"},
		{"position 0", m{"position": 0}, 400, field400("position", "0", "Value should be greater or equal to 1")},
		{"code 300", m{"redirect_http_code": 300}, 400, field400("redirect_http_code", "300", "Value should be one of: 301, 302, 303, 307, 308")},
	})
	id := r.child(lb, "/l7policies", "l7policy", m{"listener_id": listener, "action": "REDIRECT_TO_URL", "redirect_url": "https://a.example/x?y=1"})
	path := "/l7policies/" + id
	for _, step := range []struct {
		name string
		body m
		want m
	}{
		{"as created", nil, m{"action": "REDIRECT_TO_URL", "redirect_http_code": 302.0, "redirect_url": "https://a.example/x?y=1"}},
		{"a pool takes over", m{"redirect_pool_id": pool}, m{"action": "REDIRECT_TO_POOL", "redirect_pool_id": pool, "redirect_url": nil, "redirect_http_code": nil}},
		{"a prefix takes over", m{"redirect_prefix": "http://b.example", "redirect_http_code": 308}, m{"action": "REDIRECT_PREFIX", "redirect_prefix": "http://b.example", "redirect_pool_id": nil, "redirect_http_code": 308.0}},
		{"the name leaves the target", m{"name": "n"}, m{"action": "REDIRECT_PREFIX", "redirect_prefix": "http://b.example", "name": "n", "redirect_http_code": 308.0}},
		{"rejection removes it", m{"action": "REJECT"}, m{"action": "REJECT", "redirect_prefix": nil, "redirect_http_code": nil}},
	} {
		method, body := "PUT", any(m{"l7policy": step.body})
		if step.body == nil {
			method, body = "GET", nil
		}
		got := r.must(200, method, path, body)
		for k, want := range step.want {
			if got[k] != want {
				t.Errorf("%s: %s is %v, wanted %v", step.name, k, got[k], want)
			}
		}
		r.settle(lb)
	}
	r.do("PUT", path, m{"l7policy": m{}}).want(400, "Invalid L7 Policy arguments: Invalid update options")
	r.do("PUT", path, m{"l7policy": m{"listener_id": tcp}}).want(400, "Unknown attribute for argument l7policy_.l7policy: listener_id")
}

func TestRules(t *testing.T) {
	r := newRig(t)
	lb := r.lb()
	policy := r.child(lb, "/l7policies", "l7policy", m{"listener_id": r.listener(lb, 80), "action": "REJECT"})
	path := "/l7policies/" + policy + "/rules"
	const parsing = "Error parsing L7Rule: "
	r.refuses(path, "rule", m{"type": "PATH", "compare_type": "EQUAL_TO", "value": "/x"}, []refusal{
		{"no value", m{"value": "absent"}, 400, field400("value", "None", "Mandatory field missing.")},
		{"an empty value", m{"value": ""}, 400, parsing + "Invalid L7 Rule: L7 rule type requires a value"},
		{"a value of two lines", m{"value": "a\nb"}, 400, field400("value", "a\nb", `Value should match the pattern ^[^\r\n]*$`)},
		{"a value with a space", m{"value": "/a b"}, 400, parsing + "Invalid characters in comparison value"},
		{"a header without key", m{"type": "HEADER"}, 400, parsing + "Invalid L7 Rule: L7 rule type requires a key"},
		{"a key with a space", m{"type": "COOKIE", "key": "a b"}, 400, parsing + "Invalid characters in key"},
		{"a cookie with a comma", m{"type": "COOKIE", "key": "a", "value": "a,b"}, 400, parsing + "Invalid characters in cookie value"},
		{"a file type that ends", m{"type": "FILE_TYPE", "compare_type": "ENDS_WITH"}, 400, parsing + "Invalid L7 Rule: invalid comparison type for rule type"},
		{"an expression that is none", m{"compare_type": "REGEX", "value": "a("}, 400, parsing + "Unable to parse regular expression: missing closing ): `a(`"},
		{"a certificate with key", m{"type": "SSL_CONN_HAS_CERT", "value": "true", "key": "x"}, 400, parsing + `Invalid L7 Rule: L7rule type SSL_CONN_HAS_CERT does not use the "key" field.`},
		{"no certificate", m{"type": "SSL_CONN_HAS_CERT", "value": "false"}, 400, parsing + "Invalid L7 Rule: L7rule value false is not a boolean True string."},
		{"a certificate that begins", m{"type": "SSL_CONN_HAS_CERT", "value": "true", "compare_type": "STARTS_WITH"}, 400, parsing + "Invalid L7 Rule: L7rule type SSL_CONN_HAS_CERT only supports the EQUAL_TO compare type."},
		{"a result that is no number", m{"type": "SSL_VERIFY_RESULT", "value": "x"}, 400, parsing + "Invalid L7 Rule: L7rule type SSL_VERIFY_RESULT needs a int value, which is >= 0"},
		{"a name without key", m{"type": "SSL_DN_FIELD", "value": "x"}, 400, parsing + "Invalid L7 Rule: L7rule type SSL_DN_FIELD needs to specify a key and a value."},
		{"a name with a key that is none", m{"type": "SSL_DN_FIELD", "value": "x", "key": "1"}, 400, parsing + "Invalid L7 Rule: Invalid L7rule distinguished name field."},
	})
	for _, good := range []m{
		{"type": "HOST_NAME", "compare_type": "ENDS_WITH", "value": ".example"}, {"type": "HEADER", "compare_type": "CONTAINS", "key": "X-A", "value": `"a b"`},
		{"type": "PATH", "compare_type": "REGEX", "value": `^/(?!a)b\1`}, {"type": "SSL_VERIFY_RESULT", "compare_type": "EQUAL_TO", "value": "0"},
		{"type": "SSL_DN_FIELD", "compare_type": "REGEX", "key": "CN", "value": "a.*"}, {"type": "FILE_TYPE", "compare_type": "EQUAL_TO", "value": "jpg"},
	} {
		r.child(lb, path, "rule", good)
	}
	id := r.child(lb, path, "rule", m{"type": "COOKIE", "compare_type": "EQUAL_TO", "key": "k", "value": "v", "invert": nil})
	got := r.must(200, "PUT", path+"/"+id, m{"rule": m{"value": "w", "invert": true}})
	if got["value"] != "w" || got["invert"] != true || got["key"] != "k" || got["provisioning_status"] != "PENDING_UPDATE" {
		t.Errorf("%v", got)
	}
	r.do("POST", path, m{"rule": m{"type": "PATH", "compare_type": "EQUAL_TO", "value": "/x"}}).want(409, "L7Policy "+policy+" is immutable and cannot be updated.")
	r.settle(lb)
	r.do("PUT", path+"/"+id, m{"rule": m{"type": "SSL_CONN_HAS_CERT"}}).want(400, parsing+`Invalid L7 Rule: L7rule type SSL_CONN_HAS_CERT does not use the "key" field.`)
	r.do("GET", "/l7policies/"+noID+"/rules", nil).want(404, "L7Policy "+noID+" not found.")
	r.do("GET", path+"/"+noID, nil).want(404, "L7Rule "+noID+" not found.")
	r.do("DELETE", path+"/"+id, nil).want(204, "")
	r.settle(lb)
	for range 44 {
		r.child(lb, path, "rule", m{"type": "PATH", "compare_type": "EQUAL_TO", "value": "/x"})
	}
	r.do("POST", path, m{"rule": m{"type": "PATH", "compare_type": "EQUAL_TO", "value": "/x"}}).want(409, "Too many rules on L7 policy "+policy)
}
