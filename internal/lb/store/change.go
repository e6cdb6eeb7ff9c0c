package store

import (
	"fmt"
	"slices"

	"github.com/updraft-cloud/updraft/internal/lb/model"
)

// Create stores a new object; what it refers to comes before it. It checks what must be unique and what is referred
// to ([DuplicateError], [ErrExists], [NotFoundError]), counts against the quota
// ([QuotaError]) and gives a policy its position. A child takes the project of
// its load balancer. The object belongs to the store from then on.
func (tx *Tx) Create(o model.Stored) error {
	if err := checkID(o); err != nil {
		return err
	}
	k, p := o.Kind(), o.Place()
	if tx.exists(k, p) {
		return ErrExists
	}
	if k.IsChild() {
		if err := tx.adopt(o); err != nil {
			return err
		}
	}
	if err := tx.mayCreate(o); err != nil {
		return err
	}
	if err := tx.count(o, 1); err != nil {
		return err
	}
	if policy, ok := o.(*model.L7Policy); ok {
		tx.placeNew(policy)
		return nil
	}
	tx.put(o)
	return nil
}

func (tx *Tx) exists(k model.Kind, p model.Place) bool {
	switch {
	case k == model.KindLoadBalancer:
		return tx.peek(p.ID) != nil
	case k.IsChild():
		h, ok := tx.homeOf(p.ID)
		return ok && tx.there(h.kind, h.lb, p.ID)
	}
	return tx.misc(keyOf(k, p)) != nil
}

// adopt checks that what a child belongs to is there.
func (tx *Tx) adopt(o model.Stored) error {
	p := o.Place()
	t := tx.peek(p.LoadBalancer)
	if t == nil {
		return &NotFoundError{model.KindLoadBalancer, p.LoadBalancer}
	}
	if c, ok := o.(model.Object); ok {
		c.Common().ProjectID = t.LB.ProjectID
	}
	if parent := parentKind(o.Kind()); parent != model.KindLoadBalancer && !tx.there(parent, p.LoadBalancer, p.Parent) {
		return &NotFoundError{parent, p.Parent}
	}
	return tx.refers(o)
}

// refers checks the pool that a listener or a policy sends requests to.
func (tx *Tx) refers(o model.Stored) error {
	pool := ""
	switch o := o.(type) {
	case *model.Listener:
		pool = o.DefaultPoolID
	case *model.L7Policy:
		pool = o.RedirectPoolID
	}
	if pool != "" && !tx.there(model.KindPool, o.Place().LoadBalancer, pool) {
		return &NotFoundError{model.KindPool, pool}
	}
	return nil
}

func parentKind(k model.Kind) model.Kind {
	switch k {
	case model.KindMember, model.KindHealthMonitor:
		return model.KindPool
	case model.KindL7Policy:
		return model.KindListener
	case model.KindL7Rule:
		return model.KindL7Policy
	}
	return model.KindLoadBalancer
}

// Update replaces an object that is there. Its place (id and parents) and the
// time of its creation stay. A policy with another position moves.
func (tx *Tx) Update(o model.Stored) error {
	k, p := o.Kind(), o.Place()
	if !tx.exists(k, p) {
		return &NotFoundError{k, p.ID}
	}
	if isCatalog(k) {
		if err := tx.mayCreate(o); err != nil {
			return err
		}
	}
	if k.IsChild() {
		if err := tx.refers(o); err != nil {
			return err
		}
	}
	if policy, ok := o.(*model.L7Policy); ok {
		tx.place(policy)
		return nil
	}
	tx.put(o)
	return nil
}

// Put stores an object that needs no look at others: quotas' limits, records,
// counters; for the kinds of the API use Create and Update.
func (tx *Tx) Put(o model.Stored) error {
	if err := checkID(o); err != nil {
		return err
	}
	if k := o.Kind(); k.IsChild() || k == model.KindLoadBalancer {
		if tx.exists(k, o.Place()) {
			return tx.Update(o)
		}
		return tx.Create(o)
	}
	if st, ok := o.(*model.AmphoraStats); ok {
		// Counters are overwritten, whoever was last, and do not outlive their
		// load balancer.
		if tx.base.Tree(st.LoadBalancerID) == nil {
			return nil
		}
	} else {
		tx.misc(keyOf(o.Kind(), o.Place()))
	}
	tx.put(o)
	return nil
}

// Delete removes an object with all that is below it, and takes it out of the
// counts of its project. What is not there is no error; what others refer to is
// an [InUseError], but for listeners, which forget their default pool.
func (tx *Tx) Delete(k model.Kind, id string) error {
	if k.IsChild() {
		t := tx.TreeOf(k, id)
		if t == nil {
			return nil
		}
		if k == model.KindPool {
			if err := unused(t, id); err != nil {
				return err
			}
		}
		tx.deleteChild(t, t.Child(k, id))
		return nil
	}
	if k == model.KindLoadBalancer {
		tx.deleteTree(id)
		return nil
	}
	if tx.misc(keyOf(k, model.Place{ID: id})) == nil {
		return nil
	}
	if isCatalog(k) {
		if err := tx.mayDelete(k, id); err != nil {
			return err
		}
	}
	tx.remove(k, model.Place{ID: id})
	return nil
}

func unused(t *Tree, pool string) error {
	for _, p := range t.AllL7Policies() {
		if p.RedirectPoolID == pool {
			return &InUseError{model.Ref{Kind: model.KindPool, ID: pool}, fmt.Sprintf("Pool %s is in use by L7 policy %s", pool, p.ID)}
		}
	}
	return nil
}

func (tx *Tx) deleteTree(id string) {
	t := tx.Tree(id)
	if t == nil {
		return
	}
	tx.Strip(id)
	for _, st := range tx.base.Stats(id) {
		tx.remove(st.Kind(), st.Place())
	}
	for _, a := range t.Amphorae() {
		tx.remove(model.KindAmphora, a.Place())
	}
	if t.LB.ProvisioningStatus != model.Deleted {
		tx.uncount(t.LB)
	}
	tx.remove(model.KindLoadBalancer, t.LB.Place())
}

// Strip removes all children of a load balancer but its amphorae.
func (tx *Tx) Strip(lb string) {
	for k := model.KindListener; k < model.KindAmphora; k++ {
		t := tx.Tree(lb)
		if t == nil {
			return
		}
		for _, o := range t.Children(k) {
			tx.uncount(o)
			tx.remove(k, o.Place())
		}
	}
}

// Bury makes a load balancer DELETED: its children go and it no longer counts,
// but its record stays until it is purged with Delete.
func (tx *Tx) Bury(id string) error {
	t := tx.Tree(id)
	if t == nil || t.LB.ProvisioningStatus == model.Deleted {
		return nil
	}
	tx.Strip(id)
	tx.uncount(t.LB)
	lb := t.LB.Clone()
	lb.ProvisioningStatus, lb.OperatingStatus = model.Deleted, model.OpOffline
	lb.StatusSince, lb.StatusReason, lb.Failover = model.Now(), "", nil
	lb.UpdatedAt = lb.StatusSince
	tx.put(lb)
	return nil
}

func (tx *Tx) deleteChild(t *Tree, o model.Stored) {
	p := o.Place()
	for _, k := range childrenOf(o.Kind()) {
		for _, c := range t.Children(k) {
			if c.Place().Parent == p.ID {
				tx.deleteChild(t, c)
			}
		}
	}
	if o.Kind() == model.KindPool {
		tx.forgetPool(p)
	}
	tx.uncount(o)
	tx.remove(o.Kind(), p)
	if policy, ok := o.(*model.L7Policy); ok {
		tx.renumber(policy.LoadBalancerID, policy.ListenerID, nil, 0)
	}
}

// forgetPool takes a pool out of the listeners that have it as default.
func (tx *Tx) forgetPool(pool model.Place) {
	t := tx.Tree(pool.LoadBalancer)
	for _, l := range t.Listeners() {
		if l.DefaultPoolID == pool.ID {
			l = l.Clone()
			l.DefaultPoolID = ""
			tx.put(l)
		}
	}
}

func childrenOf(k model.Kind) []model.Kind {
	switch k {
	case model.KindListener:
		return []model.Kind{model.KindL7Policy}
	case model.KindPool:
		return []model.Kind{model.KindMember, model.KindHealthMonitor}
	case model.KindL7Policy:
		return []model.Kind{model.KindL7Rule}
	}
	return nil
}

// place puts a policy at its position, the end when that is 0 or past the end,
// and keeps the positions dense (contract §4.6).
func (tx *Tx) place(p *model.L7Policy) {
	tx.renumber(p.LoadBalancerID, p.ListenerID, p, p.Position)
}

// placeNew does so for a policy that was not there: at the end, no other moves.
func (tx *Tx) placeNew(p *model.L7Policy) {
	if n := len(tx.peek(p.LoadBalancerID).L7Policies(p.ListenerID)); p.Position <= 0 || p.Position > n {
		p.Position = n + 1
		tx.store(p, true)
		return
	}
	tx.place(p)
}

// renumber numbers the policies of a listener from 1, with one of them at a
// position that was asked for.
func (tx *Tx) renumber(lb, listener string, asked *model.L7Policy, position int) {
	all := slices.Clone(tx.Tree(lb).L7Policies(listener))
	if asked != nil {
		all = slices.DeleteFunc(all, func(o *model.L7Policy) bool { return o.ID == asked.ID })
		at := len(all)
		if position > 0 {
			at = min(position-1, len(all))
		}
		all = slices.Insert(all, at, asked)
	}
	for i, o := range all {
		switch {
		case o == asked:
			o.Position = i + 1
			tx.put(o)
		case o.Position != i+1:
			o = o.Clone()
			o.Position = i + 1
			tx.put(o)
		}
	}
}
