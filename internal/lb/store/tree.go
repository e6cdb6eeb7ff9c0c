package store

import (
	"cmp"
	"slices"
	"sort"
	"strings"
	"time"

	"github.com/updraft-cloud/updraft/internal/lb/model"
)

// Tree is a load balancer with all that is below it, at one revision. It never
// changes, nor do the slices and objects that it returns.
type Tree struct {
	// Rev is the revision of the last change in the tree.
	Rev int64
	LB  *model.LoadBalancer
	kids
}

// kids are the children, each slice in the order of the API: by parent, then by
// creation (policies: by position), then by id.
type kids struct {
	listeners []*model.Listener
	pools     []*model.Pool
	members   []*model.Member
	monitors  []*model.HealthMonitor
	policies  []*model.L7Policy
	rules     []*model.L7Rule
	amphorae  []*model.Amphora
}

// Listeners returns the listeners by creation.
func (t *Tree) Listeners() []*model.Listener { return t.listeners }

// Pools returns the pools by creation.
func (t *Tree) Pools() []*model.Pool { return t.pools }

// AllMembers returns the members of all pools.
func (t *Tree) AllMembers() []*model.Member { return t.members }

// Members returns the members of a pool by creation.
func (t *Tree) Members(pool string) []*model.Member { return below(t.members, pool) }

// HealthMonitors returns the monitors of all pools.
func (t *Tree) HealthMonitors() []*model.HealthMonitor { return t.monitors }

// HealthMonitorOf returns the monitor of a pool, nil when it has none.
func (t *Tree) HealthMonitorOf(pool string) *model.HealthMonitor {
	if m := below(t.monitors, pool); len(m) > 0 {
		return m[0]
	}
	return nil
}

// AllL7Policies returns the policies of all listeners.
func (t *Tree) AllL7Policies() []*model.L7Policy { return t.policies }

// L7Policies returns the policies of a listener by position.
func (t *Tree) L7Policies(listener string) []*model.L7Policy { return below(t.policies, listener) }

// AllL7Rules returns the rules of all policies.
func (t *Tree) AllL7Rules() []*model.L7Rule { return t.rules }

// L7Rules returns the rules of a policy by creation.
func (t *Tree) L7Rules(policy string) []*model.L7Rule { return below(t.rules, policy) }

// Amphorae returns the amphorae by creation, those that were deleted included.
func (t *Tree) Amphorae() []*model.Amphora { return t.amphorae }

// Listener returns a listener, nil when it is not in the tree; so do the others.
func (t *Tree) Listener(id string) *model.Listener { return byID(t.listeners, id) }

// Pool returns a pool.
func (t *Tree) Pool(id string) *model.Pool { return byID(t.pools, id) }

// Member returns a member.
func (t *Tree) Member(id string) *model.Member { return byID(t.members, id) }

// HealthMonitor returns a monitor.
func (t *Tree) HealthMonitor(id string) *model.HealthMonitor { return byID(t.monitors, id) }

// L7Policy returns a policy.
func (t *Tree) L7Policy(id string) *model.L7Policy { return byID(t.policies, id) }

// L7Rule returns a rule.
func (t *Tree) L7Rule(id string) *model.L7Rule { return byID(t.rules, id) }

// Amphora returns an amphora.
func (t *Tree) Amphora(id string) *model.Amphora { return byID(t.amphorae, id) }

// Child returns a child of any kind, nil when it is not in the tree.
func (t *Tree) Child(k model.Kind, id string) model.Stored {
	if !k.IsChild() {
		return nil
	}
	return familyOf[k].find(&t.kids, id)
}

// Children returns all children of a kind.
func (t *Tree) Children(k model.Kind) []model.Stored {
	if !k.IsChild() {
		return nil
	}
	return familyOf[k].all(&t.kids)
}

func byID[T model.Stored](list []T, id string) T {
	for _, o := range list {
		if o.Place().ID == id {
			return o
		}
	}
	var none T
	return none
}

// below returns the part of a list that has a parent.
func below[T model.Stored](list []T, parent string) []T {
	from := sort.Search(len(list), func(i int) bool { return list[i].Place().Parent >= parent })
	to := from + sort.Search(len(list)-from, func(i int) bool { return list[from+i].Place().Parent > parent })
	return list[from:to:to]
}

// family does for one kind of child what does not depend on its type.
type family interface {
	empty() model.Stored
	find(k *kids, id string) model.Stored
	all(k *kids) []model.Stored
	own(k *kids)
	// put stores an object; fresh says that it was not there.
	put(k *kids, o model.Stored, fresh bool)
	remove(k *kids, id string)
	sort(k *kids)
}

// kin is the family of one type.
type kin[T any, P interface {
	*T
	model.Stored
}] struct {
	list  func(*kids) *[]P
	order func(a, b P) int
	// moves says that the order of an object can change after its creation.
	moves bool
}

func (f kin[T, P]) empty() model.Stored { return P(new(T)) }

func (f kin[T, P]) find(k *kids, id string) model.Stored {
	if o := byID(*f.list(k), id); o != nil {
		return o
	}
	return nil
}

func (f kin[T, P]) all(k *kids) []model.Stored {
	list := *f.list(k)
	out := make([]model.Stored, len(list))
	for i, o := range list {
		out[i] = o
	}
	return out
}

// own makes the list one that may be changed in place.
func (f kin[T, P]) own(k *kids) { *f.list(k) = slices.Clone(*f.list(k)) }

func (f kin[T, P]) put(k *kids, o model.Stored, fresh bool) {
	list, v := f.list(k), o.(P)
	at, found := slices.BinarySearchFunc(*list, v, f.order)
	if found {
		(*list)[at] = v
		return
	}
	if f.moves && !fresh {
		f.remove(k, v.Place().ID)
		at, _ = slices.BinarySearchFunc(*list, v, f.order)
	}
	*list = slices.Insert(*list, at, v)
}

func (f kin[T, P]) remove(k *kids, id string) {
	list := f.list(k)
	if i := slices.IndexFunc(*list, func(o P) bool { return o.Place().ID == id }); i >= 0 {
		*list = slices.Delete(*list, i, i+1)
	}
}

func (f kin[T, P]) sort(k *kids) { slices.SortFunc(*f.list(k), f.order) }

var familyOf = [...]family{
	model.KindListener:      byAge(func(k *kids) *[]*model.Listener { return &k.listeners }),
	model.KindPool:          byAge(func(k *kids) *[]*model.Pool { return &k.pools }),
	model.KindMember:        byAge(func(k *kids) *[]*model.Member { return &k.members }),
	model.KindHealthMonitor: byAge(func(k *kids) *[]*model.HealthMonitor { return &k.monitors }),
	model.KindL7Policy:      kin[model.L7Policy, *model.L7Policy]{func(k *kids) *[]*model.L7Policy { return &k.policies }, orderOfPolicies, true},
	model.KindL7Rule:        byAge(func(k *kids) *[]*model.L7Rule { return &k.rules }),
	model.KindAmphora:       kin[model.Amphora, *model.Amphora]{func(k *kids) *[]*model.Amphora { return &k.amphorae }, orderOfAmphorae, false},
}

// byAge orders by parent, creation and id. Parents and times of creation of
// stored objects do not change ([Tx.Update]).
func byAge[T any, P interface {
	*T
	model.Object
}](list func(*kids) *[]P) family {
	return kin[T, P]{list: list, order: func(a, b P) int {
		pa, pb := a.Place(), b.Place()
		return cmp.Or(strings.Compare(pa.Parent, pb.Parent), older(a.Common(), b.Common()))
	}}
}

func older(a, b *model.Base) int { return olderThan(a.CreatedAt, a.ID, b.CreatedAt, b.ID) }

func olderThan(at time.Time, a string, bt time.Time, b string) int {
	return cmp.Or(at.Compare(bt), strings.Compare(a, b))
}

func orderOfPolicies(a, b *model.L7Policy) int {
	return cmp.Or(strings.Compare(a.ListenerID, b.ListenerID), cmp.Compare(a.Position, b.Position), strings.Compare(a.ID, b.ID))
}

func orderOfAmphorae(a, b *model.Amphora) int {
	return olderThan(a.CreatedAt, a.ID, b.CreatedAt, b.ID)
}
