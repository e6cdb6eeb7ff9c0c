package api

import (
	"fmt"
	"strings"
	"testing"
)

// refusals are bodies of one kind that are refused, on top of one that is not.
type refusal struct {
	name   string
	change m // nil values take an attribute away
	status int
	fault  string
}

func (r *rig) refuses(path, wrapper string, good m, list []refusal) {
	r.t.Helper()
	for _, c := range list {
		body := m{}
		for k, v := range good {
			body[k] = v
		}
		for k, v := range c.change {
			body[k] = v
			if v == "absent" {
				delete(body, k)
			}
		}
		r.t.(*testing.T).Run(c.name, func(t *testing.T) {
			method := "POST"
			if strings.HasPrefix(c.name, "PUT ") {
				method, body = "PUT", c.change
			}
			a := r.do(method, path, m{wrapper: body})
			a.t = t
			a.want(c.status, c.fault)
		})
	}
}

func field400(name, value, reason string) string {
	return fmt.Sprintf("Invalid input for field/attribute %s. Value: '%s'. %s", name, value, reason)
}

func TestAListenersDefaults(t *testing.T) {
	r := newRig(t)
	lb := r.lb()
	got := r.must(201, "POST", "/listeners", m{"listener": m{"loadbalancer_id": lb, "protocol": "HTTP", "protocol_port": "80"}})
	for k, want := range (m{
		"protocol_port": 80.0, "connection_limit": -1.0, "timeout_client_data": 50000.0, "timeout_member_connect": 5000.0, "timeout_member_data": 50000.0,
		"timeout_tcp_inspect": 0.0, "client_authentication": "NONE", "allowed_cidrs": nil, "tls_ciphers": nil, "tls_versions": nil, "alpn_protocols": nil,
		"hsts_max_age": nil, "hsts_include_subdomains": false, "default_pool_id": nil, "default_tls_container_ref": nil, "provisioning_status": "PENDING_CREATE",
	}) {
		if v, ok := got[k]; !ok || v != want {
			t.Errorf("%s is %v, wanted %v", k, v, want)
		}
	}
	for k, want := range map[string]string{"insert_headers": "{}", "l7policies": "[]", "sni_container_refs": "[]", "loadbalancers": `[{"id":"` + lb + `"}]`} {
		if s := string(encode(got[k])); s != want {
			t.Errorf("%s is %s, wanted %s", k, s, want)
		}
	}
	if s := r.must(200, "GET", "/loadbalancers/"+lb, nil)["provisioning_status"]; s != "PENDING_UPDATE" {
		t.Errorf("the load balancer is %v", s)
	}
	r.settle(lb)
	tls := r.must(201, "POST", "/listeners", m{"listener": m{"loadbalancer_id": lb, "protocol": "TERMINATED_HTTPS", "protocol_port": 443, "default_tls_container_ref": "ref"}})
	if tls["tls_ciphers"] != DefaultCiphers || string(encode(tls["tls_versions"])) != `["TLSv1.2","TLSv1.3"]` || string(encode(tls["alpn_protocols"])) != `["h2","http/1.1","http/1.0"]` {
		t.Errorf("TLS defaults: %v %v %v", tls["tls_ciphers"], tls["tls_versions"], tls["alpn_protocols"])
	}
}

func TestWhatAListenerMayNotBe(t *testing.T) {
	r := newRig(t)
	lb := r.lb(m{"vip_address": "192.0.2.1"})
	r.listener(lb, 80)
	udp := r.pool(lb, m{"protocol": "UDP"})
	r.refuses("/listeners", "listener", m{"loadbalancer_id": lb, "protocol": "HTTP", "protocol_port": 81}, []refusal{
		{"no protocol", m{"protocol": "absent"}, 400, field400("protocol", "None", "Mandatory field missing.")},
		{"a null protocol", m{"protocol": nil}, 400, field400("protocol", "None", "Mandatory field missing.")},
		{"another protocol", m{"protocol": "FTP"}, 400, field400("protocol", "FTP", "Value should be one of: TCP, HTTP, HTTPS, TERMINATED_HTTPS, UDP, SCTP, PROMETHEUS")},
		{"port 0", m{"protocol_port": 0}, 400, field400("protocol_port", "0", "Value should be greater or equal to 1")},
		{"port 65536", m{"protocol_port": 65536}, 400, field400("protocol_port", "65536", "Value should be lower or equal to 65535")},
		{"a port that is no number", m{"protocol_port": "x"}, 400, field400("protocol_port", "x", "Value should be an integer")},
		{"a port of another listener", m{"protocol_port": 80, "protocol": "TCP"}, 409, "Another Listener on this Load Balancer is already using protocol HTTP and protocol_port 80"},
		{"no load balancer", m{"loadbalancer_id": noID}, 404, "Load Balancer " + noID + " not found."},
		{"no pool", m{"default_pool_id": noID}, 404, "Pool " + noID + " not found."},
		{"a pool of another protocol", m{"default_pool_id": udp}, 400, "Validation failure: The pool protocol 'UDP' is invalid while the listener protocol is 'HTTP'."},
		{"PROMETHEUS with a pool", m{"protocol": "PROMETHEUS", "default_pool_id": udp}, 400, "Protocol PROMETHEUS listeners cannot have child objects."},
		{"a timeout", m{"timeout_client_data": 2073600001}, 400, field400("timeout_client_data", "2073600001", "Value should be lower or equal to 2073600000")},
		{"a limit", m{"connection_limit": -2}, 400, field400("connection_limit", "-2", "Value should be greater or equal to -1")},
		{"a range", m{"allowed_cidrs": []string{"10.0.0.0/33"}}, 400, field400("allowed_cidrs", "10.0.0.0/33", "Value should be IPv4 or IPv6 CIDR format")},
		{"a range of the other family", m{"allowed_cidrs": []string{"2001:db8::/32"}}, 400, `Validation failure: CIDR 2001:db8::/32 IP version incompatible with all VIPs ["192.0.2.1"] IP version.`},
		{"an unknown header", m{"insert_headers": m{"X-Nope": "true"}}, 400, "X-Nope is not a valid option for insert_headers"},
		{"a header of TLS", m{"insert_headers": m{"X-SSL-Client-DN": "true"}}, 400, "X-SSL-Client-DN is not a valid option for HTTP protocol listener."},
		{"a header on TCP", m{"protocol": "TCP", "insert_headers": m{"X-Forwarded-For": "true"}}, 400, "insert-headers is not a valid option for a TCP protocol listener."},
		{"headers that are no object", m{"insert_headers": "x"}, 400, field400("insert_headers", "x", "Value should be an object")},
		{"a certificate", m{"default_tls_container_ref": "x"}, 400, "Validation failure: Certificate container references are not allowed on HTTP protocol listeners."},
		{"a certificate on UDP", m{"protocol": "UDP", "default_tls_container_ref": "x"}, 400, "Validation failure: UDP protocol listener does not support TLS."},
		{"no certificate", m{"protocol": "TERMINATED_HTTPS"}, 400, "Validation failure: An SNI or default certificate container reference must be provided for TERMINATED_HTTPS protocol listeners."},
		{"a revocation list without authority", m{"protocol": "TERMINATED_HTTPS", "default_tls_container_ref": "x", "client_crl_container_ref": "y"}, 400,
			"Validation failure: A client authentication CA reference is required to specify a client authentication revocation list."},
		{"clients without authority", m{"protocol": "TERMINATED_HTTPS", "default_tls_container_ref": "x", "client_authentication": "MANDATORY"}, 400,
			"Validation failure: Client authentication setting MANDATORY requires a client CA container reference."},
		{"no TLS versions", m{"protocol": "TERMINATED_HTTPS", "default_tls_container_ref": "x", "tls_versions": []string{}}, 400,
			"Validation failure: Empty TLS version list. Either specify at least one TLS version or remove this parameter to use the default."},
		{"unknown TLS versions", m{"protocol": "TERMINATED_HTTPS", "default_tls_container_ref": "x", "tls_versions": []string{"a", "TLSv1", "b"}}, 400, "Validation failure: Invalid TLS versions: a, b"},
		{"no ALPN", m{"protocol": "TERMINATED_HTTPS", "default_tls_container_ref": "x", "alpn_protocols": []string{}}, 400,
			"Validation failure: Empty ALPN protocol list. Either specify at least one ALPN protocol or remove this parameter to use the default."},
		{"unknown ALPN", m{"alpn_protocols": []string{"spdy"}}, 400, field400("alpn_protocols", "spdy", "Value should be a valid ALPN protocol ID")},
		{"ciphers", m{"protocol": "TERMINATED_HTTPS", "default_tls_container_ref": "x", "tls_ciphers": "A B"}, 400,
			"Validation failure: Invalid characters in cipher string. Only alphanumeric, -, +, !, :, @, =, _, and . are allowed."},
		{"HSTS without TLS", m{"hsts_max_age": 5}, 400, "Validation failure: The HSTS feature can only be used for listeners using the TERMINATED_HTTPS protocol."},
		{"HSTS without age", m{"protocol": "TERMINATED_HTTPS", "default_tls_container_ref": "x", "hsts_preload": true}, 400,
			"Validation failure: HSTS configuration options hsts_include_subdomains and hsts_preload only make sense if hsts_max_age is set as well."},
		{"nested policies", m{"l7policies": []m{}}, 400, "Unknown attribute for argument listener_.listener: l7policies"},
	})
	if s := r.must(200, "GET", "/loadbalancers/"+lb, nil)["provisioning_status"]; s != "ACTIVE" {
		t.Errorf("after refusals the load balancer is %v", s)
	}
	for _, p := range []string{"UDP", "SCTP"} { // other transports have ports of their own
		r.listener(lb, 80, m{"protocol": p})
	}
}

func TestUpdateOfAListener(t *testing.T) {
	r := newRig(t)
	lb := r.lb(m{"vip_address": "192.0.2.1"})
	id := r.listener(lb, 80, m{"connection_limit": 5, "insert_headers": m{"X-Forwarded-For": true}, "allowed_cidrs": []string{"10.1.2.3/8", "192.0.2.1"}})
	path := "/listeners/" + id
	got := r.must(200, "GET", path, nil)
	if s := string(encode(got["allowed_cidrs"])); s != `["10.0.0.0/8","192.0.2.1/32"]` || dig(got, "insert_headers.X-Forwarded-For") != "True" {
		t.Errorf("%s %v", s, got["insert_headers"])
	}
	got = r.must(200, "PUT", path, m{"listener": m{"connection_limit": nil, "timeout_client_data": nil, "insert_headers": nil, "allowed_cidrs": nil, "name": "n", "client_authentication": nil}})
	for k, want := range (m{"connection_limit": -1.0, "timeout_client_data": 50000.0, "allowed_cidrs": nil, "name": "n", "provisioning_status": "PENDING_UPDATE", "client_authentication": "NONE"}) {
		if got[k] != want {
			t.Errorf("%s is %v", k, got[k])
		}
	}
	r.do("PUT", path, m{"listener": m{"name": "x"}}).want(409, "Load Balancer "+lb+" is immutable and cannot be updated.")
	r.do("POST", "/listeners", m{"listener": m{"loadbalancer_id": lb, "protocol": "TCP", "protocol_port": 99}}).want(409, "Load Balancer "+lb+" is immutable and cannot be updated.")
	r.settle(lb)
	r.refuses(path, "listener", nil, []refusal{
		{"PUT protocol", m{"protocol": "TCP"}, 400, "Unknown attribute for argument listener_.listener: protocol"},
		{"PUT pool", m{"default_pool_id": noID}, 404, "Pool " + noID + " not found."},
		{"PUT HSTS", m{"hsts_preload": true}, 400, "Validation failure: Cannot enable hsts_include_subdomains or hsts_preload if hsts_max_age was not set as well."},
	})
	pool := r.pool(lb)
	r.must(200, "PUT", path, m{"listener": m{"default_pool_id": pool}})
	r.settle(lb)
	if got := r.must(200, "GET", "/pools/"+pool, nil); string(encode(got["listeners"])) != `[{"id":"`+id+`"}]` {
		t.Errorf("the pool's listeners: %v", got["listeners"])
	}
	r.must(200, "PUT", path, m{"listener": m{"default_pool_id": nil}})
	r.settle(lb)
	r.do("DELETE", path, nil).want(204, "")
	if got := r.must(200, "GET", path, nil); got["provisioning_status"] != "PENDING_DELETE" {
		t.Errorf("%v", got["provisioning_status"])
	}
	r.settle(lb)
	r.do("GET", path, nil).want(404, "Listener "+id+" not found.")
}

func TestWhatAPoolMayNotBe(t *testing.T) {
	r := newRig(t)
	lb := r.lb()
	listener := r.listener(lb, 80)
	prometheus := r.listener(lb, 9090, m{"protocol": "PROMETHEUS"})
	r.refuses("/pools", "pool", m{"loadbalancer_id": lb, "protocol": "HTTP", "lb_algorithm": "ROUND_ROBIN"}, []refusal{
		{"neither parent", m{"loadbalancer_id": "absent"}, 400, "Validation failure: Must provide at least one of: loadbalancer_id, listener_id"},
		{"no listener", m{"loadbalancer_id": "absent", "listener_id": noID}, 404, "Listener " + noID + " not found."},
		{"no algorithm", m{"lb_algorithm": "absent"}, 400, field400("lb_algorithm", "None", "Mandatory field missing.")},
		{"an algorithm of other providers", m{"lb_algorithm": "SOURCE_IP_PORT"}, 501, "Provider 'amphora' does not support a requested option: Amphora provider does not support SOURCE_IP_PORT algorithm."},
		{"a listener of another protocol", m{"listener_id": listener, "protocol": "TCP"}, 400, "Validation failure: The pool protocol 'TCP' is invalid while the listener protocol is 'HTTP'."},
		{"a PROMETHEUS listener", m{"listener_id": prometheus}, 400, "Protocol PROMETHEUS listeners cannot have child objects."},
		{"persistence without type", m{"session_persistence": m{}}, 400, field400("type", "None", "Mandatory field missing.")},
		{"a cookie of HTTP_COOKIE", m{"session_persistence": m{"type": "HTTP_COOKIE", "cookie_name": "a"}}, 400,
			`Validation failure: Field "cookie_name" can only be specified with session persistence of type "APP_COOKIE".`},
		{"APP_COOKIE without cookie", m{"session_persistence": m{"type": "APP_COOKIE"}}, 400,
			`Validation failure: Field "cookie_name" must be specified when using the "APP_COOKIE" session persistence type.`},
		{"a cookie with a space", m{"session_persistence": m{"type": "APP_COOKIE", "cookie_name": "a b"}}, 400, field400("cookie_name", "a b", `Value should match the pattern ^[^\s,;\\]+$`)},
		{"a cookie with a quote", m{"session_persistence": m{"type": "APP_COOKIE", "cookie_name": `a"b`}}, 400, `Validation failure: Supplied "cookie_name" is invalid.`},
		{"a timeout of persistence on HTTP", m{"session_persistence": m{"type": "SOURCE_IP", "persistence_timeout": 5}}, 400,
			"Validation failure: persistence_timeout and persistence_granularity is only for UDP and SCTP protocol pools."},
		{"cookies on UDP", m{"protocol": "UDP", "session_persistence": m{"type": "HTTP_COOKIE"}}, 400,
			"Validation failure: Session persistence of type HTTP_COOKIE is not supported for UDP/SCTP protocol pools."},
		{"cookie names on UDP", m{"protocol": "UDP", "session_persistence": m{"type": "APP_COOKIE", "cookie_name": "a"}}, 400, "Validation failure: Cookie names are not supported for UDP/SCTP pools."},
		{"a revocation list alone", m{"crl_container_ref": "x"}, 400, "Validation failure: A CA certificate reference is required to specify a revocation list."},
	})
	id := r.pool(lb, m{"listener_id": listener, "loadbalancer_id": nil, "session_persistence": m{"type": "APP_COOKIE", "cookie_name": "sid"}, "tls_enabled": true, "ca_tls_container_ref": "ca", "crl_container_ref": "crl"})
	r.do("POST", "/pools", m{"pool": m{"listener_id": listener, "protocol": "HTTP", "lb_algorithm": "ROUND_ROBIN"}}).want(409, "This listener already has a default pool")
	got := r.must(200, "GET", "/pools/"+id, nil)
	if got["tls_ciphers"] != DefaultCiphers || dig(got, "session_persistence.cookie_name") != "sid" || got["healthmonitor_id"] != nil || dig(got, "listeners.0.id") != listener {
		t.Errorf("%v", got)
	}
	r.refuses("/pools/"+id, "pool", nil, []refusal{
		{"PUT away the authority", m{"ca_tls_container_ref": nil}, 400, "Validation failure: A CA reference cannot be removed when a certificate revocation list is present."},
		{"PUT another protocol", m{"protocol": "TCP"}, 400, "Unknown attribute for argument pool_.pool: protocol"},
	})
	got = r.must(200, "PUT", "/pools/"+id, m{"pool": m{"session_persistence": m{"cookie_name": "other"}}})
	if dig(got, "session_persistence.type") != "APP_COOKIE" || dig(got, "session_persistence.cookie_name") != "other" {
		t.Errorf("an update without type: %v", got["session_persistence"])
	}
	r.settle(lb)
	if got = r.must(200, "PUT", "/pools/"+id, m{"pool": m{"session_persistence": nil}}); got["session_persistence"] != nil {
		t.Errorf("%v", got["session_persistence"])
	}
	r.settle(lb)
	policy := r.child(lb, "/l7policies", "l7policy", m{"listener_id": listener, "action": "REDIRECT_TO_POOL", "redirect_pool_id": id})
	r.do("DELETE", "/pools/"+id, nil).want(409, "Pool "+id+" is in use by L7 policy "+policy)
	r.do("DELETE", "/l7policies/"+policy, nil).want(204, "")
	r.settle(lb)
	r.do("DELETE", "/pools/"+id, nil).want(204, "")
	r.settle(lb)
	if got := r.must(200, "GET", "/listeners/"+listener, nil); got["default_pool_id"] != nil {
		t.Errorf("the listener still has %v", got["default_pool_id"])
	}
}

func TestMembers(t *testing.T) {
	r := newRig(t)
	lb := r.lb()
	pool, other := r.pool(lb), r.pool(lb)
	path := "/pools/" + pool + "/members"
	r.refuses(path, "member", m{"address": "192.0.2.1", "protocol_port": 80}, []refusal{
		{"no address", m{"address": "absent"}, 400, field400("address", "None", "Mandatory field missing.")},
		{"a name as address", m{"address": "host"}, 400, field400("address", "host", "Value should be IPv4 or IPv6 format")},
		{"the metadata service", m{"address": "169.254.169.254"}, 400, "169.254.169.254 is not a valid option for member address"},
		{"the metadata service in disguise", m{"address": "::ffff:169.254.169.254"}, 400, "::ffff:169.254.169.254 is not a valid option for member address"},
		{"weight 257", m{"weight": 257}, 400, field400("weight", "257", "Value should be lower or equal to 256")},
		{"SR-IOV", m{"request_sriov": true}, 400, "The load balancer flavor does not allow SR-IOV member ports."},
		{"a description", m{"description": "x"}, 400, "Unknown attribute for argument member_.member: description"},
	})
	a := r.do("POST", "/pools/"+noID+"/members", m{"member": m{}})
	a.want(404, "Pool "+noID+" not found.")
	if a.doc["title"] != "Bad Request" || a.doc["code"] != 404.0 {
		t.Errorf("shape: %s", a.text)
	}
	got := r.must(201, "POST", path, m{"member": m{"address": "192.0.2.1", "protocol_port": 80, "weight": nil}})
	id := got["id"].(string)
	for k, want := range (m{"weight": 1.0, "backup": false, "monitor_port": nil, "monitor_address": nil, "operating_status": "NO_MONITOR", "vnic_type": "normal", "subnet_id": nil}) {
		if got[k] != want {
			t.Errorf("%s is %v", k, got[k])
		}
	}
	r.do("POST", path, m{"member": m{"address": "192.0.2.2", "protocol_port": 80}}).want(409, "Pool "+pool+" is immutable and cannot be updated.")
	r.do("PUT", "/pools/"+other, m{"pool": m{}}).want(409, "Load Balancer "+lb+" is immutable and cannot be updated.")
	r.settle(lb)
	r.do("POST", path, m{"member": m{"address": "192.0.2.1", "protocol_port": 80}}).want(409, "Another member on this pool is already using ip 192.0.2.1 on protocol_port 80")
	for _, method := range []string{"GET", "PUT", "DELETE"} {
		r.do(method, "/pools/"+other+"/members/"+id, m{"member": m{}}).want(404, "Member "+id+" not found.")
	}
	got = r.must(200, "PUT", path+"/"+id, m{"member": m{"weight": 0, "monitor_port": 8080, "backup": true}})
	if got["weight"] != 0.0 || got["monitor_port"] != 8080.0 || got["backup"] != true || got["provisioning_status"] != "PENDING_UPDATE" {
		t.Errorf("%v", got)
	}
	r.settle(lb)
	r.do("DELETE", path+"/"+id, nil).want(204, "")
	r.settle(lb)
	r.do("GET", path+"/"+id, nil).want(404, "Member "+id+" not found.")
	r.do("GET", path+"?project_id="+r.project, nil).want(200, "")
}

func TestSubnetsOfMembersMustExist(t *testing.T) {
	r := newRig(t, newWorld)
	lb := r.lb(m{"vip_subnet_id": v4ID})
	path := "/pools/" + r.pool(lb) + "/members"
	r.do("POST", path, m{"member": m{"address": "192.0.2.1", "protocol_port": 80, "subnet_id": noID}}).want(400, "Subnet "+noID+" not found.")
	r.do("PUT", path, m{"members": []m{{"address": "192.0.2.1", "protocol_port": 80, "subnet_id": noID}}}).want(400, "Subnet "+noID+" not found.")
	udp := r.pool(lb, m{"protocol": "UDP"})
	r.listener(lb, 53, m{"protocol": "UDP", "default_pool_id": udp})
	r.do("POST", "/pools/"+udp+"/members", m{"member": m{"address": "2001:db8::1", "protocol_port": 53}}).
		want(501, "Provider 'amphora' does not support a requested option: This provider doesn't support mixing IPv4 and IPv6 addresses for its VIP and members in UDP load balancers.")
}

func TestBatchUpdateOfMembers(t *testing.T) {
	r := newRig(t)
	lb := r.lb()
	path := "/pools/" + r.pool(lb) + "/members"
	put := func(query string, members ...m) *answer {
		a := r.do("PUT", path+query, m{"members": members})
		if a.status == 202 && a.text != "" {
			t.Errorf("a body: %q", a.text)
		}
		r.settle(lb)
		return a
	}
	state := func() string {
		var out []string
		for _, o := range r.do("GET", path+"?sort=address", nil).at("members").([]any) {
			out = append(out, fmt.Sprintf("%v/%v/%v", dig(o, "address"), dig(o, "weight"), dig(o, "name")))
		}
		return strings.Join(out, " ")
	}
	a, b, c := m{"address": "192.0.2.1", "protocol_port": 80}, m{"address": "192.0.2.2", "protocol_port": 80, "weight": 5, "name": "b"}, m{"address": "192.0.2.3", "protocol_port": 80}
	r.do("PUT", path, m{"members": []m{}}).want(202, "")
	if s := r.must(200, "GET", "/loadbalancers/"+lb, nil)["provisioning_status"]; s != "ACTIVE" {
		t.Errorf("nothing to do, and yet %v", s)
	}
	for _, step := range []struct {
		name, query string
		members     []m
		want        string
	}{
		{"two come", "", []m{a, b}, "192.0.2.1/1/ 192.0.2.2/5/b"},
		{"one changes, one goes, one comes", "", []m{{"address": "192.0.2.2", "protocol_port": 80}, c}, "192.0.2.2/1/b 192.0.2.3/1/"},
		{"none goes if additive", "?additive_only=True", []m{a}, "192.0.2.1/1/ 192.0.2.2/1/b 192.0.2.3/1/"},
		{"all go", "", []m{}, ""},
	} {
		put(step.query, step.members...).want(202, "")
		if got := state(); got != step.want {
			t.Errorf("%s: %q, wanted %q", step.name, got, step.want)
		}
	}
	put("", a, a).want(409, "Another member on this pool is already using ip 192.0.2.1 on protocol_port 80")
	put("", a).want(202, "")
	put("", a, a).want(400, "Validation failure: Member must be updated only once in the same request.")
	put("", m{"address": "192.0.2.1"}).want(400, field400("protocol_port", "None", "Mandatory field missing."))
	put("", m{"address": "192.0.2.9", "protocol_port": 80, "x": 1}).want(400, "Unknown attribute for argument members_.members: x")
	put("", m{"address": "169.254.169.254", "protocol_port": 80}).want(400, "169.254.169.254 is not a valid option for member address")
	r.do("PUT", path, `{"members": null}`).want(400, "")
	r.do("PUT", path, `{"members": {}}`).want(400, "")
	r.must(202, "PUT", "/quotas/"+r.project, m{"quota": m{"member": 1}})
	put("", a, b).want(403, "Quota has been met for resources: Member")
	if got := state(); got != "192.0.2.1/1/" {
		t.Errorf("after refusals: %q", got)
	}
	put("", b).want(202, "") // one goes, one comes
	if got, used := state(), shared.View().Quota(r.project).Used.Member; got != "192.0.2.2/5/b" || used != 1 {
		t.Errorf("at the limit: %q, %d are counted", got, used)
	}
}

func TestHealthMonitors(t *testing.T) {
	r := newRig(t)
	lb := r.lb()
	pool, udp := r.pool(lb), r.pool(lb, m{"protocol": "UDP"})
	good := m{"pool_id": pool, "type": "HTTP", "delay": 5, "timeout": 9, "max_retries": 3}
	r.refuses("/healthmonitors", "healthmonitor", good, []refusal{
		{"no pool", m{"pool_id": noID}, 404, "Pool " + noID + " not found."},
		{"no delay", m{"delay": "absent"}, 400, field400("delay", "None", "Mandatory field missing.")},
		{"11 retries", m{"max_retries": 11}, 400, field400("max_retries", "11", "Value should be lower or equal to 10")},
		{"a relative path", m{"url_path": "x"}, 400, field400("url_path", "x", "Value must be a valid URL Path string")},
		{"a path with a space", m{"url_path": "/a b"}, 400, field400("url_path", "/a b", "Value must be a valid URL Path string")},
		{"codes", m{"expected_codes": "2xx"}, 400, field400("expected_codes", "2xx", "Value should match the pattern "+expectedCodes.String())},
		{"a method", m{"http_method": "BREW"}, 400, field400("http_method", "BREW", "Value should be one of: GET, HEAD, POST, PUT, DELETE, TRACE, OPTIONS, CONNECT, PATCH")},
		{"a path on TCP", m{"type": "TCP", "url_path": "/"}, 400, "url_path is not a valid option for health monitors of type TCP"},
		{"UDP-CONNECT on HTTP", m{"type": "UDP-CONNECT"}, 400, "Validation failure: The UDP-CONNECT type is only supported for pools of type UDP/SCTP."},
		{"PING on UDP", m{"type": "PING", "pool_id": udp}, 400, "Validation failure: The associated pool protocol is UDP, so only a UDP-CONNECT/SCTP/TCP/HTTP health monitor is supported."},
		{"UDP-CONNECT too often", m{"type": "UDP-CONNECT", "pool_id": udp, "delay": 2}, 400, "Validation failure: The request delay value 2 should be larger than 3 for UDP-CONNECT health monitor type."},
		{"a domain without version", m{"domain_name": "a.example"}, 400, "Validation failure: 'http_version' must be specified when 'domain_name' is provided."},
		{"a domain with version 1.0", m{"domain_name": "a.example", "http_version": 1.0}, 400, "http_version 1.0 is not a valid option for health monitors HTTP 1.1 domain name health check"},
		{"version 2", m{"http_version": 2.0}, 400, field400("http_version", "2", "Value should be one of: 1.0, 1.1")},
		{"a domain that is none", m{"domain_name": "-a", "http_version": 1.1}, 400, field400("domain_name", "-a", "Value should match the pattern of a host name")},
	})
	got := r.must(201, "POST", "/healthmonitors", m{"healthmonitor": m{"pool_id": pool, "type": "HTTP", "delay": 5, "timeout": 9, "max_retries": 3, "http_version": 1.1, "domain_name": "a.example"}})
	id := got["id"].(string)
	for k, want := range (m{"http_method": "GET", "url_path": "/", "expected_codes": "200", "max_retries_down": 3.0, "http_version": 1.1, "pools.0.id": pool, "admin_state_up": true}) {
		if v := dig(got, k); v != want {
			t.Errorf("%s is %v", k, v)
		}
	}
	r.settle(lb)
	if v := r.must(200, "GET", "/pools/"+pool, nil)["healthmonitor_id"]; v != id {
		t.Errorf("the pool's monitor is %v", v)
	}
	r.do("POST", "/healthmonitors", m{"healthmonitor": good}).want(409, "This pool already has a health monitor")
	r.refuses("/healthmonitors/"+id, "healthmonitor", nil, []refusal{
		{"PUT null delay", m{"delay": nil}, 400, "None is not a valid option for delay"},
		{"PUT type", m{"type": "TCP"}, 400, "Unknown attribute for argument health_monitor_.healthmonitor: type"},
	})
	if got = r.must(200, "PUT", "/healthmonitors/"+id, m{"healthmonitor": m{"url_path": nil, "expected_codes": "200-299", "max_retries_down": nil}}); got["url_path"] != "/" || got["expected_codes"] != "200-299" {
		t.Errorf("%v", got)
	}
	r.settle(lb)
	r.do("DELETE", "/healthmonitors/"+id, nil).want(204, "")
	r.settle(lb)
	r.do("GET", "/healthmonitors/"+id, nil).want(404, "Health Monitor "+id+" not found.")
}

func TestAnUpdateOfPersistenceKeepsWhatItDoesNotSend(t *testing.T) {
	r := newRig(t)
	lb := r.lb()
	udp := r.pool(lb, m{"protocol": "UDP", "session_persistence": m{"type": "SOURCE_IP", "persistence_timeout": 60, "persistence_granularity": "255.255.0.0"}})
	app := r.pool(lb, m{"session_persistence": m{"type": "APP_COOKIE", "cookie_name": "c"}})
	for _, c := range []struct {
		pool       string
		sent, want m
	}{
		{udp, m{"persistence_timeout": 90}, m{"type": "SOURCE_IP", "persistence_timeout": 90.0, "persistence_granularity": "255.255.0.0", "cookie_name": nil}},
		{udp, m{"type": "SOURCE_IP", "persistence_timeout": nil}, m{"persistence_timeout": nil, "persistence_granularity": "255.255.0.0"}},
		{app, m{"type": "APP_COOKIE"}, m{"type": "APP_COOKIE", "cookie_name": "c"}},
		{app, m{"type": "HTTP_COOKIE"}, m{"type": "HTTP_COOKIE", "cookie_name": nil}}, // whose name is HAProxy's own
	} {
		sp := r.must(200, "PUT", "/pools/"+c.pool, m{"pool": m{"session_persistence": c.sent}})["session_persistence"].(map[string]any)
		r.settle(lb)
		for k, want := range c.want {
			if sp[k] != want {
				t.Errorf("after %v %s is %v, not %v", c.sent, k, sp[k], want)
			}
		}
	}
}
