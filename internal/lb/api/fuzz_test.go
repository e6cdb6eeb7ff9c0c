package api

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/updraft-cloud/updraft/internal/lb/model"
	"github.com/updraft-cloud/updraft/internal/lb/store"
)

// FuzzBodies sends any body to any route: whatever comes, the answer is no 500
// and, if it is a fault, has the shape of one.
func FuzzBodies(f *testing.F) {
	r := newRig(f)
	lb := r.lb()
	listener, pool := r.listener(lb, 80), r.pool(lb)
	member := r.child(lb, "/pools/"+pool+"/members", "member", m{"address": "192.0.2.1", "protocol_port": 80})
	policy := r.child(lb, "/l7policies", "l7policy", m{"listener_id": listener, "action": "REJECT"})
	rule := r.child(lb, "/l7policies/"+policy+"/rules", "rule", m{"type": "PATH", "compare_type": "EQUAL_TO", "value": "/x"})
	monitor := r.child(lb, "/healthmonitors", "healthmonitor", m{"pool_id": pool, "type": "TCP", "delay": 5, "timeout": 5, "max_retries": 3})
	ids := map[string]string{"loadbalancers": lb, "listeners": listener, "pools": pool, "l7policies": policy, "healthmonitors": monitor, "quotas": r.project}

	keep := map[string]bool{listener: true, pool: true, member: true, policy: true, rule: true, monitor: true}
	var routes []*route
	for _, rt := range r.s.routes() {
		if rt.fields == nil {
			continue
		}
		routes = append(routes, rt)
		for _, inner := range []string{"null", "[]", "{}", `"x"`, "5", `{"name": null}`, string(encode(fullTree())),
			`{"loadbalancer_id": "` + lb + `", "protocol": "HTTP", "protocol_port": 81, "lb_algorithm": "SOURCE_IP"}`,
			`{"pool_id": "` + pool + `", "type": "HTTP", "delay": 1e400, "timeout": 1, "max_retries": "3"}`,
			`{"listener_id": "` + listener + `", "action": "REJECT", "position": 99999999999999999999}`,
			`{"address": "192.0.2.1%eth0", "protocol_port": 80.5, "tags": [null], "weight": true}`,
			`{"session_persistence": {"type": null}, "insert_headers": {"a": null}, "allowed_cidrs": [[]]}`,
			`[{"address": "192.0.2.1", "protocol_port": 80}, null]`} {
			f.Add(uint(len(routes)-1), `{"`+rt.wrapper+`":`+inner+`}`, "limit=1&sort=name")
		}
		f.Add(uint(len(routes)-1), "{\"\xff\x00", "limit=%zz&marker=x&fields=&tags=,")
	}
	f.Fuzz(func(t *testing.T, n uint, body, query string) {
		rt := routes[n%uint(len(routes))]
		id := ids[strings.Split(rt.path, "/")[1]]
		path := strings.NewReplacer("{id}", id, "{member}", member, "{rule}", rule).Replace(rt.path)
		for _, method := range []string{rt.method, http.MethodGet} {
			req := httptest.NewRequestWithContext(t.Context(), method, "/v2.0/lbaas"+path, strings.NewReader(body))
			req.URL.RawQuery = query
			req.Header.Set("X-Project-Id", r.project)
			w := httptest.NewRecorder()
			r.s.ServeHTTP(w, req)
			if w.Code >= 500 && w.Code != http.StatusNotImplemented {
				t.Fatalf("%s %s %q: %d %s", method, path, body, w.Code, w.Body)
			}
			if w.Code >= 400 && !strings.Contains(w.Body.String(), "faultstring") && !strings.Contains(w.Body.String(), "title") {
				t.Fatalf("%d without a fault: %s", w.Code, w.Body)
			}
		}
		reset(t, lb, keep)
	})
}

// reset makes a load balancer ACTIVE again, and removes what was added below it:
// an input shall not depend on thousands before it.
func reset(t *testing.T, lb string, keep map[string]bool) {
	tree := shared.View().Tree(lb)
	if tree.LB.ProvisioningStatus == model.Active {
		return
	}
	change(t, func(tx *store.Tx) error {
		for k := model.KindListener; k < model.KindAmphora; k++ {
			for _, o := range tree.Children(k) {
				if !keep[o.Place().ID] {
					if err := tx.Delete(k, o.Place().ID); err != nil {
						return err
					}
				}
			}
		}
		return nil
	})
	if err := settle(shared, lb); err != nil {
		t.Fatal(err)
	}
}

// FuzzPaths sends any path.
func FuzzPaths(f *testing.F) {
	r := newRig(f)
	for _, p := range []string{"/", "/v2", "/v2.0/lbaas/loadbalancers/%2e%2e", "/v2/lbaas/pools/%2F/members", "/v2/lbaas/.json", "/v2.0//", "/v2/lbaas/quotas/%00"} {
		f.Add("GET", p)
		f.Add("DELETE", p)
	}
	f.Fuzz(func(t *testing.T, method, path string) {
		u, err := url.ParseRequestURI(path)
		if err != nil || u.Host != "" {
			t.Skip()
		}
		w := httptest.NewRecorder()
		r.s.ServeHTTP(w, &http.Request{Method: method, URL: u, Header: http.Header{}, Body: http.NoBody, Host: "h"})
		if w.Code >= 500 {
			t.Fatalf("%s %s: %d %s", method, path, w.Code, w.Body)
		}
	})
}
