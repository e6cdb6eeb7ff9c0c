package control

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/updraft-cloud/updraft/internal/lb/driver"
	"github.com/updraft-cloud/updraft/internal/lb/model"
	"github.com/updraft-cloud/updraft/internal/lb/store"
)

// pass is one look at a load balancer that shall be there.
type pass struct {
	c    *Controller
	t    *store.Tree
	plan plan

	mu     sync.Mutex
	now    map[string]*model.Amphora // amphorae as they turned out
	places map[string][]driver.Interface
	ready  map[string]bool // those that run
}

// carry makes amphorae carry a load balancer.
func (c *Controller) carry(ctx context.Context, t *store.Tree) error {
	p := &pass{c: c, t: t, plan: planOf(t), now: map[string]*model.Amphora{}, places: map[string][]driver.Interface{}, ready: map[string]bool{}}
	if err := p.discard(ctx); err != nil {
		return err
	}
	if err := p.enlist(ctx); err != nil {
		return err
	}
	for _, a := range p.plan.keep {
		p.now[a.ID] = a.Clone()
	}
	// An amphora that cannot be made does not keep the other of a pair from
	// learning what has changed.
	if err := errors.Join(p.each(ctx, p.provision), p.each(ctx, p.apply)); err != nil {
		return err
	}
	if len(p.plan.doomed) > 0 {
		return p.retire(ctx)
	}
	return p.finish(ctx)
}

// each does something for all amphorae that stay, at the same time. One that
// fails does not keep the others from it.
func (p *pass) each(ctx context.Context, f func(context.Context, *model.Amphora) error) error {
	errs := make([]error, len(p.plan.keep))
	var g errgroup.Group
	for i, a := range p.plan.keep {
		g.Go(func() error { errs[i] = safely(func() error { return f(ctx, p.now[a.ID]) }); return nil })
	}
	_ = g.Wait() // the errors are in errs
	return errors.Join(errs...)
}

// discard removes amphorae that never carried anything, with their records. The
// pass goes on: to begin another would forget how often it failed.
func (p *pass) discard(ctx context.Context) error {
	gone := p.plan.useless
	if len(gone) == 0 {
		return nil
	}
	for _, a := range gone {
		if err := p.c.destroy(ctx, a); err != nil {
			return err
		}
		p.c.log.Info("an amphora that never worked was removed", "loadbalancer", a.LoadBalancerID, "amphora", a.ID, "reason", a.Reason)
	}
	if err := p.c.change(ctx, p.t.LB.ID, func(tx *store.Tx, now *store.Tree) error {
		for _, a := range gone {
			if now.Amphora(a.ID) == nil {
				continue
			}
			if err := tx.Delete(model.KindAmphora, a.ID); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		return err
	}
	return p.again()
}

// again takes what is stored now as what the pass is about.
func (p *pass) again() error {
	t := p.c.opts.Store.View().Tree(p.t.LB.ID)
	if t == nil {
		return errAgain
	}
	p.t, p.plan = t, planOf(t)
	p.c.queue.begin(t.LB.ID, matter(t))
	return nil
}

// enlist writes a record for each role that nobody has, before anything is made.
func (p *pass) enlist(ctx context.Context) error {
	if len(p.plan.missing) == 0 {
		return nil
	}
	fresh := p.fresh()
	if p.c.light {
		p.plan.keep = append(p.plan.keep, fresh...)
		return nil
	}
	err := p.c.change(ctx, p.t.LB.ID, func(tx *store.Tx, now *store.Tree) error {
		if now != p.t {
			return errAgain
		}
		for _, a := range fresh {
			if err := tx.Create(a); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	if err := p.again(); err != nil || len(p.plan.missing) > 0 {
		return errAgain
	}
	return nil
}

func (p *pass) fresh() []*model.Amphora {
	var out []*model.Amphora
	for _, role := range p.plan.missing {
		now := model.Now()
		a := &model.Amphora{ID: model.NewID(), LoadBalancerID: p.t.LB.ID, Role: role, Status: model.AmphoraBooting,
			Replaces: p.plan.replaces(role), CreatedAt: now, VRRPID: 1, KeyVersion: 1,
			HAIP: p.t.LB.VIP.Address, HAPortID: p.t.LB.VIP.PortID}
		switch role {
		case model.RoleMaster:
			a.VRRPPriority = model.PriorityMaster
		case model.RoleBackup:
			a.VRRPPriority = model.PriorityBackup
		}
		out = append(out, a)
	}
	return out
}

// provision makes the ports and the instance of an amphora.
func (p *pass) provision(ctx context.Context, a *model.Amphora) error {
	places, err := p.ports(ctx, a)
	if err != nil {
		return fmt.Errorf("cannot give amphora %s its ports: %w", a.ID, err)
	}
	var expires time.Time
	in, err := p.c.opts.Compute.Ensure(ctx, driver.Spec{AmphoraID: a.ID, LoadBalancerID: a.LoadBalancerID, Zone: p.t.LB.AvailabilityZone,
		Interfaces: places, Boot: func() (driver.Boot, error) { return p.c.boot(ctx, a, &expires) }})
	if err != nil {
		return fmt.Errorf("cannot run amphora %s: %w", a.ID, err)
	}
	if in.State == driver.Stopped {
		return p.c.condemn(ctx, a, "its instance has stopped")
	}
	if !expires.IsZero() {
		a.CertExpiration, a.CertGeneration = expires, p.c.opts.Authority.Generation()
	}
	a.ComputeID, a.LBNetworkIP, a.CachedZone, a.ImageID, a.ComputeFlavor = in.ComputeID, in.Address.String(), in.Zone, in.Image, in.Flavor
	a.Endpoint, a.VRRPInterface = endpoint(in), driver.VIPInterface
	if len(places) > 0 && len(places[0].Port.FixedIPs) > 0 {
		a.VRRPPortID, a.VRRPIP = places[0].Port.ID, places[0].Port.FixedIPs[0].Address.String()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.places[a.ID], p.ready[a.ID] = places, true
	return nil
}

// apply configures an amphora. One that never answered since it was made is given
// up after a while.
func (p *pass) apply(ctx context.Context, a *model.Amphora) error {
	if !p.ready[a.ID] {
		return nil // why not is told by provision
	}
	digest, err := p.c.opts.Amphorae.Apply(ctx, p.want(a))
	if err != nil {
		if a.Status == model.AmphoraBooting && !driver.Permanent(err) && p.c.waits.since(a.ID, a.CreatedAt, time.Now()) > p.c.limits.Boot {
			return p.c.condemn(ctx, a, "its agent did not answer in time: "+err.Error())
		}
		return fmt.Errorf("cannot configure amphora %s: %w", a.ID, err)
	}
	a.Applied = digest
	a.ConfigPush = 0
	a.Status = model.AmphoraAllocated
	p.c.waits.end(a.ID)
	p.c.vitals.born(a, time.Now())
	return nil
}

func (p *pass) want(a *model.Amphora) Want {
	w := Want{Tree: p.t, Amphora: a, Fenced: p.plan.fenced(a), Version: p.version(), Interfaces: p.places[a.ID]}
	for _, b := range p.plan.keep {
		if b.ID != a.ID {
			w.Peers = append(w.Peers, p.peer(b.ID))
		}
	}
	return w
}

func (p *pass) version() uint64 { return p.c.opts.Store.View().Version(p.t) }

// peer is the other of a pair; as long as it has no address, whom it replaces.
func (p *pass) peer(id string) *model.Amphora {
	b := p.now[id]
	if old := p.t.Amphora(b.Replaces); old != nil && b.VRRPIP == "" {
		return old
	}
	return b
}

// retire removes what was replaced, now that the replacement is configured. The
// next pass gives that the address.
func (p *pass) retire(ctx context.Context) error {
	if err := p.record(ctx); err != nil {
		return err
	}
	p.resign(ctx)
	for _, a := range p.plan.doomed {
		if err := p.c.destroy(ctx, a); err != nil {
			return err
		}
		p.c.log.Info("an amphora was replaced", "loadbalancer", a.LoadBalancerID, "amphora", a.ID, "reason", a.Reason)
	}
	err := p.c.change(ctx, p.t.LB.ID, func(tx *store.Tx, now *store.Tree) error {
		lb := now.LB.Clone()
		for _, a := range p.plan.doomed {
			if now.Amphora(a.ID) != nil {
				if err := tx.Delete(model.KindAmphora, a.ID); err != nil {
					return err
				}
			}
			if lb.Failover != nil && !slices.Contains(lb.Failover.Replaced, a.ID) {
				lb.Failover.Replaced = append(lb.Failover.Replaced, a.ID)
			}
		}
		return tx.Update(lb)
	})
	if err != nil {
		return err
	}
	return errAgain
}

// resignDeadline bounds how long an amphora may take to leave in order.
const resignDeadline = 2 * time.Second

// resign has those that live give the address up before they are removed, so that
// the other of a pair need not first miss them. Whoever does not answer is removed
// all the same.
func (p *pass) resign(ctx context.Context) {
	if p.c.light || p.t.LB.Topology != model.TopologyActiveStandby || len(p.plan.keep) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, resignDeadline)
	defer cancel()
	for _, a := range p.plan.doomed {
		if a.Status != model.AmphoraAllocated {
			continue
		}
		want := Want{Tree: p.t, Amphora: a, Fenced: true, Version: p.version(), Interfaces: p.places[p.plan.keep[0].ID]}
		if _, err := p.c.opts.Amphorae.Apply(ctx, want); err != nil {
			p.c.log.Debug("an amphora did not leave in order", "amphora", a.ID, "error", err)
		}
	}
}

// record writes the amphorae as they turned out, and that the doomed are going, with
// what they had.
func (p *pass) record(ctx context.Context) error {
	names, _ := p.kept()
	return p.c.change(ctx, p.t.LB.ID, func(tx *store.Tx, now *store.Tree) error {
		if now != p.t {
			return errAgain
		}
		for _, a := range p.plan.doomed {
			if a.Status != model.AmphoraPendingDelete {
				d := a.Clone()
				d.Status, d.UpdatedAt = model.AmphoraPendingDelete, model.Now()
				if err := tx.Update(d); err != nil {
					return err
				}
			}
		}
		lb := now.LB.Clone()
		lb.SecretNames = names
		return errors.Join(tx.Update(lb), p.put(tx, now))
	})
}

// put writes those amphorae that are not what is stored.
func (p *pass) put(tx *store.Tx, now *store.Tree) error {
	for _, k := range p.plan.keep {
		a, old := p.now[k.ID], now.Amphora(k.ID)
		switch {
		case old == nil:
			if err := tx.Create(a); err != nil {
				return err
			}
		case *old != *a:
			a.UpdatedAt = model.Now()
			if err := tx.Update(a); err != nil {
				return err
			}
		}
	}
	return nil
}
