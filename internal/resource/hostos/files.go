package hostos

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/updraft-cloud/updraft/internal/resource"
)

// files implements [resource.Files] over a tree.
type files struct {
	tree    tree
	changed func() // called after every change
	// untrusted says that somebody else can write in the tree.
	untrusted bool
}

func (f *files) ReadFile(name string) ([]byte, error) {
	if err := checkPath("open", name); err != nil {
		return nil, err
	}
	// O_NONBLOCK: a FIFO in place of the file must not hang us.
	file, err := f.tree.OpenFile(name, os.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	var buf bytes.Buffer
	if fi, err := file.Stat(); err == nil && fi.Size() < 1<<30 {
		buf.Grow(int(fi.Size()) + bytes.MinRead) // growing step by step would cost a multiple
	}
	_, err = buf.ReadFrom(file)
	return buf.Bytes(), err
}

func (f *files) Lstat(name string) (resource.FileInfo, error) { return describe(f.tree.Lstat, name) }

func (f *files) Stat(name string) (resource.FileInfo, error) { return describe(f.tree.Stat, name) }

func describe(stat func(string) (fs.FileInfo, error), name string) (resource.FileInfo, error) {
	if err := checkPath("stat", name); err != nil {
		return resource.FileInfo{}, err
	}
	fi, err := stat(name)
	if err != nil {
		return resource.FileInfo{}, err
	}
	return infoOf(fi), nil
}

func (f *files) ReadDir(name string) ([]string, error) {
	if err := checkPath("open", name); err != nil {
		return nil, err
	}
	dir, err := f.tree.OpenFile(name, os.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	slices.Sort(names)
	return names, err
}

func (f *files) Readlink(name string) (string, error) {
	if err := checkPath("readlink", name); err != nil {
		return "", err
	}
	return f.tree.Readlink(name)
}

// WriteFile writes a temporary file beside path, makes it durable and renames
// it. The temporary name depends on path alone, so what a kill leaves behind is
// overwritten by the next try.
func (f *files) WriteFile(name string, data []byte, a resource.Access) error {
	if err := checkPath("write", name); err != nil {
		return err
	}
	defer f.changed()
	temp := tempName(name)
	if err := f.writeTemp(temp, data, a); err != nil {
		return errors.Join(about(name, err), ignoreMissing(f.tree.Remove(temp)))
	}
	if err := f.tree.Rename(temp, name); err != nil {
		return errors.Join(about(name, err), ignoreMissing(f.tree.Remove(temp)))
	}
	return f.syncDir(path.Dir(name))
}

// about names the file that somebody asked for in an error about the temporary
// one in its place, which they have never heard of.
func about(name string, err error) error {
	var link *os.LinkError
	var at *fs.PathError
	switch {
	case errors.As(err, &link):
		return &fs.PathError{Op: link.Op, Path: name, Err: link.Err}
	case errors.As(err, &at):
		return &fs.PathError{Op: at.Op, Path: name, Err: at.Err}
	}
	return err
}

func (f *files) writeTemp(temp string, data []byte, a resource.Access) error {
	if err := ignoreMissing(f.tree.Remove(temp)); err != nil {
		return err
	}
	file, err := f.tree.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return err
	}
	_, err = file.Write(data)
	if err == nil {
		err = give(file, a)
	}
	if err == nil {
		err = file.Sync()
	}
	return errors.Join(err, file.Close())
}

// give sets owner and mode, in this order: chown(2) clears the setuid bit.
func give(file *os.File, a resource.Access) error {
	fd := int(file.Fd())
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return &fs.PathError{Op: "stat", Path: file.Name(), Err: err}
	}
	if int(st.Uid) != a.UID || int(st.Gid) != a.GID {
		if err := unix.Fchown(fd, a.UID, a.GID); err != nil {
			return &fs.PathError{Op: "chown", Path: file.Name(), Err: err}
		}
	}
	if err := unix.Fchmod(fd, a.Mode&0o7777); err != nil {
		return &fs.PathError{Op: "chmod", Path: file.Name(), Err: err}
	}
	return nil
}

// syncDir makes a rename or removal durable. File systems that cannot sync a
// directory say EINVAL; there is nothing more to be done on them.
func (f *files) syncDir(dir string) error {
	d, err := f.tree.OpenFile(dir, os.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return err
	}
	defer d.Close()
	if err := d.Sync(); err != nil && !errors.Is(err, syscall.EINVAL) {
		return err
	}
	return nil
}

// WriteKernel writes without creating or truncating: the files of /proc and
// /sys take the value of one write(2).
func (f *files) WriteKernel(name string, data []byte) error {
	if err := checkPath("write", name); err != nil {
		return err
	}
	defer f.changed()
	file, err := f.tree.OpenFile(name, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = file.Write(data)
	return errors.Join(err, file.Close())
}

func (f *files) Mkdir(name string, a resource.Access) error {
	if err := checkPath("mkdir", name); err != nil {
		return err
	}
	defer f.changed()
	if err := f.tree.Mkdir(name, 0o700); err != nil {
		return err
	}
	d, err := f.tree.OpenFile(name, os.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return err
	}
	err = errors.Join(give(d, a), d.Close())
	if err != nil {
		return err
	}
	return f.syncDir(path.Dir(name))
}

func (f *files) Symlink(target, name string) error {
	if err := checkPath("symlink", name); err != nil {
		return err
	}
	if fi, err := f.tree.Lstat(name); err == nil && fi.Mode().Type() != fs.ModeSymlink {
		return &fs.PathError{Op: "symlink", Path: name, Err: fs.ErrExist}
	}
	defer f.changed()
	temp := tempName(name)
	if err := ignoreMissing(f.tree.Remove(temp)); err != nil {
		return err
	}
	if err := f.tree.Symlink(target, temp); err != nil {
		return about(name, err)
	}
	if err := f.tree.Rename(temp, name); err != nil {
		return errors.Join(about(name, err), ignoreMissing(f.tree.Remove(temp)))
	}
	return f.syncDir(path.Dir(name))
}

// Remove also removes what a kill in the midst of writing the file left.
func (f *files) Remove(name string) error {
	if err := checkPath("remove", name); err != nil {
		return err
	}
	defer f.changed()
	if err := ignoreMissing(f.tree.Remove(tempName(name))); err != nil {
		return err
	}
	if err := f.tree.Remove(name); err != nil {
		return err
	}
	return f.syncDir(path.Dir(name))
}

func (f *files) Rename(from, to string) error {
	if err := errors.Join(checkPath("rename", from), checkPath("rename", to)); err != nil {
		return err
	}
	defer f.changed()
	if err := f.tree.Rename(from, to); err != nil {
		return err
	}
	return f.syncDir(path.Dir(to))
}

func (f *files) Chmod(name string, mode fs.FileMode) error {
	return f.onInode("chmod", name, func(fd int) error {
		// fchmod(2) does not take an O_PATH descriptor; its name in /proc does.
		return unix.Chmod(fmt.Sprintf("/proc/self/fd/%d", fd), unixMode(mode))
	})
}

func (f *files) Chown(name string, uid, gid int) error {
	return f.onInode("chown", name, func(fd int) error {
		return unix.Fchownat(fd, "", uid, gid, unix.AT_EMPTY_PATH)
	})
}

// onInode opens the very file that name is, not what it points to, and changes
// that one, so that a name swapped meanwhile does not matter.
func (f *files) onInode(op, name string, change func(fd int) error) error {
	if err := checkPath(op, name); err != nil {
		return err
	}
	defer f.changed()
	file, err := f.openInode(name)
	if err != nil {
		return err
	}
	defer file.Close()
	fd := int(file.Fd())
	if f.untrusted {
		var st unix.Stat_t
		if err := unix.Fstat(fd, &st); err != nil {
			return &fs.PathError{Op: op, Path: name, Err: err}
		}
		if st.Mode&unix.S_IFMT != unix.S_IFDIR && st.Nlink > 1 {
			return &fs.PathError{Op: op, Path: name, Err: errors.New("file has another name (hard link) and lies in a directory of somebody else")}
		}
	}
	if err := change(fd); err != nil {
		return &fs.PathError{Op: op, Path: name, Err: err}
	}
	return nil
}

// openInode opens name itself. An [os.Root] follows a symlink within the root
// even with O_NOFOLLOW unset only in the last part, hence the flag.
func (f *files) openInode(name string) (*os.File, error) {
	return f.tree.OpenFile(name, unix.O_PATH|unix.O_NOFOLLOW, 0)
}

// tempName is the name of the temporary file for path: hidden, and without the
// suffix that makes programs read every file of a drop-in directory.
func tempName(name string) string {
	dir, base := path.Split(name)
	if len(base) > 200 { // NAME_MAX is 255 bytes
		sum := sha256.Sum256([]byte(base))
		base = hex.EncodeToString(sum[:])
	}
	return dir + "." + base + ".updraft-tmp"
}

func ignoreMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// unixMode returns permission bits in their octal positions, taking setuid,
// setgid and sticky from there or from where package fs has them.
func unixMode(m fs.FileMode) uint32 {
	out := uint32(m) & 0o7777
	if m&fs.ModeSetuid != 0 {
		out |= unix.S_ISUID
	}
	if m&fs.ModeSetgid != 0 {
		out |= unix.S_ISGID
	}
	if m&fs.ModeSticky != 0 {
		out |= unix.S_ISVTX
	}
	return out
}
