// Package proc names processes so that they can be found again, and never
// mistaken for another that got the same number later.
//
// A process is named by its PID and its start time in clock ticks since boot
// (proc_pid_stat(5), field 22). Signals go through a pidfd (pidfd_open(2)) that
// is checked after it was opened, so that no other process is ever hit.
package proc

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// ID names one process for as long as the computer runs.
type ID struct {
	PID   int    `json:"pid"`
	Start uint64 `json:"start"` // clock ticks since boot
}

// ErrGone means that the process is no longer there.
var ErrGone = errors.New("process is gone")

// Of returns the name of the running process pid.
func Of(pid int) (ID, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if errors.Is(err, os.ErrNotExist) {
		return ID{}, ErrGone
	}
	if err != nil {
		return ID{}, err
	}
	// The command, in parentheses, may itself hold spaces and parentheses.
	rest := data[bytes.LastIndexByte(data, ')')+1:]
	fields := bytes.Fields(rest)
	if len(fields) < 20 {
		return ID{}, fmt.Errorf("cannot read /proc/%d/stat: it has %d fields", pid, len(fields))
	}
	if fields[0][0] == 'Z' || fields[0][0] == 'X' {
		return ID{}, ErrGone // dead, not yet reaped
	}
	start, err := strconv.ParseUint(string(fields[19]), 10, 64)
	return ID{PID: pid, Start: start}, err
}

// Alive reports whether the process still runs.
func (id ID) Alive() bool {
	now, err := Of(id.PID)
	return err == nil && id.PID > 0 && now == id
}

// Signal sends a signal. It returns [ErrGone] if the process has ended.
func (id ID) Signal(sig unix.Signal) error {
	return id.with(func(fd int) error { return unix.PidfdSendSignal(fd, sig, nil, 0) })
}

// Wait waits until the process has ended, or ctx has.
func (id ID) Wait(ctx context.Context) error {
	err := id.with(func(fd int) error {
		for {
			// Short polls, so that the end of ctx is noticed; the process'
			// own end wakes the poll at once.
			n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 50)
			if err != nil && !errors.Is(err, unix.EINTR) {
				return err
			}
			if n > 0 {
				return nil
			}
			if ctx.Err() != nil {
				return ctx.Err()
			}
		}
	})
	if errors.Is(err, ErrGone) {
		return nil
	}
	return err
}

// Stop asks the process to end with SIGTERM, and kills it after grace.
func (id ID) Stop(ctx context.Context, grace time.Duration) error {
	if err := id.Signal(unix.SIGTERM); err != nil {
		return ignoreGone(err)
	}
	soft, cancel := context.WithTimeout(ctx, grace)
	defer cancel()
	if err := id.Wait(soft); err == nil || ctx.Err() != nil {
		return err
	}
	if err := id.Signal(unix.SIGKILL); err != nil {
		return ignoreGone(err)
	}
	return id.Wait(ctx)
}

func ignoreGone(err error) error {
	if errors.Is(err, ErrGone) {
		return nil
	}
	return err
}

func (id ID) with(f func(fd int) error) error {
	if id.PID <= 0 {
		return ErrGone
	}
	fd, err := unix.PidfdOpen(id.PID, 0)
	if errors.Is(err, unix.ESRCH) {
		return ErrGone
	}
	if err != nil {
		return os.NewSyscallError("pidfd_open", err)
	}
	defer unix.Close(fd)
	if !id.Alive() {
		return ErrGone
	}
	if err := f(fd); errors.Is(err, unix.ESRCH) {
		return ErrGone
	} else if err != nil {
		return err
	}
	return nil
}
