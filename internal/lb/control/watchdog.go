package control

import (
	"context"
	"fmt"
	"time"

	"github.com/updraft-cloud/updraft/internal/lb/driver"
	"github.com/updraft-cloud/updraft/internal/lb/model"
)

const (
	// watchEvery is how often silence is looked for.
	watchEvery = 500 * time.Millisecond
	// probeDeadline bounds one question to an agent that is silent; it is asked
	// probes times.
	probeDeadline = 2 * time.Second
	probes        = 2
	// listEvery is how often the compute is asked what runs.
	listEvery = 2 * time.Second
)

// watchdog finds amphorae that do not live any longer. Two signs are needed: no
// heartbeat came, and the agent does not answer; or the compute says that the
// instance has stopped.
func (c *Controller) watchdog(ctx context.Context) {
	if c.light {
		return
	}
	var listed time.Time
	for tick(ctx, watchEvery) {
		now := time.Now()
		silent, all := 0, 0
		c.eachAmphora(func(a *model.Amphora) {
			all++
			if c.vitals.silence(a, now) < c.limits.Silence {
				return
			}
			silent++
			if c.vitals.ask(a.ID) {
				go c.question(ctx, a)
			}
		})
		c.breaker.Observe(now, silent, all)
		c.breaker.Keep(c.watches)
		c.Metrics.silent(silent, all)
		if now.Sub(listed) >= listEvery {
			listed = now
			c.vitals.keep(c.watches)
			c.stopped(ctx)
		}
	}
}

// eachAmphora calls f for the amphorae that this controller watches.
func (c *Controller) eachAmphora(f func(*model.Amphora)) {
	for t := range c.opts.Store.View().Trees("") {
		if !c.shards.mine(t.LB.ID) || t.LB.ProvisioningStatus == model.PendingDelete {
			continue
		}
		for _, a := range t.Amphorae() {
			if a.Status == model.AmphoraAllocated {
				f(a)
			}
		}
	}
}

// watches reports whether there is such an amphora among this controller's.
func (c *Controller) watches(id string) bool {
	a, t := c.opts.Store.View().Amphora(id)
	return a != nil && c.shards.mine(t.LB.ID)
}

// question asks a silent amphora, and gives it up if it does not answer and that
// is not forbidden at present.
func (c *Controller) question(ctx context.Context, a *model.Amphora) {
	var err error
	for range probes {
		probe, cancel := context.WithTimeout(ctx, probeDeadline)
		err = c.opts.Amphorae.Probe(probe, a)
		cancel()
		if err == nil || ctx.Err() != nil {
			break
		}
	}
	c.vitals.alive(a.ID, time.Now(), err == nil)
	if err == nil || ctx.Err() != nil {
		return
	}
	silence := c.vitals.silence(a, time.Now()).Round(time.Second)
	c.replace(ctx, a, fmt.Sprintf("it sent no heartbeat for %s, and its agent does not answer: %v", silence, err))
}

// replace gives an amphora up, as far as the breaker lets it.
func (c *Controller) replace(ctx context.Context, a *model.Amphora, reason string) {
	if !c.breaker.Begin(time.Now(), a.ID) {
		c.Metrics.heldBack()
		return
	}
	err := c.condemn(ctx, a, reason)
	t := c.opts.Store.View().Tree(a.LoadBalancerID)
	if t == nil || t.Amphora(a.ID) == nil || !dead(t.Amphora(a.ID)) {
		c.breaker.End(a.ID)
		c.log.Debug("an amphora could not be given up", "amphora", a.ID, "error", err)
		return
	}
	c.interrupt(a.LoadBalancerID)
}

// stopped gives up amphorae whose instances have stopped or are not there.
func (c *Controller) stopped(ctx context.Context) {
	view := c.opts.Store.View() // before the list: who is in it was made before
	list, err := c.opts.Compute.List(ctx)
	if err != nil {
		c.log.Warn("cannot list the instances", "error", err)
		return
	}
	state := map[string]driver.State{}
	for _, in := range list {
		state[in.AmphoraID] = in.State
	}
	c.eachAmphora(func(a *model.Amphora) {
		old, _ := view.Amphora(a.ID)
		if old == nil || old.Status != model.AmphoraAllocated {
			return
		}
		switch s, there := state[a.ID]; {
		case !there:
			c.replace(ctx, a, "its instance is not there any longer")
		case s == driver.Stopped:
			c.replace(ctx, a, "its instance has stopped")
		}
	})
}
