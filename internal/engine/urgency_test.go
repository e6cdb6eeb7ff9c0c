package engine_test

import (
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/updraft-cloud/updraft/internal/engine"
	"github.com/updraft-cloud/updraft/internal/engine/enginetest"
	"github.com/updraft-cloud/updraft/internal/engine/statedir"
)

func TestWhatMuchWaitsForIsStartedFirst(t *testing.T) {
	w := enginetest.NewWorld(gates("a"))
	g := graphOf(t, []string{"a"},
		"a/leaf1=1", "a/leaf2=1", "a/schema=1", "a/leaf3=1", "a/leaf4=1", "a/service=1 <a/schema", "a/user=1 <a/service", "a/short=1", "a/after=1 <a/short")
	e := engine.New(g, statedir.Open(t.TempDir()), w, nil, engine.Options{PerScope: 1})
	p, err := e.Plan(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if r, err := e.Apply(context.Background(), p, nil); err != nil || r.Err() != nil {
		t.Fatal(r, err)
	}
	want := []string{"apply machine:a", "apply a/schema"}
	if diff := cmp.Diff(want, w.Log[:2]); diff != "" {
		t.Error(diff)
	}
	place := map[string]int{}
	for i, did := range w.Log {
		place[did] = i
	}
	for _, leaf := range []string{"a/leaf1", "a/leaf2", "a/leaf3", "a/leaf4"} {
		for _, first := range []string{"a/schema", "a/service", "a/short"} {
			if place["apply "+leaf] < place["apply "+first] {
				t.Errorf("%s, for which nothing waits, was before %s", leaf, first)
			}
		}
	}
}
