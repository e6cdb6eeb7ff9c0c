package control

import (
	"context"
	"errors"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/updraft-cloud/updraft/internal/lb/model"
	"github.com/updraft-cloud/updraft/internal/lb/store"
	"github.com/updraft-cloud/updraft/internal/secret/pki"
)

// identities keeps the certificates of agents and of this controller as they
// should be: now and then, and at once when the authority is another.
func (c *Controller) identities(ctx context.Context) {
	if c.opts.Authority == nil || c.light {
		return
	}
	timer := time.NewTicker(c.tendEvery())
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-c.authority:
		case <-timer.C:
		}
		if err := c.opts.Authority.Refresh(ctx); err != nil {
			c.log.Warn("cannot read the agents' certificate authority", "error", err)
			continue
		}
		c.renew(ctx)
		c.succeed(ctx)
	}
}

// succeed has one of all controllers replace an authority that ends, each phase
// when all agents have heard of the one before.
func (c *Controller) succeed(ctx context.Context) {
	if !c.shards.has(c.shards.names[0]) || Behind(c.opts.Store.View(), c.opts.Authority.Generation()) > 0 {
		return
	}
	if err := c.opts.Authority.Succeed(ctx); err != nil && !errors.Is(err, ErrLost) {
		c.log.Warn("cannot replace the agents' certificate authority, which ends", "error", err)
	}
}

// renewals is how many agents are spoken to at a time, so that those that do not
// answer do not hold the others up.
const renewals = 16

// renew gives agents new certificates: a third of their life before the end, or
// when the authority is being replaced.
func (c *Controller) renew(ctx context.Context) {
	var g errgroup.Group
	g.SetLimit(renewals)
	c.eachAmphora(func(a *model.Amphora) {
		if time.Until(a.CertExpiration) > pki.LeafLife/3 && a.CertGeneration == c.opts.Authority.Generation() || ctx.Err() != nil {
			return
		}
		g.Go(func() error {
			if err := c.renewOne(ctx, a); err != nil {
				c.log.Warn("cannot renew the certificate of an agent", "amphora", a.ID, "error", err)
			}
			return nil
		})
	})
	_ = g.Wait() // nothing returns an error
}

// renewOne also gives the agent another key for its heartbeats, which it has with
// its next configuration.
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
	defer c.queue.add(a.LoadBalancerID)
	return c.change(ctx, a.LoadBalancerID, func(tx *store.Tx, now *store.Tree) error {
		cur := now.Amphora(a.ID)
		if cur == nil {
			return nil
		}
		d := cur.Clone()
		d.CertExpiration, d.CertGeneration = time.Now().Add(left).UTC().Truncate(time.Second), generation
		d.KeyVersion++
		return tx.Update(d)
	})
}
