package agent

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/updraft-cloud/updraft/internal/drift"
	"github.com/updraft-cloud/updraft/internal/resource"
)

// gather is how long the first of a batch waits for others that are on their
// way. The deployer sends what may run at once within about a millisecond; the
// cheapest batch, one run of a package manager, takes a second.
const gather = 5 * time.Millisecond

// batches lets resources of one kind that are to be applied at the same time go
// together, as a database commits a group: while one batch runs, the next
// collects.
type batches struct {
	mu    sync.Mutex
	kinds map[string]*queue
}

type queue struct {
	running bool
	waiting []*member
}

// member is one resource of a batch.
type member struct {
	res   resource.Resource
	found drift.Report
	why   resource.Cause
	log   func(string)
	host  func(log func(string)) resource.Host

	ctx  context.Context // of its request; the batch ends with the last
	done chan error
}

// errAlone is the result of a member that is yet to be applied, by itself.
var errAlone = errors.New("to be applied alone")

// apply waits until a batch with m in it is done.
func (b *batches) apply(ctx context.Context, m *member) error {
	m.ctx, m.done = ctx, make(chan error, 1)
	kind := m.res.Kind()
	b.mu.Lock()
	if b.kinds == nil {
		b.kinds = map[string]*queue{}
	}
	q := b.kinds[kind]
	if q == nil {
		q = &queue{}
		b.kinds[kind] = q
	}
	q.waiting = append(q.waiting, m)
	lead := !q.running
	q.running = true
	b.mu.Unlock()
	if lead {
		go b.run(q)
	}
	return <-m.done
}

// run runs batches until none is waiting.
func (b *batches) run(q *queue) {
	for {
		<-time.After(gather)
		b.mu.Lock()
		batch := q.waiting
		q.waiting = nil
		q.running = len(batch) > 0
		b.mu.Unlock()
		if len(batch) == 0 {
			return
		}
		apply(batch)
	}
}

// apply applies one batch, leaving out members that were cancelled meanwhile.
func apply(batch []*member) {
	var live []*member
	for _, m := range batch {
		if err := m.ctx.Err(); err != nil {
			m.done <- err
		} else {
			live = append(live, m)
		}
	}
	if len(live) == 0 {
		return
	}
	together := applyBatch
	if _, ok := live[0].res.(resource.Joiner); ok {
		together = applyJoint
	}
	errs := together(live)
	for i, m := range live {
		m.done <- errs[i]
	}
}

// sharedHost is the host with the logs of all members.
func sharedHost(live []*member) resource.Host {
	return live[0].host(func(line string) {
		for _, m := range live {
			m.log(line)
		}
	})
}

// applyJoint lets a kind do together what it can. Members that do not agree with
// the host afterwards are left to be applied alone.
func applyJoint(live []*member) []error {
	errs := make([]error, len(live))
	for i := range errs {
		errs[i] = errAlone
	}
	if len(live) == 1 {
		return errs
	}
	ctx, cancel := joint(live)
	defer cancel()
	all, why := make([]resource.Resource, len(live)), make([]resource.Cause, len(live))
	for i, m := range live {
		all[i], why[i] = m.res, m.why
	}
	h := sharedHost(live)
	err := guard(func() error {
		h.Forget()
		done := live[0].res.(resource.Joiner).ApplyTogether(ctx, h, all, why)
		if len(done) != len(live) {
			return fmt.Errorf("this is a mistake in updraft: %d results for %d resources", len(done), len(live))
		}
		// What it looked at last it saw after the last change.
		return agreeing(ctx, h, all, done, errs)
	})
	if err != nil { // Apply meets it again, and says what it is about
		for i := range errs {
			errs[i] = errAlone
		}
	}
	return errs
}

// agreeing clears the errors of those that are done and agree with the host.
func agreeing(ctx context.Context, h resource.Host, all []resource.Resource, done []bool, errs []error) error {
	var some []resource.Resource
	for i, r := range all {
		if done[i] {
			some = append(some, r)
		}
	}
	if len(some) == 0 {
		return nil
	}
	if p, ok := some[0].(resource.Preparer); ok {
		if err := p.Prepare(ctx, h, some); err != nil {
			return err
		}
	}
	for i, r := range all {
		if !done[i] {
			continue
		}
		if found, err := r.Observe(ctx, h); err == nil && found.Agrees() {
			errs[i] = nil
		}
	}
	return nil
}

func applyBatch(live []*member) []error {
	ctx, cancel := joint(live)
	defer cancel()
	all, found := make([]resource.Resource, len(live)), make([]drift.Report, len(live))
	for i, m := range live {
		all[i], found[i] = m.res, m.found
	}
	h := sharedHost(live)
	var errs []error
	err := guard(func() error {
		errs = live[0].res.(resource.Batcher).ApplyBatch(ctx, h, all, found)
		if len(errs) != len(live) {
			return fmt.Errorf("this is a mistake in updraft: %d results for %d resources", len(errs), len(live))
		}
		return nil
	})
	if err != nil {
		errs = make([]error, len(live))
		for i := range errs {
			errs[i] = err
		}
	}
	return errs
}

// joint returns a context that ends when those of all members have: one that is
// cancelled must not take the others along.
func joint(live []*member) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(live[0].ctx))
	var left atomic.Int64
	left.Store(int64(len(live)))
	stops := make([]func() bool, len(live))
	for i, m := range live {
		stops[i] = context.AfterFunc(m.ctx, func() {
			if left.Add(-1) == 0 {
				cancel()
			}
		})
	}
	return ctx, func() {
		for _, stop := range stops {
			stop()
		}
		cancel()
	}
}
