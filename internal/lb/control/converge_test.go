package control_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/updraft-cloud/updraft/internal/lb/control"
	"github.com/updraft-cloud/updraft/internal/lb/driver"
	"github.com/updraft-cloud/updraft/internal/lb/model"
	"github.com/updraft-cloud/updraft/internal/lb/store"
)

func TestWithoutAnythingToRunALoadBalancerBecomesActive(t *testing.T) {
	w := newWorld(t)
	w.start("a", w.noop())
	id := w.create(standby)
	tree := w.awaitStatus(id, model.Active)
	if len(tree.Amphorae()) != 2 || tree.Amphorae()[0].Status != model.AmphoraAllocated {
		t.Errorf("its amphorae are %+v", tree.Amphorae())
	}
}

func TestALoadBalancerIsCreatedChangedAndDeleted(t *testing.T) {
	w := newWorld(t)
	w.start("a", control.Options{})
	id := w.create()
	tree := w.awaitStatus(id, model.Active)
	a := tree.Amphorae()[0]
	if a.Role != model.RoleStandalone || a.Status != model.AmphoraAllocated || a.Endpoint != "[fd00::2]:9443" || a.VRRPIP != "10.0.0.50" || a.CertExpiration.IsZero() || a.Applied == "" {
		t.Errorf("its amphora is %+v", a)
	}
	pool := &model.Pool{Base: model.Base{ID: model.NewID(), AdminStateUp: true, ProvisioningStatus: model.PendingCreate}, LoadBalancerID: id, Protocol: model.ProtocolHTTP}
	member := &model.Member{Base: model.Base{ID: model.NewID(), AdminStateUp: true, ProvisioningStatus: model.PendingCreate}, LoadBalancerID: id, PoolID: pool.ID, Address: "10.1.0.2", ProtocolPort: 80, SubnetID: "back4"}
	w.update(func(tx *store.Tx) error {
		if err := tx.LockForChild(id); err != nil {
			return err
		}
		if err := tx.Create(pool); err != nil {
			return err
		}
		return tx.Create(member)
	})
	tree = w.awaitStatus(id, model.Active)
	if s := tree.Member(member.ID).ProvisioningStatus; s != model.Active {
		t.Errorf("the member is %s", s)
	}
	if c := w.configs[a.ID]; len(c.Interfaces) != 2 || c.Interfaces[0].Port.NetworkID != "front" || c.Interfaces[1].Port.NetworkID != "back" {
		t.Errorf("its interfaces are %+v", c.Interfaces)
	}
	w.update(func(tx *store.Tx) error {
		if err := tx.LockForChild(id); err != nil {
			return err
		}
		tx.SetProvisioning(model.KindPool, pool.ID, model.PendingDelete)
		return nil
	})
	tree = w.awaitStatus(id, model.Active)
	if tree.Pool(pool.ID) != nil || tree.Member(member.ID) != nil {
		t.Error("the pool is still there")
	}
	w.delete(id)
	w.awaitStatus(id, model.Deleted)
	w.nothingLeft()
}

func (w *world) delete(id string) {
	w.update(func(tx *store.Tx) error { return tx.LockForDelete(id) })
}

func (w *world) nothingLeft() {
	w.t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.instances)+len(w.ports)+len(w.vips) > 0 {
		w.t.Errorf("left are the instances %v, the ports %v, the addresses %v", w.instances, w.ports, w.vips)
	}
}

func TestAPendingThatCannotBecomeActiveBecomesErrorAndHeals(t *testing.T) {
	w := newWorld(t)
	w.faults(func(op, _ string) error {
		if op == "ensure" {
			return errBroken
		}
		return nil
	})
	w.start("a", control.Options{})
	id := w.create()
	tree := w.awaitStatus(id, model.Error)
	if !strings.Contains(tree.LB.StatusReason, "it is broken") {
		t.Errorf("the reason is %q", tree.LB.StatusReason)
	}
	w.faults(nil)
	tree = w.awaitStatus(id, model.Active)
	if tree.LB.StatusReason != "" {
		t.Errorf("healed, the reason is %q", tree.LB.StatusReason)
	}
}

func TestAFaultOfWhatIsWantedIsErrorAtOnceAndHeals(t *testing.T) {
	w := newWorld(t)
	w.faults(func(op, _ string) error {
		if op == "apply" {
			return fmt.Errorf("%w: no such certificate", driver.ErrInvalid)
		}
		return nil
	})
	l := quick()
	l.Patience = time.Hour
	w.start("a", control.Options{Limits: l})
	id := w.create()
	w.awaitStatus(id, model.Error)
	w.faults(nil)
	w.awaitStatus(id, model.Active)
}

func TestADeletionThatFailsIsErrorAndThenGoesOn(t *testing.T) {
	w := newWorld(t)
	w.start("a", control.Options{})
	id := w.create()
	w.awaitStatus(id, model.Active)
	w.faults(func(op, _ string) error {
		if op == "release" {
			return errBroken
		}
		return nil
	})
	w.delete(id)
	w.awaitStatus(id, model.Error)
	w.faults(nil)
	w.awaitStatus(id, model.Deleted)
	w.nothingLeft()
}

func TestAStoppedAmphoraIsReplacedAndOnlyThenRemoved(t *testing.T) {
	w := newWorld(t)
	w.start("a", control.Options{})
	id := w.create()
	old := w.awaitStatus(id, model.Active).Amphorae()[0].ID
	w.mu.Lock()
	w.instances[old].State = driver.Stopped
	w.mu.Unlock()
	tree := w.await(id, "replaced", func(t *store.Tree) bool {
		return len(t.Amphorae()) == 1 && t.Amphorae()[0].ID != old && t.Amphorae()[0].Status == model.AmphoraAllocated && t.LB.ProvisioningStatus == model.Active
	})
	fresh := tree.Amphorae()[0].ID
	done := w.done()
	fenced, removed, open := slices.Index(done, "apply fenced "+fresh), slices.Index(done, "remove "+old), slices.Index(done, "apply "+fresh)
	if fenced < 0 || removed < fenced || open >= 0 && open < removed {
		t.Errorf("not configured, removed, given the address, in this order: %q", done)
	}
}

func TestASilentAmphoraThatAnswersIsLeftAlone(t *testing.T) {
	w := newWorld(t)
	w.start("a", control.Options{})
	id := w.create()
	old := w.awaitStatus(id, model.Active).Amphorae()[0].ID
	w.await(id, "probed", func(*store.Tree) bool {
		if n := strings.Count(strings.Join(w.done(), "\n"), "probe "+old); n >= 2 {
			return true
		}
		w.update(func(tx *store.Tx) error { return tx.Put(&model.Record{Name: "tick"}) }) // wakes the feed
		time.Sleep(10 * time.Millisecond)
		return false
	})
	if a := w.tree(id).Amphorae(); len(a) != 1 || a[0].ID != old {
		t.Errorf("the amphorae are %+v", a)
	}
}

func TestAFailoverReplacesTheStandbyFirstAndEachOnce(t *testing.T) {
	w := newWorld(t)
	w.start("a", control.Options{})
	id := w.create(standby)
	before := w.awaitStatus(id, model.Active).Amphorae()
	byRole := map[string]string{}
	for _, a := range before {
		byRole[a.Role] = a.ID
	}
	w.update(func(tx *store.Tx) error {
		if err := tx.LockForFailover(id); err != nil {
			return err
		}
		lb := tx.LoadBalancer(id).Clone()
		// The clock of who asks is ahead.
		lb.Failover = &model.Failover{Targets: []string{byRole[model.RoleMaster], byRole[model.RoleBackup]}, RequestedAt: model.Now().Add(time.Hour)}
		return tx.Update(lb)
	})
	tree := w.awaitStatus(id, model.Active)
	if tree.LB.Failover != nil || len(tree.Amphorae()) != 2 {
		t.Errorf("after the failover: %+v with %d amphorae", tree.LB.Failover, len(tree.Amphorae()))
	}
	for _, a := range tree.Amphorae() {
		if a.ID == byRole[a.Role] {
			t.Errorf("amphora %s (%s) was not replaced", a.ID, a.Role)
		}
	}
	done := w.done()
	if b, m := slices.Index(done, "remove "+byRole[model.RoleBackup]), slices.Index(done, "remove "+byRole[model.RoleMaster]); b < 0 || m < b {
		t.Errorf("the master went first: %q", done)
	}
	if n := len(w.made()); n != 4 {
		t.Errorf("two amphorae were replaced, and %d were made", n)
	}
}

func TestControllersSideBySideShareTheWorkAndTakeOver(t *testing.T) {
	w := newWorld(t)
	stop := w.start("a", w.noop())
	w.start("b", w.noop())
	var ids []string
	for range 20 {
		ids = append(ids, w.create())
	}
	for _, id := range ids {
		w.awaitStatus(id, model.Active)
	}
	stop()
	for range 20 {
		w.awaitStatus(w.create(), model.Active)
	}
}

func TestWhatNobodyKnowsIsRemoved(t *testing.T) {
	w := newWorld(t)
	old := time.Now().Add(time.Hour) // by a clock that is ahead
	w.instances["lost"] = &driver.Instance{AmphoraID: "lost", LoadBalancerID: "gone", State: driver.Running, Created: old}
	w.ports["lost"] = driver.Port{ID: "lost", LoadBalancerID: "gone", Created: old}
	w.start("a", control.Options{})
	id := w.create()
	w.awaitStatus(id, model.Active)
	deadline := time.Now().Add(time.Minute)
	for time.Now().Before(deadline) {
		w.mu.Lock()
		n := len(w.instances) + len(w.ports)
		w.mu.Unlock()
		if n == 2 { // the instance and the port of the one that is known
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
	t.Errorf("left are %v and %v", w.instances, w.ports)
}
