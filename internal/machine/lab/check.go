package lab

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/updraft-cloud/updraft/internal/diag"
	"github.com/updraft-cloud/updraft/internal/machine"
	"golang.org/x/sys/unix"
)

// What a host costs, measured: 17 to 20 MiB for an idle one, and some 40 MiB on
// disk before anything is installed on it. A root takes some 300 MiB.
const (
	idleMemory = 25 << 20
	hostDisk   = 60 << 20
	rootDisk   = 600 << 20
)

// tools are the programs that the lab runs and the Debian packages they are in.
var tools = []struct{ name, pkg string }{
	{"systemd-nspawn", "systemd-container"}, {"mmdebstrap", "mmdebstrap"},
	{"unshare", "util-linux"}, {"nsenter", "util-linux"}, {"flock", "util-linux"}, {"mount", "mount"}, {"sh", "dash"}, {"cp", "coreutils"},
}

// Check reports everything that keeps the topology from being made here.
func (p *Provider) Check(_ context.Context, t machine.Topology) diag.List {
	var out diag.List
	none := diag.Pos{}
	if os.Geteuid() != 0 {
		out.Errorf(none, "provider", "run updraft as root, or use another provider", "the lab needs root to make namespaces and containers")
	}
	for _, tool := range tools {
		if tool.name == "mmdebstrap" && p.cached(t) {
			continue
		}
		if _, err := exec.LookPath(tool.name); err != nil {
			out.Errorf(none, "provider", "install the package "+tool.pkg, "the lab needs %s", tool.name)
		}
	}
	if p.cg.track == "" {
		out.Errorf(none, "provider", "mount cgroup2 on /sys/fs/cgroup", "the lab needs control groups")
	}
	if b, err := os.ReadFile("/proc/filesystems"); err == nil && !strings.Contains(string(b), "\toverlay\n") {
		out.Errorf(none, "provider", "load the module overlay", "the lab needs overlayfs")
	}
	if strings.ContainsAny(p.opts.DataDir+p.opts.CacheDir, ":,\\ \t\n'\"") {
		out.Errorf(none, "provider", "choose another directory", "the lab's directories may not hold blanks, quotes, colons, commas or backslashes")
	}
	if err := p.owned(t.Cloud); err != nil {
		out.Errorf(none, "name", "", "%v", err)
	}
	checkTopology(&out, t)
	if slices.ContainsFunc(t.Machines, fuse) && !exists(fuseDevice) {
		out.Errorf(none, "provider", "load the module fuse (modprobe fuse)", "machines mount file systems of their own, and this computer has no %s", fuseDevice)
	}
	checkUplink(&out, t)
	p.checkRoom(&out, t)
	return out
}

func (p *Provider) cached(t machine.Topology) bool {
	for _, i := range p.Images(t) {
		if !exists(p.rootDir(i.ID)) {
			return false
		}
	}
	return true
}

// checkTopology reports what the lab cannot make.
func checkTopology(out *diag.List, t machine.Topology) {
	if err := checkName(t.Cloud); err != nil {
		out.Errorf(diag.Pos{}, "name", "", "cloud %q: %v", t.Cloud, err)
	}
	for _, m := range t.Machines {
		if err := checkMachine(m); err != nil {
			out.Errorf(diag.Pos{}, "hosts."+m.Name, "", "machine %s: %v", m.Name, err)
		}
		if m.Disk > 0 {
			out.Warnf(diag.Pos{}, "hosts."+m.Name+".disk", "", "machine %s: the lab does not limit disk space", m.Name)
		}
	}
}

// checkMachine reports everything about the machine that could not be made.
func checkMachine(m machine.Machine) error {
	errs := []error{checkName(m.Name)}
	if len(m.NICs) == 0 {
		errs = append(errs, errors.New("it has no network interface"))
	}
	for _, nic := range m.NICs {
		if nic.Name == "" || nic.Name == "lo" || len(nic.Name) > maxLinkName || strings.ContainsAny(nic.Name, "/: \t\n") {
			errs = append(errs, fmt.Errorf("%q cannot be the name of an interface", nic.Name))
		}
		if mac, err := net.ParseMAC(nic.MAC); err != nil || len(mac) != 6 || mac[0]&1 != 0 {
			errs = append(errs, fmt.Errorf("%q cannot be the MAC of an interface", nic.MAC))
		}
		if !nic.Address.IsValid() {
			errs = append(errs, fmt.Errorf("interface %s has no address", nic.Name))
		}
	}
	for _, name := range []string{m.Settings["suite"]} {
		if strings.ContainsAny(name, " \t\n/") {
			errs = append(errs, fmt.Errorf("%q cannot be a suite", name))
		}
	}
	for _, name := range strings.Fields(m.Settings["packages"]) {
		if strings.ContainsAny(name, ",?!~()") || strings.HasPrefix(name, "-") {
			errs = append(errs, fmt.Errorf("%q cannot be a package", name))
		}
	}
	return errors.Join(errs...)
}

// checkRoom compares what the machines that do not run yet need with what is free.
func (p *Provider) checkRoom(out *diag.List, t machine.Topology) {
	var idle, limits, disk int64
	for _, i := range p.Images(t) {
		if !exists(p.rootDir(i.ID)) {
			disk += rootDisk
		}
	}
	for _, m := range t.Machines {
		if !exists(p.hostDir(m.Cloud, m.Name)) {
			disk += hostDisk + m.Room.Disk
		}
		if !p.cg.running(m.Cloud, m.Name) {
			least := max(m.Room.Memory, idleMemory)
			idle += least
			limits += max(m.Memory, least)
		}
	}
	if free := availableMemory(); free > 0 && idle > free {
		out.Errorf(diag.Pos{}, "hosts", "ask for fewer hosts", "%d MiB of memory are available, and the hosts need %d when idle", free>>20, idle>>20)
	} else if free > 0 && limits > free {
		out.Warnf(diag.Pos{}, "hosts", "", "%d MiB of memory are available, and the hosts may use up to %d", free>>20, limits>>20)
	}
	dir := p.opts.DataDir
	for !exists(dir) && dir != "/" {
		dir = filepath.Dir(dir)
	}
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err == nil {
		if free := int64(st.Bavail) * st.Bsize; free < disk {
			out.Errorf(diag.Pos{}, "hosts", "make room, or ask for fewer hosts", "%d MiB are free below %s, and the lab needs some %d", free>>20, dir, disk>>20)
		}
	}
}

// availableMemory returns MemAvailable of proc_meminfo(5) in bytes, 0 if unknown.
func availableMemory() int64 {
	b, _ := os.ReadFile("/proc/meminfo")
	for line := range strings.Lines(string(b)) {
		if v, ok := strings.CutPrefix(line, "MemAvailable:"); ok {
			n, _ := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(v), " kB"), 10, 64)
			return n << 10
		}
	}
	return 0
}

// sysctls are limits of this computer that a few dozen hosts outgrow: all of
// them are one user to the kernel, and each systemd holds some ten inotify
// instances. They are raised, never lowered, and not set back: a limit that is
// higher than needed has no other effect.
var sysctls = []struct {
	path string
	min  int
}{
	{"/proc/sys/fs/inotify/max_user_instances", 8192},
	{"/proc/sys/fs/inotify/max_user_watches", 262144},
}

// raiseLimits says in the log what it raised.
func raiseLimits(log machine.Log) {
	for _, s := range sysctls {
		b, err := os.ReadFile(s.path)
		if err != nil {
			continue
		}
		if now, err := strconv.Atoi(strings.TrimSpace(string(b))); err != nil || now >= s.min {
			continue
		}
		if err := os.WriteFile(s.path, []byte(strconv.Itoa(s.min)), 0); err == nil {
			log("raised %s from %s to %d", s.path, strings.TrimSpace(string(b)), s.min)
		}
	}
}
