package api

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
)

// TestOneOfManyWritersWins sends a thousand requests that all need the same load
// balancer: one is taken, the others are told 409, and nothing of theirs is left.
func TestOneOfManyWritersWins(t *testing.T) {
	r := newRig(t)
	lb := r.lb()
	const writers = 1000
	var won, refused atomic.Int32
	var wg sync.WaitGroup
	for i := range writers {
		wg.Go(func() {
			a := r.do("POST", "/listeners", m{"listener": m{"loadbalancer_id": lb, "protocol": "TCP", "protocol_port": 1000 + i}})
			switch {
			case a.status == 201:
				won.Add(1)
			case a.status == 409 && a.doc["faultstring"] == "Load Balancer "+lb+" is immutable and cannot be updated.":
				refused.Add(1)
			default:
				t.Errorf("%d %s", a.status, a.text)
			}
		})
	}
	wg.Wait()
	if won.Load() != 1 || refused.Load() != writers-1 {
		t.Errorf("%d won, %d were refused", won.Load(), refused.Load())
	}
	if n := len(r.do("GET", "/listeners?loadbalancer_id="+lb, nil).doc["listeners"].([]any)); n != 1 {
		t.Errorf("%d listeners", n)
	}
	if used := shared.View().Quota(r.project).Used.Listener; used != 1 {
		t.Errorf("%d are counted", used)
	}
}

// TestNoUpdateIsLost has writers take turns, each with what the one before left.
func TestNoUpdateIsLost(t *testing.T) {
	r := newRig(t)
	lb := r.lb()
	pool := r.pool(lb)
	const writers, each = 8, 10
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := 0; i < each; {
				a := r.do("POST", "/pools/"+pool+"/members", m{"member": m{"address": fmt.Sprintf("10.0.%d.%d", w, i), "protocol_port": 80}})
				switch a.status {
				case 201:
					i++
					r.settle(lb)
				case 409:
				default:
					t.Errorf("%d %s", a.status, a.text)
					return
				}
			}
		})
	}
	wg.Wait()
	if n := len(r.must(200, "GET", "/pools/"+pool, nil)["members"].([]any)); n != writers*each {
		t.Errorf("%d members", n)
	}
}

// TestQuotasAreExactUnderLoad creates more than a project may have at once.
func TestQuotasAreExactUnderLoad(t *testing.T) {
	r := newRig(t)
	r.must(202, "PUT", "/quotas/"+r.project, m{"quota": m{"loadbalancer": 5}})
	var created, refused atomic.Int32
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			switch a := r.do("POST", "/loadbalancers", m{"loadbalancer": m{"vip_subnet_id": subnetID}}); a.status {
			case 201:
				created.Add(1)
			case 403:
				refused.Add(1)
			default:
				t.Errorf("%d %s", a.status, a.text)
			}
		})
	}
	wg.Wait()
	if created.Load() != 5 || refused.Load() != 45 {
		t.Errorf("%d were created, %d refused", created.Load(), refused.Load())
	}
}

// TestNoUpdateOfAFlavorIsLost changes two attributes of one flavor at the same time.
func TestNoUpdateOfAFlavorIsLost(t *testing.T) {
	r := newRig(t)
	profile := r.must(201, "POST", "/flavorprofiles", m{"flavorprofile": m{"name": "p", "provider_name": "amphora", "flavor_data": "{}"}})["id"]
	flavor := "/flavors/" + r.must(201, "POST", "/flavors", m{"flavor": m{"name": r.project, "flavor_profile_id": profile}})["id"].(string)
	for i := range 50 {
		var wg sync.WaitGroup
		for _, name := range []string{"name", "description"} {
			wg.Go(func() { r.do("PUT", flavor, m{"flavor": m{name: fmt.Sprint(r.project, i)}}).want(200, "") })
		}
		wg.Wait()
		f := r.must(200, "GET", flavor, nil)
		if want := fmt.Sprint(r.project, i); f["name"] != want || f["description"] != want {
			t.Fatalf("after change %d it is %v", i, f)
		}
	}
}
