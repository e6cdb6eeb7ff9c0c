package lab

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/updraft-cloud/updraft/internal/aptconf"
	"github.com/updraft-cloud/updraft/internal/drift"
	"github.com/updraft-cloud/updraft/internal/machine"
	"github.com/updraft-cloud/updraft/internal/retry"
	"golang.org/x/sys/unix"
)

// Settings are the lab's own settings of a group of hosts.
type Settings struct {
	Suite    string `json:"suite,omitempty" doc:"Debian suite of the hosts' root file system, trixie by default."`
	Mirror   string `json:"mirror,omitempty" doc:"Package mirror to build the root file system from; this computer's own by default."`
	FUSE     string `json:"fuse,omitempty" doc:"true gives the hosts /dev/fuse, by which programs on them can serve file systems."`
	Packages string `json:"packages,omitempty" doc:"Further packages in the root file system, separated by blanks."`
}

func settingsOf(m map[string]string) Settings {
	return Settings{Suite: m["suite"], Mirror: m["mirror"], FUSE: m["fuse"], Packages: m["packages"]}
}

func (s Settings) suite() string { return cmp.Or(s.Suite, "trixie") }

// basePackages are what a host is made of. What configsets need beyond is
// installed by them.
var basePackages = []string{
	"ca-certificates", "dbus", "iproute2", "iputils-ping", "netbase",
	"openssh-server", "sudo", "systemd", "systemd-sysv",
}

// revision changes when the way of building roots does.
const revision = "1"

// imageOf returns the image that a machine runs on. The mirror is no part of
// the recipe: all mirrors have the same packages.
func imageOf(settings map[string]string) machine.Image {
	s := settingsOf(settings)
	packages := append(slices.Clone(basePackages), strings.Fields(s.Packages)...)
	slices.Sort(packages)
	recipe := []string{"suite " + s.suite(), "variant minbase", "packages " + strings.Join(slices.Compact(packages), " ")}
	h := sha256.New()
	for _, line := range append(slices.Clone(recipe), "revision "+revision, customDigest()) {
		fmt.Fprintln(h, line)
	}
	id := s.suite() + "-" + hex.EncodeToString(h.Sum(nil))[:12]
	return machine.Image{ID: id, Recipe: recipe, Settings: settings}
}

// Images returns the root file systems of the topology's machines.
func (p *Provider) Images(t machine.Topology) []machine.Image {
	var out []machine.Image
	for _, m := range t.Machines {
		i := imageOf(rootSettings(m))
		if !slices.ContainsFunc(out, func(o machine.Image) bool { return o.ID == i.ID }) {
			out = append(out, i)
		}
	}
	return out
}

// imageID returns the image that the machine is to run on.
func imageID(m machine.Machine) string { return cmp.Or(m.Image, imageOf(rootSettings(m)).ID) }

// rootSettings are those of the machine's root, with what is to be preinstalled.
func rootSettings(m machine.Machine) map[string]string {
	if len(m.Preinstall) == 0 {
		return m.Settings
	}
	s := maps.Clone(m.Settings)
	if s == nil {
		s = map[string]string{}
	}
	s["packages"] = strings.TrimSpace(s["packages"] + " " + strings.Join(m.Preinstall, " "))
	return s
}

func (p *Provider) rootDir(image string) string { return filepath.Join(p.opts.CacheDir, image) }

// ObserveImage tells whether the root is in the cache. Roots appear there
// complete or not at all.
func (p *Provider) ObserveImage(_ context.Context, i machine.Image) (drift.Report, error) {
	if !exists(p.rootDir(i.ID)) {
		return drift.Missing(), nil
	}
	return drift.Report{Status: drift.InSync}, nil
}

// EnsureImage builds the root file system unless it is cached. One build runs
// at a time on this computer; what killed builds left is removed first.
func (p *Provider) EnsureImage(ctx context.Context, i machine.Image, log machine.Log) error {
	if err := os.MkdirAll(p.opts.CacheDir, 0o755); err != nil {
		return fmt.Errorf("cannot build image %s: %w", i.ID, err)
	}
	unlock, err := p.lockCache(ctx)
	if err != nil {
		return fmt.Errorf("cannot build image %s: %w", i.ID, err)
	}
	defer unlock()
	if err := p.removeStaleBuilds(); err != nil {
		return fmt.Errorf("cannot build image %s: %w", i.ID, err)
	}
	if exists(p.rootDir(i.ID)) {
		return nil
	}
	tmp, err := os.MkdirTemp(p.opts.CacheDir, ".build-")
	if err != nil {
		return fmt.Errorf("cannot build image %s: %w", i.ID, err)
	}
	if err := p.build(ctx, i, tmp, log); err != nil {
		return errors.Join(fmt.Errorf("cannot build image %s: %w", i.ID, err), os.RemoveAll(tmp))
	}
	return os.Rename(filepath.Join(tmp, "root"), p.rootDir(i.ID))
}

// lockCache waits for other builds on this computer.
func (p *Provider) lockCache(ctx context.Context) (func(), error) {
	f, err := os.OpenFile(filepath.Join(p.opts.CacheDir, ".lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	err = poll(ctx, func() (bool, error) {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		return err == nil, ignore(err, unix.EWOULDBLOCK)
	})
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("lock the cache: %w", err)
	}
	return func() { f.Close() }, nil
}

// removeStaleBuilds is called with the cache locked, so that every build
// directory is one of a build that died.
func (p *Provider) removeStaleBuilds() error {
	stale, _ := filepath.Glob(filepath.Join(p.opts.CacheDir, ".build-*"))
	for _, dir := range stale {
		if err := detachMounts(dir); err != nil {
			return err
		}
		if err := os.RemoveAll(dir); err != nil {
			return err
		}
	}
	return nil
}

func (p *Provider) build(ctx context.Context, i machine.Image, tmp string, log machine.Log) error {
	s := settingsOf(i.Settings)
	m, err := hostMirror(s)
	if err != nil {
		return err
	}
	root := filepath.Join(tmp, "root")
	log("building root file system %s from %s (once, some 20 to 60 s)", i.ID, m.URI)
	cmd := exec.CommandContext(ctx, "mmdebstrap", bootstrapArgs(ctx, s, m, root)...)
	cmd.Env = append(os.Environ(), "TMPDIR="+tmp, "LC_ALL=C.UTF-8", "DEBIAN_FRONTEND=noninteractive")
	cmd.Cancel = func() error { return cmd.Process.Signal(unix.SIGTERM) } // it cleans up its mounts
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		return retry.Mark(fmt.Errorf("mmdebstrap: %w\n%s", err, tail(out.String(), 15)), retry.Transient)
	}
	return customise(root)
}

// hostMirror returns the mirror that the settings name, or this computer's own.
func hostMirror(s Settings) (aptconf.Mirror, error) {
	if s.Mirror != "" {
		return aptconf.Mirror{URI: s.Mirror, Keyring: aptconf.Keyring()}, nil
	}
	return aptconf.HostMirror(s.suite())
}

// bootstrapArgs are the arguments of mmdebstrap(1).
func bootstrapArgs(ctx context.Context, s Settings, m aptconf.Mirror, root string) []string {
	packages := append(slices.Clone(basePackages), strings.Fields(s.Packages)...)
	args := []string{
		"--mode=root", "--variant=minbase", "--format=directory",
		"--include=" + strings.Join(packages, ","),
		"--aptopt=Acquire::Languages \"none\"",
		"--dpkgopt=force-unsafe-io",
		// 101: the action is not allowed (invoke-rc.d policy): nothing starts while building.
		`--setup-hook=mkdir -p "$1/usr/sbin" && printf '#!/bin/sh\nexit 101\n' >"$1/usr/sbin/policy-rc.d" && chmod 755 "$1/usr/sbin/policy-rc.d"`,
	}
	for _, dir := range []string{"man", "doc", "locale", "info", "lintian"} {
		args = append(args, "--dpkgopt=path-exclude=/usr/share/"+dir+"/*")
	}
	args = append(args, "--dpkgopt=path-include=/usr/share/doc/*/copyright")
	for _, line := range aptconf.Proxies(ctx) {
		args = append(args, "--aptopt="+line)
	}
	if m.Keyring != "" {
		args = append(args, "--keyring="+m.Keyring)
	}
	return append(args, s.suite(), root, m.URI)
}

// tail returns the last n lines.
func tail(s string, n int) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}

// detachMounts unmounts everything below dir, the deepest first.
func detachMounts(dir string) error {
	b, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return err
	}
	lines := strings.Split(string(b), "\n")
	slices.Reverse(lines)
	for _, line := range lines {
		f := strings.Fields(line)
		if len(f) > 1 && strings.HasPrefix(f[1], dir+"/") {
			if err := unix.Unmount(f[1], unix.MNT_DETACH); err != nil {
				return fmt.Errorf("unmount %s: %w", f[1], err)
			}
		}
	}
	return nil
}
