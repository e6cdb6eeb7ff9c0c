// Package pkg is the resource kind package: a package of the distribution,
// installed by apt or dnf.
//
// It guarantees that observing starts no process on dpkg hosts (the database is
// read) and one on rpm hosts, however many packages are managed; that all
// packages waiting at the same time are one transaction; that what an
// interruption left half configured is finished first; and that an error names
// the package it is about.
package pkg

import (
	"context"
	"errors"
	"regexp"
	"slices"
	"strings"

	"github.com/updraft-cloud/updraft/internal/drift"
	"github.com/updraft-cloud/updraft/internal/resource"
	"github.com/updraft-cloud/updraft/internal/retry"
)

// The states of a package. The empty state means installed.
const (
	Installed = "installed"
	Latest    = "latest"
	Absent    = "absent"
)

// Resource is a package.
type Resource struct {
	Name       string   `json:"name" required:"true" doc:"Name of the package, such as nginx. On Debian it may end in :ARCH."`
	Version    string   `json:"version,omitempty" doc:"Exact version as the package manager prints it, or the start of one followed by *, such as 3.0.*. On Debian it is also pinned, so that no upgrade moves it."`
	State      string   `json:"state,omitempty" default:"installed" enum:"installed,latest,absent" doc:"installed leaves the version of a package that is there alone. latest upgrades it whenever the known package lists hold a newer one. absent removes it and keeps its configuration."`
	Recommends bool     `json:"recommends,omitempty" doc:"Install what the package recommends, too (apt), or its weak dependencies (dnf)."`
	Repository string   `json:"repository,omitempty" doc:"Name of a repository declared on the same host that must be there first."`
	Options    []string `json:"options,omitempty" doc:"Settings of the package manager for this installation, such as APT::Default-Release=trixie-backports or timeout=60."`
}

// Kind describes the kind.
func Kind() resource.Kind {
	return resource.Kind{
		Name: "package",
		Doc: "A package of the distribution (apt or dnf). Package lists are fetched when they are missing or older than the " +
			"repositories, not on every run. Removing a package that updraft installed purges it, unless another needs it.",
		New:     func() resource.Resource { return &Resource{} },
		Example: "name: nginx\nversion: \"1.26.*\"\n",
	}
}

// Kind returns "package".
func (*Resource) Kind() string { return "package" }

// Key returns the package's name.
func (r *Resource) Key() string { return r.Name }

var (
	nameRE = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9+._-]*[A-Za-z0-9+](:[a-z0-9][a-z0-9-]*)?$|^[A-Za-z0-9]$`)
	// versionRE covers dpkg's and rpm's versions (deb-version(7)): no character
	// of it means anything to a shell or begins an option.
	versionRE = regexp.MustCompile(`^[0-9A-Za-z][0-9A-Za-z.+~:_^-]*\*?$`)
	optionRE  = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9:._-]*=[^\x00-\x1f]*$`)
)

// Validate checks what reaches a command line.
func (r *Resource) Validate() error {
	var errs []error
	if !nameRE.MatchString(r.Name) {
		errs = append(errs, resource.Fieldf("name", "use a name as apt or dnf list it", "%q is not a package name", r.Name))
	}
	if r.Version != "" && !versionRE.MatchString(r.Version) {
		errs = append(errs, resource.Fieldf("version", `write it like "1:2.3-4" or "2.3.*"`, "%q is not a version", r.Version))
	}
	if r.Version != "" && (r.State == Latest || r.State == Absent) {
		errs = append(errs, resource.Fieldf("version", "leave one of them out", "a version makes no sense with state %s", r.State))
	}
	if !slices.Contains([]string{"", Installed, Latest, Absent}, r.State) {
		errs = append(errs, resource.Fieldf("state", "one of installed, latest, absent", "%q is not a state of a package", r.State))
	}
	for _, o := range r.Options {
		if !optionRE.MatchString(o) {
			errs = append(errs, resource.Fieldf("options", "write NAME=VALUE", "%q is not a setting", o))
		}
	}
	return errors.Join(errs...)
}

// Removal leaves out what removing does not need.
func (r *Resource) Removal() resource.Resource { return &Resource{Name: r.Name, State: r.State} }

// Needs names the repository that holds the package.
func (r *Resource) Needs() []string {
	if r.Repository == "" {
		return nil
	}
	return []string{"repository:" + r.Repository}
}

// matches reports whether an installed version is a wanted one.
func matches(version, want string) bool {
	if start, open := strings.CutSuffix(want, "*"); open {
		return strings.HasPrefix(version, start)
	}
	return want == "" || version == want
}

// Prepare asks once for all packages.
func (r *Resource) Prepare(ctx context.Context, h resource.Host, all []resource.Resource) error {
	m, err := managerOf(h)
	if err != nil {
		return err
	}
	var names, latest []string
	for _, a := range all {
		p := a.(*Resource)
		names = append(names, p.Name)
		if p.State == Latest {
			latest = append(latest, p.Name)
		}
	}
	if err := m.prepare(ctx, h, names); err != nil || len(latest) == 0 {
		return err
	}
	_, err = candidates(ctx, h, m, latest)
	return err
}

// Observe compares the installed version, or its absence, with what is wanted.
func (r *Resource) Observe(ctx context.Context, h resource.Host) (drift.Report, error) {
	m, err := managerOf(h)
	if err != nil {
		return drift.Report{}, err
	}
	got, err := m.status(ctx, h, r.Name)
	if err != nil {
		return drift.Report{}, err
	}
	var b drift.Builder
	if err := m.comparePin(h, r, &b); err != nil {
		return drift.Report{}, err
	}
	switch {
	case r.State == Absent && got.state != "":
		b.Want("state", got.state, "absent")
	case r.State == Absent:
	case got.state == "":
		return drift.Missing(), nil
	case got.state != Installed:
		b.Want("state", got.state, Installed)
		rep := b.Report()
		rep.Notes = append(rep.Notes, m.brokenNote())
		return rep, nil
	case !matches(got.version, r.Version):
		b.Want("version", got.version, r.Version)
	case r.State == Latest:
		newest, err := candidates(ctx, h, m, []string{r.Name})
		if err != nil {
			return drift.Report{}, err
		}
		if v := newest[r.Name]; v != "" {
			b.Want("version", got.version, v)
		}
	}
	return b.Report(), nil
}

// candidates returns the newest version that the known lists hold of each name.
// It costs a process, which Prepare shares among all packages.
func candidates(ctx context.Context, h resource.Host, m manager, names []string) (map[string]string, error) {
	v, err := h.Memo("package: candidates", func() (any, error) { return m.newest(ctx, h, names) })
	if err != nil {
		return nil, err
	}
	known := v.(map[string]string)
	for _, n := range names {
		if _, ok := known[n]; !ok {
			return m.newest(ctx, h, names)
		}
	}
	return known, nil
}

// Apply installs or removes the package.
func (r *Resource) Apply(ctx context.Context, h resource.Host, found drift.Report, _ resource.Cause) error {
	return r.ApplyBatch(ctx, h, []resource.Resource{r}, []drift.Report{found})[0]
}

// Remove purges the package if updraft installed it and no other needs it.
func (r *Resource) Remove(ctx context.Context, h resource.Host, made bool) error {
	m, err := managerOf(h)
	if err != nil {
		return err
	}
	defer h.Lock("package")()
	if err := m.unpin(h, r.Name); err != nil {
		return err
	}
	got, err := m.status(ctx, h, r.Name)
	if err != nil || !made || r.State == Absent || got.state == "" {
		return err
	}
	if got.state != Installed {
		if err := m.settle(ctx, h); err != nil {
			return err
		}
	}
	others, err := m.dependents(ctx, h, r.Name)
	if err != nil {
		return err
	}
	if len(others) > 0 {
		h.Logf("package %s stays, because %s needs it", r.Name, strings.Join(others, ", "))
		return m.disown(ctx, h, r.Name)
	}
	return m.purge(ctx, h, r.Name)
}

// packageError is an error that is about one package of a transaction.
type packageError struct {
	name string
	err  error
}

func (e *packageError) Error() string { return e.err.Error() }
func (e *packageError) Unwrap() error { return e.err }

func transient(err error) bool { return retry.ClassOf(err) == retry.Transient }
