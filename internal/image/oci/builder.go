package oci

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/google/renameio/v2"
	"github.com/updraft-cloud/updraft/internal/drift"
)

// DefaultDir is where images are kept.
const DefaultDir = "/var/cache/updraft/images"

// Builder builds images into a directory of this computer and keeps them there.
// It is safe for concurrent use, also by several processes.
//
// Below Dir:
//
//	store/                     the store that podman reads
//	layout/                    images in OCI layout, to push or to carry
//	sbom/NAME-TAG.spdx.json    what is in an image
//	log/NAME-TAG.log           what the packages said while it was built
//	.build-NAME-TAG/, .lock    a build under way; its lock
//	.lock                      held while the store changes
type Builder struct {
	Dir    string // DefaultDir when empty
	Source Source
	// Layouts asks for the image in OCI layout as well, to be pulled from a
	// registry.
	Layouts bool
}

func (b Builder) path(elem ...string) string {
	dir := b.Dir
	if dir == "" {
		dir = DefaultDir
	}
	return filepath.Join(append([]string{dir}, elem...)...)
}

// Store returns the directory that hosts may see as an additional image store.
// It exists after the first Ensure or Init.
func (b Builder) Store() string { return b.path("store") }

func (b Builder) store() store { return store{b.Store()} }

// Init makes an empty store, so that it can be shared before the first image.
func (b Builder) Init() error {
	if err := b.store().init(); err != nil {
		return fmt.Errorf("cannot make the store of images: %w", err)
	}
	return nil
}

// Observe tells whether the image is built.
func (b Builder) Observe(_ context.Context, r Recipe) (drift.Report, error) {
	_, ok, err := b.store().find(r.Ref(""))
	if err != nil || !ok {
		return drift.Missing(), err
	}
	if b.Layouts {
		if ok, err = b.hasLayout(r.Ref("")); err != nil {
			return drift.Report{}, err
		}
		if !ok {
			return drift.Report{Status: drift.Differs, Changes: []drift.Change{{Attr: "layout", From: "absent", To: "present"}}}, nil
		}
	}
	return drift.Report{Status: drift.InSync}, nil
}

// Ensure builds the image unless it is there. One process builds an image, the
// others wait for it; different images are built side by side.
func (b Builder) Ensure(ctx context.Context, r Recipe, log Log) error {
	if err := r.Check(); err != nil {
		return err
	}
	if err := b.ensure(ctx, r, log); err != nil {
		return fmt.Errorf("cannot build image %s: %w", r, err)
	}
	return nil
}

func (b Builder) ensure(ctx context.Context, r Recipe, log Log) error {
	for _, dir := range []string{"sbom", "log"} {
		if err := os.MkdirAll(b.path(dir), 0o755); err != nil {
			return err
		}
	}
	b.sweep()
	lock, err := lockFile(ctx, b.workDir(r)+lockSuffix)
	if err != nil {
		return err
	}
	defer lock.Close()
	i, ok, err := b.store().find(r.Ref(""))
	if err != nil {
		return err
	}
	if !ok {
		if err := b.build(ctx, r, lock, log); err != nil {
			return err
		}
		if i, _, err = b.store().find(r.Ref("")); err != nil {
			return err
		}
	}
	if b.Layouts {
		return b.addLayout(ctx, i, r.Ref(""), b.workDir(r), log)
	}
	return nil
}

const (
	workPrefix = ".build-"
	lockSuffix = ".lock"
)

func (b Builder) workDir(r Recipe) string {
	return b.path(workPrefix + r.Name + "-" + r.Tag())
}

// build is called with the image's lock held.
func (b Builder) build(ctx context.Context, r Recipe, lock *os.File, log Log) error {
	work := b.workDir(r)
	if err := os.RemoveAll(work); err != nil { // of a build that died
		return err
	}
	if err := os.MkdirAll(work, 0o700); err != nil {
		return err
	}
	start := time.Now()
	log("%s: building image %s from packages of %s (once)", r.Name, r, r.Suite)
	err := b.buildIn(ctx, r, work, lock, log)
	if err == nil {
		log("%s: built in %.0f s", r.Name, time.Since(start).Seconds())
		return os.RemoveAll(work)
	}
	return errors.Join(err, os.RemoveAll(work))
}

func (b Builder) buildIn(ctx context.Context, r Recipe, work string, lock *os.File, log Log) error {
	root, start := filepath.Join(work, "root"), time.Now()
	if err := bootstrap(ctx, r, b.Source, work, b.path("log", r.Name+"-"+r.Tag()+".log"), lock, log); err != nil {
		return err
	}
	if err := clean(root, start); err != nil {
		return err
	}
	if err := checkUsers(root, usersOf(r.Users)); err != nil {
		return err
	}
	log("%s: taking it into the store", r.Name)
	d, err := describe(r, root)
	if err != nil {
		return err
	}
	packages, err := packagesOf(root)
	if err != nil {
		return err
	}
	bom, err := spdx(r, d, packages)
	if err != nil {
		return err
	}
	if err := renameio.WriteFile(b.sbomFile(r.Ref("")), bom, 0o644); err != nil {
		return err
	}
	return b.locked(ctx, func() error { return b.store().add(r.Ref(""), root, d) })
}

// sbomFile is where the packages of an image are listed.
func (b Builder) sbomFile(ref string) string {
	return b.path("sbom", fileName(ref)+".spdx.json")
}

// fileName returns NAME-TAG.
func fileName(ref string) string {
	return filepath.Base(strings.ReplaceAll(ref, ":", "-"))
}

// Scratch returns an empty directory beside the images, on the same file system,
// that only this process uses until it calls done, which removes it. What a killed
// process left is removed by the next.
func (b Builder) Scratch(ctx context.Context, name string) (work string, done func(), err error) {
	work = b.path(workPrefix + name)
	if err := os.MkdirAll(b.path(), 0o755); err != nil {
		return "", nil, err
	}
	lock, err := lockFile(ctx, work+lockSuffix)
	if err != nil {
		return "", nil, err
	}
	done = func() {
		_ = os.RemoveAll(work) // or the next does
		lock.Close()
	}
	if err := errors.Join(os.RemoveAll(work), os.MkdirAll(work, 0o700)); err != nil {
		done()
		return "", nil, err
	}
	return work, done, nil
}

// locked runs f with the store locked.
func (b Builder) locked(ctx context.Context, f func() error) error {
	lock, err := lockFile(ctx, b.path(lockSuffix))
	if err != nil {
		return err
	}
	defer lock.Close()
	return f()
}

// sweep removes what killed builds of other recipes left. It is only tidying:
// what cannot be removed now is removed another time.
func (b Builder) sweep() {
	stale, _ := filepath.Glob(b.path(workPrefix + "*" + lockSuffix))
	for _, path := range stale {
		work := strings.TrimSuffix(path, lockSuffix)
		if _, err := os.Stat(work); err != nil {
			continue
		}
		if lock, err := tryLock(path); err == nil {
			_ = os.RemoveAll(work)
			lock.Close()
		}
	}
}

// withOwnThread keeps the goroutine on its thread while f runs: Pdeathsig tells
// of the end of the thread that started the process (prctl(2)).
func withOwnThread(f func() error) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	return f()
}

// Root returns the directory with the files of an image that is built. They are
// shared by every container: whoever changes one changes them all.
func (b Builder) Root(r Recipe) (string, error) {
	i, ok, err := b.store().find(r.Ref(""))
	if err == nil && !ok {
		err = errors.New("it is not built")
	}
	if err != nil {
		return "", fmt.Errorf("cannot look into image %s: %w", r, err)
	}
	return b.store().root(i), nil
}

// Simulate asks the package manager whether the recipe can be built, and installs
// nothing.
func (b Builder) Simulate(ctx context.Context, r Recipe) error {
	if err := r.Check(); err != nil {
		return err
	}
	if err := simulate(ctx, r, b.Source); err != nil {
		return fmt.Errorf("cannot build image %s: %w", r, err)
	}
	return nil
}
