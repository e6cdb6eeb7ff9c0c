package control

import (
	"testing"
	"time"

	"github.com/updraft-cloud/updraft/internal/lb/model"
)

func TestTheBreakerLetsOneThroughWhenManyAreSilent(t *testing.T) {
	b := &Breaker{Share: 0.5, Least: 5, Parallel: 3, Every: time.Minute, Burst: 10}
	now := time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC)
	b.Observe(now, 2, 2)
	for i, id := range []string{"a", "b", "c"} {
		if !b.Begin(now, id) {
			t.Errorf("replacement %d was not let through", i)
		}
	}
	if b.Begin(now, "d") {
		t.Error("a fourth at once was let through")
	}
	if !b.Begin(now, "a") {
		t.Error("one that was begun may not go on")
	}
	for _, id := range []string{"a", "b", "c"} {
		b.End(id)
	}
	now = now.Add(2 * time.Minute)
	b.Observe(now, 60, 100)
	if open, since := b.Open(); !open || !since.Equal(now) {
		t.Errorf("with most silent it is open: %v since %v", open, since)
	}
	if !b.Begin(now, "e") || b.Begin(now, "f") {
		t.Error("while it is open exactly one goes on")
	}
	b.End("e")
	if b.Begin(now.Add(time.Second), "f") {
		t.Error("the next came too soon")
	}
	if !b.Begin(now.Add(2*time.Minute), "f") {
		t.Error("the next never came")
	}
	b.Keep(func(id string) bool { return id != "f" })
	if !b.Begin(now.Add(4*time.Minute), "g") {
		t.Error("one that others have replaced counts for ever")
	}
	b.Observe(now, 1, 100)
	if open, _ := b.Open(); open {
		t.Error("it stays open when few are silent")
	}
}

func TestWhatIsNotWatchedIsForgotten(t *testing.T) {
	v, now := newVitals(), time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC)
	v.heard("mine", "lb", now, Report{})
	v.heard("another's", "lb2", now, Report{})
	v.keep(func(id string) bool { return id == "mine" })
	if _, _, ok := v.last("mine"); !ok || len(v.byID) != 1 {
		t.Errorf("known are %v", v.byID)
	}
}

func TestTheQueueGivesNothingToTwoAndForgetsNothing(t *testing.T) {
	q := newQueue()
	q.add("a")
	q.add("a")
	id, _ := q.take(t.Context())
	if ready, working := q.depth(); id != "a" || ready != 0 || working != 1 {
		t.Fatalf("%s, %d ready, %d worked on", id, ready, working)
	}
	q.add("a") // while it is worked on
	if ready, _ := q.depth(); ready != 0 {
		t.Error("it is given to a second worker")
	}
	q.done("a", true, time.Hour)
	if ready, _ := q.depth(); ready != 1 {
		t.Error("what was added meanwhile is forgotten, or waits for the pause")
	}
	q.take(t.Context())
	if q.failures("a") != 1 {
		t.Errorf("%d failures", q.failures("a"))
	}
	q.done("a", false, 0)
	if len(q.state) != 0 {
		t.Errorf("something is remembered: %v", q.state)
	}
}

func TestAPlanReplacesTheStandbyFirstAndKeepsOneOfEachRole(t *testing.T) {
	at := time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC)
	amp := func(id, role string, s model.AmphoraStatus) *model.Amphora {
		return &model.Amphora{ID: id, Role: role, Status: s, CreatedAt: at}
	}
	all := &model.Failover{Targets: []string{"x", "y"}}
	p := plan{keep: []*model.Amphora{amp("new", model.RoleMaster, model.AmphoraBooting), amp("old", model.RoleMaster, model.AmphoraAllocated)}}
	p.one(rolesOf(model.TopologyActiveStandby))
	if len(p.keep) != 1 || p.keep[0].ID != "old" || len(p.doomed) != 1 || len(p.missing) != 1 || p.missing[0] != model.RoleBackup {
		t.Errorf("of two masters: %+v", p)
	}
	if !askedFor(all, amp("x", "", "")) || askedFor(all, amp("z", "", "")) || askedFor(nil, amp("x", "", "")) {
		t.Error("a failover is meant for those that were there when it was asked for")
	}
	all.Replaced = []string{"x"}
	if askedFor(all, amp("x", "", "")) {
		t.Error("one is replaced twice")
	}
}

func TestOperatingStatusesFollowTheContract(t *testing.T) {
	for _, c := range []struct {
		said string
		was  model.OperatingStatus
		want model.OperatingStatus
	}{
		{"UP", model.OpOffline, model.OpOnline}, {"UP 1/2", model.OpError, model.OpOnline}, {"DOWN", model.OpOnline, model.OpError},
		{"DOWN 1/2", model.OpOnline, model.OpError}, {"DRAIN", model.OpOnline, model.OpDraining}, {"MAINT", model.OpOnline, model.OpOffline},
		{"no check", model.OpOnline, model.OpNoMonitor}, {"", model.OpNoMonitor, model.OpNoMonitor}, {"", model.OpOnline, model.OpOffline},
		{"RESTARTING", model.OpDegraded, model.OpDegraded},
	} {
		m := &model.Member{Base: model.Base{OperatingStatus: c.was}}
		if got := memberStatus(m, c.said); got != c.want {
			t.Errorf("a member that was %s, of which is said %q, is %s and not %s", c.was, c.said, got, c.want)
		}
	}
}
