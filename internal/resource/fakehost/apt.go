package fakehost

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/updraft-cloud/updraft/internal/resource"
)

// Apt is apt-get, apt-cache, apt-mark and dpkg. What is installed is in dpkg's
// status file; an installation is two changes, unpacking and configuring, so
// that a power cut between them leaves what dpkg leaves.
type Apt struct {
	// Archive is what the mirror holds: versions by name, oldest first.
	Archive map[string][]string
	// Depends names what a package needs.
	Depends map[string][]string
	// Broken packages fail to be configured.
	Broken map[string]bool
	// Down says what every fetch fails with, if anything.
	Down string
	// Locked is set while another apt holds the lock.
	Locked bool
	known  map[string][]string // the archive as of the last update
	auto   map[string]bool
}

const (
	fakeStatus = "/var/lib/dpkg/status"
	fakeLists  = "/var/lib/apt/lists/mirror_dists_trixie_Packages"
)

// Install lays down a Debian with its package lists fetched.
func (a *Apt) Install(h *Host, f *FS) {
	a.Archive = map[string][]string{
		"htop": {"3.4.1-5"}, "haproxy": {"2.9.9-1", "3.0.10-1", "3.0.11-1"}, "nginx": {"1.26.3-3"}, "nginx-common": {"1.26.3-3"},
		"python3.13": {"3.13.5-2"}, "g++": {"14.2.0-1"}, "base-files": {"13.8"}, "libfake1": {"1.0-1"},
	}
	a.Depends = map[string][]string{"nginx": {"nginx-common"}, "haproxy": {"libfake1"}}
	a.Broken, a.auto = map[string]bool{}, map[string]bool{}
	for _, dir := range []string{"/var/lib/dpkg/updates", "/var/lib/apt/lists/partial", "/etc/apt/sources.list.d", "/etc/apt/preferences.d", "/etc/apt/keyrings"} {
		must(f.MkdirAll(dir))
	}
	must(f.WriteFile("/etc/apt/sources.list", []byte("deb http://mirror/debian trixie main\n"), resource.Access{Mode: 0o644}))
	must(f.WriteFile(fakeStatus, nil, resource.Access{Mode: 0o644}))
	a.set(f, "base-files", "install ok installed", "13.8")
	must(a.update(f))
	h.Handle("apt-get", a.aptGet)
	h.Handle("apt-cache", a.aptCache)
	h.Handle("apt-mark", a.aptMark)
	h.Handle("dpkg", a.dpkg)
}

// Render tells what apt would remove by itself.
func (a *Apt) Render(*FS) string {
	var b strings.Builder
	for _, n := range slices.Sorted(maps.Keys(a.auto)) {
		b.WriteString("package " + n + " is there for others\n")
	}
	return b.String()
}

func (a *Apt) update(f *FS) error {
	a.known = maps.Clone(a.Archive)
	_ = f.Remove(fakeLists)
	return f.WriteFile(fakeLists, []byte("lists\n"), resource.Access{Mode: 0o644})
}

// stanzas returns the status file as "status\nversion" by name.
func (a *Apt) stanzas(f *FS) map[string][2]string {
	data, err := f.ReadFile(fakeStatus)
	must(err)
	out := map[string][2]string{}
	for s := range strings.SplitSeq(strings.TrimSpace(string(data)), "\n\n") {
		var name string
		var v [2]string
		for line := range strings.Lines(s) {
			k, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
			switch k {
			case "Package":
				name = value
			case "Status":
				v[0] = value
			case "Version":
				v[1] = value
			}
		}
		if name != "" {
			out[name] = v
		}
	}
	return out
}

// set writes a package's stanza; an empty status removes it.
func (a *Apt) set(f *FS, name, status, version string) {
	all := a.stanzas(f)
	all[name] = [2]string{status, version}
	if status == "" {
		delete(all, name)
	}
	var b strings.Builder
	for _, n := range slices.Sorted(maps.Keys(all)) {
		fmt.Fprintf(&b, "Package: %s\nStatus: %s\nArchitecture: amd64\nVersion: %s\nDescription: a package\n of many lines\n\n", n, all[n][0], all[n][1])
	}
	must(f.WriteFile(fakeStatus, []byte(b.String()), resource.Access{Mode: 0o644}))
}

func (a *Apt) aptGet(_ context.Context, h *Host, c resource.Command) (resource.Output, error) {
	args, err := ParseArgs(c, "-y", "-q", "-s", "-o=", "--allow-downgrades", "--allow-change-held-packages")
	if err != nil || len(args.Rest) == 0 {
		return resource.Output{}, Refuse(c, "not understood: %v", err)
	}
	verb, rest := args.Rest[0], args.Rest[1:]
	switch {
	case args.Has("-s") && verb == "purge":
		return a.simulate(h, rest)
	case !args.Has("-y") || !slices.Contains(c.Env, "DEBIAN_FRONTEND=noninteractive"):
		return resource.Output{}, Refuse(c, "would ask")
	case a.Locked:
		return Exit(c, 100, "E: Could not get lock /var/lib/dpkg/lock-frontend. It is held by process 4711 (apt-get)")
	}
	switch verb {
	case "update":
		if a.Down != "" {
			return Exit(c, 100, "E: Failed to fetch http://mirror/debian: %s", a.Down)
		}
		return resource.Output{}, h.Change(a.update)
	case "install":
		return a.install(h, c, rest)
	case "remove", "purge":
		return resource.Output{}, h.Change(func(f *FS) error {
			for _, n := range rest {
				a.drop(f, n)
			}
			return nil
		})
	default:
		return resource.Output{}, Refuse(c, "unknown verb")
	}
}

// drop removes a package and what needs it.
func (a *Apt) drop(f *FS, name string) {
	for other, needs := range a.Depends {
		if _, there := a.stanzas(f)[other]; there && slices.Contains(needs, name) {
			a.drop(f, other)
		}
	}
	a.set(f, name, "", "")
	delete(a.auto, name)
}

func (a *Apt) simulate(h *Host, names []string) (resource.Output, error) {
	var b strings.Builder
	err := h.View(func(f *FS) error {
		for _, n := range names {
			for other, needs := range a.Depends {
				if v, there := a.stanzas(f)[other]; there && slices.Contains(needs, n) {
					fmt.Fprintf(&b, "Purg %s [%s]\n", other, v[1])
				}
			}
			fmt.Fprintf(&b, "Purg %s\n", n)
		}
		return nil
	})
	return resource.Output{Stdout: []byte(b.String())}, err
}

// choose returns the version that name or name=version asks for.
func (a *Apt) choose(c resource.Command, arg string) (name, version string, out resource.Output, err error) {
	name, want, exact := strings.Cut(arg, "=")
	versions := a.known[name]
	if len(versions) == 0 {
		out, err = Exit(c, 100, "E: Unable to locate package %s", name)
		return name, "", out, err
	}
	if !exact {
		return name, versions[len(versions)-1], out, nil
	}
	for _, v := range slices.Backward(versions) {
		start, open := strings.CutSuffix(want, "*")
		if v == want || open && strings.HasPrefix(v, start) {
			return name, v, out, nil
		}
	}
	out, err = Exit(c, 100, "E: Version '%s' for '%s' was not found", want, name)
	return name, "", out, err
}

func (a *Apt) install(h *Host, c resource.Command, rest []string) (resource.Output, error) {
	chosen := map[string]string{}
	for _, arg := range rest {
		name, version, out, err := a.choose(c, arg)
		if err != nil {
			return out, err
		}
		if a.Down != "" {
			return Exit(c, 100, "E: Failed to fetch http://mirror/debian/pool/%s.deb  %s", name, a.Down)
		}
		if !slices.Contains(a.Archive[name], version) {
			return Exit(c, 100, "E: Failed to fetch http://mirror/debian/pool/%s.deb  404  Not Found\nE: Unable to fetch some archives, maybe run apt-get update", name)
		}
		chosen[name] = version
		for _, d := range a.Depends[name] {
			chosen[d] = a.known[d][len(a.known[d])-1]
		}
	}
	interrupted := false
	err := h.Change(func(f *FS) error {
		left, _ := f.ReadDir("/var/lib/dpkg/updates")
		if interrupted = len(left) > 0; interrupted {
			return nil
		}
		for n, v := range chosen {
			if a.stanzas(f)[n] != [2]string{"install ok installed", v} {
				a.set(f, n, "install ok unpacked", v)
			}
		}
		return f.WriteFile("/var/lib/dpkg/updates/0000", nil, resource.Access{Mode: 0o644})
	})
	if interrupted {
		return Exit(c, 100, "E: dpkg was interrupted, you must manually run 'dpkg --configure -a' to correct the problem.")
	}
	if err != nil {
		return resource.Output{}, err
	}
	return a.configure(h, c)
}

func (a *Apt) configure(h *Host, c resource.Command) (resource.Output, error) {
	failed := ""
	err := h.Change(func(f *FS) error {
		for n, v := range a.stanzas(f) {
			switch {
			case v[0] == "install ok installed":
			case a.Broken[n]:
				failed = n
				a.set(f, n, "install ok half-configured", v[1])
			default:
				a.set(f, n, "install ok installed", v[1])
			}
		}
		f.RemoveAll("/var/lib/dpkg/updates/0000")
		return nil
	})
	if err == nil && failed != "" {
		return Exit(c, 100, "dpkg: error processing package %s (--configure):\n installed %s package post-installation script subprocess returned error exit status 1\nE: Sub-process /usr/bin/dpkg returned an error code (1)", failed, failed)
	}
	return resource.Output{}, err
}

func (a *Apt) dpkg(_ context.Context, h *Host, c resource.Command) (resource.Output, error) {
	args, err := ParseArgs(c, "--force-confdef", "--force-confold", "--configure", "-a")
	if err != nil || !args.Has("--configure") || !args.Has("-a") {
		return resource.Output{}, Refuse(c, "only --configure -a is known")
	}
	return a.configure(h, c)
}

func (a *Apt) aptCache(_ context.Context, _ *Host, c resource.Command) (resource.Output, error) {
	args, err := ParseArgs(c)
	if err != nil || len(args.Rest) < 2 {
		return resource.Output{}, Refuse(c, "not understood: %v", err)
	}
	var b strings.Builder
	switch args.Rest[0] {
	case "policy":
		for _, n := range args.Rest[1:] {
			if v := a.known[n]; len(v) > 0 {
				fmt.Fprintf(&b, "%s:\n  Installed: (none)\n  Candidate: %s\n  Version table:\n", n, v[len(v)-1])
			}
		}
	case "pkgnames":
		for _, n := range slices.Sorted(maps.Keys(a.known)) {
			if strings.HasPrefix(n, args.Rest[1]) {
				b.WriteString(n + "\n")
			}
		}
	default:
		return resource.Output{}, Refuse(c, "unknown verb")
	}
	return Print("%s", b.String())
}

func (a *Apt) aptMark(_ context.Context, h *Host, c resource.Command) (resource.Output, error) {
	if len(c.Args) != 2 || c.Args[0] != "auto" {
		return resource.Output{}, Refuse(c, "only auto is known")
	}
	return resource.Output{}, h.Change(func(*FS) error { a.auto[c.Args[1]] = true; return nil })
}
