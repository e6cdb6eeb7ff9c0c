// Package hostos is the real operating system as a [resource.Host].
//
// It guarantees that a file is replaced whole or not at all, also across a
// power cut; that a command leaves no process of its group behind when its
// context ends; and that nothing is remembered across a change. What the kinds
// have systemctl do in bulk it asks of systemd itself, with the same outcome.
// With a root directory other than "/" no path leads out of it and no command
// runs, so that tests can use it on a temporary directory.
package hostos

import (
	"fmt"
	"io/fs"
	"os"
	"path"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/updraft-cloud/updraft/internal/resource"
)

// Options configure a host.
type Options struct {
	// Root is a directory that all paths lie below; empty means "/". Paths
	// that lead out of it through a symlink are refused, and so are commands.
	Root string
	// Log takes the lines that commands write and that kinds log; nil drops
	// them. It may be called from several goroutines at once.
	Log func(line string)
}

// Host is the operating system. It is safe for concurrent use.
type Host struct {
	files
	confined bool // Root is not "/"
	log      func(line string)
	memos    *memos
	cache    *cache
	locks    *locks
	enabling *sync.RWMutex // see duringEnablement
}

var _ resource.Host = (*Host)(nil)

// New returns the host, or an error when the root directory cannot be opened.
func New(o Options) (*Host, error) {
	h := &Host{log: o.Log, memos: &memos{}, cache: &cache{}, locks: &locks{}, enabling: &sync.RWMutex{}, files: files{tree: osTree{}}}
	if o.Log == nil {
		h.log = func(string) {}
	}
	if o.Root != "" && o.Root != "/" {
		root, err := os.OpenRoot(o.Root)
		if err != nil {
			return nil, err
		}
		h.confined, h.tree = true, rootTree{root: root, base: "/"}
	}
	h.changed = h.Forget
	return h, nil
}

// WithLog returns a host that shares everything with h but the log, as for one
// of several resources that are applied at once.
func (h *Host) WithLog(log func(line string)) *Host {
	c := *h
	c.log = log
	return &c
}

// Close releases the root directory, if there is one.
func (h *Host) Close() error {
	if t, ok := h.tree.(rootTree); ok {
		return t.root.Close()
	}
	return nil
}

// Confine calls f with operations that stay below dir. Besides, they refuse to
// give away a file that has another name (a hard link), by which the owner of a
// directory could otherwise be handed a file of the system.
func (h *Host) Confine(dir string, f func(resource.Files) error) error {
	if err := checkPath("open", dir); err != nil {
		return err
	}
	root, err := h.tree.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	return f(&files{tree: rootTree{root: root, base: path.Clean(dir)}, changed: h.changed, untrusted: true})
}

// Memo returns the value under key, loading it once however many ask for it.
func (h *Host) Memo(key string, load func() (any, error)) (any, error) {
	return h.memos.get(key, load)
}

// Lock waits for the turn on what name stands for.
func (h *Host) Lock(name string) (unlock func()) { return h.locks.lock(name) }

// Forget drops all memos.
func (h *Host) Forget() { h.memos.forget() }

// Logf writes a line to the log.
func (h *Host) Logf(format string, args ...any) {
	for line := range strings.Lines(fmt.Sprintf(format, args...)) {
		h.log(strings.TrimRight(line, "\n"))
	}
}

func checkPath(op, p string) error {
	if !path.IsAbs(p) || strings.ContainsRune(p, 0) {
		return &fs.PathError{Op: op, Path: p, Err: syscall.EINVAL}
	}
	return nil
}

// infoOf translates a file's description.
func infoOf(fi fs.FileInfo) resource.FileInfo {
	st := fi.Sys().(*syscall.Stat_t)
	out := resource.FileInfo{
		Type: resource.Other, Mode: st.Mode & 0o7777, UID: int(st.Uid), GID: int(st.Gid),
		Size: fi.Size(), ModTime: fi.ModTime(), ChangeTime: timeOf(st.Ctim),
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFREG:
		out.Type = resource.Regular
	case unix.S_IFDIR:
		out.Type = resource.Directory
	case unix.S_IFLNK:
		out.Type = resource.Symlink
	}
	return out
}
