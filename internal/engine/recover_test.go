package engine_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
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

func TestARemovedTriggerIsNotForgotten(t *testing.T) {
	with := func(t *testing.T) *engine.Graph {
		return graphOf(t, []string{"a"}, "a/file=1", "a/unit=1 !a/file", "a/late=1 !a/file")
	}
	without := func(t *testing.T) *engine.Graph { return graphOf(t, []string{"a"}, "a/unit=1", "a/late=1") }
	for k := range 4 {
		t.Run(fmt.Sprintf("cut off after %d steps", k), func(t *testing.T) {
			w := enginetest.NewWorld(gates("a"))
			dir := t.TempDir()
			up(t, with(t), statedir.Open(dir), w)
			w.Log = nil
			w.CutAfter(k)
			up(t, without(t), statedir.Open(dir), w)
			w.Mend()
			up(t, without(t), statedir.Open(dir), w)
			slices.Sort(w.Log)
			want := []string{"apply a/late because a/file", "apply a/unit because a/file", "remove a/file"}
			if diff := cmp.Diff(want, slices.Compact(w.Log)); diff != "" {
				t.Error(diff)
			}
			if p, _ := up(t, without(t), statedir.Open(dir), w); !p.Empty() {
				t.Errorf("again: %+v", p.Steps)
			}
			if records, err := statedir.Open(dir).Records(context.Background()); err != nil || len(records) != 3 {
				t.Errorf("left in the state: %v, %v", records, err)
			}
		})
	}
}

func TestADebtGoesWithThatWhichItIsOwedTo(t *testing.T) {
	w := enginetest.NewWorld(gates("a"))
	s := statedir.Open(t.TempDir())
	up(t, graphOf(t, []string{"a"}, "a/file=1", "a/unit=1 !a/file", "a/other=1"), s, w)
	w.CutAfter(1)
	up(t, graphOf(t, []string{"a"}, "a/unit=1", "a/other=1"), s, w)
	w.Mend()
	up(t, graphOf(t, []string{"a"}, "a/other=1"), s, w)
	if records, err := s.Records(context.Background()); err != nil || len(records) != 2 {
		t.Errorf("left in the state: %v, %v", records, err)
	}
}

// dying loses the connection to host a when anything is first applied there, and
// its machine at the next try.
type dying struct {
	*enginetest.World
	tries int
}

func (d *dying) Apply(ctx context.Context, n *engine.Node, found drift.Report, why engine.Cause, log func(string)) error {
	if n.Scope == "a" {
		d.tries++
	}
	switch {
	case n.Scope == "a" && d.tries <= 2:
		if d.tries == 2 {
			d.Set("machine:a", "")
		}
		return retry.Mark(errors.New("connection lost"), retry.Unreachable)
	case n.Scope == "a" && !strings.Contains(d.String(), "machine:a=1"):
		return retry.Mark(errors.New("no route to host"), retry.Unreachable)
	}
	return d.World.Apply(ctx, n, found, why, log)
}

func TestAMachineThatDiesWhileItIsWorkedOnIsStartedAgainOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := enginetest.NewWorld(gates("a"))
		s := statedir.Open(t.TempDir())
		up(t, graphOf(t, []string{"a"}, "a/file=1"), s, w)
		w.Log = nil
		var events []string
		e := engine.New(graphOf(t, []string{"a"}, "a/file=2"), s, &dying{World: w}, func(ev engine.Event) {
			if ev.Type == engine.EvStart || ev.Type == engine.EvDone || ev.Type == engine.EvFail {
				events = append(events, string(ev.Type)+" "+ev.ID)
			}
		}, engine.Options{})
		p, err := e.Plan(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		r, err := e.Apply(context.Background(), p, nil)
		if err != nil || r.Err() != nil {
			t.Fatal(r.Err(), err)
		}
		if diff := cmp.Diff([]string{"apply machine:a", "apply a/file"}, w.Log); diff != "" {
			t.Error(diff)
		}
		if diff := cmp.Diff([]string{"start a/file", "start machine:a", "done machine:a", "done a/file"}, events); diff != "" {
			t.Error(diff)
		}
	})
}

func TestAHostThatCannotBeLookedAtSaysSo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := enginetest.NewWorld(gates("a"))
		w.Fail("host:a", slices.Repeat([]error{errors.New("no key fits")}, 3)...)
		var events []string
		e := engine.New(graphOf(t, []string{"a"}, "a/file=1"), statedir.Open(t.TempDir()), w, func(ev engine.Event) {
			if ev.Kind == engine.KindHost {
				events = append(events, string(ev.Type)+" "+ev.ID+" "+ev.Err)
			}
		}, engine.Options{})
		p, err := e.Plan(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := e.Apply(context.Background(), p, nil); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]string{"start host:a ", "fail host:a no key fits"}, events); diff != "" {
			t.Error(diff)
		}
	})
}

func TestFailuresAreInTheOrderOfThePlan(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := enginetest.NewWorld(gates("a"))
		for _, id := range []string{"a/first", "a/second", "a/third"} {
			w.Fail(id, errors.New("broken"))
		}
		slow := map[string]time.Duration{"a/first": 3 * time.Second, "a/second": time.Second, "a/third": 2 * time.Second}
		w.Hold = func(id string) { <-time.After(slow[id]) } // of the bubble's clock
		_, r := up(t, graphOf(t, []string{"a"}, "a/first=1", "a/second=1", "a/third=1", "a/after=1 <a/second"), statedir.Open(t.TempDir()), w)
		var got []string
		for _, f := range r.Failed {
			got = append(got, fmt.Sprintf("%s blocks %d", f.ID, f.Blocks))
		}
		if diff := cmp.Diff([]string{"a/first blocks 0", "a/second blocks 1", "a/third blocks 0"}, got); diff != "" {
			t.Error(diff)
		}
	})
}

// patient is a value that says how long applying it may take.
type patient struct{ enginetest.Value }

func (patient) Takes() time.Duration { return 2 * time.Hour }

func TestAStepMayTakeAsLongAsItDeclares(t *testing.T) {
	for _, tt := range []struct {
		rule  string
		takes time.Duration
		ok    bool
	}{{"up to the time", 2 * time.Hour, true}, {"not for ever", 3 * time.Hour, false}} {
		t.Run(tt.rule, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := sleeping{enginetest.NewWorld(gates("a")), tt.takes}
				g := graphOf(t, []string{"a"}, "a/command=1")
				g.Node("a/command").Body = patient{"1"}
				if _, r := up(t, g, statedir.Open(t.TempDir()), w); (r.Err() == nil) != tt.ok {
					t.Errorf("%+v", r)
				}
			})
		})
	}
}

// sleeping takes its time for what is on hosts.
type sleeping struct {
	*enginetest.World
	takes time.Duration
}

func (s sleeping) Apply(ctx context.Context, n *engine.Node, found drift.Report, why engine.Cause, log func(string)) error {
	if p, ok := n.Body.(patient); ok {
		plain := *n
		plain.Body = p.Value
		if n = &plain; !retry.Wait(ctx, s.takes) {
			return ctx.Err()
		}
	}
	return s.World.Apply(ctx, n, found, why, log)
}
