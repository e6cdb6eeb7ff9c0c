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

func TestRemovedHostGoesAsAWholeAndLast(t *testing.T) {
	w := enginetest.NewWorld(gates("a", "b"))
	s := statedir.Open(t.TempDir())
	up(t, graphOf(t, []string{"a", "b"}, "a/conf=uses-b", "b/file=1"), s, w)
	w.Log = nil
	_, r := up(t, graphOf(t, []string{"a"}, "a/conf=alone"), s, w)
	if r.Err() != nil {
		t.Fatal(r.Err())
	}
	if diff := cmp.Diff([]string{"apply a/conf", "remove machine:b"}, w.Log); diff != "" {
		t.Error(diff)
	}
	if got := w.String(); got != "a/conf=alone\nmachine:a=1\n" {
		t.Errorf("world:\n%s", got)
	}
	records, err := s.Records(context.Background())
	if err != nil || len(records) != 2 {
		t.Errorf("state still holds %d records: %v, %v", len(records), records, err)
	}
}

func TestWhatIsRemovedInAScopeThatLeadsGoesFirst(t *testing.T) {
	for _, fails := range []bool{false, true} {
		t.Run(fmt.Sprintf("fails %t", fails), func(t *testing.T) {
			w := enginetest.NewWorld(gates("a", "b", "members"))
			s := statedir.Open(t.TempDir())
			next := graphOf(t, []string{"a", "members"}, "a/other=1")
			up(t, graphOf(t, []string{"a", "b", "members"}, "a/store=1", "a/tool=1 <a/store", "members/b=1"), s, w)
			w.Log = nil
			if fails {
				w.Fail("members/b", errors.New("no majority"))
			}
			_, r := up(t, next, s, w)
			want := []string{"remove members/b", "remove a/tool", "remove a/store", "apply a/other", "remove machine:b"}
			if fails {
				want = []string{"apply a/other"}
			}
			if diff := cmp.Diff(want, w.Log); diff != "" {
				t.Errorf("%s\n%v", diff, r.Err())
			}
			if _, r := up(t, next, s, w); r.Err() != nil || w.String() != "a/other=1\nmachine:a=1\nmachine:members=1\n" {
				t.Errorf("the next run: %v, left:\n%s", r.Err(), w)
			}
		})
	}
}

func TestAMachineStaysUntilAllElseIsDone(t *testing.T) {
	away := retry.Mark(errors.New("no answer"), retry.Unreachable)
	for _, c := range []struct {
		name  string
		errs  []error
		more  string
		stays bool
	}{
		{"another host fails", []error{errors.New("no space")}, "", true},
		{"another host is dead", slices.Repeat([]error{away}, 30), "", false},
		{"another host's machine is dead", nil, "", false},
		{"a third one waits for one that is dead", slices.Repeat([]error{away}, 30), "c/data=here <a/data", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := enginetest.NewWorld(gates("a", "b", "c"))
				s := statedir.Open(t.TempDir())
				up(t, graphOf(t, []string{"a", "b", "c"}, "a/data=on-b", "b/data=1"), s, w)
				w.Fail("a/data", c.errs...)
				if c.errs == nil {
					w.Set("machine:a", "gone")
					w.Fail("machine:a", slices.Repeat([]error{away}, 30)...)
				}
				next := graphOf(t, []string{"a", "c"}, strings.FieldsFunc("a/data=here,"+c.more, func(r rune) bool { return r == ',' })...)
				_, r := up(t, next, s, w)
				if got := strings.Contains(w.String(), "machine:b"); got != c.stays || slices.Contains(r.Blocked, "machine:b") != c.stays {
					t.Errorf("machine:b is there: %t, blocked: %v", got, r.Blocked)
				}
				if len(c.errs) != 1 {
					return // it stays dead
				}
				if _, r := up(t, next, s, w); c.stays && (r.Err() != nil || strings.Contains(w.String(), "machine:b")) {
					t.Errorf("the next run: %v, left:\n%s", r.Err(), w)
				}
			})
		})
	}
}

func TestWhatHasAnothersAddressGoesFirst(t *testing.T) {
	w := enginetest.NewWorld(gates("a", "b"))
	s := statedir.Open(t.TempDir())
	up(t, addressed(t, "a"), s, w)
	w.Log = nil
	if _, r := up(t, addressed(t, "b"), s, w); r.Err() != nil {
		t.Fatal(r.Err())
	}
	if diff := cmp.Diff([]string{"remove machine:a", "apply machine:b", "apply b/file"}, w.Log); diff != "" {
		t.Error(diff)
	}
}

func TestWhatIsToGetAPlaceWaitsUntilItIsFree(t *testing.T) {
	w := enginetest.NewWorld(gates("a", "b"))
	s := statedir.Open(t.TempDir())
	up(t, addressed(t, "a"), s, w)
	w.Fail("machine:a", errors.New("busy"))
	if _, r := up(t, addressed(t, "b"), s, w); !slices.Equal(r.Blocked, []string{"machine:b", "b/file"}) || strings.Contains(w.String(), "machine:b") {
		t.Errorf("blocked: %v, there:\n%s", r.Blocked, w)
	}
	if _, r := up(t, addressed(t, "b"), s, w); r.Err() != nil || w.String() != "b/file=1\nmachine:b=1\n" {
		t.Errorf("the next run: %v, there:\n%s", r.Err(), w)
	}
}

// addressed is one host that has an address, which only one can have.
func addressed(t *testing.T, host string) *engine.Graph {
	t.Helper()
	g := graphOf(t, []string{host}, host+"/file=1")
	g.Node("machine:" + host).Claims = []string{"mgmt 10.0.0.1"}
	return g
}

func TestWhatActsOnARemovalActsInTheSameRun(t *testing.T) {
	// a/unit is looked at long before b, which is left, has removed anything.
	hosts := []string{"a", "b"}
	for _, c := range []struct {
		rule     string
		was, now []string
		hosts    []string
		want     []string
	}{
		{"of another host's thing, after it",
			[]string{"a/unit=1 !b/conf", "b/conf=1", "b/tool=1 <b/conf"}, []string{"a/unit=1"}, hosts,
			[]string{"remove b/tool", "remove b/conf", "apply a/unit because b/conf"}},
		{"not of a machine that goes last, nor of what goes with it",
			[]string{"a/unit=1 !machine:b !b/conf", "b/conf=1"}, []string{"a/unit=1"}, hosts[:1],
			[]string{"remove machine:b"}},
	} {
		t.Run(c.rule, func(t *testing.T) {
			w := enginetest.NewWorld(gates(hosts...))
			s := statedir.Open(t.TempDir())
			up(t, graphOf(t, hosts, c.was...), s, w)
			w.Log = nil
			next := graphOf(t, c.hosts, c.now...)
			p, r := up(t, next, s, w)
			if diff := cmp.Diff(c.want, w.Log); diff != "" || r.Err() != nil {
				t.Errorf("%v, operations (-want +got):\n%s", r.Err(), diff)
			}
			if len(p.Steps) != len(c.want) {
				t.Errorf("the plan announced %+v", p.Steps)
			}
			if p, _ := up(t, next, s, w); len(p.Steps) > 0 {
				t.Errorf("the next plan: %+v", p.Steps)
			}
		})
	}
}

func TestWhatWaitsForWhatActsOnARemovalIsAnnouncedToo(t *testing.T) {
	w := enginetest.NewWorld(gates("a", "b"))
	s := statedir.Open(t.TempDir())
	hosts := []string{"a", "b"}
	up(t, graphOf(t, hosts, "a/unit=1 !b/conf", "a/late=1 !a/unit", "b/conf=1"), s, w)
	w.Log = nil
	p, r := up(t, graphOf(t, hosts, "a/unit=1", "a/late=1 !a/unit"), s, w)
	want := []string{"remove b/conf", "apply a/unit because b/conf", "apply a/late because a/unit"}
	if diff := cmp.Diff(want, w.Log); diff != "" || r.Err() != nil || len(p.Steps) != len(want) {
		t.Errorf("%v, %d steps announced, operations (-want +got):\n%s", r.Err(), len(p.Steps), diff)
	}
}

func TestADebtOutlivesWhatItIsFor(t *testing.T) {
	const unit = "a/unit=1 !net"
	w := enginetest.NewWorld(gates("a"))
	s := statedir.Open(t.TempDir())
	up(t, graphOf(t, []string{"a"}, "net=1", unit), s, w)
	w.Fail("a/unit", errors.New("busy"), errors.New("busy"))
	if _, r := up(t, graphOf(t, []string{"a"}, "net=2", unit), s, w); r.Err() == nil {
		t.Fatal("it did not fail")
	}
	next := graphOf(t, []string{"a"}, "a/unit=1")
	if p, r := up(t, next, s, w); r.Err() == nil || len(p.Steps) != 2 {
		t.Fatalf("%v: %+v", r.Err(), p.Steps)
	}
	w.Log = nil
	if _, r := up(t, next, s, w); r.Err() != nil || !slices.Equal(w.Log, []string{"apply a/unit because net"}) {
		t.Errorf("%v: %q", r.Err(), w.Log)
	}
	if p, _ := up(t, next, s, w); len(p.Steps) > 0 {
		t.Errorf("the next plan: %+v", p.Steps)
	}
}

// What is removed early, as another gets its place, takes along what was on it.
func TestWhatGoesWithARenamedMachineIsActedOn(t *testing.T) {
	w := enginetest.NewWorld(gates("a", "b", "c"))
	s := statedir.Open(t.TempDir())
	at := func(host, unit string) *engine.Graph {
		t.Helper()
		g := graphOf(t, []string{host, "c"}, host+"/file=1", unit)
		g.Node("machine:" + host).Claims = []string{"address"}
		return g
	}
	up(t, at("a", "c/unit=1 !a/file"), s, w)
	w.Log = nil
	p, r := up(t, at("b", "c/unit=1"), s, w)
	if !slices.Contains(w.Log, "apply c/unit because machine:a") || r.Err() != nil || len(p.Steps) != len(w.Log) {
		t.Errorf("%v, of %d steps: %q", r.Err(), len(p.Steps), w.Log)
	}
	if p, _ := up(t, at("b", "c/unit=1"), s, w); len(p.Steps) > 0 {
		t.Errorf("the next plan: %+v", p.Steps)
	}
}

func TestStepsThatWaitForEachOtherAreNoSuccess(t *testing.T) {
	w := enginetest.NewWorld(gates("a", "b"))
	s := statedir.Open(t.TempDir())
	at := func(host string, more ...string) *engine.Graph {
		g := graphOf(t, []string{host}, append(more, host+"/file=1")...)
		g.Node("machine:" + host).Claims = []string{"address"}
		return g
	}
	first := at("a", "net=1")
	first.Node("machine:a").Outlives = []string{"net"}
	up(t, first, s, w)
	e := engine.New(at("b"), s, w, nil, engine.Options{})
	p, err := e.Plan(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := e.Apply(t.Context(), p, nil); err == nil || !strings.Contains(err.Error(), "wait for each other") {
		t.Errorf("%v; there:\n%s", err, w)
	}
}
