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
