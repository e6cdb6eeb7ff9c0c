package lab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/updraft-cloud/updraft/internal/machine"
	"github.com/updraft-cloud/updraft/internal/proc"
	"github.com/updraft-cloud/updraft/internal/retry"
	"golang.org/x/sys/unix"
)

// keeperScript mounts the overlay and keeps the machine going across reboots:
// systemd-nspawn with --keep-unit ends with status 133 when the machine reboots
// and leaves the rest to whoever started it. The script runs in a mount
// namespace of its own, so that the overlay is gone when it ends.
//
// Arguments: mount point, overlay options, the files to join a cgroup by for the
// keeper, "--", those for the machine, "--", command. With the keeper out of the
// way, in a leaf, the controllers that the group has go on to the machine. When
// it is under way it says so on descriptor 3, if there is one; its reader may be
// dead by then. The lock is on the mount point: of two keepers, such as that of
// an updraft that was killed and that of the next one, the second gives up. A
// volatile overlay that was not unmounted in order refuses to be mounted: the
// mark of that is removed under the lock, where no other keeper can set it again.
const keeperScript = `
root=$1; options=$2; shift 2
trap '' PIPE
exec 9<"$root"
flock --nonblock 9 || { { echo busy >&3; } 2>/dev/null; exit 75; }
dir() { [ -d "${1%/*}" ] || mkdir -p "${1%/*}"; }
while [ "$1" != -- ]; do
	dir "$1"
	echo $$ >"$1"
	for controller in cpu memory pids; do
		echo "+$controller" >"${1%/keeper/*}/cgroup.subtree_control" || :
	done 2>/dev/null
	shift
done
shift
groups=
while [ "$1" != -- ]; do
	dir "$1"
	groups="$groups $1"
	shift
done
shift
rm -rf "${root%/*}/work/work/incompat"
mount -t overlay overlay -o "$options" "$root"
{ echo ok >&3; } 2>/dev/null || :
exec 3>&-
trap - PIPE
while :; do
	status=0
	sh -ec 'for f in $0; do echo $$ >"$f"; done; exec "$@"' "$groups" "$@" 9<&- || status=$?
	[ "$status" = 133 ] || exit "$status"
done
`

// nspawnEnv are settings that systemd-nspawn takes from its environment.
// Seccomp is off because its filter forbids keyctl, which container runtimes
// started by the machine's systemd need. The machine gets a cgroup v2 of its
// own in any case. Only network settings in /proc/sys are writable: with a
// writable /sys, networkd would wait for a udev that never runs.
var nspawnEnv = []string{
	"SYSTEMD_SECCOMP=0", "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1", "SYSTEMD_NSPAWN_API_VFS_WRITABLE=network",
	"SYSTEMD_NSPAWN_LOCK=0", "LANG=C.UTF-8", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
}

// fuseDevice is where programs that serve file systems talk to the kernel. What
// is opened there belongs to the one who opened it, and mounts appear in their own
// mount namespace: machines that have it see nothing of each other's.
const fuseDevice = "/dev/fuse"

// fuse reports whether the machine is given that device.
func fuse(m machine.Machine) bool { return m.FUSE || settingsOf(m.Settings).FUSE == "true" }

// nspawn is the command line that boots the machine.
func (p *Provider) nspawn(m machine.Machine) []string {
	dir := p.hostDir(m.Cloud, m.Name)
	args := []string{
		"systemd-nspawn", "--quiet", "--register=no", "--keep-unit", "--boot", "--machine=" + m.Name,
		"--directory=" + filepath.Join(dir, "root"),
		"--network-namespace-path=/run/netns/" + HostNamespace(m.Cloud, m.Name),
		"--capability=all", "--console=read-only", "--resolv-conf=off", "--timezone=off", "--link-journal=no",
		"--setenv=LD_LIBRARY_PATH=" + noBPF,
		"--bind=" + filepath.Join(dir, "containers") + ":/var/lib/containers",
	}
	if exists("/dev/net/tun") {
		args = append(args, "--bind=/dev/net/tun")
	}
	if fuse(m) && exists(fuseDevice) {
		args = append(args, "--bind="+fuseDevice)
	}
	for _, s := range m.Shares {
		args = append(args, "--bind-ro="+s.Source+":"+s.Target)
	}
	return args
}

// overlayOptions are those of the machine's root. volatile leaves out all syncing
// to disk: the page cache keeps what a power cut of the machine leaves, and only
// a crash of this computer can lose it.
func (p *Provider) overlayOptions(m machine.Machine) string {
	dir := p.hostDir(m.Cloud, m.Name)
	return fmt.Sprintf("lowerdir=%s,upperdir=%s/upper,workdir=%s/work,volatile", p.rootDir(imageID(m)), dir, dir)
}

// launch starts the machine's processes and returns when its init is there.
func (p *Provider) launch(ctx context.Context, m machine.Machine) error {
	// New groups for each boot: seen on Linux 6.18, what is forked into a
	// fresh group below one that was emptied through cgroup.kill is killed too.
	if err := p.cg.remove(ctx, m.Cloud, m.Name); err != nil {
		return err
	}
	if err := p.cg.prepare(m.Cloud, m.Name); err != nil {
		return err
	}
	console, err := os.OpenFile(p.ConsoleLog(m.Cloud, m.Name), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer console.Close()
	start, err := console.Seek(0, 2)
	if err != nil {
		return err
	}
	if err := p.start(ctx, m, console); err != nil {
		return p.withConsole(err, m, start)
	}
	if !p.cg.systemd {
		if err := p.cg.limit(m); err != nil {
			return err
		}
	}
	return p.withConsole(p.awaitInit(ctx, m), m, start)
}

// keeper is the command line of the machine's outermost process.
func (p *Provider) keeper(m machine.Machine) []string {
	args := []string{
		"unshare", "--mount", "--propagation=slave", "sh", "-ec", keeperScript, "updraft-keeper",
		filepath.Join(p.hostDir(m.Cloud, m.Name), "root"), p.overlayOptions(m),
	}
	args = append(append(args, p.cg.joins(m.Cloud, m.Name, "keeper")...), "--")
	args = append(append(args, p.cg.joins(m.Cloud, m.Name, "vm")...), "--")
	return append(args, p.nspawn(m)...)
}

// start starts the keeper so that it is no child of this process: by a shell
// that ends at once, or by systemd.
func (p *Provider) start(ctx context.Context, m machine.Machine, console *os.File) error {
	if p.cg.systemd {
		return p.startUnit(ctx, m)
	}
	ready, theirs, err := os.Pipe()
	if err != nil {
		return err
	}
	defer ready.Close()
	_ = ready.SetReadDeadline(time.Now().Add(initTimeout))
	cmd := exec.Command("sh", append([]string{"-c", `"$@" &`, "sh"}, p.keeper(m)...)...)
	cmd.Env, cmd.Dir = nspawnEnv, "/"
	cmd.Stdout, cmd.Stderr, cmd.ExtraFiles = console, console, []*os.File{theirs}
	if err = proc.Detach(cmd); err == nil {
		err = cmd.Run()
	}
	theirs.Close()
	if err != nil {
		return fmt.Errorf("start systemd-nspawn: %w", err)
	}
	// Also when ctx has ended: a machine is either under way or not started.
	switch b, err := io.ReadAll(ready); {
	case strings.HasPrefix(string(b), "busy"):
		return retry.Mark(errors.New("another process is starting it"), retry.Transient)
	case len(b) == 0:
		return errors.Join(errors.New("its root could not be mounted"), err)
	}
	return nil
}

// startUnit has systemd start the machine in a unit of its own, whose cgroup is
// delegated to it.
func (p *Provider) startUnit(ctx context.Context, m machine.Machine) error {
	console := p.ConsoleLog(m.Cloud, m.Name)
	args := []string{
		"--quiet", "--unit=" + unitName(m.Cloud, m.Name), "--slice=updraft.slice", "--collect",
		"-p", "Delegate=yes", "-p", "KillMode=mixed", "-p", "TimeoutStopSec=20s", "-p", "TasksMax=" + strconv.Itoa(pidsMax),
		"-p", "StandardOutput=append:" + console, "-p", "StandardError=append:" + console,
	}
	if m.Memory > 0 {
		args = append(args, "-p", "MemoryMax="+strconv.FormatInt(m.Memory, 10))
	}
	if m.CPUs > 0 {
		args = append(args, "-p", fmt.Sprintf("CPUQuota=%.0f%%", m.CPUs*100))
	}
	for _, e := range nspawnEnv {
		args = append(args, "--setenv="+e)
	}
	args = append(args, "--")
	for _, a := range p.keeper(m) {
		args = append(args, strings.ReplaceAll(a, "$", "$$")) // systemd expands variables
	}
	out, err := exec.CommandContext(ctx, "systemd-run", args...).CombinedOutput()
	if err != nil && strings.Contains(string(out), "was already loaded") {
		return retry.Mark(errors.New("systemd is starting it for another process"), retry.Transient)
	}
	if err != nil {
		return fmt.Errorf("systemd-run: %w: %s", err, strings.TrimSpace(string(out)))
	}
	return nil
}

// initTimeout bounds the time from starting systemd-nspawn to the machine's
// init. It takes 0.1 s, and 5 s when a hundred start at once on two cores.
const initTimeout = 60 * time.Second

// awaitInit waits until the machine's init is there, or the keeper has ended.
func (p *Provider) awaitInit(ctx context.Context, m machine.Machine) error {
	ctx, cancel := context.WithTimeout(ctx, initTimeout)
	defer cancel()
	return poll(ctx, func() (bool, error) {
		if !p.cg.running(m.Cloud, m.Name) {
			return false, errors.New("systemd-nspawn ended")
		}
		return p.initPID(m.Cloud, m.Name) > 0, nil
	})
}

// withConsole adds to an error what the console got since the given offset.
func (p *Provider) withConsole(err error, m machine.Machine, offset int64) error {
	b, _ := os.ReadFile(p.ConsoleLog(m.Cloud, m.Name))
	if err == nil || int64(len(b)) <= offset {
		return err
	}
	return fmt.Errorf("%w: %s", err, tail(string(b[offset:]), 5))
}

// initPID returns the number that the machine's init has here, or 0.
func (p *Provider) initPID(cloud, host string) int {
	dir := filepath.Join(p.cg.tracked(cloud, host), "vm")
	// systemd moves itself from payload into init.scope early on: between two
	// looks it may be in neither, so the first place is looked at once more.
	for _, sub := range []string{"payload/init.scope", "payload", ".", "payload/init.scope"} {
		b, _ := os.ReadFile(filepath.Join(dir, sub, "cgroup.procs"))
		for _, f := range strings.Fields(string(b)) {
			if pid, err := strconv.Atoi(f); err == nil && isInit(pid) {
				return pid
			}
		}
	}
	return 0
}

// isInit reports whether the process is number 1 of a namespace directly below
// ours: NSpid of proc_pid_status(5) has our number and then 1.
func isInit(pid int) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return false
	}
	for line := range strings.Lines(string(b)) {
		if v, ok := strings.CutPrefix(line, "NSpid:"); ok {
			f := strings.Fields(v)
			return len(f) == 2 && f[1] == "1"
		}
	}
	return false
}

// powerOffSignal asks systemd as init to power off (systemd(1), SIGNALS).
const powerOffSignal = unix.Signal(34 + 4) // SIGRTMIN+4 as glibc counts
