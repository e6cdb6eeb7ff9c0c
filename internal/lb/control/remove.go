package control

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/updraft-cloud/updraft/internal/lb/driver"
	"github.com/updraft-cloud/updraft/internal/lb/model"
	"github.com/updraft-cloud/updraft/internal/lb/store"
)

// remove takes a load balancer away: first what carries its traffic, then what
// it holds of others, and the records last.
func (c *Controller) remove(ctx context.Context, t *store.Tree) error {
	amphorae := t.Amphorae()
	errs := make([]error, len(amphorae))
	var g errgroup.Group
	for i, a := range amphorae {
		g.Go(func() error { errs[i] = safely(func() error { return c.destroy(ctx, a) }); return nil })
	}
	_ = g.Wait() // the errors are in errs
	if err := errors.Join(errs...); err != nil {
		return err
	}
	if err := c.opts.Network.ReleaseVIP(ctx, vipOf(t.LB)); err != nil && !errors.Is(err, driver.ErrNotFound) {
		return fmt.Errorf("cannot give back the address %s: %w", t.LB.VIP.Address, err)
	}
	if err := c.release(ctx, t); err != nil {
		return err
	}
	return c.change(ctx, t.LB.ID, func(tx *store.Tx, now *store.Tree) error {
		if now.LB.ProvisioningStatus != model.PendingDelete && !now.LB.Deleting {
			return nil
		}
		for _, a := range now.Amphorae() {
			if err := errors.Join(tx.Delete(model.KindAmphora, a.ID), tx.Delete(model.KindStats, statsID(a))); err != nil {
				return err
			}
		}
		return tx.Bury(now.LB.ID)
	})
}

// destroy removes an instance and its ports.
func (c *Controller) destroy(ctx context.Context, a *model.Amphora) error {
	if err := c.opts.Compute.Remove(ctx, a.ID); err != nil && !errors.Is(err, driver.ErrNotFound) {
		return fmt.Errorf("cannot remove amphora %s: %w", a.ID, err)
	}
	c.vitals.forget(a.ID)
	c.waits.end(a.ID)
	c.breaker.End(a.ID)
	if c.light {
		return nil
	}
	ports, err := c.opts.Network.Ports(ctx, a.LoadBalancerID)
	if err != nil {
		return fmt.Errorf("cannot list the ports of load balancer %s: %w", a.LoadBalancerID, err)
	}
	for _, p := range ports {
		if p.AmphoraID != a.ID {
			continue
		}
		if err := c.opts.Network.RemovePort(ctx, p.ID); err != nil && !errors.Is(err, driver.ErrNotFound) {
			return fmt.Errorf("cannot remove the port %s of amphora %s: %w", p.ID, a.ID, err)
		}
	}
	return nil
}

func vipOf(lb *model.LoadBalancer) driver.VIP {
	v := driver.VIP{LoadBalancerID: lb.ID, PortID: lb.VIP.PortID, NetworkID: lb.VIP.NetworkID, SubnetID: lb.VIP.SubnetID,
		Address: lb.VIP.Address, Given: !lb.VIP.PortOwned}
	for _, a := range lb.AdditionalVIPs {
		v.Additional = append(v.Additional, driver.AdditionalVIP{SubnetID: a.SubnetID, Address: a.Address, PortID: a.PortID})
	}
	return v
}

// release tells the key manager that the load balancer uses nothing any longer.
func (c *Controller) release(ctx context.Context, t *store.Tree) error {
	return c.unregister(ctx, t.LB.ID, append(refsOf(t, everything), t.LB.SecretRefs...))
}

func (c *Controller) unregister(ctx context.Context, lb string, refs []string) error {
	consumers, ok := c.opts.Secrets.(driver.Consumers)
	if !ok {
		return nil
	}
	for _, ref := range refs {
		switch err := consumers.Unregister(ctx, ref, lb); {
		case driver.Permanent(err):
			c.log.Info("a load balancer stays among the users of a secret", "loadbalancer", lb, "secret", ref, "error", err)
		case err != nil:
			return fmt.Errorf("cannot take the load balancer out of the users of a secret: %w", err)
		}
	}
	return nil
}

func everything(model.Object) bool { return true }

// stays reports whether something is not being deleted.
func stays(o model.Object) bool { return o.Common().ProvisioningStatus != model.PendingDelete }

// refsOf returns the secrets that a load balancer uses for what of it counts.
func refsOf(t *store.Tree, counts func(model.Object) bool) []string {
	refs := map[string]bool{}
	for _, l := range t.Listeners() {
		if !counts(l) {
			continue
		}
		for _, r := range append([]string{l.DefaultTLSContainerRef, l.ClientCATLSRef, l.ClientCRLRef}, l.SNIContainerRefs...) {
			refs[r] = true
		}
	}
	for _, p := range t.Pools() {
		if !counts(p) {
			continue
		}
		for _, r := range []string{p.TLSContainerRef, p.CATLSContainerRef, p.CRLContainerRef} {
			refs[r] = true
		}
	}
	delete(refs, "")
	return slices.Sorted(maps.Keys(refs))
}

func statsID(a *model.Amphora) string {
	return (&model.AmphoraStats{LoadBalancerID: a.LoadBalancerID, AmphoraID: a.ID}).Place().ID
}
