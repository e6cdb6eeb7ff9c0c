package hostagent_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/updraft-cloud/updraft/internal/drift"
	"github.com/updraft-cloud/updraft/internal/hostagent"
	"github.com/updraft-cloud/updraft/internal/hostagent/agent"
	"github.com/updraft-cloud/updraft/internal/hostagent/hostagenttest"
	"github.com/updraft-cloud/updraft/internal/hostagent/proto"
	"github.com/updraft-cloud/updraft/internal/resource"
	"github.com/updraft-cloud/updraft/internal/resource/fakehost"
	"github.com/updraft-cloud/updraft/internal/retry"
	"github.com/updraft-cloud/updraft/internal/transport"
	"github.com/updraft-cloud/updraft/internal/transport/fake"
)

// start starts an agent in this process.
func start(t *testing.T, w *world) (*hostagent.Client, *fake.Conn) {
	t.Helper()
	h := fakehost.New()
	conn := fake.New(hostagenttest.Handler(agent.Options{
		Hello:    proto.Hello{OS: "debian", BootID: "one"},
		Registry: registry(w),
		Host:     func(log func(string)) resource.Host { return h.WithLog(log) },
	}, func(context.Context, fake.Command) int { return 127 }))
	t.Cleanup(func() { conn.Close() })
	c, err := hostagent.Start(t.Context(), conn, hostagent.Options{Host: "host1"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c, conn
}

func TestHelloIsWhatTheHostSays(t *testing.T) {
	c, _ := start(t, newWorld())
	if h := c.Hello(); h.OS != "debian" || h.BootID != "one" || h.Protocol != proto.Version {
		t.Errorf("got %+v", h)
	}
}

func TestObserveTellsEachResourceInItsPlace(t *testing.T) {
	w := newWorld()
	w.values = map[string]string{"same": "1", "other": "2", "secret": "hush"}
	c, _ := start(t, w)
	got, err := c.Observe(t.Context(), []resource.Resource{
		&thing{Name: "same", Value: "1"}, &thing{Name: "absent"}, &thing{Name: "other", Value: "3"},
		&thing{Name: "fails"}, &thing{Name: "secret", Value: "x"}, &thing{Name: "panics"}, &batched{thing{Name: "same", Value: "1"}},
	}, nil)
	want := []drift.Report{
		{Status: drift.InSync},
		{Status: drift.Absent},
		{Status: drift.Differs, Changes: []drift.Change{{Attr: "value", From: "2", To: "3"}}},
		{Err: "cannot look"},
		{Status: drift.Differs, Changes: []drift.Change{{Attr: "value"}}},
		{Err: "this is a mistake in updraft: on purpose"},
		{Status: drift.InSync},
	}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v, %v\nwant %+v", got, err, want)
	}
}

func TestApply(t *testing.T) {
	tests := []struct {
		name      string
		r         thing
		triggered []string
		class     retry.Class
		err       string
	}{
		{name: "a thing is made and seen", r: thing{Name: "a", Value: "1"}},
		{name: "a class passes through", r: thing{Name: "locked"}, class: retry.Transient, err: "somebody holds the lock"},
		{name: "what still differs is named", r: thing{Name: "stubborn", Value: "new"}, err: `still differs after it was changed, in value (is "old", should be "new")`},
		{name: "a secret is not", r: thing{Name: "secret-stubborn", Value: "new"}, err: "still differs after it was changed, in value"},
		{name: "triggers are passed on", r: thing{Name: "triggered", Value: "x,y"}, triggered: []string{"x", "y"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c, _ := start(t, newWorld())
			var lines []string
			err := c.Apply(t.Context(), &tt.r, drift.Missing(), resource.Cause{Triggered: tt.triggered}, func(l string) { lines = append(lines, l) })
			switch {
			case tt.err == "" && err != nil, tt.err != "" && (err == nil || !strings.Contains(err.Error(), tt.err)), retry.ClassOf(err) != tt.class:
				t.Errorf("got %v (%v), want %q (%v)", err, retry.ClassOf(err), tt.err, tt.class)
			case tt.r.IsSensitive() && strings.Contains(err.Error(), "old"):
				t.Errorf("the value is in: %v", err)
			}
			if !reflect.DeepEqual(lines, []string{"applying " + tt.r.Name}) {
				t.Errorf("log: %q", lines)
			}
		})
	}
}

func TestWhatWaitsAtTheSameTimeIsAppliedTogether(t *testing.T) {
	w := newWorld()
	c, _ := start(t, w)
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			b := &batched{thing{Name: fmt.Sprint("b", i), Value: "1"}}
			if i == 7 {
				b.Name = "bad"
			}
			err := c.Apply(t.Context(), b, drift.Missing(), resource.Cause{}, nil)
			if (err != nil) != (i == 7) {
				t.Errorf("%s: %v", b.Name, err)
			}
		})
	}
	wg.Wait()
	sum := 0
	for _, n := range w.batches {
		sum += n
	}
	if sum != 20 || len(w.batches) > 4 {
		t.Errorf("batches of %v", w.batches)
	}
}

func TestWhatCannotGoTogetherIsAppliedAlone(t *testing.T) {
	w := newWorld()
	c, _ := start(t, w)
	var wg sync.WaitGroup
	var mu sync.Mutex
	var alone []string
	for i := range 20 {
		wg.Go(func() {
			j := &joined{thing{Name: fmt.Sprint("j", i), Value: "1"}}
			var why resource.Cause
			switch i {
			case 7:
				j.Name = "liar"
			case 8:
				why.Triggered = []string{"thing:x"}
			}
			log := func(line string) {
				mu.Lock()
				defer mu.Unlock()
				alone = append(alone, strings.TrimPrefix(line, "applying "))
			}
			if err := c.Apply(t.Context(), j, drift.Missing(), why, log); err != nil {
				t.Errorf("%s: %v", j.Name, err)
			}
			if v, _ := w.get(j.Name); v != "1" {
				t.Errorf("%s is %q", j.Name, v)
			}
		})
	}
	wg.Wait()
	if len(w.batches) == 0 || len(w.batches) > 4 {
		t.Errorf("batches of %v", w.batches)
	}
	// One that comes when no other waits is alone in any case.
	if !slices.Contains(alone, "liar") || !slices.Contains(alone, "j8") || len(alone) > 5 {
		t.Errorf("applied alone: %q", alone)
	}
}

func TestCancelEndsARequestAndNotTheOthers(t *testing.T) {
	w := newWorld()
	c, _ := start(t, w)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- c.Apply(ctx, &thing{Name: "blocks"}, drift.Missing(), resource.Cause{}, nil) }()
	<-w.started
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	select {
	case <-w.ended:
	default:
		t.Error("the call came back before the work had ended")
	}
	if err := c.Apply(t.Context(), &thing{Name: "a"}, drift.Missing(), resource.Cause{}, nil); err != nil {
		t.Error(err)
	}
}

func TestCloseEndsAllRequests(t *testing.T) {
	w := newWorld()
	c, _ := start(t, w)
	ended := make(chan error)
	go func() { ended <- c.Apply(t.Context(), &thing{Name: "blocks"}, drift.Missing(), resource.Cause{}, nil) }()
	<-w.started
	c.Close()
	if err := <-ended; retry.ClassOf(err) != retry.Unreachable {
		t.Errorf("got %v (%v)", err, retry.ClassOf(err))
	}
	<-w.ended
	if err := c.Apply(t.Context(), &thing{Name: "a"}, drift.Missing(), resource.Cause{}, nil); !errors.Is(err, transport.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
}

func TestALostConnectionIsUnreachable(t *testing.T) {
	w := newWorld()
	c, conn := start(t, w)
	ended := make(chan error)
	go func() { ended <- c.Apply(t.Context(), &thing{Name: "blocks"}, drift.Missing(), resource.Cause{}, nil) }()
	<-w.started
	conn.Close()
	if err := <-ended; retry.ClassOf(err) != retry.Unreachable {
		t.Errorf("got %v (%v)", err, retry.ClassOf(err))
	}
	<-c.Done()
	if err := c.Err(); retry.ClassOf(err) != retry.Unreachable || !strings.Contains(err.Error(), "lost the host agent on host1") {
		t.Errorf("Err: %v", err)
	}
	<-w.ended
}

func TestRemove(t *testing.T) {
	w := newWorld()
	c, _ := start(t, w)
	if err := c.Remove(t.Context(), "thing", []byte(`{"name":"a"}`), true, nil); err != nil {
		t.Fatal(err)
	}
	if got, _ := w.get("removed"); got != "atrue" {
		t.Errorf("got %q", got)
	}
	if err := c.Remove(t.Context(), "gone", []byte(`{}`), true, nil); err == nil || !strings.Contains(err.Error(), `"gone" is not known`) {
		t.Errorf("unknown kind: %v", err)
	}
}

func TestAnAgentOfAnotherProtocolIsRefused(t *testing.T) {
	conn := fake.New(func(_ context.Context, c fake.Command) int {
		fmt.Fprintln(c.Stdout, "updraft-agent have")
		_ = proto.NewWriter(c.Stdout).Write(proto.Hello{Protocol: 99})
		_, _ = c.Stdin.Read(make([]byte, 1))
		return 0
	})
	defer conn.Close()
	_, err := hostagent.Start(t.Context(), conn, hostagent.Options{Host: "host1"})
	if !errors.Is(err, hostagent.ErrVersion) || retry.ClassOf(err) != retry.Permanent {
		t.Errorf("got %v", err)
	}
}

func TestExchange(t *testing.T) {
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer pc.Close()
	go func() {
		buf := make([]byte, 100)
		n, from, err := pc.ReadFrom(buf)
		if err == nil {
			_, _ = pc.WriteTo(append([]byte("re: "), buf[:n]...), from)
		}
	}()
	c, _ := start(t, newWorld())
	addr := netip.MustParseAddrPort(pc.LocalAddr().String())
	got, rtt, err := c.Exchange(t.Context(), addr, []byte("hello"), 5*time.Second)
	if err != nil || string(got) != "re: hello" || rtt <= 0 {
		t.Errorf("got %q, %s, %v", got, rtt, err)
	}
	_, _, err = c.Exchange(t.Context(), addr, []byte("again"), time.Millisecond)
	if retry.ClassOf(err) != retry.Transient || !strings.Contains(err.Error(), "no answer within 1ms") {
		t.Errorf("silence: %v", err)
	}
}

func TestPing(t *testing.T) {
	if os.Geteuid() != 0 {
		if strings.Contains(os.Getenv("REQUIRE"), "lab") {
			t.Fatal("needs root")
		}
		t.Skip("needs root")
	}
	c, _ := start(t, newWorld())
	for _, addr := range []string{"127.0.0.1", "::1"} {
		rtt, err := c.Ping(t.Context(), netip.MustParseAddr(addr), 5*time.Second)
		if err != nil || rtt <= 0 || rtt > time.Second {
			t.Errorf("%s: %s, %v", addr, rtt, err)
		}
	}
}
