package engine_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/updraft-cloud/updraft/internal/drift"
	"github.com/updraft-cloud/updraft/internal/engine"
	"github.com/updraft-cloud/updraft/internal/engine/enginetest"
	"github.com/updraft-cloud/updraft/internal/engine/statedir"
	"github.com/updraft-cloud/updraft/internal/retry"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// node makes a node from "ID=value <need !trigger".
func node(def string) *engine.Node {
	fields := strings.Fields(def)
	id, value, _ := strings.Cut(fields[0], "=")
	n := &engine.Node{ID: id, Kind: "thing", Key: id, Body: enginetest.Value(value), Phase: engine.Configure}
	if scope, _, ok := strings.Cut(id, "/"); ok {
		n.Scope = scope
	}
	n.Holds = strings.HasPrefix(id, "machine:")
	for _, f := range fields[1:] {
		if f[0] == '<' {
			n.Needs = append(n.Needs, f[1:])
		} else {
			n.Triggers = append(n.Triggers, f[1:])
		}
	}
	return n
}

// graphOf makes a graph; hosts lie behind machine:HOST.
func graphOf(t *testing.T, hosts []string, defs ...string) *engine.Graph {
	t.Helper()
	var nodes []*engine.Node
	var scopes []engine.Scope
	for _, h := range hosts {
		nodes = append(nodes, node("machine:"+h+"=1"))
		scopes = append(scopes, engine.Scope{Name: h, Gate: "machine:" + h, Leads: h == "members"})
	}
	for _, d := range defs {
		nodes = append(nodes, node(d))
	}
	g, err := engine.NewGraph(nodes, scopes)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func gates(hosts ...string) map[string]string {
	m := map[string]string{}
	for _, h := range hosts {
		m[h] = "machine:" + h
	}
	return m
}

var twoHosts = []string{
	"a/file=1", "a/unit=1 !a/file", "b/pkg=1", "b/file=1 <b/pkg", "b/unit=1 <a/unit !b/file",
}

func up(t *testing.T, g *engine.Graph, s engine.Store, w engine.Executor) (*engine.Plan, engine.Result) {
	t.Helper()
	e := engine.New(g, s, w, nil, engine.Options{})
	p, err := e.Plan(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	r, err := e.Apply(context.Background(), p, nil)
	if err != nil && !errors.Is(err, enginetest.ErrCut) {
		t.Fatal(err)
	}
	return p, r
}

func TestApplyFromNothingThenNoChanges(t *testing.T) {
	w := enginetest.NewWorld(gates("a", "b"))
	s := statedir.Open(t.TempDir())
	g := graphOf(t, []string{"a", "b"}, twoHosts...)
	_, r := up(t, g, s, w)
	if r.Err() != nil || r.Changed != 7 {
		t.Fatalf("first run: %+v", r)
	}
	p, r := up(t, g, s, w)
	if !p.Empty() || r.Changed != 0 || p.Observed != 7 {
		t.Fatalf("second run: %+v\n%+v", p.Steps, r)
	}
}

func TestPlanChangesNothingAndRepeatsByteForByte(t *testing.T) {
	w := enginetest.NewWorld(gates("a", "b"))
	s := statedir.Open(t.TempDir())
	up(t, graphOf(t, []string{"a", "b"}, append(twoHosts, "a/old=1", "a/older=1")...), s, w)
	before := w.String()
	w.Set("b/file", "drifted")
	drifted := w.String()
	var texts []string
	for range 5 {
		e := engine.New(graphOf(t, []string{"a", "b"}, twoHosts...), s, w, nil, engine.Options{})
		p, err := e.Plan(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		j, err := json.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		texts = append(texts, string(j))
	}
	if w.String() != drifted || before == drifted {
		t.Error("planning changed the world")
	}
	for _, text := range texts[1:] {
		if text != texts[0] {
			t.Fatalf("plans differ:\n%s\n%s", texts[0], text)
		}
	}
}

func TestOnlyWhatChangedIsTouched(t *testing.T) {
	tests := []struct {
		rule string
		move func(w *enginetest.World)
		defs []string
		want []string
	}{
		{"a drifted thing is restored and its trigger acts", func(w *enginetest.World) { w.Set("a/file", "x") }, twoHosts,
			[]string{"apply a/file", "apply a/unit because a/file"}},
		{"a changed value reaches what it triggers on its host only", nil,
			[]string{"a/file=1", "a/unit=1 !a/file", "b/pkg=1", "b/file=2 <b/pkg", "b/unit=1 <a/unit !b/file"},
			[]string{"apply b/file", "apply b/unit because b/file"}},
		{"a need that changes does not touch what needs it", func(w *enginetest.World) { w.Set("b/pkg", "") }, twoHosts,
			[]string{"apply b/pkg"}},
		{"what left the file is removed and pokes what it triggered", nil,
			[]string{"a/unit=1", "b/pkg=1", "b/file=1 <b/pkg", "b/unit=1 <a/unit !b/file"},
			[]string{"remove a/file", "apply a/unit because a/file"}},
		{"a new host leaves the others alone", nil, append(slices.Clone(twoHosts), "c/file=1"),
			[]string{"apply machine:c", "apply c/file"}},
	}
	for _, tt := range tests {
		t.Run(tt.rule, func(t *testing.T) {
			w := enginetest.NewWorld(gates("a", "b", "c"))
			s := statedir.Open(t.TempDir())
			up(t, graphOf(t, []string{"a", "b"}, twoHosts...), s, w)
			w.Log = nil
			if tt.move != nil {
				tt.move(w)
			}
			hosts := []string{"a", "b"}
			if slices.Contains(tt.defs, "c/file=1") {
				hosts = append(hosts, "c")
			}
			g := graphOf(t, hosts, tt.defs...)
			p, r := up(t, g, s, w)
			if r.Err() != nil {
				t.Fatal(r.Err())
			}
			if diff := cmp.Diff(tt.want, w.Log); diff != "" {
				t.Errorf("operations (-want +got):\n%s", diff)
			}
			if len(p.Steps) != len(tt.want) {
				t.Errorf("plan announced %d steps, %d were done: %+v", len(p.Steps), len(tt.want), p.Steps)
			}
		})
	}
}

func TestKilledAfterEveryStepAndResumed(t *testing.T) {
	g := func(t *testing.T) *engine.Graph { return graphOf(t, []string{"a", "b"}, twoHosts...) }
	clean := enginetest.NewWorld(gates("a", "b"))
	up(t, g(t), statedir.Open(t.TempDir()), clean)
	for k := range 8 {
		t.Run(fmt.Sprintf("after %d steps", k), func(t *testing.T) {
			w := enginetest.NewWorld(gates("a", "b"))
			dir := t.TempDir()
			w.CutAfter(k)
			up(t, g(t), statedir.Open(dir), w)
			w.Mend()
			_, r := up(t, g(t), statedir.Open(dir), w) // a new process reads the directory anew
			if r.Err() != nil || w.String() != clean.String() {
				t.Fatalf("%v\n%s", r.Err(), w)
			}
			for op, n := range w.Changes {
				if n != 1 {
					t.Errorf("%s was done %d times", op, n)
				}
			}
			destroyFromCut(t, g(t), dir, w, k)
		})
	}
}

// destroyFromCut destroys, is killed after k steps, destroys again, twice.
func destroyFromCut(t *testing.T, g *engine.Graph, dir string, w *enginetest.World, k int) {
	t.Helper()
	w.CutAfter(k)
	for range 3 {
		e := engine.New(g, statedir.Open(dir), w, nil, engine.Options{})
		if _, err := e.Destroy(context.Background(), nil); err != nil {
			t.Fatal(err)
		}
		w.Mend()
	}
	if w.String() != "" {
		t.Errorf("destroy left:\n%s", w)
	}
	if records, err := statedir.Open(dir).Records(context.Background()); err != nil || len(records) != 0 {
		t.Errorf("destroy left records: %v, %v", records, err)
	}
}

func TestFailureStopsOnlyWhatDependsOnIt(t *testing.T) {
	w := enginetest.NewWorld(gates("a", "b"))
	s := statedir.Open(t.TempDir())
	w.Fail("a/file", errors.New("disk full"))
	_, r := up(t, graphOf(t, []string{"a", "b"}, "a/file=1", "a/unit=1 !a/file", "a/other=1", "b/file=1", "b/unit=1 <a/unit"), s, w)
	want := []engine.Failure{{ID: "a/file", Scope: "a", Err: "disk full", Blocks: 2}}
	if diff := cmp.Diff(want, r.Failed); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"a/unit", "b/unit"}, r.Blocked); diff != "" {
		t.Error(diff)
	}
	if r.Changed != 4 {
		t.Errorf("changed %d, want the four that do not depend on a/file", r.Changed)
	}
}

func TestRetriesFollowTheClassOfTheError(t *testing.T) {
	flaky := retry.Mark(errors.New("mirror hiccup"), retry.Transient)
	away := retry.Mark(errors.New("connection lost"), retry.Unreachable)
	tests := []struct {
		rule string
		errs []error
		ok   bool
	}{
		{"transient errors are tried again", []error{flaky, flaky, flaky}, true},
		{"a lost connection is tried again", []error{away, away}, true},
		{"a permanent error is not", []error{errors.New("no such package")}, false},
		{"transient errors end at some point", slices.Repeat([]error{flaky}, 20), false},
	}
	for _, tt := range tests {
		t.Run(tt.rule, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := enginetest.NewWorld(gates("a"))
				w.Fail("a/file", tt.errs...)
				_, r := up(t, graphOf(t, []string{"a"}, "a/file=1"), statedir.Open(t.TempDir()), w)
				if (r.Err() == nil) != tt.ok {
					t.Errorf("ended with %v", r.Err())
				}
			})
		})
	}
}

func TestUnreachableHostLeavesTheOthersWorking(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := enginetest.NewWorld(gates("a", "b"))
		s := statedir.Open(t.TempDir())
		g := graphOf(t, []string{"a", "b"}, twoHosts...)
		up(t, g, s, w)
		w.Set("b/pkg", "")
		w.Fail("host:a", slices.Repeat([]error{retry.Mark(errors.New("no answer"), retry.Unreachable)}, 30)...)
		e := engine.New(g, s, w, nil, engine.Options{})
		p, err := e.Plan(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		if len(p.Blind) != 1 || p.Blind[0].Scope != "a" {
			t.Errorf("blind: %+v", p.Blind)
		}
		r, err := e.Apply(context.Background(), p, nil)
		if err != nil || len(r.Failed) != 1 || r.Failed[0].Scope != "a" || r.Changed != 1 {
			t.Errorf("%+v, %v", r, err)
		}
	})
}

func TestATriggerIsNotForgotten(t *testing.T) {
	g := func(v string) *engine.Graph { return graphOf(t, []string{"a"}, "a/file="+v, "a/unit=1 !a/file") }
	for _, tt := range []struct {
		rule string
		harm func(*enginetest.World)
	}{
		{"when what acts on it fails", func(w *enginetest.World) { w.Fail("a/unit", errors.New("will not start")) }},
		{"when the run is cut off in between", func(w *enginetest.World) { w.CutAfter(1) }},
	} {
		t.Run(tt.rule, func(t *testing.T) {
			w := enginetest.NewWorld(gates("a"))
			dir := t.TempDir()
			up(t, g("1"), statedir.Open(dir), w)
			tt.harm(w)
			up(t, g("2"), statedir.Open(dir), w)
			w.Mend()
			w.Log = nil
			p, r := up(t, g("2"), statedir.Open(dir), w)
			if len(p.Steps) != 1 || p.Steps[0].Action != engine.Trigger || r.Err() != nil {
				t.Errorf("steps %+v, result %+v", p.Steps, r)
			}
			if diff := cmp.Diff([]string{"apply a/unit because a/file"}, w.Log); diff != "" {
				t.Error(diff)
			}
			if p, _ := up(t, g("2"), statedir.Open(dir), w); !p.Empty() {
				t.Errorf("again: %+v", p.Steps)
			}
		})
	}
}

func TestAHostThatStaysAwayIsGivenUpOnce(t *testing.T) {
	away := retry.Mark(errors.New("no answer"), retry.Unreachable)
	synctest.Test(t, func(t *testing.T) {
		w := enginetest.NewWorld(gates("a", "b"))
		s := statedir.Open(t.TempDir())
		defs := []string{"b/file=1"}
		for i := range 100 {
			id := fmt.Sprintf("a/f%d", i)
			defs = append(defs, id+"=1")
			w.Fail(id, slices.Repeat([]error{away}, 30)...)
		}
		start := time.Now()
		_, r := up(t, graphOf(t, []string{"a", "b"}, defs...), s, w)
		if took := time.Since(start); took > 2*time.Minute {
			t.Errorf("given up after %s", took)
		}
		if len(r.Failed)+len(r.Blocked) != 100 || len(r.Failed) > 8 || r.Changed != 3 {
			t.Errorf("%d failed, %d blocked, %d changed", len(r.Failed), len(r.Blocked), r.Changed)
		}
	})
}

func TestAHostThatStaysIsKnownUntilAllIsRemovedFromIt(t *testing.T) {
	w := enginetest.NewWorld(gates("a"))
	s := statedir.Open(t.TempDir())
	machine := node("machine:a=1")
	machine.Holds = false // borrowed
	g, err := engine.NewGraph([]*engine.Node{machine, node("a/file=1"), node("a/other=1")}, []engine.Scope{{Name: "a", Gate: "machine:a"}})
	if err != nil {
		t.Fatal(err)
	}
	up(t, g, s, w)
	w.Fail("a/file", errors.New("busy"))
	e := engine.New(g, s, w, nil, engine.Options{})
	r, err := e.Destroy(context.Background(), nil)
	if err != nil || len(r.Failed) != 1 || !slices.Equal(r.Blocked, []string{"machine:a"}) {
		t.Errorf("%+v, %v", r, err)
	}
	if diff := cmp.Diff("a/file=1\nmachine:a=1\n", w.String()); diff != "" {
		t.Error(diff)
	}
	if r, err := e.Destroy(context.Background(), nil); err != nil || r.Err() != nil || w.String() != "" {
		t.Errorf("the second destroy: %+v, %v, left:\n%s", r, err, w)
	}
}

func TestLimitOfAScopeHolds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := enginetest.NewWorld(gates("a"))
		w.Hold = func(string) { <-time.After(time.Second) } // of the bubble's clock
		var defs []string
		for i := range 40 {
			defs = append(defs, fmt.Sprintf("a/f%d=1", i))
		}
		e := engine.New(graphOf(t, []string{"a"}, defs...), statedir.Open(t.TempDir()), w, nil, engine.Options{PerScope: 3})
		p, err := e.Plan(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		if r, err := e.Apply(context.Background(), p, nil); err != nil || r.Err() != nil {
			t.Fatal(r, err)
		}
		if w.MaxActive["a"] != 3 {
			t.Errorf("%d ran at once, want 3", w.MaxActive["a"])
		}
	})
}

func TestStopLetsRunningStepsEndAndTheNextRunGoesOn(t *testing.T) {
	w := enginetest.NewWorld(gates("a"))
	s := statedir.Open(t.TempDir())
	stop := make(chan struct{})
	w.Hold = func(id string) {
		if id == "a/f0" {
			close(stop)
		}
	}
	g := graphOf(t, []string{"a"}, "a/f0=1", "a/f1=1 <a/f0", "a/f2=1 <a/f1")
	e := engine.New(g, s, w, nil, engine.Options{})
	p, err := e.Plan(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	r, err := e.Apply(context.Background(), p, stop)
	if err != nil || !errors.Is(r.Err(), engine.ErrStopped) || r.Changed < 2 || r.Changed > 3 {
		t.Fatalf("%+v, %v", r, err)
	}
	w.Hold = nil
	if _, r := up(t, g, s, w); r.Err() != nil || !strings.Contains(w.String(), "a/f2=1") {
		t.Errorf("%+v\n%s", r, w)
	}
}

func TestSecondWriterIsToldWhoHoldsTheLock(t *testing.T) {
	dir := t.TempDir()
	unlock, err := statedir.Open(dir).Lock(context.Background(), engine.Holder{PID: 42, User: "ann", Host: "desk", Command: "updraft up"})
	if err != nil {
		t.Fatal(err)
	}
	_, err = statedir.Open(dir).Lock(context.Background(), engine.Holder{})
	var held *engine.HeldError
	if !errors.As(err, &held) || held.Holder.PID != 42 || !strings.Contains(err.Error(), "ann@desk") {
		t.Errorf("second lock: %v", err)
	}
	if err := unlock(); err != nil {
		t.Fatal(err)
	}
	if unlock, err = statedir.Open(dir).Lock(context.Background(), engine.Holder{}); err != nil {
		t.Fatal(err)
	}
	_ = unlock()
}

func TestAStepThatHangsIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := hanging{enginetest.NewWorld(gates("a"))}
		_, r := up(t, graphOf(t, []string{"a"}, "a/file=1", "a/other=1"), statedir.Open(t.TempDir()), w)
		if len(r.Failed) != 1 || r.Failed[0].ID != "a/file" || !strings.Contains(r.Failed[0].Err, "not done within") {
			t.Errorf("%+v", r)
		}
	})
}

// hanging never comes back from applying a/file.
type hanging struct{ *enginetest.World }

func (h hanging) Apply(ctx context.Context, n *engine.Node, found drift.Report, why engine.Cause, log func(string)) error {
	if n.ID == "a/file" {
		<-ctx.Done()
		return ctx.Err()
	}
	return h.World.Apply(ctx, n, found, why, log)
}

func TestAPlanOfAPartTellsWhatComesAlongAndWhatIsLeft(t *testing.T) {
	whole := graphOf(t, []string{"a", "b"}, "a/file=1", "a/unit=1 !a/file", "b/base=1", "b/other=1", "a/user=1 <b/base")
	part, err := whole.Only(func(n *engine.Node) bool { return n.ID == "a/file" || n.ID == "a/user" })
	if err != nil {
		t.Fatal(err)
	}
	e := engine.New(part, statedir.Open(t.TempDir()), enginetest.NewWorld(gates("a", "b")), nil, engine.Options{Partial: true})
	p, err := e.Plan(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, s := range p.Steps {
		got = append(got, fmt.Sprint(s.ID, " needed=", s.Needed))
	}
	slices.Sort(got)
	want := []string{"a/file needed=false", "a/user needed=false", "b/base needed=true"}
	if diff := cmp.Diff(want, slices.DeleteFunc(got, func(s string) bool { return !strings.Contains(s, "/") })); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"a/unit"}, p.Later); diff != "" {
		t.Error(diff)
	}
}

func TestWhatAPartialRunChangesTriggersTheRestLater(t *testing.T) {
	w := enginetest.NewWorld(gates("a"))
	s := statedir.Open(t.TempDir())
	up(t, graphOf(t, []string{"a"}, "a/file=1", "a/unit=1 !a/file"), s, w)
	whole := graphOf(t, []string{"a"}, "a/file=2", "a/unit=1 !a/file")
	part, err := whole.Only(func(n *engine.Node) bool { return n.ID == "a/file" })
	if err != nil {
		t.Fatal(err)
	}
	w.Log = nil
	e := engine.New(part, s, w, nil, engine.Options{Partial: true})
	p, err := e.Plan(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := e.Apply(context.Background(), p, nil); err != nil {
		t.Fatal(err)
	}
	up(t, whole, s, w)
	if diff := cmp.Diff([]string{"apply a/file", "apply a/unit because a/file"}, w.Log); diff != "" {
		t.Error(diff)
	}
}
