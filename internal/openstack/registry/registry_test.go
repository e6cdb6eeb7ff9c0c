package registry_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/updraft-cloud/updraft/internal/openstack/registry"
	"github.com/updraft-cloud/updraft/internal/openstack/stack/stacktest"
)

func TestGolden(t *testing.T) {
	pulling := strings.Replace(stacktest.Large, "openstack: {", "openstack: {images: registry, ", 1)
	for name, cloud := range map[string]string{
		"pushed": pulling,
		"built":  strings.Replace(pulling, "images: registry", "images: registry, build: controller", 1),
	} {
		t.Run(name, func(t *testing.T) {
			d := stacktest.Deployment(t, cloud, registry.Service())
			d.RegistryProgram = []byte("program\n")
			if name == "built" {
				d.Recipes = map[string]string{"openstack": "{recipe}", "infra": "{recipe}"}
			}
			got := stacktest.Render(t, registry.Service().Build(d))
			golden := filepath.Join("testdata", name+".golden")
			if stacktest.Update() {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestASharedStoreNeedsNoRegistry(t *testing.T) {
	d := stacktest.Deployment(t, stacktest.Large)
	if items := registry.Service().Build(d); len(items) > 0 {
		t.Errorf("there are %d items", len(items))
	}
}
