package engine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/updraft-cloud/updraft/internal/drift"
	"github.com/updraft-cloud/updraft/internal/retry"
)

// KindTurn is the kind of events about a turn that is about to begin: the services
// of other scopes are waited for. It is no step of the plan.
const KindTurn = "turn"

// turnPatience is how long services that have just been changed elsewhere may take
// to work together again. They were ready when their steps ended; a cluster may
// still have to notice.
const turnPatience = 2 * time.Minute

// addTurns adds a task for the beginning of each turn, which the turn's nodes wait
// for, and which waits for all of the turn before.
func (r *run) addTurns() {
	before := r.p.first
	for k := range r.p.Turns {
		t := int32(len(r.tasks)) //nolint:gosec // no more than nodes
		r.tasks = append(r.tasks, task{})
		for _, i := range before {
			r.edge(i, t)
		}
		turn := &r.p.Turns[k]
		for _, i := range turn.nodes {
			r.edge(t, i)
			_, service := r.p.graph.nodes[i].Body.(Service)
			r.tasks[i].disturbs = service
		}
		before = turn.nodes
	}
}

// turnOf returns the turn of which a task is the beginning, or nil.
func (r *run) turnOf(t int32) *Turn {
	k := int(t) - len(r.p.graph.nodes) - len(r.observes)
	if k < 0 || k >= len(r.p.Turns) {
		return nil
	}
	return &r.p.Turns[k]
}

func (t *Turn) id() string { return "turn:" + t.Scope }

// await returns once all services that must work when the turn begins do so.
func (r *run) await(turn *Turn) error {
	ev := Event{Type: EvStart, ID: turn.id(), Kind: KindTurn, Scope: turn.Scope, Phase: Start}
	r.e.emit(ev)
	start := time.Now()
	ctx, cancel := context.WithTimeout(r.ctx, turnPatience)
	defer cancel()
	policy := retry.Policy{First: 250 * time.Millisecond, Most: 4 * time.Second}
	var last error // what was said when there was time to say something
	err := policy.Do(ctx, nil, func(ctx context.Context) error {
		if turn.Held != "" {
			return fmt.Errorf("%s is away, and there should not be less than the rest", turn.Held)
		}
		err := r.whole(ctx, turn)
		if err != nil && ctx.Err() == nil {
			last = err
		}
		return retry.Mark(err, retry.Transient)
	})
	if err != nil {
		// Not of the class of what was seen elsewhere: this scope answers.
		err = retry.Mark(fmt.Errorf("%s is left as it is until the others do their work: %w", turn.Scope, cmp.Or(last, err)), retry.Permanent)
	}
	if ev.Type, ev.Took = EvDone, time.Since(start); err != nil {
		ev.Type, ev.Err = EvFail, err.Error()
	}
	r.e.emit(ev)
	return err
}

// whole looks at the services of the other scopes, and returns why they do not work.
func (r *run) whole(ctx context.Context, turn *Turn) error {
	by := map[string][]*Node{}
	for _, i := range turn.watch {
		n := r.p.graph.nodes[i]
		by[n.Scope] = append(by[n.Scope], n)
	}
	var g errgroup.Group
	var mu sync.Mutex
	var errs []error
	for scope, nodes := range by {
		g.Go(func() error {
			found, err := r.e.exec.Observe(ctx, scope, nodes)
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				err = idle(nodes, found)
			}
			errs = append(errs, err)
			return nil
		})
	}
	_ = g.Wait() // the functions return no errors
	return errors.Join(errs...)
}

// idle names the services that do not work.
func idle(nodes []*Node, found []drift.Report) error {
	var errs []error
	for k, n := range nodes {
		s, ok := n.Body.(Service)
		switch {
		case !ok || k >= len(found):
		case found[k].Status == drift.Unknown:
			errs = append(errs, fmt.Errorf("%s cannot be seen: %s", n.ID, found[k].Err))
		case !s.Works(found[k]):
			errs = append(errs, fmt.Errorf("%s does not work (%s)", n.ID, summary(found[k])))
		}
	}
	return errors.Join(errs...)
}
