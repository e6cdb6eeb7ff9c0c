package oci

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// writeTar writes the directory tree as a tar (pax) that is a function of its
// content alone: names in order, whole seconds, no names of users, and hard
// links to whichever name comes first.
func writeTar(w io.Writer, root string) error {
	t := &tarWriter{w: tar.NewWriter(w), root: root, seen: map[inode]string{}}
	// WalkDir goes through the entries of each directory in the order of names.
	if err := filepath.WalkDir(root, t.add); err != nil {
		return fmt.Errorf("cannot write the layer: %w", err)
	}
	return t.w.Close()
}

type inode struct{ dev, ino uint64 }

type tarWriter struct {
	w    *tar.Writer
	root string
	seen map[inode]string // files of more than one name, by the first
}

func (t *tarWriter) add(path string, d fs.DirEntry, err error) error {
	if err != nil || path == t.root {
		return err
	}
	name, err := filepath.Rel(t.root, path)
	if err != nil {
		return err
	}
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		return &fs.PathError{Op: "lstat", Path: path, Err: err}
	}
	if st.Mode&unix.S_IFMT == unix.S_IFSOCK {
		return nil // tar has no sockets, and an image no use for them
	}
	h, err := t.header(path, filepath.ToSlash(name), d, &st)
	if err != nil {
		return err
	}
	if err := t.w.WriteHeader(h); err != nil || h.Typeflag != tar.TypeReg {
		return err
	}
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = io.Copy(t.w, f)
	return err
}

func (t *tarWriter) header(path, name string, d fs.DirEntry, st *unix.Stat_t) (*tar.Header, error) {
	h := &tar.Header{
		Name: name, Mode: int64(st.Mode & 0o7777), Uid: int(st.Uid), Gid: int(st.Gid),
		ModTime: time.Unix(st.Mtim.Sec, 0), Format: tar.FormatPAX,
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFDIR:
		h.Typeflag, h.Name = tar.TypeDir, name+"/"
	case unix.S_IFLNK:
		target, err := os.Readlink(path)
		if err != nil {
			return nil, err
		}
		h.Typeflag, h.Linkname = tar.TypeSymlink, target
		return h, nil
	case unix.S_IFREG:
		h.Typeflag, h.Size = tar.TypeReg, st.Size
	case unix.S_IFIFO:
		h.Typeflag = tar.TypeFifo
	default:
		return nil, fmt.Errorf("%s is a %s, which no package brings", path, d.Type())
	}
	if h.Typeflag == tar.TypeReg && st.Nlink > 1 {
		id := inode{st.Dev, st.Ino}
		if first, again := t.seen[id]; again {
			h.Typeflag, h.Linkname, h.Size = tar.TypeLink, first, 0
			return h, nil
		}
		t.seen[id] = name
	}
	return h, addXattrs(h, path)
}

// xattrPrefix begins the pax records of extended attributes, as GNU tar and
// all container engines have it.
const xattrPrefix = "SCHILY.xattr."

// capability is the only attribute that packages set (setcap(8)).
const capability = "security.capability"

func addXattrs(h *tar.Header, path string) error {
	if h.Typeflag != tar.TypeReg {
		return nil
	}
	buf := make([]byte, 64)
	n, err := unix.Lgetxattr(path, capability, buf)
	if errors.Is(err, unix.ENODATA) || errors.Is(err, unix.ENOTSUP) {
		return nil
	}
	if err != nil {
		return &fs.PathError{Op: "getxattr", Path: path, Err: err}
	}
	h.PAXRecords = map[string]string{xattrPrefix + capability: string(buf[:n])}
	return nil
}

// readTar unpacks a layer into the empty directory root. Entries that would
// leave it, and deletions of files of lower layers, are refused: the layers of
// our images stand alone.
func readTar(r io.Reader, root string) error {
	dir, err := os.OpenRoot(root)
	if err != nil {
		return err
	}
	defer dir.Close()
	x := &tarReader{dir: dir, root: root}
	t := tar.NewReader(r)
	for {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			return x.finish()
		}
		if err != nil {
			return fmt.Errorf("cannot unpack the layer: %w", err)
		}
		if err := x.entry(h, t); err != nil {
			return fmt.Errorf("cannot unpack %q of the layer: %w", h.Name, err)
		}
	}
}

type tarReader struct {
	dir  *os.Root
	root string
	dirs []*tar.Header // whose times are set when nothing is put into them any more
}

func (x *tarReader) entry(h *tar.Header, data io.Reader) error {
	name := strings.Trim(h.Name, "/")
	if name == "" || name == "." {
		return nil
	}
	if !filepath.IsLocal(name) {
		return errors.New("it would lie outside of the layer")
	}
	if strings.HasPrefix(filepath.Base(name), ".wh.") {
		return errors.New("it deletes from a lower layer, and there is none")
	}
	if err := x.make(h, name, data); err != nil || h.Typeflag == tar.TypeLink {
		return err
	}
	return x.own(h, name)
}

// make makes the file itself. The directory was opened as a root: no symlink in
// the layer leads out of it.
func (x *tarReader) make(h *tar.Header, name string, data io.Reader) error {
	switch h.Typeflag {
	case tar.TypeDir:
		x.dirs = append(x.dirs, h)
		return x.dir.Mkdir(name, 0o700)
	case tar.TypeSymlink:
		return x.dir.Symlink(h.Linkname, name)
	case tar.TypeLink:
		return x.dir.Link(strings.Trim(h.Linkname, "/"), name)
	case tar.TypeFifo:
		parent, err := x.dir.Open(filepath.Dir(name))
		if err != nil {
			return err
		}
		defer parent.Close()
		return unix.Mkfifoat(int(parent.Fd()), filepath.Base(name), 0o600)
	case tar.TypeReg:
		f, err := x.dir.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
		if err != nil {
			return err
		}
		_, err = io.Copy(f, data)
		return errors.Join(err, f.Close())
	}
	return fmt.Errorf("entries of type %q are not for images", h.Typeflag)
}

// own sets owner, mode, attributes and time, in this order: a change of owner
// takes set-uid bits and capabilities away.
func (x *tarReader) own(h *tar.Header, name string) error {
	if err := x.dir.Lchown(name, h.Uid, h.Gid); err != nil {
		return err
	}
	if h.Typeflag == tar.TypeSymlink {
		return x.settime(h, name)
	}
	if err := x.dir.Chmod(name, h.FileInfo().Mode()); err != nil {
		return err
	}
	if value, ok := h.PAXRecords[xattrPrefix+capability]; ok {
		// The path was just made below the root, and is no symlink.
		if err := unix.Lsetxattr(filepath.Join(x.root, name), capability, []byte(value), 0); err != nil {
			return err
		}
	}
	return x.settime(h, name)
}

func (x *tarReader) settime(h *tar.Header, name string) error {
	parent, err := x.dir.Open(filepath.Dir(name))
	if err != nil {
		return err
	}
	defer parent.Close()
	ts := unix.NsecToTimespec(h.ModTime.UnixNano())
	return unix.UtimesNanoAt(int(parent.Fd()), filepath.Base(name), []unix.Timespec{ts, ts}, unix.AT_SYMLINK_NOFOLLOW)
}

func (x *tarReader) finish() error {
	for i := len(x.dirs) - 1; i >= 0; i-- {
		if err := x.settime(x.dirs[i], strings.Trim(x.dirs[i].Name, "/")); err != nil {
			return err
		}
	}
	return nil
}
