package store

import (
	"cmp"
	"iter"
	"strings"

	"github.com/google/btree"

	"github.com/updraft-cloud/updraft/internal/lb/model"
)

// degree of the B-trees: nodes of up to 63 items, so that a change of 100,000
// load balancers copies three or four small nodes.
const degree = 32

// Snapshot is the state at one revision. It never changes and may be kept.
type Snapshot struct {
	// Rev is the revision of the last change that is in it.
	Rev int64

	trees     *btree.BTreeG[*Tree] // by id
	byAge     *btree.BTreeG[*Tree]
	byProject *btree.BTreeG[*Tree] // by project, then age
	homes     *btree.BTreeG[home]
	misc      *btree.BTreeG[entry]
	next      chan struct{} // closed when there is a newer one
}

// home says in which tree a child is.
type home struct {
	id   string
	kind model.Kind
	lb   string
}

// entry is an object that is not in a tree.
type entry struct {
	key     string
	rev     int64
	created int64 // revision of the creation
	value   model.Stored
}

func newSnapshot() *Snapshot {
	return &Snapshot{
		trees:     btree.NewG(degree, func(a, b *Tree) bool { return a.LB.ID < b.LB.ID }),
		byAge:     btree.NewG(degree, func(a, b *Tree) bool { return older(&a.LB.Base, &b.LB.Base) < 0 }),
		byProject: btree.NewG(degree, lessByProject),
		homes:     btree.NewG(degree, func(a, b home) bool { return a.id < b.id }),
		misc:      btree.NewG(degree, func(a, b entry) bool { return a.key < b.key }),
		next:      make(chan struct{}),
	}
}

func lessByProject(a, b *Tree) bool {
	return cmp.Or(strings.Compare(a.LB.ProjectID, b.LB.ProjectID), older(&a.LB.Base, &b.LB.Base)) < 0
}

// clone returns a snapshot that shares everything and may be changed.
func (s *Snapshot) clone() *Snapshot {
	return &Snapshot{
		Rev: s.Rev, trees: s.trees.Clone(), byAge: s.byAge.Clone(), byProject: s.byProject.Clone(),
		homes: s.homes.Clone(), misc: s.misc.Clone(), next: make(chan struct{}),
	}
}

// Tree returns a load balancer with what is below it, nil when there is none.
// Load balancers that are DELETED and not yet purged are there.
func (s *Snapshot) Tree(id string) *Tree {
	t, _ := s.trees.Get(&Tree{LB: &model.LoadBalancer{Base: model.Base{ID: id}}})
	return t
}

// TreeOf returns the tree in which a child of a kind is, nil when there is none.
func (s *Snapshot) TreeOf(k model.Kind, id string) *Tree {
	h, ok := s.homes.Get(home{id: id})
	if !ok || h.kind != k {
		return nil
	}
	return s.Tree(h.lb)
}

// Len returns how many load balancers there are.
func (s *Snapshot) Len() int { return s.trees.Len() }

// Trees returns the load balancers of a project, all when it is empty, by
// creation.
func (s *Snapshot) Trees(project string) iter.Seq[*Tree] {
	return func(yield func(*Tree) bool) {
		if project == "" {
			s.byAge.Ascend(yield)
			return
		}
		from := &Tree{LB: &model.LoadBalancer{Base: model.Base{ProjectID: project}}}
		s.byProject.AscendGreaterOrEqual(from, func(t *Tree) bool { return t.LB.ProjectID == project && yield(t) })
	}
}

// Listener returns a listener and its tree, nil when there is none; so do the
// others below.
func (s *Snapshot) Listener(id string) (*model.Listener, *Tree) {
	return child(s, model.KindListener, id, (*Tree).Listener)
}

// Pool returns a pool and its tree.
func (s *Snapshot) Pool(id string) (*model.Pool, *Tree) {
	return child(s, model.KindPool, id, (*Tree).Pool)
}

// Member returns a member and its tree.
func (s *Snapshot) Member(id string) (*model.Member, *Tree) {
	return child(s, model.KindMember, id, (*Tree).Member)
}

// HealthMonitor returns a monitor and its tree.
func (s *Snapshot) HealthMonitor(id string) (*model.HealthMonitor, *Tree) {
	return child(s, model.KindHealthMonitor, id, (*Tree).HealthMonitor)
}

// L7Policy returns a policy and its tree.
func (s *Snapshot) L7Policy(id string) (*model.L7Policy, *Tree) {
	return child(s, model.KindL7Policy, id, (*Tree).L7Policy)
}

// L7Rule returns a rule and its tree.
func (s *Snapshot) L7Rule(id string) (*model.L7Rule, *Tree) {
	return child(s, model.KindL7Rule, id, (*Tree).L7Rule)
}

// Amphora returns an amphora and its tree.
func (s *Snapshot) Amphora(id string) (*model.Amphora, *Tree) {
	return child(s, model.KindAmphora, id, (*Tree).Amphora)
}

func child[T any](s *Snapshot, k model.Kind, id string, get func(*Tree, string) *T) (*T, *Tree) {
	t := s.TreeOf(k, id)
	if t == nil {
		return nil, nil
	}
	if o := get(t, id); o != nil {
		return o, t
	}
	return nil, nil
}

// Flavor returns a flavor, nil when there is none; so do the others below.
func (s *Snapshot) Flavor(id string) *model.Flavor {
	return get[*model.Flavor](s, model.KindFlavor, id)
}

// FlavorProfile returns a profile.
func (s *Snapshot) FlavorProfile(id string) *model.FlavorProfile {
	return get[*model.FlavorProfile](s, model.KindFlavorProfile, id)
}

// AvailabilityZone returns a zone.
func (s *Snapshot) AvailabilityZone(name string) *model.AvailabilityZone {
	return get[*model.AvailabilityZone](s, model.KindAvailabilityZone, name)
}

// AvailabilityZoneProfile returns a profile.
func (s *Snapshot) AvailabilityZoneProfile(id string) *model.AvailabilityZoneProfile {
	return get[*model.AvailabilityZoneProfile](s, model.KindAvailabilityZoneProfile, id)
}

// Quota returns the row of a project, nil when it has none.
func (s *Snapshot) Quota(project string) *model.Quota {
	return get[*model.Quota](s, model.KindQuota, project)
}

// Record returns a record, nil when there is none.
func (s *Snapshot) Record(name string) *model.Record {
	return get[*model.Record](s, model.KindRecord, name)
}

// Stats returns what the amphorae of a load balancer reported.
func (s *Snapshot) Stats(lb string) []*model.AmphoraStats {
	return list[*model.AmphoraStats](s, model.KindStats, lb+"/")
}

// Flavors returns the flavors by id.
func (s *Snapshot) Flavors() []*model.Flavor { return list[*model.Flavor](s, model.KindFlavor, "") }

// FlavorProfiles returns the profiles by id.
func (s *Snapshot) FlavorProfiles() []*model.FlavorProfile {
	return list[*model.FlavorProfile](s, model.KindFlavorProfile, "")
}

// AvailabilityZones returns the zones by name.
func (s *Snapshot) AvailabilityZones() []*model.AvailabilityZone {
	return list[*model.AvailabilityZone](s, model.KindAvailabilityZone, "")
}

// AvailabilityZoneProfiles returns the profiles by id.
func (s *Snapshot) AvailabilityZoneProfiles() []*model.AvailabilityZoneProfile {
	return list[*model.AvailabilityZoneProfile](s, model.KindAvailabilityZoneProfile, "")
}

// Quotas returns the rows by project.
func (s *Snapshot) Quotas() []*model.Quota { return list[*model.Quota](s, model.KindQuota, "") }

// Records returns the records whose names begin with a prefix, by name.
func (s *Snapshot) Records(prefix string) []*model.Record {
	return list[*model.Record](s, model.KindRecord, prefix)
}

// Claims returns the claims whose names begin with a prefix, by name.
func (s *Snapshot) Claims(prefix string) []*model.Claim {
	return list[*model.Claim](s, model.KindClaim, prefix)
}

func (s *Snapshot) entry(k model.Kind, id string) (entry, bool) {
	return s.misc.Get(entry{key: keyOf(k, model.Place{ID: id})})
}

func get[T model.Stored](s *Snapshot, k model.Kind, id string) T {
	e, _ := s.entry(k, id)
	v, _ := e.value.(T)
	return v
}

func list[T model.Stored](s *Snapshot, k model.Kind, prefix string) []T {
	var out []T
	start := keyOf(k, model.Place{ID: prefix})
	s.misc.AscendGreaterOrEqual(entry{key: start}, func(e entry) bool {
		if !strings.HasPrefix(e.key, start) {
			return false
		}
		out = append(out, e.value.(T))
		return true
	})
	return out
}
