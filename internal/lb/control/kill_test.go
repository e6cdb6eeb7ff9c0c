package control_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/updraft-cloud/updraft/internal/lb/control"
	"github.com/updraft-cloud/updraft/internal/lb/driver"
	"github.com/updraft-cloud/updraft/internal/lb/driver/noop"
	"github.com/updraft-cloud/updraft/internal/lb/model"
	"github.com/updraft-cloud/updraft/internal/lb/store"
)

// errDead is what a controller hears after its death: nothing that it asks for is
// done any longer, and nothing that it writes is stored.
var errDead = errors.New("it was killed")

// death kills a controller at a step: before or after something that it asks of
// the world, so that what it knows of that was written or not.
type death struct {
	at    string // "" for never
	nth   int
	store *store.Store // the controller's own

	mu    sync.Mutex
	armed bool // steps count
	seen  map[string]int
	dead  bool
	ended chan struct{}
}

func newDeath(at string, nth int, s *store.Store) *death {
	return &death{at: at, nth: nth, store: s, seen: map[string]int{}, ended: make(chan struct{})}
}

func (d *death) step(name string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case d.dead:
		return errDead
	case !d.armed:
		return nil
	}
	d.seen[name]++
	if name != d.at || d.seen[name] != d.nth {
		return nil
	}
	d.dead = true
	_ = d.store.Close() // its lease ends by itself, as that of a process would
	close(d.ended)
	return errDead
}

func (d *death) arm() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.armed = true
}

// mortal makes a call that the controller can die before and after.
func mortal[T any](d *death, what string, call func() (T, error)) (T, error) {
	var none T
	if err := d.step("before " + what); err != nil {
		return none, err
	}
	v, err := call()
	if dead := d.step("after " + what); dead != nil {
		return none, dead
	}
	return v, err
}

func mortally(d *death, what string, call func() error) error {
	_, err := mortal(d, what, func() (bool, error) { return true, call() })
	return err
}

type mortalCompute struct {
	driver.Compute
	d *death
}

func (c mortalCompute) Ensure(ctx context.Context, s driver.Spec) (*driver.Instance, error) {
	return mortal(c.d, "ensure", func() (*driver.Instance, error) { return c.Compute.Ensure(ctx, s) })
}

func (c mortalCompute) Remove(ctx context.Context, id string) error {
	return mortally(c.d, "remove", func() error { return c.Compute.Remove(ctx, id) })
}

// lightCompute is one whose instances are no more than records.
type lightCompute struct{ mortalCompute }

func (lightCompute) Light() {}

// wiring is embedded under another name, because a method is called Network.
type wiring = driver.Network

type mortalNetwork struct {
	wiring
	d *death
}

func (n mortalNetwork) EnsurePort(ctx context.Context, r driver.PortRequest) (*driver.Port, error) {
	return mortal(n.d, "port", func() (*driver.Port, error) { return n.wiring.EnsurePort(ctx, r) })
}

func (n mortalNetwork) RemovePort(ctx context.Context, id string) error {
	return mortally(n.d, "unport", func() error { return n.wiring.RemovePort(ctx, id) })
}

func (n mortalNetwork) ReleaseVIP(ctx context.Context, v driver.VIP) error {
	return mortally(n.d, "release", func() error { return n.wiring.ReleaseVIP(ctx, v) })
}

type mortalAgents struct {
	control.Amphorae
	d *death
}

func (a mortalAgents) Apply(ctx context.Context, w control.Want) (string, error) {
	what := "apply"
	if w.Fenced {
		what = "apply fenced"
	}
	return mortal(a.d, what, func() (string, error) { return a.Amphorae.Apply(ctx, w) })
}

// cell is one kill: an operation on many load balancers, and the step at which
// their controller dies.
type cell struct {
	*world
	etcd, prefix string
	light        bool
	n            int
	ids          []string
}

// matrix has the etcd that all cells share.
type matrix struct {
	t    *testing.T
	etcd string
	dir  string
}

func newMatrix(t *testing.T) *matrix {
	t.Helper()
	dir := t.TempDir()
	s, err := store.Open(t.Context(), store.Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return &matrix{t: t, etcd: "unix://" + store.SocketPath(dir), dir: dir}
}

func (m *matrix) cell(name string, light bool, n int) *cell {
	c := &cell{etcd: m.etcd, prefix: "/" + name + "/", light: light, n: n}
	c.world = emptyWorld(m.t, c.open())
	return c
}

func (c *cell) open() *store.Store {
	s, err := store.Open(context.Background(), store.Options{Endpoints: []string{c.etcd}, Prefix: c.prefix})
	if err != nil {
		panic(err) // etcd is in this process
	}
	return s
}

// controller runs one with a store and a death of its own.
func (c *cell) controller(name, at string, nth int) (*death, func()) {
	s := c.open()
	d := newDeath(at, nth, s)
	o := control.Options{Name: name, Store: s, Limits: quick()}
	o.Limits.Patience, o.Limits.Boot, o.Limits.Resync = time.Minute, time.Minute, time.Hour
	if c.light {
		o.Network, o.Compute, o.Amphorae = mortalNetwork{noop.Network{}, d}, lightCompute{mortalCompute{noop.Compute{}, d}}, mortalAgents{control.NoAgents{}, d}
	} else {
		o.Network, o.Compute, o.Amphorae = mortalNetwork{network{c.world}, d}, mortalCompute{compute{c.world}, d}, mortalAgents{agents{c.world}, d}
	}
	a, err := control.OpenAuthority(context.Background(), c.vault, c.id, time.Now)
	if err != nil {
		panic(err)
	}
	o.Authority = a
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	ctl := control.New(o)
	go func() { done <- ctl.Run(ctx) }()
	c.idle(ctl)
	d.arm()
	return d, func() {
		cancel()
		<-done // a dead one cannot give its shards back
		_ = s.Close()
	}
}

// idle waits until a controller has all shards, and nothing to do.
func (c *cell) idle(ctl *control.Controller) {
	for deadline := time.Now().Add(2 * time.Minute); ; time.Sleep(5 * time.Millisecond) {
		ready, working := ctl.Queue()
		if ctl.Shards() == quick().Shards && ready+working == 0 {
			return
		}
		if time.Now().After(deadline) {
			c.t.Errorf("it has %d shards, %d are due and %d worked on", ctl.Shards(), ready, working)
			return
		}
	}
}

// operation is what users ask for.
type operation struct {
	name string
	do   func(c *cell)
	end  model.ProvisioningStatus
}

var operations = []operation{
	{"create", (*cell).createAll, model.Active},
	{"update", (*cell).updateAll, model.Active},
	{"failover", (*cell).failOverAll, model.Active},
	{"delete", (*cell).deleteAll, model.Deleted},
}

func (c *cell) createAll() {
	for i := range c.n {
		var change []func(*model.LoadBalancer)
		if i%2 == 1 {
			change = append(change, standby)
		}
		c.ids = append(c.ids, c.create(change...))
	}
}

func (c *cell) updateAll() {
	for _, id := range c.ids {
		pool := &model.Pool{Base: model.Base{ID: model.NewID(), AdminStateUp: true, ProvisioningStatus: model.PendingCreate}, LoadBalancerID: id, Protocol: model.ProtocolHTTP}
		c.update(func(tx *store.Tx) error {
			return errors.Join(tx.LockForChild(id), tx.Create(pool), tx.Create(&model.Member{Base: model.Base{ID: model.NewID(), AdminStateUp: true,
				ProvisioningStatus: model.PendingCreate}, LoadBalancerID: id, PoolID: pool.ID, Address: "10.1.0.2", ProtocolPort: 80, SubnetID: "back4"}))
		})
	}
}

func (c *cell) failOverAll() {
	for _, id := range c.ids {
		c.update(func(tx *store.Tx) error {
			if err := tx.LockForFailover(id); err != nil {
				return err
			}
			lb := tx.LoadBalancer(id).Clone()
			lb.Failover = &model.Failover{RequestedAt: model.Now()}
			for _, a := range tx.Tree(id).Amphorae() {
				lb.Failover.Targets = append(lb.Failover.Targets, a.ID)
			}
			return tx.Update(lb)
		})
	}
}

func (c *cell) deleteAll() {
	for _, id := range c.ids {
		c.delete(id)
	}
}

// settle waits until all are as told.
func (c *cell) settle(s model.ProvisioningStatus) {
	for _, id := range c.ids {
		c.awaitStatus(id, s)
	}
}

// kill does an operation of which the controller dies, and looks what another one
// makes of it. It returns the steps that there were.
func (c *cell) kill(op operation, at string) map[string]int {
	if op.name != "create" {
		_, end := c.controller("first", "", 0)
		c.createAll()
		c.settle(model.Active)
		end()
	}
	before := c.amphorae()
	nth := c.n/2 + 1
	d, end := c.controller("dies", at, nth)
	op.do(c)
	if at == "" {
		c.settle(op.end)
		end()
		return d.seen
	}
	select {
	case <-d.ended:
	case <-time.After(2 * time.Minute):
		c.t.Errorf("%s: the step %q was not reached %d times", op.name, at, nth)
	}
	end()
	_, end = c.controller("lives", "", 0)
	defer end()
	c.settle(op.end)
	c.whole(op, at, before)
	return nil
}

func (c *cell) amphorae() map[string]bool {
	out := map[string]bool{}
	for _, id := range c.ids {
		for _, a := range c.tree(id).Amphorae() {
			out[a.ID] = true
		}
	}
	return out
}

// whole checks that nothing is left over and nothing is missing.
func (c *cell) whole(op operation, at string, before map[string]bool) {
	have := c.amphorae()
	want := c.n + c.n/2 // every other is a pair
	if op.end == model.Deleted {
		want = 0
	}
	if len(have) != want {
		c.t.Errorf("%s, killed %s: there are %d amphorae and not %d", op.name, at, len(have), want)
	}
	for id := range have {
		if op.name == "failover" && before[id] || op.name == "update" && !before[id] {
			c.t.Errorf("%s, killed %s: amphora %s was there before: %v", op.name, at, id, before[id])
		}
	}
	for _, id := range c.ids {
		if m := c.tree(id).AllMembers(); op.name == "update" && (len(m) != 1 || m[0].ProvisioningStatus != model.Active) {
			c.t.Errorf("%s, killed %s: the members are %+v", op.name, at, m)
		}
	}
	if c.light {
		return
	}
	// What a pass does not find is swept.
	deadline := time.Now().Add(2 * time.Minute)
	for {
		left := c.leftOver(have)
		if len(left) == 0 {
			return
		}
		if time.Now().After(deadline) {
			c.t.Errorf("%s, killed %s: left over or missing are %q", op.name, at, left)
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// leftOver compares what there is with those that shall be there.
func (c *cell) leftOver(have map[string]bool) []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var left []string
	note := func(kind string, has map[string]bool) {
		for id := range has {
			if !have[id] {
				left = append(left, kind+" of "+id)
			}
		}
		for id := range have {
			if !has[id] {
				left = append(left, "no "+kind+" of "+id)
			}
		}
	}
	instances, ports := map[string]bool{}, map[string]bool{}
	for id := range c.instances {
		instances[id] = true
	}
	for _, p := range c.ports {
		ports[p.AmphoraID] = true
	}
	note("instance", instances)
	note("port", ports)
	for id := range c.vips {
		if t := c.tree(id); t == nil || t.LB.ProvisioningStatus == model.Deleted {
			left = append(left, "address of "+id)
		}
	}
	return left
}

// TestAControllerIsKilledAtEveryStep kills one at every step of every operation:
// before and after each thing that it asks of the world. Then none is PENDING,
// nothing is left over and nothing is lost.
func TestAControllerIsKilledAtEveryStep(t *testing.T) {
	for _, c := range []struct {
		name  string
		light bool
		n     int
		steps int // at least
	}{{"a hundred in flight with nothing to run", true, 100, 16}, {"some with amphorae, half of them pairs", false, 6, 30}} {
		t.Run(c.name, func(t *testing.T) {
			m := newMatrix(t)
			total := 0
			var wg sync.WaitGroup
			slots := make(chan bool, 16)
			for _, op := range operations {
				seen := m.cell(op.name, c.light, c.n).kill(op, "")
				for i, at := range slices.Sorted(maps.Keys(seen)) {
					if seen[at] <= c.n/2 {
						continue // it happens by chance
					}
					total++
					wg.Go(func() {
						slots <- true
						defer func() { <-slots }()
						m.cell(fmt.Sprint(op.name, i), c.light, c.n).kill(op, at)
					})
				}
			}
			wg.Wait()
			t.Logf("%d steps", total)
			if total < c.steps {
				t.Errorf("there were %d steps, and should be %d", total, c.steps)
			}
		})
	}
}
