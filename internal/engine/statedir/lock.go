package statedir

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/updraft-cloud/updraft/internal/engine"
)

// Lock implements [engine.Store] with flock(2): the kernel lets go of it when
// the process ends, however that happens. The file's content says who holds it
// and is for people only.
func (d *Dir) Lock(_ context.Context, h engine.Holder) (func() error, error) {
	for {
		unlock, err := d.lock(h)
		if !errors.Is(err, errRemoved) {
			return unlock, err
		}
	}
}

// errRemoved means that the file that was locked is no longer the one that others
// find: a destroy that ended just now has removed it.
var errRemoved = errors.New("the lock was removed")

func (d *Dir) lock(h engine.Holder) (func() error, error) {
	if err := os.MkdirAll(d.path, 0o700); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(filepath.Join(d.path, lockName), os.O_RDWR|os.O_CREATE, 0o600)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errRemoved
	}
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		defer f.Close()
		if !errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("cannot lock %s: %w", f.Name(), err)
		}
		var held engine.HeldError
		// An empty or half-written holder only makes the message poorer.
		_ = json.NewDecoder(f).Decode(&held.Holder)
		return nil, &held
	}
	if !d.current(f) {
		return nil, errors.Join(errRemoved, f.Close())
	}
	if err := writeHolder(f, h); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f.Close, nil
}

// current reports whether f is the lock file that others would open.
func (d *Dir) current(f *os.File) bool {
	mine, err := f.Stat()
	if err != nil {
		return false
	}
	theirs, err := os.Stat(filepath.Join(d.path, lockName))
	return err == nil && os.SameFile(mine, theirs)
}

func writeHolder(f *os.File, h engine.Holder) error {
	data, err := json.Marshal(h)
	if err != nil {
		return err
	}
	if err := f.Truncate(0); err != nil {
		return err
	}
	_, err = f.WriteAt(data, 0)
	return err
}

// syncData makes what was written durable. fdatasync(2) also flushes the size,
// which is all of the metadata that reading back needs.
func syncData(f *os.File) error { return unix.Fdatasync(int(f.Fd())) }

func sortRecords(rs []engine.Record) {
	slices.SortFunc(rs, func(a, b engine.Record) int { return cmp.Compare(a.ID, b.ID) })
}
