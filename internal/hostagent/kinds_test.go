package hostagent_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/updraft-cloud/updraft/internal/drift"
	"github.com/updraft-cloud/updraft/internal/resource"
	"github.com/updraft-cloud/updraft/internal/retry"
)

// world is what the kinds of these tests look at and change.
type world struct {
	mu       sync.Mutex
	values   map[string]string
	batches  []int // sizes
	prepared int
	started  chan struct{} // one for each Apply of a thing that blocks
	ended    chan struct{}
}

func newWorld() *world {
	return &world{values: map[string]string{}, started: make(chan struct{}, 10), ended: make(chan struct{}, 10)}
}

func (w *world) get(k string) (string, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	v, ok := w.values[k]
	return v, ok
}

func (w *world) set(k, v string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.values[k] = v
}

// thing is a resource. How it behaves is part of its name.
type thing struct {
	Name  string `json:"name"`
	Value string `json:"value"`
	w     *world
}

func (t *thing) Kind() string    { return "thing" }
func (t *thing) Key() string     { return t.Name }
func (t *thing) Validate() error { return nil }

func (t *thing) IsSensitive() bool { return strings.HasPrefix(t.Name, "secret") }

func (t *thing) Observe(context.Context, resource.Host) (drift.Report, error) {
	if t.Name == "panics" {
		panic("on purpose")
	}
	if t.Name == "fails" {
		return drift.Report{}, errors.New("cannot look")
	}
	got, ok := t.w.get(t.Name)
	if !ok {
		return drift.Missing(), nil
	}
	var b drift.Builder
	b.Want("value", got, t.Value)
	return b.Report(), nil
}

func (t *thing) Apply(ctx context.Context, h resource.Host, _ drift.Report, why resource.Cause) error {
	h.Logf("applying %s", t.Name)
	switch t.Name {
	case "blocks":
		t.w.started <- struct{}{}
		<-ctx.Done()
		t.w.ended <- struct{}{}
		return ctx.Err()
	case "locked":
		return retry.Mark(errors.New("somebody holds the lock"), retry.Transient)
	case "stubborn", "secret-stubborn":
		t.w.set(t.Name, "old")
	case "triggered":
		t.w.set(t.Name, strings.Join(why.Triggered, ","))
	default:
		t.w.set(t.Name, t.Value)
	}
	return nil
}

func (t *thing) Remove(_ context.Context, _ resource.Host, made bool) error {
	t.w.set("removed", fmt.Sprint(t.Name, made))
	return nil
}

// batched is a resource that is applied in batches and prepares to be observed.
type batched struct{ thing }

func (b *batched) Kind() string { return "batched" }

func (b *batched) Prepare(_ context.Context, _ resource.Host, all []resource.Resource) error {
	b.w.mu.Lock()
	defer b.w.mu.Unlock()
	b.w.prepared++
	return nil
}

func (b *batched) ApplyBatch(_ context.Context, h resource.Host, all []resource.Resource, _ []drift.Report) []error {
	b.w.mu.Lock()
	defer b.w.mu.Unlock()
	b.w.batches = append(b.w.batches, len(all))
	errs := make([]error, len(all))
	for i, r := range all {
		if r.Key() == "bad" {
			errs[i] = errors.New("no such thing")
			continue
		}
		b.w.values[r.Key()] = r.(*batched).Value
	}
	<-time.After(20 * time.Millisecond) // so that others wait meanwhile
	return errs
}

// joined is a resource that goes together with others as far as it can.
type joined struct{ thing }

func (j *joined) Kind() string { return "joined" }

func (j *joined) ApplyTogether(_ context.Context, _ resource.Host, all []resource.Resource, why []resource.Cause) []bool {
	j.w.mu.Lock()
	defer j.w.mu.Unlock()
	j.w.batches = append(j.w.batches, len(all))
	done := make([]bool, len(all))
	for i, r := range all {
		switch {
		case r.Key() == "liar":
			done[i] = true
		case len(why[i].Triggered) == 0:
			j.w.values[r.Key()], done[i] = r.(*joined).Value, true
		}
	}
	<-time.After(20 * time.Millisecond) // so that others wait meanwhile
	return done
}

func registry(w *world) *resource.Registry {
	return resource.NewRegistry(
		resource.Kind{Name: "thing", New: func() resource.Resource { return &thing{w: w} }},
		resource.Kind{Name: "joined", New: func() resource.Resource { return &joined{thing{w: w}} }},
		resource.Kind{Name: "batched", New: func() resource.Resource { return &batched{thing{w: w}} }},
	)
}
