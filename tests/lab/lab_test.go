// Package lab_test runs the lab provider with real systemd hosts. It needs root
// and the packages systemd-container and mmdebstrap; without them its tests are
// skipped, or fail where REQUIRE contains "lab". KEEP=1 keeps what a test made.
package lab_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/updraft-cloud/updraft/internal/machine"
	"github.com/updraft-cloud/updraft/internal/machine/lab"
	"github.com/updraft-cloud/updraft/internal/machine/machinetest"
	"github.com/updraft-cloud/updraft/internal/netns"
	"github.com/updraft-cloud/updraft/internal/retry"
)

func TestLabConformance(t *testing.T) {
	f := newFixture(t)
	enter := func(ctx context.Context, p machine.Provider, m machine.Machine, line string) (string, error) {
		out, err := p.(*lab.Provider).Enter(ctx, m.Cloud, m.Name, "sh", "-c", line)
		return strings.TrimSpace(string(out)), err
	}
	machinetest.Suite(t, machinetest.Harness{
		New:      func(*testing.T) machine.Provider { return f.provider() },
		Topology: func(t *testing.T, cloud string, n int) machine.Topology { return f.topology(t, cloud, n) },
		Cloud:    cloudName,
		Trace:    func(t *testing.T) string { return f.trace(t) },
		Answers:  answers,
		Reboot: func(ctx context.Context, p machine.Provider, m machine.Machine) error {
			_, err := enter(ctx, p, m, "systemctl reboot")
			return err
		},
		Write: func(ctx context.Context, p machine.Provider, m machine.Machine, text string) error {
			_, err := enter(ctx, p, m, "rm -f /etc/motd; echo "+text+" >/root/kept; echo "+text+" >/var/lib/containers/kept")
			return err
		},
		Read: func(ctx context.Context, p machine.Provider, m machine.Machine) (string, error) {
			return enter(ctx, p, m, "test ! -e /etc/motd && cmp /root/kept /var/lib/containers/kept && cat /root/kept")
		},
		Interrupt: interruptions,
		Takes:     true,
	})
}

// interruptions end after times that cover an Ensure, which takes some 60 ms.
func interruptions(t *testing.T) []context.Context {
	var out []context.Context
	for i := range 8 {
		after := time.Duration(i*10+rand.IntN(10)) * time.Millisecond
		ctx, cancel := context.WithCancel(t.Context())
		t.Cleanup(cancel)
		out = append(out, &later{Context: ctx, cancel: cancel, after: after})
	}
	return out
}

// later is a context that is cancelled some time after it is first looked at.
type later struct {
	context.Context
	cancel  context.CancelFunc
	after   time.Duration
	started bool
}

func (l *later) Done() <-chan struct{} { l.start(); return l.Context.Done() }
func (l *later) Err() error            { l.start(); return l.Context.Err() }
func (l *later) start() {
	if !l.started {
		l.started = true
		time.AfterFunc(l.after, l.cancel)
	}
}

// trace lists everything that a lab of this test process may leave: namespaces,
// mounts, cgroups, processes, files, lines in known_hosts.
func (f *fixture) trace(t testing.TB) string {
	t.Helper()
	ours := func(s string) bool { return strings.Contains(s, cloudName("")) || strings.Contains(s, f.dir) }
	var out []string
	names, err := netns.List("")
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range names {
		out = append(out, "namespace "+n)
	}
	mounts, _ := os.ReadFile("/proc/self/mountinfo")
	for line := range strings.Lines(string(mounts)) {
		out = append(out, "mount "+strings.TrimSpace(line))
	}
	for _, pattern := range []string{"*/updraft.lab/*", "*/updraft.lab/*/*", "updraft.lab/*", "updraft.lab/*/*", "updraft.slice/*"} {
		dirs, _ := filepath.Glob("/sys/fs/cgroup/" + pattern)
		for _, d := range dirs {
			out = append(out, "cgroup "+d)
		}
	}
	procs, _ := filepath.Glob("/proc/[0-9]*")
	for _, dir := range procs {
		line, _ := os.ReadFile(dir + "/cmdline")
		group, _ := os.ReadFile(dir + "/cgroup")
		// A process without a command line has ended and waits for its parent,
		// the computer's init, to take notice.
		if len(line) > 0 && dir != "/proc/"+strconv.Itoa(os.Getpid()) {
			out = append(out, fmt.Sprintf("process %s %q %q", dir, line, group))
		}
	}
	for _, pattern := range []string{"*", ".*", "*/*", "*/.*", "*/*/*"} {
		files, _ := filepath.Glob(filepath.Join(f.dir, "lab", pattern))
		out = append(out, files...)
	}
	known, _ := os.ReadFile(filepath.Join(f.dir, "known_hosts"))
	out = append(slices.DeleteFunc(out, func(s string) bool { return !ours(s) }), "known_hosts "+string(known))
	slices.Sort(out)
	return strings.Join(out, "\n")
}

// removed sees to it that the cloud is gone at the end, without a trace.
func (f *fixture) removed(t *testing.T, cloud string) {
	t.Helper()
	before := f.trace(t)
	t.Cleanup(func() {
		if os.Getenv("KEEP") != "" {
			return
		}
		if err := f.provider().RemoveAll(context.Background(), cloud, quiet); err != nil {
			t.Error(err)
		}
		if after := f.trace(t); after != before {
			t.Errorf("the lab left a trace:\n%s", after)
		}
	})
}

// brought makes a cloud of n machines, changed by the given function, and waits
// until all answer.
func (f *fixture) brought(t *testing.T, suffix string, n int, change func(*machine.Machine)) (*lab.Provider, machine.Topology) {
	t.Helper()
	p := f.provider()
	topo := f.topology(t, cloudName(suffix), n)
	for i := range topo.Machines {
		if change != nil {
			change(&topo.Machines[i])
		}
	}
	topo.Images = p.Images(topo)
	f.removed(t, topo.Cloud)
	if err := up(t.Context(), p, topo); err != nil {
		t.Fatal(err)
	}
	for _, m := range topo.Machines {
		if err := answers(t.Context(), p, m); err != nil {
			t.Fatal(err)
		}
	}
	return p, topo
}

func TestHostsAreAsDescribed(t *testing.T) {
	f := newFixture(t)
	p, topo := f.brought(t, "host", 2, func(m *machine.Machine) { m.CPUs, m.Memory = 1.5, 256<<20 })
	one, two := topo.Machines[0], topo.Machines[1]
	for _, tc := range []struct{ rule, command, want string }{
		{"boot ends without a failed unit", "systemctl is-system-running --wait", "running"},
		{"the host has its name", "hostname; cat /etc/hostname", "host1\nhost1"},
		{"the first interface is as described", "cat /sys/class/net/eth0/address /sys/class/net/eth0/mtu", one.NICs[0].MAC + "\n1500"},
		{"the second interface is as described", "cat /sys/class/net/eth1/address /sys/class/net/eth1/mtu", one.NICs[1].MAC + "\n1450"},
		{"addresses are there, none tentative", "ip -br addr show eth0 | tr -s ' ' '\\n' | grep / | grep -v ^fe80; ip addr | grep -c tentative", one.NICs[0].Address.String() + "\n" + one.NICs[0].Address6.String() + "\n0"},
		{"the gateway is set", "ip route show default", "default via 10.88.0.1 dev eth0"},
		{"hosts reach each other by IPv4", "ping -qc1 -W2 " + two.NICs[0].Address.Addr().String() + " >/dev/null && echo yes", "yes"},
		{"and by IPv6", "ping -qc1 -W2 " + two.NICs[0].Address6.Addr().String() + " >/dev/null && echo yes", "yes"},
		{"and over TCP on the second network", "timeout 5 bash -c 'exec 3<>/dev/tcp/" + two.NICs[1].Address.Addr().String() + "/22; head -c 7 <&3'", "SSH-2.0"},
		{"no packet finds a way out", "ping -qc1 -W1 192.0.2.1 >/dev/null 2>&1 || echo none", "none"},
		{"packages come from somewhere", "grep -q ^deb /etc/apt/sources.list && echo yes", "yes"},
		{"services may make keyrings and namespaces", "systemd-run --quiet --pipe --wait unshare --mount --net true && echo yes", "yes"},
	} {
		if got, err := ssh(t, one, tc.command); got != tc.want {
			t.Errorf("%s: %q, %v; want %q", tc.rule, got, err, tc.want)
		}
	}
	id1, err := ssh(t, one, "cat /etc/machine-id")
	id2, err2 := ssh(t, two, "cat /etc/machine-id")
	if err != nil || err2 != nil || id1 == id2 || len(id1) != 32 {
		t.Errorf("machine IDs %q %v, %q %v", id1, err, id2, err2)
	}
	if r, err := p.ObserveMachine(t.Context(), one); err != nil || !r.Agrees() {
		t.Errorf("observed: %+v, %v", r, err)
	}
}

func TestLimitsAreKept(t *testing.T) {
	f := newFixture(t)
	p, topo := f.brought(t, "limit", 1, func(m *machine.Machine) { m.Memory = 128 << 20 })
	m := topo.Machines[0]
	// tail keeps what it may have to print.
	const hog = "head -c 200M /dev/zero | tail -c 200M | wc -c"
	out, err := ssh(t, m, hog)
	if strings.Contains(out, "209715200") {
		t.Errorf("200 MiB in 128: %q, %v", out, err)
	}
	m.Memory = 512 << 20
	if err := p.EnsureMachine(t.Context(), m, quiet); err != nil {
		t.Fatal(err)
	}
	if out, err = ssh(t, m, hog); out != "209715200" {
		t.Errorf("200 MiB in 512: %q, %v", out, err)
	}
}

func TestARunningHostMovesToAnotherAddress(t *testing.T) {
	f := newFixture(t)
	p, topo := f.brought(t, "moved", 1, nil)
	m := topo.Machines[0]
	m.NICs = slices.Clone(m.NICs)
	m.NICs[0].Address = netip.PrefixFrom(netip.MustParseAddr("10.88.0.200"), m.NICs[0].Address.Bits())
	if err := p.EnsureMachine(t.Context(), m, quiet); err != nil {
		t.Fatal(err)
	}
	if r, err := p.ObserveMachine(t.Context(), m); err != nil || !r.Agrees() {
		t.Errorf("observed: %+v, %v", r, err)
	}
	if err := answers(t.Context(), p, m); err != nil {
		t.Error(err)
	}
}

func TestARunningHostLosesAnInterface(t *testing.T) {
	f := newFixture(t)
	p, topo := f.brought(t, "unplug", 1, nil)
	m := topo.Machines[0]
	m.NICs = slices.Clone(m.NICs[:1])
	m.NICs[0].Gateway = netip.Addr{}
	if r, err := p.ObserveMachine(t.Context(), m); err != nil || !r.Has("nic.eth1") || !r.Has("nic.eth0.gateway") {
		t.Errorf("before: %+v, %v", r, err)
	}
	if err := p.EnsureMachine(t.Context(), m, quiet); err != nil {
		t.Fatal(err)
	}
	if r, err := p.ObserveMachine(t.Context(), m); err != nil || !r.Agrees() {
		t.Errorf("after: %+v, %v", r, err)
	}
	if got, err := ssh(t, m, "ls /sys/class/net; ip route show default"); got != "eth0\nlo" {
		t.Errorf("%q, %v", got, err)
	}
}

func TestAnotherLoginUserHasSudo(t *testing.T) {
	f := newFixture(t)
	_, topo := f.brought(t, "user", 1, func(m *machine.Machine) { m.Access.User = "ada" })
	out, err := ssh(t, topo.Machines[0], "id -un; pwd; sudo -n id -un; stat -c '%U %a' . .ssh/authorized_keys")
	if want := "ada\n/home/ada\nroot\nada 700\nada 600"; out != want {
		t.Errorf("%q, %v; want %q", out, err, want)
	}
}

func TestALabOfAnotherStateIsRefused(t *testing.T) {
	f := newFixture(t)
	_, topo := f.brought(t, "owner", 1, nil)
	other := lab.New(lab.Options{DataDir: filepath.Join(f.dir, "lab"), Owner: t.TempDir()})
	for what, err := range map[string]error{
		"network":    other.EnsureNetwork(t.Context(), topo.Cloud, topo.Networks[0], quiet),
		"machine":    other.EnsureMachine(t.Context(), topo.Machines[0], quiet),
		"cut":        other.Cut(t.Context(), topo.Cloud, topo.Machines[0].Name),
		"remove":     other.RemoveMachine(t.Context(), topo.Cloud, topo.Machines[0].Name),
		"remove all": other.RemoveAll(t.Context(), topo.Cloud, quiet),
	} {
		if err == nil || !strings.Contains(err.Error(), "belongs to the state in "+f.dir) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if !other.Check(t.Context(), topo).HasErrors() {
		t.Error("check did not see it")
	}
}

// childVariable makes the test binary bring a lab up, to be killed at it.
const childVariable = "UPDRAFT_TEST_LAB_CHILD"

func TestMain(m *testing.M) {
	if dir, cloud, ok := strings.Cut(os.Getenv(childVariable), "|"); ok {
		child(dir, cloud)
		return
	}
	code := m.Run()
	_ = os.RemoveAll(agentDir()) // only a build
	os.Exit(code)
}

func child(dir, cloud string) {
	f := &fixture{dir: dir, key: filepath.Join(dir, "id")}
	var t testing.T
	if err := up(context.Background(), f.provider(), f.topology(&t, cloud, 3)); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func TestKilledAnywhereTheNextFinishes(t *testing.T) {
	f := newFixture(t)
	p := f.provider()
	topo := f.topology(t, cloudName("killed"), 3)
	f.removed(t, topo.Cloud)
	for _, i := range topo.Images {
		if err := p.EnsureImage(t.Context(), i, quiet); err != nil {
			t.Fatal(err)
		}
	}
	for round := range 10 {
		cmd := exec.CommandContext(t.Context(), os.Args[0])
		cmd.Env = append(os.Environ(), childVariable+"="+f.dir+"|"+topo.Cloud)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		after := time.NewTimer(time.Duration(round*20+rand.IntN(20)) * time.Millisecond)
		<-after.C
		if err := cmd.Process.Kill(); err != nil {
			t.Log(err)
		}
		_ = cmd.Wait() // killed, or finished before
		if round%2 == 0 {
			if err := upAgain(t.Context(), p, topo); err != nil {
				t.Fatalf("round %d: %v", round, err)
			}
			for _, m := range topo.Machines {
				if err := answers(t.Context(), p, m); err != nil {
					t.Fatalf("round %d: %v", round, err)
				}
			}
		}
		if err := p.RemoveAll(t.Context(), topo.Cloud, quiet); err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		if inv, err := p.List(t.Context(), topo.Cloud); err != nil || len(inv.Machines)+len(inv.Networks) > 0 {
			t.Fatalf("round %d: %+v, %v", round, inv, err)
		}
	}
}

// upAgain is up with the retries of the engine.
func upAgain(ctx context.Context, p machine.Provider, topo machine.Topology) error {
	policy := retry.Policy{Attempts: 20, First: 50 * time.Millisecond, Most: time.Second}
	return policy.Do(ctx, nil, func(ctx context.Context) error { return up(ctx, p, topo) })
}

func TestTwoHostsThatSwapAddressesAreReachedAtOnce(t *testing.T) {
	f := newFixture(t)
	p, topo := f.brought(t, "swap", 3, nil)
	one, two, other := topo.Machines[0], topo.Machines[1], topo.Machines[2]
	learn := func() { // so that the third has something to be wrong about
		t.Helper()
		for _, m := range []machine.Machine{one, two} {
			if _, err := p.Enter(t.Context(), other.Cloud, other.Name, "ping", "-qc1", "-W1", m.NICs[0].Address.Addr().String()); err != nil {
				t.Fatalf("%s: %v", m.Name, err)
			}
		}
	}
	learn()
	one.NICs, two.NICs = slices.Clone(one.NICs), slices.Clone(two.NICs)
	for i := range one.NICs {
		one.NICs[i].Address, two.NICs[i].Address = two.NICs[i].Address, one.NICs[i].Address
		one.NICs[i].Address6, two.NICs[i].Address6 = two.NICs[i].Address6, one.NICs[i].Address6
	}
	if err := parallel([]machine.Machine{one, two}, func(m machine.Machine) error { return p.EnsureMachine(t.Context(), m, quiet) }); err != nil {
		t.Fatal(err)
	}
	learn()
	for _, m := range []machine.Machine{one, two} {
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		if err := p.Answer(ctx, m.Cloud, m.Name); err != nil {
			t.Error(err)
		}
		cancel()
		if out, err := ssh(t, m, "hostname"); err != nil || out != m.Name {
			t.Errorf("at the address of %s answers %q, %v", m.Name, out, err)
		}
	}
}

func TestAMachineAnswersOnlyWhenItsSshdDoes(t *testing.T) {
	f := newFixture(t)
	p, topo := f.brought(t, "answer", 1, nil)
	m := topo.Machines[0]
	if err := p.Cut(t.Context(), m.Cloud, m.Name); err != nil {
		t.Fatal(err)
	}
	if err := p.Answer(t.Context(), m.Cloud, m.Name); err == nil || !strings.Contains(err.Error(), "does not run") {
		t.Errorf("of a machine that is off: %v", err)
	}
	if err := p.Start(t.Context(), m.Cloud, m.Name); err != nil {
		t.Fatal(err)
	}
	if err := p.Answer(t.Context(), m.Cloud, m.Name); err != nil {
		t.Fatal(err)
	}
	if out, err := ssh(t, m, "hostname"); err != nil || out != m.Name {
		t.Errorf("a machine that answers says %q, %v", out, err)
	}
}
