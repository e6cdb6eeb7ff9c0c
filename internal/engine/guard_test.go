package engine_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"github.com/updraft-cloud/updraft/internal/engine"
	"github.com/updraft-cloud/updraft/internal/engine/enginetest"
	"github.com/updraft-cloud/updraft/internal/engine/statedir"
	"github.com/updraft-cloud/updraft/internal/retry"
)

// registry is host a, which keeps books of the others behind gate:books, in which
// others may have entered something.
func registry(t *testing.T, holds bool, hosts ...string) *engine.Graph {
	t.Helper()
	gate := node("gate:books=1 <a/books")
	gate.Holds = true
	nodes := []*engine.Node{node("machine:a=1"), node("a/books=" + strings.Join(hosts, "+")), gate}
	scopes := []engine.Scope{{Name: "a", Gate: "machine:a"}, {Name: "books", Gate: "gate:books"}}
	for _, h := range hosts {
		machine, entry := node("machine:"+h+"=1"), node("books/"+h+"=open")
		machine.Holds = holds
		entry.Guarded, entry.Outlives = true, []string{"machine:" + h, h + "/agent"}
		nodes = append(nodes, machine, node(h+"/agent=1 <a/books"), entry)
		scopes = append(scopes, engine.Scope{Name: h, Gate: "machine:" + h})
	}
	g, err := engine.NewGraph(nodes, scopes)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// kept is the registry raised with hosts b and c.
func kept(t *testing.T, holds bool) (*enginetest.World, string) {
	t.Helper()
	w, dir := enginetest.NewWorld(gates("a", "b", "c")), t.TempDir()
	w.Set("books/b", "open") // entered by its agent, not by updraft
	if _, r := up(t, registry(t, holds, "b", "c"), statedir.Open(dir), w); r.Err() != nil {
		t.Fatal(r.Err())
	}
	w.Log = nil
	return w, dir
}

func TestAGuardedThingOutlivesWhatMakesIt(t *testing.T) {
	w, dir := kept(t, true)
	if _, r := up(t, registry(t, true, "c"), statedir.Open(dir), w); r.Err() != nil {
		t.Fatal(r.Err())
	}
	want := []string{"seal books/b", "apply a/books", "remove machine:b", "remove books/b"}
	if diff := cmp.Diff(want, w.Log); diff != "" {
		t.Error(diff)
	}
}

func TestAnObjectionKeepsEverythingAsItIs(t *testing.T) {
	for _, c := range []struct {
		reason string
		object func(w *enginetest.World)
		inPlan bool
	}{
		{"a plan shows it", func(w *enginetest.World) { w.InTheWay["books/b"] = "it is lent out" }, true},
		{"it may come up later", func(w *enginetest.World) { w.Coming["books/b"] = "it is lent out" }, false},
	} {
		t.Run(c.reason, func(t *testing.T) {
			w, dir := kept(t, true)
			before := w.String()
			c.object(w)
			e := engine.New(registry(t, true, "c"), statedir.Open(dir), w, nil, engine.Options{})
			p, err := e.Plan(t.Context())
			if err != nil || (p.Objections() != nil) != c.inPlan {
				t.Fatalf("objections %v, error %v", p.Objections(), err)
			}
			_, err = e.Apply(t.Context(), p, nil)
			if objection, ok := errors.AsType[*engine.ObjectionError](err); !ok || objection.ID != "books/b" || err.Error() != "cannot remove books/b: it is lent out" {
				t.Errorf("error is %v", err)
			}
			if w.String() != before {
				t.Errorf("the world was changed:\n%s", w)
			}
		})
	}
}

func TestWhatCannotBeAskedAboutIsNotRemoved(t *testing.T) {
	w, dir := kept(t, true)
	w.Set("gate:books", "")
	e := engine.New(registry(t, true, "c"), statedir.Open(dir), w, nil, engine.Options{})
	p, err := e.Plan(t.Context())
	if err != nil || p.Objections() == nil {
		t.Fatalf("objections %v, error %v", p.Objections(), err)
	}
	if _, r := up(t, registry(t, true, "b", "c"), statedir.Open(dir), w); r.Err() != nil {
		t.Fatal(r.Err())
	}
	if _, r := up(t, registry(t, true, "c"), statedir.Open(dir), w); r.Err() != nil || strings.Contains(w.String(), "b=") {
		t.Errorf("%v\n%s", r.Err(), w)
	}
}

func TestDestroyAsksNobody(t *testing.T) {
	w, dir := kept(t, true)
	w.InTheWay["books/b"] = "it is lent out"
	e := engine.New(registry(t, true, "b", "c"), statedir.Open(dir), w, nil, engine.Options{})
	if r, err := e.Destroy(t.Context(), nil); err != nil || r.Err() != nil || w.String() != "" {
		t.Errorf("%v, %v, left:\n%s", err, r.Err(), w)
	}
}

func TestAGuardedRemovalIsFinishedByTheNextRun(t *testing.T) {
	for k := range 4 {
		t.Run(fmt.Sprintf("cut off after %d steps", k), func(t *testing.T) {
			w, dir := kept(t, true)
			w.CutAfter(k)
			e := engine.New(registry(t, true, "c"), statedir.Open(dir), w, nil, engine.Options{})
			if p, err := e.Plan(t.Context()); err == nil {
				_, _ = e.Apply(t.Context(), p, nil) // as far as it comes
			}
			w.Mend()
			up(t, registry(t, true, "c"), statedir.Open(dir), w)
			if strings.Contains(w.String(), "b=") {
				t.Errorf("left:\n%s", w)
			}
			if p, _ := up(t, registry(t, true, "c"), statedir.Open(dir), w); !p.Empty() {
				t.Errorf("again: %+v", p.Steps)
			}
		})
	}
}

func TestASealIsBrokenWhenTheThingIsToStay(t *testing.T) {
	w, dir := kept(t, true)
	w.CutAfter(1)
	g := registry(t, true, "c")
	e := engine.New(g, statedir.Open(dir), w, nil, engine.Options{})
	if p, err := e.Plan(t.Context()); err == nil {
		_, _ = e.Apply(t.Context(), p, nil) // cut off right after sealing
	}
	w.Mend()
	if !strings.Contains(w.String(), "books/b=sealed") {
		t.Fatalf("it was cut off somewhere else:\n%s", w)
	}
	up(t, registry(t, true, "b", "c"), statedir.Open(dir), w)
	if !strings.Contains(w.String(), "books/b=open") {
		t.Errorf("world:\n%s", w)
	}
}

func TestWhatIsOutlivedGoesFirst(t *testing.T) {
	refused := errors.New("refused")
	away := slices.Repeat([]error{retry.Mark(errors.New("no answer"), retry.Unreachable)}, 30)
	for _, c := range []struct {
		reason string
		holds  bool
		fail   string
		errs   []error
		want   []string
	}{
		{"a machine that cannot be removed keeps the entry", true, "machine:b", []error{refused}, nil},
		{"on a host that stays, the agent goes", false, "", nil, []string{"remove b/agent", "remove machine:b", "remove books/b"}},
		{"an agent that cannot be removed keeps the entry", false, "b/agent", []error{refused}, nil},
		{"a host that does not answer is dead", false, "b/agent", away, []string{"remove books/b"}},
	} {
		t.Run(c.reason, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, dir := kept(t, c.holds)
				w.Fail(c.fail, c.errs...)
				_, r := up(t, registry(t, c.holds, "c"), statedir.Open(dir), w)
				if (r.Err() != nil) != (c.fail != "") {
					t.Error(r.Err())
				}
				removed := slices.DeleteFunc(slices.Clone(w.Log), func(line string) bool { return !strings.HasPrefix(line, "remove") })
				if diff := cmp.Diff(c.want, removed); diff != "" && len(c.want)+len(removed) > 0 {
					t.Error(diff)
				}
				w.Fail(c.fail) // the rest of the failures is over
				for range 40 {
					if p, r := up(t, registry(t, c.holds, "c"), statedir.Open(dir), w); p.Empty() && r.Err() == nil {
						return
					}
				}
				t.Error("it never comes to an end")
			})
		})
	}
}

func TestSomethingGuardedIsRecordedOnce(t *testing.T) {
	w, dir := kept(t, true)
	records, err := statedir.Open(dir).Records(context.Background())
	if r, ok := records["books/b"]; err != nil || !ok || r.Made || !r.Guarded {
		t.Errorf("%+v, %v", r, err)
	}
	if p, r := up(t, registry(t, true, "b", "c"), statedir.Open(dir), w); !p.Empty() || r.Changed+r.Unchanged > 0 {
		t.Errorf("again: %+v, %+v", p.Steps, r)
	}
}
