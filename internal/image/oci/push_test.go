package oci

import (
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/updraft-cloud/updraft/internal/drift"
	"github.com/updraft-cloud/updraft/internal/image/registry"
)

// watched is a registry that notes what it is asked to change.
type watched struct {
	Registry
	dir string

	mu      sync.Mutex
	changes []string
}

func serve(t *testing.T) *watched {
	t.Helper()
	w := &watched{dir: t.TempDir()}
	handler, err := registry.New(registry.Options{Dir: w.dir, Password: "secret"})
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewTLSServer(http.HandlerFunc(func(rw http.ResponseWriter, q *http.Request) {
		if q.Method != http.MethodGet && q.Method != http.MethodHead {
			w.mu.Lock()
			w.changes = append(w.changes, q.Method+" "+strings.Split(q.URL.Path, "/")[4])
			w.mu.Unlock()
		}
		handler.ServeHTTP(rw, q)
	}))
	t.Cleanup(s.Close)
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
	w.Registry = Registry{Host: s.Listener.Addr().String(), CA: string(ca), User: registry.User, Password: "secret"}
	return w
}

func (w *watched) said() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	all := strings.Join(w.changes, ", ")
	w.changes = nil
	return all
}

func TestWhatTheRegistryHasIsNotSentAgain(t *testing.T) {
	needRoot(t)
	w, b, ref := serve(t), prebuilt(t, aRecipe()), aRecipe().Ref("")
	if r, err := b.Pushed(t.Context(), w.Registry, ref); err != nil || r.Status != drift.Absent {
		t.Fatalf("before: %v, %v", r, err)
	}
	if err := b.Push(t.Context(), w.Registry, ref, t.Logf); err != nil {
		t.Fatal(err)
	}
	if r, err := b.Pushed(t.Context(), w.Registry, ref); err != nil || r.Status != drift.InSync {
		t.Errorf("after: %v, %v", r, err)
	}
	w.said()
	// As after a push that was cut off before its end.
	if err := os.RemoveAll(filepath.Join(w.dir, "tags", "updraft")); err != nil {
		t.Fatal(err)
	}
	if err := b.Push(t.Context(), w.Registry, ref, t.Logf); err != nil {
		t.Fatal(err)
	}
	if got := w.said(); got != "PUT manifests" {
		t.Errorf("the second push: %s", got)
	}
}

func TestTheNewerBuildOfTwoIsTheOneThatCounts(t *testing.T) {
	needRoot(t)
	w, ref := serve(t), aRecipe().Ref("")
	build := func(text string, created time.Time) Builder {
		b := Builder{Dir: filepath.Join(t.TempDir(), "images"), Layouts: true}
		putAt(t, b, aRecipe(), text, created)
		if err := b.Ensure(t.Context(), aRecipe(), t.Logf); err != nil {
			t.Fatal(err)
		}
		return b
	}
	then := time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC)
	there := build("there", then)
	if err := there.Push(t.Context(), w.Registry, ref, t.Logf); err != nil {
		t.Fatal(err)
	}
	for rule, c := range map[string]struct {
		b    Builder
		want drift.Status
	}{
		"a computer without a build of its own": {Builder{Dir: t.TempDir()}, drift.InSync},
		"an older build":                        {build("older", then.Add(-time.Hour)), drift.InSync},
		"a newer build":                         {build("newer", then.Add(time.Hour)), drift.Differs},
	} {
		r, err := c.b.Pushed(t.Context(), w.Registry, ref)
		if err != nil || r.Status != c.want || c.want == drift.Differs && !r.Has("digest") {
			t.Errorf("%s: %v, %v", rule, r, err)
		}
	}
}

func TestNobodyIsToldThePasswordWithoutTLS(t *testing.T) {
	needRoot(t)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		t.Errorf("it was asked: %s %s, %v", q.Method, q.URL, q.Header)
		w.Header().Set("WWW-Authenticate", "Basic")
		w.WriteHeader(http.StatusUnauthorized)
	}))
	defer s.Close()
	r := serve(t).Registry
	r.Host = s.Listener.Addr().String()
	if err := prebuilt(t, aRecipe()).Push(t.Context(), r, aRecipe().Ref(""), t.Logf); err == nil {
		t.Error("it was pushed")
	}
}
