package lab

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/updraft-cloud/updraft/internal/machine"
)

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestNames(t *testing.T) {
	for name, ok := range map[string]bool{
		"web": true, "web-1": true, "1": true, strings.Repeat("a", 63): true,
		"": false, "-web": false, "Web": false, "a.b": false, "a/b": false, "..": false, "a b": false, strings.Repeat("a", 64): false,
	} {
		if got := checkName(name) == nil; got != ok {
			t.Errorf("checkName(%q) accepts: %t", name, got)
		}
	}
	if Namespace("a-b") == HostNamespace("a", "b") {
		t.Error("a cloud and a host share a namespace")
	}
}

func TestInterfaceNamesAreShortAndDistinct(t *testing.T) {
	seen := map[string]string{}
	for _, name := range []string{"web1.eth0", "web1.eth1", "a-very-long-host-name-1.eth0", "a-very-long-host-name-2.eth0", "a-very-long-host-name-1.eth1"} {
		got := linkName("", name)
		if len(got) > maxLinkName {
			t.Errorf("%s is %d characters long", got, len(got))
		}
		if other, dup := seen[got]; dup {
			t.Errorf("%s and %s are both %s", name, other, got)
		}
		seen[got] = name
	}
	if got := bridgeName("mgmt"); got != "br-mgmt" {
		t.Errorf("short names stay readable: %s", got)
	}
}

func TestImageFollowsItsRecipeOnly(t *testing.T) {
	base := imageOf(nil)
	for rule, tc := range map[string]struct {
		settings map[string]string
		same     bool
	}{
		"the default suite is no other image":     {map[string]string{"suite": "trixie"}, true},
		"the mirror is no part of it":             {map[string]string{"mirror": "http://x.example"}, true},
		"another suite is":                        {map[string]string{"suite": "bookworm"}, false},
		"further packages are":                    {map[string]string{"packages": "curl"}, false},
		"a package named twice is one":            {map[string]string{"packages": "sudo"}, true},
		"the order of packages makes no new root": {map[string]string{"packages": "sudo dbus"}, true},
	} {
		if got := imageOf(tc.settings); (got.ID == base.ID) != tc.same {
			t.Errorf("%s: %s and %s", rule, got.ID, base.ID)
		}
	}
	p := New(Options{})
	topo := machine.Topology{Machines: []machine.Machine{{Name: "a"}, {Name: "b"}, {Name: "c", Settings: map[string]string{"suite": "bookworm"}}}}
	if got := p.Images(topo); len(got) != 2 {
		t.Errorf("images of two recipes: %v", got)
	}
}

func TestKnownHostsKeepsOtherLines(t *testing.T) {
	path := filepath.Join(t.TempDir(), "known_hosts")
	steps := []struct{ name, key, want string }{
		{"web1", "ssh-ed25519 AAA", "web1 ssh-ed25519 AAA\n"},
		{"web2", "ssh-ed25519 BBB", "web1 ssh-ed25519 AAA\nweb2 ssh-ed25519 BBB\n"},
		{"web2", "ssh-ed25519 BBB", "web1 ssh-ed25519 AAA\nweb2 ssh-ed25519 BBB\n"},
		{"web1", "ssh-ed25519 CCC", "web2 ssh-ed25519 BBB\nweb1 ssh-ed25519 CCC\n"},
		{"web", "", "web2 ssh-ed25519 BBB\nweb1 ssh-ed25519 CCC\n"},
		{"web2", "", "web1 ssh-ed25519 CCC\n"},
	}
	for _, s := range steps {
		if err := setKnownHost(path, s.name, s.key); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(s.want, read(t, path)); diff != "" {
			t.Errorf("after %+v (-want +got):\n%s", s, diff)
		}
	}
}

func TestHostKeyIsMadeOnce(t *testing.T) {
	dir := t.TempDir()
	first, err := ensureHostKey(dir, "web1")
	if err != nil || len(strings.Fields(first)) != 2 {
		t.Fatalf("%q, %v", first, err)
	}
	if second, err := ensureHostKey(dir, "web1"); err != nil || second != first {
		t.Errorf("second: %q, %v", second, err)
	}
}

func TestLoginUsersAreAddedOnce(t *testing.T) {
	base, top := t.TempDir(), t.TempDir()
	write(t, filepath.Join(base, "etc/passwd"), "root:x:0:0::/root:/bin/bash\ngrace:x:1000:1000::/home/grace:/bin/sh\n")
	write(t, filepath.Join(base, "etc/group"), "root:x:0:\n")
	write(t, filepath.Join(base, "etc/shadow"), "root:*:20000:0:99999:7:::\n")
	fs := tree{top: top, base: base}
	id, err := ensureUser(fs, "ada")
	if err != nil || id != 1001 {
		t.Fatalf("user %d, %v", id, err)
	}
	if again, err := ensureUser(fs, "ada"); err != nil || again != id {
		t.Errorf("again: %d, %v", again, err)
	}
	want := "root:x:0:0::/root:/bin/bash\ngrace:x:1000:1000::/home/grace:/bin/sh\nada:x:1001:1001::/home/ada:/bin/bash\n"
	if diff := cmp.Diff(want, read(t, filepath.Join(top, "etc/passwd"))); diff != "" {
		t.Errorf("passwd (-want +got):\n%s", diff)
	}
	for range 2 {
		if err := fs.authorise("root/.ssh", "ssh-ed25519 AAA me"); err != nil {
			t.Fatal(err)
		}
	}
	if got := read(t, filepath.Join(top, "root/.ssh/authorized_keys")); got != "ssh-ed25519 AAA me\n" {
		t.Errorf("authorized_keys: %q", got)
	}
	for _, name := range []string{"a b", "x:0", "../x", "Ada", "a\nb"} {
		if err := admit(fs, machine.Access{User: name}); err == nil {
			t.Errorf("user name %q was accepted", name)
		}
	}
}

func TestALabBelongsToOneState(t *testing.T) {
	data, mine, theirs := t.TempDir(), t.TempDir(), t.TempDir()
	if err := New(Options{DataDir: data, Owner: theirs}).claim("web"); err != nil {
		t.Fatal(err)
	}
	p := New(Options{DataDir: data, Owner: mine})
	if err := p.claim("web"); err == nil || !strings.Contains(err.Error(), "belongs to the state in "+theirs) {
		t.Errorf("another's lab: %v", err)
	}
	if err := p.claim("other"); err != nil {
		t.Errorf("a lab of my own: %v", err)
	}
	if err := os.RemoveAll(theirs); err != nil {
		t.Fatal(err)
	}
	if err := p.claim("web"); err != nil {
		t.Errorf("a lab whose state is gone is not taken over: %v", err)
	}
}

// hierarchies makes files such as those of a cgroup file system.
func hierarchies(t *testing.T, files ...string) string {
	t.Helper()
	root := t.TempDir()
	for _, f := range files {
		write(t, filepath.Join(root, f), "")
	}
	return root
}

func TestCgroupLayoutIsFound(t *testing.T) {
	hybrid := findCgroups(hierarchies(t, "unified/cgroup.procs", "systemd/cgroup.procs", "memory/cgroup.procs", "cpuset/cgroup.procs"))
	if hybrid.unified || hybrid.systemd || filepath.Base(hybrid.track) != "unified" || len(hybrid.split) != 2 {
		t.Errorf("hybrid: %+v", hybrid)
	}
	if _, memory := hybrid.v1["memory"]; !memory || len(hybrid.v1) != 1 {
		t.Errorf("controllers of hybrid: %v", hybrid.v1)
	}
	if v1 := findCgroups(hierarchies(t, "systemd/cgroup.procs", "cpu/cgroup.procs")); filepath.Base(v1.track) != "systemd" {
		t.Errorf("version 1: %+v", v1)
	}
	if v2 := findCgroups(hierarchies(t, "cgroup.controllers", "cgroup.procs")); !v2.unified || v2.track == "" || len(v2.v1) != 0 {
		t.Errorf("version 2: %+v", v2)
	}
	if none := findCgroups(t.TempDir()); none.track != "" {
		t.Errorf("none: %+v", none)
	}
}

func TestLimitsStandWhereTheControllerIs(t *testing.T) {
	m := machine.Machine{Cloud: "c", Name: "h", CPUs: 1.5, Memory: 1 << 30}
	v2 := &cgroups{track: hierarchies(t, "updraft.lab/c/h/memory.max", "updraft.lab/c/h/cpu.max"), unified: true}
	v1root := hierarchies(t, "memory/updraft.lab/c/h/memory.limit_in_bytes", "cpu/updraft.lab/c/h/cpu.cfs_quota_us")
	v1 := &cgroups{v1: map[string]string{"memory": filepath.Join(v1root, "memory"), "cpu": filepath.Join(v1root, "cpu")}}
	for _, tc := range []struct {
		rule string
		cg   *cgroups
		m    machine.Machine
		want map[string]string
	}{
		{"version 2", v2, m, map[string]string{"memory.max": "1073741824", "cpu.max": "150000 100000"}},
		{"version 2 without limits", v2, machine.Machine{Cloud: "c", Name: "h"}, map[string]string{"memory.max": "max", "cpu.max": "max 100000"}},
		{"version 1", v1, m, map[string]string{"memory.limit_in_bytes": "1073741824", "cpu.cfs_quota_us": "150000"}},
		{"version 1 without limits", v1, machine.Machine{Cloud: "c", Name: "h"}, map[string]string{"memory.limit_in_bytes": "-1", "cpu.cfs_quota_us": "-1"}},
	} {
		if err := tc.cg.limit(tc.m); err != nil {
			t.Fatal(err)
		}
		got := map[string]string{}
		for _, k := range tc.cg.knobs(tc.m) {
			got[filepath.Base(k.path)] = read(t, k.path)
		}
		if diff := cmp.Diff(tc.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tc.rule, diff)
		}
	}
}

func TestCheckReportsAllThatCannotBeMade(t *testing.T) {
	p := New(Options{DataDir: "/var/lib/a:b", CacheDir: t.TempDir()})
	out := p.Check(t.Context(), machine.Topology{
		Cloud: "Web",
		Machines: []machine.Machine{
			{Name: "a_b"},
			{Name: "ok", Disk: 1, NICs: []machine.NIC{{Name: "an-interface-with-a-long-name", MAC: "01:00:00:00:00:01"}}},
			{Name: "pkg", NICs: []machine.NIC{{Name: "eth0", MAC: "02:00:00:00:00:01", Address: netip.MustParsePrefix("10.88.0.2/24")}}, Settings: map[string]string{"packages": "--x", "suite": "a b"}},
		},
	})
	text := out.Error()
	for _, want := range []string{
		"directories may not hold", `cloud "Web"`, "machine a_b: name may hold only", "no network interface",
		`"an-interface-with-a-long-name" cannot be the name`, `"01:00:00:00:00:01" cannot be the MAC`, "has no address",
		"does not limit disk", `"--x" cannot be a package`, `"a b" cannot be a suite`,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("check does not say %q:\n%s", want, text)
		}
	}
}

func TestPruneKeepsWhatIsUsed(t *testing.T) {
	p := New(Options{DataDir: t.TempDir(), CacheDir: t.TempDir()})
	for _, dir := range []string{"used-1", "saved-2", "old-3", ".build-4"} {
		write(t, filepath.Join(p.opts.CacheDir, dir, "root/etc/hostname"), "")
	}
	write(t, filepath.Join(p.hostDir("c", "h"), "spec.json"), `{"image":"used-1"}`)
	write(t, filepath.Join(p.snapshotDir("c", "s"), "h", "spec.json"), `{"image":"saved-2"}`)
	if err := p.Prune(t.Context(), t.Logf); err != nil {
		t.Fatal(err)
	}
	entries, err := filepath.Glob(filepath.Join(p.opts.CacheDir, "*-*"))
	if err != nil || len(entries) != 2 || filepath.Base(entries[0]) != "saved-2" || filepath.Base(entries[1]) != "used-1" {
		t.Errorf("left: %v, %v", entries, err)
	}
}

func TestSizesAreExactAndForPeople(t *testing.T) {
	for n, want := range map[int64]string{0: "none", 1: "1 bytes", 1536: "1536 bytes", 512 << 20: "512 MiB", 3 << 30: "3 GiB", 3 << 50: "3072 TiB"} {
		if got := size(n); got != want {
			t.Errorf("size(%d) = %q, want %q", n, got, want)
		}
	}
}

func TestMovedAddressesAreThoseThatOthersMayHaveWrong(t *testing.T) {
	nic := func(network, mac string, addrs ...string) machine.Machine {
		n := machine.NIC{Name: "eth0", Network: network, MAC: mac, Address: netip.MustParsePrefix(addrs[0])}
		if len(addrs) > 1 {
			n.Address6 = netip.MustParsePrefix(addrs[1])
		}
		return machine.Machine{NICs: []machine.NIC{n}}
	}
	for _, tc := range []struct {
		rule     string
		old, now machine.Machine
		want     string
	}{
		{"a new machine has moved nothing", machine.Machine{}, nic("a", "m", "10.88.0.1/24"), "[]"},
		{"nothing changed", nic("a", "m", "10.88.0.1/24"), nic("a", "m", "10.88.0.1/24"), "[]"},
		{"another address", nic("a", "m", "10.88.0.1/24", "fd88::1/64"), nic("a", "m", "10.88.0.2/24", "fd88::1/64"), "[10.88.0.1 10.88.0.2]"},
		{"another MAC", nic("a", "m", "10.88.0.1/24"), nic("a", "n", "10.88.0.1/24"), "[10.88.0.1 10.88.0.1]"},
		{"a NIC that left", nic("a", "m", "10.88.0.1/24"), machine.Machine{}, "[10.88.0.1]"},
	} {
		if got := fmt.Sprint(moved(tc.now, tc.old)); got != tc.want {
			t.Errorf("%s: %s, want %s", tc.rule, got, tc.want)
		}
	}
}
