package lab_test

import (
	"bytes"
	"io"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/updraft-cloud/updraft/internal/netns"
)

// management opens the namespace in which agents and controllers meet.
func (b *lbService) management() *netns.NS {
	b.t.Helper()
	for _, s := range b.spaces() {
		if strings.HasSuffix(s, "mgmt") {
			ns, err := netns.Open(s)
			if err != nil {
				b.t.Fatal(err)
			}
			b.t.Cleanup(func() { ns.Close() })
			return ns
		}
	}
	b.t.Fatalf("there is no namespace for management among %q", b.spaces())
	return nil
}

// record listens to the wire for heartbeats, and returns the last of so many.
func (b *lbService) record(ns *netns.NS, n int) []byte {
	b.t.Helper()
	fd := -1
	if err := ns.Do(func() (err error) {
		fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, int(unix.ETH_P_ALL<<8&0xff00|unix.ETH_P_ALL>>8))
		return err
	}); err != nil {
		b.t.Fatal(err)
	}
	defer unix.Close(fd)
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 1}); err != nil {
		b.t.Fatal(err)
	}
	buf, last := make([]byte, 1<<16), []byte(nil)
	b.until(20*time.Second, "heartbeats are on the wire", func() bool {
		got, _, err := unix.Recvfrom(fd, buf, 0)
		if i := bytes.Index(buf[:max(got, 0)], []byte("UB1")); err == nil && i > 0 {
			last, n = bytes.Clone(buf[i:got]), n-1
		}
		return n == 0
	})
	return last
}

// metric returns one of the controller's metrics.
func (b *lbService) metric(name string) string {
	b.t.Helper()
	resp, err := b.http.Get("http://127.0.0.1:9878/metrics")
	if err != nil {
		b.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if n, ok := strings.CutPrefix(line, "updraft_lb_controller_"+name+" "); ok {
			return strings.TrimSpace(n)
		}
	}
	b.t.Fatalf("there is no %s in\n%s", name, text)
	return ""
}

// TestARecordedHeartbeatIsNotTakenAfterARestart plays a heartbeat again to a
// controller that has just begun, while the amphora is frozen.
func TestARecordedHeartbeatIsNotTakenAfterARestart(t *testing.T) {
	b := newLBService(t)
	b.args = append(b.local(), "--heartbeat", "200ms", "--silence", "1h", "--metrics", "127.0.0.1:9878")
	b.serve()
	b.web(8001, "one")
	id, _ := b.create("a", 8001)
	mgmt := b.management()
	recorded := b.record(mgmt, 3)
	space := b.spaceOf(b.amphorae(id)["STANDALONE"])
	all := func(s syscall.Signal) {
		for _, pid := range processesIn(space) {
			_ = syscall.Kill(pid, s)
		}
	}
	all(syscall.SIGSTOP)
	b.kill("serve")
	b.serve()
	conn, err := mgmt.DialContext(t.Context(), "udp6", netip.MustParseAddrPort("[fd75:7064:6c62:1::1]:5555").String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	b.until(20*time.Second, "the controller has its shards", func() bool { return b.metric("shards") == "32" })
	for range 50 {
		if _, err := conn.Write(recorded); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Millisecond) // as many as come in half a second
	}
	if n := b.metric("heartbeats_total"); n != "0" {
		t.Errorf("%s heartbeats were taken of an amphora that is frozen", n)
	}
	all(syscall.SIGCONT)
	b.until(20*time.Second, "its own heartbeats are taken", func() bool { return b.metric("heartbeats_total") != "0" })
	b.stop("serve")
}
