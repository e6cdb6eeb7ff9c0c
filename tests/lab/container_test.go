package lab_test

import (
	"context"
	"encoding/base64"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/updraft-cloud/updraft/internal/configset/configsettest"
	"github.com/updraft-cloud/updraft/internal/configset/containerhost"
	"github.com/updraft-cloud/updraft/internal/machine"
	"github.com/updraft-cloud/updraft/internal/machine/lab"
	"github.com/updraft-cloud/updraft/internal/netns"
	"github.com/updraft-cloud/updraft/internal/resource/file"
)

// podmanCloud is a cloud file whose hosts run containers.
const podmanCloud = `version: 1
cloud: pod
provider: lab
networks: {mgmt: {cidr: 10.88.0.0/16}}
groups: {throwaway: {count: 1, configsets: {containerhost: {registry: "registry.internal:5000", run: [netns]}}}}
`

// TestContainersOnAHost runs the kind container on a real host: its cases, what
// goes wrong, a reboot, and a power cut in the midst of a start.
func TestContainersOnAHost(t *testing.T) {
	f := newFixture(t)
	p, topo := f.brought(t, "pod", 1, func(m *machine.Machine) {
		m.Name, m.Preinstall = "throwaway1", []string{"podman", "crun", "catatonit", "nftables", "busybox-static"}
	})
	h := &podHost{t: t, p: p, m: topo.Machines[0]}
	h.configure()
	h.carry(t.TempDir())
	h.run("^(TestContainers|TestWords.*|TestFailuresOf.*|TestTwenty.*)$")
	h.run("^TestADaemonStarts$")
	h.reboot(p.Stop)
	h.run("^TestADaemonIsBack$")
	h.reboot(p.Cut)
	h.run("^TestADaemonIsBack$")
	h.cutMidStart()
	h.run("^TestADaemonIsHealed$")
}

// TestContainersNeedPodman holds that a host without podman tells so, and is left
// as it was.
func TestContainersNeedPodman(t *testing.T) {
	f := newFixture(t)
	p, topo := f.brought(t, "nopod", 1, func(m *machine.Machine) { m.Name = "throwaway1" })
	h := &podHost{t: t, p: p, m: topo.Machines[0]}
	h.carry(t.TempDir())
	h.run("^TestEveryKind/^container")
}

type podHost struct {
	t *testing.T
	p *lab.Provider
	m machine.Machine
}

func (h *podHost) wait() {
	h.t.Helper()
	if err := answers(h.t.Context(), h.p, h.m); err != nil {
		h.t.Fatal(err)
	}
}

// carry builds the tests of tests/onhost and takes them to the host.
func (h *podHost) carry(dir string) {
	h.t.Helper()
	binary := filepath.Join(dir, "onhost.test")
	build := exec.CommandContext(h.t.Context(), "go", "test", "-c", "-o", binary, "../onhost")
	build.Env = append(os.Environ(), "CGO_ENABLED=0") // the host has another libc
	if out, err := build.CombinedOutput(); err != nil {
		h.t.Fatalf("%v\n%s", err, out)
	}
	ns, err := netns.Open(lab.Namespace(h.m.Cloud))
	if err != nil {
		h.t.Fatal(err)
	}
	defer ns.Close()
	cmd := exec.CommandContext(h.t.Context(), "scp", "-q", "-F", "none", "-i", h.m.Access.Identity, "-o", "BatchMode=yes", "-o", "HostKeyAlias="+h.m.Name,
		"-o", "UserKnownHostsFile="+h.m.Access.KnownHosts, binary, "root@"+h.m.NICs[0].Address.Addr().String()+":/root/onhost.test")
	if err := ns.Do(cmd.Start); err != nil {
		h.t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		h.t.Fatal(err)
	}
}

// configure writes the files of the configset containerhost.
func (h *podHost) configure() {
	h.t.Helper()
	set := containerhost.Set()
	c := configsettest.Cloud(h.t, podmanCloud)
	items, faults := configsettest.Build(h.t, set, c, c.Hosts[0])
	if len(faults) > 0 {
		h.t.Fatal(faults.Error())
	}
	for _, it := range items {
		if f, ok := it.Resource.(*file.Resource); ok {
			h.ssh("mkdir -p " + path.Dir(f.Path) + " && base64 -d >" + f.Path + " <<X\n" + base64.StdEncoding.EncodeToString([]byte(f.Content)) + "\nX")
		}
	}
	h.ssh("systemctl mask --now netavark-dhcp-proxy.socket && systemd-tmpfiles --create && test -d /run/netns")
	if out := h.ssh("podman info --format '{{.Store.GraphDriverName}} {{.Host.OCIRuntime.Name}} {{.Host.LogDriver}}'; systemctl is-system-running"); out != "overlay crun journald\nrunning" {
		h.t.Errorf("podman and systemd say %q", out)
	}
}

func (h *podHost) ssh(command string) string {
	h.t.Helper()
	out, err := ssh(h.t, h.m, command)
	if err != nil {
		h.t.Fatalf("%s: %v\n%s", command, err, out)
	}
	return out
}

// run runs tests on the host.
func (h *podHost) run(pattern string) {
	h.t.Helper()
	out, err := ssh(h.t, h.m, "UPDRAFT_THROWAWAY=1 UPDRAFT_PODMAN=1 /root/onhost.test -test.v -test.timeout 5m -test.run '"+pattern+"'")
	if err != nil || !strings.HasSuffix(out, "\nPASS") || strings.Contains(out, "--- SKIP") {
		h.t.Fatalf("%s on the host: %v\n%s", pattern, err, out)
	}
	h.t.Logf("%s", out)
}

func (h *podHost) start() {
	h.t.Helper()
	if err := h.p.Start(h.t.Context(), h.m.Cloud, h.m.Name); err != nil {
		h.t.Fatal(err)
	}
	h.wait()
}

// reboot takes the host down in the given way and brings it back.
func (h *podHost) reboot(down func(ctx context.Context, cloud, name string) error) {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(h.t.Context(), time.Minute)
	defer cancel()
	if err := down(ctx, h.m.Cloud, h.m.Name); err != nil {
		h.t.Fatal(err)
	}
	h.start()
}

// cutMidStart has systemd start the container anew and takes the power away while
// podman is at it.
func (h *podHost) cutMidStart() {
	h.t.Helper()
	h.ssh("systemctl stop daemon && systemctl start --no-block daemon && until test \"$(systemctl is-active daemon)\" = activating; do :; done")
	h.reboot(h.p.Cut)
}
