// Package conffile handles the small text files by which resource kinds
// configure other programs: a snippet below /etc/apt, a unit, a .network file.
//
// Such a file is compared by content, mode and owner, written whole with the
// directories that it needs, and belongs to root. Its name says that it is
// updraft's wherever the format allows, so that removing it harms nobody.
package conffile

import (
	"errors"
	"io/fs"
	"path"
	"strconv"
	"strings"

	"github.com/updraft-cloud/updraft/internal/drift"
	"github.com/updraft-cloud/updraft/internal/resource"
	"github.com/updraft-cloud/updraft/internal/resource/original"
)

// Header is the first line of files whose format has # comments.
const Header = "# Made by updraft; changes will be undone.\n"

// textMax is the size up to which a difference carries the texts, so that a
// plan can show what changes.
const textMax = 8 << 10

// File is a file as it should be.
type File struct {
	Path string
	Text string
	Mode uint32 // 0644 when zero
	// Secret keeps the text out of reports.
	Secret bool
}

func (f File) mode() uint32 {
	if f.Mode == 0 {
		return 0o644
	}
	return f.Mode
}

// Compare notes under attr how the file differs, and reports whether anything
// is there at all.
func (f File) Compare(h resource.Host, b *drift.Builder, attr string) (exists bool, err error) {
	info, err := h.Lstat(f.Path)
	if errors.Is(err, fs.ErrNotExist) {
		b.Add(drift.Change{Attr: attr, From: "absent", To: f.Path})
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if info.Type != resource.Regular {
		b.Add(drift.Change{Attr: attr, From: "not a regular file", To: f.Path})
		return true, nil
	}
	data, err := h.ReadFile(f.Path)
	if err != nil {
		return false, err
	}
	if string(data) != f.Text {
		b.Add(f.change(attr, string(data)))
	}
	b.Want(attr+" mode", octal(info.Mode), octal(f.mode()))
	b.Want(attr+" owner", owner(info.UID, info.GID), owner(0, 0))
	return true, nil
}

func (f File) change(attr, old string) drift.Change {
	c := drift.Change{Attr: attr, From: "differs", To: f.Path}
	if !f.Secret && len(old) <= textMax && len(f.Text) <= textMax {
		c.Text, c.NewText = old, f.Text
	}
	return c
}

// Agrees reports whether the file is as it should be.
func (f File) Agrees(h resource.Host) (bool, error) {
	var b drift.Builder
	_, err := f.Compare(h, &b, "file")
	return err == nil && b.Report().Agrees(), err
}

// Write makes the file agree and reports whether that took a change. Missing
// directories are made with mode 0755.
func (f File) Write(h resource.Host) (changed bool, err error) {
	if ok, err := f.Agrees(h); ok || err != nil {
		return false, err
	}
	if err := MakeDirs(h, path.Dir(f.Path)); err != nil {
		return false, err
	}
	return true, h.WriteFile(f.Path, []byte(f.Text), resource.Access{Mode: f.mode()})
}

// MakeDirs makes a directory of root's and those above it, as far as they are missing.
func MakeDirs(h resource.Host, dir string) error {
	_, err := h.Stat(dir)
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := MakeDirs(h, path.Dir(dir)); err != nil {
		return err
	}
	if err := h.Mkdir(dir, resource.Access{Mode: 0o755}); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return nil
}

// Remove removes files that may be gone already, and reports whether one was there.
func Remove(h resource.Host, paths ...string) (removed bool, err error) {
	for _, p := range paths {
		if there, err := Exists(h, p); err != nil {
			return removed, err
		} else if !there {
			continue
		}
		switch err := h.Remove(p); {
		case err == nil:
			removed = true
		case !errors.Is(err, fs.ErrNotExist):
			return removed, err
		}
	}
	return removed, nil
}

// Tidy removes directories if they are empty, in the given order.
func Tidy(h resource.Host, dirs ...string) error {
	for _, dir := range dirs {
		if err := original.RemoveEmpty(h, dir); err != nil {
			return err
		}
	}
	return nil
}

// Exists reports whether something is at the path.
func Exists(h resource.Host, p string) (bool, error) {
	_, err := h.Lstat(p)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// Read returns a file's text, or "" when there is no such file.
func Read(h resource.Host, p string) (string, error) {
	data, err := h.ReadFile(p)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	return string(data), err
}

// List returns the names in a directory, none when there is no such directory.
func List(h resource.Host, dir string) ([]string, error) {
	names, err := h.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return names, err
}

// OneLine reports whether s can stand as a value on one line of a config file:
// no control characters, neither first nor last a space.
func OneLine(s string) bool {
	return strings.TrimSpace(s) == s && !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f })
}

func octal(mode uint32) string { return "0" + strconv.FormatUint(uint64(mode), 8) }

func owner(uid, gid int) string { return strconv.Itoa(uid) + ":" + strconv.Itoa(gid) }
