package agents_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/updraft-cloud/updraft/internal/lb/control"
	"github.com/updraft-cloud/updraft/internal/lb/control/agents"
	"github.com/updraft-cloud/updraft/internal/lb/driver/noop"
	"github.com/updraft-cloud/updraft/internal/lb/model"
	"github.com/updraft-cloud/updraft/internal/lb/store"
	"github.com/updraft-cloud/updraft/internal/secret"
)

// keys is a key manager that wants to know who uses a secret.
type keys struct {
	*noop.Secrets
	told []string
}

func (k *keys) Register(_ context.Context, ref, _ string) error {
	k.told = append(k.told, ref)
	return nil
}

func (k *keys) Unregister(context.Context, string, string) error { return nil }

func TestTheKeyManagerIsToldOnceUntilASecretIsUsedAnew(t *testing.T) {
	s, err := store.Open(t.Context(), store.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	ca, err := control.OpenAuthority(t.Context(), control.StoreVault(s), secret.Identity{Path: t.TempDir() + "/identity.age"}, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	k := &keys{Secrets: &noop.Secrets{}}
	r := agents.New(agents.Options{Authority: ca, Secrets: k, Receivers: func() []string { return nil }})
	lb := &model.LoadBalancer{Base: model.Base{ID: model.NewID(), ProjectID: "p", AdminStateUp: true}, VIP: model.VIP{Address: "192.0.2.1"}}
	l := &model.Listener{Base: model.Base{ID: model.NewID(), AdminStateUp: true}, LoadBalancerID: lb.ID, Protocol: model.ProtocolTerminatedHTTPS,
		ProtocolPort: 443, DefaultTLSContainerRef: "one"}
	use := func(ref string) {
		t.Helper()
		err := s.Update(t.Context(), func(tx *store.Tx) error {
			if tx.Tree(lb.ID) == nil {
				return tx.Create(lb)
			}
			return nil
		})
		n := l.Clone()
		n.DefaultTLSContainerRef = ref
		if err == nil {
			err = s.Update(t.Context(), func(tx *store.Tx) error {
				if tx.Tree(lb.ID).Listener(l.ID) == nil {
					return tx.Create(n)
				}
				return tx.Update(n)
			})
		}
		if err == nil {
			_, err = r.Digest(t.Context(), control.Want{Tree: s.View().Tree(lb.ID), Amphora: &model.Amphora{ID: "a", KeyVersion: 1}})
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, ref := range []string{"one", "one", "two", "one"} {
		use(ref)
	}
	if want := []string{"one", "two", "one"}; !slices.Equal(k.told, want) {
		t.Errorf("it was told of %q and not of %q", k.told, want)
	}
}
