package agents_test

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/updraft-cloud/updraft/internal/lb/amphora"
	"github.com/updraft-cloud/updraft/internal/lb/amphora/beat"
	"github.com/updraft-cloud/updraft/internal/lb/control"
	"github.com/updraft-cloud/updraft/internal/lb/control/agents"
	"github.com/updraft-cloud/updraft/internal/lb/driver"
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

// place is a network on which every agent is the one that listens.
type place struct{ net.Listener }

func (p place) DialContext(ctx context.Context, network, _ string) (net.Conn, error) {
	return (&net.Dialer{}).DialContext(ctx, network, p.Addr().String())
}

func (place) ListenPacket(context.Context) (net.PacketConn, string, error) {
	return nil, "", errors.ErrUnsupported
}

func TestWhatAnAgentAnswersIsHeard(t *testing.T) {
	s, err := store.Open(t.Context(), store.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	ca, err := control.OpenAuthority(t.Context(), control.StoreVault(s), secret.Identity{Path: t.TempDir() + "/identity.age"}, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	const id = "11111111-1111-4111-8111-111111111111"
	cert, key, err := ca.Issue(id)
	if err != nil {
		t.Fatal(err)
	}
	pair, err := tls.X509KeyPair([]byte(cert), []byte(key))
	if err != nil {
		t.Fatal(err)
	}
	members := map[string]string{}
	for i := range 5000 { // more than a datagram holds
		members[driver.DerivedID("member", strconv.Itoa(i))] = beat.Up
	}
	says := amphora.Status{Beat: beat.Beat{Amphora: id, Boot: 7, Seq: 9, Pools: map[string]beat.Pool{"p": {Status: beat.Up, Members: members}}}}
	if _, err := beat.Seal(&says.Beat, []byte("key")); err == nil {
		t.Fatal("it fits into a datagram")
	}
	agent := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _ = json.NewEncoder(w).Encode(says) }))
	agent.TLS = &tls.Config{MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{pair}}
	agent.StartTLS()
	t.Cleanup(agent.Close)
	var heard *beat.Beat
	var boot, seq uint64
	r := agents.New(agents.Options{Management: place{agent.Listener}, Authority: ca, Receivers: func() []string { return nil },
		Beats: func(_ string, b, s uint64) { boot, seq = b, s }, Heard: func(b *beat.Beat) { heard = b }})
	if err := r.Probe(t.Context(), &model.Amphora{ID: id, Endpoint: "[fd00::2]:9443"}); err != nil {
		t.Fatal(err)
	}
	if boot != 7 || seq != 9 || heard == nil || len(heard.Pools["p"].Members) != len(members) {
		t.Errorf("start %d, beat %d, and heard was %+v", boot, seq, heard)
	}
}
