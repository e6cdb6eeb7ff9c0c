package render

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/updraft-cloud/updraft/internal/lb/amphora"
	"github.com/updraft-cloud/updraft/internal/lb/model"
)

// Tree is a load balancer with everything that belongs to it, in any order.
// What is being deleted is not in it.
type Tree struct {
	LoadBalancer *model.LoadBalancer
	Listeners    []*model.Listener
	Pools        []*model.Pool
	Members      []*model.Member
	Monitors     []*model.HealthMonitor
	Policies     []*model.L7Policy
	Rules        []*model.L7Rule
}

// Place is what is peculiar to one amphora.
type Place struct {
	AmphoraID string
	Version   uint64
	Fenced    bool
	VIPs      []amphora.VIP
	// Secrets are what the refs in the tree stand for, PEM: a certificate with
	// its chain and key, authorities, or a revocation list.
	Secrets map[string][]byte
	// Kept are the names of what those refs stood for that can no longer be read: the
	// agent goes on with what it has.
	Kept      map[string]string
	Heartbeat amphora.Heartbeat
	// VRRP is nil for the topology SINGLE.
	VRRP *VRRP
}

// VRRP is the pair of an ACTIVE_STANDBY.
type VRRP struct {
	Interface string
	Self      Peer
	Others    []Peer
	RouterID  int // 1 to 255
	Priority  int
	// Interval between advertisements, DefaultInterval when zero.
	Interval time.Duration
}

// Peer is an amphora of the pair by its own address on the VIP's network.
type Peer struct {
	AmphoraID string
	Address   netip.Addr
}

// DefaultInterval has another amphora take over after 1 s of silence.
const DefaultInterval = 300 * time.Millisecond

// Config renders all of it. An error means that no HAProxy could run this, and
// names the object.
func Config(t Tree, p Place) (*amphora.Config, error) {
	x := newIndex(t)
	c := &amphora.Config{
		Amphora: p.AmphoraID, LoadBalancer: t.LoadBalancer.ID, Version: p.Version,
		Fenced: p.Fenced, VIPs: p.VIPs, Heartbeat: p.Heartbeat,
	}
	w := &work{index: x, place: p, config: c, files: map[string]amphora.File{}}
	if p.VRRP != nil {
		c.Keepalived = keepalived(t.LoadBalancer.ID, p)
	}
	if !t.LoadBalancer.AdminStateUp {
		return c, c.Validate()
	}
	if err := w.listeners(); err != nil {
		return nil, err
	}
	for _, name := range sortedKeys(w.files) {
		c.Files = append(c.Files, w.files[name])
	}
	return c, c.Validate()
}

// work is a rendering under way.
type work struct {
	index
	place  Place
	config *amphora.Config
	files  map[string]amphora.File
}

// secret returns the name of the file with what a ref stands for.
func (w *work) secret(ref, suffix string) (string, error) {
	if data, ok := w.place.Secrets[ref]; ok {
		return w.file(data, suffix), nil
	}
	name, ok := w.place.Kept[ref]
	if !ok {
		return "", fmt.Errorf("cannot render: there is nothing for the ref %q", ref)
	}
	w.files[name+suffix] = amphora.File{Name: name + suffix}
	return name + suffix, nil
}

func (w *work) file(data []byte, suffix string) string {
	f := amphora.Content(data, suffix)
	w.files[f.Name] = f
	return f.Name
}

// index finds what belongs to what. It has only what is enabled, but for
// members, which HAProxy knows as being in maintenance.
type index struct {
	lb       *model.LoadBalancer
	all      []*model.Listener
	pools    map[string]*model.Pool
	members  map[string][]*model.Member
	monitors map[string]*model.HealthMonitor
	policies map[string][]*model.L7Policy
	rules    map[string][]*model.L7Rule
}

func newIndex(t Tree) index {
	x := index{
		lb: t.LoadBalancer, pools: map[string]*model.Pool{}, members: map[string][]*model.Member{}, monitors: map[string]*model.HealthMonitor{},
		policies: map[string][]*model.L7Policy{}, rules: map[string][]*model.L7Rule{},
	}
	x.all = enabled(t.Listeners)
	for _, p := range enabled(t.Pools) {
		x.pools[p.ID] = p
	}
	for _, m := range sortedByID(t.Members) {
		x.members[m.PoolID] = append(x.members[m.PoolID], m)
	}
	for _, m := range enabled(t.Monitors) {
		x.monitors[m.PoolID] = m
	}
	for _, p := range enabled(t.Policies) {
		x.policies[p.ListenerID] = append(x.policies[p.ListenerID], p)
	}
	for _, r := range enabled(t.Rules) {
		x.rules[r.L7PolicyID] = append(x.rules[r.L7PolicyID], r)
	}
	for _, ps := range x.policies {
		slices.SortStableFunc(ps, func(a, b *model.L7Policy) int {
			return cmp.Or(cmp.Compare(precedence(a), precedence(b)), cmp.Compare(a.Position, b.Position))
		})
	}
	return x
}

// precedence is upstream's (user guide, "L7 policy evaluation"): rejections come
// before redirections, and those before pools; positions count within each.
func precedence(p *model.L7Policy) int {
	switch p.Action {
	case model.ActionReject:
		return 0
	case model.ActionRedirectToPool:
		return 2
	}
	return 1
}

func enabled[T model.Object](all []T) []T {
	return slices.DeleteFunc(sortedByID(all), func(o T) bool { return !o.Common().AdminStateUp })
}

func sortedByID[T model.Object](all []T) []T {
	out := slices.Clone(all)
	slices.SortFunc(out, func(a, b T) int { return cmp.Compare(a.Common().ID, b.Common().ID) })
	return out
}

func sortedKeys[V any](m map[string]V) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}
