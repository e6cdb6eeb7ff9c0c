package hostos

import (
	"io/fs"
	"os"
	"path"
	"strings"
)

// tree is what both the whole file system and an [os.Root] can do.
type tree interface {
	OpenFile(name string, flag int, perm fs.FileMode) (*os.File, error)
	OpenRoot(name string) (*os.Root, error)
	Lstat(name string) (fs.FileInfo, error)
	Stat(name string) (fs.FileInfo, error)
	Readlink(name string) (string, error)
	Mkdir(name string, perm fs.FileMode) error
	Symlink(target, name string) error
	Remove(name string) error
	Rename(from, to string) error
}

// osTree is the whole file system.
type osTree struct{}

func (osTree) OpenFile(name string, flag int, perm fs.FileMode) (*os.File, error) {
	return os.OpenFile(name, flag, perm)
}
func (osTree) OpenRoot(name string) (*os.Root, error)    { return os.OpenRoot(name) }
func (osTree) Lstat(name string) (fs.FileInfo, error)    { return os.Lstat(name) }
func (osTree) Stat(name string) (fs.FileInfo, error)     { return os.Stat(name) }
func (osTree) Readlink(name string) (string, error)      { return os.Readlink(name) }
func (osTree) Mkdir(name string, perm fs.FileMode) error { return os.Mkdir(name, perm) }
func (osTree) Symlink(target, name string) error         { return os.Symlink(target, name) }
func (osTree) Remove(name string) error                  { return os.Remove(name) }
func (osTree) Rename(from, to string) error              { return os.Rename(from, to) }

// rootTree is what lies below a directory. base is the path by which the
// callers know that directory.
type rootTree struct {
	root *os.Root
	base string
}

// rel turns a caller's path into one relative to the root. A path that is not
// below base yields one that the root refuses.
func (t rootTree) rel(name string) string {
	name = path.Clean(name)
	if name == t.base {
		return "."
	}
	if rest, ok := strings.CutPrefix(name, strings.TrimSuffix(t.base, "/")+"/"); ok {
		return rest
	}
	return ".." + name
}

func (t rootTree) OpenFile(name string, flag int, perm fs.FileMode) (*os.File, error) {
	return t.root.OpenFile(t.rel(name), flag, perm)
}
func (t rootTree) OpenRoot(name string) (*os.Root, error)    { return t.root.OpenRoot(t.rel(name)) }
func (t rootTree) Lstat(name string) (fs.FileInfo, error)    { return t.root.Lstat(t.rel(name)) }
func (t rootTree) Stat(name string) (fs.FileInfo, error)     { return t.root.Stat(t.rel(name)) }
func (t rootTree) Readlink(name string) (string, error)      { return t.root.Readlink(t.rel(name)) }
func (t rootTree) Mkdir(name string, perm fs.FileMode) error { return t.root.Mkdir(t.rel(name), perm) }
func (t rootTree) Symlink(target, name string) error         { return t.root.Symlink(target, t.rel(name)) }
func (t rootTree) Remove(name string) error                  { return t.root.Remove(t.rel(name)) }
func (t rootTree) Rename(from, to string) error              { return t.root.Rename(t.rel(from), t.rel(to)) }
