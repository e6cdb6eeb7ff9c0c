package agents_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/updraft-cloud/updraft/internal/lb/control"
	"github.com/updraft-cloud/updraft/internal/lb/control/agents"
	"github.com/updraft-cloud/updraft/internal/lb/driver"
	"github.com/updraft-cloud/updraft/internal/lb/driver/noop"
	"github.com/updraft-cloud/updraft/internal/lb/model"
	"github.com/updraft-cloud/updraft/internal/lb/store"
	"github.com/updraft-cloud/updraft/internal/secret"
)

// failing is a key manager that has faults, by refs.
type failing struct {
	*noop.Secrets
	faults map[string]error
	asked  []string
}

func (f *failing) Certificate(ctx context.Context, ref string) (*driver.Certificate, error) {
	f.asked = append(f.asked, ref)
	if err := f.faults[ref]; err != nil {
		return nil, err
	}
	return f.Secrets.Certificate(ctx, ref)
}

// TestAmphoraeGoOnWithWhatTheyHaveOfSecrets has a key manager fail, and looks at what
// becomes of amphorae that had a secret, and of those that never had it.
func TestAmphoraeGoOnWithWhatTheyHaveOfSecrets(t *testing.T) {
	away, gone := fmt.Errorf("%w: no answer", driver.ErrUnavailable), driver.NotFound("Secret", "one")
	taken := &driver.Error{Kind: "Secret", ID: "one", Class: driver.ErrForbidden}
	for _, c := range []struct {
		reason         string
		had            map[string]string // what the amphorae have
		told           []string          // refs that they were given, as older versions noted them
		status         model.AmphoraStatus
		fault          error
		name           string // afterwards
		refused, spare bool   // the listener is left out
	}{
		{reason: "it is there", status: model.AmphoraBooting, name: "new"},
		{reason: "no answer", had: map[string]string{"one": "old"}, status: model.AmphoraAllocated, fault: away, name: "old"},
		{reason: "it is gone", had: map[string]string{"one": "old"}, status: model.AmphoraAllocated, fault: gone, name: "old"},
		{reason: "it was taken back", had: map[string]string{"one": "old"}, status: model.AmphoraAllocated, fault: taken, name: "old"},
		{reason: "no answer for a new amphora", had: map[string]string{"one": "old"}, status: model.AmphoraBooting, fault: away, refused: true},
		{reason: "it is gone for a new amphora", had: map[string]string{"one": "old"}, status: model.AmphoraBooting, fault: gone, spare: true},
		{reason: "it went before it was given", status: model.AmphoraAllocated, fault: gone, spare: true},
		{reason: "no answer before it was given", status: model.AmphoraAllocated, fault: away, refused: true},
		{reason: "it is left out already", had: map[string]string{"one": ""}, status: model.AmphoraAllocated, fault: away, spare: true},
		{reason: "an older version has given it", told: []string{"one"}, status: model.AmphoraAllocated, fault: gone, refused: true},
	} {
		t.Run(c.reason, func(t *testing.T) {
			k := &failing{Secrets: &noop.Secrets{}, faults: map[string]error{}}
			r, tree := remote(t, k, func(lb *model.LoadBalancer) { lb.SecretNames, lb.SecretRefs = c.had, c.told })
			want := control.Want{Tree: tree, Amphora: &model.Amphora{ID: "a", KeyVersion: 1, Status: c.status}}
			whole, err := r.Digest(t.Context(), want)
			if err != nil {
				t.Fatal(err)
			}
			fresh, _ := r.Kept(tree.LB.ID)
			k.faults["one"] = c.fault
			digest, err := r.Digest(t.Context(), want)
			if (err != nil) != c.refused {
				t.Fatal(err)
			}
			if c.refused {
				return
			}
			names, why := r.Kept(tree.LB.ID)
			if c.name == "new" {
				c.name = fresh["one"]
			}
			if name, ok := names["one"]; !ok || name != c.name || (c.fault != nil) != strings.Contains(why, "cannot use the certificate one") {
				t.Errorf("they have %v, and it is said %q", names, why)
			}
			if without := digestWithout(t, r, want); (digest == without) != c.spare || (digest == whole) != (c.fault == nil) {
				t.Errorf("with %s, without %s, now %s", whole, without, digest)
			}
		})
	}
}

// TestAKeyManagerThatIsAwayIsAskedOnce has two secrets of one that does not answer.
func TestAKeyManagerThatIsAwayIsAskedOnce(t *testing.T) {
	k := &failing{Secrets: &noop.Secrets{}, faults: map[string]error{"one": fmt.Errorf("%w: no answer", driver.ErrUnavailable)}}
	r, tree := remote(t, k, func(lb *model.LoadBalancer) { lb.SecretNames = map[string]string{"one": "old", "two": "older"} })
	tree.Listeners()[0].SNIContainerRefs = []string{"two"}
	if _, err := r.Digest(t.Context(), control.Want{Tree: tree, Amphora: &model.Amphora{ID: "a", KeyVersion: 1}}); err != nil {
		t.Fatal(err)
	}
	if names, why := r.Kept(tree.LB.ID); !slices.Equal(k.asked, []string{"one"}) || names["two"] != "older" || !strings.HasSuffix(why, "; nor two") {
		t.Errorf("asked for were %q, they have %v, and it is said %q", k.asked, names, why)
	}
}

// remote returns the side of the amphorae, and a load balancer with a listener that
// uses the secret "one".
func remote(t *testing.T, k driver.Secrets, change func(*model.LoadBalancer)) (*agents.Remote, *store.Tree) {
	t.Helper()
	s, err := store.Open(t.Context(), store.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	ca, err := control.OpenAuthority(t.Context(), control.StoreVault(s), secret.Identity{Path: t.TempDir() + "/identity.age"}, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	lb := &model.LoadBalancer{Base: model.Base{ID: model.NewID(), ProjectID: "p", AdminStateUp: true}, VIP: model.VIP{Address: "192.0.2.1"}}
	change(lb)
	l := &model.Listener{Base: model.Base{ID: model.NewID(), AdminStateUp: true}, LoadBalancerID: lb.ID, Protocol: model.ProtocolTerminatedHTTPS,
		ProtocolPort: 443, DefaultTLSContainerRef: "one"}
	for _, o := range []model.Object{lb, l} {
		if err := s.Update(t.Context(), func(tx *store.Tx) error { return tx.Create(o.(model.Stored)) }); err != nil {
			t.Fatal(err)
		}
	}
	return agents.New(agents.Options{Authority: ca, Secrets: k, Receivers: func() []string { return nil }}), s.View().Tree(lb.ID)
}

// digestWithout is that of the load balancer without its listener.
func digestWithout(t *testing.T, r *agents.Remote, want control.Want) string {
	t.Helper()
	for _, l := range want.Tree.Listeners() {
		l.ProvisioningStatus = model.PendingDelete
		defer func() { l.ProvisioningStatus = "" }()
	}
	d, err := r.Digest(t.Context(), want)
	if err != nil {
		t.Fatal(err)
	}
	return d
}
