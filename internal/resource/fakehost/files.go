package fakehost

import (
	"errors"
	"io/fs"
	"path"
	"strings"

	"github.com/updraft-cloud/updraft/internal/resource"
)

// ReadFile reads a file.
func (h *Host) ReadFile(p string) (out []byte, err error) {
	err = h.View(func(f *FS) error { out, err = f.ReadFile(p); return err })
	return out, err
}

// Lstat describes p itself.
func (h *Host) Lstat(p string) (out resource.FileInfo, err error) {
	err = h.View(func(f *FS) error { out, err = f.Lstat(p); return err })
	return out, err
}

// Stat follows symlinks.
func (h *Host) Stat(p string) (out resource.FileInfo, err error) {
	err = h.View(func(f *FS) error { out, err = f.Stat(p); return err })
	return out, err
}

// ReadDir lists a directory.
func (h *Host) ReadDir(p string) (out []string, err error) {
	err = h.View(func(f *FS) error { out, err = f.ReadDir(p); return err })
	return out, err
}

// Readlink reads a symlink.
func (h *Host) Readlink(p string) (out string, err error) {
	err = h.View(func(f *FS) error { out, err = f.Readlink(p); return err })
	return out, err
}

// WriteFile is one change.
func (h *Host) WriteFile(p string, data []byte, a resource.Access) error {
	return h.Change(func(f *FS) error { return f.WriteFile(p, data, a) })
}

// WriteKernel is one change.
func (h *Host) WriteKernel(p string, data []byte) error {
	return h.Change(func(f *FS) error { return f.WriteKernel(p, data) })
}

// Mkdir is one change.
func (h *Host) Mkdir(p string, a resource.Access) error {
	return h.Change(func(f *FS) error { return f.Mkdir(p, a) })
}

// Symlink is one change.
func (h *Host) Symlink(target, p string) error {
	return h.Change(func(f *FS) error { return f.Symlink(target, p) })
}

// Remove is one change.
func (h *Host) Remove(p string) error {
	return h.Change(func(f *FS) error { return f.Remove(p) })
}

// Rename is one change.
func (h *Host) Rename(from, to string) error {
	return h.Change(func(f *FS) error { return f.Rename(from, to) })
}

// Chmod is one change.
func (h *Host) Chmod(p string, mode fs.FileMode) error {
	return h.Change(func(f *FS) error { return f.Chmod(p, mode) })
}

// Chown is one change.
func (h *Host) Chown(p string, uid, gid int) error {
	return h.Change(func(f *FS) error { return f.Chown(p, uid, gid) })
}

// confined is the host's files below a directory.
type confined struct {
	h   *Host
	dir string
}

var errEscapes = errors.New("path escapes from parent")

// check refuses what is not below the directory or leads out of it.
func (c confined) check(p string, follow bool) error {
	if path.Clean(p) != c.dir && !strings.HasPrefix(path.Clean(p), c.dir+"/") {
		return pathErr("open", p, errEscapes)
	}
	return c.h.View(func(f *FS) error {
		base, err := f.resolve("open", c.dir, true)
		if err != nil {
			return err
		}
		at, err := f.resolve("open", p, follow)
		if err != nil {
			return err
		}
		if at != base && !strings.HasPrefix(at, base+"/") {
			return pathErr("open", p, errEscapes)
		}
		return nil
	})
}

func (c confined) ReadFile(p string) ([]byte, error) {
	if err := c.check(p, true); err != nil {
		return nil, err
	}
	return c.h.ReadFile(p)
}

func (c confined) Lstat(p string) (resource.FileInfo, error) {
	if err := c.check(p, false); err != nil {
		return resource.FileInfo{}, err
	}
	return c.h.Lstat(p)
}

func (c confined) Stat(p string) (resource.FileInfo, error) {
	if err := c.check(p, true); err != nil {
		return resource.FileInfo{}, err
	}
	return c.h.Stat(p)
}

func (c confined) ReadDir(p string) ([]string, error) {
	if err := c.check(p, true); err != nil {
		return nil, err
	}
	return c.h.ReadDir(p)
}

func (c confined) Readlink(p string) (string, error) {
	if err := c.check(p, false); err != nil {
		return "", err
	}
	return c.h.Readlink(p)
}

func (c confined) WriteFile(p string, data []byte, a resource.Access) error {
	return c.then(p, func() error { return c.h.WriteFile(p, data, a) })
}

func (c confined) WriteKernel(p string, data []byte) error {
	return c.then(p, func() error { return c.h.WriteKernel(p, data) })
}

func (c confined) Mkdir(p string, a resource.Access) error {
	return c.then(p, func() error { return c.h.Mkdir(p, a) })
}

func (c confined) Symlink(target, p string) error {
	return c.then(p, func() error { return c.h.Symlink(target, p) })
}

func (c confined) Remove(p string) error {
	return c.then(p, func() error { return c.h.Remove(p) })
}

func (c confined) Rename(from, to string) error {
	if err := c.check(from, false); err != nil {
		return err
	}
	return c.then(to, func() error { return c.h.Rename(from, to) })
}

func (c confined) Chmod(p string, mode fs.FileMode) error {
	return c.then(p, func() error { return c.h.Chmod(p, mode) })
}

func (c confined) Chown(p string, uid, gid int) error {
	return c.then(p, func() error { return c.h.Chown(p, uid, gid) })
}

// then makes the change if the path is within the directory.
func (c confined) then(p string, change func() error) error {
	if err := c.check(p, false); err != nil {
		return err
	}
	return change()
}
