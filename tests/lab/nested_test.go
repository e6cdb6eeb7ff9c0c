package lab_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/updraft-cloud/updraft/internal/machine"
)

// TestTheLabRunsUnderSystemdAndOnPureCgroupV2 runs the tests of this package
// inside a lab host, which is a computer with a running systemd and nothing but
// cgroup v2: what most people have. It has no controllers there, so limits
// cannot be tried. With /run/systemd hidden the same computer has no systemd.
func TestTheLabRunsUnderSystemdAndOnPureCgroupV2(t *testing.T) {
	f := newFixture(t)
	p, topo := f.brought(t, "nest", 1, func(m *machine.Machine) {
		m.Settings = map[string]string{"packages": "systemd-container mmdebstrap nftables openssh-client procps"}
	})
	m := topo.Machines[0]
	// /var/lib/containers is no overlay, on which another could not be mounted.
	shared := filepath.Join(f.dir, "lab", m.Cloud, "hosts", m.Name, "containers")
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	inner := f.topology(t, "x", 1).Images[0]
	if err := p.EnsureImage(t.Context(), inner, quiet); err != nil {
		t.Fatal(err)
	}
	cache := os.Getenv(cacheVariable)
	if cache == "" {
		cache = "/var/cache/updraft/roots"
	}
	for _, args := range [][]string{
		{"mkdir", "-p", shared + "/roots", shared + "/tmp"},
		{"cp", "-a", "--reflink=auto", filepath.Join(cache, inner.ID), shared + "/roots/"},
		{"cp", self, shared + "/labtest"},
	} {
		if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %v: %s", args, err, out)
		}
	}
	script := "cd /var/lib/containers\nTMPDIR=$PWD/tmp " + cacheVariable + "=$PWD/roots REQUIRE=lab " +
		"exec ./labtest -test.run 'TestLabConformance|TestHostsAreAsDescribed|TestKilledAnywhere'\n"
	if err := os.WriteFile(filepath.Join(shared, "run.sh"), []byte(script), 0o600); err != nil {
		t.Fatal(err)
	}
	const run = "sh /var/lib/containers/run.sh"
	for _, tc := range []struct{ rule, line string }{
		{"pure cgroup v2 with a running systemd", run},
		{"pure cgroup v2 without systemd", "unshare --mount sh -ec 'mount -t tmpfs tmpfs /run/systemd; " + run + "'"},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			out, err := p.Enter(t.Context(), m.Cloud, m.Name, "sh", "-c", tc.line)
			if err != nil || !strings.HasSuffix(strings.TrimSpace(string(out)), "PASS") {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
}
