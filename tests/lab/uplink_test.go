package lab_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/updraft-cloud/updraft/internal/drift"
	"github.com/updraft-cloud/updraft/internal/machine"
	"github.com/updraft-cloud/updraft/internal/machine/lab"
	"github.com/updraft-cloud/updraft/internal/netns"
)

// ownComputerVariable tells a test that it runs on a computer of its own.
const ownComputerVariable = "UPDRAFT_TEST_OWN_COMPUTER"

// onItsOwnComputer runs the test again with a network namespace for a computer,
// so that nothing of it can get out, and reports whether this is that run.
func onItsOwnComputer(t *testing.T) bool {
	t.Helper()
	needLab(t)
	if os.Getenv(ownComputerVariable) != "" {
		return true
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "unshare", "--net", self, "-test.v", "-test.run", "^"+t.Name()+"$")
	cmd.Env = append(os.Environ(), ownComputerVariable+"=1")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	return false
}

// Of the world in which the computer is: its own address, that of its router,
// and one far out.
const (
	ownAddress = "10.89.0.2"
	farOut     = "10.89.99.1"
)

// outside makes a world around the computer: a router, and something behind it.
func outside(t *testing.T) *netns.NS {
	t.Helper()
	name := cloudName("outside")
	if err := netns.Create(name); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = netns.Delete(name) })
	for _, line := range []string{
		"ip link set lo up",
		"ip link add eth0 type veth peer name eth0 netns " + name,
		"ip address add " + ownAddress + "/24 dev eth0", "ip link set eth0 up",
		"ip netns exec " + name + " ip link set lo up",
		"ip netns exec " + name + " ip address add " + farOut + "/32 dev lo",
		"ip netns exec " + name + " ip address add 10.89.0.1/24 dev eth0", "ip netns exec " + name + " ip link set eth0 up",
		"ip route add default via 10.89.0.1",
	} {
		sh(t, line)
	}
	ns, err := netns.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ns.Close() })
	return ns
}

func sh(t *testing.T, line string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "sh", "-c", line).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v: %s", line, err, out)
	}
	return string(out)
}

// computerTrace is all of the computer's own network that an uplink could touch.
func computerTrace(t *testing.T) string {
	t.Helper()
	return sh(t, "ip -o link | grep -o '^[0-9]*: [^@:]*'; ip -o address show scope global; ip route show table all | grep -v ' fe80\\|^fe80\\|ff00'; ip rule; "+
		"nft list ruleset; cd /proc/sys/net/ipv4/conf; grep . */forwarding")
}

// uplinkCloud is a cloud of a network with an uplink and one without. The first
// host is in both, the second would like to get out but may not.
func (f *fixture) uplinkCloud(t *testing.T, suffix string) machine.Topology {
	t.Helper()
	topo := f.topology(t, cloudName(suffix), 2)
	dns := []netip.Addr{netip.MustParseAddr(farOut)}
	topo.Networks = []machine.Network{
		{Name: "out", CIDR: netip.MustParsePrefix("10.88.0.0/24"), Deployer: netip.MustParseAddr("10.88.0.1"), Uplink: true},
		{Name: "in", CIDR: netip.MustParsePrefix("10.88.1.0/24"), CIDR6: netip.MustParsePrefix("fd88::/64"), Deployer: netip.MustParseAddr("10.88.1.1")},
	}
	topo.Machines[0].DNS = dns
	topo.Machines[0].NICs = []machine.NIC{
		{Name: "eth0", Network: "out", MAC: "02:88:00:00:00:11", Address: netip.MustParsePrefix("10.88.0.11/24"), Gateway: netip.MustParseAddr("10.88.0.1")},
		{Name: "eth1", Network: "in", MAC: "02:88:00:00:01:11", Address: netip.MustParsePrefix("10.88.1.11/24")},
	}
	topo.Machines[1].NICs = []machine.NIC{
		{Name: "eth0", Network: "in", MAC: "02:88:00:00:01:12", Address: netip.MustParsePrefix("10.88.1.12/24"), Gateway: netip.MustParseAddr("10.88.1.1")},
	}
	return topo
}

func (f *fixture) bringUp(t *testing.T, p *lab.Provider, topo machine.Topology) {
	t.Helper()
	t.Cleanup(func() {
		if err := p.RemoveAll(context.Background(), topo.Cloud, quiet); err != nil {
			t.Error(err)
		}
	})
	if err := up(t.Context(), p, topo); err != nil {
		t.Fatal(err)
	}
	for _, m := range topo.Machines {
		if err := answers(t.Context(), p, m); err != nil {
			t.Fatal(err)
		}
	}
}

// seenBy serves on an address out there, and returns who connects from a host.
func seenBy(t *testing.T, world *netns.NS, p *lab.Provider, m machine.Machine) string {
	t.Helper()
	l, err := world.Listen(t.Context(), "tcp", farOut+":0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		host, _, _ := net.SplitHostPort(c.RemoteAddr().String())
		_, _ = io.WriteString(c, host)
	}()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	out, err := p.Enter(t.Context(), m.Cloud, m.Name, "bash", "-c", "exec 3<>/dev/tcp/"+farOut+"/"+port+"; cat <&3")
	if err != nil {
		t.Errorf("%s does not get out: %v", m.Name, err)
	}
	return string(out)
}

func reaches(t *testing.T, p *lab.Provider, m machine.Machine, args string) bool {
	t.Helper()
	_, err := p.Enter(t.Context(), m.Cloud, m.Name, "sh", "-c", "ping -qc1 -W1 "+args)
	return err == nil
}

func TestAnUplinkLetsOutWhoAsksForItAndNobodyElse(t *testing.T) {
	if !onItsOwnComputer(t) {
		return
	}
	world, f := outside(t), newFixture(t)
	before := computerTrace(t)
	var w *watcher
	if err := world.Do(func() error { w = watch(t); return nil }); err != nil {
		t.Fatal(err)
	}
	p, topo := f.provider(), f.uplinkCloud(t, "up")
	f.bringUp(t, p, topo)
	one, two := topo.Machines[0], topo.Machines[1]
	if got := seenBy(t, world, p, one); got != ownAddress {
		t.Errorf("out there the host is seen as %q, not as the computer", got)
	}
	if out, err := p.Enter(t.Context(), one.Cloud, one.Name, "cat", "/etc/resolv.conf"); string(out) != "nameserver "+farOut+"\n" {
		t.Errorf("resolv.conf: %q, %v", out, err)
	}
	for _, tc := range []struct {
		rule string
		m    machine.Machine
		args string
		want bool
	}{
		{"a host with an uplink gets out", one, farOut, true},
		{"a host without does not", two, farOut, false},
		{"nor through its second network", one, "-I eth1 " + farOut, false},
		{"hosts reach each other in their network", one, "10.88.1.12", true},
		{"networks do not reach each other through the deployer", one, "-I 10.88.0.11 -m 1 10.88.1.12", false},
		{"an address of the lab that nobody has stays inside", one, "10.88.1.200", false},
		{"what is on the computer's links is not there", one, "169.254.169.254", false},
	} {
		if got := reaches(t, p, tc.m, tc.args); got != tc.want {
			t.Errorf("%s: ping %s is %t", tc.rule, tc.args, got)
		}
	}
	proveSeen(t, w)
	if n := w.count(netip.MustParsePrefix("10.88.0.0/16"), netip.MustParsePrefix("169.254.0.0/16"), netip.MustParsePrefix("fd88::/16")); n != 0 {
		t.Errorf("%d packets with addresses of the lab were seen out there: %v", n, w.seen)
	}
	unreachableFromOutside(t, world, p, one)
	if n := w.count(netip.MustParsePrefix("198.51.100.0/24")); n != 1 { // sent, and not sent on
		t.Errorf("the computer routes for its neighbours: %v", w.seen)
	}
	if err := p.RemoveAll(t.Context(), topo.Cloud, quiet); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(before, computerTrace(t)); diff != "" {
		t.Errorf("the uplink left a trace (-before +after):\n%s", diff)
	}
}

// unreachableFromOutside holds that nobody gets in, neither from the network that
// the computer is in nor from a host to the computer's services.
func unreachableFromOutside(t *testing.T, world *netns.NS, p *lab.Provider, m machine.Machine) {
	t.Helper()
	l, err := net.Listen("tcp", ownAddress+":0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	if _, err := p.Enter(t.Context(), m.Cloud, m.Name, "timeout", "1", "bash", "-c", "exec 3<>/dev/tcp/"+ownAddress+"/"+port); err == nil {
		t.Error("a host reaches the computer's services")
	}
	far := strings.Fields(sh(t, "ip -4 -o address show dev ud-"+m.Cloud))[3]
	pair := netip.MustParsePrefix(far).Masked()
	if err := world.Do(func() error {
		for _, to := range []netip.Prefix{pair, netip.MustParsePrefix("198.51.100.0/24")} {
			out, err := exec.Command("ip", "route", "replace", to.String(), "via", ownAddress).CombinedOutput()
			if err != nil {
				return fmt.Errorf("%w: %s", err, out)
			}
		}
		if err := exec.Command("ping", "-qc1", "-W1", pair.Addr().String()).Run(); err == nil {
			t.Error("the lab's end of the uplink answers the computer's network")
		}
		// The computer's interface forwards now; it must not route for its neighbours.
		_ = exec.Command("ping", "-qc1", "-W1", "198.51.100.7").Run()
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if out := sh(t, "nft list table ip updraft-"+m.Cloud); !strings.Contains(out, `elements = { "eth0" }`) {
		t.Errorf("what was switched on is not recorded:\n%s", out)
	}
}

func proveSeen(t *testing.T, w *watcher) {
	t.Helper()
	if w.count(netip.MustParsePrefix(farOut+"/32")) == 0 {
		t.Error("the watcher out there sees nothing")
	}
}

func TestUplinksAreIndependentAndMendedAndLeaveNoTrace(t *testing.T) {
	if !onItsOwnComputer(t) {
		return
	}
	world, f := outside(t), newFixture(t)
	before := computerTrace(t)
	p := f.provider()
	first, second := f.uplinkCloud(t, "a"), f.uplinkCloud(t, "b")
	for _, topo := range []*machine.Topology{&first, &second} { // the same addresses
		topo.Machines = topo.Machines[:1]
		f.bringUp(t, p, *topo)
	}
	out := first.Networks[0]
	agree := func(want drift.Status) {
		t.Helper()
		if r, err := p.ObserveNetwork(t.Context(), first.Cloud, out); err != nil || r.Status != want {
			t.Errorf("observed: %s %+v, %v; want %s", r.Status, r.Changes, err, want)
		}
	}
	agree(drift.InSync)
	for _, damage := range []string{
		"nft delete table ip updraft-" + first.Cloud, "ip link del ud-" + first.Cloud, "ip link set ud-" + first.Cloud + " down",
		"echo 0 >/proc/sys/net/ipv4/conf/eth0/forwarding", "ip netns exec ud-" + first.Cloud + " nft flush ruleset",
		"ip netns exec ud-" + first.Cloud + " ip rule del priority 7570",
	} {
		sh(t, damage)
		agree(drift.Differs)
		if err := p.EnsureNetwork(t.Context(), first.Cloud, out, quiet); err != nil {
			t.Fatalf("after %s: %v", damage, err)
		}
		agree(drift.InSync)
		if got := seenBy(t, world, p, first.Machines[0]); got != ownAddress {
			t.Errorf("after %s: seen as %q", damage, got)
		}
	}
	closed := out
	closed.Uplink = false
	if err := p.EnsureNetwork(t.Context(), first.Cloud, closed, quiet); err != nil {
		t.Fatal(err)
	}
	if reaches(t, p, first.Machines[0], farOut) {
		t.Error("a host gets out through an uplink that was taken away")
	}
	if err := p.RemoveAll(t.Context(), first.Cloud, quiet); err != nil {
		t.Fatal(err)
	}
	if got := seenBy(t, world, p, second.Machines[0]); got != ownAddress {
		t.Errorf("when the first cloud is gone, the second is seen as %q", got)
	}
	if err := p.RemoveNetwork(t.Context(), second.Cloud, out.Name); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(before, computerTrace(t)); diff != "" {
		t.Errorf("the uplinks left a trace (-before +after):\n%s", diff)
	}
}

func TestAnUplinkIsRemovedFromAnyHalfMadeState(t *testing.T) {
	if !onItsOwnComputer(t) {
		return
	}
	outside(t)
	f := newFixture(t)
	p, topo := f.provider(), f.uplinkCloud(t, "half")
	out, cloud := topo.Networks[0], topo.Cloud
	for _, routed := range []bool{false, true} {
		if routed { // a computer that was a router before stays one
			sh(t, "echo 1 >/proc/sys/net/ipv4/ip_forward")
		}
		before := computerTrace(t)
		for _, lost := range []string{
			"true", "ip netns del ud-" + cloud, "ip link del ud-" + cloud, "nft delete table ip updraft-" + cloud + "; echo 0 >/proc/sys/net/ipv4/conf/eth0/forwarding",
			"echo 0 >/proc/sys/net/ipv4/conf/eth0/forwarding", "ip route del default",
		} {
			if err := p.EnsureNetwork(t.Context(), cloud, out, quiet); err != nil {
				t.Fatal(err)
			}
			sh(t, lost)
			for range 2 {
				if err := p.RemoveAll(t.Context(), cloud, quiet); err != nil {
					t.Fatalf("after %s: %v", lost, err)
				}
			}
			sh(t, "ip route replace default via 10.89.0.1")
			if routed {
				sh(t, "echo 1 >/proc/sys/net/ipv4/conf/eth0/forwarding")
			}
			if diff := cmp.Diff(before, computerTrace(t)); diff != "" {
				t.Errorf("after %s (-before +after):\n%s", lost, diff)
			}
		}
	}
}

func TestUplinkAddressesOverlapWithNothingOnTheComputer(t *testing.T) {
	if !onItsOwnComputer(t) {
		return
	}
	outside(t)
	f := newFixture(t)
	p, topo := f.provider(), f.uplinkCloud(t, "free")
	take := func() string {
		t.Helper()
		if err := p.EnsureNetwork(t.Context(), topo.Cloud, topo.Networks[0], quiet); err != nil {
			t.Fatal(err)
		}
		got := strings.Fields(sh(t, "ip -4 -o address show dev ud-"+topo.Cloud))[3]
		if err := p.RemoveAll(t.Context(), topo.Cloud, quiet); err != nil {
			t.Fatal(err)
		}
		return got
	}
	var got []string
	for _, used := range []string{"true", "ip route add %s dev eth0 table 99", "ip address add 169.254.200.9/22 dev eth0"} {
		last := ""
		if len(got) > 0 {
			last = netip.MustParsePrefix(got[len(got)-1]).Masked().String()
		}
		sh(t, strings.ReplaceAll(used, "%s", last))
		now := take()
		if slices.Contains(got, now) {
			t.Errorf("%s is used although %q", now, used)
		}
		got = append(got, now)
	}
	if !strings.HasPrefix(got[0], "169.254.20") || !strings.HasPrefix(got[2], "198.18.20") {
		t.Errorf("taken: %v", got)
	}
	sh(t, "ip route add 198.18.0.0/15 dev eth0")
	if err := p.EnsureNetwork(t.Context(), topo.Cloud, topo.Networks[0], quiet); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Errorf("without a free address: %v", err)
	}
	if err := p.RemoveAll(t.Context(), topo.Cloud, quiet); err != nil {
		t.Fatal(err)
	}
}
