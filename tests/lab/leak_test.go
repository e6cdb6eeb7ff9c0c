package lab_test

import (
	"context"
	"net"
	"net/netip"
	"os"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// watcher counts, on all interfaces of the namespace it was made in, packets
// from or to addresses.
type watcher struct {
	f    *os.File
	mu   sync.Mutex
	seen map[netip.Addr]int
	done chan struct{}
}

// watch starts watching. Packets sent and received are seen as they pass the
// device (packet(7)), behind every firewall.
func watch(t *testing.T) *watcher {
	t.Helper()
	const all = unix.ETH_P_ALL<<8&0xff00 | unix.ETH_P_ALL>>8 // in network byte order
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, all)
	if err != nil {
		t.Fatal(err)
	}
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 32<<20)
	w := &watcher{f: os.NewFile(uintptr(fd), "packets"), seen: map[netip.Addr]int{}, done: make(chan struct{})}
	go w.read()
	t.Cleanup(func() { w.f.Close(); <-w.done })
	return w
}

func (w *watcher) read() {
	defer close(w.done)
	buf := make([]byte, 64)
	for {
		n, err := w.f.Read(buf)
		if err != nil {
			return
		}
		w.mu.Lock()
		for _, a := range addressesIn(buf[:n]) {
			w.seen[a]++
		}
		w.mu.Unlock()
	}
}

// addressesIn returns the addresses of an IPv4, IPv6 or ARP packet.
func addressesIn(b []byte) []netip.Addr {
	var at []int
	size := 4
	switch {
	case len(b) >= 20 && b[0]>>4 == 4:
		at = []int{12, 16}
	case len(b) >= 40 && b[0]>>4 == 6:
		at, size = []int{8, 24}, 16
	case len(b) >= 28 && b[0] == 0 && b[1] == 1 && b[2] == 8 && b[3] == 0: // ARP for IPv4 on Ethernet
		at = []int{14, 24}
	}
	var out []netip.Addr
	for _, i := range at {
		if a, ok := netip.AddrFromSlice(b[i : i+size]); ok {
			out = append(out, a)
		}
	}
	return out
}

func (w *watcher) count(prefixes ...netip.Prefix) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := 0
	for a, c := range w.seen {
		for _, p := range prefixes {
			if p.Contains(a) {
				n += c
			}
		}
	}
	return n
}

func TestNoPacketOfTheLabLeavesThroughTheComputersInterfaces(t *testing.T) {
	f := newFixture(t)
	w := watch(t)
	p, topo := f.brought(t, "leak", 2, nil)
	one, two := topo.Machines[0], topo.Machines[1]
	// Everything that could tempt the kernel: names, routes out, the other
	// network, the deployer, an address of the lab that nobody has.
	for _, command := range []string{
		"getent hosts debian.org; ping -qc1 -W1 198.51.100.1; ping -qc1 -W1 10.88.0.1; ping -qc1 -W1 10.89.0.200",
		"ping -qc1 -W1 " + two.NICs[1].Address.Addr().String() + "; ping -qc1 -W1 2001:db8::1; ping -qc1 -W1 fd88::1",
		"timeout 3 apt-get -o Acquire::Retries=0 update",
	} {
		_, _ = ssh(t, one, command) // most of it fails, as it should
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if c, err := p.DialContext(ctx, topo.Cloud, "tcp", "10.88.0.200:80"); err == nil {
		c.Close()
		t.Error("somebody answers at an address that nobody has")
	}
	if err := p.RemoveAll(t.Context(), topo.Cloud, quiet); err != nil {
		t.Fatal(err)
	}
	proveWatching(t, w)
	lab := []netip.Prefix{topo.Networks[0].CIDR, topo.Networks[1].CIDR, topo.Networks[0].CIDR6, netip.MustParsePrefix("198.51.100.0/24"), netip.MustParsePrefix("2001:db8::/32")}
	if n := w.count(lab...); n != 0 {
		t.Errorf("%d packets of the lab were seen on the computer's own interfaces: %v", n, w.seen)
	}
}

// proveWatching fails unless a packet sent now is seen, and with it every one before.
func proveWatching(t *testing.T, w *watcher) {
	t.Helper()
	proof := netip.MustParseAddr("127.0.0.55")
	conn, err := net.Dial("udp", proof.String()+":9")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	deadline := time.NewTimer(10 * time.Second)
	defer deadline.Stop()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for w.count(netip.PrefixFrom(proof, 32)) == 0 {
		_, _ = conn.Write([]byte("x")) // nobody listens: ECONNREFUSED is fine
		select {
		case <-deadline.C:
			t.Fatal("the watcher sees nothing")
		case <-tick.C:
		}
	}
}
