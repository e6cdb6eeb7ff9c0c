package control_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/updraft-cloud/updraft/internal/lb/control"
	"github.com/updraft-cloud/updraft/internal/lb/driver"
	"github.com/updraft-cloud/updraft/internal/lb/model"
	"github.com/updraft-cloud/updraft/internal/lb/store"
	"github.com/updraft-cloud/updraft/internal/secret/pki"
)

// made returns the amphorae that were ever made.
func (w *world) made() map[string]bool {
	out := map[string]bool{}
	for _, d := range w.done() {
		if id, ok := strings.CutPrefix(d, "ensure "); ok {
			out[id] = true
		}
	}
	return out
}

func (w *world) stopInstance(id string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.instances[id].State = driver.Stopped
}

func TestReplacementsThatNeverWorkDoNotGather(t *testing.T) {
	w := newWorld(t)
	l := quick()
	l.Boot = 20 * time.Millisecond
	w.start("a", control.Options{Limits: l})
	id := w.create()
	old := w.awaitStatus(id, model.Active).Amphorae()[0].ID
	w.faults(func(op, _ string) error {
		if strings.HasPrefix(op, "apply") {
			return errBroken
		}
		return nil
	})
	w.stopInstance(old)
	w.await(id, "tried with five others", func(*store.Tree) bool { return len(w.made()) > 5 })
	w.mu.Lock()
	n := len(w.instances)
	w.mu.Unlock()
	if n > 3 { // the dead one, one that is given up, and the next
		t.Errorf("%d amphorae have gathered", n)
	}
	if tree := w.tree(id); tree.Amphora(old) == nil {
		t.Error("the first was removed before another was there")
	}
	w.faults(nil)
	w.await(id, "replaced", func(t *store.Tree) bool {
		return len(t.Amphorae()) == 1 && t.Amphorae()[0].Status == model.AmphoraAllocated && t.LB.ProvisioningStatus == model.Active && t.LB.StatusReason == ""
	})
}

func TestAChangeReachesTheOneThatLives(t *testing.T) {
	w := newWorld(t)
	w.start("a", control.Options{})
	id := w.create(standby)
	byRole := map[string]string{}
	for _, a := range w.awaitStatus(id, model.Active).Amphorae() {
		byRole[a.Role] = a.ID
	}
	master, backup := byRole[model.RoleMaster], byRole[model.RoleBackup]
	w.faults(func(op, id string) error {
		if op == "ensure" && id != master {
			return errBroken // no room for another
		}
		return nil
	})
	w.stopInstance(backup)
	w.await(id, "without its standby", func(t *store.Tree) bool { return t.Amphora(backup).Status == model.AmphoraError })
	w.update(func(tx *store.Tx) error {
		if err := tx.LockForUpdate(id); err != nil {
			return err
		}
		lb := tx.LoadBalancer(id).Clone()
		lb.Name = "changed"
		return tx.Update(lb)
	})
	w.await(id, "changed where it can be", func(*store.Tree) bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		return w.configs[master].Tree.LB.Name == "changed"
	})
	if p := w.configs[master].Peers; len(p) != 1 || p[0].VRRPIP == "" {
		t.Errorf("its peers are %+v", p)
	}
	if tree := w.awaitStatus(id, model.Error); !strings.Contains(tree.LB.StatusReason, "it is broken") {
		t.Errorf("the reason is %q", tree.LB.StatusReason)
	}
	w.faults(nil)
	w.awaitStatus(id, model.Active)
}

func TestAClockThatWasSetBackMakesNoPendingStay(t *testing.T) {
	w := newWorld(t)
	w.faults(func(op, _ string) error {
		if op == "ensure" {
			return errBroken
		}
		return nil
	})
	w.start("a", control.Options{})
	id := w.create(func(lb *model.LoadBalancer) { lb.StatusSince = model.Now().Add(time.Hour) })
	w.awaitStatus(id, model.Error)
}

func TestAnAgentOfAnAmphoraThatIsGoneIsNotStarted(t *testing.T) {
	w := newWorld(t)
	w.start("a", control.Options{})
	gone := ""
	w.faults(func(op, id string) error {
		if op != "ensure" || gone != "" {
			return nil
		}
		gone = id
		// Another controller has removed it, while this one was held up.
		return w.store.Update(context.Background(), func(tx *store.Tx) error { return tx.Delete(model.KindAmphora, id) })
	})
	id := w.create()
	tree := w.awaitStatus(id, model.Active)
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.instances) != 1 || w.instances[tree.Amphorae()[0].ID] == nil || w.instances[gone] != nil {
		t.Errorf("there are %v", w.instances)
	}
}

// slowAgents hold every configuration until their caller gives up.
type slowAgents struct {
	agents
	began, ended chan string
}

func (s slowAgents) Apply(ctx context.Context, want control.Want) (string, error) {
	s.began <- want.Amphora.LoadBalancerID
	<-ctx.Done()
	s.ended <- want.Amphora.LoadBalancerID
	return "", ctx.Err()
}

func TestWhatIsUnderWayEndsWhenAnotherHasTheShard(t *testing.T) {
	w := newWorld(t)
	const n = 12
	slow := slowAgents{agents{w}, make(chan string, 1000), make(chan string, 1000)}
	l := quick()
	l.Workers = n
	w.start("a", control.Options{Network: network{w}, Compute: compute{w}, Amphorae: slow, Limits: l})
	for range n {
		w.create()
	}
	for range n {
		<-slow.began
	}
	began := time.Now()
	w.start("b", control.Options{})
	<-slow.ended
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("it went on for %s, until its own end", took)
	}
}

func TestTheControllersOwnCertificateIsRenewed(t *testing.T) {
	w := newWorld(t)
	now := time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC)
	a, err := control.OpenAuthority(t.Context(), w.vault, w.id, func() time.Time { return now })
	if err != nil {
		t.Fatal(err)
	}
	left := func() (string, time.Duration) {
		cert, _, err := a.Client()
		if err != nil {
			t.Fatal(err)
		}
		d, err := pki.Left(cert, now)
		if err != nil {
			t.Fatal(err)
		}
		return cert, d
	}
	first, _ := left()
	for range 3 * 12 {
		now = now.AddDate(0, 1, 0)
		if _, d := left(); d < pki.LeafLife/4 {
			t.Fatalf("after %s it ends in %s", now, d)
		}
	}
	if last, _ := left(); last == first {
		t.Error("it is the same after three years")
	}
}

func TestAFaultOfOneLoadBalancerIsItsOwn(t *testing.T) {
	w := newWorld(t)
	w.start("a", control.Options{})
	poison := model.NewID()
	w.faults(func(op, id string) error {
		if op == "port" && strings.Contains(id, poison) {
			panic("it cannot be")
		}
		return nil
	})
	id := w.create(func(lb *model.LoadBalancer) { lb.VIP.NetworkID, lb.VIP.SubnetID = poison, poison+"4" })
	if tree := w.awaitStatus(id, model.Error); !strings.Contains(tree.LB.StatusReason, "it cannot be") {
		t.Errorf("the reason is %q", tree.LB.StatusReason)
	}
	w.awaitStatus(w.create(), model.Active)
	w.faults(nil)
	w.awaitStatus(id, model.Active)
}

// keys is a key manager that wants to know who uses a secret.
type keys struct {
	driver.Secrets
	*world
}

func (k keys) Register(context.Context, string, string) error { return nil }

func (k keys) Unregister(_ context.Context, ref, _ string) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.did("unregister", ref)
}

func TestTheKeyManagerHearsOfWhatIsNotUsedAnyLonger(t *testing.T) {
	w := newWorld(t)
	w.start("a", control.Options{Secrets: keys{nil, w}})
	id := w.create()
	w.awaitStatus(id, model.Active)
	l := &model.Listener{Base: model.Base{ID: model.NewID(), AdminStateUp: true, ProvisioningStatus: model.PendingCreate}, LoadBalancerID: id,
		Protocol: model.ProtocolTerminatedHTTPS, ProtocolPort: 443, DefaultTLSContainerRef: "first", SNIContainerRefs: []string{"other"}}
	change := func(f func(tx *store.Tx) error) {
		t.Helper()
		w.update(func(tx *store.Tx) error {
			if err := tx.LockForChild(id); err != nil {
				return err
			}
			return f(tx)
		})
		w.awaitStatus(id, model.Active)
	}
	told := func() (out []string) {
		for _, d := range w.done() {
			if ref, ok := strings.CutPrefix(d, "unregister "); ok {
				out = append(out, ref)
			}
		}
		return out
	}
	change(func(tx *store.Tx) error { return tx.Create(l) })
	if got := told(); len(got) != 0 {
		t.Errorf("what is used was taken out: %q", got)
	}
	change(func(tx *store.Tx) error {
		n := tx.Tree(id).Listener(l.ID).Clone()
		n.DefaultTLSContainerRef, n.ProvisioningStatus = "second", model.PendingUpdate
		return tx.Update(n)
	})
	if got := strings.Join(told(), " "); got != "first" {
		t.Errorf("after another certificate was chosen: %q", got)
	}
	change(func(tx *store.Tx) error {
		tx.SetProvisioning(model.KindListener, l.ID, model.PendingDelete)
		return nil
	})
	for _, ref := range []string{"second", "other"} {
		if got := strings.Join(told(), " "); !strings.Contains(got, ref) {
			t.Errorf("after the listener was deleted %q is not among %q", ref, got)
		}
	}
}

// TestWhatMayNotBeSaidToTheKeyManagerKeepsNobodyFromLeaving deletes a load balancer
// whose secrets the service may not see any longer.
func TestWhatMayNotBeSaidToTheKeyManagerKeepsNobodyFromLeaving(t *testing.T) {
	w := newWorld(t)
	w.start("a", control.Options{Secrets: keys{nil, w}})
	w.faults(func(op, ref string) error {
		if op == "unregister" {
			return &driver.Error{Kind: "Container", ID: ref, Class: driver.ErrForbidden}
		}
		return nil
	})
	id := w.create(func(lb *model.LoadBalancer) { lb.SecretRefs = []string{"taken"} })
	w.awaitStatus(id, model.Active)
	w.delete(id)
	w.awaitStatus(id, model.Deleted)
	w.nothingLeft()
}

func TestACertificateThatWasNotNotedIsRenewedAtOnce(t *testing.T) {
	w := newWorld(t)
	l := quick()
	l.Grace = time.Hour // nothing is renewed by the clock
	failed := false
	w.faults(func(op, _ string) error {
		if op == "apply" && !failed {
			failed = true // the pass that has started the agent comes to nothing
			return errBroken
		}
		return nil
	})
	w.start("a", control.Options{Limits: l})
	id := w.create()
	w.await(id, "known with its certificate", func(t *store.Tree) bool {
		a := t.Amphorae()
		return len(a) == 1 && a[0].Status == model.AmphoraAllocated && !a[0].CertExpiration.IsZero() && a[0].CertGeneration == 1
	})
}

func TestAReasonThatChangesDoesNotEndThePauses(t *testing.T) {
	w := newWorld(t)
	l := quick()
	l.RetryMin, l.RetryMax, l.Patience, l.Resync, l.Shards = time.Hour, time.Hour, time.Hour, time.Hour, 1
	ports := 0
	w.faults(func(op, _ string) error {
		if op != "ensure" {
			return nil
		}
		ports++
		return fmt.Errorf("%w: read tcp [::1]:%d: it is broken", driver.ErrUnavailable, ports)
	})
	w.start("a", control.Options{Limits: l})
	id := w.create()
	w.await(id, "told why it waits", func(t *store.Tree) bool { return strings.Contains(t.LB.StatusReason, "]:1") })
	for range 20 { // others have their turn in between
		w.await(w.create(), "told", func(t *store.Tree) bool { return t.LB.StatusReason != "" })
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if ports > 2*21 { // once more if what the pass itself wrote is heard of first
		t.Errorf("21 load balancers were tried %d times within a pause", ports)
	}
}
