package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/updraft-cloud/updraft/internal/drift"
	"github.com/updraft-cloud/updraft/internal/proc"
)

// TestMain is also the process that is tested: "cache serve --config FILE".
func TestMain(m *testing.M) {
	if len(os.Args) == 5 && os.Args[1] == "cache" && os.Args[3] == "--config" {
		ctx, stop := signal.NotifyContext(context.Background(), unix.SIGTERM)
		err := Serve(ctx, os.Args[4])
		stop()
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// service is a cache on a free port, which is gone when the test ends.
func service(t *testing.T, pool string) *Service {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	l.Close()
	s := &Service{Config: Config{Cloud: "web", Listen: addr, Pool: pool, Hosts: []string{"deb.example.org"}, Dir: filepath.Join(t.TempDir(), "cache")}}
	t.Cleanup(func() {
		if err := Remove(context.Background(), s.Removal()); err != nil {
			t.Error(err)
		}
	})
	return s
}

func ensure(t *testing.T, s *Service) running {
	t.Helper()
	if err := s.Ensure(t.Context(), t.Logf); err != nil {
		t.Fatal(err)
	}
	r, err := readRunning(s.Dir)
	if err != nil || !r.Alive() {
		t.Fatalf("%+v, %v", r, err)
	}
	return r
}

func observed(t *testing.T, s *Service, want drift.Status, attrs ...string) {
	t.Helper()
	r, err := s.Observe(t.Context())
	if err != nil || r.Status != want {
		t.Errorf("observed %s %+v, %v; want %s", r.Status, r.Changes, err, want)
	}
	for _, a := range attrs {
		if !r.Has(a) {
			t.Errorf("%+v says nothing of %s", r.Changes, a)
		}
	}
}

func TestACacheRunsOnceAsConfiguredUntilItIsRemoved(t *testing.T) {
	s := service(t, t.TempDir())
	observed(t, s, drift.Absent)
	first := ensure(t, s)
	observed(t, s, drift.InSync)
	another := &Service{Config: s.Config} // as a later updraft sees it
	observed(t, another, drift.InSync)
	another.MaxBytes = 1 << 30
	observed(t, another, drift.Differs, "config")
	second := ensure(t, another)
	if first.Alive() || first.ID == second.ID {
		t.Error("the one with the old configuration still runs")
	}
	observed(t, another, drift.InSync)
	for range 2 {
		if err := Remove(t.Context(), s.Removal()); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := os.Stat(s.Dir); second.Alive() || !os.IsNotExist(err) {
		t.Errorf("left after removal: running %t, %v", second.Alive(), err)
	}
}

func TestAKilledCacheIsMissingAndStartedAgain(t *testing.T) {
	s := service(t, t.TempDir())
	r := ensure(t, s)
	if err := r.Signal(unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := r.Wait(ctx); err != nil {
		t.Fatal(err)
	}
	observed(t, s, drift.Absent)
	ensure(t, s)
	observed(t, s, drift.InSync)
}

func TestCachesSideBySideHaveStoresOfTheirOwn(t *testing.T) {
	pool := t.TempDir()
	ensure(t, service(t, pool))
	ensure(t, service(t, pool))
	for _, store := range []string{"00", "01"} {
		if _, err := os.Stat(filepath.Join(pool, store)); err != nil {
			t.Error(err)
		}
	}
	if _, err := os.Stat(filepath.Join(pool, "02")); err == nil {
		t.Error("a third store was made for two caches")
	}
}

func TestAPortThatIsTakenIsSaidAtOnce(t *testing.T) {
	s := service(t, t.TempDir())
	l, err := net.Listen("tcp", s.Listen)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	start := time.Now()
	err = s.Ensure(t.Context(), t.Logf)
	if err == nil || !strings.Contains(err.Error(), "address already in use") || !strings.Contains(err.Error(), s.Listen) {
		t.Errorf("error: %v", err)
	}
	if took := time.Since(start); took > readyDeadline/2 {
		t.Errorf("it took %s to say so", took)
	}
}

// What is found in the directory may be of a process that is long gone, whose
// number another has now.
func TestAnotherProcessWithTheNumberIsLeftAlone(t *testing.T) {
	s := service(t, t.TempDir())
	me, err := proc.Of(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	me.Start--
	b, err := json.Marshal(running{me, s.Digest()})
	if err != nil {
		t.Fatal(err)
	}
	for _, content := range []string{string(b), `{"pid":`, ""} {
		if err := errors.Join(os.MkdirAll(s.Dir, 0o700), os.WriteFile(filepath.Join(s.Dir, "running.json"), []byte(content), 0o600)); err != nil {
			t.Fatal(err)
		}
		observed(t, s, drift.Absent)
		if err := Stop(t.Context(), s.Dir); err != nil {
			t.Error(err)
		}
	}
	ensure(t, s)
}

func TestRemovalNeedsToKnowWhatItIsOf(t *testing.T) {
	for _, state := range []string{"", "{", "{}", `{"cloud":"web"}`} {
		if err := Remove(t.Context(), json.RawMessage(state)); err == nil || !strings.Contains(err.Error(), "damaged") {
			t.Errorf("removal of %q: %v", state, err)
		}
	}
}

func TestFilesOfTheProcessAreItsOwnersAlone(t *testing.T) {
	s := service(t, t.TempDir())
	ensure(t, s)
	for name, want := range map[string]os.FileMode{"": 0o700, "config.json": 0o600, "running.json": 0o600, "log": 0o600} {
		st, err := os.Stat(filepath.Join(s.Dir, name))
		if err != nil || st.Mode().Perm() != want {
			t.Errorf("%q: %v, %v; want %v", name, st.Mode(), err, want)
		}
	}
}
