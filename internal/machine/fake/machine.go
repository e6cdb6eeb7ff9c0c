package fake

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/updraft-cloud/updraft/internal/drift"
	"github.com/updraft-cloud/updraft/internal/machine"
)

// ObserveMachine compares the machine with the world.
func (p *Provider) ObserveMachine(_ context.Context, m machine.Machine) (drift.Report, error) {
	r := drift.Missing()
	err := p.look(func(w *world) {
		if got, ok := w.cloud(m.Cloud).Machines[m.Name]; ok && got.Made {
			r = compare(got, m)
		}
	})
	return r, err
}

func compare(got *vm, m machine.Machine) drift.Report {
	var b drift.Builder
	b.Want("rebuild", imageOf(got.Spec), imageOf(m))
	b.Want("running", fmt.Sprint(got.Running), "true")
	b.Want("cpus", fmt.Sprint(got.Spec.CPUs), fmt.Sprint(m.CPUs))
	b.Want("memory", fmt.Sprint(got.Spec.Memory), fmt.Sprint(m.Memory))
	b.Want("nics", fmt.Sprint(got.Spec.NICs), fmt.Sprint(m.NICs))
	if m.Access.PublicKey != "" { // before the first run there is no key yet
		b.Want("key", got.Spec.Access.PublicKey, m.Access.PublicKey)
	}
	r := b.Report()
	r.Shut = !got.Running
	return r
}

// EnsureMachine makes the machine and starts it, in the steps define, disk and boot.
func (p *Provider) EnsureMachine(ctx context.Context, m machine.Machine, log machine.Log) error {
	if err := p.step(ctx, "machine "+m.Name+": define", func(w *world) error { return define(w, m) }); err != nil {
		return err
	}
	if err := p.step(ctx, "machine "+m.Name+": disk", func(w *world) error {
		v := w.cloud(m.Cloud).Machines[m.Name]
		if v.Made && imageOf(v.Spec) != imageOf(m) {
			v.Running = false
		}
		v.Spec, v.Made = m, true
		return nil
	}); err != nil {
		return err
	}
	log("machine %s: starting", m.Name)
	return p.step(ctx, "machine "+m.Name+": boot", func(w *world) error {
		w.cloud(m.Cloud).Machines[m.Name].boot()
		return nil
	})
}

// define checks what the machine asks for and reserves its name.
func define(w *world, m machine.Machine) error {
	c := w.cloud(m.Cloud)
	var errs []error
	if !w.Images[imageOf(m)] {
		errs = append(errs, fmt.Errorf("image %s was not made", imageOf(m)))
	}
	if len(m.NICs) == 0 {
		errs = append(errs, errors.New("it has no network interface"))
	}
	for _, nic := range m.NICs {
		errs = append(errs, c.fits(m.Name, nic))
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	if c.Machines[m.Name] == nil {
		c.Machines[m.Name] = &vm{Spec: m}
	}
	return nil
}

// fits reports what keeps the interface from being plugged in.
func (c *cloud) fits(owner string, nic machine.NIC) error {
	n, ok := c.Networks[nic.Network]
	if !ok {
		return fmt.Errorf("network %s does not exist", nic.Network)
	}
	if !n.CIDR.Contains(nic.Address.Addr()) {
		return fmt.Errorf("address %s is not in network %s (%s)", nic.Address, n.Name, n.CIDR)
	}
	for name, other := range c.Machines {
		for _, o := range other.Spec.NICs {
			if name != owner && o.Network == nic.Network && (o.MAC == nic.MAC || o.Address == nic.Address) {
				return fmt.Errorf("%s %s is taken by machine %s", nic.MAC, nic.Address, name)
			}
		}
	}
	return nil
}

func (m *vm) boot() {
	if !m.Running {
		m.Running, m.Boots = true, m.Boots+1
	}
}

// RemoveMachine removes the machine, running or half-made.
func (p *Provider) RemoveMachine(ctx context.Context, cloud, name string) error {
	if err := p.step(ctx, "machine "+name+": cut", func(w *world) error {
		if m := w.cloud(cloud).Machines[name]; m != nil {
			m.Running, m.Made = false, false
		}
		return nil
	}); err != nil {
		return err
	}
	return p.step(ctx, "machine "+name+": remove", func(w *world) error {
		delete(w.cloud(cloud).Machines, name)
		return nil
	})
}

// List returns what exists of the cloud, by name.
func (p *Provider) List(_ context.Context, cloud string) (machine.Inventory, error) {
	var inv machine.Inventory
	err := p.look(func(w *world) {
		c := w.cloud(cloud)
		inv.Networks = slices.Sorted(maps.Keys(c.Networks))
		for _, name := range slices.Sorted(maps.Keys(c.Machines)) {
			inv.Machines = append(inv.Machines, machine.Status{Name: name, Running: c.Machines[name].Running})
		}
	})
	return inv, err
}

// RemoveAll removes machines, networks and snapshots. Images stay.
func (p *Provider) RemoveAll(ctx context.Context, cloud string, _ machine.Log) error {
	inv, err := p.List(ctx, cloud)
	if err != nil {
		return err
	}
	for _, m := range inv.Machines {
		if err := p.RemoveMachine(ctx, cloud, m.Name); err != nil {
			return err
		}
	}
	for _, n := range inv.Networks {
		if err := p.RemoveNetwork(ctx, cloud, n); err != nil {
			return err
		}
	}
	return p.step(ctx, "cloud "+cloud+": remove", func(w *world) error {
		delete(w.Clouds, cloud)
		return nil
	})
}

// power changes a machine that must exist.
func (p *Provider) power(ctx context.Context, what, cloud, name string, change func(*vm)) error {
	return p.step(ctx, "machine "+name+": "+what, func(w *world) error {
		m := w.cloud(cloud).Machines[name]
		if m == nil || !m.Made {
			return errors.New("it does not exist")
		}
		change(m)
		return nil
	})
}

// Start boots the machine if it is off.
func (p *Provider) Start(ctx context.Context, cloud, name string) error {
	return p.power(ctx, "boot", cloud, name, (*vm).boot)
}

// Stop shuts the machine down.
func (p *Provider) Stop(ctx context.Context, cloud, name string) error {
	return p.power(ctx, "stop", cloud, name, func(m *vm) { m.Running = false })
}

// Cut takes the power away.
func (p *Provider) Cut(ctx context.Context, cloud, name string) error {
	return p.power(ctx, "cut", cloud, name, func(m *vm) { m.Running = false })
}

// Save keeps a copy of all machines.
func (p *Provider) Save(ctx context.Context, cloud, snapshot string, _ machine.Log) error {
	return p.step(ctx, "snapshot "+snapshot+": save", func(w *world) error {
		c := w.cloud(cloud)
		if len(c.Machines) == 0 {
			return errors.New("there is no machine")
		}
		all := map[string]vm{}
		for name, m := range c.Machines {
			all[name] = *m
		}
		c.Snapshots[snapshot] = all
		return nil
	})
}

// Restore puts the saved machines back.
func (p *Provider) Restore(ctx context.Context, cloud, snapshot string, _ machine.Log) error {
	return p.step(ctx, "snapshot "+snapshot+": restore", func(w *world) error {
		c := w.cloud(cloud)
		all, ok := c.Snapshots[snapshot]
		if !ok {
			return errors.New("it does not exist")
		}
		for name, m := range all {
			c.Machines[name] = &m
		}
		return nil
	})
}

// Snapshots lists the snapshots by name.
func (p *Provider) Snapshots(_ context.Context, cloud string) ([]string, error) {
	var out []string
	err := p.look(func(w *world) { out = slices.Sorted(maps.Keys(w.cloud(cloud).Snapshots)) })
	return out, err
}

// RemoveSnapshot removes a snapshot; one that is gone is no error.
func (p *Provider) RemoveSnapshot(ctx context.Context, cloud, snapshot string) error {
	return p.step(ctx, "snapshot "+snapshot+": remove", func(w *world) error {
		delete(w.cloud(cloud).Snapshots, snapshot)
		return nil
	})
}
