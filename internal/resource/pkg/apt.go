package pkg

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/updraft-cloud/updraft/internal/resource"
	"github.com/updraft-cloud/updraft/internal/resource/conffile"
	"github.com/updraft-cloud/updraft/internal/retry"
)

// apt is the package manager of Debian and its derivatives.
type apt struct{}

const (
	listsDir = "/var/lib/apt/lists"
	// updatedStamp is touched after an update that left nothing out: an update
	// that found nothing new does not touch the lists.
	updatedStamp = "/run/updraft/apt-updated"
	// lockWait is how many seconds apt waits for another apt, such as that of
	// unattended-upgrades.
	lockWait = "60"
)

// aptEnv keeps apt, debconf and apt-listchanges from asking.
var aptEnv = []string{"DEBIAN_FRONTEND=noninteractive", "APT_LISTCHANGES_FRONTEND=none", "NEEDRESTART_MODE=l"}

// run runs apt-get. Configuration files that were edited stay as they are,
// those that were not are replaced.
func (apt) run(ctx context.Context, h resource.Host, args ...string) (resource.Output, error) {
	common := []string{"-y", "-q", "-o", "DPkg::Lock::Timeout=" + lockWait, "-o", "Dpkg::Use-Pty=0",
		"-o", "Dpkg::Options::=--force-confdef", "-o", "Dpkg::Options::=--force-confold"}
	return h.Run(ctx, resource.Command{Name: "apt-get", Args: append(common, args...), Env: aptEnv})
}

// install brings the lists up to date if needed and installs. If the lists turn
// out to be too old (a package is not known, a file has gone from the mirror),
// they are fetched, once, and the same is tried again.
func (a apt) install(ctx context.Context, h resource.Host, some []*Resource) error {
	fresh, err := a.listsFresh(h)
	if err != nil {
		return err
	}
	doubt := ""
	if !fresh {
		if doubt, err = a.update(ctx, h); err != nil {
			return err
		}
	}
	err = a.tryInstall(ctx, h, some)
	if fresh && err != nil && staleLists(err) {
		if doubt, err = a.update(ctx, h); err != nil {
			return err
		}
		err = a.tryInstall(ctx, h, some)
	}
	if err != nil && doubt != "" && !transient(err) {
		return retry.Mark(fmt.Errorf("%w; not all package lists could be fetched: %s", err, doubt), retry.Transient)
	}
	return a.explain(ctx, h, err)
}

func (a apt) tryInstall(ctx context.Context, h resource.Host, some []*Resource) error {
	if err := a.checkPatterns(ctx, h, some); err != nil {
		return err
	}
	args := []string{"-o", "APT::Install-Recommends=" + fmt.Sprint(some[0].Recommends)}
	for _, o := range some[0].Options {
		args = append(args, "-o", o)
	}
	args = append(args, "install")
	if slices.ContainsFunc(some, func(r *Resource) bool { return r.Version != "" }) {
		args = append(args, "--allow-downgrades", "--allow-change-held-packages")
	}
	for _, r := range some {
		arg := r.Name
		if r.Version != "" {
			arg += "=" + r.Version
		}
		args = append(args, arg)
	}
	out, err := a.run(ctx, h, args...)
	return aptError("install "+strings.Join(names(some), ", "), out, err, some)
}

// checkPatterns guards names with a period: when no package has that name, apt
// takes it for a regular expression and installs whatever matches.
func (a apt) checkPatterns(ctx context.Context, h resource.Host, some []*Resource) error {
	var dotted []string
	for _, r := range some {
		if strings.Contains(r.Name, ".") {
			dotted = append(dotted, r.Name)
		}
	}
	if len(dotted) == 0 {
		return nil
	}
	known, err := a.newest(ctx, h, dotted)
	if err != nil {
		return err
	}
	for _, name := range dotted {
		if known[name] == "" {
			return &packageError{name, &unknownError{name: name}}
		}
	}
	return nil
}

// update fetches the package lists. doubt says what apt could not fetch from
// some of the repositories, which is no failure in itself.
func (a apt) update(ctx context.Context, h resource.Host) (doubt string, err error) {
	out, err := a.run(ctx, h, "update")
	if err != nil {
		return "", aptError("fetch the package lists", out, err, nil)
	}
	if doubt = firstLine(out.Stderr, "W: Failed to fetch", "W: Some index files failed"); doubt != "" {
		return doubt, nil
	}
	if err := conffile.MakeDirs(h, path.Dir(updatedStamp)); err != nil {
		return "", err
	}
	return "", h.WriteFile(updatedStamp, nil, resource.Access{Mode: 0o644})
}

// listsFresh reports whether there are package lists, and no source or key was
// changed since they were fetched.
func (apt) listsFresh(h resource.Host) (bool, error) {
	lists, err := conffile.List(h, listsDir)
	if err != nil || !slices.ContainsFunc(lists, func(n string) bool { return strings.Contains(n, "_") }) {
		return false, err
	}
	var fetched time.Time
	for _, p := range []string{listsDir, updatedStamp} {
		if info, err := h.Stat(p); err == nil && info.ModTime.After(fetched) {
			fetched = info.ModTime
		}
	}
	for _, dir := range []string{"/etc/apt/sources.list.d", "/etc/apt/keyrings"} {
		names, err := conffile.List(h, dir)
		if err != nil {
			return false, err
		}
		for _, n := range append(names, ".") {
			if changedAfter(h, path.Join(dir, n), fetched) {
				return false, nil
			}
		}
	}
	return !changedAfter(h, "/etc/apt/sources.list", fetched), nil
}

func changedAfter(h resource.Host, p string, t time.Time) bool {
	info, err := h.Stat(p)
	return err == nil && info.ChangeTime.After(t)
}

// newest reads apt-cache policy, which passes over names that it does not know.
func (apt) newest(ctx context.Context, h resource.Host, names []string) (map[string]string, error) {
	known := map[string]string{}
	for _, n := range names {
		known[n] = ""
	}
	out, err := h.Run(ctx, resource.Command{Name: "apt-cache", Args: append([]string{"policy", "--"}, names...), Quiet: true, Reads: true})
	if err != nil {
		return nil, err
	}
	at := ""
	for line := range strings.Lines(string(out.Stdout)) {
		if !strings.HasPrefix(line, " ") {
			at = strings.TrimSuffix(strings.TrimSpace(line), ":")
		} else if v, ok := strings.CutPrefix(line, "  Candidate: "); ok && strings.TrimSpace(v) != "(none)" {
			known[at] = strings.TrimSpace(v)
		}
	}
	return known, nil
}

func (a apt) remove(ctx context.Context, h resource.Host, names []string) error {
	out, err := a.run(ctx, h, append([]string{"remove"}, names...)...)
	return aptError("remove "+strings.Join(names, ", "), out, err, nil)
}

func (a apt) purge(ctx context.Context, h resource.Host, name string) error {
	out, err := a.run(ctx, h, "purge", name)
	return aptError("purge "+name, out, err, nil)
}

// dependents asks apt what else would be removed.
func (apt) dependents(ctx context.Context, h resource.Host, name string) ([]string, error) {
	out, err := h.Run(ctx, resource.Command{Name: "apt-get", Args: []string{"-s", "-q", "purge", name}, Quiet: true, Reads: true})
	if err != nil {
		return nil, aptError("see what needs "+name, out, err, nil)
	}
	bare, _, _ := strings.Cut(name, ":")
	var others []string
	for line := range strings.Lines(string(out.Stdout)) {
		f := strings.Fields(line)
		if len(f) < 2 || f[0] != "Purg" && f[0] != "Remv" {
			continue
		}
		if other, _, _ := strings.Cut(f[1], ":"); other != bare {
			others = append(others, f[1])
		}
	}
	return others, nil
}

// disown lets a later autoremove take the package.
func (apt) disown(ctx context.Context, h resource.Host, name string) error {
	_, err := h.Run(ctx, resource.Command{Name: "apt-mark", Args: []string{"auto", name}})
	return err
}

// settle finishes configuring what was unpacked.
func (apt) settle(ctx context.Context, h resource.Host) error {
	out, err := h.Run(ctx, resource.Command{Name: "dpkg", Args: []string{"--force-confdef", "--force-confold", "--configure", "-a"}, Env: aptEnv})
	return aptError("finish an interrupted installation (dpkg --configure -a)", out, err, nil)
}

// explain adds to the error of an unknown package the name it may be a slip of.
func (apt) explain(ctx context.Context, h resource.Host, err error) error {
	var unknown *unknownError
	if !errors.As(err, &unknown) || unknown.version != "" {
		return err
	}
	start := unknown.name[:min(3, len(unknown.name))]
	out, cacheErr := h.Run(ctx, resource.Command{Name: "apt-cache", Args: []string{"pkgnames", "--", start}, Quiet: true, Reads: true})
	if cacheErr == nil {
		unknown.closest = closest(unknown.name, strings.Fields(string(out.Stdout)))
	}
	return err
}
