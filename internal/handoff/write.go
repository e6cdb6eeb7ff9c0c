package handoff

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/google/renameio/v2"
)

// manifest lists the files that updraft wrote into a directory, one name a line.
const manifest = ".updraft-files"

// Write makes dir hold the files: each is replaced atomically and only if it
// differs, and files of an earlier Write that are no longer wanted are removed.
// Nothing else in dir is touched. Cut off at any point, the next Write finishes
// the job.
func Write(dir string, files []File) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("cannot hand over: %w", err)
	}
	before, err := readManifest(dir)
	if err != nil {
		return fmt.Errorf("cannot hand over: %w", err)
	}
	var names []string
	for _, f := range files {
		if !plainName(f.Name) {
			return fmt.Errorf("cannot hand over: %q is not the name of a file in a directory", f.Name)
		}
		names = append(names, f.Name)
	}
	// Until the work is done the manifest lists the old and the new names, so
	// that whatever was written can be found again.
	if err := writeManifest(dir, append(slices.Clone(before), names...)); err != nil {
		return err
	}
	for _, f := range files {
		if err := writeFile(filepath.Join(dir, f.Name), f); err != nil {
			return err
		}
	}
	for _, name := range before {
		if slices.Contains(names, name) {
			continue
		}
		if err := os.Remove(filepath.Join(dir, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("cannot remove a file of an earlier hand-off: %w", err)
		}
	}
	return writeManifest(dir, names)
}

// plainName reports whether the name stays in its directory and is not that of
// the manifest.
func plainName(name string) bool {
	return name != "" && name == filepath.Base(name) && !strings.HasPrefix(name, ".") && !strings.ContainsAny(name, "\n\x00")
}

// readManifest returns the names in the manifest; what cannot be a name of ours
// is ignored.
func readManifest(dir string) ([]string, error) {
	text, err := os.ReadFile(filepath.Join(dir, manifest))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(strings.Split(string(text), "\n"), func(s string) bool { return !plainName(s) }), nil
}

func writeManifest(dir string, names []string) error {
	slices.Sort(names)
	text := strings.Join(slices.Compact(names), "\n") + "\n"
	return writeFile(filepath.Join(dir, manifest), File{Mode: 0o644, Content: []byte(text)})
}

// writeFile replaces path unless it holds the same already.
func writeFile(path string, f File) error {
	mode := fs.FileMode(f.Mode)
	if info, err := os.Lstat(path); err == nil && info.Mode() == mode {
		if old, err := os.ReadFile(path); err == nil && bytes.Equal(old, f.Content) {
			return nil
		}
	}
	err := renameio.WriteFile(path, f.Content, mode, renameio.IgnoreUmask())
	if err != nil {
		return fmt.Errorf("cannot write %s: %w", path, err)
	}
	return nil
}
