package fleet_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/updraft-cloud/updraft/internal/drift"
	"github.com/updraft-cloud/updraft/internal/engine"
	"github.com/updraft-cloud/updraft/internal/fleet"
	"github.com/updraft-cloud/updraft/internal/resource"
	"github.com/updraft-cloud/updraft/internal/resource/file"
	"github.com/updraft-cloud/updraft/internal/retry"
	"github.com/updraft-cloud/updraft/internal/transport"
)

// world is a set of hosts that answer, or do not.
type world struct {
	mu       sync.Mutex
	refusals []error // of the next connections, in turn
	conns    []*conn
	boot     int
	applied  []string
	found    drift.Report // of everything; in sync when zero
	ahead    time.Duration
}

type conn struct {
	transport.Conn
	done chan struct{}
	once sync.Once
}

func (c *conn) Done() <-chan struct{} { return c.done }
func (c *conn) Close() error          { c.once.Do(func() { close(c.done) }); return nil }
func (c *conn) Dial(context.Context, string, string) (net.Conn, error) {
	return nil, errors.New("nobody there")
}

func (w *world) Connect(context.Context, transport.Target) (transport.Conn, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.refusals) > 0 {
		err := w.refusals[0]
		w.refusals = w.refusals[1:]
		return nil, err
	}
	c := &conn{done: make(chan struct{})}
	w.conns = append(w.conns, c)
	return c, nil
}

type agent struct {
	w    *world
	boot int
}

func (a *agent) Observe(_ context.Context, all []resource.Resource) ([]drift.Report, error) {
	found := a.w.found
	if found.Status == drift.Unknown {
		found.Status = drift.InSync
	}
	return slices.Repeat([]drift.Report{found}, len(all)), nil
}

func (a *agent) Apply(_ context.Context, r resource.Resource, _ drift.Report, why resource.Cause, _ func(string)) error {
	a.w.mu.Lock()
	defer a.w.mu.Unlock()
	a.w.applied = append(a.w.applied, fmt.Sprint(r.Key(), " ", why.Triggered, " ", why.Made))
	if r.Key() == "reboot" {
		a.w.boot++
		a.w.refusals = slices.Repeat([]error{away}, 5)
		_ = a.w.conns[len(a.w.conns)-1].Close()
	}
	return nil
}

func (a *agent) Remove(_ context.Context, r resource.Resource, made bool, _ func(string)) error {
	a.w.mu.Lock()
	defer a.w.mu.Unlock()
	a.w.applied = append(a.w.applied, fmt.Sprint("remove ", r.Key(), " ", made))
	return nil
}
func (a *agent) Ping(context.Context, string) (time.Duration, error) { return time.Millisecond, nil }
func (a *agent) Exchange(context.Context, string, []byte) ([]byte, error) {
	return nil, errors.New("none")
}
func (a *agent) BootID() string       { return fmt.Sprint(a.boot) }
func (a *agent) Ahead() time.Duration { return a.w.ahead }
func (a *agent) Close() error         { return nil }

var away = retry.Mark(errors.New("no answer"), retry.Unreachable)

func (w *world) fleet() *fleet.Fleet {
	return fleet.New(fleet.Options{
		Target: func(string) (transport.Target, error) { return transport.Target{}, nil },
		Dialer: w,
		Start: func(context.Context, transport.Conn, transport.Target) (fleet.Agent, error) {
			w.mu.Lock()
			defer w.mu.Unlock()
			return &agent{w, w.boot}, nil
		},
		Registry: resource.NewRegistry(resource.Kind{Name: "thing", New: func() resource.Resource { return &thing{} }}),
		Clocks:   20 * time.Second,
	})
}

// thing is a resource.
type thing struct {
	Name string `json:"name"`
	resource.Resource
}

func (t *thing) Kind() string                 { return "thing" }
func (t *thing) Key() string                  { return t.Name }
func (t *thing) Reboots() bool                { return t.Name == "reboot" }
func (t *thing) MarshalJSON() ([]byte, error) { return json.Marshal(map[string]string{"name": t.Name}) }

func node(name string) *engine.Node {
	return &engine.Node{ID: "web1/thing:" + name, Kind: "thing", Key: name, Scope: "web1", Body: fleet.Body(&thing{Name: name})}
}

func observe(t *testing.T, f *fleet.Fleet) error {
	t.Helper()
	reports, err := f.Observe(context.Background(), "web1", []*engine.Node{node("a"), node("b")})
	if err == nil && len(reports) != 2 {
		t.Fatalf("%d reports for 2 nodes", len(reports))
	}
	return err
}

func TestAHostIsEnteredOnceAndAgainWhenItsConnectionDied(t *testing.T) {
	w := &world{}
	f := w.fleet()
	defer f.Close()
	for range 3 {
		if err := observe(t, f); err != nil {
			t.Fatal(err)
		}
	}
	if len(w.conns) != 1 {
		t.Errorf("%d connections for one host", len(w.conns))
	}
	_ = w.conns[0].Close()
	if err := observe(t, f); err != nil || len(w.conns) != 2 {
		t.Errorf("after its death: %v, %d connections", err, len(w.conns))
	}
}

func TestConcurrentUsesShareOneEntry(t *testing.T) {
	w := &world{}
	f := w.fleet()
	defer f.Close()
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			if err := observe(t, f); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if len(w.conns) != 1 {
		t.Errorf("%d connections", len(w.conns))
	}
}

func TestAHostThatDoesNotAnswerIsUnreachableAtOnce(t *testing.T) {
	w := &world{refusals: []error{away}}
	f := w.fleet()
	defer f.Close()
	err := observe(t, f)
	if retry.ClassOf(err) != retry.Unreachable || !errors.Is(err, transport.ErrNoEntry) {
		t.Errorf("%v, %v", retry.ClassOf(err), err)
	}
}

func TestAnExpectedHostIsWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{refusals: slices.Repeat([]error{away}, 20)}
		f := w.fleet()
		defer f.Close()
		f.Expect("web1")
		if err := observe(t, f); err != nil {
			t.Errorf("not waited for: %v", err)
		}
	})
}

func TestAnExpectedHostThatNeverComesIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{refusals: slices.Repeat([]error{away}, 10000)}
		f := w.fleet()
		defer f.Close()
		f.Expect("web1")
		start := time.Now()
		err := observe(t, f)
		if took := time.Since(start); retry.ClassOf(err) != retry.Unreachable || took < time.Minute || took > 3*time.Minute {
			t.Errorf("after %s: %v", took, err)
		}
	})
}

func TestARefusedKeyIsFinalEvenForAnExpectedHost(t *testing.T) {
	w := &world{refusals: []error{fmt.Errorf("%w: web1", transport.ErrHostKeyChanged)}}
	f := w.fleet()
	defer f.Close()
	f.Expect("web1")
	err := observe(t, f)
	if retry.ClassOf(err) != retry.Permanent || !errors.Is(err, transport.ErrHostKeyChanged) {
		t.Errorf("%v, %v", retry.ClassOf(err), err)
	}
}

func TestARebootIsAwaited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{}
		f := w.fleet()
		defer f.Close()
		err := f.Apply(context.Background(), node("reboot"), drift.Report{}, engine.Cause{}, func(string) {})
		if err != nil || len(w.conns) != 2 {
			t.Errorf("%v, %d connections", err, len(w.conns))
		}
	})
}

func TestCausesAndRecordsReachTheHost(t *testing.T) {
	w := &world{}
	f := w.fleet()
	defer f.Close()
	ctx := context.Background()
	if err := f.Apply(ctx, node("a"), drift.Missing(), engine.Cause{Triggered: []string{"x"}, Made: true}, func(string) {}); err != nil {
		t.Fatal(err)
	}
	rec := engine.Record{ID: "web1/thing:a", Kind: "thing", Key: "a", Scope: "web1", Removal: json.RawMessage(`{"name":"a"}`), Made: true}
	if err := f.Remove(ctx, rec, func(string) {}); err != nil {
		t.Fatal(err)
	}
	if want := []string{"a [x] true", "remove a true"}; !slices.Equal(w.applied, want) {
		t.Errorf("the host was asked %q, want %q", w.applied, want)
	}
}

// mortal is an agent that can die by itself.
type mortal struct {
	*agent
	done chan struct{}
}

func (m mortal) Done() <-chan struct{} { return m.done }

func TestAnAgentThatDiedIsStartedAnewOverTheSameConnection(t *testing.T) {
	w := &world{}
	var agents []mortal
	f := fleet.New(fleet.Options{
		Target: func(string) (transport.Target, error) { return transport.Target{}, nil },
		Dialer: w,
		Start: func(context.Context, transport.Conn, transport.Target) (fleet.Agent, error) {
			agents = append(agents, mortal{&agent{w: w}, make(chan struct{})})
			return agents[len(agents)-1], nil
		},
	})
	defer f.Close()
	for range 2 {
		if err := observe(t, f); err != nil {
			t.Fatal(err)
		}
	}
	close(agents[0].done)
	if err := observe(t, f); err != nil || len(agents) != 2 || len(w.conns) != 1 {
		t.Errorf("%v, %d agents over %d connections", err, len(agents), len(w.conns))
	}
}

var _ fleet.Texter = (*file.Resource)(nil)

func TestAPlanShowsTheLinesThatChangeUnlessNobodyMayReadThem(t *testing.T) {
	for _, tc := range []struct {
		rule     string
		wanted   file.Resource
		old, now string
	}{
		{"a text", file.Resource{Path: "/etc/f", Content: "new\n"}, "old\n", "new\n"},
		{"one that becomes empty", file.Resource{Path: "/etc/f"}, "old\n", ""},
		{"a secret", file.Resource{Path: "/etc/f", Content: "new\n", Sensitive: true}, "", ""},
		{"no text", file.Resource{Path: "/etc/f", Data: []byte{0xff, 0}}, "", ""},
		{"too long", file.Resource{Path: "/etc/f", Content: strings.Repeat("new\n", 1<<16)}, "", ""},
	} {
		w := &world{found: drift.Report{Status: drift.Differs, Changes: []drift.Change{{Attr: "content", Text: "old\n"}}}}
		f := w.fleet()
		reports, err := f.Observe(t.Context(), "a", []*engine.Node{{ID: "a/f", Scope: "a", Body: fleet.Body(&tc.wanted)}})
		f.Close()
		if err != nil {
			t.Fatal(err)
		}
		if c := reports[0].Changes[0]; c.Text != tc.old || c.NewText != tc.now {
			t.Errorf("%s: from %q to %.9q", tc.rule, c.Text, c.NewText)
		}
	}
}

func TestAHostWhoseClockIsOffIsRefusedBeforeAnythingIsDone(t *testing.T) {
	for _, c := range []struct {
		rule  string
		ahead time.Duration
		want  string // "" is let in
	}{
		{"right", 0, ""},
		{"hardly off", -20 * time.Second, ""},
		{"ahead", 5 * time.Minute, "cannot enter web1: its clock is wrong: it is 5m0s ahead of this computer's, and 20s is the most"},
		{"behind", -5 * time.Minute, "5m0s behind this computer's"},
	} {
		t.Run(c.rule, func(t *testing.T) {
			w := &world{ahead: c.ahead}
			f := w.fleet()
			defer f.Close()
			f.Expect("web1") // it is not waited for: clocks do not mend themselves
			err := observe(t, f)
			if (err == nil) != (c.want == "") {
				t.Fatalf("got %v", err)
			}
			if err == nil {
				return
			}
			if !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "updraft exec web1 -- date") ||
				!errors.Is(err, fleet.ErrClock) || retry.ClassOf(err) != retry.Permanent {
				t.Errorf("class %v: %v", retry.ClassOf(err), err)
			}
			if err := f.Apply(t.Context(), node("a"), drift.Missing(), engine.Cause{}, func(string) {}); err == nil || len(w.applied) > 0 {
				t.Errorf("%v was done: %v", w.applied, err)
			}
			if _, err := f.DialFrom(t.Context(), "web1", "tcp", "x:1"); errors.Is(err, fleet.ErrClock) {
				t.Errorf("nobody can get in to mend it: %v", err)
			}
		})
	}
}
