package release_test

import (
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/updraft-cloud/updraft/internal/openstack/release"
	"github.com/updraft-cloud/updraft/internal/openstack/stack"
)

var _ stack.Release = (*release.Release)(nil)

func TestEveryReleaseCanBeDeployed(t *testing.T) {
	names := release.Names()
	if !slices.Contains(names, release.Default) || len(names) < 2 {
		t.Fatalf("releases: %q", names)
	}
	for _, name := range names {
		r, err := release.Load(name)
		if err != nil {
			t.Error(err)
			continue
		}
		for _, image := range []string{"infra", "openstack"} {
			if ref := r.Image(image); !strings.HasPrefix(ref, "localhost/updraft/"+image+":") {
				t.Errorf("%s: image %s is %q", name, image, ref)
			}
			if ref := r.From("ctl1:5000").Image(image); !strings.HasPrefix(ref, "ctl1:5000/updraft/"+image+":") {
				t.Errorf("%s: image %s of the registry is %q", name, image, ref)
			}
		}
		if !path.IsAbs(r.Path("keystone-wsgi")) || r.Title == "" || r.UID("nova") != 623 {
			t.Errorf("%s: %+v", name, r)
		}
	}
}

func TestReleasesDoNotShareImages(t *testing.T) {
	seen := map[string]string{}
	for _, name := range release.Names() {
		r, err := release.Load(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range r.Images {
			if other, twice := seen[i.Ref("")]; twice {
				t.Errorf("%s and %s have the image %s", name, other, i)
			}
			seen[i.Ref("")] = name
		}
	}
}

func TestAnUnknownReleaseNamesTheKnown(t *testing.T) {
	_, err := release.Load("folsom")
	if err == nil || !strings.Contains(err.Error(), release.Default) {
		t.Errorf("got %v", err)
	}
	r, err := release.Load(release.Default)
	if err != nil {
		t.Fatal(err)
	}
	if ref := r.Image("none"); ref != "" {
		t.Errorf("an image that there is not: %q", ref)
	}
	if _, err := r.Recipe("none"); err == nil {
		t.Error("a recipe that there is not")
	}
	if r.Head("none") != nil {
		t.Error("revisions of a database that there is not")
	}
}
