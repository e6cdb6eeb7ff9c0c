package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/updraft-cloud/updraft/internal/lb/model"
)

// rig is a store under test. open opens another one on the same data, as another
// process would.
type rig struct {
	*testing.T
	*Store
	open func(Options) *Store
}

var conformance = []struct {
	rule string
	test func(r rig)
}{
	{"what is created is read back, in the order of the API", testReadBack},
	{"a transaction that fails leaves nothing", testAtomic},
	{"what must be unique is", testUnique},
	{"quotas are enforced and count exactly", testQuota},
	{"positions of policies are dense", testPositions},
	{"locks are taken by one", testLocks},
	{"what is referred to stays", testReferences},
	{"a thousand writers on one load balancer: one wins, the others are told exactly", testThousand},
	{"no update is lost between processes", testNoLostUpdate},
	{"what must be unique is so between processes", testUniqueBetweenProcesses},
	{"a conflict is never told of an old state", testFreshConflict},
	{"changes are watched", testFeed},
	{"claims exclude and fence", testClaims},
	{"a load balancer with a thousand members comes and goes in one transaction", testLarge},
	{"what is too large for one transaction is told so, and holds up nobody", testTooLarge},
	{"a backup is restored", testBackup},
	{"a function that panics fails alone", testPanic},
	{"a deleted load balancer no longer counts and is purged", testBury},
}

func TestConformanceOfTheOwnMember(t *testing.T) {
	t.Parallel()
	for _, c := range conformance {
		t.Run(c.rule, func(t *testing.T) {
			dir := dirOf(t)
			s := open(t, Options{Dir: dir, Quota: limitOf(5000)})
			again := func(o Options) *Store {
				o.Dir, o.Attach = dir, true
				return open(t, o)
			}
			c.test(rig{t, s, again})
			mustCheck(t, s)
		})
	}
}

func TestConformanceOfACluster(t *testing.T) {
	t.Parallel()
	cl := startCluster(t, 5*time.Second)
	cl.stop(cl.follower()) // one of three is lost
	for i, c := range conformance {
		t.Run(c.rule, func(t *testing.T) {
			again := func(o Options) *Store {
				o.Endpoints, o.Prefix = cl.endpoints(), o.Prefix+fmt.Sprintf("/t%d/", i)
				return open(t, o)
			}
			s := again(Options{Quota: limitOf(5000)})
			c.test(rig{t, s, again})
			mustCheck(t, s)
		})
	}
}

func limitOf(n int) QuotaPolicy {
	return QuotaPolicy{Enforce: true, Defaults: model.Limits{LoadBalancer: &n, Member: &n}}
}

func (r rig) do(fn func(*Tx) error) {
	r.Helper()
	if err := r.Update(context.Background(), fn); err != nil {
		r.Fatal(err)
	}
}

func (r rig) fails(want string, fn func(*Tx) error) {
	r.Helper()
	if err := r.Update(context.Background(), fn); err == nil || err.Error() != want {
		r.Errorf("error %q instead of %q", err, want)
	}
}

func (r rig) lb(project string) *model.LoadBalancer {
	r.Helper()
	lb := newLB(project)
	r.do(func(tx *Tx) error { return tx.Create(lb) })
	return lb
}

func base() model.Base {
	return model.Base{ID: model.NewID(), ProvisioningStatus: model.Active, CreatedAt: model.Now()}
}

func listener(lb string, p model.Protocol, port int) *model.Listener {
	return &model.Listener{Base: base(), LoadBalancerID: lb, Protocol: p, ProtocolPort: port}
}

func pool(lb string) *model.Pool {
	return &model.Pool{Base: base(), LoadBalancerID: lb, Protocol: model.ProtocolHTTP}
}

func memberOf(p *model.Pool, n int) *model.Member {
	return &model.Member{Base: base(), LoadBalancerID: p.LoadBalancerID, PoolID: p.ID, Address: fmt.Sprintf("10.0.%d.%d", n/250, n%250), ProtocolPort: 80}
}

func policy(l *model.Listener, position int) *model.L7Policy {
	return &model.L7Policy{Base: base(), LoadBalancerID: l.LoadBalancerID, ListenerID: l.ID, Action: model.ActionReject, Position: position}
}

func testReadBack(r rig) {
	lb := newLB("p")
	l, p := listener(lb.ID, model.ProtocolHTTP, 80), pool(lb.ID)
	m1, m2, hm := memberOf(p, 1), memberOf(p, 2), &model.HealthMonitor{Base: base(), LoadBalancerID: lb.ID, PoolID: p.ID, Type: model.MonitorHTTP}
	m2.CreatedAt = m1.CreatedAt.Add(-time.Second)
	po := policy(l, 0)
	rule := &model.L7Rule{Base: base(), LoadBalancerID: lb.ID, ListenerID: l.ID, L7PolicyID: po.ID}
	amp := &model.Amphora{ID: model.NewID(), LoadBalancerID: lb.ID, Status: model.AmphoraAllocated}
	r.do(func(tx *Tx) error {
		for _, o := range []model.Stored{lb, p, l, m1, m2, hm, po, rule, amp} {
			if err := tx.Create(o); err != nil {
				return err
			}
		}
		return nil
	})
	other := r.open(Options{})
	for _, s := range []*Snapshot{r.View(), other.View()} {
		t := s.Tree(lb.ID)
		if got := t.Members(p.ID); len(got) != 2 || got[0].ID != m2.ID || got[0].ProjectID != "p" {
			r.Errorf("members: %+v", got)
		}
		if got, in := s.L7Rule(rule.ID); got == nil || in != t || t.L7Policies(l.ID)[0].Position != 1 {
			r.Errorf("rule %+v in %+v", got, in)
		}
		if t.HealthMonitorOf(p.ID).ID != hm.ID || t.Amphora(amp.ID) == nil || len(t.Listeners()) != 1 {
			r.Errorf("tree: %+v", t)
		}
		if got := s.Quota("p").Used; got != (model.Used{LoadBalancer: 1, Listener: 1, Pool: 1, HealthMonitor: 1, Member: 2, L7Policy: 1, L7Rule: 1}) {
			r.Errorf("the quota counts %+v", got)
		}
	}
}

func testAtomic(r rig) {
	lb := newLB("p")
	before := r.View().Rev
	boom := errors.New("boom")
	err := r.Update(context.Background(), func(tx *Tx) error {
		if err := tx.Create(lb); err != nil {
			return err
		}
		return boom
	})
	if !errors.Is(err, boom) || r.View().Rev != before || r.View().Tree(lb.ID) != nil || r.View().Quota("p") != nil {
		r.Errorf("error %v, tree %v, quota %v", err, r.View().Tree(lb.ID), r.View().Quota("p"))
	}
}

func testUnique(r rig) {
	lb := r.lb("p")
	l, p := listener(lb.ID, model.ProtocolHTTP, 80), pool(lb.ID)
	profile := &model.FlavorProfile{ID: model.NewID(), Name: "a"}
	r.do(func(tx *Tx) error {
		return errors.Join(tx.Create(l), tx.Create(p), tx.Create(memberOf(p, 1)), tx.Create(listener(lb.ID, model.ProtocolUDP, 80)),
			tx.Create(&model.HealthMonitor{Base: base(), LoadBalancerID: lb.ID, PoolID: p.ID}),
			tx.Create(profile), tx.Create(&model.Flavor{ID: model.NewID(), Name: "gold", FlavorProfileID: profile.ID}))
	})
	for _, c := range []struct {
		want string
		o    model.Stored
	}{
		{"Another Listener on this Load Balancer is already using protocol HTTP and protocol_port 80", listener(lb.ID, model.ProtocolTCP, 80)},
		{"Another member on this pool is already using ip 10.0.0.1 on protocol_port 80", memberOf(p, 1)},
		{"This pool already has a health monitor", &model.HealthMonitor{Base: base(), LoadBalancerID: lb.ID, PoolID: p.ID}},
		{"Already an entity with that specified id.", lb.Clone()},
		{"Already an entity with that specified id.", l.Clone()},
		{"A flavor of gold already exists.", &model.Flavor{ID: model.NewID(), Name: "gold", FlavorProfileID: profile.ID}},
		{"Flavor Profile x not found.", &model.Flavor{ID: model.NewID(), Name: "silver", FlavorProfileID: "x"}},
		{"Load Balancer x not found.", listener("x", model.ProtocolTCP, 80)},
		{"Pool x not found.", &model.Member{Base: base(), LoadBalancerID: lb.ID, PoolID: "x"}},
	} {
		r.fails(c.want, func(tx *Tx) error { return tx.Create(c.o) })
	}
}

func testQuota(r rig) {
	two := 2
	r.do(func(tx *Tx) error { return tx.Put(&model.Quota{ProjectID: "p", Limits: model.Limits{Member: &two}}) })
	lb := r.lb("p")
	p := pool(lb.ID)
	r.do(func(tx *Tx) error { return tx.Create(p) })
	var wg sync.WaitGroup
	var mu sync.Mutex
	made, refused := []*model.Member{}, 0
	for n := range 20 {
		wg.Go(func() {
			m := memberOf(p, n)
			err := r.Update(context.Background(), func(tx *Tx) error { return tx.Create(m) })
			mu.Lock()
			defer mu.Unlock()
			var quota *QuotaError
			if err == nil {
				made = append(made, m)
			} else if errors.As(err, &quota) && err.Error() == "Quota has been met for resources: Member" {
				refused++
			} else {
				r.Error(err)
			}
		})
	}
	wg.Wait()
	if len(made) != 2 || refused != 18 {
		r.Fatalf("%d members were made and %d refused", len(made), refused)
	}
	r.do(func(tx *Tx) error { return tx.Delete(model.KindMember, made[0].ID) })
	r.do(func(tx *Tx) error { return tx.Room("p", model.KindMember, 1) })
	r.do(func(tx *Tx) error { return tx.Delete(model.KindPool, p.ID) })
	if got := r.View().Quota("p").Used; got != (model.Used{LoadBalancer: 1}) {
		r.Errorf("the quota counts %+v", got)
	}
}

// testPositions compares with a list that is changed in the same way.
func testPositions(r rig) {
	lb := r.lb("p")
	l := listener(lb.ID, model.ProtocolHTTP, 80)
	r.do(func(tx *Tx) error { return tx.Create(l) })
	var want []string
	random := rand.New(rand.NewPCG(1, 2))
	for range 60 {
		switch at := random.IntN(len(want) + 3); {
		case len(want) > 2 && random.IntN(3) == 0:
			i := random.IntN(len(want))
			r.do(func(tx *Tx) error { return tx.Delete(model.KindL7Policy, want[i]) })
			want = slices.Delete(want, i, i+1)
		case len(want) > 2 && random.IntN(2) == 0:
			i := random.IntN(len(want))
			id := want[i]
			r.do(func(tx *Tx) error {
				p, _ := tx.L7Policy(id)
				p = p.Clone()
				p.Position = at + 1
				return tx.Update(p)
			})
			want = slices.Delete(want, i, i+1)
			want = slices.Insert(want, min(at, len(want)), id)
		default:
			p := policy(l, at)
			r.do(func(tx *Tx) error { return tx.Create(p) })
			if at == 0 {
				at = len(want) + 1
			}
			want = slices.Insert(want, min(at-1, len(want)), p.ID)
		}
		var got []string
		for i, p := range r.View().Tree(lb.ID).L7Policies(l.ID) {
			got = append(got, p.ID)
			if p.Position != i+1 {
				r.Fatalf("policy %d has position %d", i, p.Position)
			}
		}
		if !slices.Equal(got, want) {
			r.Fatalf("policies %v instead of %v", got, want)
		}
	}
}

func testLocks(r rig) {
	lb := r.lb("p")
	r.do(func(tx *Tx) error { return tx.LockForChild(lb.ID) })
	r.fails("Load Balancer "+lb.ID+" is immutable and cannot be updated.", func(tx *Tx) error { return tx.LockForChild(lb.ID) })
	r.fails("Invalid state PENDING_UPDATE of loadbalancer resource "+lb.ID, func(tx *Tx) error { return tx.LockForDelete(lb.ID) })
	r.fails("Load Balancer x not found.", func(tx *Tx) error { return tx.LockForUpdate("x") })
	p := pool(lb.ID)
	r.do(func(tx *Tx) error { return tx.Create(p) })
	r.do(func(tx *Tx) error { return tx.LockParent(model.KindPool, p.ID) })
	r.fails("Pool "+p.ID+" is immutable and cannot be updated.", func(tx *Tx) error { return tx.LockParent(model.KindPool, p.ID) })
	r.do(func(tx *Tx) error {
		tx.SetOperating(model.KindLoadBalancer, lb.ID, model.OpDegraded)
		tx.SetProvisioning(model.KindPool, p.ID, model.Active)
		return nil
	})
	if t := r.View().Tree(lb.ID); t.LB.OperatingStatus != model.OpDegraded || t.Pool(p.ID).ProvisioningStatus != model.Active {
		r.Errorf("statuses of %+v, %+v", t.LB, t.Pool(p.ID))
	}
}

func testReferences(r rig) {
	lb := r.lb("p")
	p, l := pool(lb.ID), listener(lb.ID, model.ProtocolHTTP, 80)
	l.DefaultPoolID = p.ID
	r.fails("Pool "+p.ID+" not found.", func(tx *Tx) error { return tx.Create(l) })
	po := policy(l, 0)
	po.RedirectPoolID = p.ID
	r.do(func(tx *Tx) error { return errors.Join(tx.Create(p), tx.Create(l), tx.Create(po)) })
	r.fails("Pool "+p.ID+" is in use by L7 policy "+po.ID, func(tx *Tx) error { return tx.Delete(model.KindPool, p.ID) })
	r.do(func(tx *Tx) error {
		return errors.Join(tx.Delete(model.KindL7Policy, po.ID), tx.Delete(model.KindPool, p.ID))
	})
	if got := r.View().Tree(lb.ID).Listener(l.ID).DefaultPoolID; got != "" {
		r.Errorf("the listener still has the pool %s", got)
	}
	profile, flavor := &model.FlavorProfile{ID: model.NewID()}, &model.Flavor{ID: model.NewID(), Name: "f"}
	flavor.FlavorProfileID = profile.ID
	with := newLB("p")
	with.FlavorID = flavor.ID
	r.do(func(tx *Tx) error { return errors.Join(tx.Create(profile), tx.Create(flavor), tx.Create(with)) })
	r.fails("Flavor profile "+profile.ID+" is in use and cannot be modified.", func(tx *Tx) error { return tx.Delete(model.KindFlavorProfile, profile.ID) })
	r.fails("Flavor "+flavor.ID+" is in use and cannot be modified.", func(tx *Tx) error { return tx.Delete(model.KindFlavor, flavor.ID) })
	r.do(func(tx *Tx) error {
		return errors.Join(tx.Bury(with.ID), tx.Delete(model.KindFlavor, flavor.ID), tx.Delete(model.KindFlavorProfile, profile.ID))
	})
}

func testLarge(r rig) {
	lb := r.lb("p")
	p := pool(lb.ID)
	r.do(func(tx *Tx) error {
		if err := tx.Create(p); err != nil {
			return err
		}
		for n := range 1000 {
			if err := tx.Create(memberOf(p, n)); err != nil {
				return err
			}
		}
		return nil
	})
	if n := len(r.View().Tree(lb.ID).Members(p.ID)); n != 1000 {
		r.Errorf("%d members", n)
	}
	r.do(func(tx *Tx) error { return tx.Delete(model.KindLoadBalancer, lb.ID) })
	if s := r.View(); s.Tree(lb.ID) != nil || s.homes.Len() != 0 || s.Quota("p").Used != (model.Used{}) {
		r.Errorf("left: %v, %d homes, %+v", s.Tree(lb.ID), s.homes.Len(), s.Quota("p").Used)
	}
}

func testTooLarge(r rig) {
	for _, size := range []int{3 << 20, 24 << 20} { // more than a cluster takes, and than anything does
		if size < 16<<20 && r.member != nil {
			continue
		}
		err := r.Update(context.Background(), func(tx *Tx) error {
			return tx.Put(&model.Record{Name: "fat", Data: make([]byte, size)})
		})
		var large *TooLargeError
		if !errors.As(err, &large) {
			r.Errorf("%d bytes: %v", size, err)
		}
	}
	r.lb("p")
}

func testBackup(r rig) {
	lb := r.lb("p")
	p := pool(lb.ID)
	r.do(func(tx *Tx) error { return errors.Join(tx.Create(p), tx.Create(memberOf(p, 1))) })
	for i := range 8 { // more together than a cluster takes at a time
		r.do(func(tx *Tx) error {
			return tx.Put(&model.Record{Name: fmt.Sprint("backup/", i), Data: bytes.Repeat([]byte{byte(i)}, 200<<10)})
		})
	}
	var backup bytes.Buffer
	if err := r.Backup(context.Background(), &backup); err != nil {
		r.Fatal(err)
	}
	if err := r.Restore(context.Background(), bytes.NewReader(backup.Bytes())); !errors.Is(err, ErrNotEmpty) {
		r.Errorf("restored over something: %v", err)
	}
	fresh := r.open(Options{Prefix: "/restored/"})
	for cut := range 4 {
		part := backup.Bytes()[:backup.Len()*cut/4]
		if err := fresh.Restore(context.Background(), bytes.NewReader(part)); err == nil || fresh.View().Len() != 0 {
			r.Errorf("a part of a backup was restored: %v", err)
		}
	}
	if err := fresh.Restore(context.Background(), &backup); err != nil {
		r.Fatal(err)
	}
	if t := fresh.View().Tree(lb.ID); t == nil || len(t.Members(p.ID)) != 1 || fresh.View().Quota("p").Used.Member != 1 || len(fresh.View().Records("backup/")) != 8 {
		r.Errorf("restored: %+v", t)
	}
	mustCheck(r.T, fresh)
	// Amphorae have versions of the store that was lost, and refuse older ones.
	last := r.View().Version(r.View().Tree(lb.ID))
	if v := fresh.View().Version(fresh.View().Tree(lb.ID)); v <= last+1<<20 {
		r.Errorf("version %d after the restoration comes too soon after %d", v, last)
	}
	update(r.T, fresh, func(tx *Tx) error { return tx.LockForUpdate(lb.ID) })
	var second bytes.Buffer
	if err := fresh.Backup(context.Background(), &second); err != nil {
		r.Fatal(err)
	}
	again := open(r.T, Options{Dir: dirOf(r.T)})
	if err := again.Restore(context.Background(), &second); err != nil {
		r.Fatal(err)
	}
	if a, b := fresh.View().Version(fresh.View().Tree(lb.ID)), again.View().Version(again.View().Tree(lb.ID)); b <= a {
		r.Errorf("version %d after the second restoration, and %d before", b, a)
	}
}

func testPanic(r rig) {
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			err := r.Update(context.Background(), func(tx *Tx) error {
				if i == 7 {
					panic("seven")
				}
				return tx.Create(newLB("p"))
			})
			if (err != nil) != (i == 7) {
				r.Errorf("writer %d: %v", i, err)
			}
		})
	}
	wg.Wait()
}

func testBury(r rig) {
	lb := r.lb("p")
	p := pool(lb.ID)
	r.do(func(tx *Tx) error { return errors.Join(tx.Create(p), tx.Create(memberOf(p, 1))) })
	r.do(func(tx *Tx) error {
		return tx.Put(&model.AmphoraStats{LoadBalancerID: lb.ID, AmphoraID: "a"})
	})
	r.do(func(tx *Tx) error { return tx.Bury(lb.ID) })
	t := r.View().Tree(lb.ID)
	if t.LB.ProvisioningStatus != model.Deleted || len(t.Pools()) != 0 || r.View().Quota("p").Used != (model.Used{}) {
		r.Errorf("buried: %+v, %+v", t.LB, r.View().Quota("p"))
	}
	r.fails("Load Balancer "+lb.ID+" not found.", func(tx *Tx) error { return tx.LockForDelete(lb.ID) })
	r.do(func(tx *Tx) error { return tx.Delete(model.KindLoadBalancer, lb.ID) })
	if r.View().Tree(lb.ID) != nil || len(r.View().Stats(lb.ID)) != 0 {
		r.Error("something is left")
	}
}
