package control

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime/debug"
	"time"

	"github.com/updraft-cloud/updraft/internal/lb/driver"
	"github.com/updraft-cloud/updraft/internal/lb/model"
	"github.com/updraft-cloud/updraft/internal/lb/store"
)

// errAgain says that what the pass was about has changed, or that it made a step
// after which the next pass goes on: it is due again at once.
var errAgain = errors.New("due again")

// errInterrupted says that a pass waits for somebody who is given up meanwhile.
var errInterrupted = errors.New("interrupted")

// interrupt ends a pass over a load balancer, and makes it due again.
func (c *Controller) interrupt(id string) {
	if f, ok := c.passes.Load(id); ok {
		f.(context.CancelCauseFunc)(errInterrupted)
	}
	c.queue.add(id)
}

// workLoop takes items until ctx ends, and works on each under work.
func (c *Controller) workLoop(ctx, work context.Context) {
	for {
		id, ok := c.queue.take(ctx)
		if !ok {
			return
		}
		if !c.shards.mine(id) {
			c.queue.done(id, false, 0)
			continue
		}
		c.one(work, id)
	}
}

// one makes a pass over a load balancer.
func (c *Controller) one(ctx context.Context, id string) {
	start := time.Now()
	err := safely(func() error { return c.converge(ctx, id) })
	if errors.Is(err, errInterrupted) {
		err = errAgain
	}
	c.Metrics.pass(time.Since(start), err)
	switch {
	case err == nil:
		c.waits.end(id)
		c.queue.done(id, false, 0)
	case errors.Is(err, errAgain):
		c.queue.done(id, false, time.Nanosecond)
	case errors.Is(err, store.ErrFenced), ctx.Err() != nil:
		c.queue.done(id, false, c.limits.RetryMin) // it is somebody else's, or will be
	default:
		pause := c.pause(c.queue.failures(id))
		c.note(ctx, id, err)
		c.queue.done(id, true, pause)
	}
}

// safely makes a panic an error, of one load balancer alone: it would end one
// controller after the other, and with them the work on all.
func safely(f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("a fault of the controller: %v\n%s", p, debug.Stack())
		}
	}()
	return f()
}

// pause grows with failures, and is spread, so that what failed together is not
// tried together.
func (c *Controller) pause(failures int) time.Duration {
	d := c.limits.RetryMin << min(failures, 16)
	if d > c.limits.RetryMax || d <= 0 {
		d = c.limits.RetryMax
	}
	return d/2 + rand.N(d/2+1)
}

// passDeadline bounds one pass; what takes longer goes on in the next.
const passDeadline = 30 * time.Second

func (c *Controller) converge(ctx context.Context, id string) (err error) {
	t := c.opts.Store.View().Tree(id)
	if t == nil || t.LB.ProvisioningStatus == model.Deleted {
		return nil
	}
	c.queue.begin(id, matter(t))
	ctx, cancel := context.WithTimeout(ctx, passDeadline)
	defer cancel()
	ctx, interrupt := context.WithCancelCause(ctx)
	defer interrupt(nil)
	c.passes.Store(id, interrupt)
	defer c.passes.Delete(id)
	defer func() {
		if err != nil && errors.Is(context.Cause(ctx), errInterrupted) {
			err = errInterrupted
		}
	}()
	if t.LB.ProvisioningStatus == model.PendingDelete || t.LB.Deleting {
		return c.remove(ctx, t)
	}
	return c.carry(ctx, t)
}

// note records why a load balancer does not come on, and after the patience, or
// at once if waiting is of no use, makes it ERROR.
func (c *Controller) note(ctx context.Context, id string, cause error) {
	var away *store.UnavailableError
	if errors.As(cause, &away) {
		return // nothing can be written either
	}
	t := c.opts.Store.View().Tree(id)
	if t == nil {
		return
	}
	lb, reason := t.LB, reasonOf(cause)
	c.log.Warn("a load balancer does not come on", "loadbalancer", id, "status", lb.ProvisioningStatus, "reason", reason, "request", lb.RequestID)
	if !lb.ProvisioningStatus.Pending() {
		if lb.StatusReason != reason {
			c.reason(ctx, t, reason) // also of one that is ACTIVE: an amphora of it cannot be replaced
		}
		return
	}
	if !driver.Permanent(cause) && c.waits.since(id, lb.StatusSince, time.Now()) < c.limits.Patience {
		if lb.StatusReason != reason {
			c.reason(ctx, t, reason)
		}
		return
	}
	if err := c.giveUp(ctx, t, reason); err != nil {
		c.log.Warn("cannot record that a load balancer failed", "loadbalancer", id, "error", err)
	}
}

// reasonOf is what people read; it is bounded, because it is stored.
func reasonOf(err error) string { return bounded(err.Error()) }

func bounded(s string) string {
	const most = 500
	if len(s) > most {
		s = s[:most] + "…"
	}
	return s
}

// reason writes why something is as it is. That it was not written does not
// matter: the next pass does it.
func (c *Controller) reason(ctx context.Context, t *store.Tree, reason string) {
	_ = c.change(ctx, t.LB.ID, func(tx *store.Tx, now *store.Tree) error {
		if now.LB.StatusSince != t.LB.StatusSince {
			return nil
		}
		lb := now.LB.Clone()
		lb.StatusReason = reason
		return tx.Update(lb)
	})
}

// giveUp makes a PENDING load balancer ERROR, and with it what was to be changed.
// What was to be deleted below it is, because nothing of it is there but the
// record; of itself the wish to be deleted is remembered. Then it is tried again
// until it heals.
func (c *Controller) giveUp(ctx context.Context, t *store.Tree, reason string) error {
	return c.change(ctx, t.LB.ID, func(tx *store.Tx, now *store.Tree) error {
		if !now.LB.ProvisioningStatus.Pending() || now.LB.StatusSince != t.LB.StatusSince {
			return nil
		}
		if err := eachPending(now, func(o model.Object) error { return finally(tx, o, model.Error) }); err != nil {
			return err
		}
		lb := now.LB.Clone()
		lb.Deleting = lb.ProvisioningStatus == model.PendingDelete
		lb.ProvisioningStatus, lb.StatusSince, lb.StatusReason = model.Error, model.Now(), reason
		return tx.Update(lb)
	})
}

// change changes a load balancer under the claim of its shard.
func (c *Controller) change(ctx context.Context, id string, f func(*store.Tx, *store.Tree) error) error {
	return c.opts.Store.Update(ctx, func(tx *store.Tx) error {
		if err := c.shards.fence(tx, id); err != nil {
			return err
		}
		t := tx.Tree(id)
		if t == nil {
			return nil
		}
		return f(tx, t)
	})
}

// children are the kinds that people see below a load balancer, such that what
// refers to another comes first.
var children = [...]model.Kind{model.KindL7Rule, model.KindL7Policy, model.KindListener, model.KindHealthMonitor, model.KindMember, model.KindPool}

// eachPending calls f for every child that is not as it shall be.
func eachPending(t *store.Tree, f func(model.Object) error) error {
	for _, k := range children {
		for _, s := range t.Children(k) {
			o, ok := s.(model.Object)
			if !ok || o.Common().ProvisioningStatus == model.Active {
				continue
			}
			if err := f(o); err != nil {
				return fmt.Errorf("%s %s: %w", k, o.Common().ID, err)
			}
		}
	}
	return nil
}
