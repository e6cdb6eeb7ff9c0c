package control

import (
	"context"
	"time"

	"github.com/updraft-cloud/updraft/internal/lb/model"
	"github.com/updraft-cloud/updraft/internal/lb/store"
)

// tend does what has time: it removes what nobody knows, and purges what was
// deleted long ago.
func (c *Controller) tend(ctx context.Context) {
	for tick(ctx, c.tendEvery()) {
		c.purge(ctx)
		if c.shards.has(c.shards.names[0]) { // one of all controllers
			c.sweep(ctx)
		}
	}
}

func (c *Controller) tendEvery() time.Duration { return min(c.limits.Grace, 30*time.Second) }

// sweep removes instances, ports and reserved addresses that no record leads to,
// after they were seen to be so for the grace: before, they may be about to be
// recorded. What their makers' clocks say of their age does not count.
func (c *Controller) sweep(ctx context.Context) {
	seen := map[string]time.Time{}
	defer func() { c.strays = seen }()
	c.sweepInstances(ctx, seen)
	c.sweepPorts(ctx, seen)
}

// stray notes that something was seen that nobody knows, and reports whether that
// has been so for the grace.
func (c *Controller) stray(id string, seen map[string]time.Time) bool {
	since, ok := c.strays[id]
	if !ok {
		since = time.Now()
	}
	seen[id] = since
	return time.Since(since) >= c.limits.Grace
}

func (c *Controller) sweepInstances(ctx context.Context, seen map[string]time.Time) {
	instances, err := c.opts.Compute.List(ctx)
	if err != nil {
		c.log.Warn("cannot list the instances", "error", err)
	}
	for _, in := range instances {
		if c.known(ctx, in.LoadBalancerID, in.AmphoraID) || !c.stray("instance "+in.AmphoraID, seen) {
			continue
		}
		c.log.Info("an instance that nobody knows is removed", "amphora", in.AmphoraID, "loadbalancer", in.LoadBalancerID)
		if err := c.opts.Compute.Remove(ctx, in.AmphoraID); err != nil {
			c.log.Warn("cannot remove an instance", "amphora", in.AmphoraID, "error", err)
		}
	}
}

func (c *Controller) sweepPorts(ctx context.Context, seen map[string]time.Time) {
	ports, err := c.opts.Network.Ports(ctx, "")
	if err != nil {
		c.log.Warn("cannot list the ports", "error", err)
	}
	for _, p := range ports {
		if c.known(ctx, p.LoadBalancerID, p.AmphoraID) && !c.left(ctx, p.AmphoraID, p.NetworkID) || !c.stray("port "+p.ID, seen) {
			continue
		}
		c.log.Info("a port that nobody needs is removed", "port", p.ID, "loadbalancer", p.LoadBalancerID)
		if err := c.opts.Network.RemovePort(ctx, p.ID); err != nil {
			c.log.Warn("cannot remove a port", "port", p.ID, "error", err)
		}
	}
}

// known reports whether there is a record. That there is none is said by the latest
// state alone: a transaction that fails because it does not know says yes.
func (c *Controller) known(ctx context.Context, lb, amphora string) bool {
	if recorded(c.opts.Store.View().Tree(lb), amphora) {
		return true
	}
	known := true
	if err := c.opts.Store.Update(ctx, func(tx *store.Tx) error {
		if err := c.shards.fenceShard(tx, c.shards.names[0]); err != nil {
			return err
		}
		known = recorded(tx.Tree(lb), amphora)
		return nil
	}); err != nil {
		return true
	}
	return known
}

func recorded(t *store.Tree, amphora string) bool {
	return t != nil && t.LB.ProvisioningStatus != model.Deleted && (amphora == "" || t.Amphora(amphora) != nil)
}

// left reports whether an amphora no longer stands on a network: the members
// there are gone.
func (c *Controller) left(ctx context.Context, amphora, network string) bool {
	a, t := c.opts.Store.View().Amphora(amphora)
	if a == nil || t.LB.ProvisioningStatus != model.Active || t.LB.VIP.NetworkID == network {
		return false
	}
	sites, err := c.sites(ctx, t)
	if err != nil {
		return false
	}
	for _, s := range sites {
		if s.network == network {
			return false
		}
	}
	return true
}

// purge forgets load balancers that were deleted long ago.
func (c *Controller) purge(ctx context.Context) {
	limit := time.Now().Add(-c.limits.Expire)
	for t := range c.opts.Store.View().Trees("") {
		if t.LB.ProvisioningStatus != model.Deleted || t.LB.StatusSince.After(limit) || !c.shards.mine(t.LB.ID) {
			continue
		}
		if err := c.change(ctx, t.LB.ID, func(tx *store.Tx, now *store.Tree) error {
			if now.LB.ProvisioningStatus != model.Deleted {
				return nil
			}
			return tx.Delete(model.KindLoadBalancer, now.LB.ID)
		}); err != nil {
			c.log.Warn("cannot purge a deleted load balancer", "loadbalancer", t.LB.ID, "error", err)
		}
	}
}
