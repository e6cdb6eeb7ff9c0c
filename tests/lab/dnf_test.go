package lab_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/updraft-cloud/updraft/internal/drift"
	"github.com/updraft-cloud/updraft/internal/resource"
	"github.com/updraft-cloud/updraft/internal/resource/hostos"
	"github.com/updraft-cloud/updraft/internal/resource/pkg"
	"github.com/updraft-cloud/updraft/internal/resource/repository"
	"github.com/updraft-cloud/updraft/internal/retry"
)

// dnfHost is a host with its own root directory, on which the real dnf and rpm
// work from outside.
type dnfHost struct {
	*hostos.Host
	outside *hostos.Host
	root    string
}

// Run points dnf and rpm to the root directory.
func (h *dnfHost) Run(ctx context.Context, c resource.Command) (resource.Output, error) {
	switch c.Name {
	case "dnf":
		c.Args = append([]string{"--installroot=" + h.root, "--setopt=reposdir=" + h.root + "/etc/yum.repos.d", "--releasever=1"}, c.Args...)
	case "rpm":
		c.Args = append([]string{"--root", h.root}, c.Args...)
	default:
		return resource.Output{}, fmt.Errorf("not expected on a dnf host: %s", c.Name)
	}
	if !c.Reads {
		defer h.Forget()
	}
	return h.outside.Run(ctx, c)
}

// newDnfHost makes a host with an empty rpm database.
func newDnfHost(t *testing.T) *dnfHost {
	t.Helper()
	requireTools(t, "dnf", "rpm", "rpmbuild", "createrepo_c")
	root := t.TempDir()
	for _, dir := range []string{"etc/yum.repos.d", "etc/pki/rpm-gpg", "usr/bin"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(root, "usr/bin/dnf"), nil, 0o755); err != nil {
		t.Fatal(err)
	}
	inside, err := hostos.New(hostos.Options{Root: root})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = inside.Close() })
	outside, err := hostos.New(hostos.Options{Log: func(line string) { t.Log(line) }})
	if err != nil {
		t.Fatal(err)
	}
	return &dnfHost{inside, outside, root}
}

// rpmRepo is a repository on disk.
type rpmRepo struct {
	t   *testing.T
	dir string
}

// build adds a package. needs may be empty.
func (r *rpmRepo) build(name, version, needs string) {
	r.t.Helper()
	work := r.t.TempDir()
	spec := fmt.Sprintf("Name: %s\nVersion: %s\nRelease: 1\nSummary: A test\nLicense: MIT\nBuildArch: noarch\n", name, version)
	if needs != "" {
		spec += "Requires: " + needs + "\n"
	}
	spec += "%description\nA test.\n%files\n"
	file := filepath.Join(work, name+".spec")
	if err := os.WriteFile(file, []byte(spec), 0o644); err != nil {
		r.t.Fatal(err)
	}
	r.run("rpmbuild", "-bb", "--quiet", "--define", "_topdir "+work, "--define", "_rpmdir "+r.dir, file)
}

func (r *rpmRepo) index() { r.run("createrepo_c", "-q", "--update", r.dir) }

func (r *rpmRepo) run(name string, args ...string) {
	r.t.Helper()
	if out, err := exec.CommandContext(r.t.Context(), name, args...).CombinedOutput(); err != nil {
		r.t.Fatalf("%s %v: %v\n%s", name, args, err, out)
	}
}

// converge observes, applies, and wants the resource in sync then.
func converge(t *testing.T, h resource.Host, r resource.Resource) drift.Report {
	t.Helper()
	found := observe(t, h, r)
	if err := r.Apply(t.Context(), h, found, resource.Cause{}); err != nil {
		t.Fatalf("apply %s: %v", resource.Ref(r), err)
	}
	if rep := observe(t, h, r); !rep.Agrees() {
		t.Fatalf("after apply %s is %s %+v", resource.Ref(r), rep.Status, rep.Changes)
	}
	return found
}

func observe(t *testing.T, h resource.Host, r resource.Resource) drift.Report {
	t.Helper()
	rep, err := r.Observe(t.Context(), h)
	if err != nil {
		t.Fatalf("observe %s: %v", resource.Ref(r), err)
	}
	return rep
}

func TestDnf(t *testing.T) {
	h := newDnfHost(t)
	repo := &rpmRepo{t, t.TempDir()}
	repo.build("upd-lib", "1.0", "")
	repo.build("upd-app", "1.0", "upd-lib")
	repo.build("upd-app", "1.1", "upd-lib")
	repo.build("upd-app", "2.0", "upd-lib")
	repo.index()

	local := &repository.Resource{Name: "local", URIs: []string{"file://" + repo.dir}, Trusted: true}
	if found := converge(t, h, local); found.Status != drift.Absent {
		t.Errorf("the repository was %s", found.Status)
	}

	t.Run("an unknown package is named, and does not hold up others", func(t *testing.T) {
		lib, slip := &pkg.Resource{Name: "upd-lib"}, &pkg.Resource{Name: "upd-lbi"}
		errs := lib.ApplyBatch(t.Context(), h, []resource.Resource{slip, lib}, []drift.Report{observe(t, h, slip), observe(t, h, lib)})
		if errs[0] == nil || !strings.Contains(errs[0].Error(), `no package "upd-lbi"`) || retry.ClassOf(errs[0]) != retry.Permanent {
			t.Errorf("error is %v", errs[0])
		}
		if errs[1] != nil || !observe(t, h, lib).Agrees() {
			t.Errorf("upd-lib: %v", errs[1])
		}
	})
	t.Run("the start of a version chooses the newest with it", func(t *testing.T) {
		app := &pkg.Resource{Name: "upd-app", Version: "1.*"}
		converge(t, h, app)
		if rep := observe(t, h, &pkg.Resource{Name: "upd-app", Version: "1.1-1"}); !rep.Agrees() {
			t.Errorf("it is %+v", rep.Changes)
		}
	})
	t.Run("an exact version goes back", func(t *testing.T) {
		if found := converge(t, h, &pkg.Resource{Name: "upd-app", Version: "1.0-1"}); found.Changes[0].From != "1.1-1" {
			t.Errorf("found %+v", found.Changes)
		}
	})
	t.Run("the latest is what the repository has", func(t *testing.T) {
		latest := &pkg.Resource{Name: "upd-app", State: pkg.Latest}
		converge(t, h, latest)
		repo.build("upd-app", "2.1", "upd-lib")
		repo.index()
		if _, err := h.Run(t.Context(), resource.Command{Name: "dnf", Args: []string{"-q", "clean", "expire-cache"}}); err != nil {
			t.Fatal(err)
		}
		if found := converge(t, h, latest); found.Changes[0].To != "2.1-1" {
			t.Errorf("found %+v", found.Changes)
		}
	})
	t.Run("a package newer than the metadata in the cache is found", func(t *testing.T) {
		repo.build("upd-fresh", "1.0", "")
		repo.index()
		converge(t, h, &pkg.Resource{Name: "upd-fresh"})
	})
	t.Run("what others need stays, the rest goes", func(t *testing.T) {
		lib, app := &pkg.Resource{Name: "upd-lib"}, &pkg.Resource{Name: "upd-app"}
		for _, step := range []struct {
			remove *pkg.Resource
			lib    drift.Status
		}{{lib, drift.InSync}, {app, drift.InSync}, {lib, drift.Absent}, {lib, drift.Absent}} {
			if err := step.remove.Remove(t.Context(), h, true); err != nil {
				t.Fatal(err)
			}
			if got := observe(t, h, lib).Status; got != step.lib {
				t.Errorf("after removing %s, upd-lib is %s, want %s", step.remove.Name, got, step.lib)
			}
		}
	})
	if err := local.Remove(t.Context(), h, true); err != nil {
		t.Fatal(err)
	}
	if rep := observe(t, h, local); rep.Status != drift.Absent {
		t.Errorf("the repository is %s after removing it", rep.Status)
	}
	t.Run("a repository that does not answer is transient", func(t *testing.T) {
		gone := &repository.Resource{Name: "gone", URIs: []string{"file:///nonexistent/repo"}, Trusted: true}
		converge(t, h, gone)
		err := (&pkg.Resource{Name: "upd-app"}).Apply(t.Context(), h, drift.Missing(), resource.Cause{})
		if retry.ClassOf(err) != retry.Transient {
			t.Errorf("error is %s: %v", retry.ClassOf(err), err)
		}
		if err := gone.Remove(t.Context(), h, true); err != nil {
			t.Fatal(err)
		}
	})
}
