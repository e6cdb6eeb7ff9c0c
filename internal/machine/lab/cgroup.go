package lab

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/updraft-cloud/updraft/internal/machine"
	"golang.org/x/sys/unix"
)

// The cgroup of a machine is updraft.lab/CLOUD/HOST in every hierarchy, with
// the parts "vm" (systemd-nspawn and all of the machine) and "keeper" (the
// shell that starts it again on reboot): cgroup v2 wants processes in leaves.
// Under systemd it is updraft.slice/UNIT, made by systemd, with the same parts.
const cgroupBase = "updraft.lab"

// pidsMax keeps a fork bomb inside its machine.
const pidsMax = 16384

// cgroups is the layout of this computer's control groups.
type cgroups struct {
	// track is the hierarchy in which processes are found again: cgroup v2
	// where there is one, otherwise systemd's named one.
	track string
	// split are the hierarchies in which systemd-nspawn makes groups itself,
	// v1 the controllers of version 1 by name.
	split []string
	v1    map[string]string
	// unified: controllers are those of v2. systemd: a running systemd owns them.
	unified, systemd bool
}

// findCgroups looks at what is mounted on and below root.
func findCgroups(root string) *cgroups {
	c := &cgroups{v1: map[string]string{}}
	if exists(filepath.Join(root, "cgroup.controllers")) {
		c.track, c.split, c.unified = root, []string{root}, true
		c.systemd = exists("/run/systemd/system")
		return c
	}
	for _, name := range []string{"unified", "systemd"} {
		if dir := filepath.Join(root, name); exists(filepath.Join(dir, "cgroup.procs")) {
			c.split = append(c.split, dir)
		}
	}
	if len(c.split) > 0 {
		c.track = c.split[0]
	}
	entries, _ := os.ReadDir(root)
	for _, e := range entries {
		dir := filepath.Join(root, e.Name())
		// cpuset is left alone: an empty group of it takes no process.
		skip := slices.Contains(c.split, dir) || e.Name() == "cpuset" || e.Type()&fs.ModeSymlink != 0
		if !skip && exists(filepath.Join(dir, "cgroup.procs")) {
			c.v1[e.Name()] = dir
		}
	}
	return c
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// unitName is the machine's unit where systemd starts it.
func unitName(cloud, host string) string { return "updraft-" + cloud + "." + host + ".service" }

// path is the machine's group relative to a hierarchy.
func (c *cgroups) path(cloud, host string) string {
	if c.systemd {
		return filepath.Join("updraft.slice", unitName(cloud, host))
	}
	return filepath.Join(cgroupBase, cloud, host)
}

// tracked is the directory in which the machine's processes are found.
func (c *cgroups) tracked(cloud, host string) string {
	return filepath.Join(c.track, c.path(cloud, host))
}

// prepare makes the machine's groups, unless systemd does.
func (c *cgroups) prepare(cloud, host string) error {
	if c.systemd {
		return nil
	}
	rel := c.path(cloud, host)
	for _, dir := range c.split {
		for _, part := range []string{"vm", "keeper"} {
			if err := os.MkdirAll(filepath.Join(dir, rel, part), 0o755); err != nil {
				return fmt.Errorf("make cgroup: %w", err)
			}
		}
	}
	for _, dir := range c.v1 {
		if err := os.MkdirAll(filepath.Join(dir, rel), 0o755); err != nil {
			return fmt.Errorf("make cgroup: %w", err)
		}
	}
	if c.unified {
		return c.delegate(rel)
	}
	return nil
}

// delegate hands the controllers that exist down to the machine's group.
func (c *cgroups) delegate(rel string) error {
	dir := c.track
	for _, part := range strings.Split(rel, "/") {
		b, err := os.ReadFile(filepath.Join(dir, "cgroup.controllers"))
		if err != nil {
			return fmt.Errorf("read cgroup controllers: %w", err)
		}
		for _, name := range []string{"cpu", "memory", "pids"} {
			if !slices.Contains(strings.Fields(string(b)), name) {
				continue
			}
			if err := os.WriteFile(filepath.Join(dir, "cgroup.subtree_control"), []byte("+"+name), 0); err != nil {
				return fmt.Errorf("delegate cgroup controller %s: %w", name, err)
			}
		}
		dir = filepath.Join(dir, part)
	}
	return nil
}

// joins are the files into which a process writes its number to join the part.
func (c *cgroups) joins(cloud, host, part string) []string {
	rel := c.path(cloud, host)
	var out []string
	for _, dir := range c.split {
		out = append(out, filepath.Join(dir, rel, part, "cgroup.procs"))
	}
	if part == "vm" {
		for _, dir := range c.v1 {
			out = append(out, filepath.Join(dir, rel, "cgroup.procs"))
		}
	}
	slices.Sort(out)
	return out
}

// knob is a file of a controller and what is to stand in it.
type knob struct{ path, value string }

// knobs are the limits of the machine, as far as there are controllers.
func (c *cgroups) knobs(m machine.Machine) []knob {
	rel := c.path(m.Cloud, m.Name)
	quota := int64(m.CPUs * 100000)
	var all []knob
	if c.unified {
		dir := filepath.Join(c.track, rel)
		all = []knob{
			{filepath.Join(dir, "memory.max"), orMax(m.Memory, "max")},
			{filepath.Join(dir, "cpu.max"), orMax(quota, "max") + " 100000"},
			{filepath.Join(dir, "pids.max"), strconv.Itoa(pidsMax)},
		}
	} else {
		all = []knob{
			{filepath.Join(c.v1["memory"], rel, "memory.limit_in_bytes"), orMax(m.Memory, "-1")},
			{filepath.Join(c.v1["cpu"], rel, "cpu.cfs_quota_us"), orMax(quota, "-1")},
			{filepath.Join(c.v1["pids"], rel, "pids.max"), strconv.Itoa(pidsMax)},
		}
	}
	return slices.DeleteFunc(all, func(k knob) bool { return !exists(k.path) })
}

func orMax(n int64, unlimited string) string {
	if n <= 0 {
		return unlimited
	}
	return strconv.FormatInt(n, 10)
}

// limit sets the machine's limits, in place if it runs.
func (c *cgroups) limit(m machine.Machine) error {
	for _, k := range c.knobs(m) {
		if err := os.WriteFile(k.path, []byte(k.value), 0); err != nil {
			return fmt.Errorf("set limit: %w", err)
		}
	}
	return nil
}

// procs returns the processes in a group and those below it, as far as the
// groups stay while it looks.
func procs(dir string) []int {
	var out []int
	b, _ := os.ReadFile(filepath.Join(dir, "cgroup.procs"))
	for _, f := range strings.Fields(string(b)) {
		if pid, err := strconv.Atoi(f); err == nil && pid > 0 {
			out = append(out, pid)
		}
	}
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		if e.IsDir() {
			out = append(out, procs(filepath.Join(dir, e.Name()))...)
		}
	}
	return out
}

// running reports whether any process of the machine is there.
func (c *cgroups) running(cloud, host string) bool {
	dir := c.tracked(cloud, host)
	b, err := os.ReadFile(filepath.Join(dir, "cgroup.events"))
	if err == nil {
		return strings.Contains(string(b), "populated 1")
	}
	return len(procs(dir)) > 0
}

// kill ends all processes of the machine at once and waits until they are gone.
func (c *cgroups) kill(ctx context.Context, cloud, host string) error {
	dir := c.tracked(cloud, host)
	err := poll(ctx, func() (bool, error) {
		if !c.running(cloud, host) {
			return true, nil
		}
		return false, killGroup(dir)
	})
	if err != nil {
		return fmt.Errorf("cannot kill machine %s: %w", host, err)
	}
	return nil
}

// killGroup kills through cgroup.kill (Linux 5.14), or one by one.
func killGroup(dir string) error {
	err := os.WriteFile(filepath.Join(dir, "cgroup.kill"), []byte("1"), 0)
	if err == nil || !errors.Is(err, fs.ErrNotExist) {
		return ignore(err, unix.ENODEV)
	}
	for _, pid := range procs(dir) {
		if err := signalMember(dir, pid, unix.SIGKILL); err != nil {
			return err
		}
	}
	return nil
}

// signalMember signals the process if it is in the group or below: the check
// comes after a descriptor fixed which process the number means.
func signalMember(dir string, pid int, sig unix.Signal) error {
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return ignore(err, unix.ESRCH)
	}
	defer unix.Close(fd)
	if !slices.Contains(procs(dir), pid) {
		return nil
	}
	return ignore(unix.PidfdSendSignal(fd, sig, nil, 0), unix.ESRCH)
}

// remove takes the machine's groups away. The kernel may need a moment after the
// last process, so it is asked again until ctx ends. A keeper whose updraft was
// killed may still join meanwhile: it is killed, too.
func (c *cgroups) remove(ctx context.Context, cloud, host string) error {
	if c.systemd {
		return nil // systemd does, with the unit
	}
	for _, dir := range append(slices.Clone(c.split), mapValues(c.v1)...) {
		path := filepath.Join(dir, c.path(cloud, host))
		err := poll(ctx, func() (bool, error) {
			if gone, err := removeGroup(path); gone || err != nil {
				return gone, err
			}
			if c.running(cloud, host) {
				return false, killGroup(c.tracked(cloud, host))
			}
			return false, nil
		})
		if err != nil {
			return fmt.Errorf("cannot remove cgroup %s: %w", path, err)
		}
	}
	return nil
}

// removeCloud takes the cloud's group away, and the base if it is empty.
func (c *cgroups) removeCloud(cloud string) {
	for _, dir := range append(slices.Clone(c.split), mapValues(c.v1)...) {
		_ = unix.Rmdir(filepath.Join(dir, cgroupBase, cloud))
		_ = unix.Rmdir(filepath.Join(dir, cgroupBase)) // fails while another cloud is there
	}
}

// removeGroup removes a group and all below; false means busy.
func removeGroup(path string) (bool, error) {
	entries, err := os.ReadDir(path)
	if errors.Is(err, fs.ErrNotExist) {
		return true, nil
	}
	done := true
	for _, e := range entries {
		if e.IsDir() {
			ok, err := removeGroup(filepath.Join(path, e.Name()))
			if err != nil {
				return false, err
			}
			done = done && ok
		}
	}
	if !done {
		return false, nil
	}
	err = unix.Rmdir(path)
	if errors.Is(err, unix.EBUSY) || errors.Is(err, unix.ENOTEMPTY) {
		return false, nil
	}
	return err == nil || errors.Is(err, unix.ENOENT), ignore(err, unix.ENOENT)
}

func mapValues(m map[string]string) []string {
	var out []string
	for _, v := range m {
		out = append(out, v)
	}
	slices.Sort(out)
	return out
}

// machines returns the names of the cloud's machines that have a group.
func (c *cgroups) machines(cloud string) []string {
	var out []string
	if c.systemd {
		units, _ := filepath.Glob(filepath.Join(c.track, "updraft.slice", unitName(cloud, "*")))
		for _, u := range units {
			name := strings.TrimSuffix(filepath.Base(u), ".service")
			out = append(out, strings.TrimPrefix(name, "updraft-"+cloud+"."))
		}
		return out
	}
	for _, dir := range append(slices.Clone(c.split), mapValues(c.v1)...) {
		entries, _ := os.ReadDir(filepath.Join(dir, cgroupBase, cloud))
		for _, e := range entries {
			if e.IsDir() && !slices.Contains(out, e.Name()) {
				out = append(out, e.Name())
			}
		}
	}
	return out
}
