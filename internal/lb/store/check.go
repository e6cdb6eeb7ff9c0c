package store

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/updraft-cloud/updraft/internal/lb/model"
)

// Problem is an invariant that does not hold.
type Problem struct {
	// Key is where, without the prefix.
	Key  string
	What string
}

func (p Problem) String() string { return p.Key + ": " + p.What }

// Check reads everything from etcd and returns what does not hold together:
// damaged records, children without parents, ports and members that are there
// twice, positions with gaps, references to what is not there, quotas that
// count wrongly, and an index that differs from etcd.
func (s *Store) Check(ctx context.Context) ([]Problem, error) {
	c := &checker{}
	snap := newSnapshot()
	w := &writer{s: snap, drafts: map[string]*draft{}, changed: map[model.Ref]struct{}{}}
	orphans := map[string][]string{}
	_, err := s.scan(ctx, func(_ int64, kv keyValue) error {
		k := parseKey(kv.key)
		if k.kind == model.KindNone {
			return nil
		}
		v, err := decode(k.kind, kv.value)
		if err != nil || keyOf(k.kind, v.Place()) != kv.key {
			c.say(kv.key, "it cannot be read, or is not what its key says")
			return nil //nolint:nilerr // it is a finding
		}
		if k.kind.IsChild() {
			orphans[k.lb] = append(orphans[k.lb], kv.key)
		}
		w.take(event{key: kv.key, value: v, rev: kv.mod, created: kv.new, fresh: true})
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("cannot read the store: %w", err)
	}
	w.finish()
	for lb, keys := range orphans {
		if snap.Tree(lb) == nil {
			for _, key := range keys {
				c.say(key, "its load balancer is not there")
			}
		}
	}
	c.all(snap)
	if err := s.compareIndex(ctx, c, snap); err != nil {
		return nil, err
	}
	slices.SortFunc(c.found, func(a, b Problem) int { return older(&model.Base{ID: a.String()}, &model.Base{ID: b.String()}) })
	return c.found, nil
}

// compareIndex compares the trees that have not changed since with those of the
// index.
func (s *Store) compareIndex(ctx context.Context, c *checker, snap *Snapshot) error {
	if err := s.Sync(ctx); err != nil {
		return err
	}
	view := s.View()
	for t := range snap.Trees("") {
		mine := view.Tree(t.LB.ID)
		if mine == nil || mine.Rev != t.Rev {
			continue // changed meanwhile
		}
		a, errA := json.Marshal(dump(t))
		b, errB := json.Marshal(dump(mine))
		if errA != nil || errB != nil || string(a) != string(b) {
			c.say(lbSpace+t.LB.ID, "the index differs from what is stored")
		}
	}
	return nil
}

func dump(t *Tree) []model.Stored {
	out := []model.Stored{t.LB}
	for k := model.KindListener; k <= model.KindAmphora; k++ {
		out = append(out, t.Children(k)...)
	}
	return out
}

type checker struct {
	found []Problem
}

func (c *checker) say(key, format string, args ...any) {
	c.found = append(c.found, Problem{key, fmt.Sprintf(format, args...)})
}

func (c *checker) all(s *Snapshot) {
	used := map[string]*model.Used{}
	for t := range s.Trees("") {
		c.tree(s, t)
		c.countTree(t, used)
	}
	for _, q := range s.Quotas() {
		want := model.Used{}
		if u := used[q.ProjectID]; u != nil {
			want = *u
		}
		if q.Used != want {
			c.say(keyOf(q.Kind(), q.Place()), "it counts %+v, there are %+v", q.Used, want)
		}
		delete(used, q.ProjectID)
	}
	for p := range used {
		c.say(keyOf(model.KindQuota, model.Place{ID: p}), "it is not there, but the project has load balancers")
	}
	c.catalog(s)
}

func (c *checker) countTree(t *Tree, used map[string]*model.Used) {
	if t.LB.ProvisioningStatus == model.Deleted {
		return
	}
	u := used[t.LB.ProjectID]
	if u == nil {
		u = &model.Used{}
		used[t.LB.ProjectID] = u
	}
	for _, o := range dump(t) {
		if n := u.Of(o.Kind()); n != nil {
			*n++
		}
	}
}

func (c *checker) tree(s *Snapshot, t *Tree) {
	for _, o := range dump(t)[1:] {
		parent := parentKind(o.Kind())
		if parent != model.KindLoadBalancer && t.Child(parent, o.Place().Parent) == nil {
			c.say(keyOf(o.Kind(), o.Place()), "its %s is not there", parent)
		}
		if b, ok := o.(model.Object); ok && b.Common().ProjectID != t.LB.ProjectID {
			c.say(keyOf(o.Kind(), o.Place()), "its project is not that of its load balancer")
		}
	}
	c.unique(t)
	c.positions(t)
	c.references(s, t)
}

func (c *checker) unique(t *Tree) {
	seen := map[string]bool{}
	once := func(o model.Stored, format string, args ...any) {
		what := fmt.Sprintf(format, args...)
		if seen[what] {
			c.say(keyOf(o.Kind(), o.Place()), "%s is there twice", what)
		}
		seen[what] = true
	}
	for _, l := range t.Listeners() {
		once(l, "port %s/%d", l.Protocol.L4(), l.ProtocolPort)
	}
	for _, m := range t.AllMembers() {
		once(m, "member %s %d of pool %s", m.Address, m.ProtocolPort, m.PoolID)
	}
	for _, m := range t.HealthMonitors() {
		once(m, "the monitor of pool %s", m.PoolID)
	}
}

func (c *checker) positions(t *Tree) {
	for _, l := range t.Listeners() {
		for i, p := range t.L7Policies(l.ID) {
			if p.Position != i+1 {
				c.say(keyOf(p.Kind(), p.Place()), "its position is %d, not %d", p.Position, i+1)
			}
		}
	}
}

func (c *checker) references(s *Snapshot, t *Tree) {
	for _, l := range t.Listeners() {
		if l.DefaultPoolID != "" && t.Pool(l.DefaultPoolID) == nil {
			c.say(keyOf(l.Kind(), l.Place()), "its default pool %s is not there", l.DefaultPoolID)
		}
	}
	for _, p := range t.AllL7Policies() {
		if p.RedirectPoolID != "" && t.Pool(p.RedirectPoolID) == nil {
			c.say(keyOf(p.Kind(), p.Place()), "its pool %s is not there", p.RedirectPoolID)
		}
	}
	live := t.LB.ProvisioningStatus != model.Deleted
	if f := t.LB.FlavorID; live && f != "" && s.Flavor(f) == nil {
		c.say(keyOf(t.LB.Kind(), t.LB.Place()), "its flavor %s is not there", f)
	}
	if z := t.LB.AvailabilityZone; live && z != "" && s.AvailabilityZone(z) == nil {
		c.say(keyOf(t.LB.Kind(), t.LB.Place()), "its availability zone %s is not there", z)
	}
}

func (c *checker) catalog(s *Snapshot) {
	names := map[string]bool{}
	for _, f := range s.Flavors() {
		if names[f.Name] {
			c.say(keyOf(f.Kind(), f.Place()), "another flavor has the name %s too", f.Name)
		}
		names[f.Name] = true
		if s.FlavorProfile(f.FlavorProfileID) == nil {
			c.say(keyOf(f.Kind(), f.Place()), "its profile is not there")
		}
	}
	for _, z := range s.AvailabilityZones() {
		if s.AvailabilityZoneProfile(z.AvailabilityZoneProfileID) == nil {
			c.say(keyOf(z.Kind(), z.Place()), "its profile is not there")
		}
	}
}
