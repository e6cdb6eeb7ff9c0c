package auth

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// fakeKeystone knows tokens and counts what it is asked.
type fakeKeystone struct {
	mu     sync.Mutex
	own    string            // the token that the service has to show
	tokens map[string]string // token: project
	asked  atomic.Int32
	logins atomic.Int32
	down   atomic.Bool
}

func (k *fakeKeystone) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if k.down.Load() {
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if r.Method == http.MethodPost {
		var login map[string]any
		if json.NewDecoder(r.Body).Decode(&login) != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		k.own = fmt.Sprintf("own-%d", k.logins.Add(1))
		w.Header().Set("X-Subject-Token", k.own)
		w.WriteHeader(http.StatusCreated)
		fmt.Fprintf(w, `{"token": {"expires_at": %q, "user": {"id": "svc"}}}`, time.Now().Add(time.Hour).Format(time.RFC3339))
		return
	}
	k.asked.Add(1)
	project, ok := k.tokens[r.Header.Get("X-Subject-Token")]
	switch {
	case r.Header.Get("X-Auth-Token") != k.own:
		w.WriteHeader(http.StatusUnauthorized)
	case !ok:
		w.WriteHeader(http.StatusNotFound)
	default:
		fmt.Fprintf(w, `{"token": {"expires_at": %q, "user": {"id": "u"}, "project": {"id": %q}, "roles": [{"name": "admin"}, {"name": "reader"}]}}`,
			time.Now().Add(time.Hour).UTC().Format("2006-01-02T15:04:05.000000Z"), project)
	}
}

func newFake(t *testing.T) (*fakeKeystone, *Keystone) {
	t.Helper()
	f := &fakeKeystone{tokens: map[string]string{"good": "p"}}
	srv := httptest.NewServer(f)
	t.Cleanup(srv.Close)
	policy, err := NewPolicy()
	if err != nil {
		t.Fatal(err)
	}
	k, err := NewKeystone(KeystoneOptions{URL: srv.URL + "/v3/", Username: "octavia", Password: "x", Project: "service", Policy: policy})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { k.Close() })
	return f, k
}

func identify(k *Keystone, token string) (*Identity, error) {
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	if token != "" {
		r.Header.Set("X-Auth-Token", token)
	}
	return k.Identify(r.Context(), r)
}

func TestTokensAreValidatedOnce(t *testing.T) {
	f, k := newFake(t)
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			id, err := identify(k, "good")
			if err != nil || id.ProjectID != "p" || !id.Admin || !id.has("reader") {
				t.Errorf("%+v %v", id, err)
			}
		})
	}
	wg.Wait()
	if f.asked.Load() != 1 || f.logins.Load() != 1 {
		t.Errorf("asked %d times, logged in %d times", f.asked.Load(), f.logins.Load())
	}
	for _, token := range []string{"", "bad"} {
		if _, err := identify(k, token); !errors.Is(err, ErrUnauthorized) {
			t.Errorf("%q: %v", token, err)
		}
	}
}

func TestTheServicesOwnTokenIsRenewed(t *testing.T) {
	f, k := newFake(t)
	if _, err := identify(k, "good"); err != nil {
		t.Fatal(err)
	}
	f.mu.Lock()
	f.own, f.tokens["other"] = "revoked", "q"
	f.mu.Unlock()
	if id, err := identify(k, "other"); err != nil || id.ProjectID != "q" || f.logins.Load() != 2 {
		t.Errorf("%+v %v, %d logins", id, err, f.logins.Load())
	}
}

func TestKeystoneIsAway(t *testing.T) {
	f, k := newFake(t)
	if _, err := identify(k, "good"); err != nil {
		t.Fatal(err)
	}
	f.down.Store(true)
	if _, err := identify(k, "good"); err != nil {
		t.Errorf("what is known is forgotten: %v", err)
	}
	if _, err := identify(k, "unknown"); !errors.Is(err, ErrUnavailable) {
		t.Errorf("%v", err)
	}
	f.down.Store(false)
	if _, err := identify(k, "unknown"); !errors.Is(err, ErrUnauthorized) {
		t.Errorf("afterwards: %v", err)
	}
}

// TestARevokedTokenWorksNoLongerThanTheBound goes by a clock that the test owns.
func TestARevokedTokenWorksNoLongerThanTheBound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var answer error
		asked := 0
		c := newCache(time.Minute, func(string) (*Identity, error) {
			asked++
			return &Identity{Expires: time.Now().Add(time.Hour)}, answer
		})
		try := func() error { _, err := c.get(context.Background(), "t"); return err }
		if err := try(); err != nil || asked != 1 {
			t.Fatal(err, asked)
		}
		answer = ErrUnavailable // nobody can be asked: it still holds
		time.Sleep(40 * time.Second)
		if err := try(); err != nil {
			t.Errorf("within the bound: %v", err)
		}
		synctest.Wait()
		time.Sleep(21 * time.Second)
		if err := try(); !errors.Is(err, ErrUnavailable) {
			t.Errorf("after the bound: %v", err)
		}
		answer = nil
		if err := try(); err != nil {
			t.Errorf("when it can be asked again: %v", err)
		}
		answer = ErrUnauthorized // revoked
		time.Sleep(31 * time.Second)
		_ = try() // finds out in the background
		synctest.Wait()
		if err := try(); !errors.Is(err, ErrUnauthorized) {
			t.Errorf("a token in use is found revoked after half of the bound: %v", err)
		}
		before := asked
		_ = try()
		if asked != before {
			t.Error("a refusal is not kept")
		}
		answer = nil
		time.Sleep(refuseFor + time.Second)
		if err := try(); err != nil {
			t.Errorf("a refusal is kept too long: %v", err)
		}
	})
}

func TestTokensEndWhenTheyExpire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked := 0
		c := newCache(time.Minute, func(string) (*Identity, error) {
			if asked++; asked > 1 {
				return nil, ErrUnauthorized
			}
			return &Identity{Expires: time.Now().Add(5 * time.Second)}, nil
		})
		if _, err := c.get(context.Background(), "t"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(6 * time.Second)
		if _, err := c.get(context.Background(), "t"); !errors.Is(err, ErrUnauthorized) {
			t.Errorf("%v", err)
		}
	})
}

func TestTheCacheIsBounded(t *testing.T) {
	c := newCache(time.Minute, func(string) (*Identity, error) { return nil, ErrUnauthorized })
	for i := range maxEntries + 100 {
		_, _ = c.get(context.Background(), fmt.Sprint(i))
	}
	if len(c.entries) > maxEntries {
		t.Errorf("%d entries", len(c.entries))
	}
}

func TestOneLoginReplacesATokenThatWasRefused(t *testing.T) {
	f, k := newFake(t)
	if _, err := identify(k, "good"); err != nil {
		t.Fatal(err)
	}
	f.mu.Lock()
	f.own = "revoked"
	for i := range 50 {
		f.tokens[fmt.Sprint("other", i)] = "q"
	}
	f.mu.Unlock()
	var wg sync.WaitGroup
	for i := range 50 {
		wg.Go(func() {
			if _, err := identify(k, fmt.Sprint("other", i)); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := f.logins.Load(); n != 2 {
		t.Errorf("it logged in %d times", n)
	}
}

func TestTokensThatAreBeingAskedForAreBounded(t *testing.T) {
	answer := make(chan struct{})
	c := newCache(time.Minute, func(string) (*Identity, error) { <-answer; return nil, ErrUnauthorized })
	gone, leave := context.WithCancel(t.Context())
	leave() // nobody waits for the answers
	for i := range maxEntries + 10 {
		if _, err := c.get(gone, fmt.Sprint(i)); !errors.Is(err, ErrUnavailable) {
			t.Fatal(err)
		}
	}
	if n := len(c.entries); n > maxEntries {
		t.Errorf("%d are being asked for", n)
	}
	close(answer)
	c.wait()
	if _, err := c.get(t.Context(), "another"); !errors.Is(err, ErrUnauthorized) {
		t.Errorf("afterwards: %v", err)
	}
}
