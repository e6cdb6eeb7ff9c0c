package control

import (
	"context"
	"maps"
	"slices"

	"github.com/updraft-cloud/updraft/internal/lb/model"
	"github.com/updraft-cloud/updraft/internal/lb/store"
)

// finish records that everything has come into effect, if nothing changed since
// the pass began; otherwise another pass is due.
func (p *pass) finish(ctx context.Context) error {
	if p.done() {
		return nil
	}
	uses := refsOf(p.t, stays)
	unused := slices.DeleteFunc(append(refsOf(p.t, everything), p.t.LB.SecretRefs...), func(ref string) bool { return slices.Contains(uses, ref) })
	if err := p.c.unregister(ctx, p.t.LB.ID, unused); err != nil {
		return err
	}
	defer p.certify()
	names, why := p.kept()
	return p.c.change(ctx, p.t.LB.ID, func(tx *store.Tx, now *store.Tree) error {
		if now != p.t {
			return errAgain
		}
		if err := p.put(tx, now); err != nil {
			return err
		}
		if err := eachPending(now, func(o model.Object) error { return finally(tx, o, model.Active) }); err != nil {
			return err
		}
		lb := tx.LoadBalancer(now.LB.ID).Clone()
		if lb.ProvisioningStatus != model.Active {
			lb.ProvisioningStatus, lb.StatusSince = model.Active, model.Now()
		}
		lb.StatusReason, lb.Failover, lb.Applied, lb.SecretRefs, lb.SecretNames = why, nil, p.t.Rev, uses, names
		return tx.Update(lb)
	})
}

// kept returns by which names the amphorae have the secrets, and why some of them
// could not be read again.
func (p *pass) kept() (names map[string]string, why string) {
	if k, ok := p.c.opts.Amphorae.(Keeper); ok {
		names, why = k.Kept(p.t.LB.ID)
	}
	return names, bounded(why)
}

// certify has agents get another certificate, of which theirs could not be noted:
// the pass that started them came to nothing.
func (p *pass) certify() {
	for _, a := range p.now {
		if a.CertExpiration.IsZero() && !p.c.light {
			poke(p.c.authority)
		}
	}
}

// done reports whether what is stored says already what finish would write.
func (p *pass) done() bool {
	lb := p.t.LB
	names, why := p.kept()
	if lb.ProvisioningStatus != model.Active || lb.Failover != nil || lb.StatusReason != why || !slices.Equal(lb.SecretRefs, refsOf(p.t, stays)) || !maps.Equal(lb.SecretNames, names) {
		return false
	}
	for _, k := range p.plan.keep {
		if old := p.t.Amphora(k.ID); old == nil || *old != *p.now[k.ID] {
			return false
		}
	}
	pending := false
	_ = eachPending(p.t, func(model.Object) error { pending = true; return nil }) // f has no errors
	return !pending
}

// settle gives a child its status. What no report speaks of is now in operation,
// or, switched off, is not (contract §5).
func settle(tx *store.Tx, o model.Object, s model.ProvisioningStatus) {
	b := o.Common()
	tx.SetProvisioning(o.Kind(), b.ID, s)
	if s != model.Active {
		return
	}
	switch o.Kind() {
	case model.KindL7Policy, model.KindL7Rule, model.KindHealthMonitor:
		tx.SetOperating(o.Kind(), b.ID, settled(b.AdminStateUp))
	}
}

// finally takes a child away if that is what was wanted, and else settles it.
func finally(tx *store.Tx, o model.Object, s model.ProvisioningStatus) error {
	if o.Common().ProvisioningStatus == model.PendingDelete {
		return tx.Delete(o.Kind(), o.Common().ID)
	}
	settle(tx, o, s)
	return nil
}
