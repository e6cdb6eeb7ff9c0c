package statedir_test

import (
	"context"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/updraft-cloud/updraft/internal/engine"
	"github.com/updraft-cloud/updraft/internal/engine/statedir"
)

// A writer that opened the lock just before destroy removed it must not work
// beside one that comes after and makes a new one.
func TestOneWriterAlsoWhileTheStateIsRemoved(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "cloud")
	var writers atomic.Int32
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 300 {
				d := statedir.Open(dir)
				unlock, err := d.Lock(context.Background(), engine.Holder{})
				if err != nil {
					continue // another one has it
				}
				if writers.Add(1) != 1 {
					t.Error("two writers")
				}
				writers.Add(-1) // what follows is the end of a destroy
				if err := d.Remove(context.Background()); err != nil {
					t.Error(err)
				}
				if err := unlock(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
}
