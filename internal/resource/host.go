package resource

import (
	"context"
	"io/fs"
	"strconv"
	"time"
)

// Host is the operating system as a resource sees it. There are two: the real
// one in package hostos, and the strict in-memory one in package fakehost,
// which renders itself as text and knows exactly the commands that the kinds
// use. All paths are absolute.
type Host interface {
	Files
	// Confine calls f with file operations that cannot leave dir, whatever
	// symlinks lie below it or are put there meanwhile. It is for directories
	// that somebody else can write to, such as a home. f's paths are absolute
	// and below dir.
	Confine(dir string, f func(Files) error) error
	// Run runs a command to its end. Output lines go to the run's log as they
	// come. A command that ran and failed is an [*ExitError]; one that is not
	// installed wraps fs.ErrNotExist. Memos are forgotten unless c.Reads.
	Run(ctx context.Context, c Command) (Output, error)
	// Memo returns the value stored under key in this batch, calling load for
	// it the first time. Any change made through this Host forgets all memos.
	Memo(key string, load func() (any, error)) (any, error)
	// Lock makes what reads, changes and writes one thing wait for its turn
	// among the resources applied at the same time: a shared file such as
	// /etc/fstab, or the account databases. It is not reentrant.
	Lock(name string) (unlock func())
	// Cached returns what load made of the given files, until one of them is
	// another or was written to, by whomever. Other than a memo it outlives
	// changes of other files.
	Cached(key string, files []string, load func() (any, error)) (any, error)
	// LockFile takes the write lock of fcntl(2) on a file by which programs on
	// the host take turns, such as that of lckpwdf(3); it makes the file if it
	// is missing, and waits for as long as those programs do.
	LockFile(ctx context.Context, path string) (unlock func(), err error)
	// Forget drops all memos, as after a change that the Host cannot see.
	Forget()
	// Logf writes a line to the run's log. No secret may be in it.
	Logf(format string, args ...any)
}

// Files are the file operations of a [Host]. Errors wrap fs.ErrNotExist and the
// like.
type Files interface {
	ReadFile(path string) ([]byte, error)
	// Lstat describes path itself, not what a symlink points to.
	Lstat(path string) (FileInfo, error)
	// Stat follows symlinks.
	Stat(path string) (FileInfo, error)
	ReadDir(path string) ([]string, error) // names, sorted
	Readlink(path string) (string, error)
	// WriteFile replaces path atomically and durably: a reader, or a crash,
	// sees the old content or the new with its mode and owner, nothing between.
	WriteFile(path string, data []byte, a Access) error
	// WriteKernel writes to a file of /proc or /sys in place.
	WriteKernel(path string, data []byte) error
	Mkdir(path string, a Access) error
	Symlink(target, path string) error // replaces an existing symlink atomically
	Remove(path string) error          // a file, symlink or empty directory
	Rename(from, to string) error
	Chmod(path string, mode fs.FileMode) error
	Chown(path string, uid, gid int) error // does not follow symlinks
}

// Access is the mode and ownership of a new file or directory. Mode holds the
// permission bits with setuid, setgid and sticky in their octal positions
// (07777).
type Access struct {
	Mode     uint32
	UID, GID int
}

// FileType is what kind of file a path is.
type FileType uint8

// The file types that resources tell apart.
const (
	Regular FileType = iota
	Directory
	Symlink
	Other
)

// FileInfo describes a file. Mode is as in [Access].
type FileInfo struct {
	Type       FileType
	Mode       uint32
	UID, GID   int
	Size       int64
	ModTime    time.Time
	ChangeTime time.Time // ctime: last change of content or inode
}

// Command is a program to run. Args never hold secrets; those go by Stdin.
type Command struct {
	Name  string
	Args  []string
	Env   []string // added to a minimal environment: PATH, LC_ALL=C, HOME
	Stdin []byte
	Dir   string
	// Quiet keeps the output out of the run's log.
	Quiet bool
	// Reads says that the command changes nothing, so that memos are kept.
	// The in-memory host holds it to that.
	Reads bool
}

// Output is what a command wrote. Each is cut off after 1 MiB.
type Output struct {
	Stdout, Stderr []byte
}

// ExitError is a command that ran and did not succeed.
type ExitError struct {
	Command string // name and arguments
	Code    int    // exit status, or -1 when ended by a signal
	Stderr  string // last lines of its standard error, or of its output
}

// Error renders the command, its status and its last words.
func (e *ExitError) Error() string {
	s := e.Command + ": exit status " + strconv.Itoa(e.Code)
	if e.Code < 0 {
		s = e.Command + ": ended by a signal"
	}
	if e.Stderr != "" {
		s += ": " + e.Stderr
	}
	return s
}
