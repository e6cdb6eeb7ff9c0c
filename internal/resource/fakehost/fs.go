package fakehost

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/updraft-cloud/updraft/internal/resource"
)

// FS is the file system of a fake host. Its methods are those of
// [resource.Files] without faults and counting; commands use them inside
// [Host.Change] and [Host.View]. It follows Linux: a parent must exist and be a
// directory, only empty directories go, symlinks are followed up to 40 times.
type FS struct {
	nodes map[string]*node // by clean absolute path
	now   time.Time
	full  []string // prefixes without space left
}

type node struct {
	kind         resource.FileType
	mode         uint32
	uid, gid     int
	data         []byte
	target       string
	ctime, mtime time.Time
}

func newFS() *FS {
	f := &FS{nodes: map[string]*node{}, now: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}
	f.nodes["/"] = f.node(resource.Directory, resource.Access{Mode: 0o755})
	return f
}

func (f *FS) node(kind resource.FileType, a resource.Access) *node {
	return &node{kind: kind, mode: a.Mode & 0o7777, uid: a.UID, gid: a.GID, ctime: f.now, mtime: f.now}
}

func pathErr(op, p string, err error) error { return &fs.PathError{Op: op, Path: p, Err: err} }

// resolve follows the symlinks of p's directories, and of p itself if last.
func (f *FS) resolve(op, p string, last bool) (string, error) {
	if !path.IsAbs(p) {
		return "", pathErr(op, p, errors.New("path is not absolute"))
	}
	rest := strings.Split(strings.Trim(path.Clean(p), "/"), "/")
	at := "/"
	for hops := 0; len(rest) > 0 && rest[0] != ""; {
		next := path.Join(at, rest[0])
		n := f.nodes[next]
		if n != nil && n.kind == resource.Symlink && (last || len(rest) > 1) {
			if hops++; hops > 40 {
				return "", pathErr(op, p, syscall.ELOOP)
			}
			target := n.target
			if !path.IsAbs(target) {
				target = path.Join(at, target)
			}
			rest = append(strings.Split(strings.Trim(path.Clean(target), "/"), "/"), rest[1:]...)
			at = "/"
			continue
		}
		if len(rest) > 1 {
			if n == nil {
				return "", pathErr(op, p, fs.ErrNotExist)
			}
			if n.kind != resource.Directory {
				return "", pathErr(op, p, syscall.ENOTDIR)
			}
		}
		at, rest = next, rest[1:]
	}
	return at, nil
}

func (f *FS) find(op, p string, follow bool) (string, *node, error) {
	at, err := f.resolve(op, p, follow)
	if err != nil {
		return "", nil, err
	}
	n := f.nodes[at]
	if n == nil {
		return at, nil, pathErr(op, p, fs.ErrNotExist)
	}
	return at, n, nil
}

// ReadFile returns the content of a regular file.
func (f *FS) ReadFile(p string) ([]byte, error) {
	_, n, err := f.find("open", p, true)
	if err != nil {
		return nil, err
	}
	if n.kind == resource.Directory {
		return nil, pathErr("read", p, syscall.EISDIR)
	}
	return slices.Clone(n.data), nil
}

// Lstat describes p itself.
func (f *FS) Lstat(p string) (resource.FileInfo, error) { return f.stat("lstat", p, false) }

// Stat follows symlinks.
func (f *FS) Stat(p string) (resource.FileInfo, error) { return f.stat("stat", p, true) }

func (f *FS) stat(op, p string, follow bool) (resource.FileInfo, error) {
	_, n, err := f.find(op, p, follow)
	if err != nil {
		return resource.FileInfo{}, err
	}
	return resource.FileInfo{Type: n.kind, Mode: n.mode, UID: n.uid, GID: n.gid, Size: int64(len(n.data)),
		ModTime: n.mtime, ChangeTime: n.ctime}, nil
}

// ReadDir returns the names in a directory, sorted.
func (f *FS) ReadDir(p string) ([]string, error) {
	at, n, err := f.find("open", p, true)
	if err != nil {
		return nil, err
	}
	if n.kind != resource.Directory {
		return nil, pathErr("readdir", p, syscall.ENOTDIR)
	}
	return f.children(at), nil
}

func (f *FS) children(dir string) []string {
	var out []string
	for p := range maps.Keys(f.nodes) {
		if p != "/" && path.Dir(p) == dir {
			out = append(out, path.Base(p))
		}
	}
	slices.Sort(out)
	return out
}

// Readlink returns what a symlink points to.
func (f *FS) Readlink(p string) (string, error) {
	_, n, err := f.find("readlink", p, false)
	if err != nil {
		return "", err
	}
	if n.kind != resource.Symlink {
		return "", pathErr("readlink", p, syscall.EINVAL)
	}
	return n.target, nil
}

// place returns where a new p would go, after checks common to all.
func (f *FS) place(op, p string) (string, error) {
	at, err := f.resolve(op, p, false)
	if err != nil {
		return "", err
	}
	for _, prefix := range f.full {
		if at == prefix || strings.HasPrefix(at, strings.TrimSuffix(prefix, "/")+"/") {
			return "", pathErr(op, p, syscall.ENOSPC)
		}
	}
	if parent := f.nodes[path.Dir(at)]; parent == nil || parent.kind != resource.Directory {
		return "", pathErr(op, p, fs.ErrNotExist)
	}
	return at, nil
}

// Virtual reports whether p is in a file system of the kernel, where no files
// are made.
func Virtual(p string) bool {
	return strings.HasPrefix(p, "/proc/") || strings.HasPrefix(p, "/sys/")
}

// WriteFile replaces p, which is not followed if it is a symlink.
func (f *FS) WriteFile(p string, data []byte, a resource.Access) error {
	at, err := f.place("write", p)
	if err != nil {
		return err
	}
	if Virtual(at) {
		return pathErr("write", p, fs.ErrPermission)
	}
	if n := f.nodes[at]; n != nil && n.kind == resource.Directory {
		return pathErr("rename", p, syscall.EISDIR)
	}
	n := f.node(resource.Regular, a)
	n.data = slices.Clone(data)
	f.nodes[at] = n
	return nil
}

// WriteKernel sets a file of /proc or /sys that exists. As in the kernel,
// values of several fields are read back separated by tabs.
func (f *FS) WriteKernel(p string, data []byte) error {
	_, n, err := f.find("open", p, true)
	if err != nil {
		return err
	}
	if !Virtual(p) {
		return pathErr("write", p, errors.New("not a file of the kernel"))
	}
	if n.mode&0o200 == 0 {
		return pathErr("open", p, syscall.EROFS)
	}
	n.data = []byte(strings.Join(strings.Fields(string(data)), "\t") + "\n")
	return nil
}

// SetKernel makes a file of /proc or /sys with its directories, as the kernel does.
func (f *FS) SetKernel(p, data string) {
	for dir := path.Dir(p); f.nodes[dir] == nil; dir = path.Dir(dir) {
		f.nodes[dir] = f.node(resource.Directory, resource.Access{Mode: 0o555})
	}
	n := f.node(resource.Regular, resource.Access{Mode: 0o644})
	n.data = []byte(data)
	f.nodes[p] = n
}

// Mkdir makes a directory.
func (f *FS) Mkdir(p string, a resource.Access) error {
	at, err := f.place("mkdir", p)
	if err != nil {
		return err
	}
	if f.nodes[at] != nil {
		return pathErr("mkdir", p, fs.ErrExist)
	}
	f.nodes[at] = f.node(resource.Directory, a)
	return nil
}

// MkdirAll makes a directory and those above it, all of root's.
func (f *FS) MkdirAll(p string) error {
	if _, err := f.Stat(p); err == nil {
		return nil
	}
	if err := f.MkdirAll(path.Dir(p)); err != nil {
		return err
	}
	return f.Mkdir(p, resource.Access{Mode: 0o755})
}

// Symlink makes a symlink or replaces one.
func (f *FS) Symlink(target, p string) error {
	at, err := f.place("symlink", p)
	if err != nil {
		return err
	}
	if n := f.nodes[at]; n != nil && n.kind != resource.Symlink {
		return pathErr("symlink", p, fs.ErrExist)
	}
	n := f.node(resource.Symlink, resource.Access{Mode: 0o777})
	n.target = target
	f.nodes[at] = n
	return nil
}

// Remove removes a file, a symlink or an empty directory.
func (f *FS) Remove(p string) error {
	at, n, err := f.find("remove", p, false)
	if err != nil {
		return err
	}
	if n.kind == resource.Directory && len(f.children(at)) > 0 {
		return pathErr("remove", p, syscall.ENOTEMPTY)
	}
	delete(f.nodes, at)
	return nil
}

// RemoveAll removes p and all below it.
func (f *FS) RemoveAll(p string) {
	for q := range f.nodes {
		if q == p || strings.HasPrefix(q, p+"/") {
			delete(f.nodes, q)
		}
	}
}

// Rename moves p, and all below it, over what is at to.
func (f *FS) Rename(from, to string) error {
	src, n, err := f.find("rename", from, false)
	if err != nil {
		return err
	}
	dst, err := f.place("rename", to)
	if err != nil {
		return err
	}
	if old := f.nodes[dst]; old != nil && (old.kind == resource.Directory) != (n.kind == resource.Directory) {
		return pathErr("rename", to, fs.ErrExist)
	}
	moved := map[string]*node{}
	for q, m := range f.nodes {
		if q == src || strings.HasPrefix(q, src+"/") {
			moved[dst+strings.TrimPrefix(q, src)] = m
			delete(f.nodes, q)
		}
	}
	maps.Copy(f.nodes, moved)
	n.ctime = f.now
	return nil
}

// Chmod sets the permission bits.
func (f *FS) Chmod(p string, mode fs.FileMode) error {
	_, n, err := f.find("chmod", p, false)
	if err != nil {
		return err
	}
	if n.kind == resource.Symlink {
		return pathErr("chmod", p, syscall.EOPNOTSUPP)
	}
	n.mode, n.ctime = uint32(mode)&0o7777, f.now
	return nil
}

// Chown sets the owner of p itself. As in Linux it clears setuid and setgid of a file.
func (f *FS) Chown(p string, uid, gid int) error {
	_, n, err := f.find("chown", p, false)
	if err != nil {
		return err
	}
	if n.kind == resource.Regular {
		n.mode &= 0o1777
	}
	if uid >= 0 {
		n.uid = uid
	}
	if gid >= 0 {
		n.gid = gid
	}
	n.ctime = f.now
	return nil
}

// must is for the files that a new host starts with.
func must(err error) {
	if err != nil {
		panic(fmt.Sprint("fakehost: ", err))
	}
}
