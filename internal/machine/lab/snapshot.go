package lab

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/updraft-cloud/updraft/internal/machine"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
)

// stopTimeout is how long a machine may take to shut down for a snapshot.
const stopTimeout = 30 * time.Second

// kept are the parts of a machine that a snapshot holds.
var kept = []string{"spec.json", "upper", "containers"}

func (p *Provider) snapshotDir(cloud, name string) string {
	return filepath.Join(p.cloudDir(cloud), "snapshots", name)
}

// Save stops all machines, copies them, and starts those again that ran. A
// snapshot appears complete or not at all; one of the same name is replaced.
func (p *Provider) Save(ctx context.Context, cloud, snapshot string, log machine.Log) (err error) {
	if err := errors.Join(checkName(snapshot), p.owned(cloud)); err != nil {
		return fmt.Errorf("cannot save snapshot %q: %w", snapshot, err)
	}
	defer p.clouds.lock(cloud)()
	hosts, err := p.hosts(cloud)
	if err == nil && len(hosts) == 0 {
		err = errors.New("there is no machine")
	}
	if err != nil {
		return fmt.Errorf("cannot save snapshot %s: %w", snapshot, err)
	}
	tmp := p.snapshotDir(cloud, ".new-"+snapshot)
	if err := errors.Join(os.RemoveAll(tmp), os.MkdirAll(tmp, 0o700)); err != nil {
		return fmt.Errorf("cannot save snapshot %s: %w", snapshot, err)
	}
	ran, err := p.stopAll(ctx, cloud, hosts, log)
	if err == nil {
		log("copying %d machines", len(hosts))
		err = each(hosts, func(h string) error { return copyHost(ctx, p.hostDir(cloud, h), filepath.Join(tmp, h)) })
	}
	if err == nil {
		err = swapIn(tmp, p.snapshotDir(cloud, snapshot))
	}
	err = errors.Join(err, p.startAll(context.WithoutCancel(ctx), ran, log))
	if err != nil {
		return errors.Join(fmt.Errorf("cannot save snapshot %s: %w", snapshot, err), os.RemoveAll(tmp))
	}
	return nil
}

// Restore puts the saved machines in the place of those that are there, and
// starts them. Each is exchanged at once; cut off in between, the next Restore
// begins anew. Machines that are not in the snapshot are left as they are.
func (p *Provider) Restore(ctx context.Context, cloud, snapshot string, log machine.Log) error {
	if err := errors.Join(checkName(snapshot), p.owned(cloud)); err != nil {
		return fmt.Errorf("cannot restore snapshot %q: %w", snapshot, err)
	}
	defer p.clouds.lock(cloud)()
	saved, err := p.saved(cloud, snapshot)
	if err != nil {
		return fmt.Errorf("cannot restore snapshot %s: %w", snapshot, err)
	}
	var names []string
	for _, m := range saved {
		names = append(names, m.Name)
	}
	if _, err := p.stopAll(ctx, cloud, names, log); err != nil {
		return fmt.Errorf("cannot restore snapshot %s: %w", snapshot, err)
	}
	log("restoring %d machines", len(names))
	if err := each(names, func(h string) error {
		tmp := filepath.Join(p.cloudDir(cloud), ".restore-"+h)
		if err := os.RemoveAll(tmp); err != nil {
			return err
		}
		if err := copyHost(ctx, filepath.Join(p.snapshotDir(cloud, snapshot), h), tmp); err != nil {
			return err
		}
		return swapIn(tmp, p.hostDir(cloud, h))
	}); err != nil {
		return fmt.Errorf("cannot restore snapshot %s: %w", snapshot, err)
	}
	if err := p.startAll(ctx, saved, log); err != nil {
		return fmt.Errorf("cannot restore snapshot %s: %w", snapshot, err)
	}
	return nil
}

// saved returns the machines of a snapshot.
func (p *Provider) saved(cloud, snapshot string) ([]machine.Machine, error) {
	entries, err := os.ReadDir(p.snapshotDir(cloud, snapshot))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errors.New("it does not exist")
	}
	if err != nil {
		return nil, err
	}
	var out []machine.Machine
	for _, e := range entries {
		m, ok, err := loadSpec(filepath.Join(p.snapshotDir(cloud, snapshot), e.Name()))
		if err != nil {
			return nil, err
		}
		if ok { // a half-made machine was saved as such
			out = append(out, m)
		}
	}
	return out, nil
}

// stopAll shuts the machines down and returns those that ran.
func (p *Provider) stopAll(ctx context.Context, cloud string, hosts []string, log machine.Log) ([]machine.Machine, error) {
	var ran []machine.Machine
	for _, h := range hosts {
		if m, ok, err := p.load(cloud, h); err != nil {
			return nil, err
		} else if ok && p.cg.running(cloud, h) {
			ran = append(ran, m)
		}
	}
	if len(ran) > 0 {
		log("stopping %d machines", len(ran))
	}
	ctx, cancel := context.WithTimeout(ctx, stopTimeout)
	defer cancel()
	return ran, each(ran, func(m machine.Machine) error {
		defer p.machines.lock(cloud + "/" + m.Name)()
		return p.stop(ctx, cloud, m.Name)
	})
}

// startAll plugs the machines in and boots them.
func (p *Provider) startAll(ctx context.Context, all []machine.Machine, log machine.Log) error {
	if len(all) > 0 {
		log("starting %d machines", len(all))
	}
	return each(all, func(m machine.Machine) error {
		defer p.machines.lock(m.Cloud + "/" + m.Name)()
		if p.cg.running(m.Cloud, m.Name) {
			return nil
		}
		if err := ensureNICs(m, machine.Machine{}); err != nil {
			return err
		}
		return p.boot(ctx, m, func(string, ...any) {})
	})
}

// each runs f for all, a few at a time, and returns the first error.
func each[T any](all []T, f func(T) error) error {
	var g errgroup.Group
	g.SetLimit(8)
	for _, x := range all {
		g.Go(func() error { return f(x) })
	}
	return g.Wait()
}

// copyHost copies what is kept of a machine, with owners, extended attributes
// and the device nodes that overlayfs marks deleted files with.
func copyHost(ctx context.Context, from, to string) error {
	if err := os.MkdirAll(to, 0o700); err != nil {
		return err
	}
	for _, part := range kept {
		src := filepath.Join(from, part)
		if !exists(src) {
			continue
		}
		out, err := exec.CommandContext(ctx, "cp", "-a", "--reflink=auto", src, to+"/").CombinedOutput()
		if err != nil {
			return fmt.Errorf("copy %s: %w: %s", src, err, strings.TrimSpace(string(out)))
		}
	}
	for _, sub := range []string{"work", "root"} {
		if err := os.MkdirAll(filepath.Join(to, sub), 0o755); err != nil {
			return err
		}
	}
	return nil
}

// swapIn puts a new directory in the place of an old one at once.
func swapIn(fresh, place string) error {
	if !exists(place) {
		return os.Rename(fresh, place)
	}
	if err := unix.Renameat2(unix.AT_FDCWD, fresh, unix.AT_FDCWD, place, unix.RENAME_EXCHANGE); err != nil {
		return fmt.Errorf("exchange %s: %w", place, err)
	}
	return os.RemoveAll(fresh)
}

// Snapshots lists the snapshots by name.
func (p *Provider) Snapshots(_ context.Context, cloud string) ([]string, error) {
	entries, err := os.ReadDir(p.snapshotDir(cloud, ""))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("cannot list snapshots: %w", err)
	}
	var out []string
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), ".") {
			out = append(out, e.Name())
		}
	}
	return out, nil
}

// RemoveSnapshot removes a snapshot; one that is gone is no error.
func (p *Provider) RemoveSnapshot(ctx context.Context, cloud, snapshot string) error {
	if err := errors.Join(checkName(snapshot), p.owned(cloud)); err != nil {
		return fmt.Errorf("cannot remove snapshot %q: %w", snapshot, err)
	}
	unlock := p.clouds.lock(cloud)
	err := os.RemoveAll(p.snapshotDir(cloud, snapshot))
	unlock()
	if err != nil {
		return fmt.Errorf("cannot remove snapshot %s: %w", snapshot, err)
	}
	return p.tidy(ctx, cloud)
}
