package pkg_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/updraft-cloud/updraft/internal/drift"
	"github.com/updraft-cloud/updraft/internal/resource"
	"github.com/updraft-cloud/updraft/internal/resource/fakehost"
	"github.com/updraft-cloud/updraft/internal/resource/pkg"
	"github.com/updraft-cloud/updraft/internal/resource/resourcetest"
	"github.com/updraft-cloud/updraft/internal/resource/resourcetest/cases"
	"github.com/updraft-cloud/updraft/internal/retry"
)

func TestSuite(t *testing.T) { resourcetest.Suite(t, pkg.Kind(), cases.For("package")) }

// newHost returns a fake Debian, whose refusals fail the test.
func newHost(t *testing.T) (*fakehost.Host, *fakehost.Apt) {
	t.Helper()
	h := fakehost.New()
	t.Cleanup(func() {
		for _, err := range h.Refused() {
			t.Errorf("refused: %v", err)
		}
	})
	return h, fakehost.Get[*fakehost.Apt](h)
}

// applyAll applies all at once and returns the errors by name.
func applyAll(t *testing.T, h resource.Host, all ...*pkg.Resource) map[string]error {
	t.Helper()
	var rs []resource.Resource
	var found []drift.Report
	for _, r := range all {
		rep, err := r.Observe(t.Context(), h)
		if err != nil {
			t.Fatal(err)
		}
		rs, found = append(rs, r), append(found, rep)
	}
	out := map[string]error{}
	for i, err := range all[0].ApplyBatch(t.Context(), h, rs, found) {
		out[all[i].Name] = err
	}
	return out
}

func commands(h *fakehost.Host, word string) []string {
	var out []string
	for _, line := range h.Ran() {
		if strings.HasPrefix(line, "apt-get ") && strings.Contains(line, " "+word) {
			out = append(out, line)
		}
	}
	return out
}

func TestAllPackagesAreOneTransaction(t *testing.T) {
	h, _ := newHost(t)
	errs := applyAll(t, h, &pkg.Resource{Name: "htop"}, &pkg.Resource{Name: "nginx"}, &pkg.Resource{Name: "g++"})
	for name, err := range errs {
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if got := commands(h, "install"); len(got) != 1 || !strings.HasSuffix(got[0], "install htop nginx g++") {
		t.Errorf("ran %q", got)
	}
	if got := commands(h, "update"); len(got) > 0 {
		t.Errorf("lists that are there were fetched: %q", got)
	}
}

func TestAnUnknownPackageFailsAlone(t *testing.T) {
	h, _ := newHost(t)
	errs := applyAll(t, h, &pkg.Resource{Name: "htop"}, &pkg.Resource{Name: "ngimx"}, &pkg.Resource{Name: "haproxy", Version: "9.*"})
	if errs["htop"] != nil {
		t.Errorf("htop: %v", errs["htop"])
	}
	for name, want := range map[string]string{
		"ngimx":   `there is no package "ngimx" in the repositories of this host; did you mean "nginx"?`,
		"haproxy": `there is no version "9.*" of package "haproxy" in the repositories of this host`,
	} {
		if err := errs[name]; err == nil || err.Error() != want || retry.ClassOf(err) != retry.Permanent {
			t.Errorf("%s: %v, want %s", name, err, want)
		}
	}
	if n := len(commands(h, "update")); n > 2 {
		t.Errorf("the lists were fetched %d times", n)
	}
}

func TestANameWithAPeriodIsNoPattern(t *testing.T) {
	h, _ := newHost(t)
	errs := applyAll(t, h, &pkg.Resource{Name: "lib.ake1"}, &pkg.Resource{Name: "python3.13"})
	if errs["lib.ake1"] == nil || errs["python3.13"] != nil {
		t.Errorf("errors are %v", errs)
	}
	for _, line := range commands(h, "install") {
		if strings.Contains(line, "lib.ake1") {
			t.Errorf("apt was given the pattern: %s", line)
		}
	}
}

func TestAPackageThatFailsToConfigureFailsAlone(t *testing.T) {
	h, apt := newHost(t)
	apt.Broken["nginx"] = true
	errs := applyAll(t, h, &pkg.Resource{Name: "nginx"}, &pkg.Resource{Name: "htop"})
	if errs["htop"] != nil || errs["nginx"] == nil || !strings.Contains(errs["nginx"].Error(), "error processing package nginx") {
		t.Errorf("errors are %v", errs)
	}
	nginx := &pkg.Resource{Name: "nginx"}
	rep, err := nginx.Observe(t.Context(), h)
	if err != nil || !rep.Has("state") || rep.Changes[0].From != "half-configured" || len(rep.Notes) == 0 {
		t.Errorf("report is %+v, %v", rep, err)
	}
	apt.Broken["nginx"] = false
	if err := applyAll(t, h, nginx)["nginx"]; err != nil {
		t.Errorf("after its mending: %v", err)
	}
}

func TestListsAreFetched(t *testing.T) {
	for _, c := range []struct {
		name   string
		given  func(h *fakehost.Host, apt *fakehost.Apt) error
		update int
		wants  *pkg.Resource
	}{
		{"when there are none", func(h *fakehost.Host, _ *fakehost.Apt) error {
			return h.Remove("/var/lib/apt/lists/mirror_dists_trixie_Packages")
		}, 1, &pkg.Resource{Name: "htop"}},
		{"when a source is newer", func(h *fakehost.Host, _ *fakehost.Apt) error {
			return h.WriteFile("/etc/apt/sources.list.d/x.sources", nil, resource.Access{Mode: 0o644})
		}, 1, &pkg.Resource{Name: "htop"}},
		{"when a package is not known, once", func(_ *fakehost.Host, apt *fakehost.Apt) error {
			apt.Archive["fresh"] = []string{"1"}
			return nil
		}, 1, &pkg.Resource{Name: "fresh"}},
		{"when a file has gone from the mirror", func(_ *fakehost.Host, apt *fakehost.Apt) error {
			apt.Archive["htop"] = []string{"3.4.2-1"}
			return nil
		}, 1, &pkg.Resource{Name: "htop"}},
		{"not when they are there", func(*fakehost.Host, *fakehost.Apt) error { return nil }, 0, &pkg.Resource{Name: "htop"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			h, apt := newHost(t)
			if err := c.given(h, apt); err != nil {
				t.Fatal(err)
			}
			if err := applyAll(t, h, c.wants)[c.wants.Name]; err != nil {
				t.Fatal(err)
			}
			if got := commands(h, "update"); len(got) != c.update {
				t.Errorf("ran %q", got)
			}
		})
	}
}

func TestWhatGoesAwayByItselfIsTransient(t *testing.T) {
	for name, given := range map[string]func(*fakehost.Apt){
		"a held lock":                func(a *fakehost.Apt) { a.Locked = true },
		"a mirror that is not there": func(a *fakehost.Apt) { a.Down = "Could not connect to mirror:80, connection timed out" },
	} {
		t.Run(name, func(t *testing.T) {
			h, apt := newHost(t)
			given(apt)
			for name, err := range applyAll(t, h, &pkg.Resource{Name: "htop"}, &pkg.Resource{Name: "nginx"}) {
				if retry.ClassOf(err) != retry.Transient {
					t.Errorf("%s: %v is %s", name, err, retry.ClassOf(err))
				}
			}
			if n := len(commands(h, "install")); n > 1 {
				t.Errorf("tried %d times", n)
			}
		})
	}
}

func TestAPackageThatOthersNeedStays(t *testing.T) {
	h, _ := newHost(t)
	lib := &pkg.Resource{Name: "nginx-common"}
	for name, err := range applyAll(t, h, lib, &pkg.Resource{Name: "nginx"}) {
		if err != nil {
			t.Fatal(name, err)
		}
	}
	if err := lib.Remove(t.Context(), h, true); err != nil {
		t.Fatal(err)
	}
	if rep, _ := lib.Observe(t.Context(), h); !rep.Agrees() {
		t.Errorf("it is %s", rep.Status)
	}
	if !strings.Contains(h.String(), "package nginx-common is there for others") {
		t.Error("it is not marked for autoremove")
	}
}

func TestObservingStartsNoProcess(t *testing.T) {
	h, _ := newHost(t)
	for i := range 50 {
		r := &pkg.Resource{Name: fmt.Sprintf("package-%d", i)}
		if rep, err := r.Observe(t.Context(), h); err != nil || rep.Status != drift.Absent {
			t.Fatal(rep, err)
		}
	}
	if ran := h.Ran(); len(ran) > 0 {
		t.Errorf("ran %q", ran)
	}
}

func TestFaultsOfFields(t *testing.T) {
	for _, c := range []struct {
		reason, field string
		r             pkg.Resource
	}{
		{"a name is no option", "name", pkg.Resource{Name: "--purge"}},
		{"a name is no removal", "name", pkg.Resource{Name: "nginx-"}},
		{"a name is no task", "name", pkg.Resource{Name: "lamp-server^"}},
		{"a name is one word", "name", pkg.Resource{Name: "nginx curl"}},
		{"a name is not empty", "name", pkg.Resource{}},
		{"a version is one word", "version", pkg.Resource{Name: "nginx", Version: "1.2 -o x"}},
		{"a star is at the end", "version", pkg.Resource{Name: "nginx", Version: "*.1"}},
		{"an absent package has no version", "version", pkg.Resource{Name: "nginx", Version: "1", State: pkg.Absent}},
		{"a state is known", "state", pkg.Resource{Name: "nginx", State: "present"}},
		{"an option is a setting", "options", pkg.Resource{Name: "nginx", Options: []string{"--yes"}}},
	} {
		t.Run(c.reason, func(t *testing.T) {
			var f *resource.FieldError
			if err := c.r.Validate(); !errors.As(err, &f) || f.Field != c.field {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestNoPackageManagerIsSaid(t *testing.T) {
	h, _ := newHost(t)
	if err := h.WriteFile("/var/lib/dpkg/status", nil, resource.Access{}); err != nil {
		t.Fatal(err)
	}
	_, err := (&pkg.Resource{Name: "htop"}).Observe(context.Background(), h)
	if err == nil || !strings.Contains(err.Error(), "neither apt nor dnf") {
		t.Errorf("got %v", err)
	}
}
