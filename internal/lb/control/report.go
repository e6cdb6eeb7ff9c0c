package control

import (
	"context"
	"time"

	"github.com/updraft-cloud/updraft/internal/lb/model"
	"github.com/updraft-cloud/updraft/internal/lb/store"
)

// reporters is how many reports are stored at a time. The store commits them
// together.
const reporters = 16

// Heartbeat takes what an amphora said. Whether it is genuine and no repetition
// was found out before. It waits for nothing: what of it has to be stored is
// stored by others, the latest report of each amphora alone.
func (c *Controller) Heartbeat(amphoraID string, r Report) {
	a, t := c.opts.Store.View().Amphora(amphoraID)
	if a == nil || !c.shards.mine(t.LB.ID) {
		return
	}
	c.vitals.heard(a.ID, t.LB.ID, time.Now(), r)
	c.Metrics.heartbeat()
	if r.Digest != a.Applied && a.Status == model.AmphoraAllocated && t.LB.ProvisioningStatus == model.Active {
		c.queue.add(t.LB.ID) // it has something else than it was given
	}
	c.reports.add(a.ID)
}

// maxAsking is how many agents are asked at a time where their beats are.
const maxAsking = 32

// Ask asks an agent, of which a beat came that cannot be placed, which it has sent
// last. Those of other controllers are theirs to ask.
func (c *Controller) Ask(amphoraID string) {
	a, t := c.opts.Store.View().Amphora(amphoraID)
	if a == nil || a.Status != model.AmphoraAllocated || !c.shards.mine(t.LB.ID) {
		return
	}
	select {
	case c.asking <- struct{}{}:
	default:
		return // its next beat asks again
	}
	c.vitals.begin(a, time.Now())
	if !c.vitals.ask(a.ID) {
		<-c.asking
		return
	}
	go func() {
		defer func() { <-c.asking }()
		ctx, cancel := context.WithTimeout(context.Background(), probeDeadline)
		defer cancel()
		err := c.opts.Amphorae.Probe(ctx, a)
		c.vitals.alive(a.ID, time.Now(), err == nil)
		if err != nil {
			c.log.Debug("an agent was not asked for its beats", "amphora", a.ID, "error", err)
		}
	}()
}

func (c *Controller) reportLoop(ctx context.Context) {
	for {
		id, ok := c.reports.take(ctx)
		if !ok {
			return
		}
		c.report(ctx, id)
		c.reports.done(id, false, 0)
	}
}

// report stores what the latest report of an amphora has changed.
func (c *Controller) report(ctx context.Context, amphoraID string) {
	a, t := c.opts.Store.View().Amphora(amphoraID)
	r, _, heard := c.vitals.last(amphoraID)
	if a == nil || !heard || !c.shards.mine(t.LB.ID) {
		return
	}
	now := time.Now()
	// What is said of another configuration than the present says nothing of it.
	if r.Digest == a.Applied && c.speaks(t, a, now) {
		c.tell(ctx, t, r)
	}
	if c.vitals.due(a.ID, now, c.limits.Statistics) {
		c.count(ctx, a, r, now)
	}
}

func (c *Controller) count(ctx context.Context, a *model.Amphora, r Report, now time.Time) {
	stats := &model.AmphoraStats{LoadBalancerID: a.LoadBalancerID, AmphoraID: a.ID, ReportedAt: now.UTC().Truncate(time.Microsecond), Listeners: r.Stats}
	if err := c.change(ctx, a.LoadBalancerID, func(tx *store.Tx, now *store.Tree) error {
		if now.Amphora(a.ID) == nil {
			return nil
		}
		return tx.Put(stats)
	}); err != nil {
		c.log.Debug("counters were not stored", "amphora", a.ID, "error", err)
	}
}

// speaks reports whether the amphora's view of members and listeners counts: of
// several the one that has the traffic, as long as it is heard.
func (c *Controller) speaks(t *store.Tree, a *model.Amphora, now time.Time) bool {
	if a.Role != model.RoleBackup {
		return true
	}
	for _, b := range t.Amphorae() {
		if _, at, ok := c.vitals.last(b.ID); ok && b.Role == model.RoleMaster && now.Sub(at) < c.limits.Silence {
			return false
		}
	}
	return true
}

// tell stores operating statuses, if they changed.
func (c *Controller) tell(ctx context.Context, t *store.Tree, r Report) {
	if t.LB.ProvisioningStatus.Pending() || len(changed(t, operating(t, r))) == 0 {
		return // what a report of a moment ago says about a change is not yet true
	}
	err := c.change(ctx, t.LB.ID, func(tx *store.Tx, now *store.Tree) error {
		if now.LB.ProvisioningStatus.Pending() {
			return nil
		}
		for ref, s := range changed(now, operating(now, r)) {
			tx.SetOperating(ref.Kind, ref.ID, s)
		}
		return nil
	})
	if err != nil {
		c.log.Debug("operating statuses were not stored", "loadbalancer", t.LB.ID, "error", err)
	}
}

// changed returns those statuses that are not what is stored.
func changed(t *store.Tree, s statuses) map[model.Ref]model.OperatingStatus {
	out := map[model.Ref]model.OperatingStatus{}
	note := func(k model.Kind, b *model.Base) {
		if v, ok := s[b.ID]; ok && v != b.OperatingStatus {
			out[model.Ref{Kind: k, ID: b.ID}] = v
		}
	}
	note(model.KindLoadBalancer, &t.LB.Base)
	for _, k := range []model.Kind{model.KindListener, model.KindPool, model.KindMember} {
		for _, o := range t.Children(k) {
			if o, ok := o.(model.Object); ok {
				note(k, o.Common())
			}
		}
	}
	return out
}
