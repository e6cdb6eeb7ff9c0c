package control_test

import (
	"bytes"
	"context"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/updraft-cloud/updraft/internal/lb/control"
	"github.com/updraft-cloud/updraft/internal/lb/model"
	"github.com/updraft-cloud/updraft/internal/lb/store"
	"github.com/updraft-cloud/updraft/internal/secret/pki"
)

func TestHeartbeatsDoNotWaitForTheStore(t *testing.T) {
	w := newWorld(t)
	c, _ := w.run("a", control.Options{})
	a := w.awaitStatus(w.create(), model.Active).Amphorae()[0]
	held, release := make(chan bool), make(chan bool)
	go func() {
		_ = w.store.Update(context.Background(), func(*store.Tx) error { close(held); <-release; return nil })
	}()
	<-held
	said := make(chan bool)
	go func() {
		for range 1000 {
			c.Heartbeat(a.ID, control.Report{Digest: a.Applied})
		}
		close(said)
	}()
	select {
	case <-said:
	case <-time.After(time.Minute):
		t.Error("heartbeats wait for the store")
	}
	close(release)
	w.await(a.LoadBalancerID, "in operation", func(t *store.Tree) bool { return t.LB.OperatingStatus == model.OpOnline })
}

func TestAReportOfAnotherConfigurationSaysNothingOfThePresent(t *testing.T) {
	w := newWorld(t)
	c, _ := w.run("a", control.Options{})
	id := w.create()
	w.awaitStatus(id, model.Active)
	w.update(func(tx *store.Tx) error {
		if err := tx.LockForChild(id); err != nil {
			return err
		}
		return tx.Create(&model.Listener{Base: model.Base{ID: model.NewID(), AdminStateUp: true, ProvisioningStatus: model.PendingCreate, OperatingStatus: model.OpOffline},
			LoadBalancerID: id, Protocol: model.ProtocolHTTP, ProtocolPort: 80})
	})
	tree := w.awaitStatus(id, model.Active)
	a := tree.Amphorae()[0]
	// It was written before the listener was there, and comes after.
	c.Heartbeat(a.ID, control.Report{Digest: "of before", Stats: map[string]model.Stats{"x": {BytesIn: 1}}})
	w.await(id, "counted", func(*store.Tree) bool { return len(w.store.View().Stats(id)) == 1 })
	if s := w.tree(id).Listeners()[0].OperatingStatus; s != model.OpOffline {
		t.Errorf("a report that did not know the listener made it %s", s)
	}
	c.Heartbeat(a.ID, control.Report{Digest: w.tree(id).Amphorae()[0].Applied})
	w.await(id, "said not to be open", func(t *store.Tree) bool { return t.Listeners()[0].OperatingStatus == model.OpError })
}

func TestAnAuthoritysReplacementReachesCertificatesAndKeysOfHeartbeats(t *testing.T) {
	w := newWorld(t)
	w.start("a", control.Options{})
	id := w.create()
	w.awaitStatus(id, model.Active)
	ca, err := control.OpenAuthority(t.Context(), w.vault, w.id, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	for phase := range 3 {
		was := w.tree(id).Amphorae()[0]
		has := ca.HeartbeatKey(was.ID, was.KeyVersion)
		if err := ca.Advance(t.Context()); err != nil {
			t.Fatal(err)
		}
		a := w.await(id, "told of the phase", func(t *store.Tree) bool {
			a := t.Amphorae()[0]
			return a.CertGeneration == ca.Generation() && a.Applied != was.Applied && t.LB.ProvisioningStatus == model.Active
		}).Amphorae()[0]
		now := ca.HeartbeatKey(a.ID, a.KeyVersion)
		if bytes.Equal(has, now) {
			t.Errorf("after phase %d its heartbeats have the key of before", phase)
		}
		taken := slices.ContainsFunc(ca.HeartbeatKeys(a.ID, a.KeyVersion), func(k []byte) bool { return bytes.Equal(k, has) })
		if !taken {
			t.Errorf("after phase %d heartbeats with the key of before are not taken: its agent may not have the next one yet", phase)
		}
	}
	if len(ca.HeartbeatKey("of a record without a version", 0)) == 0 {
		t.Error("there is no key")
	}
	if ca.Rotating() != 0 {
		t.Errorf("after three phases it is in phase %d", ca.Rotating())
	}
}

func TestAnAgentWhoseBeatsCannotBePlacedIsAsked(t *testing.T) {
	w := newWorld(t)
	l := quick()
	l.Silence = time.Hour // nobody else asks
	c, _ := w.run("a", control.Options{Limits: l})
	a := w.awaitStatus(w.create(), model.Active).Amphorae()[0]
	c.Ask("stranger")
	c.Ask(a.ID)
	for deadline := time.Now().Add(time.Minute); !slices.Contains(w.done(), "probe "+a.ID); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("it was not asked: %q", w.done())
		}
	}
	if slices.Contains(w.done(), "probe stranger") {
		t.Error("an amphora that nobody knows was asked")
	}
}

func TestAnAuthorityThatEndsIsReplacedByItself(t *testing.T) {
	w := newWorld(t)
	var years atomic.Int64
	clock := func() time.Time { return time.Now().AddDate(int(years.Load()), 0, 0) }
	ca, err := control.OpenAuthority(t.Context(), w.vault, w.id, clock)
	if err != nil {
		t.Fatal(err)
	}
	w.start("a", control.Options{Authority: ca})
	id := w.create()
	w.awaitStatus(id, model.Active)
	was := ca.Bundle()
	years.Store(9)
	w.await(id, "of another authority", func(t *store.Tree) bool {
		return ca.Generation() == 4 && ca.Rotating() == 0 && t.Amphorae()[0].CertGeneration == 4
	})
	if left, err := pki.Left(ca.Bundle(), clock()); err != nil || left < 9*pki.LeafLife || ca.Bundle() == was {
		t.Errorf("it ends in %s, %v", left, err)
	}
	// What people have begun is theirs to go on with.
	if err := ca.Advance(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := ca.Succeed(t.Context()); err != nil || ca.Rotating() != 1 {
		t.Errorf("phase %d, %v", ca.Rotating(), err)
	}
}
