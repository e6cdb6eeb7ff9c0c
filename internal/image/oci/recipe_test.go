package oci_test

import (
	"strings"
	"testing"

	"github.com/updraft-cloud/updraft/internal/image/oci"
)

func recipe() oci.Recipe {
	return oci.Recipe{Name: "small", Suite: "trixie", Packages: []string{"busybox-static", "netbase"}}
}

func TestAReferenceSaysWhatIsInTheImage(t *testing.T) {
	base := recipe()
	for _, tc := range []struct {
		rule   string
		change func(*oci.Recipe)
		same   bool
	}{
		{"the order of packages does not matter", func(r *oci.Recipe) { r.Packages = []string{"netbase", "busybox-static", "netbase"} }, true},
		{"another package does", func(r *oci.Recipe) { r.Packages = append(r.Packages, "procps") }, false},
		{"another suite does", func(r *oci.Recipe) { r.Suite = "bookworm" }, false},
		{"what counts as installed does", func(r *oci.Recipe) { r.Provides = []string{"hypervisor"} }, false},
		{"a user does", func(r *oci.Recipe) { r.Users = []string{"heat"} }, false},
		{"what is left out does", func(r *oci.Recipe) { r.Excludes = []string{"/usr/games/*"} }, false},
		{"a package is not taken for what counts as installed", func(r *oci.Recipe) {
			r.Packages, r.Provides = []string{"busybox-static"}, []string{"netbase"}
		}, false},
	} {
		r := recipe()
		tc.change(&r)
		if (r.Digest() == base.Digest()) != tc.same {
			t.Errorf("%s: %s and %s", tc.rule, r.Tag(), base.Tag())
		}
	}
	if ref := base.Ref(""); ref != "localhost/updraft/small:"+base.Digest()[:16] {
		t.Errorf("reference: %s", ref)
	}
	if ref := base.Ref("ctl1:5000"); ref != "ctl1:5000/updraft/small:"+base.Tag() {
		t.Errorf("reference in a registry: %s", ref)
	}
}

func TestNothingThatIsNoNameReachesMmdebstrap(t *testing.T) {
	if err := recipe().Check(); err != nil {
		t.Errorf("a good recipe: %v", err)
	}
	for rule, change := range map[string]func(*oci.Recipe){
		"an option in place of a package":   func(r *oci.Recipe) { r.Packages = []string{"--simulate"} },
		"two packages in one":               func(r *oci.Recipe) { r.Packages = []string{"a,b"} },
		"a package of apt's pattern syntax": func(r *oci.Recipe) { r.Packages = []string{"?essential"} },
		"a suite with a path":               func(r *oci.Recipe) { r.Suite = "../trixie" },
		"a name that is none of an image":   func(r *oci.Recipe) { r.Name = "A b" },
		"no package at all":                 func(r *oci.Recipe) { r.Packages = nil },
		"lines in what counts as installed": func(r *oci.Recipe) { r.Provides = []string{"a\nPackage: b"} },
		"a user that no image has":          func(r *oci.Recipe) { r.Users = []string{"nobody-knows"} },
		"a pattern with a quote":            func(r *oci.Recipe) { r.Excludes = []string{"/usr/x'y"} },
	} {
		r := recipe()
		change(&r)
		if r.Check() == nil {
			t.Errorf("%s was accepted", rule)
		}
	}
	r := oci.Recipe{Name: "Bad", Suite: "trixie", Packages: []string{"a b"}}
	if err := r.Check(); err == nil || strings.Count(err.Error(), "\n") != 1 {
		t.Errorf("not all faults are told at once: %v", err)
	}
}

func TestUsersHaveTheSameNumbersEverywhere(t *testing.T) {
	for name, want := range map[string]int{"root": 0, "www-data": 33, "mysql": 610, "keystone": 620, "nova": 623, "registry": 628, "heat": 630, "masakari": 631, "cinder": 632} {
		if got := oci.UID(name); got != want {
			t.Errorf("%s is %d, and its files belong to %d", name, got, want)
		}
	}
}
