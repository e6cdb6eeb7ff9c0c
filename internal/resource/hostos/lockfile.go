package hostos

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/updraft-cloud/updraft/internal/retry"
)

// As lckpwdf(3) does it: 15 s of patience, after which it is an error. The lock
// is that of the open file, which no other one of this process can drop, and
// which stands against the older locks of processes (fcntl(2)).
const (
	lockPatience = 15 * time.Second
	lockEvery    = 20 * time.Millisecond
)

// LockFile waits for the lock on a file.
func (h *Host) LockFile(ctx context.Context, name string) (unlock func(), err error) {
	if err := checkPath("lock", name); err != nil {
		return nil, err
	}
	file, err := h.tree.OpenFile(name, os.O_WRONLY|os.O_CREATE|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, err
	}
	whole := unix.Flock_t{Type: unix.F_WRLCK, Whence: io.SeekStart}
	ctx, cancel := context.WithTimeoutCause(ctx, lockPatience, errors.New("another program keeps it"))
	defer cancel()
	for {
		err = unix.FcntlFlock(file.Fd(), unix.F_OFD_SETLK, &whole)
		if err == nil {
			return func() { file.Close() }, nil
		}
		if !errors.Is(err, unix.EAGAIN) && !errors.Is(err, unix.EACCES) {
			break
		}
		if !retry.Wait(ctx, lockEvery) {
			err = context.Cause(ctx)
			break
		}
	}
	file.Close()
	return nil, retry.Mark(fmt.Errorf("cannot lock %s: %w", name, err), retry.Transient)
}
