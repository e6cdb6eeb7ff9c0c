package gluster_test

import (
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
