package keyring

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"time"
)

// Config is the file that holds what a controller has to know.
type Config struct {
	Repositories []Repository `json:"repositories"`
}

// Encode returns the file's content.
func (c Config) Encode() string {
	data, err := json.MarshalIndent(c, "", "  ")
	if err != nil {
		panic("keyring: " + err.Error()) // plain structs always encode
	}
	return string(data) + "\n"
}

// Open reads the file. As long as it is not closed, others who open it wait: the
// timer and updraft may come at the same time.
func Open(path string) (Config, *os.File, error) {
	f, err := os.Open(path)
	if err != nil {
		return Config{}, nil, err
	}
	c, err := read(f)
	if err != nil {
		return Config{}, nil, errors.Join(fmt.Errorf("cannot read %s: %w", path, err), f.Close())
	}
	return c, f, nil
}

func read(f *os.File) (Config, error) {
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		return Config{}, err
	}
	dec := json.NewDecoder(f)
	dec.DisallowUnknownFields()
	var c Config
	if err := dec.Decode(&c); err != nil {
		return Config{}, errors.New("it is not what updraft writes") // the decoder may quote keys
	}
	return c, nil
}

// keyMode lets root write, and the group read.
const keyMode = 0o640

// primaryFile is the file of the primary key, which is known by the highest number.
// The others are numbered from 1.
//
// Source: Keystone's documentation, "Fernet - Frequently Asked Questions".
const primaryFile = "1000000"

// Apply makes the directory hold the keys of the time, and reports whether it did
// not. The primary one comes last.
func (r Repository) Apply(now time.Time) (changed bool, err error) {
	want, err := r.Keys(now)
	if err != nil {
		return false, err
	}
	missing, free, err := r.compare(want)
	if err != nil {
		return false, err
	}
	for i, key := range missing { // there are as many places as keys
		if err := r.write(free[i], key); err != nil {
			return true, err
		}
	}
	if len(missing) > 0 {
		if err := syncDir(r.Dir); err != nil {
			return true, err
		}
	}
	if r.read(primaryFile) != want.Primary {
		changed = true
		if err := r.write(primaryFile, want.Primary); err != nil {
			return true, err
		}
	}
	strangers, err := r.strangers()
	for _, name := range strangers {
		if err := os.Remove(filepath.Join(r.Dir, name)); err != nil {
			return true, err
		}
	}
	return changed || len(missing)+len(strangers) > 0, err
}

// compare returns the keys that are not in the directory, and the files that hold
// none of those that should be there.
func (r Repository) compare(want Keys) (missing, free []string, err error) {
	if _, err := os.Stat(r.Dir); err != nil {
		return nil, nil, err
	}
	missing = want.All
	for i := range want.All {
		name := strconv.Itoa(i + 1)
		have := r.read(name)
		if n := slices.Index(missing, have); n >= 0 {
			missing = slices.Concat(missing[:n], missing[n+1:])
		} else {
			free = append(free, name)
		}
	}
	return missing, free, nil
}

// Check returns an error if the directory does not hold the keys of the time, nor
// those of a time that is no longer ago than [Grace].
func (r Repository) Check(now time.Time) error {
	err := r.checkAt(now)
	if err != nil && r.checkAt(now.Add(-Grace)) == nil {
		return nil
	}
	return err
}

func (r Repository) checkAt(now time.Time) error {
	want, err := r.Keys(now)
	if err != nil {
		return err
	}
	missing, _, err := r.compare(want)
	if err != nil {
		return err
	}
	strangers, err := r.strangers()
	if err != nil {
		return err
	}
	if len(missing)+len(strangers) > 0 || r.read(primaryFile) != want.Primary {
		last, _ := r.Rotates(now)
		return fmt.Errorf("%s does not hold the keys that are used since %s", r.Dir, last.Format(time.RFC3339))
	}
	return nil
}

// strangers are files that Keystone takes for keys, and that are none of ours.
func (r Repository) strangers() ([]string, error) {
	entries, err := os.ReadDir(r.Dir)
	if err != nil {
		return nil, err
	}
	ours := map[string]bool{primaryFile: true}
	for i := range r.Size() - 1 {
		ours[strconv.Itoa(i+1)] = true
	}
	var out []string
	for _, e := range entries {
		if _, err := strconv.Atoi(e.Name()); err == nil && !e.IsDir() && !ours[e.Name()] {
			out = append(out, e.Name())
		}
	}
	return out, nil
}

// read returns the key in a file; "" when there is none that Keystone can read and
// others cannot.
func (r Repository) read(name string) string {
	path := filepath.Join(r.Dir, name)
	info, err := os.Lstat(path)
	if err != nil {
		return ""
	}
	owner, ok := info.Sys().(*syscall.Stat_t)
	if !ok || info.Mode() != keyMode || int(owner.Gid) != r.Group {
		return ""
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	return string(data)
}

// write puts a key in place by a rename. The file is made beside the directory:
// Keystone opens all that is in it, whatever it is called.
func (r Repository) write(name, key string) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("cannot write a key of %s: %w", r.Name, err)
		}
	}()
	temp := filepath.Join(filepath.Dir(r.Dir), "."+filepath.Base(r.Dir)+".new")
	f, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteString(key)
	err = errors.Join(err, f.Chown(-1, r.Group), f.Chmod(keyMode), f.Sync(), f.Close())
	if err != nil {
		return errors.Join(err, os.Remove(temp))
	}
	return os.Rename(temp, filepath.Join(r.Dir, name))
}

func syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
