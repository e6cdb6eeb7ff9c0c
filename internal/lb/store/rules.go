package store

import (
	"fmt"

	"github.com/updraft-cloud/updraft/internal/lb/model"
)

// QuotaPolicy says what projects may have when nothing else is said of them.
type QuotaPolicy struct {
	// Enforce refuses what goes beyond; without it everything is only counted.
	Enforce  bool
	Defaults model.Limits
}

// count adds to what the project of an object has. With n = 1 it refuses to go
// beyond the limit.
func (tx *Tx) count(o model.Stored, n int) error {
	c, ok := o.(model.Object)
	if !ok || new(model.Used).Of(o.Kind()) == nil {
		return nil
	}
	return tx.Reserve(c.Common().ProjectID, o.Kind(), n)
}

func (tx *Tx) uncount(o model.Stored) { _ = tx.count(o, -1) } // only n > 0 is refused

// Reserve counts n more objects of a kind for a project, or fewer. Create and
// Delete do it by themselves.
func (tx *Tx) Reserve(project string, k model.Kind, n int) error {
	row := &model.Quota{ProjectID: project}
	if old := tx.Quota(project); old != nil {
		c := *old
		row = &c
	}
	used := row.Used.Of(k)
	if limit := row.Limits.Get(k, tx.quota.Defaults); n > 0 && tx.quota.Enforce && limit != model.Unlimited && *used+n > limit {
		return &QuotaError{k}
	}
	*used = max(0, *used+n)
	tx.put(row)
	return nil
}

// Room returns a [QuotaError] when n more objects of a kind would be too many.
func (tx *Tx) Room(project string, k model.Kind, n int) error {
	var row model.Quota
	if old := tx.Quota(project); old != nil {
		row = *old
	}
	limit := row.Limits.Get(k, tx.quota.Defaults)
	if n > 0 && tx.quota.Enforce && limit != model.Unlimited && *row.Used.Of(k)+n > limit {
		return &QuotaError{k}
	}
	return nil
}

// Counted runs fn without refusing what goes beyond a quota: for who asked for
// [Tx.Room] already, less what is on its way out and still counts.
func (tx *Tx) Counted(fn func() error) error {
	enforce := tx.quota.Enforce
	tx.quota.Enforce = false
	defer func() { tx.quota.Enforce = enforce }()
	return fn()
}

// mayCreate checks what must be unique, and what an object refers to.
func (tx *Tx) mayCreate(o model.Stored) error {
	switch o := o.(type) {
	case *model.LoadBalancer:
		return tx.mayCreateLoadBalancer(o)
	case *model.Listener:
		return tx.mayCreateListener(o)
	case *model.Member:
		return tx.mayCreateMember(o)
	case *model.HealthMonitor:
		if tx.peek(o.LoadBalancerID).HealthMonitorOf(o.PoolID) != nil {
			return duplicate(o.Kind(), "This pool already has a health monitor")
		}
	case *model.L7Rule:
		if len(tx.peek(o.LoadBalancerID).L7Rules(o.L7PolicyID)) >= model.MaxRules {
			return duplicate(o.Kind(), "Too many rules on L7 policy %s", o.L7PolicyID)
		}
	case *model.Flavor, *model.FlavorProfile, *model.AvailabilityZone, *model.AvailabilityZoneProfile:
		return tx.mayDefine(o)
	}
	return nil
}

// mayCreateLoadBalancer makes a flavor and a zone count as read: they cannot go
// away before the load balancer is there.
func (tx *Tx) mayCreateLoadBalancer(o *model.LoadBalancer) error {
	if o.FlavorID != "" && tx.Flavor(o.FlavorID) == nil {
		return &NotFoundError{model.KindFlavor, o.FlavorID}
	}
	if o.AvailabilityZone != "" && tx.AvailabilityZone(o.AvailabilityZone) == nil {
		return &NotFoundError{model.KindAvailabilityZone, o.AvailabilityZone}
	}
	return nil
}

func (tx *Tx) mayCreateListener(o *model.Listener) error {
	if l, ok := tx.draft(o.LoadBalancerID).taken(o).(*model.Listener); ok {
		return duplicate(o.Kind(), "Another Listener on this Load Balancer is already using protocol %s and protocol_port %d", l.Protocol, l.ProtocolPort)
	}
	return nil
}

func (tx *Tx) mayCreateMember(o *model.Member) error {
	if tx.draft(o.LoadBalancerID).taken(o) != nil {
		return duplicate(o.Kind(), "Another member on this pool is already using ip %s on protocol_port %d", o.Address, o.ProtocolPort)
	}
	return nil
}

func isCatalog(k model.Kind) bool {
	switch k {
	case model.KindFlavor, model.KindFlavorProfile, model.KindAvailabilityZone, model.KindAvailabilityZoneProfile:
		return true
	}
	return false
}

// lockCatalog makes changes of what operators define follow each other.
func (tx *Tx) lockCatalog() {
	tx.heads[catalogKey] = struct{}{}
	tx.mine.ops[catalogKey] = op{value: nil}
}

func (tx *Tx) mayDefine(o model.Stored) error {
	tx.lockCatalog()
	switch o := o.(type) {
	case *model.Flavor:
		for _, f := range overlaid(tx, tx.base.Flavors()) {
			if f.Name == o.Name && f.ID != o.ID {
				return duplicate(o.Kind(), "A flavor of %s already exists.", o.Name)
			}
		}
		if tx.FlavorProfile(o.FlavorProfileID) == nil {
			return &NotFoundError{model.KindFlavorProfile, o.FlavorProfileID}
		}
	case *model.AvailabilityZone:
		if tx.AvailabilityZoneProfile(o.AvailabilityZoneProfileID) == nil {
			return &NotFoundError{model.KindAvailabilityZoneProfile, o.AvailabilityZoneProfileID}
		}
	}
	return nil
}

// mayDelete refuses to take away what is referred to.
func (tx *Tx) mayDelete(k model.Kind, id string) error {
	tx.lockCatalog()
	if tx.Used(k, id) {
		title := k.Title()
		if k == model.KindFlavorProfile {
			title = "Flavor profile" // as upstream writes it here
		}
		return &InUseError{model.Ref{Kind: k, ID: id}, fmt.Sprintf("%s %s is in use and cannot be modified.", title, id)}
	}
	return nil
}

// Used reports whether anything refers to a flavor, a zone or one of their
// profiles, and makes sure that nothing will before the transaction is through.
func (tx *Tx) Used(k model.Kind, id string) bool {
	tx.lockCatalog()
	switch k {
	case model.KindFlavorProfile:
		for _, f := range overlaid(tx, tx.base.Flavors()) {
			if f.FlavorProfileID == id {
				return true
			}
		}
	case model.KindAvailabilityZoneProfile:
		for _, z := range overlaid(tx, tx.base.AvailabilityZones()) {
			if z.AvailabilityZoneProfileID == id {
				return true
			}
		}
	case model.KindFlavor:
		return tx.anyTree(func(lb *model.LoadBalancer) bool { return lb.FlavorID == id })
	case model.KindAvailabilityZone:
		return tx.anyTree(func(lb *model.LoadBalancer) bool { return lb.AvailabilityZone == id })
	}
	return false
}

// anyTree looks at all load balancers and forbids that one comes meanwhile.
func (tx *Tx) anyTree(match func(*model.LoadBalancer) bool) bool {
	tx.alone = true
	live := func(id string) bool {
		l := tx.LoadBalancer(id)
		return l != nil && l.ProvisioningStatus != model.Deleted && match(l)
	}
	for id := range tx.drafts {
		if live(id) {
			return true
		}
	}
	for id := range tx.group.trees {
		if live(id) {
			return true
		}
	}
	for t := range tx.base.Trees("") {
		if match(t.LB) && live(t.LB.ID) {
			return true
		}
	}
	return false
}

// overlaid returns a list of the base with what the transaction and its group
// changed.
func overlaid[T model.Stored](tx *Tx, base []T) []T {
	var out []T
	changed := map[string]model.Stored{}
	for _, o := range []*overlay{tx.group, tx.mine} {
		for k, v := range o.misc {
			changed[k] = v
		}
	}
	for _, v := range base {
		if _, ok := changed[keyOf(v.Kind(), v.Place())]; !ok {
			out = append(out, v)
		}
	}
	for _, v := range changed {
		if t, ok := v.(T); ok {
			out = append(out, t)
		}
	}
	return out
}
