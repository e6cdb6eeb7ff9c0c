package testvm

import (
	"fmt"
	"io"
	"io/fs"
)

// entry is a file of an initramfs.
type entry struct {
	name string
	mode fs.FileMode // type and permissions
	data []byte      // of a symlink its target
}

// File types as in stat(2), which cpio uses.
const (
	typeDir     = 0o040000
	typeFile    = 0o100000
	typeSymlink = 0o120000
)

// writeCPIO writes an archive that the kernel unpacks as its first root (format
// newc, Documentation/driver-api/early-userspace/buffer-format.rst of the kernel).
// Everything belongs to root and is of 1970, so that it is a function of entries.
func writeCPIO(w io.Writer, entries []entry) error {
	for i, e := range append(entries, entry{name: "TRAILER!!!"}) {
		mode := uint32(e.mode.Perm())
		switch {
		case e.mode.IsDir():
			mode |= typeDir
		case e.mode&fs.ModeSymlink != 0:
			mode |= typeSymlink
		case e.mode != 0:
			mode |= typeFile
		}
		header := "070701"
		for _, v := range []uint32{
			uint32(i + 1), mode, 0, 0, 1, 0, uint32(len(e.data)), 0, 0, 0, 0, uint32(len(e.name) + 1), 0,
		} {
			header += fmt.Sprintf("%08x", v)
		}
		if err := padded(w, []byte(header+e.name+"\x00")); err != nil {
			return err
		}
		if err := padded(w, e.data); err != nil {
			return err
		}
	}
	return nil
}

// padded writes data and zeros up to a multiple of four bytes.
func padded(w io.Writer, data []byte) error {
	if _, err := w.Write(data); err != nil {
		return err
	}
	_, err := w.Write(make([]byte, (4-len(data)%4)%4))
	return err
}
