package engine_test

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/updraft-cloud/updraft/internal/drift"
	"github.com/updraft-cloud/updraft/internal/engine"
	"github.com/updraft-cloud/updraft/internal/engine/enginetest"
	"github.com/updraft-cloud/updraft/internal/engine/statedir"
	"github.com/updraft-cloud/updraft/internal/retry"
)

// down is the value of a service that does not work.
const down = "down"

// service is a body of a thing that works unless its value is down.
type service struct{ enginetest.Value }

func (service) Works(found drift.Report) bool {
	return found.Status == drift.InSync || found.Status == drift.Differs && found.Changes[0].From != down
}

func (service) Disturbs(found drift.Report, triggers []string) bool {
	return !found.Agrees() || len(triggers) > 0
}

// controllers makes a graph in which hosts of more than one letter take turns and
// things called svc… are services.
func controllers(t *testing.T, hosts []string, defs ...string) *engine.Graph {
	t.Helper()
	var nodes []*engine.Node
	var scopes []engine.Scope
	for _, h := range hosts {
		s := engine.Scope{Name: h, Gate: "machine:" + h}
		if len(h) > 1 {
			s.Turn = "controllers"
		}
		nodes, scopes = append(nodes, node("machine:"+h+"=1")), append(scopes, s)
	}
	for _, d := range defs {
		n := node(d)
		if v, ok := n.Body.(enginetest.Value); ok && strings.Contains(n.ID, "/svc") {
			n.Body = service{v}
		}
		nodes = append(nodes, n)
	}
	g, err := engine.NewGraph(nodes, scopes)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// three returns on each of three hosts a file, and services that it triggers.
func three(file string) []string {
	var defs []string
	for _, h := range []string{"c1", "c2", "c3"} {
		defs = append(defs, h+"/file="+file, h+"/svc=1 !"+h+"/file", h+"/svc2=1 !"+h+"/file", h+"/other="+file)
	}
	return defs
}

var threeHosts = []string{"c1", "c2", "c3"}

// turnsOf returns the turns of a plan as "SCOPE STEPS".
func turnsOf(p *engine.Plan) []string {
	var out []string
	for _, t := range p.Turns {
		out = append(out, fmt.Sprintf("%s %d", t.Scope, t.Steps))
	}
	return out
}

func TestWhatWorksIsChangedInOneScopeAtATime(t *testing.T) {
	for _, tt := range []struct {
		rule  string
		was   []string // nothing: the first run
		world map[string]string
		is    []string
		want  []string
	}{
		{rule: "a first run has no turns", is: three("1")},
		{rule: "configuration and services of a scope are one turn", was: three("1"), is: three("2"), want: []string{"c1 3", "c2 3", "c3 3"}},
		{rule: "what disturbs nothing has no turn", was: three("1"), is: append(three("1"), "c1/more=1", "c2/more=1")},
		{rule: "services that are down come back side by side", was: three("1"), is: three("1"),
			world: map[string]string{"c1/svc": down, "c2/svc": down, "c3/svc": down}},
		{rule: "a scope in which something is down because of its configuration is first", was: three("1"), is: three("2"),
			world: map[string]string{"c3/svc": down}, want: []string{"c3 3", "c1 3", "c2 3"}},
		{rule: "the graph decides where it has an opinion", was: three("1"), is: append(three("2")[4:], "c1/file=2", "c1/svc=1 !c1/file <c3/svc"),
			want: []string{"c2 3", "c3 3", "c1 2"}},
		{rule: "a scope may have several turns", was: three("1"),
			is: []string{"c1/file=2", "c1/svc=1 !c1/file", "c1/svc2=1 !c1/file <c2/svc2", "c1/other=1", "c2/file=2", "c2/svc=1 !c2/file <c1/svc", "c2/svc2=1 !c2/file", "c2/other=1",
				"c3/file=1", "c3/svc=1 !c3/file", "c3/svc2=1 !c3/file", "c3/other=1"},
			want: []string{"c1 2", "c2 3", "c1 1"}},
		{rule: "one scope alone is one turn", was: three("1"), is: append([]string{"c1/file=2"}, three("1")[1:]...), want: []string{"c1 3"}},
	} {
		t.Run(tt.rule, func(t *testing.T) {
			w := enginetest.NewWorld(gates(threeHosts...))
			s := statedir.Open(t.TempDir())
			if tt.was != nil {
				up(t, controllers(t, threeHosts, tt.was...), s, w)
			}
			for id, value := range tt.world {
				w.Set(id, value)
			}
			p, r := up(t, controllers(t, threeHosts, tt.is...), s, w)
			if r.Err() != nil {
				t.Fatal(r.Err())
			}
			if diff := cmp.Diff(tt.want, turnsOf(p)); diff != "" {
				t.Errorf("turns (-want +got):\n%s", diff)
			}
			if p, _ = up(t, controllers(t, threeHosts, tt.is...), s, w); !p.Empty() {
				t.Errorf("again: %+v", p.Steps)
			}
		})
	}
}

func TestTheScopeThatHadBetterBeLastIs(t *testing.T) {
	w := enginetest.NewWorld(gates(threeHosts...))
	s := statedir.Open(t.TempDir())
	up(t, controllers(t, threeHosts, three("1")...), s, w)
	last := func(_ context.Context, scopes []string) []string { return scopes[:1] }
	p, err := engine.New(controllers(t, threeHosts, three("2")...), s, w, nil, engine.Options{Last: last}).Plan(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"c2 3", "c3 3", "c1 3"}, turnsOf(p)); diff != "" {
		t.Error(diff)
	}
}

func TestATurnThatFailsIsTheLast(t *testing.T) {
	w := enginetest.NewWorld(gates(threeHosts...))
	s := statedir.Open(t.TempDir())
	up(t, controllers(t, threeHosts, three("1")...), s, w)
	w.Fail("c1/svc", fmt.Errorf("a bad option"))
	w.Log = nil
	p, r := up(t, controllers(t, threeHosts, three("2")...), s, w)
	if len(r.Failed) != 1 || r.Failed[0].ID != "c1/svc" || p.Empty() {
		t.Fatalf("%+v", r)
	}
	for _, op := range w.Log {
		if !strings.Contains(op, "c1/") && !strings.Contains(op, "/other") {
			t.Errorf("after the failure: %s", op)
		}
	}
	w.Set("c1/svc", down)
	p, r = up(t, controllers(t, threeHosts, three("3")...), s, w)
	if diff := cmp.Diff([]string{"c1 3", "c2 3", "c3 3"}, turnsOf(p)); diff != "" || r.Err() != nil {
		t.Errorf("%v\n%s", r.Err(), diff)
	}
}

func TestATurnBeginsWhenTheOthersWork(t *testing.T) {
	for _, tt := range []struct {
		rule string
		back bool
		want string
	}{
		{"one that comes back in time is waited for", true, ""},
		{"one that stays away keeps the next from being changed", false, "turn:c2: c2 is left as it is until the others do their work: c3/svc does not work (value)"},
	} {
		t.Run(tt.rule, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := enginetest.NewWorld(gates(threeHosts...))
				s := statedir.Open(t.TempDir())
				up(t, controllers(t, threeHosts, three("1")...), s, w)
				w.Hold = func(id string) {
					if id == "c1/svc" {
						w.Set("c3/svc", down)
						if tt.back {
							time.AfterFunc(20*time.Second, func() { w.Set("c3/svc", "1") })
						}
					}
				}
				_, r := up(t, controllers(t, threeHosts, three("2")...), s, w)
				if got := fmt.Sprint(r.Err()); tt.want == "" && r.Err() != nil || tt.want != "" && got != tt.want {
					t.Errorf("got %s", got)
				}
				if changed := strings.Contains(w.String(), "c2/file=2"); changed != tt.back {
					t.Errorf("the second was changed: %t", changed)
				}
			})
		})
	}
}

func TestAHostThatDoesNotAnswerKeepsTheOthersAsTheyAre(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := enginetest.NewWorld(gates(threeHosts...))
		s := statedir.Open(t.TempDir())
		up(t, controllers(t, threeHosts, three("1")...), s, w)
		for range 100 {
			w.Fail("host:c2", retry.Mark(fmt.Errorf("no route"), retry.Unreachable))
		}
		p, r := up(t, controllers(t, threeHosts, three("2")...), s, w)
		if diff := cmp.Diff("c2", p.Turns[0].Scope); diff != "" || r.Err() == nil {
			t.Errorf("%v\n%s", r.Err(), diff)
		}
		if strings.Contains(w.String(), "/file=2") {
			t.Errorf("changed:\n%s", w)
		}
	})
}

func TestAHostThatIsOffComesBackFirst(t *testing.T) {
	w := enginetest.NewWorld(gates(threeHosts...))
	s := statedir.Open(t.TempDir())
	up(t, controllers(t, threeHosts, three("1")...), s, w)
	w.Set("machine:c2", "")
	for _, id := range []string{"c2/file", "c2/svc", "c2/svc2", "c2/other"} {
		w.Set(id, "")
	}
	w.Log = nil
	p, r := up(t, controllers(t, threeHosts, three("2")...), s, w)
	if diff := cmp.Diff([]string{"c1 3", "c3 3"}, turnsOf(p)); diff != "" || r.Err() != nil {
		t.Fatalf("%v\n%s", r.Err(), diff)
	}
	at := func(op string) int {
		return slices.IndexFunc(w.Log, func(l string) bool { return strings.HasPrefix(l, op) })
	}
	if at("apply c1/svc") < at("apply c2/svc2") || at("apply c1/file") < at("apply c2/svc") {
		t.Errorf("order: %q", w.Log)
	}
}

// judge is a world that sees to it that services of at most one scope are disturbed
// at a time, while all others work that did.
type judge struct {
	*enginetest.World
	t     *testing.T
	mu    sync.Mutex
	turns map[string]bool // scopes that take turns
	works map[string]bool // services that have worked, and whether they do
	most  int             // services of one scope that were disturbed at once
}

// disturbed is how many services of a scope are being disturbed.
func (j *judge) disturbed(scope string) (n int) {
	for id, works := range j.works {
		if host, _, _ := strings.Cut(id, "/"); host == scope && !works {
			n++
		}
	}
	return n
}

func (j *judge) Apply(ctx context.Context, n *engine.Node, found drift.Report, why engine.Cause, log func(string)) error {
	if _, ok := n.Body.(service); !ok || !j.turns[n.Scope] {
		return j.World.Apply(ctx, n, found, why, log)
	}
	j.mu.Lock()
	if j.works[n.ID] {
		for id, works := range j.works {
			if host, _, _ := strings.Cut(id, "/"); host != n.Scope && !works {
				j.t.Errorf("%s is disturbed while %s does not work", n.ID, id)
			}
		}
		j.works[n.ID] = false
		j.most = max(j.most, j.disturbed(n.Scope))
	}
	j.mu.Unlock()
	err := j.World.Apply(ctx, n, found, why, log)
	j.mu.Lock()
	defer j.mu.Unlock()
	if err != nil {
		j.Set(n.ID, down) // as a kill in the middle leaves it
		delete(j.works, n.ID)
		return err
	}
	j.works[n.ID] = true
	return nil
}

// random returns the things of a cloud of three or four controllers and two others,
// with edges that go anywhere but in circles, and values of the given generation.
func random(r *rand.Rand, hosts []string, changed func(id string) bool) []string {
	var defs, ids []string
	for range 30 {
		h := hosts[r.IntN(len(hosts))]
		kind := []string{"file", "svc", "cmd"}[r.IntN(3)]
		id := fmt.Sprintf("%s/%s%d", h, kind, len(ids))
		value := "1"
		if changed(id) {
			value = "2"
		}
		def := id + "=" + value
		for range r.IntN(3) {
			if len(ids) == 0 {
				break
			}
			other := ids[r.IntN(len(ids))]
			mark := " <"
			if strings.HasPrefix(other, h+"/") && r.IntN(2) == 0 {
				mark = " !"
			}
			def += mark + other
		}
		defs, ids = append(defs, def), append(ids, id)
	}
	return defs
}

// perTurn is how many services of a scope are disturbed at once unless the options say
// otherwise.
const perTurn = 2

func TestFewServicesOfAScopeAreDisturbedAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		graph := func(file string) *engine.Graph {
			var defs []string
			for _, h := range threeHosts {
				defs = append(defs, h+"/file="+file)
				for i := range 6 {
					defs = append(defs, fmt.Sprintf("%s/svc%d=1 !%s/file", h, i, h), fmt.Sprintf("%s/other%d=%s", h, i, file))
				}
			}
			return controllers(t, threeHosts, defs...)
		}
		j := &judge{World: enginetest.NewWorld(gates(threeHosts...)), t: t, turns: map[string]bool{"c1": true, "c2": true, "c3": true}, works: map[string]bool{}}
		s := statedir.Open(t.TempDir())
		j.Hold = func(string) { time.Sleep(time.Second) }
		began := time.Now()
		up(t, graph("1"), s, j)
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("a first run disturbs nothing, and took %v", took)
		}
		if _, res := up(t, graph("2"), s, j); res.Err() != nil {
			t.Fatal(res.Err())
		}
		if j.most != perTurn {
			t.Errorf("%d services were disturbed at once, want %d", j.most, perTurn)
		}
	})
}

func TestTurnsInRandomGraphs(t *testing.T) {
	hosts := []string{"c1", "c2", "c3", "a", "b"}
	for seed := range uint64(150) {
		synctest.Test(t, func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 1))
			graph := func(changed func(string) bool) *engine.Graph {
				return controllers(t, hosts, random(rand.New(rand.NewPCG(seed, 2)), hosts, changed)...)
			}
			j := &judge{World: enginetest.NewWorld(gates(hosts...)), t: t, turns: map[string]bool{"c1": true, "c2": true, "c3": true}, works: map[string]bool{}}
			s := statedir.Open(t.TempDir())
			up(t, graph(func(string) bool { return false }), s, j)
			pause := rand.New(rand.NewPCG(seed, 3))
			var mu sync.Mutex
			j.Hold = func(string) {
				mu.Lock()
				d := time.Duration(pause.IntN(1000)) * time.Millisecond
				mu.Unlock()
				time.Sleep(d) // fake time: any order of ends is tried
			}
			changes := map[string]bool{}
			want := graph(func(id string) bool { changes[id] = r.IntN(2) == 0; return changes[id] })
			for _, id := range slices.Sorted(maps.Keys(j.works)) {
				if r.IntN(6) == 0 {
					j.Set(id, []string{down, ""}[r.IntN(2)])
					delete(j.works, id)
				}
			}
			j.CutAfter(r.IntN(20))
			up(t, want, s, j)
			j.Mend()
			if _, res := up(t, want, s, j); res.Err() != nil || len(res.Blocked) > 0 {
				t.Fatalf("seed %d: %v, blocked %q", seed, res.Err(), res.Blocked)
			}
			if p, _ := up(t, want, s, j); !p.Empty() {
				t.Fatalf("seed %d: again: %+v", seed, p.Steps)
			}
			if j.most > perTurn {
				t.Fatalf("seed %d: %d services of a scope are disturbed at once", seed, j.most)
			}
		})
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

func TestAScopeThatIsAwayIsLeftAlone(t *testing.T) {
	w := enginetest.NewWorld(gates("c1", "c2", "c3", "a"))
	s := statedir.Open(t.TempDir())
	hosts := append(slices.Clone(threeHosts), "a")
	up(t, controllers(t, hosts, append(three("1"), "a/file=1", "c1/old=1", "a/old=1")...), s, w)
	before := w.String()
	w.Set("machine:c1", "off")
	w.Set("c1/svc", down)
	run := func(away ...string) (*engine.Plan, engine.Result) {
		e := engine.New(controllers(t, hosts, append(three("2"), "a/file=2 <c1/svc")...), s, w, nil, engine.Options{Away: away})
		p, err := e.Plan(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		r, err := e.Apply(t.Context(), p, nil)
		if err != nil {
			t.Fatal(err)
		}
		return p, r
	}
	w.Log = nil
	p, r := run("c1", "unknown")
	if len(r.Failed) != 1 || r.Failed[0].ID != "turn:c2" || p.Turns[0].Held != "c1" {
		t.Fatalf("%+v, turns %+v", r, p.Turns)
	}
	slices.Sort(w.Log)
	if diff := cmp.Diff([]string{"apply a/file", "apply c2/other", "apply c3/other", "remove a/old"}, w.Log); diff != "" {
		t.Errorf("what was done beside it, from\n%s:\n%s", before, diff)
	}
	if _, r = run(); r.Err() != nil {
		t.Fatal(r.Err())
	}
	if got := w.String(); strings.Contains(got, "file=1") || strings.Contains(got, "machine:c1=off") || strings.Contains(got, "old") || strings.Contains(got, down) {
		t.Errorf("back again:\n%s", got)
	}
}

func TestServicesRestartOnRequestInTurns(t *testing.T) {
	w := enginetest.NewWorld(gates(threeHosts...))
	s := statedir.Open(t.TempDir())
	g := controllers(t, threeHosts, three("1")...)
	up(t, g, s, w)
	w.Log = nil
	e := engine.New(g, s, w, nil, engine.Options{Again: func(n *engine.Node) bool { return strings.HasSuffix(n.ID, "/svc") }})
	p, err := e.Plan(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	r, err := e.Apply(t.Context(), p, nil)
	if err != nil || r.Err() != nil {
		t.Fatal(err, r.Err())
	}
	var want []string
	for _, h := range threeHosts {
		want = append(want, "apply "+h+"/svc because "+engine.Requested)
	}
	if diff := cmp.Diff(want, w.Log); diff != "" {
		t.Error(diff)
	}
	if p, _ := up(t, g, s, w); !p.Empty() {
		t.Errorf("again: %+v", p.Steps)
	}
}
