package api

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/updraft-cloud/updraft/internal/lb/model"
	"github.com/updraft-cloud/updraft/internal/lb/store"
)

// others writes to the store all the time, and tells how long the slowest took.
func others(t *testing.T) (slowest func() time.Duration) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	worst := make(chan time.Duration)
	go func() {
		var longest time.Duration
		for ctx.Err() == nil {
			begin := time.Now()
			if err := shared.Update(context.WithoutCancel(ctx), func(tx *store.Tx) error {
				return tx.Put(&model.Record{Name: "test/others", Data: []byte(begin.String())})
			}); err != nil {
				t.Errorf("another writer: %v", err)
			}
			longest = max(longest, time.Since(begin))
		}
		worst <- longest
	}()
	return func() time.Duration { stop(); return <-worst }
}

// TestALargeRequestHoldsNobodyUp has one transaction of thousands of objects: all
// writers share a goroutine, so what it costs must grow with them, not with their
// square.
func TestALargeRequestHoldsNobodyUp(t *testing.T) {
	r := newRig(t)
	lb := r.lb()
	pool := r.pool(lb)
	const n = maxObjects
	members, policies := make([]m, n), make([]m, n-1)
	pools, listeners := make([]m, n/2), make([]m, n/2)
	for i := range n {
		members[i] = m{"address": fmt.Sprintf("10.%d.%d.%d", i>>16, i>>8&255, i&255), "protocol_port": 80}
	}
	for i := range policies {
		policies[i] = m{"action": "REJECT", "position": 1}
	}
	for i := range n / 2 {
		name := fmt.Sprint("pool", i)
		pools[i] = m{"name": name, "protocol": "TCP", "lb_algorithm": "ROUND_ROBIN"}
		listeners[i] = m{"protocol": "TCP", "protocol_port": i + 1, "default_pool": m{"name": name}}
	}
	for _, c := range []struct {
		name, method, path string
		body               m
		want               int
	}{
		{"members", "PUT", "/pools/" + pool + "/members", m{"members": members}, 202},
		{"a whole tree", "POST", "/loadbalancers", m{"loadbalancer": m{"vip_subnet_id": subnetID, "pools": pools, "listeners": listeners}}, 201},
		{"policies, each before all others", "POST", "/loadbalancers", m{"loadbalancer": m{"vip_subnet_id": subnetID,
			"listeners": []m{{"protocol": "HTTP", "protocol_port": 80, "l7policies": policies}}}}, 201},
		{"more than one may make", "POST", "/loadbalancers", m{"loadbalancer": m{"vip_subnet_id": subnetID, "pools": []m{{
			"name": "p", "protocol": "TCP", "lb_algorithm": "ROUND_ROBIN", "members": members}}}}, 413},
		{"more members than one may make", "PUT", "/pools/" + pool + "/members", m{"members": append(members, m{"address": "192.0.2.1", "protocol_port": 1})}, 413},
	} {
		slowest := others(t)
		begin := time.Now()
		if a := r.do(c.method, c.path, c.body); a.status != c.want {
			t.Errorf("%s: %d %.300s", c.name, a.status, a.text)
		}
		t.Logf("%s: %v, another writer waited for %v", c.name, time.Since(begin), slowest())
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
