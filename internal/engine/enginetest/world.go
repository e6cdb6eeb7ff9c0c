// Package enginetest has a world in memory for tests of the engine and of what
// is built on it: a strict, stateful [engine.Executor] that renders itself as
// text and can be cut off after any step.
package enginetest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/updraft-cloud/updraft/internal/drift"
	"github.com/updraft-cloud/updraft/internal/engine"
)

// ErrCut is what every operation returns after the world was cut off, as if
// updraft had been killed.
var ErrCut = errors.New("cut off")

// Value is the desired state of a node in a [World]: a text.
type Value string

// Digest returns the value itself.
func (v Value) Digest() string { return string(v) }

// Removal returns the value as JSON.
func (v Value) Removal() json.RawMessage { b, _ := json.Marshal(string(v)); return b }

// World holds things by ID. Things of a scope exist only while the scope's gate
// does.
type World struct {
	mu     sync.Mutex
	things map[string]string
	gates  map[string]string // scope → gate ID
	budget int               // changing operations left before the cut; negative: no bound
	errs   map[string][]error
	// Changes counts changing operations by "apply ID" and "remove ID".
	Changes map[string]int
	// Log lists changing operations in order.
	Log []string
	// MaxActive is the greatest number of applies that ran at once in a scope.
	MaxActive map[string]int
	active    map[string]int
	// Hold, if set, is called in the middle of each Apply.
	Hold func(id string)
	// InTheWay are reasons to object to removals, Coming those that come up between
	// asking and sealing, by ID.
	InTheWay, Coming map[string]string
}

// NewWorld returns an empty world in which the scopes lie behind the gates.
func NewWorld(gates map[string]string) *World {
	return &World{
		things: map[string]string{}, gates: gates, budget: -1, errs: map[string][]error{},
		Changes: map[string]int{}, MaxActive: map[string]int{}, active: map[string]int{},
		InTheWay: map[string]string{}, Coming: map[string]string{},
	}
}

// CutAfter lets n more changing operations through; all that follows fails.
func (w *World) CutAfter(n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.budget = n
}

// Mend lets everything through again.
func (w *World) Mend() { w.CutAfter(-1) }

// Fail makes the next operations on the thing fail with these errors in turn.
func (w *World) Fail(id string, errs ...error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.errs[id] = append(w.errs[id], errs...)
}

// Set changes a thing behind updraft's back; an empty value removes it.
func (w *World) Set(id, value string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if value == "" {
		delete(w.things, id)
		return
	}
	w.things[id] = value
}

// String lists all things, sorted.
func (w *World) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var b strings.Builder
	for _, id := range slices.Sorted(maps.Keys(w.things)) {
		fmt.Fprintf(&b, "%s=%s\n", id, w.things[id])
	}
	return b.String()
}

// Observe implements [engine.Executor].
func (w *World) Observe(_ context.Context, scope string, nodes []*engine.Node) ([]drift.Report, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.budget == 0 {
		return nil, ErrCut
	}
	if gate := w.gates[scope]; gate != "" && w.things[gate] == "" {
		return nil, fmt.Errorf("%s does not exist: %s was observed too early", gate, scope)
	}
	if err := w.take("host:" + scope); err != nil {
		return nil, err
	}
	out := make([]drift.Report, len(nodes))
	for i, n := range nodes {
		out[i] = compare(w.things, n)
	}
	return out, nil
}

func compare(things map[string]string, n *engine.Node) drift.Report {
	got, ok := things[n.ID]
	if !ok {
		return drift.Missing()
	}
	var b drift.Builder
	b.Want("value", got, n.Body.Digest())
	return b.Report()
}

func (w *World) take(id string) error {
	if len(w.errs[id]) == 0 {
		return nil
	}
	err := w.errs[id][0]
	w.errs[id] = w.errs[id][1:]
	return err
}

// Apply implements [engine.Executor].
func (w *World) Apply(_ context.Context, n *engine.Node, _ drift.Report, why engine.Cause, log func(string)) error {
	if err := w.begin(n); err != nil {
		return err
	}
	log("applying " + n.ID)
	if w.Hold != nil {
		w.Hold(n.ID)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.active[n.Scope]--
	w.things[n.ID] = n.Body.Digest()
	w.Changes["apply "+n.ID]++
	line := "apply " + n.ID
	if len(why.Triggered) > 0 {
		line += " because " + strings.Join(why.Triggered, ",")
	}
	w.Log = append(w.Log, line)
	return nil
}

func (w *World) begin(n *engine.Node) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.spend(); err != nil {
		return err
	}
	for _, need := range append(slices.Clone(n.Needs), n.Triggers...) {
		if w.things[need] == "" {
			return fmt.Errorf("%s was applied before %s", n.ID, need)
		}
	}
	if err := w.take(n.ID); err != nil {
		return err
	}
	w.active[n.Scope]++
	w.MaxActive[n.Scope] = max(w.MaxActive[n.Scope], w.active[n.Scope])
	return nil
}

func (w *World) spend() error {
	if w.budget == 0 {
		return ErrCut
	}
	if w.budget > 0 {
		w.budget--
	}
	return nil
}

// Remove implements [engine.Executor]. Removing a gate takes what lies behind
// it along.
func (w *World) Remove(_ context.Context, r engine.Record, _ func(string)) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.spend(); err != nil {
		return err
	}
	if err := w.take(r.ID); err != nil {
		return err
	}
	if !r.Made && !r.Guarded {
		return nil
	}
	delete(w.things, r.ID)
	for _, s := range r.Opens {
		for id := range w.things {
			if strings.HasPrefix(id, s+"/") {
				delete(w.things, id)
			}
		}
	}
	w.Changes["remove "+r.ID]++
	w.Log = append(w.Log, "remove "+r.ID)
	return nil
}

// Object implements [engine.Guard].
func (w *World) Object(_ context.Context, r engine.Record) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if why := w.InTheWay[r.ID]; why != "" {
		return errors.New(why)
	}
	return nil
}

// Seal implements [engine.Guard]: a sealed thing has another value.
func (w *World) Seal(_ context.Context, r engine.Record) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if why := w.Coming[r.ID]; why != "" {
		return errors.New(why)
	}
	if w.things[r.ID] != "" {
		w.things[r.ID] = "sealed"
	}
	w.Log = append(w.Log, "seal "+r.ID)
	return nil
}
