// Package original keeps what was on a host before updraft changed it, so that
// removing a resource brings it back.
//
// Each resource has one entry, a file of root's below /var/lib/updraft/original
// named by a digest of the resource's reference. It is written, durably, before
// the first change and dropped after the restoration; whatever happens between,
// the entry holds the state from before the first change.
package original

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"syscall"

	"github.com/updraft-cloud/updraft/internal/resource"
)

// Dir is where the entries are.
const Dir = "/var/lib/updraft/original"

// Entry is what was there.
type Entry struct {
	Ref  string `json:"ref"` // of the resource, for people who look
	Type string `json:"type,omitempty"`
	Mode uint32 `json:"mode,omitempty"`
	UID  int    `json:"uid,omitempty"`
	GID  int    `json:"gid,omitempty"`
	Data []byte `json:"data,omitempty"`
	// Text is a value, such as a symlink's target.
	Text string `json:"text,omitempty"`
	// Made lists paths that did not exist and were made, in the order of making.
	Made []string `json:"made,omitempty"`
}

// Of describes what is at a path: its type, mode, owner and, of a file or
// symlink, its content. The type is "" when there is nothing.
func Of(f resource.Files, p string) (Entry, error) {
	fi, err := f.Lstat(p)
	if errors.Is(err, fs.ErrNotExist) {
		return Entry{}, nil
	}
	if err != nil {
		return Entry{}, err
	}
	e := Entry{Type: TypeName(fi.Type), Mode: fi.Mode, UID: fi.UID, GID: fi.GID}
	switch fi.Type {
	case resource.Regular:
		e.Data, err = f.ReadFile(p)
	case resource.Symlink:
		e.Text, err = f.Readlink(p)
	}
	return e, err
}

// TypeName returns the name of a file's type.
func TypeName(t resource.FileType) string {
	return [...]string{"file", "directory", "symlink", "special file"}[t]
}

// Restore puts a file or symlink back at p, or mode and owner of a directory.
func (e Entry) Restore(f resource.Files, p string) error {
	access := resource.Access{Mode: e.Mode, UID: e.UID, GID: e.GID}
	switch e.Type {
	case "file":
		return f.WriteFile(p, e.Data, access)
	case "symlink":
		if err := f.Remove(p); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return f.Symlink(e.Text, p)
	case "directory":
		return errors.Join(f.Chown(p, e.UID, e.GID), f.Chmod(p, fs.FileMode(e.Mode)))
	}
	return nil
}

// Keep writes the entry of ref unless there is one already.
func Keep(f resource.Files, ref string, e Entry) error {
	_, found, err := Load(f, ref)
	if found || err != nil {
		return err
	}
	return Save(f, ref, e)
}

// KeepUnless is [Keep], but does nothing for a thing that updraft made.
func KeepUnless(made bool, f resource.Files, ref string, e Entry) error {
	if made {
		return nil
	}
	return Keep(f, ref, e)
}

// Save writes the entry of ref, replacing one that is there.
func Save(f resource.Files, ref string, e Entry) error {
	e.Ref = ref
	data, err := json.Marshal(e)
	if err != nil {
		return err
	}
	// Another resource may remove the emptied directory between the two steps.
	for range 3 {
		if err = makeDir(f, Dir); err != nil {
			break
		}
		if err = f.WriteFile(file(ref), data, resource.Access{Mode: 0o600}); !errors.Is(err, fs.ErrNotExist) {
			break
		}
	}
	if err != nil {
		return fmt.Errorf("cannot keep the original of %s: %w", ref, err)
	}
	return nil
}

// Load returns the entry of ref, if there is one.
func Load(f resource.Files, ref string) (e Entry, found bool, err error) {
	data, err := f.ReadFile(file(ref))
	if errors.Is(err, fs.ErrNotExist) {
		return e, false, nil
	}
	if err == nil {
		err = json.Unmarshal(data, &e)
	}
	if err != nil {
		return e, false, fmt.Errorf("cannot read the original of %s: %w", ref, err)
	}
	return e, true, nil
}

// Drop removes the entry of ref, and the directories when it was the last.
func Drop(f resource.Files, ref string) error {
	if err := f.Remove(file(ref)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, dir := range []string{Dir, path.Dir(Dir)} {
		if err := RemoveEmpty(f, dir); err != nil {
			return err
		}
	}
	return nil
}

// RemoveMade removes the paths that e lists as made, last first, except
// directories that hold something.
func (e Entry) RemoveMade(f resource.Files) error {
	for i := len(e.Made) - 1; i >= 0; i-- {
		if err := RemoveEmpty(f, e.Made[i]); err != nil {
			return err
		}
	}
	return nil
}

// RemoveEmpty removes a directory if it is there, is one, and is empty.
func RemoveEmpty(f resource.Files, dir string) error {
	fi, err := f.Lstat(dir)
	if errors.Is(err, fs.ErrNotExist) || err == nil && fi.Type != resource.Directory {
		return nil
	}
	if err != nil {
		return err
	}
	if names, err := f.ReadDir(dir); err != nil || len(names) > 0 {
		return err
	}
	err = f.Remove(dir)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTEMPTY) || errors.Is(err, syscall.EBUSY) {
		return nil
	}
	return err
}

// makeDir makes a directory and its parents; the entries are root's alone to read.
func makeDir(f resource.Files, dir string) error {
	_, err := f.Stat(dir)
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := makeDir(f, path.Dir(dir)); err != nil {
		return err
	}
	mode := uint32(0o755)
	if dir == Dir {
		mode = 0o700
	}
	err = f.Mkdir(dir, resource.Access{Mode: mode})
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	return err
}

func file(ref string) string {
	sum := sha256.Sum256([]byte(ref))
	return Dir + "/" + hex.EncodeToString(sum[:]) + ".json"
}
