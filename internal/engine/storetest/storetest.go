// Package storetest is the suite that every [engine.Store] passes.
package storetest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/updraft-cloud/updraft/internal/drift"
	"github.com/updraft-cloud/updraft/internal/engine"
)

// Suite runs the contract against stores. open returns a store on the same data
// each time it is called with the same name, as a new process would.
func Suite(t *testing.T, open func(t *testing.T, name string) engine.Store) {
	t.Run("an empty store has no records", func(t *testing.T) {
		want(t, open(t, "empty"), map[string]engine.Record{})
	})
	t.Run("records are the fold of all entries, also for the next process", func(t *testing.T) { folds(t, open) })
	t.Run("what was made stays made when it is applied again", func(t *testing.T) { staysMade(t, open) })
	t.Run("an intent without an outcome is pending", func(t *testing.T) { pending(t, open) })
	t.Run("concurrent appends are all kept", func(t *testing.T) { concurrent(t, open) })
	t.Run("a removed store is empty and can be used again", func(t *testing.T) { removed(t, open) })
	t.Run("one writer at a time", func(t *testing.T) { oneWriter(t, open) })
}

func want(t *testing.T, s engine.Store, records map[string]engine.Record) {
	t.Helper()
	got, err := s.Records(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(records, got); diff != "" {
		t.Errorf("records (-want +got):\n%s", diff)
	}
}

func add(t *testing.T, s engine.Store, entries ...engine.Entry) {
	t.Helper()
	if err := s.Append(context.Background(), entries...); err != nil {
		t.Fatal(err)
	}
}

func intend(id string, found drift.Status) engine.Entry {
	return engine.Entry{Op: engine.OpIntend, ID: id, Record: &engine.Record{ID: id, Kind: "file", Key: id}, Found: found}
}

func done(id string) engine.Entry { return engine.Entry{Op: engine.OpDone, ID: id} }

func record(id string, made, pending bool) engine.Record {
	return engine.Record{ID: id, Kind: "file", Key: id, Made: made, Pending: pending}
}

func folds(t *testing.T, open func(*testing.T, string) engine.Store) {
	add(t, open(t, "folds"), intend("a", drift.Absent), done("a"), intend("b", drift.Differs), done("b"))
	s := open(t, "folds")
	want(t, s, map[string]engine.Record{"a": record("a", true, false), "b": record("b", false, false)})
	add(t, s, engine.Entry{Op: engine.OpRemove, ID: "a"}, engine.Entry{Op: engine.OpRemoved, ID: "a"})
	want(t, open(t, "folds"), map[string]engine.Record{"b": record("b", false, false)})
}

func staysMade(t *testing.T, open func(*testing.T, string) engine.Store) {
	add(t, open(t, "made"), intend("a", drift.Absent), done("a"))
	add(t, open(t, "made"), intend("a", drift.Differs), done("a"))
	want(t, open(t, "made"), map[string]engine.Record{"a": record("a", true, false)})
}

func pending(t *testing.T, open func(*testing.T, string) engine.Store) {
	add(t, open(t, "pending"), intend("a", drift.Absent), intend("b", drift.Absent), engine.Entry{Op: engine.OpFail, ID: "b", Err: "no"})
	want(t, open(t, "pending"), map[string]engine.Record{"a": record("a", true, true), "b": record("b", true, true)})
}

func concurrent(t *testing.T, open func(*testing.T, string) engine.Store) {
	const n = 200
	s := open(t, "concurrent")
	records := map[string]engine.Record{}
	var wg sync.WaitGroup
	for i := range n {
		id := fmt.Sprintf("r%03d", i)
		records[id] = record(id, true, false)
		wg.Go(func() {
			if err := s.Append(context.Background(), intend(id, drift.Absent), done(id)); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	want(t, open(t, "concurrent"), records)
}

func removed(t *testing.T, open func(*testing.T, string) engine.Store) {
	s := open(t, "removed")
	add(t, s, intend("a", drift.Absent), done("a"))
	if err := s.Remove(context.Background()); err != nil {
		t.Fatal(err)
	}
	want(t, s, map[string]engine.Record{})
	add(t, s, intend("b", drift.Absent), done("b"))
	want(t, open(t, "removed"), map[string]engine.Record{"b": record("b", true, false)})
}

func oneWriter(t *testing.T, open func(*testing.T, string) engine.Store) {
	ctx := context.Background()
	unlock, err := open(t, "lock").Lock(ctx, engine.Holder{PID: 42, User: "ann", Host: "desk", Command: "updraft up"})
	if err != nil {
		t.Fatal(err)
	}
	var held *engine.HeldError
	if _, err := open(t, "lock").Lock(ctx, engine.Holder{PID: 43}); !errors.As(err, &held) || held.Holder.PID != 42 {
		t.Errorf("second writer: %v", err)
	}
	if err := unlock(); err != nil {
		t.Fatal(err)
	}
	again, err := open(t, "lock").Lock(ctx, engine.Holder{PID: 44})
	if err != nil {
		t.Fatal(err)
	}
	if err := again(); err != nil {
		t.Error(err)
	}
}
