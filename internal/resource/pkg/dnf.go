package pkg

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/updraft-cloud/updraft/internal/drift"
	"github.com/updraft-cloud/updraft/internal/resource"
	"github.com/updraft-cloud/updraft/internal/retry"
)

// dnf is the package manager of Fedora, RHEL and their kin.
type dnf struct{}

const rpmQueryFormat = `%{NAME}\t%{EPOCHNUM}:%{VERSION}-%{RELEASE}\t%{ARCH}\n`

// rpmFacts is what one rpm query found, for the names that it asked for.
type rpmFacts struct {
	asked     []string
	installed map[string]status
}

// prepare asks rpm for all packages with one process.
func (d dnf) prepare(ctx context.Context, h resource.Host, names []string) error {
	_, err := h.Memo("package: rpm", func() (any, error) { return d.query(ctx, h, names) })
	return err
}

func (d dnf) status(ctx context.Context, h resource.Host, name string) (status, error) {
	v, err := h.Memo("package: rpm", func() (any, error) { return d.query(ctx, h, []string{name}) })
	if err != nil {
		return status{}, err
	}
	facts := v.(rpmFacts)
	if !slices.Contains(facts.asked, name) {
		if facts, err = d.query(ctx, h, []string{name}); err != nil {
			return status{}, err
		}
	}
	return facts.installed[name], nil
}

// query runs rpm -q, whose exit status is the number of packages not installed.
func (dnf) query(ctx context.Context, h resource.Host, names []string) (rpmFacts, error) {
	facts := rpmFacts{asked: names, installed: map[string]status{}}
	out, err := h.Run(ctx, resource.Command{
		Name: "rpm", Args: append([]string{"-q", "--qf", rpmQueryFormat, "--"}, names...), Quiet: true, Reads: true,
	})
	missing := 0
	for line := range strings.Lines(string(out.Stdout)) {
		f := strings.Split(strings.TrimSpace(line), "\t")
		if len(f) != 3 {
			missing++
			continue
		}
		s := status{state: Installed, version: strings.TrimPrefix(f[1], "0:")}
		facts.installed[f[0]], facts.installed[f[0]+"."+f[2]] = s, s
	}
	var exit *resource.ExitError
	if err != nil && (!errors.As(err, &exit) || exit.Code != missing) {
		return facts, fmt.Errorf("cannot ask rpm for what is installed: %w", err)
	}
	return facts, nil
}

// interrupted is never known: rpm's transactions are finished by the next one.
func (dnf) interrupted(resource.Host) (bool, error) { return false, nil }

func (dnf) settle(context.Context, resource.Host) error { return nil }

func (dnf) brokenNote() string { return "" }

// install installs, or upgrades what is there and wanted at its latest.
func (d dnf) install(ctx context.Context, h resource.Host, some []*Resource) error {
	var fresh, upgrades []*Resource
	for _, r := range some {
		got, err := d.status(ctx, h, r.Name)
		if err != nil {
			return err
		}
		if r.State == Latest && got.state != "" {
			upgrades = append(upgrades, r)
		} else {
			fresh = append(fresh, r)
		}
	}
	if err := d.transaction(ctx, h, "install", fresh); err != nil {
		return err
	}
	return d.transaction(ctx, h, "upgrade", upgrades)
}

// transaction runs dnf, and once more with new metadata when a package is not
// known: the metadata in the cache may be older than the package.
func (d dnf) transaction(ctx context.Context, h resource.Host, verb string, some []*Resource) error {
	if len(some) == 0 {
		return nil
	}
	// Not quietly: -q would hide that a repository was left out.
	args := []string{"-y", "--setopt=install_weak_deps=" + fmt.Sprint(some[0].Recommends)}
	for _, o := range some[0].Options {
		args = append(args, "--setopt="+o)
	}
	args = append(args, verb)
	for _, r := range some {
		arg := r.Name
		if r.Version != "" {
			arg += "-" + r.Version
		}
		args = append(args, arg)
	}
	err := d.try(ctx, h, args, some)
	var unknown *unknownError
	if errors.As(err, &unknown) {
		err = d.try(ctx, h, append([]string{"--refresh"}, args...), some)
	}
	return err
}

func (dnf) try(ctx context.Context, h resource.Host, args []string, some []*Resource) error {
	out, err := h.Run(ctx, resource.Command{Name: "dnf", Args: args})
	return dnfError("install "+strings.Join(names(some), ", "), out, err, some)
}

var (
	dnfUnknownRE = regexp.MustCompile(`(?m)^(?:Error: Unable to find a match: |No match for argument: )(\S+)`)
	dnfTransient = []string{
		"Failed to download metadata", "Cannot download", "Curl error", "Could not resolve host", "Waiting for process with pid",
		"Failed to obtain the transaction lock", "Error downloading packages",
	}
)

// dnfError words the failure of a dnf command and gives it its class. As with
// apt, there is one exit status for everything.
func dnfError(what string, out resource.Output, err error, some []*Resource) error {
	var exit *resource.ExitError
	if !errors.As(err, &exit) {
		return err
	}
	text := string(out.Stdout) + string(out.Stderr)
	transient := slices.ContainsFunc(dnfTransient, func(s string) bool { return strings.Contains(text, s) })
	if m := dnfUnknownRE.FindStringSubmatch(text); m != nil && !transient {
		for _, r := range some {
			if m[1] == r.Name || m[1] == r.Name+"-"+r.Version {
				return &packageError{r.Name, &unknownError{name: r.Name, version: r.Version}}
			}
		}
	}
	reason := firstLine([]byte(text), "Error: ", "error: ")
	if reason == "" {
		reason = exit.Error()
	}
	err = fmt.Errorf("cannot %s: %s", what, strings.TrimPrefix(reason, "Error: "))
	if transient {
		return retry.Mark(err, retry.Transient)
	}
	return err
}

// newest asks for what the repositories hold, from metadata in the cache if it
// has not expired.
func (dnf) newest(ctx context.Context, h resource.Host, names []string) (map[string]string, error) {
	known := map[string]string{}
	for _, n := range names {
		known[n] = ""
	}
	out, err := h.Run(ctx, resource.Command{
		Name: "dnf", Args: append([]string{"-q", "repoquery", "--latest-limit=1", "--qf", "%{name}\t%{evr}\n"}, names...), Quiet: true, Reads: true,
	})
	if err != nil {
		return nil, dnfError("ask for the newest versions", out, err, nil)
	}
	for line := range strings.Lines(string(out.Stdout)) {
		if name, version, ok := strings.Cut(strings.TrimSpace(line), "\t"); ok {
			known[name] = strings.TrimPrefix(version, "0:")
		}
	}
	return known, nil
}

func (dnf) remove(ctx context.Context, h resource.Host, names []string) error {
	out, err := h.Run(ctx, resource.Command{Name: "dnf", Args: append([]string{"-y", "-q", "--noautoremove", "remove"}, names...)})
	return dnfError("remove "+strings.Join(names, ", "), out, err, nil)
}

func (d dnf) purge(ctx context.Context, h resource.Host, name string) error {
	return d.remove(ctx, h, []string{name})
}

var rpmNeededRE = regexp.MustCompile(`(?m)is needed by \(installed\) (\S+)`)

// dependents asks rpm whether the package could go by itself.
func (dnf) dependents(ctx context.Context, h resource.Host, name string) ([]string, error) {
	out, err := h.Run(ctx, resource.Command{Name: "rpm", Args: []string{"-e", "--test", name}, Quiet: true, Reads: true})
	var others []string
	for _, m := range rpmNeededRE.FindAllStringSubmatch(string(out.Stdout)+string(out.Stderr), -1) {
		others = append(others, m[1])
	}
	if len(others) > 0 {
		return others, nil
	}
	return nil, err
}

// disown lets a later autoremove take the package.
func (dnf) disown(ctx context.Context, h resource.Host, name string) error {
	_, err := h.Run(ctx, resource.Command{Name: "dnf", Args: []string{"-q", "mark", "remove", name}})
	return err
}

// Versions are pinned with apt only: dnf needs a plugin for it.
func (dnf) comparePin(resource.Host, *Resource, *drift.Builder) error { return nil }
func (dnf) pin(resource.Host, *Resource) error                        { return nil }
func (dnf) unpin(resource.Host, string) error                         { return nil }
