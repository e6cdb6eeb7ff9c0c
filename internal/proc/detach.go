package proc

import (
	"math"
	"os/exec"
	"syscall"

	"golang.org/x/sys/unix"
)

// Detach makes the command one that may outlive this process: it gets a session
// of its own and, of this process's open files, only those that cmd names. What
// this process itself was given when it started is from now on its own: a lock of
// flock(1), or the pipe of whoever waits for updraft to end, would otherwise stay
// open for as long as the command runs.
func Detach(cmd *exec.Cmd) error {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	// close_range(2); files in cmd.ExtraFiles are duplicated after it.
	return unix.CloseRange(3, math.MaxUint32, unix.CLOSE_RANGE_CLOEXEC)
}
