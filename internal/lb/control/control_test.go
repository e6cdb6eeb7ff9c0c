package control_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/updraft-cloud/updraft/internal/lb/control"
	"github.com/updraft-cloud/updraft/internal/lb/driver"
	"github.com/updraft-cloud/updraft/internal/lb/driver/noop"
	"github.com/updraft-cloud/updraft/internal/lb/model"
	"github.com/updraft-cloud/updraft/internal/lb/store"
	"github.com/updraft-cloud/updraft/internal/secret"
)

// world is everything around controllers: it goes on when they are killed.
type world struct {
	t     *testing.T
	store *store.Store
	vault *vault
	id    secret.Identity

	mu        sync.Mutex
	instances map[string]*driver.Instance
	configs   map[string]control.Want // what agents carry
	ports     map[string]driver.Port
	vips      map[string]bool
	fault     func(op, id string) error // of anything that is asked
	order     []string                  // what was done, in words
}

func newWorld(t *testing.T) *world {
	t.Helper()
	s, err := store.Open(t.Context(), store.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return emptyWorld(t, s)
}

func emptyWorld(t *testing.T, s *store.Store) *world {
	return &world{t: t, store: s, vault: &vault{records: map[string]record{}}, id: secret.Identity{Path: t.TempDir() + "/identity.age"},
		instances: map[string]*driver.Instance{}, configs: map[string]control.Want{}, ports: map[string]driver.Port{}, vips: map[string]bool{}}
}

// quick is a patience for tests.
func quick() control.Limits {
	return control.Limits{Shards: 4, Workers: 8, Heartbeat: 50 * time.Millisecond, Silence: 300 * time.Millisecond, Boot: 2 * time.Second,
		Patience: 400 * time.Millisecond, RetryMin: 10 * time.Millisecond, RetryMax: 50 * time.Millisecond, Resync: time.Second,
		Grace: 300 * time.Millisecond, Expire: time.Hour, Statistics: 10 * time.Millisecond}
}

// start runs a controller, and returns how to end it.
func (w *world) start(name string, o control.Options) (stop func()) {
	w.t.Helper()
	_, stop = w.run(name, o)
	return stop
}

func (w *world) run(name string, o control.Options) (c *control.Controller, stop func()) {
	w.t.Helper()
	o.Name, o.Store = name, w.store
	if o.Network == nil {
		o.Network, o.Compute, o.Amphorae = network{w}, compute{w}, agents{w}
	}
	if o.Limits == (control.Limits{}) {
		o.Limits = quick()
	}
	if o.Authority == nil {
		a, err := control.OpenAuthority(w.t.Context(), w.vault, w.id, time.Now)
		if err != nil {
			w.t.Fatal(err)
		}
		o.Authority = a
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	c = control.New(o)
	go func() { done <- c.Run(ctx) }()
	var once sync.Once
	stop = func() {
		once.Do(func() {
			cancel()
			if err := <-done; err != nil {
				w.t.Errorf("controller %s ended with %v", name, err)
			}
		})
	}
	w.t.Cleanup(stop)
	return c, stop
}

func (w *world) noop() control.Options {
	return control.Options{Network: noop.Network{}, Compute: noop.Compute{}, Amphorae: control.NoAgents{}}
}

// create does what the API does for a new load balancer.
func (w *world) create(change ...func(*model.LoadBalancer)) string {
	w.t.Helper()
	lb := &model.LoadBalancer{Base: model.Base{ID: model.NewID(), ProjectID: "p", AdminStateUp: true, ProvisioningStatus: model.PendingCreate,
		OperatingStatus: model.OpOffline, CreatedAt: model.Now()}, VIP: model.VIP{Address: "10.0.0.9", SubnetID: "front4", NetworkID: "front", PortID: "vip", PortOwned: true},
		Topology: model.TopologySingle, StatusSince: model.Now()}
	for _, c := range change {
		c(lb)
	}
	w.mu.Lock()
	w.vips[lb.ID] = true
	w.mu.Unlock()
	w.update(func(tx *store.Tx) error { return tx.Create(lb) })
	return lb.ID
}

func (w *world) update(f func(*store.Tx) error) {
	w.t.Helper()
	if err := w.store.Update(w.t.Context(), f); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) tree(id string) *store.Tree { return w.store.View().Tree(id) }

func standby(lb *model.LoadBalancer) { lb.Topology = model.TopologyActiveStandby }

// await waits until the load balancer is as told.
func (w *world) await(id, what string, is func(*store.Tree) bool) *store.Tree {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), 20*time.Second)
	defer cancel()
	feed := w.store.Watch()
	defer feed.Close()
	for {
		t := w.tree(id)
		if is(t) {
			return t
		}
		if _, err := feed.Next(ctx); err != nil {
			if t == nil {
				w.t.Fatalf("the load balancer is gone, and was to be %s", what)
			}
			w.t.Fatalf("the load balancer is %s (%s) with %d amphorae, and was to be %s; done so far: %q", t.LB.ProvisioningStatus, t.LB.StatusReason, len(t.Amphorae()), what, w.done())
		}
	}
}

func (w *world) done() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]string(nil), w.order...)
}

func (w *world) awaitStatus(id string, s model.ProvisioningStatus) *store.Tree {
	w.t.Helper()
	return w.await(id, string(s), func(t *store.Tree) bool { return t != nil && t.LB.ProvisioningStatus == s })
}

// faults makes what is asked fail.
func (w *world) faults(f func(op, id string) error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.fault = f
}

// did notes what is being done, or answers with the fault of it. The caller
// holds the lock.
func (w *world) did(op, id string) error {
	if w.fault != nil {
		if err := w.fault(op, id); err != nil {
			return err
		}
	}
	w.order = append(w.order, op+" "+id)
	return nil
}

var errBroken = fmt.Errorf("%w: it is broken", driver.ErrUnavailable)

type compute struct{ *world }

func (c compute) Ensure(_ context.Context, s driver.Spec) (*driver.Instance, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.did("ensure", s.AmphoraID); err != nil {
		return nil, err
	}
	in := c.instances[s.AmphoraID]
	if in == nil {
		boot, err := s.Boot()
		if err != nil {
			return nil, err
		}
		if boot.Certificate == "" || len(boot.HeartbeatKey) == 0 {
			c.t.Error("an agent is started without an identity")
		}
		_ = c.store.Sync(context.Background()) // the controller may have a store of its own
		if a, _ := c.store.View().Amphora(s.AmphoraID); a == nil {
			c.t.Errorf("amphora %s was made and has no record", s.AmphoraID)
		}
		in = &driver.Instance{AmphoraID: s.AmphoraID, LoadBalancerID: s.LoadBalancerID, ComputeID: "c-" + s.AmphoraID, State: driver.Running,
			Address: netip.MustParseAddr("fd00::2"), Created: time.Now()}
		c.instances[s.AmphoraID] = in
	}
	copied := *in
	return &copied, nil
}

func (c compute) Remove(_ context.Context, id string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.did("remove", id); err != nil {
		return err
	}
	delete(c.instances, id)
	delete(c.configs, id)
	return nil
}

func (c compute) List(context.Context) ([]driver.Instance, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var out []driver.Instance
	for _, in := range c.instances {
		out = append(out, *in)
	}
	return out, nil
}

func (c compute) Manage() driver.Management { return nil }

type network struct{ *world }

func (n network) Network(_ context.Context, id string) (*driver.Net, error) {
	return &driver.Net{ID: id}, nil
}

// Subnet has names such as front4: the first on the network "front".
func (n network) Subnet(_ context.Context, id string) (*driver.Subnet, error) {
	return &driver.Subnet{ID: id, NetworkID: id[:len(id)-1], Prefix: netip.MustParsePrefix("10.0.0.0/24")}, nil
}
func (n network) Port(context.Context, string) (*driver.Port, error) { return nil, errBroken }
func (n network) QoSPolicy(context.Context, string) error            { return nil }
func (n network) SecurityGroup(context.Context, string) error        { return nil }
func (n network) EnsureVIP(context.Context, driver.VIPRequest) (*driver.VIP, error) {
	return nil, errBroken
}

func (n network) ReleaseVIP(_ context.Context, v driver.VIP) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if err := n.did("release", v.LoadBalancerID); err != nil {
		return err
	}
	delete(n.vips, v.LoadBalancerID)
	return nil
}

func (n network) EnsurePort(_ context.Context, r driver.PortRequest) (*driver.Port, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	id := "port-" + r.AmphoraID + "-" + r.NetworkID
	if err := n.did("port", id); err != nil {
		return nil, err
	}
	p := driver.Port{ID: id, NetworkID: r.NetworkID, LoadBalancerID: r.LoadBalancerID, AmphoraID: r.AmphoraID, Created: time.Now()}
	for _, s := range r.Subnets {
		p.FixedIPs = append(p.FixedIPs, driver.FixedIP{SubnetID: s, Address: netip.MustParseAddr("10.0.0.50")})
	}
	n.ports[id] = p
	return &p, nil
}

func (n network) RemovePort(_ context.Context, id string) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if err := n.did("unport", id); err != nil {
		return err
	}
	delete(n.ports, id)
	return nil
}

func (n network) Ports(_ context.Context, lb string) ([]driver.Port, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	var out []driver.Port
	for _, p := range n.ports {
		if lb == "" || p.LoadBalancerID == lb {
			out = append(out, p)
		}
	}
	return out, nil
}

type agents struct{ *world }

func (a agents) Apply(_ context.Context, want control.Want) (string, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	id := want.Amphora.ID
	word := "apply"
	if want.Fenced {
		word = "apply fenced"
	}
	if err := a.did(word, id); err != nil {
		return "", err
	}
	in := a.instances[id]
	if in == nil || in.State != driver.Running {
		return "", errBroken
	}
	if old, ok := a.configs[id]; ok && old.Version > want.Version {
		return "", errors.New("it is older than what the agent has")
	}
	if !want.Fenced {
		a.alone(want)
	}
	a.configs[id] = want
	t := want.Tree
	return fmt.Sprintf("%s fenced=%v key=%d listeners=%d members=%d", t.LB.Name, want.Fenced, want.Amphora.KeyVersion, len(t.Listeners()), len(t.AllMembers())), nil
}

// alone checks that no two amphorae of one role have an address at a time.
func (a agents) alone(want control.Want) {
	for id, c := range a.configs {
		if id != want.Amphora.ID && !c.Fenced && c.Amphora.LoadBalancerID == want.Amphora.LoadBalancerID && c.Amphora.Role == want.Amphora.Role && a.instances[id] != nil {
			a.t.Errorf("the amphorae %s and %s have the address at the same time", id, want.Amphora.ID)
		}
	}
}

func (a agents) Digest(context.Context, control.Want) (string, error) { return "", nil }

func (a agents) Probe(_ context.Context, m *model.Amphora) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if in := a.instances[m.ID]; in == nil || in.State != driver.Running {
		return errBroken
	}
	return a.did("probe", m.ID)
}

func (a agents) Renew(_ context.Context, m *model.Amphora, _, _, _ string) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.did("renew", m.ID)
}

type record struct {
	data []byte
	rev  int64
}

type vault struct {
	mu      sync.Mutex
	records map[string]record
}

func (v *vault) Get(_ context.Context, name string) ([]byte, int64, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	r := v.records[name]
	return r.data, r.rev, nil
}

func (v *vault) Put(_ context.Context, name string, data []byte, rev int64) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.records[name].rev != rev {
		return control.ErrLost
	}
	v.records[name] = record{data, rev + 1}
	return nil
}
