// Package netns makes network namespaces and works inside them.
//
// It guarantees that no thread of the process is ever left in a namespace that
// is not its own: work is done on a thread of its own, which goes back to where
// it came from, or ends if it cannot. Named namespaces are those of ip-netns(8):
// bind mounts below /run/netns, seen by "ip netns list".
//
// A socket belongs to the namespace of the thread that made it for as long as it
// lives, so dialling and listening hold a thread only while the socket is made.
package netns

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"
)

// Dir is where ip-netns(8) keeps named namespaces.
const Dir = "/run/netns"

// NS is an open network namespace. It keeps the namespace alive until closed.
type NS struct{ f *os.File }

// Open opens a named namespace. The error wraps fs.ErrNotExist when there is none.
func Open(name string) (*NS, error) {
	if err := checkName(name); err != nil {
		return nil, err
	}
	ns, err := openPath(filepath.Join(Dir, name))
	if err != nil {
		return nil, fmt.Errorf("cannot open network namespace %s: %w", name, err)
	}
	return ns, nil
}

// OpenPID opens the namespace of a process.
func OpenPID(pid int) (*NS, error) {
	ns, err := openPath(fmt.Sprintf("/proc/%d/ns/net", pid))
	if err != nil {
		return nil, fmt.Errorf("cannot open the network namespace of process %d: %w", pid, err)
	}
	return ns, nil
}

func openPath(path string) (*NS, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	// A file that is not a namespace is what a cut-off Create leaves behind.
	var st unix.Statfs_t
	if err := unix.Fstatfs(int(f.Fd()), &st); err != nil || st.Type != unix.NSFS_MAGIC {
		f.Close()
		return nil, fs.ErrNotExist
	}
	return &NS{f}, nil
}

// Fd returns the descriptor, which is valid until Close.
func (n *NS) Fd() int { return int(n.f.Fd()) }

// Close releases the namespace.
func (n *NS) Close() error { return n.f.Close() }

// Do runs f on a thread inside the namespace and returns its error. What f
// starts keeps the namespace: sockets and processes do, goroutines do not.
func (n *NS) Do(f func() error) error {
	done := make(chan error, 1)
	go func() { done <- n.onThread(f) }()
	return <-done
}

// onThread must run in a goroutine of its own. When the thread cannot go back,
// it stays locked, so that it ends together with the goroutine.
func (n *NS) onThread(f func() error) error {
	runtime.LockOSThread()
	home, err := openPath("/proc/thread-self/ns/net")
	if err != nil {
		runtime.UnlockOSThread()
		return fmt.Errorf("cannot open the thread's network namespace: %w", err)
	}
	defer home.Close()
	if err := unix.Setns(n.Fd(), unix.CLONE_NEWNET); err != nil {
		runtime.UnlockOSThread()
		return fmt.Errorf("cannot enter the network namespace: %w", err)
	}
	defer func() {
		if unix.Setns(home.Fd(), unix.CLONE_NEWNET) == nil {
			runtime.UnlockOSThread()
		}
	}()
	return f()
}

// Create makes a named namespace with its loopback interface down. One that
// exists already is left as it is.
func Create(name string) error {
	if err := checkName(name); err != nil {
		return err
	}
	if ns, err := Open(name); err == nil {
		return ns.Close()
	}
	unlock, err := prepareDir()
	if err != nil {
		return fmt.Errorf("cannot create network namespace %s: %w", name, err)
	}
	defer unlock()
	path := filepath.Join(Dir, name)
	f, err := os.OpenFile(path, os.O_RDONLY|os.O_CREATE, 0o444)
	if err != nil {
		return fmt.Errorf("cannot create network namespace %s: %w", name, err)
	}
	f.Close()
	done := make(chan error, 1)
	go func() { done <- unshareOnto(path) }()
	if err := <-done; err != nil {
		return fmt.Errorf("cannot create network namespace %s: %w", name, errors.Join(err, os.Remove(path)))
	}
	return nil
}

// unshareOnto moves the thread into a new namespace, mounts that on path, and
// goes back; see onThread for the thread.
func unshareOnto(path string) error {
	runtime.LockOSThread()
	home, err := openPath("/proc/thread-self/ns/net")
	if err != nil {
		runtime.UnlockOSThread()
		return err
	}
	defer home.Close()
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		runtime.UnlockOSThread()
		return fmt.Errorf("unshare: %w", err)
	}
	defer func() {
		if unix.Setns(home.Fd(), unix.CLONE_NEWNET) == nil {
			runtime.UnlockOSThread()
		}
	}()
	if err := unix.Mount("/proc/thread-self/ns/net", path, "none", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("mount: %w", err)
	}
	return nil
}

// mountedByUs marks that Dir became a mount point by this package, which then
// takes the mount away together with the last namespace.
const mountedByUs = "/run/updraft-netns-mount"

// lockDir takes a lock that orders making and removing the mount of Dir.
func lockDir(how int) (unlock func(), err error) {
	f, err := os.Open(filepath.Dir(Dir))
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), how); err != nil {
		f.Close()
		return nil, fmt.Errorf("lock %s: %w", f.Name(), err)
	}
	return func() { f.Close() }, nil
}

// prepareDir makes Dir a shared mount point, as ip-netns(8) does: a namespace
// deleted later is then also unmounted in the mount namespaces of containers
// started meanwhile, which would otherwise keep it alive. The mount stays at
// least until unlock is called.
func prepareDir() (unlock func(), err error) {
	for {
		if unlock, err = lockDir(unix.LOCK_SH); err != nil {
			return nil, err
		}
		err := unix.Mount("", Dir, "none", unix.MS_SHARED|unix.MS_REC, "")
		if err == nil {
			return unlock, nil
		}
		unlock()
		// EINVAL: not a mount point
		if !errors.Is(err, unix.EINVAL) && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		if err := mountDir(); err != nil {
			return nil, err
		}
	}
}

func mountDir() error {
	unlock, err := lockDir(unix.LOCK_EX)
	if err != nil {
		return err
	}
	defer unlock()
	if err := os.MkdirAll(Dir, 0o755); err != nil {
		return err
	}
	if err := unix.Mount("", Dir, "none", unix.MS_SHARED|unix.MS_REC, ""); !errors.Is(err, unix.EINVAL) {
		return err // another process was first
	}
	if err := os.WriteFile(mountedByUs, nil, 0o600); err != nil {
		return err
	}
	if err := unix.Mount(Dir, Dir, "none", unix.MS_BIND|unix.MS_REC, ""); err != nil {
		return fmt.Errorf("bind %s: %w", Dir, err)
	}
	return unix.Mount("", Dir, "none", unix.MS_SHARED|unix.MS_REC, "")
}

// releaseDir takes the mount of Dir away if this package made it and no
// namespace is left.
func releaseDir() error {
	unlock, err := lockDir(unix.LOCK_EX)
	if err != nil {
		return err
	}
	defer unlock()
	if _, err := os.Stat(mountedByUs); err != nil {
		return nil
	}
	if names, err := List(""); err != nil || len(names) > 0 {
		return err
	}
	err = unix.Unmount(Dir, 0)
	if errors.Is(err, unix.EBUSY) { // somebody is looking at it
		return nil
	}
	if err != nil && !errors.Is(err, unix.EINVAL) {
		return err
	}
	return os.Remove(mountedByUs)
}

// Delete removes a named namespace. The kernel frees it, with the links in it,
// when no process or socket is left inside. One that is gone is no error.
func Delete(name string) error {
	if err := checkName(name); err != nil {
		return err
	}
	path := filepath.Join(Dir, name)
	err := unix.Unmount(path, unix.MNT_DETACH)
	if err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("cannot delete network namespace %s: %w", name, err)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("cannot delete network namespace %s: %w", name, err)
	}
	if err := releaseDir(); err != nil {
		return fmt.Errorf("cannot delete network namespace %s: %w", name, err)
	}
	return nil
}

// List returns the names that begin with prefix, sorted.
func List(prefix string) ([]string, error) {
	entries, err := os.ReadDir(Dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("cannot list network namespaces: %w", err)
	}
	var out []string
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), prefix) {
			out = append(out, e.Name())
		}
	}
	return out, nil
}

func checkName(name string) error {
	if name == "" || name == "." || name == ".." || strings.ContainsRune(name, '/') || len(name) > 255 {
		return fmt.Errorf("%q cannot be the name of a network namespace", name)
	}
	return nil
}
