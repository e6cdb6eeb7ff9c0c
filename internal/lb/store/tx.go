package store

import (
	"fmt"
	"maps"
	"slices"

	"github.com/updraft-cloud/updraft/internal/lb/model"
)

// Tx is what the function given to [Store.Update] reads and changes. The
// function may run several times and runs on a goroutine that all Updates share:
// it must not wait for anything, nor keep the Tx.
//
// Everything that is read through the methods of Tx is as of the commit: if
// another process changes it meanwhile, the function runs again.
type Tx struct {
	base   *Snapshot
	group  *overlay // what earlier functions of the same group changed
	mine   *overlay
	quota  QuotaPolicy
	drafts map[string]*draft
	// heads are the keys whose revisions the transaction depends on.
	heads map[string]struct{}
	// fences are claims that must still be held.
	fences map[string]int64
	// alone says that no load balancer may be created meanwhile.
	alone bool
}

// overlay is what was changed and is not committed.
type overlay struct {
	trees map[string]*Tree // nil: deleted
	misc  map[string]model.Stored
	homes map[string]home
	ops   map[string]op
}

// op is a change of one key: a value, or a deletion.
type op struct {
	value   model.Stored
	deleted bool
}

func newOverlay() *overlay {
	return &overlay{map[string]*Tree{}, map[string]model.Stored{}, map[string]home{}, map[string]op{}}
}

func (o *overlay) merge(other *overlay) {
	maps.Copy(o.trees, other.trees)
	maps.Copy(o.misc, other.misc)
	maps.Copy(o.homes, other.homes)
	maps.Copy(o.ops, other.ops)
}

func newTx(base *Snapshot, group *overlay, quota QuotaPolicy) *Tx {
	return &Tx{
		base: base, group: group, mine: newOverlay(), quota: quota,
		drafts: map[string]*draft{}, heads: map[string]struct{}{}, fences: map[string]int64{},
	}
}

// View returns the state that the transaction began with. What is read from it
// does not count as read: use it where a little age does no harm.
func (tx *Tx) View() *Snapshot { return tx.base }

// Tree returns a load balancer with what is below it as the transaction left it,
// nil when there is none. A later change of the transaction is not in it.
func (tx *Tx) Tree(id string) *Tree {
	if d := tx.drafts[id]; d != nil && d.tree.LB != nil {
		tx.heads[lbSpace+id] = struct{}{}
		return d.freeze()
	}
	return tx.peek(id)
}

// peek is Tree for a look that is over before the next change: nothing is copied
// for it, which a transaction with thousands of changes would do for each.
func (tx *Tx) peek(id string) *Tree {
	tx.heads[lbSpace+id] = struct{}{}
	if d := tx.drafts[id]; d != nil {
		if d.tree.LB == nil {
			return nil
		}
		return &d.tree
	}
	if t, ok := tx.group.trees[id]; ok {
		return t
	}
	return tx.base.Tree(id)
}

// there reports whether a child is in a load balancer's tree.
func (tx *Tx) there(k model.Kind, lb, id string) bool {
	tx.heads[lbSpace+lb] = struct{}{}
	key := keyOf(k, model.Place{LoadBalancer: lb, ID: id})
	for _, o := range []*overlay{tx.mine, tx.group} {
		if op, ok := o.ops[key]; ok {
			return !op.deleted
		}
	}
	h, ok := tx.base.homes.Get(home{id: id})
	return ok && h.kind == k && h.lb == lb
}

// TreeOf returns the tree in which a child is, nil when there is none.
func (tx *Tx) TreeOf(k model.Kind, id string) *Tree {
	h, ok := tx.homeOf(id)
	if !ok || h.kind != k {
		return nil
	}
	t := tx.Tree(h.lb)
	if t == nil || t.Child(k, id) == nil {
		return nil
	}
	return t
}

func (tx *Tx) homeOf(id string) (home, bool) {
	for _, o := range []*overlay{tx.mine, tx.group} {
		if h, ok := o.homes[id]; ok {
			return h, true
		}
	}
	return tx.base.homes.Get(home{id: id})
}

// LoadBalancer returns a load balancer, nil when there is none; so do the others
// below.
func (tx *Tx) LoadBalancer(id string) *model.LoadBalancer {
	if t := tx.peek(id); t != nil {
		return t.LB
	}
	return nil
}

// Listener returns a listener and its tree.
func (tx *Tx) Listener(id string) (*model.Listener, *Tree) {
	return within(tx, model.KindListener, id, (*Tree).Listener)
}

// Pool returns a pool and its tree.
func (tx *Tx) Pool(id string) (*model.Pool, *Tree) {
	return within(tx, model.KindPool, id, (*Tree).Pool)
}

// Member returns a member and its tree.
func (tx *Tx) Member(id string) (*model.Member, *Tree) {
	return within(tx, model.KindMember, id, (*Tree).Member)
}

// HealthMonitor returns a monitor and its tree.
func (tx *Tx) HealthMonitor(id string) (*model.HealthMonitor, *Tree) {
	return within(tx, model.KindHealthMonitor, id, (*Tree).HealthMonitor)
}

// L7Policy returns a policy and its tree.
func (tx *Tx) L7Policy(id string) (*model.L7Policy, *Tree) {
	return within(tx, model.KindL7Policy, id, (*Tree).L7Policy)
}

// L7Rule returns a rule and its tree.
func (tx *Tx) L7Rule(id string) (*model.L7Rule, *Tree) {
	return within(tx, model.KindL7Rule, id, (*Tree).L7Rule)
}

// Amphora returns an amphora and its tree.
func (tx *Tx) Amphora(id string) (*model.Amphora, *Tree) {
	return within(tx, model.KindAmphora, id, (*Tree).Amphora)
}

func within[T any](tx *Tx, k model.Kind, id string, get func(*Tree, string) *T) (*T, *Tree) {
	t := tx.TreeOf(k, id)
	if t == nil {
		return nil, nil
	}
	return get(t, id), t
}

// Flavor returns a flavor, nil when there is none; so do the others below.
func (tx *Tx) Flavor(id string) *model.Flavor {
	return misc[*model.Flavor](tx, model.KindFlavor, id)
}

// FlavorProfile returns a profile.
func (tx *Tx) FlavorProfile(id string) *model.FlavorProfile {
	return misc[*model.FlavorProfile](tx, model.KindFlavorProfile, id)
}

// AvailabilityZone returns a zone.
func (tx *Tx) AvailabilityZone(name string) *model.AvailabilityZone {
	return misc[*model.AvailabilityZone](tx, model.KindAvailabilityZone, name)
}

// AvailabilityZoneProfile returns a profile.
func (tx *Tx) AvailabilityZoneProfile(id string) *model.AvailabilityZoneProfile {
	return misc[*model.AvailabilityZoneProfile](tx, model.KindAvailabilityZoneProfile, id)
}

// Quota returns the row of a project, nil when it has none.
func (tx *Tx) Quota(project string) *model.Quota {
	return misc[*model.Quota](tx, model.KindQuota, project)
}

// Record returns a record, nil when there is none.
func (tx *Tx) Record(name string) *model.Record {
	return misc[*model.Record](tx, model.KindRecord, name)
}

func misc[T model.Stored](tx *Tx, k model.Kind, id string) T {
	v, _ := tx.misc(keyOf(k, model.Place{ID: id})).(T)
	return v
}

func (tx *Tx) misc(key string) model.Stored {
	tx.heads[key] = struct{}{}
	for _, o := range []*overlay{tx.mine, tx.group} {
		if v, ok := o.misc[key]; ok {
			return v
		}
	}
	e, _ := tx.base.misc.Get(entry{key: key})
	return e.value
}

// draft returns the tree that the transaction changes.
func (tx *Tx) draft(lb string) *draft {
	d := tx.drafts[lb]
	if d == nil {
		d = newDraft(tx.Tree(lb))
		tx.drafts[lb] = d
	}
	return d
}

// put stores an object without looking at what it means.
func (tx *Tx) put(o model.Stored) { tx.store(o, false) }

// store is put; fresh says that the object was not there.
func (tx *Tx) store(o model.Stored, fresh bool) {
	k, p := o.Kind(), o.Place()
	key := keyOf(k, p)
	tx.mine.ops[key] = op{value: o}
	switch {
	case k == model.KindLoadBalancer:
		tx.draft(p.ID).tree.LB = o.(*model.LoadBalancer)
	case k.IsChild():
		d := tx.draft(p.LoadBalancer)
		d.put(o, fresh)
		tx.mine.homes[p.ID] = home{p.ID, k, p.LoadBalancer}
		tx.touch(p.LoadBalancer)
	default:
		tx.mine.misc[key] = o
	}
}

// touch rewrites the record of a load balancer, whose revision is the tree's.
func (tx *Tx) touch(lb string) {
	if d := tx.draft(lb); d.tree.LB != nil {
		tx.mine.ops[lbSpace+lb] = op{value: d.tree.LB}
	}
}

func (tx *Tx) remove(k model.Kind, p model.Place) {
	key := keyOf(k, p)
	tx.mine.ops[key] = op{deleted: true}
	switch {
	case k == model.KindLoadBalancer:
		tx.draft(p.ID).tree = Tree{}
	case k.IsChild():
		tx.draft(p.LoadBalancer).remove(k, p.ID)
		tx.touch(p.LoadBalancer)
	default:
		tx.mine.misc[key] = nil
	}
}

// seal ends the function's part: drafts become trees.
func (tx *Tx) seal() {
	for id, d := range tx.drafts {
		if d.tree.LB == nil {
			tx.mine.trees[id] = nil
			continue
		}
		tx.mine.trees[id] = d.freeze()
	}
}

// keys returns all keys that the transaction has to do with.
func (tx *Tx) keys() []string {
	out := slices.AppendSeq(make([]string, 0, len(tx.heads)+len(tx.mine.ops)), maps.Keys(tx.heads))
	for k := range tx.mine.ops {
		if _, ok := tx.heads[k]; !ok {
			out = append(out, k)
		}
	}
	return out
}

// revision returns the revision that a key has in the base.
func (tx *Tx) revision(key string) int64 {
	if k := parseKey(key); k.kind == model.KindLoadBalancer {
		if t := tx.base.Tree(k.id); t != nil {
			return t.Rev
		}
		return 0
	}
	e, _ := tx.base.misc.Get(entry{key: key})
	return e.rev
}

func checkID(o model.Stored) error {
	if o.Place().ID == "" {
		return fmt.Errorf("a %s without an id cannot be stored", o.Kind())
	}
	return nil
}
