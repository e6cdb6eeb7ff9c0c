package control

import (
	"context"
	"time"

	"github.com/updraft-cloud/updraft/internal/lb/model"
	"github.com/updraft-cloud/updraft/internal/lb/store"
	"github.com/updraft-cloud/updraft/internal/secret/pki"
)

// tend does what has time: it removes what nobody knows, purges what was deleted
// long ago, and renews certificates.
func (c *Controller) tend(ctx context.Context) {
	every := min(c.limits.Grace, 30*time.Second)
	for tick(ctx, every) {
		if err := c.opts.Authority.refreshIfSet(ctx); err != nil {
			c.log.Warn("cannot read the agents' certificate authority", "error", err)
		}
		c.purge(ctx)
		c.renew(ctx)
		if c.shards.has(c.shards.names[0]) { // one of all controllers
			c.sweep(ctx)
		}
	}
}

// sweep removes instances, ports and reserved addresses that no record leads to.
// Whatever is younger than the grace may be about to be recorded.
func (c *Controller) sweep(ctx context.Context) {
	if c.light {
		return
	}
	limit := time.Now().Add(-c.limits.Grace)
	instances, err := c.opts.Compute.List(ctx)
	if err != nil {
		c.log.Warn("cannot list the instances", "error", err)
	}
	for _, in := range instances {
		if in.Created.After(limit) || c.known(ctx, in.LoadBalancerID, in.AmphoraID) {
			continue
		}
		c.log.Info("an instance that nobody knows is removed", "amphora", in.AmphoraID, "loadbalancer", in.LoadBalancerID)
		if err := c.opts.Compute.Remove(ctx, in.AmphoraID); err != nil {
			c.log.Warn("cannot remove an instance", "amphora", in.AmphoraID, "error", err)
		}
	}
	ports, err := c.opts.Network.Ports(ctx, "")
	if err != nil {
		c.log.Warn("cannot list the ports", "error", err)
	}
	for _, p := range ports {
		if p.Created.After(limit) || c.known(ctx, p.LoadBalancerID, p.AmphoraID) && !c.left(ctx, p.AmphoraID, p.NetworkID) {
			continue
		}
		c.log.Info("a port that nobody needs is removed", "port", p.ID, "loadbalancer", p.LoadBalancerID)
		if err := c.opts.Network.RemovePort(ctx, p.ID); err != nil {
			c.log.Warn("cannot remove a port", "port", p.ID, "error", err)
		}
	}
}

// known reports whether there is a record, by the latest state that there is: a
// transaction that fails because it does not know says yes.
func (c *Controller) known(ctx context.Context, lb, amphora string) bool {
	known := true
	if err := c.opts.Store.Update(ctx, func(tx *store.Tx) error {
		if err := c.shards.fenceShard(tx, c.shards.names[0]); err != nil {
			return err
		}
		t := tx.Tree(lb)
		known = t != nil && t.LB.ProvisioningStatus != model.Deleted && (amphora == "" || t.Amphora(amphora) != nil)
		return nil
	}); err != nil {
		return true
	}
	return known
}

// left reports whether an amphora no longer stands on a network: the members
// there are gone.
func (c *Controller) left(ctx context.Context, amphora, network string) bool {
	a, t := c.opts.Store.View().Amphora(amphora)
	if a == nil || t.LB.ProvisioningStatus != model.Active {
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

// renew gives agents new certificates: a third of their life before the end, or
// when the authority is being replaced.
func (c *Controller) renew(ctx context.Context) {
	if c.opts.Authority == nil || c.light {
		return
	}
	c.eachAmphora(func(a *model.Amphora) {
		if time.Until(a.CertExpiration) > pki.LeafLife/3 && a.CertGeneration == c.opts.Authority.Generation() || ctx.Err() != nil {
			return
		}
		if err := c.renewOne(ctx, a); err != nil {
			c.log.Warn("cannot renew the certificate of an agent", "amphora", a.ID, "error", err)
		}
	})
}

func (c *Controller) renewOne(ctx context.Context, a *model.Amphora) error {
	ctx, cancel := context.WithTimeout(ctx, passDeadline)
	defer cancel()
	generation := c.opts.Authority.Generation()
	cert, key, err := c.opts.Authority.Issue(a.ID)
	if err != nil {
		return err
	}
	if err := c.opts.Amphorae.Renew(ctx, a, cert, key, c.opts.Authority.Bundle()); err != nil {
		return err
	}
	left, err := pki.Left(cert, time.Now())
	if err != nil {
		return err
	}
	return c.change(ctx, a.LoadBalancerID, func(tx *store.Tx, now *store.Tree) error {
		cur := now.Amphora(a.ID)
		if cur == nil {
			return nil
		}
		d := cur.Clone()
		d.CertExpiration, d.CertGeneration = time.Now().Add(left).UTC().Truncate(time.Second), generation
		return tx.Update(d)
	})
}
