package ssh

import (
	"os"
	"syscall"

	"github.com/google/renameio/v2"
)

// stamp tells versions of a file apart. The zero value is a file that is not there.
type stamp struct {
	ino         uint64
	size        int64
	mtime, ctim syscall.Timespec
}

func stampOf(path string) (stamp, error) {
	var st syscall.Stat_t
	if err := syscall.Stat(path, &st); err != nil {
		return stamp{}, &os.PathError{Op: "stat", Path: path, Err: err}
	}
	return stamp{st.Ino, st.Size, st.Mtim, st.Ctim}, nil
}

// replace writes a file atomically, readable by its owner only.
func replace(path string, data []byte) error {
	return renameio.WriteFile(path, data, 0o600, renameio.IgnoreUmask())
}
