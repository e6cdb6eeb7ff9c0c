package api

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/updraft-cloud/updraft/internal/drift"
	"github.com/updraft-cloud/updraft/internal/engine"
)

// parallel bounds requests at once. An API service has one or a few processes
// per controller; more would only wait there.
const parallel = 16

// Executor is the [engine.Executor] of the scope of the API.
type Executor struct {
	Access Access
	// Secrets returns the password of that name, for users. It is asked when a
	// password is to be set or tried.
	Secrets func(name string) (string, error)

	mu     sync.Mutex
	client *Client
	memo   *memo
}

// connect returns a client and the lists as they were last observed.
func (x *Executor) connect(ctx context.Context, anew bool) (*Client, *memo, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.client == nil {
		c, err := Connect(ctx, x.Access)
		if err != nil {
			return nil, nil, err
		}
		x.client = c
	} else if anew {
		if err := x.client.refresh(ctx); err != nil {
			return nil, nil, err
		}
	}
	if x.memo == nil || anew {
		x.memo = newMemo()
	}
	return x.client, x.memo, nil
}

// Close lets go of connections and the token.
func (x *Executor) Close() {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.client != nil {
		x.client.Close()
	}
	x.client, x.memo = nil, nil
}

func (x *Executor) view(ctx context.Context, anew bool, log func(string)) (*view, error) {
	c, m, err := x.connect(ctx, anew)
	if err != nil {
		return nil, err
	}
	return &view{c: c, memo: m, secrets: x.Secrets, applying: !anew, log: log}, nil
}

// Observe implements [engine.Executor].
func (x *Executor) Observe(ctx context.Context, _ string, nodes []*engine.Node) ([]drift.Report, error) {
	v, err := x.view(ctx, true, nil)
	if err != nil {
		return nil, err
	}
	out := make([]drift.Report, len(nodes))
	errs := make([]error, len(nodes))
	var g errgroup.Group
	g.SetLimit(parallel)
	for i, n := range nodes {
		g.Go(func() error {
			if out[i], errs[i] = v.observe(ctx, n); errs[i] != nil {
				out[i] = drift.Report{Err: errs[i].Error()}
			}
			return nil
		})
	}
	_ = g.Wait() // errors are in the reports
	if len(nodes) == 1 && errs[0] != nil {
		return nil, errs[0] // its class would be lost in a report
	}
	return out, ctx.Err()
}

// observe compares one node. Something that belongs to what does not exist, or
// to a service that is not in the catalogue, does not exist itself.
func (v *view) observe(ctx context.Context, n *engine.Node) (drift.Report, error) {
	b, ok := n.Body.(Body)
	if !ok {
		return drift.Report{}, fmt.Errorf("the API has no resources of kind %s", n.Kind)
	}
	r, err := v.look(ctx, b.Resource)
	if isAbsent(err) {
		return drift.Missing(), nil
	}
	return r, err
}

func (v *view) look(ctx context.Context, r Resource) (drift.Report, error) {
	a, err := v.actor(ctx, r)
	if err != nil {
		return drift.Report{}, err
	}
	return a.observe(ctx, v)
}

func (v *view) actor(ctx context.Context, r Resource) (actor, error) {
	switch r := r.(type) {
	case thinger:
		t, err := r.thing(ctx, v)
		if err != nil {
			return nil, err
		}
		return t, nil
	case actor:
		return r, nil
	}
	return nil, fmt.Errorf("the API has no resources of kind %s", r.Kind())
}

// Apply implements [engine.Executor].
func (x *Executor) Apply(ctx context.Context, n *engine.Node, _ drift.Report, _ engine.Cause, log func(string)) error {
	b, ok := n.Body.(Body)
	if !ok {
		return fmt.Errorf("the API has no resources of kind %s", n.Kind)
	}
	v, err := x.view(ctx, false, log)
	if err != nil {
		return err
	}
	err = v.make(ctx, b.Resource)
	if errors.Is(err, ErrNoService) { // it may have been registered after the token was given
		if err = v.c.refresh(ctx); err == nil {
			err = v.make(ctx, b.Resource)
		}
	}
	if err != nil {
		return missing(b.Resource, err)
	}
	found, err := v.look(ctx, b.Resource)
	if err != nil {
		return err
	}
	return settled(b.Resource, found)
}

func (v *view) make(ctx context.Context, r Resource) error {
	a, err := v.actor(ctx, r)
	if err != nil {
		return err
	}
	return a.apply(ctx, v)
}

// missing says on whose behalf something was looked for in vain.
func missing(r Resource, err error) error {
	if isAbsent(err) {
		return fmt.Errorf("cannot make %s %s: %w", r.Kind(), r.Key(), err)
	}
	return err
}

// settled returns an error if the world does not agree after all: the API took
// what it was told, and shows something else.
func settled(r Resource, found drift.Report) error {
	if found.Agrees() {
		return nil
	}
	var names []string
	for _, c := range found.Changes {
		names = append(names, c.Attr)
	}
	if found.Status == drift.Absent {
		names = []string{"existence"}
	}
	return fmt.Errorf("%s %s was applied, but the API still shows another %s", r.Kind(), r.Key(), strings.Join(names, ", "))
}

// Remove implements [engine.Executor]. What updraft did not make is left alone,
// except for what comes about by itself ([Host]), and what belongs to something
// that is gone is taken to be gone.
func (x *Executor) Remove(ctx context.Context, rec engine.Record, log func(string)) error {
	if !rec.Made && !rec.Guarded {
		return nil
	}
	r, err := decode(rec.Kind, rec.Removal)
	if err != nil {
		return err
	}
	v, err := x.view(ctx, false, log)
	if err != nil {
		return err
	}
	a, err := v.actor(ctx, r)
	if err == nil {
		err = a.remove(ctx, v)
	}
	if isAbsent(err) {
		return nil
	}
	if statusOf(err) != 0 || errors.Is(err, context.DeadlineExceeded) {
		v.memo.forget()
	}
	return err
}
