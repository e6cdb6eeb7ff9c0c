package lab_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/updraft-cloud/updraft/internal/drift"
	"github.com/updraft-cloud/updraft/internal/machine/lab"
)

func TestABuildThatWasCutOffLeavesNothingAndIsDoneAgain(t *testing.T) {
	f := newFixture(t)
	cache := filepath.Join(f.dir, "roots")
	opts := lab.Options{DataDir: filepath.Join(f.dir, "lab"), CacheDir: cache, Owner: f.dir}
	image := f.topology(t, "x", 1).Images[0]

	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	err := lab.New(opts).EnsureImage(ctx, image, t.Logf)
	if err == nil || ctx.Err() == nil {
		t.Fatalf("the build was not cut off: %v", err)
	}
	// What a killed build would leave, which has no chance to clean up.
	stale := filepath.Join(cache, ".build-stale", "root", "etc")
	if err := os.MkdirAll(stale, 0o755); err != nil {
		t.Fatal(err)
	}
	if r, err := lab.New(opts).ObserveImage(t.Context(), image); err != nil || r.Status != drift.Absent {
		t.Errorf("after the cut: %s, %v", r.Status, err)
	}
	errs := make(chan error, 2)
	for range 2 { // two at once build one
		go func() { errs <- lab.New(opts).EnsureImage(t.Context(), image, t.Logf) }()
	}
	if err := errors.Join(<-errs, <-errs); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(cache)
	if err != nil || len(entries) != 2 || entries[0].Name() != ".lock" || entries[1].Name() != image.ID {
		t.Errorf("cache: %v, %v", entries, err)
	}
	root := filepath.Join(cache, image.ID)
	for _, gone := range []string{"usr/sbin/policy-rc.d", "etc/ssh/ssh_host_ed25519_key", "etc/apt/apt.conf.d/99mmdebstrap"} {
		if _, err := os.Lstat(filepath.Join(root, gone)); err == nil {
			t.Errorf("%s is still in the root", gone)
		}
	}
	if python, _ := filepath.Glob(filepath.Join(root, "usr/bin/python3*")); len(python) > 0 {
		t.Errorf("the root has %v", python)
	}
	mounts, _ := os.ReadFile("/proc/self/mounts")
	if strings.Contains(string(mounts), cache) {
		t.Error("something is still mounted in the cache")
	}
}
