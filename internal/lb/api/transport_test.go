package api

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

func TestPathsAreServedUnderAllPrefixes(t *testing.T) {
	r := newRig(t)
	id := r.lb()
	for _, path := range []string{
		"/v2/lbaas/loadbalancers/" + id, "/v2.0/lbaas/loadbalancers/" + id, "/v2/loadbalancers/" + id, "/v2.0/loadbalancers/" + id,
		"/v2/lbaas/loadbalancers/" + id + "/", "/v2/lbaas/loadbalancers/" + id + ".json", "/v2/lbaas/loadbalancers", "/v2.0/lbaas/loadbalancers/",
		"/v2/lbaas/loadbalancers.json", "/v2.0/quotas/" + r.project, "/v2/octavia/amphorae", "/v2.0/octavia/amphorae",
		"/v2", "/v2/", "/v2/lbaas", "/v2/lbaas/", "/v2.0/octavia/", "/load-balancer/v2.0/lbaas/pools",
	} {
		if a := r.do("GET", "/"+path, nil); a.status != 200 {
			t.Errorf("%s: %d %s", path, a.status, a.text)
		}
	}
	for _, path := range []string{"/v2/lbaas/amphorae", "/v2/octavia/loadbalancers", "/v3/lbaas/pools", "/v2/lbaas/nope", "/v2x", "/nope",
		"/v2/lbaas/loadbalancers//", "/v2/lbaas/loadbalancers/" + id + "/nope", "/healthcheck"} {
		a := r.do("GET", "/"+path, nil)
		a.want(404, "")
		if a.doc["title"] != "Not Found" || a.doc["code"] != 404.0 {
			t.Errorf("%s: %s", path, a.text)
		}
	}
}

func TestMethodsThatAPathDoesNotHave(t *testing.T) {
	r := newRig(t)
	id := r.lb()
	for _, c := range []struct {
		method, path string
		status       int
		fault        string
	}{
		{"HEAD", "/loadbalancers/" + id, 405, ""},
		{"PATCH", "/loadbalancers/" + id, 405, ""},
		{"POST", "/loadbalancers/" + id, 405, ""},
		{"PUT", "/loadbalancers", 400, `Missing argument: "id"`},
		{"DELETE", "/loadbalancers", 400, `Missing argument: "id"`},
		{"POST", "/amphorae", 405, ""},
		{"OPTIONS", "/loadbalancers", 200, ""},
		{"POST", "//", 405, ""},
	} {
		t.Run(c.method+" "+c.path, func(t *testing.T) { r.do(c.method, c.path, nil).want(c.status, c.fault) })
	}
}

func TestAcceptHeaders(t *testing.T) {
	r := newRig(t)
	for accept, status := range map[string]int{"": 200, "*/*": 200, "application/json": 200, "text/html, application/json;q=0.9": 200,
		"application/*": 200, "text/html": 406, "application/xml": 406} {
		r.header["Accept"] = accept
		r.do("GET", "/loadbalancers", nil).want(status, "")
	}
}

func TestVersionsNeedNoToken(t *testing.T) {
	r := newRig(t, func(o *Options) { o.Auth = byHeader{} })
	a := r.do("GET", "//", nil)
	list := a.at("versions").([]any)
	if a.status != 200 || len(list) != 31 {
		t.Fatalf("%d versions, %d: %s", len(list), a.status, a.text)
	}
	last := list[30].(map[string]any)
	if last["id"] != "v2.30" || last["status"] != "CURRENT" || dig(last, "links.0.href") != "http://example.com/v2" {
		t.Errorf("the last version is %v", last)
	}
	if dig(list[29], "status") != "SUPPORTED" {
		t.Errorf("the one before is %v", list[29])
	}
	a = r.do("GET", "/loadbalancers", nil)
	a.want(401, "")
	if dig(a.doc, "error.title") != "Unauthorized" || a.header.Get("WWW-Authenticate") != `Keystone uri="http://keystone"` {
		t.Errorf("without a token: %s %v", a.text, a.header)
	}
}

func TestEveryAnswerHasARequestID(t *testing.T) {
	r := newRig(t)
	for _, path := range []string{"//", "/loadbalancers", "//nope"} {
		if id := r.do("GET", path, nil).header.Get("X-Openstack-Request-Id"); !strings.HasPrefix(id, "req-") || len(id) != 40 {
			t.Errorf("%s: %q", path, id)
		}
	}
}

func TestHealthcheckIsServedWhenEnabled(t *testing.T) {
	r := newRig(t, func(o *Options) { o.Settings.HealthCheck, o.Auth = true, byHeader{} })
	if a := r.do("GET", "//healthcheck", nil); a.status != 200 || a.text != "OK" {
		t.Errorf("%d %s", a.status, a.text)
	}
	r.header["Accept"] = "application/json"
	if a := r.do("GET", "//healthcheck", nil); a.status != 200 || dig(a.doc, "reasons.0") != "OK" {
		t.Errorf("%d %s", a.status, a.text)
	}
}

func TestMetricsCountRequestsByRoute(t *testing.T) {
	reg := prometheus.NewRegistry()
	r := newRig(t, func(o *Options) { o.Metrics = reg })
	r.do("GET", "/loadbalancers/"+noID, nil)
	r.do("BREW", "/loadbalancers/"+noID, nil)
	families, err := reg.Gather()
	if err != nil || len(families) != 1 {
		t.Fatal(families, err)
	}
	text := families[0].String()
	for _, want := range []string{`"/loadbalancers/{id}"`, `"404"`, `"other"`} {
		if !strings.Contains(text, want) {
			t.Errorf("%s is not among the metrics: %s", want, text)
		}
	}
}

func TestBodiesThatAreNoBodies(t *testing.T) {
	r := newRig(t)
	for _, c := range []struct{ name, body, fault string }{
		{"empty", "", `Missing argument: "load_balancer"`},
		{"blank", "  \n", `Missing argument: "load_balancer"`},
		{"no JSON", "{", "Request is not in valid JSON format"},
		{"two documents", "{}{}", "Request is not in valid JSON format"},
		{"an array", "[]", "Invalid input for field/attribute load_balancer. Value: '[]'. Value should be an object"},
		{"a null wrapper", `{"loadbalancer": null}`, "Invalid input for field/attribute loadbalancer. Value: 'None'. Mandatory field missing."},
		{"no wrapper", `{}`, "Invalid input for field/attribute loadbalancer. Value: 'None'. Mandatory field missing."},
		{"attributes without a wrapper", `{"name": "x"}`, "Unknown attribute for argument load_balancer: name"},
		{"a wrapped array", `{"loadbalancer": []}`, "Invalid input for field/attribute loadbalancer. Value: '[]'. Value should be an object"},
		{"an unknown attribute", `{"loadbalancer": {"nope": 1}}`, "Unknown attribute for argument load_balancer.loadbalancer: nope"},
		{"two unknown attributes", `{"loadbalancer": {"b": 1, "a": 1}}`, "Unknown attributes for argument load_balancer.loadbalancer: a, b"},
		{"a nested unknown attribute", `{"loadbalancer": {"vip_subnet_id": "` + subnetID + `", "pools": [{"members": [{"x": 1}]}]}}`,
			"Unknown attribute for argument load_balancer.loadbalancer.pools.members: x"},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := r.do("POST", "/loadbalancers", c.body)
			a.t = t
			a.want(400, c.fault)
			if a.doc["faultcode"] != "Client" || a.doc["debuginfo"] != nil {
				t.Errorf("shape %s", a.text)
			}
		})
	}
	r.header["Content-Type"] = "application/x-www-form-urlencoded"
	r.do("POST", "/loadbalancers", "a=b").want(400, `Unknown argument: "a"`)
}

func TestAHugeBodyIsRefused(t *testing.T) {
	r := newRig(t)
	r.do("POST", "/loadbalancers", strings.Repeat(" ", maxBody+1)).want(413, "")
}

// TestNoHandlerAnswersUnasked has a handler that forgets the policy.
func TestNoHandlerAnswersUnasked(t *testing.T) {
	r := newRig(t)
	for _, handle := range []func(*call) error{
		func(c *call) error { c.raw(200, []byte("{}")); return nil },
		func(c *call) error { c.empty(204); return nil },
	} {
		r.s.router = newRouter([]*route{get("/forgot", "x:y", "", handle)})
		r.do("GET", "/forgot", nil).want(403, "Policy does not allow this request to be performed.")
	}
}

func TestAPanicIsAnAnswer(t *testing.T) {
	r := newRig(t)
	r.s.router = newRouter([]*route{get("/breaks", "x:y", "", func(*call) error { panic("oh") })})
	r.do("GET", "/breaks", nil).want(500, "")
}

func BenchmarkGet(b *testing.B) {
	r := newRig(b)
	id := r.lb()
	benchmarkGet(b, r, "/v2.0/lbaas/loadbalancers/"+id)
}

func BenchmarkGetPoolOf200Members(b *testing.B) {
	r := newRig(b)
	lb := r.lb()
	pool := r.pool(lb)
	var members []m
	for i := range 200 {
		members = append(members, m{"address": fmt.Sprintf("10.0.0.%d", i), "protocol_port": 80})
	}
	r.do("PUT", "/pools/"+pool+"/members", m{"members": members}).want(202, "")
	r.settle(lb)
	r.listener(lb, 80, m{"default_pool_id": pool})
	b.Run("the pool", func(b *testing.B) { benchmarkGet(b, r, "/v2.0/lbaas/pools/"+pool) })
	b.Run("their list", func(b *testing.B) { benchmarkGet(b, r, "/v2.0/lbaas/pools/"+pool+"/members") })
	b.Run("their statuses", func(b *testing.B) { benchmarkGet(b, r, "/v2.0/lbaas/loadbalancers/"+lb+"/status") })
}

func BenchmarkListOf1000(b *testing.B) {
	r := newRig(b)
	for range 1000 {
		r.must(201, "POST", "/loadbalancers", m{"loadbalancer": m{"vip_subnet_id": subnetID}})
	}
	benchmarkGet(b, r, "/v2.0/lbaas/loadbalancers?project_id="+r.project)
}

func benchmarkGet(b *testing.B, r *rig, path string) {
	req := httptest.NewRequest(http.MethodGet, path, nil)
	b.ReportAllocs()
	for b.Loop() {
		w := httptest.NewRecorder()
		if r.s.ServeHTTP(w, req); w.Code != 200 {
			b.Fatal(w.Body)
		}
	}
}
