package gluster_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/updraft-cloud/updraft/internal/openstack/gluster"
	"github.com/updraft-cloud/updraft/internal/openstack/stack/stacktest"
)

func TestWhatItAsksFor(t *testing.T) { stacktest.Golden(t, gluster.Service()) }

func TestLocalStorageAsksForNothing(t *testing.T) {
	local := strings.Replace(stacktest.Large, "openstack: {", "openstack: {storage: {instances: local, images: local}, ", 1)
	d := stacktest.Deployment(t, local, gluster.Service())
	if items := gluster.Service().Build(d); len(items) > 0 {
		t.Errorf("%d resources", len(items))
	}
	for _, h := range d.Hosts() {
		if gluster.Uses(d.Spec, h) {
			t.Errorf("%s is to have it", h.Name)
		}
	}
}

func TestFiveControllersHoldThreeCopiesAndMountThemAll(t *testing.T) {
	five := strings.Replace(stacktest.Large, "count: 3", "count: 5", 1)
	d := stacktest.Deployment(t, five, gluster.Service())
	text := stacktest.Render(t, gluster.Service().Build(d))
	for what, want := range map[string]int{"command:gluster brick images": 3, "\ncommand:gluster mount images": 5, "\nunit:glusterd.service": 3} {
		if got := strings.Count(text, what+" (start)\n"); got != want {
			t.Errorf("%s is there %d times, want %d", what, got, want)
		}
	}
}

func TestAnOptionOfAVolumeIsCheckedAndTaken(t *testing.T) {
	cloud := strings.Replace(stacktest.Large, "openstack: {", "openstack: {overrides: {gluster: {instances: {network.ping-timeout: 30}}}, ", 1)
	d := stacktest.Deployment(t, cloud, gluster.Service())
	text := stacktest.Render(t, gluster.Service().Build(d))
	if strings.Count(text, "| network.ping-timeout=30\n") != 3 || strings.Count(text, "| network.ping-timeout=10\n") != 3 {
		t.Error("it is not in the one volume, or in the other as well")
	}
	setting := gluster.Service().Setting
	for _, c := range []struct{ rule, key, value, want string }{
		{"a number is a value", "network.ping-timeout", `30`, ""},
		{"a list of addresses is a value", "auth.allow", `"10.0.0.1,10.0.0.2"`, ""},
		{"an option has a dot", "all", `"on"`, "is not the name"},
		{"a value is one word", "auth.allow", `"a b"`, "is not one word"},
		{"a value is no map", "auth.allow", `{"a": 1}`, "is not one word"},
	} {
		if fault, _ := setting(c.key, []byte(c.value)); (fault == "") != (c.want == "") || !strings.Contains(fault, c.want) {
			t.Errorf("%s: %q", c.rule, fault)
		}
	}
}

func TestOneCopyGoesAtATime(t *testing.T) {
	d := stacktest.Deployment(t, stacktest.Large, gluster.Service())
	text := gluster.Service().Leaving.Object(d)
	var stay []string
	for _, h := range d.Spec.Bricks() {
		stay = append(stay, d.Address(h))
	}
	for _, c := range []struct {
		rule   string
		bricks []string
		want   string
	}{
		{"nobody goes", stay, ""},
		{"one goes", []string{stay[0], stay[1], "192.0.2.1"}, ""},
		{"two go", []string{"192.0.2.2", stay[1], "192.0.2.1"}, "it and others hold 2 copies of"},
		{"three go", []string{"192.0.2.2", "192.0.2.3", "192.0.2.1"}, "it and others hold 3 copies of"},
	} {
		state := t.TempDir()
		info := ""
		for _, b := range c.bricks {
			info += "brick-0=" + b + ":-srv-disks-brick\n"
		}
		for file, content := range map[string]string{"disks/info": info, "half/node_state.info": ""} {
			at := filepath.Join(state, "vols", file)
			if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(at, []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		script := strings.ReplaceAll(text, "/var/lib/glusterd", state)
		out, err := exec.CommandContext(t.Context(), "/bin/sh", "-euc", script).CombinedOutput()
		if err != nil || !strings.HasPrefix(string(out), c.want) || (c.want == "") != (len(out) == 0) {
			t.Errorf("%s: %v %q", c.rule, err, out)
		}
	}
}
