package control

import (
	"maps"
	"sync"
	"time"

	"github.com/updraft-cloud/updraft/internal/lb/model"
)

// vitals is what was heard of amphorae. It is not stored: every controller hears
// all of them, and one that takes a shard over gives each some time.
type vitals struct {
	mu   sync.Mutex
	byID map[string]*vital
}

type vital struct {
	lb       string
	heard    time.Time // of the last heartbeat, or when waiting for one began
	ever     bool
	report   Report
	asked    bool // a probe is under way
	stored   time.Time
	counters map[string]model.Stats // as stored last
}

func newVitals() *vitals { return &vitals{byID: map[string]*vital{}} }

func (v *vitals) of(id, lb string, now time.Time) *vital {
	x := v.byID[id]
	if x == nil {
		x = &vital{lb: lb, heard: now}
		v.byID[id] = x
	}
	return x
}

// heard notes a heartbeat.
func (v *vitals) heard(id, lb string, now time.Time, r Report) {
	v.mu.Lock()
	defer v.mu.Unlock()
	x := v.of(id, lb, now)
	x.heard, x.ever, x.report = now, true, r
}

// born notes that an amphora was configured, which shows that it lives.
func (v *vitals) born(a *model.Amphora, now time.Time) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.of(a.ID, a.LoadBalancerID, now).heard = now
}

// begin begins to wait for heartbeats, if nobody has.
func (v *vitals) begin(a *model.Amphora, now time.Time) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.of(a.ID, a.LoadBalancerID, now)
}

// alive notes that an amphora answered.
func (v *vitals) alive(id string, now time.Time, ok bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if x := v.byID[id]; x != nil {
		x.asked = false
		if ok {
			x.heard = now
		}
	}
}

// silence returns for how long nothing was heard of an amphora.
func (v *vitals) silence(a *model.Amphora, now time.Time) time.Duration {
	v.mu.Lock()
	defer v.mu.Unlock()
	return now.Sub(v.of(a.ID, a.LoadBalancerID, now).heard)
}

// ask reports whether the caller shall probe: once at a time.
func (v *vitals) ask(id string) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	x := v.byID[id]
	if x == nil || x.asked {
		return false
	}
	x.asked = true
	return true
}

// last returns the latest report of an amphora.
func (v *vitals) last(id string) (r Report, at time.Time, ok bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	x := v.byID[id]
	if x == nil || !x.ever {
		return Report{}, time.Time{}, false
	}
	return x.report, x.heard, true
}

// due reports whether counters of an amphora shall be stored now: they changed,
// and enough time has passed.
func (v *vitals) due(id string, now time.Time, every time.Duration) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	x := v.byID[id]
	if x == nil || !x.ever || now.Sub(x.stored) < every || equalStats(x.counters, x.report.Stats) {
		return false
	}
	x.stored, x.counters = now, x.report.Stats
	return true
}

func equalStats(a, b map[string]model.Stats) bool {
	if len(a) != len(b) {
		return false
	}
	for k, v := range a {
		if b[k] != v {
			return false
		}
	}
	return true
}

func (v *vitals) forget(id string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	delete(v.byID, id)
}

// keep forgets all but those for which watched is true: others watch them, or they
// are no more.
func (v *vitals) keep(watched func(id string) bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	maps.DeleteFunc(v.byID, func(id string, _ *vital) bool { return !watched(id) })
}

// reset begins the waiting anew for the load balancers that match.
func (v *vitals) reset(match func(lb string) bool, now time.Time) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, x := range v.byID {
		if match(x.lb) {
			x.heard = now
		}
	}
}
