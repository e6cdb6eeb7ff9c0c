package lab

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/updraft-cloud/updraft/internal/aptconf"
	"github.com/updraft-cloud/updraft/internal/drift"
	"github.com/updraft-cloud/updraft/internal/machine"
	"github.com/updraft-cloud/updraft/internal/netns"
	"github.com/updraft-cloud/updraft/internal/retry"
)

// load returns the machine as last made; ok is false when it is absent or half made.
func (p *Provider) load(cloud, host string) (m machine.Machine, ok bool, err error) {
	return loadSpec(p.hostDir(cloud, host))
}

func loadSpec(dir string) (m machine.Machine, ok bool, err error) {
	b, err := os.ReadFile(filepath.Join(dir, "spec.json"))
	if errors.Is(err, fs.ErrNotExist) {
		return m, false, nil
	}
	if err != nil {
		return m, false, err
	}
	if err := json.Unmarshal(b, &m); err != nil {
		return m, false, fmt.Errorf("cannot read %s/spec.json: %w", dir, err)
	}
	return m, true, nil
}

func (p *Provider) store(m machine.Machine) error {
	b, err := json.Marshal(m)
	if err != nil {
		return err
	}
	path := filepath.Join(p.hostDir(m.Cloud, m.Name), "spec.json")
	if err := os.WriteFile(path+".new", b, 0o600); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

// ObserveMachine compares the machine, its limits and interfaces with the world.
func (p *Provider) ObserveMachine(_ context.Context, m machine.Machine) (drift.Report, error) {
	old, ok, err := p.load(m.Cloud, m.Name)
	if err != nil {
		return drift.Report{}, err
	}
	if !ok {
		return drift.Missing(), nil
	}
	var b drift.Builder
	running := p.cg.running(m.Cloud, m.Name)
	b.Want("rebuild", imageID(old), imageID(m))
	b.Want("running", strconv.FormatBool(running), "true")
	b.Want("shares", fmt.Sprint(old.Shares), fmt.Sprint(m.Shares))
	b.Want("fuse", strconv.FormatBool(fuse(old)), strconv.FormatBool(fuse(m)))
	b.Want("dns", strings.Trim(fmt.Sprint(old.DNS), "[]"), strings.Trim(fmt.Sprint(m.DNS), "[]"))
	b.Want("cpus", fmt.Sprint(old.CPUs), fmt.Sprint(m.CPUs))
	b.Want("memory", size(old.Memory), size(m.Memory))
	b.Want("access.user", old.Access.User, m.Access.User)
	if m.Access.PublicKey != "" { // before the first run there is no key yet
		b.Want("access.key", old.Access.PublicKey, m.Access.PublicKey)
	}
	b.Want("access.known_hosts", old.Access.KnownHosts, m.Access.KnownHosts)
	if running { // it has none while it is off
		if err := observeNICs(&b, m, old); err != nil {
			return drift.Report{}, fmt.Errorf("cannot observe machine %s: %w", m.Name, err)
		}
	}
	r := b.Report()
	r.Shut = slices.ContainsFunc(r.Changes, func(c drift.Change) bool {
		// It is reached by its first interface.
		return c.Attr == "running" || c.Attr == "nics" || c.Attr == "shares" || c.Attr == "fuse" || len(m.NICs) > 0 && strings.HasPrefix(c.Attr+".", "nic."+m.NICs[0].Name+".")
	})
	return r, nil
}

// size renders bytes for people, exactly; none for no limit.
func size(n int64) string {
	units := []string{"bytes", "KiB", "MiB", "GiB", "TiB"}
	if n == 0 {
		return "none"
	}
	for n%1024 == 0 && len(units) > 1 {
		n, units = n/1024, units[1:]
	}
	return strconv.FormatInt(n, 10) + " " + units[0]
}

// EnsureMachine makes, mends and starts the machine. A machine of another image
// is made anew. It returns when the machine's init runs; sshd answers later.
func (p *Provider) EnsureMachine(ctx context.Context, m machine.Machine, log machine.Log) error {
	defer p.clouds.rlock(m.Cloud)()
	defer p.machines.lock(m.Cloud + "/" + m.Name)()
	if err := checkMachine(m); err != nil {
		return fmt.Errorf("cannot make machine %s: %w", m.Name, err)
	}
	if err := p.claim(m.Cloud); err != nil {
		return err
	}
	if err := p.ensure(ctx, m, log); err != nil {
		return fmt.Errorf("cannot make machine %s: %w", m.Name, err)
	}
	return nil
}

func (p *Provider) ensure(ctx context.Context, m machine.Machine, log machine.Log) error {
	old, made, err := p.load(m.Cloud, m.Name)
	if err != nil {
		return err
	}
	if made && imageID(old) != imageID(m) {
		log("rebuilding from %s", imageID(m))
		if err := p.removeMachine(ctx, m.Cloud, m.Name); err != nil {
			return err
		}
		old = machine.Machine{}
	}
	if made && (!slices.Equal(old.Shares, m.Shares) || fuse(old) != fuse(m)) && p.up(ctx, m) {
		log("restarting with other shares or devices") // they are mounted at boot
		if err := p.stop(ctx, m.Cloud, m.Name); err != nil {
			return err
		}
	}
	running := p.up(ctx, m)
	if err := p.furnish(m, old, running); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := ensureNICs(m, old); err != nil {
		return err
	}
	if err := p.store(m); err != nil {
		return err
	}
	// Only now is it written down where removal finds the known_hosts file.
	if err := p.announce(m); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if running {
		return p.relimit(ctx, m)
	}
	return p.boot(ctx, m, log)
}

// up reports whether the machine runs. One that is just being started, by an
// updraft that was killed or by its own reboot, is waited for.
func (p *Provider) up(ctx context.Context, m machine.Machine) bool {
	return p.cg.running(m.Cloud, m.Name) && p.awaitInit(ctx, m) == nil
}

// boot starts a machine that does not run.
func (p *Provider) boot(ctx context.Context, m machine.Machine, log machine.Log) error {
	if !exists(p.rootDir(imageID(m))) {
		return fmt.Errorf("image %s was not built", imageID(m))
	}
	p.limits.Do(func() { raiseLimits(log) })
	log("booting")
	return p.launch(ctx, m)
}

// furnish makes the machine's directories and writes what is its own: identity,
// host key and the login. On a machine that runs only the login and the name servers can have changed.
func (p *Provider) furnish(m, old machine.Machine, running bool) error {
	dir := p.hostDir(m.Cloud, m.Name)
	for _, sub := range []string{"upper", "work", "root", "containers"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o755); err != nil {
			return err
		}
	}
	t := tree{top: filepath.Join(dir, "upper"), base: p.rootDir(imageID(m))}
	if _, err := ensureHostKey(t.top, m.Name); err != nil {
		return err
	}
	if running {
		pid := p.initPID(m.Cloud, m.Name)
		if pid == 0 {
			return retry.Mark(errors.New("it has just gone down"), retry.Transient)
		}
		t = tree{top: fmt.Sprintf("/proc/%d/root", pid)}
	} else {
		src, err := hostMirror(settingsOf(m.Settings))
		if err != nil {
			src = aptconf.Mirror{} // the root exists without; hosts then get their sources from elsewhere
		}
		if err := populate(t, m, src); err != nil {
			return err
		}
	}
	return errors.Join(resolve(t, m, old), admit(t, m.Access))
}

// announce adds the machine's host key to the cloud's known_hosts.
func (p *Provider) announce(m machine.Machine) error {
	if m.Access.KnownHosts == "" {
		return nil
	}
	key, err := ensureHostKey(filepath.Join(p.hostDir(m.Cloud, m.Name), "upper"), m.Name)
	if err != nil {
		return err
	}
	p.known.Lock()
	defer p.known.Unlock()
	return setKnownHost(m.Access.KnownHosts, m.Name, key)
}

// RemoveMachine removes the machine, whatever part of it exists.
func (p *Provider) RemoveMachine(ctx context.Context, cloud, name string) error {
	if err := p.owned(cloud); err != nil {
		return err
	}
	if err := errors.Join(checkName(cloud), checkName(name)); err != nil {
		return fmt.Errorf("cannot remove machine %q of %q: %w", name, cloud, err)
	}
	unlock := p.machines.lock(cloud + "/" + name)
	err := p.removeMachine(ctx, cloud, name)
	unlock()
	if err != nil {
		return fmt.Errorf("cannot remove machine %s: %w", name, err)
	}
	return p.tidy(ctx, cloud)
}

// removeMachine takes processes first, then namespace, cgroups and files. The
// directory goes last: as long as anything is left, the machine is listed.
func (p *Provider) removeMachine(ctx context.Context, cloud, name string) error {
	old, _, err := p.load(cloud, name)
	if err != nil {
		return err
	}
	release, err := p.bar(ctx, cloud, name)
	if err != nil {
		return err
	}
	defer release()
	if err := netns.Delete(HostNamespace(cloud, name)); err != nil {
		return err
	}
	if err := p.removeGroups(ctx, cloud, name); err != nil {
		return err
	}
	if path := old.Access.KnownHosts; path != "" && exists(path) {
		p.known.Lock()
		err := setKnownHost(path, name, "")
		p.known.Unlock()
		if err != nil {
			return err
		}
	}
	return removeTree(p.hostDir(cloud, name))
}

func (p *Provider) removeGroups(ctx context.Context, cloud, name string) error {
	ctx, cancel := context.WithTimeout(ctx, killTimeout)
	defer cancel()
	return p.cg.remove(ctx, cloud, name)
}

// removeTree removes a directory by renaming it first, so that one that is half
// gone is never taken for a machine.
func removeTree(dir string) error {
	if !exists(dir) {
		return nil
	}
	gone := filepath.Join(filepath.Dir(filepath.Dir(dir)), ".gone-"+filepath.Base(dir))
	if err := os.RemoveAll(gone); err != nil {
		return err
	}
	if err := os.Rename(dir, gone); err != nil {
		return err
	}
	return os.RemoveAll(gone)
}

// hosts returns the names of the cloud's machines, half-made ones included.
func (p *Provider) hosts(cloud string) ([]string, error) {
	entries, err := os.ReadDir(filepath.Join(p.cloudDir(cloud), "hosts"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("cannot list machines: %w", err)
	}
	var out []string
	for _, e := range entries {
		out = append(out, e.Name())
	}
	return out, nil
}

// List returns the cloud's networks and machines by name.
func (p *Provider) List(_ context.Context, cloud string) (machine.Inventory, error) {
	var inv machine.Inventory
	var err error
	if inv.Networks, err = networks(cloud); err != nil {
		return inv, err
	}
	names, err := p.hosts(cloud)
	if err != nil {
		return inv, err
	}
	for _, name := range names {
		s := machine.Status{Name: name, Running: p.cg.running(cloud, name)}
		if s.Running {
			s.PID = p.initPID(cloud, name)
		}
		inv.Machines = append(inv.Machines, s)
	}
	return inv, nil
}
