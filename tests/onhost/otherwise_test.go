package onhost

import (
	"context"
	"strings"
	"testing"

	"github.com/updraft-cloud/updraft/internal/drift"
	"github.com/updraft-cloud/updraft/internal/resource"
	"github.com/updraft-cloud/updraft/internal/resource/kernelmodule"
	"github.com/updraft-cloud/updraft/internal/resource/resourcetest"
)

// otherwise are the cases that cannot be as on any host, and what is held of
// them here.
var otherwise = map[string]func(*testing.T, resource.Host, resourcetest.Case){
	"kernelmodule/a module with options":                              module,
	"kernelmodule/a module whose options are no longer wanted":        module,
	"kernelmodule/a module that is built in":                          module,
	"reboot/a file asks for it":                                       isDue,
	"reboot/a file is newer than the boot":                            isDue,
	"interface/a VLAN by networkd":                                    vlanOnForeignParent,
	"interface/a bond by networkd":                                    bond,
	"interface/addresses and routes by ifupdown":                      byIfupdown,
	"interface/a bridge by ifupdown":                                  byIfupdown,
	"interface/a VLAN by ifupdown":                                    vlanByIfupdown,
	"container/a container that answers":                              withoutPodman,
	"container/a container with everything given, that reloads":       withoutPodman,
	"container/a container that was there comes back and runs":        withoutPodman,
	"container/a container that was there and did not run comes back": withoutPodman,
}

// withoutPodman: TestContainers runs the cases where there is podman.
func withoutPodman(t *testing.T, h resource.Host, c resourcetest.Case) {
	c.Given = nil
	refused(t, h, c, "the host has no podman with Quadlet")
}

// module runs the case where the kernel has the module; without, the error must
// say so, and optional must go on without it.
func module(t *testing.T, h resource.Host, c resourcetest.Case) {
	r := c.Resource.(*kernelmodule.Resource)
	if observe(t, h, r).Status != drift.Absent || succeeds(h, "modprobe", "--dry-run", r.Key()) {
		c.Real.Skip = ""
		whole(t, h, c)
		return
	}
	refused(t, h, c, "cannot load kernel module "+r.Name+": ")
	optional := *r
	optional.Optional = true
	rep := observe(t, h, &optional)
	if !rep.Agrees() || !strings.Contains(strings.Join(rep.Notes, ""), "going on without "+r.Name) {
		t.Errorf("optional, it is %s %q", rep.Status, rep.Notes)
	}
}

// isDue looks for the reboot that the case asks for, without doing it: that is
// done from outside, by tests/e2e.
func isDue(t *testing.T, h resource.Host, c resourcetest.Case) {
	before := observe(t, h, c.Resource)
	given(t, h, c)
	if rep := observe(t, h, c.Resource); !before.Agrees() || !rep.Has("boot") {
		t.Errorf("before it is %s, then %s %+v", before.Status, rep.Status, rep.Changes)
	}
}

// vlanOnForeignParent: eth0 is nobody's here, least of all networkd's.
func vlanOnForeignParent(t *testing.T, h resource.Host, c resourcetest.Case) {
	refused(t, h, c, "its parent eth0 must be configured by systemd-networkd")
}

// bond runs the case where the kernel has bonds.
func bond(t *testing.T, h resource.Host, c resourcetest.Case) {
	if succeeds(h, "ip", "link", "add", "name", "bondtest", "type", "bond") {
		_ = resourcetest.RunCommand("ip", "link", "delete", "bondtest")(t.Context(), h) // the case has its own
		c.Real.Skip = ""
		whole(t, h, c)
		return
	}
	refused(t, h, c, "perhaps because this kernel has no bonds")
}

// byIfupdown changes the host over to ifupdown.
func byIfupdown(t *testing.T, h resource.Host, c resourcetest.Case) {
	useIfupdown(t, h)
	c.Real.Skip = ""
	whole(t, h, c)
}

func vlanByIfupdown(t *testing.T, h resource.Host, c resourcetest.Case) {
	useIfupdown(t, h)
	if succeeds(h, "ip", "link", "add", "link", "eth0", "name", "updv7", "type", "vlan", "id", "7") {
		_ = resourcetest.RunCommand("ip", "link", "delete", "updv7")(t.Context(), h) // the case makes it
		c.Real.Skip = ""
		whole(t, h, c)
		return
	}
	refused(t, h, c, "cannot configure interface updv7: ")
}

func useIfupdown(t *testing.T, h resource.Host) {
	t.Helper()
	if err := resourcetest.Steps(
		resourcetest.RunCommand("systemctl", "stop", "systemd-networkd.socket", "systemd-networkd.service"),
		resourcetest.RunCommand("apt-get", "-y", "-q", "install", "ifupdown"),
	)(t.Context(), h); err != nil {
		t.Fatal(err)
	}
}

// refused holds that the case's resource cannot be applied, that the error says
// why, and that removing takes back what had been begun.
func refused(t *testing.T, h resource.Host, c resourcetest.Case, why string) {
	t.Helper()
	given(t, h, c)
	before := snapshot()
	rep := observe(t, h, c.Resource)
	if rep.Status != drift.Absent {
		t.Errorf("it is %s %+v, and was not applied", rep.Status, rep.Changes)
	}
	err := c.Resource.Apply(t.Context(), h, rep, resource.Cause{})
	if err == nil || !strings.Contains(err.Error(), why) {
		t.Errorf("apply says %v, want: %s", err, why)
	}
	t.Logf("refused as it should be: %v", err)
	if err := resource.Removal(c.Resource).Remove(t.Context(), h, true); err != nil {
		t.Errorf("remove: %v", err)
	}
	same(t, before)
}

func given(t *testing.T, h resource.Host, c resourcetest.Case) {
	t.Helper()
	if c.Given == nil {
		return
	}
	if err := c.Given(t.Context(), h); err != nil {
		t.Fatalf("given: %v", err)
	}
}

func observe(t *testing.T, h resource.Host, r resource.Resource) drift.Report {
	t.Helper()
	h.Forget()
	rep, err := r.Observe(t.Context(), h)
	if err != nil {
		t.Fatalf("observe: %v", err)
	}
	return rep
}

func succeeds(h resource.Host, name string, args ...string) bool {
	_, err := h.Run(context.Background(), resource.Command{Name: name, Args: args})
	return err == nil
}
