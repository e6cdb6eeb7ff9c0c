package api

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestARequestMakesSoManyObjectsAtMost(t *testing.T) {
	r := newRig(t)
	lb := r.lb()
	pool := r.pool(lb)
	members := make([]m, maxObjects)
	for i := range members {
		members[i] = m{"address": fmt.Sprintf("10.%d.%d.%d", i>>16, i>>8&255, i&255), "protocol_port": 80}
	}
	const fault = "Request is too large: at most 20000 objects are made by one."
	r.do("POST", "/loadbalancers", m{"loadbalancer": m{"vip_subnet_id": subnetID, "pools": []m{
		{"name": "p", "protocol": "TCP", "lb_algorithm": "ROUND_ROBIN", "members": members}}}}).want(413, fault)
	r.do("PUT", "/pools/"+pool+"/members", m{"members": append(members, m{"address": "192.0.2.1", "protocol_port": 1})}).want(413, fault)
	r.do("PUT", "/pools/"+pool+"/members", m{"members": members[:2000]}).want(202, "")
}

// TestPoliciesOfOneRequestTakeTheirPlaces has each of them before all others, or past
// the end, or in the middle.
func TestPoliciesOfOneRequestTakeTheirPlaces(t *testing.T) {
	r := newRig(t)
	var policies []m
	for i, position := range []int{1, 1, 9, 2, 1, 3} {
		policies = append(policies, m{"name": fmt.Sprint("y", i), "action": "REJECT", "position": position})
	}
	a := r.do("POST", "/loadbalancers", m{"loadbalancer": m{"vip_subnet_id": subnetID, "listeners": []m{{"protocol": "HTTP", "protocol_port": 80, "l7policies": policies}}}})
	a.want(201, "")
	var got []string
	for i := range policies {
		p := fmt.Sprintf("loadbalancer.listeners.0.l7policies.%d.", i)
		got = append(got, fmt.Sprint(a.at(p+"name"), a.at(p+"position")))
	}
	if want := "y41 y12 y53 y34 y05 y26"; strings.Join(got, " ") != want {
		t.Errorf("%q, wanted %q", got, want)
	}
}

// TestWhatABodyCostsIsBounded sends as many objects as fit: what has no place in
// memory must be refused before it is made.
func TestWhatABodyCostsIsBounded(t *testing.T) {
	r := newRig(t)
	for _, c := range []struct{ name, before, each, after string }{
		{"listeners", `{"loadbalancer":{"listeners":[`, `{}`, `]}}`},
		{"numbers", `{"loadbalancer":{"tags":[`, `1`, `]}}`},
		{"lists", `{"loadbalancer":{"tags":`, `[`, `}}`},
	} {
		n := (maxBody - len(c.before) - len(c.after)) / (len(c.each) + 1)
		body := c.before + strings.Repeat(c.each+",", n-1) + c.each + c.after
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		a := r.do("POST", "/loadbalancers", body)
		runtime.ReadMemStats(&after)
		if a.status != 413 && a.status != 400 {
			t.Errorf("%s: %d %.300s", c.name, a.status, a.text)
		}
		if used := (after.TotalAlloc - before.TotalAlloc) >> 20; used > 100 {
			t.Errorf("%s: %d MB were used for a body of %d MB", c.name, used, len(body)>>20)
		}
	}
}

// slowReader is a client that does not take its answer until it is let.
type slowReader struct {
	*httptest.ResponseRecorder
	begun, let chan struct{}
}

func (w slowReader) WriteHeader(status int) {
	w.begun <- struct{}{}
	<-w.let
	w.ResponseRecorder.WriteHeader(status)
}

// TestClientsThatReadSlowlyHoldNobodyUp has more of them than large requests are
// worked on at a time.
func TestClientsThatReadSlowlyHoldNobodyUp(t *testing.T) {
	r := newRig(t)
	body := string(encode(m{"loadbalancer": m{"name": strings.Repeat("x", largeBody)}}))
	begun, let := make(chan struct{}), make(chan struct{})
	var wg sync.WaitGroup
	for range 2 * cap(r.s.large) {
		wg.Go(func() {
			req := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/v2.0/lbaas/loadbalancers", strings.NewReader(body))
			r.s.ServeHTTP(slowReader{httptest.NewRecorder(), begun, let}, req)
		})
	}
	for i := range 2 * cap(r.s.large) {
		select {
		case <-begun:
		case <-time.After(30 * time.Second):
			t.Errorf("%d are answered, and no other", i)
			close(let)
			go func() {
				for range begun { // lets the others through
				}
			}()
			wg.Wait()
			return
		}
	}
	close(let)
	wg.Wait()
}
