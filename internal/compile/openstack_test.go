package compile_test

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/updraft-cloud/updraft/internal/compile"
	"github.com/updraft-cloud/updraft/internal/engine"
)

// small compiles the example, with images from where it is said.
func small(t *testing.T, images string) *compile.Output {
	t.Helper()
	text, err := os.ReadFile("../../examples/openstack-small.yaml")
	if err != nil {
		t.Fatal(err)
	}
	changed := strings.Replace(string(text), "\nopenstack:\n", "\nopenstack:\n  images: "+images+"\n", 1)
	out, diags := compileText(t, "cloud.yaml", []byte(changed))
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	return out
}

// edges renders what a node needs and what triggers it, of the kinds given.
func edges(n *engine.Node, kinds ...string) string {
	var out []string
	for _, id := range slices.Concat(n.Needs, n.Triggers) {
		_, ref, ok := strings.Cut(id, "/")
		if !ok || strings.Contains(strings.SplitN(id, "/", 2)[0], ":") {
			ref = id
		}
		if kind, _, _ := strings.Cut(ref, ":"); slices.Contains(kinds, kind) && !slices.Contains(out, id) {
			out = append(out, id)
		}
	}
	return strings.Join(out, " ")
}

func TestAnImageIsBuiltBesideTheHostsAndPulledOncePushed(t *testing.T) {
	g := small(t, "registry").Graph
	kinds := []string{"container-image", "registry", "unit", "machine"}
	got := map[string]string{}
	for _, id := range []string{
		"container-image:openstack", "registry:images", "registry/container-image:openstack",
		"controller1/command:image openstack", "compute1/command:image openstack",
	} {
		n := g.Node(id)
		if n == nil {
			t.Fatalf("there is no %s", id)
		}
		got[id] = edges(n, kinds...)
	}
	want := map[string]string{
		"container-image:openstack":           "",
		"registry:images":                     "controller1/unit:updraft-registry.service",
		"registry/container-image:openstack":  "container-image:openstack",
		"controller1/command:image openstack": "registry/container-image:openstack",
		"compute1/command:image openstack":    "registry/container-image:openstack",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestImagesThatTheControllerBuildsAreNoWorkOfTheDeployer(t *testing.T) {
	g := small(t, "registry\n  build: controller").Graph
	for _, n := range g.Nodes() {
		if n.Kind == "container-image" || n.Kind == "registry" {
			t.Errorf("there is %s", n.ID)
		}
	}
	for id, want := range map[string]string{
		"controller1/command:build image openstack": "controller1/unit:updraft-registry.service",
		"compute1/command:image openstack":          "controller1/command:build image openstack",
	} {
		if got := edges(g.Node(id), "unit", "command", "container-image"); got != want {
			t.Errorf("%s needs %q, want %q", id, got, want)
		}
	}
}

// TestARegistryChangesWhereImagesComeFromAndNothingElse compares the nodes of the
// two clouds.
func TestARegistryChangesWhereImagesComeFromAndNothingElse(t *testing.T) {
	ids := func(images string) []string {
		var out []string
		for _, n := range small(t, images).Graph.Nodes() {
			out = append(out, n.ID)
		}
		return out
	}
	shared, pulling := ids("shared"), ids("registry")
	var more []string
	for _, id := range pulling {
		if !slices.Contains(shared, id) && !strings.Contains(id, "registry") {
			more = append(more, id)
		}
	}
	slices.Sort(more)
	var want []string
	for _, host := range []string{"controller1", "compute1"} {
		for _, ref := range []string{
			"directory:/etc/containers/certs.d/10.88.0.11:5001", "file:/etc/containers/certs.d/10.88.0.11:5001/ca.crt",
			"directory:/etc/containers/registries.conf.d", "file:/etc/containers/registries.conf.d/50-updraft.conf",
		} {
			want = append(want, host+"/"+ref)
		}
	}
	slices.Sort(want)
	if diff := cmp.Diff(want, more); diff != "" {
		t.Errorf("with a registry there is more than the registry: -want +got:\n%s", diff)
	}
	for _, id := range shared {
		if !slices.Contains(pulling, id) {
			t.Errorf("with a registry there is no %s", id)
		}
	}
}

func TestAHostsZoneIsAnAggregateThatItIsPutIntoOnceNovaKnowsIt(t *testing.T) {
	text, err := os.ReadFile("../../examples/openstack-small.yaml")
	if err != nil {
		t.Fatal(err)
	}
	changed := strings.Replace(string(text), "  compute:\n    count: 1\n", "  compute:\n    zone: east\n    hosts: {cmp1: {}, cmp2: {}, cmp3: {zone: west}}\n", 1)
	out, diags := compileText(t, "cloud.yaml", []byte(changed))
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	got := map[string]string{}
	for _, n := range out.Graph.Nodes() {
		if strings.HasPrefix(n.ID, "openstack/aggregate") {
			got[n.ID] = edges(n, "aggregate", "host", "command")
		}
	}
	member := func(zone, host string) string {
		return "openstack/aggregate:" + zone + " openstack/host:" + host + " controller1/command:nova compute " + host
	}
	want := map[string]string{
		"openstack/aggregate:east": "", "openstack/aggregate:west": "",
		"openstack/aggregate_host:east/cmp1": member("east", "cmp1"), "openstack/aggregate_host:east/cmp2": member("east", "cmp2"),
		"openstack/aggregate_host:west/cmp3": member("west", "cmp3"),
	}
	for _, m := range []map[string]string{want, got} {
		for id, all := range m {
			words := strings.Split(strings.ReplaceAll(all, "nova compute ", "nova_compute_"), " ")
			slices.Sort(words)
			m[id] = strings.Join(words, " ")
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestNothingIsAskedOfAServiceThatCannotJudgeTokensYet(t *testing.T) {
	seen := 0
	for _, n := range small(t, "shared").Graph.Nodes() {
		user := map[string]string{"openstack.image": "glance", "openstack.network": "neutron", "openstack.flavor": "nova"}[n.Kind]
		if user == "" {
			continue
		}
		seen++
		got := edges(n, "role_assignment")
		for _, role := range []string{"admin", "service"} {
			if want := "openstack/role_assignment:" + user + "/" + role + "@service"; !strings.Contains(got, want) {
				t.Errorf("%s does not wait for %s: %s", n.ID, want, got)
			}
		}
	}
	if seen < 5 {
		t.Errorf("only %d were looked at", seen)
	}
}
