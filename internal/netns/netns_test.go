package netns

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestSocketTypeFollowsNetworkAndFamily(t *testing.T) {
	v4, v6 := netip.MustParseAddr("10.88.0.1"), netip.MustParseAddr("fd88::1")
	for _, tc := range []struct {
		network string
		addr    netip.Addr
		want    int
		fails   bool
	}{
		{"tcp", v4, unix.SOCK_STREAM, false},
		{"tcp", v6, unix.SOCK_STREAM, false},
		{"tcp4", v4, unix.SOCK_STREAM, false},
		{"udp6", v6, unix.SOCK_DGRAM, false},
		{"tcp4", v6, 0, true},
		{"tcp6", v4, 0, true},
		{"unix", v4, 0, true},
	} {
		got, err := socketType(tc.network, tc.addr)
		if got != tc.want || (err != nil) != tc.fails {
			t.Errorf("socketType(%s, %s) = %d, %v", tc.network, tc.addr, got, err)
		}
	}
}

func TestNamesThatCannotBeFilesAreRefused(t *testing.T) {
	for _, name := range []string{"", ".", "..", "a/b", strings.Repeat("x", 256)} {
		if err := Create(name); err == nil {
			t.Errorf("Create(%q) did not fail", name)
		}
		if err := Delete(name); err == nil {
			t.Errorf("Delete(%q) did not fail", name)
		}
	}
}

// needRoot skips without root, or fails where REQUIRE asks for the lab tier.
func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() == 0 {
		return
	}
	if strings.Contains(os.Getenv("REQUIRE"), "lab") {
		t.Fatal("needs root")
	}
	t.Skip("needs root")
}

func newNS(t *testing.T) *NS {
	t.Helper()
	needRoot(t)
	name := fmt.Sprintf("ud-test-%d", os.Getpid())
	t.Cleanup(func() {
		for range 2 { // deleting twice is no error
			if err := Delete(name); err != nil {
				t.Error(err)
			}
		}
	})
	for range 2 { // creating twice neither
		if err := Create(name); err != nil {
			t.Fatal(err)
		}
	}
	names, err := List("ud-test-")
	if err != nil || !slices.Contains(names, name) {
		t.Fatalf("List = %v, %v", names, err)
	}
	ns, err := Open(name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ns.Close() })
	if err := ns.Do(func() error {
		lo, err := netlink.LinkByName("lo")
		if err != nil {
			return err
		}
		return netlink.LinkSetUp(lo)
	}); err != nil {
		t.Fatal(err)
	}
	return ns
}

func TestDialAndListenInsideReachEachOtherAndNothingOutside(t *testing.T) {
	ns := newNS(t)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	for _, addr := range []string{"127.0.0.1:0", "[::1]:0"} {
		l, err := ns.Listen(ctx, "tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				fmt.Fprint(c, "inside")
				c.Close()
			}
		}()
		conn, err := ns.DialContext(ctx, "tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(conn)
		conn.Close()
		if string(got) != "inside" || err != nil {
			t.Errorf("read %q, %v", got, err)
		}
		if c, err := net.Dial("tcp", l.Addr().String()); err == nil {
			c.Close()
			t.Error("the listener can be reached from outside")
		}
		l.Close()
		if _, err := ns.DialContext(ctx, "tcp", l.Addr().String()); !errors.Is(err, unix.ECONNREFUSED) {
			t.Errorf("dial to a closed port: %v", err)
		}
	}
}

func TestDialEndsWithItsContextAndRefusesNames(t *testing.T) {
	ns := newNS(t)
	if _, err := ns.DialContext(t.Context(), "tcp", "localhost:80"); err == nil {
		t.Error("a name was accepted")
	}
	if _, err := ns.DialContext(t.Context(), "tcp", "10.88.0.9:80"); !errors.Is(err, unix.ENETUNREACH) {
		t.Errorf("no route: %v", err)
	}
	// A listener with a full backlog drops the SYN: the dial hangs.
	l, err := ns.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := ns.DialContext(ctx, "tcp", l.Addr().String()); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func TestThreadsNeverStayInside(t *testing.T) {
	ns := newNS(t)
	home, err := os.Readlink("/proc/thread-self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for i := range 200 {
		wg.Go(func() {
			_ = ns.Do(func() error {
				runtime.Gosched()
				if i%3 == 0 {
					return errors.New("failed inside")
				}
				return nil
			})
		})
	}
	wg.Wait()
	tasks, err := os.ReadDir("/proc/self/task")
	if err != nil {
		t.Fatal(err)
	}
	for _, task := range tasks {
		got, err := os.Readlink("/proc/self/task/" + task.Name() + "/ns/net")
		if err == nil && got != home {
			t.Errorf("thread %s is in %s, not %s", task.Name(), got, home)
		}
	}
}
