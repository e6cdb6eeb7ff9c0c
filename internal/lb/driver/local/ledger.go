package local

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/google/renameio/v2"
	"golang.org/x/sys/unix"

	"github.com/updraft-cloud/updraft/internal/lb/driver"
)

// ledger is the file of ports. Readers see a whole file without a lock; writers
// hold one that ends with their process.
type ledger struct{ dir string }

func (l ledger) path() string { return filepath.Join(l.dir, "ports.json") }

func (l ledger) read() ([]driver.Port, error) {
	data, err := os.ReadFile(l.path())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read the ports: %w", err)
	}
	var ports []driver.Port
	if err := json.Unmarshal(data, &ports); err != nil {
		return nil, fmt.Errorf("cannot read the ports in %s: %w", l.path(), err)
	}
	return ports, nil
}

// change replaces the ports by what f makes of them.
func (l ledger) change(ctx context.Context, f func([]driver.Port) ([]driver.Port, error)) error {
	unlock, err := l.lock(ctx)
	if err != nil {
		return fmt.Errorf("cannot lock the ports: %w", err)
	}
	defer unlock()
	ports, err := l.read()
	if err != nil {
		return err
	}
	old, err := json.Marshal(ports)
	if err != nil {
		return err
	}
	if ports, err = f(ports); err != nil {
		return err
	}
	for i := range ports {
		ports[i].Binding = nil // where things are plugged in is up to the declaration
	}
	data, err := json.Marshal(ports)
	if err != nil || string(data) == string(old) {
		return err
	}
	return renameio.WriteFile(l.path(), data, 0o600)
}

// lock takes the lock, for which others wait a moment at most.
func (l ledger) lock(ctx context.Context) (unlock func(), err error) {
	f, err := os.OpenFile(filepath.Join(l.dir, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	for {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return func() { f.Close() }, nil
		}
		if !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR) {
			f.Close()
			return nil, err
		}
		select {
		case <-ctx.Done():
			f.Close()
			return nil, ctx.Err()
		case <-time.After(2 * time.Millisecond):
		}
	}
}
