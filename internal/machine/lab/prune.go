package lab

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/updraft-cloud/updraft/internal/machine"
)

// Prune removes cached root file systems that no machine and no snapshot below
// this data directory is made of, and that nothing on this computer has mounted.
func (p *Provider) Prune(ctx context.Context, log machine.Log) error {
	if !exists(p.opts.CacheDir) {
		return nil
	}
	unlock, err := p.lockCache(ctx)
	if err != nil {
		return fmt.Errorf("cannot prune the cache of roots: %w", err)
	}
	defer unlock()
	if err := p.removeStaleBuilds(); err != nil {
		return fmt.Errorf("cannot prune the cache of roots: %w", err)
	}
	used, err := p.usedImages()
	if err != nil {
		return fmt.Errorf("cannot prune the cache of roots: %w", err)
	}
	entries, err := os.ReadDir(p.opts.CacheDir)
	if err != nil {
		return fmt.Errorf("cannot prune the cache of roots: %w", err)
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".") || used[e.Name()] || mounted(p.rootDir(e.Name())) {
			continue
		}
		log("removing root file system %s", e.Name())
		// Renamed first: a root is in the cache whole or not at all.
		gone := filepath.Join(p.opts.CacheDir, ".build-gone-"+e.Name())
		if err := os.Rename(p.rootDir(e.Name()), gone); err != nil {
			return fmt.Errorf("cannot prune the cache of roots: %w", err)
		}
		if err := os.RemoveAll(gone); err != nil {
			return fmt.Errorf("cannot prune the cache of roots: %w", err)
		}
	}
	return nil
}

// usedImages are those of all machines and snapshots of all clouds.
func (p *Provider) usedImages() (map[string]bool, error) {
	used := map[string]bool{}
	for _, pattern := range []string{"*/hosts/*", "*/snapshots/*/*"} {
		dirs, err := filepath.Glob(filepath.Join(p.opts.DataDir, pattern))
		if err != nil {
			return nil, err
		}
		for _, dir := range dirs {
			m, ok, err := loadSpec(dir)
			if err != nil {
				return nil, err
			}
			if ok {
				used[imageID(m)] = true
			}
		}
	}
	return used, nil
}

// mounted reports whether a process has an overlay over the root.
func mounted(root string) bool {
	tables, _ := filepath.Glob("/proc/[0-9]*/mounts")
	for _, path := range tables {
		b, _ := os.ReadFile(path) // the process may be gone
		if strings.Contains(string(b), "lowerdir="+root+",") {
			return true
		}
	}
	return false
}
