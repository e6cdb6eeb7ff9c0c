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
	"github.com/updraft-cloud/updraft/internal/netdump"
	"github.com/updraft-cloud/updraft/internal/netns"
	"golang.org/x/sys/unix"
)

// killTimeout bounds how long the kernel may take to end killed processes.
const killTimeout = 30 * time.Second

// Start boots the machine if it is off.
func (p *Provider) Start(ctx context.Context, cloud, name string) error {
	defer p.clouds.rlock(cloud)()
	defer p.machines.lock(cloud + "/" + name)()
	m, err := p.existing(cloud, name)
	if err == nil && !p.cg.running(cloud, name) {
		err = ensureNICs(m, machine.Machine{})
		if err == nil {
			err = p.boot(ctx, m, func(string, ...any) {})
		}
	}
	if err != nil {
		return fmt.Errorf("cannot start machine %s: %w", name, err)
	}
	return nil
}

// Stop shuts the machine down in order and, past the deadline of ctx, hard. It
// returns when the machine is off.
func (p *Provider) Stop(ctx context.Context, cloud, name string) error {
	defer p.machines.lock(cloud + "/" + name)()
	if _, err := p.existing(cloud, name); err != nil {
		return fmt.Errorf("cannot stop machine %s: %w", name, err)
	}
	if err := p.stop(ctx, cloud, name); err != nil {
		return fmt.Errorf("cannot stop machine %s: %w", name, err)
	}
	return nil
}

func (p *Provider) stop(ctx context.Context, cloud, name string) error {
	if pid := p.initPID(cloud, name); pid > 0 {
		if err := signalMember(p.cg.tracked(cloud, name), pid, powerOffSignal); err != nil {
			return err
		}
		err := poll(ctx, func() (bool, error) { return !p.cg.running(cloud, name), nil })
		if err == nil {
			return unwire(cloud, name)
		}
	}
	return p.off(context.WithoutCancel(ctx), cloud, name)
}

// Cut kills all processes of the machine at once. Its disk stays; nothing answers at its
// addresses any more, not even with a refusal.
func (p *Provider) Cut(ctx context.Context, cloud, name string) error {
	defer p.machines.lock(cloud + "/" + name)()
	if _, err := p.existing(cloud, name); err != nil {
		return fmt.Errorf("cannot cut machine %s: %w", name, err)
	}
	return p.off(ctx, cloud, name)
}

// off kills whatever runs of the machine, waits until it is gone, and takes its
// network away.
func (p *Provider) off(ctx context.Context, cloud, name string) error {
	if err := p.killed(ctx, cloud, name); err != nil {
		return err
	}
	return unwire(cloud, name)
}

// unwire takes the network of a machine that is off away: its kernel is that of this
// computer, and would go on to answer for it.
//
// The kernel takes namespaces apart in its own time, so wires are cut first. A machine
// that has switched itself off keeps its network until it is started, as nobody is
// there to do this.
func unwire(cloud, name string) error {
	space := HostNamespace(cloud, name)
	host, err := openLinks(space)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer host.close()
	all, err := netdump.Whole(host.LinkList)
	if err != nil {
		return err
	}
	for _, link := range all {
		if link.Type() == "veth" {
			err = errors.Join(err, ignore(host.LinkDel(link), unix.ENODEV))
		}
	}
	return errors.Join(err, netns.Delete(space))
}

func (p *Provider) killed(ctx context.Context, cloud, name string) error {
	ctx, cancel := context.WithTimeout(ctx, killTimeout)
	defer cancel()
	if !p.cg.systemd {
		return p.cg.kill(ctx, cloud, name)
	}
	unit := unitName(cloud, name)
	err := poll(ctx, func() (bool, error) {
		if err := p.cg.kill(ctx, cloud, name); err != nil {
			return false, err
		}
		// The unit may be failed, or waiting to be started again after a reboot.
		_ = exec.CommandContext(ctx, "systemctl", "stop", unit).Run()
		_ = exec.CommandContext(ctx, "systemctl", "reset-failed", unit).Run()
		// Of an updraft that was killed, systemd-run may get through only now.
		return !p.cg.running(cloud, name), nil
	})
	if err != nil {
		return fmt.Errorf("unit %s does not stop: %w", unit, err)
	}
	return nil
}

// bar switches the machine off and keeps it off until release is called: it
// holds the lock without which no keeper goes on. What an updraft that was killed
// has set in motion may come that late.
func (p *Provider) bar(ctx context.Context, cloud, name string) (release func(), err error) {
	var door *os.File
	err = poll(ctx, func() (bool, error) {
		if err := p.off(ctx, cloud, name); err != nil {
			return false, err
		}
		f, err := os.Open(filepath.Join(p.hostDir(cloud, name), "root"))
		if errors.Is(err, fs.ErrNotExist) {
			return true, nil // and without it no keeper goes on, either
		}
		if err != nil {
			return false, err
		}
		if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
			f.Close()
			return false, ignore(err, unix.EWOULDBLOCK)
		}
		door = f
		return true, nil
	})
	return func() { door.Close() }, err
}

// relimit changes the limits of a machine that runs.
func (p *Provider) relimit(ctx context.Context, m machine.Machine) error {
	if !p.cg.systemd {
		return p.cg.limit(m)
	}
	memory, cpu := "MemoryMax=infinity", "CPUQuota="
	if m.Memory > 0 {
		memory = fmt.Sprintf("MemoryMax=%d", m.Memory)
	}
	if m.CPUs > 0 {
		cpu = fmt.Sprintf("CPUQuota=%.0f%%", m.CPUs*100)
	}
	out, err := exec.CommandContext(ctx, "systemctl", "set-property", "--runtime", unitName(m.Cloud, m.Name), memory, cpu).CombinedOutput()
	if err != nil {
		return fmt.Errorf("set limits: %w: %s", err, strings.TrimSpace(string(out)))
	}
	return nil
}

// existing returns a machine that must be there.
func (p *Provider) existing(cloud, name string) (machine.Machine, error) {
	if err := p.owned(cloud); err != nil {
		return machine.Machine{}, err
	}
	m, ok, err := p.load(cloud, name)
	if err == nil && !ok {
		err = errors.New("it does not exist")
	}
	return m, err
}
