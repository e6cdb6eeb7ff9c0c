package store

import "github.com/updraft-cloud/updraft/internal/lb/model"

// The locks of a load balancer are its provisioning statuses (contract §5): who
// makes it PENDING in a transaction has it until a controller makes it ACTIVE or
// ERROR.

// LockForChild makes a load balancer PENDING_UPDATE so that something below it
// can change. It must be ACTIVE, else the error is an [ImmutableError].
func (tx *Tx) LockForChild(lb string) error {
	l := tx.LoadBalancer(lb)
	if l == nil || l.ProvisioningStatus == model.Deleted {
		return &NotFoundError{model.KindLoadBalancer, lb}
	}
	if l.ProvisioningStatus != model.Active {
		return &ImmutableError{model.KindLoadBalancer, lb}
	}
	tx.setStatus(l, model.PendingUpdate)
	return nil
}

// Lock makes a load balancer PENDING_UPDATE or PENDING_DELETE for a change of
// itself. It must have one of the statuses given, else the error is a
// [StateError].
func (tx *Tx) Lock(lb string, to model.ProvisioningStatus, from ...model.ProvisioningStatus) error {
	l := tx.LoadBalancer(lb)
	if l == nil || l.ProvisioningStatus == model.Deleted {
		return &NotFoundError{model.KindLoadBalancer, lb}
	}
	for _, s := range from {
		if l.ProvisioningStatus == s {
			tx.setStatus(l, to)
			return nil
		}
	}
	return &StateError{l.ProvisioningStatus, lb}
}

// LockForUpdate locks for an update, which needs ACTIVE.
func (tx *Tx) LockForUpdate(lb string) error {
	return tx.Lock(lb, model.PendingUpdate, model.Active)
}

// LockForDelete locks for a deletion, which needs ACTIVE or ERROR.
func (tx *Tx) LockForDelete(lb string) error {
	return tx.Lock(lb, model.PendingDelete, model.Active, model.Error)
}

// LockForFailover locks for a failover, which needs ACTIVE or ERROR.
func (tx *Tx) LockForFailover(lb string) error {
	return tx.Lock(lb, model.PendingUpdate, model.Active, model.Error)
}

func (tx *Tx) setStatus(l *model.LoadBalancer, s model.ProvisioningStatus) {
	c := l.Clone()
	c.ProvisioningStatus, c.StatusSince, c.StatusReason = s, model.Now(), ""
	tx.put(c)
}

// LockParent makes a pool or a policy PENDING_UPDATE for a change below it. It
// must be ACTIVE, else the error is an [ImmutableError].
func (tx *Tx) LockParent(k model.Kind, id string) error {
	o := tx.object(k, id)
	if o == nil {
		return &NotFoundError{k, id}
	}
	if o.Common().ProvisioningStatus != model.Active {
		return &ImmutableError{k, id}
	}
	tx.SetProvisioning(k, id, model.PendingUpdate)
	return nil
}

// SetProvisioning gives a child a provisioning status; a child that is not there
// is left alone.
func (tx *Tx) SetProvisioning(k model.Kind, id string, s model.ProvisioningStatus) {
	if o := tx.object(k, id); o != nil && o.Common().ProvisioningStatus != s {
		c := cloneOf(o)
		c.Common().ProvisioningStatus = s
		tx.put(c)
	}
}

// SetOperating gives a load balancer or a child an operating status.
func (tx *Tx) SetOperating(k model.Kind, id string, s model.OperatingStatus) {
	o := tx.object(k, id)
	if k == model.KindLoadBalancer {
		if l := tx.LoadBalancer(id); l != nil {
			o = l
		}
	}
	if o != nil && o.Common().OperatingStatus != s {
		c := cloneOf(o)
		c.Common().OperatingStatus = s
		tx.put(c)
	}
}

func (tx *Tx) object(k model.Kind, id string) model.Object {
	h, ok := tx.homeOf(id)
	if !ok || h.kind != k || !tx.there(k, h.lb, id) {
		return nil
	}
	t := tx.peek(h.lb)
	if t == nil {
		return nil
	}
	o, _ := t.Child(k, id).(model.Object)
	return o
}

func cloneOf(o model.Object) model.Object {
	switch o := o.(type) {
	case *model.LoadBalancer:
		return o.Clone()
	case *model.Listener:
		return o.Clone()
	case *model.Pool:
		return o.Clone()
	case *model.Member:
		return o.Clone()
	case *model.HealthMonitor:
		return o.Clone()
	case *model.L7Policy:
		return o.Clone()
	case *model.L7Rule:
		return o.Clone()
	}
	return o
}
