// Package fake is a machine provider without machines: a strict, stateful world
// in memory, for tests of everything above the provider contract.
//
// It refuses what a real provider could not do: a machine on a network that is
// not there, an image that was not made, an address or MAC that is taken, power
// on a machine that does not exist. Every Ensure is done in named steps, between
// which it can be cut off by its context or by [Options.Fault], and leaves
// behind what the steps so far have made. [Provider.String] renders the world.
//
// With [Options.File] the world is kept in a file, so that several processes,
// such as the commands of a script test, see the same one.
package fake

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"

	"github.com/updraft-cloud/updraft/internal/diag"
	"github.com/updraft-cloud/updraft/internal/drift"
	"github.com/updraft-cloud/updraft/internal/machine"
	"github.com/updraft-cloud/updraft/internal/transport"
)

// Options sets up a fake. The zero value is a world in memory whose machines
// cannot be dialled.
type Options struct {
	// File keeps the world between processes; empty keeps it in memory.
	File string
	// Dial stands for the networks: it is what targets and DialContext dial with.
	Dial func(ctx context.Context, cloud, network, addr string) (net.Conn, error)
	// Listen stands for the deployer's place in the networks.
	Listen func(ctx context.Context, cloud, network, addr string) (net.Listener, error)
	// Fault is asked before each step, such as "machine web1: boot", and its
	// error ends the operation there.
	Fault func(step string) error
}

// Provider is the fake. It is safe for concurrent use.
type Provider struct {
	opts  Options
	mu    sync.Mutex
	world world
	trace []string
}

var (
	_ machine.Provider  = (*Provider)(nil)
	_ machine.Power     = (*Provider)(nil)
	_ machine.Snapshots = (*Provider)(nil)
	_ machine.Vantage   = (*Provider)(nil)
)

// New returns a provider over the world that the options name.
func New(o Options) *Provider { return &Provider{opts: o} }

// Name returns "fake".
func (p *Provider) Name() string { return "fake" }

// Trace returns the steps done by this provider, in order.
func (p *Provider) Trace() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]string(nil), p.trace...)
}

// step changes the world in one step that either happens or does not.
func (p *Provider) step(ctx context.Context, name string, change func(*world) error) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("cannot do %s: %w", name, err)
	}
	if p.opts.Fault != nil {
		if err := p.opts.Fault(name); err != nil {
			return fmt.Errorf("cannot do %s: %w", name, err)
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.update(change); err != nil {
		return fmt.Errorf("cannot do %s: %w", name, err)
	}
	p.trace = append(p.trace, name)
	return nil
}

// look reads the world.
func (p *Provider) look(read func(*world)) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.update(func(w *world) error { read(w); return errUnchanged })
}

// Check refuses what the fake has no equivalent of.
func (p *Provider) Check(_ context.Context, t machine.Topology) diag.List {
	var out diag.List
	for _, n := range t.Networks {
		if n.Uplink {
			out.Errorf(diag.Pos{}, "networks."+n.Name+".uplink", "leave uplink out", "the fake provider has no uplink")
		}
	}
	return out
}

// Images returns one image for each that the machines name; the name is the ID.
func (p *Provider) Images(t machine.Topology) []machine.Image {
	var out []machine.Image
	seen := map[string]bool{}
	for _, m := range t.Machines {
		if id := imageOf(m); !seen[id] {
			seen[id] = true
			out = append(out, machine.Image{ID: id, Recipe: []string{"fake " + id}})
		}
	}
	return out
}

func imageOf(m machine.Machine) string {
	if m.Image == "" {
		return "fake"
	}
	return m.Image
}

// ObserveImage tells whether the image was made.
func (p *Provider) ObserveImage(_ context.Context, i machine.Image) (drift.Report, error) {
	r := drift.Missing()
	err := p.look(func(w *world) {
		if w.Images[i.ID] {
			r = drift.Report{Status: drift.InSync}
		}
	})
	return r, err
}

// EnsureImage makes the image.
func (p *Provider) EnsureImage(ctx context.Context, i machine.Image, log machine.Log) error {
	log("image %s: made", i.ID)
	return p.step(ctx, "image "+i.ID+": make", func(w *world) error {
		w.Images[i.ID] = true
		return nil
	})
}

// ObserveNetwork compares the network with the world.
func (p *Provider) ObserveNetwork(_ context.Context, cloud string, n machine.Network) (drift.Report, error) {
	r := drift.Missing()
	err := p.look(func(w *world) {
		if got, ok := w.cloud(cloud).Networks[n.Name]; ok {
			var b drift.Builder
			b.Want("cidr", got.CIDR.String(), n.CIDR.String())
			b.Want("cidr6", got.CIDR6.String(), n.CIDR6.String())
			b.Want("mtu", fmt.Sprint(got.MTU), fmt.Sprint(n.MTU))
			b.Want("deployer", got.Deployer.String(), n.Deployer.String())
			r = b.Report()
		}
	})
	return r, err
}

// EnsureNetwork makes or changes the network.
func (p *Provider) EnsureNetwork(ctx context.Context, cloud string, n machine.Network, _ machine.Log) error {
	if err := p.step(ctx, "network "+n.Name+": define", func(w *world) error {
		c := w.cloud(cloud)
		if _, ok := c.Networks[n.Name]; !ok {
			c.Networks[n.Name] = machine.Network{Name: n.Name}
		}
		return nil
	}); err != nil {
		return err
	}
	return p.step(ctx, "network "+n.Name+": address", func(w *world) error {
		w.cloud(cloud).Networks[n.Name] = n
		return nil
	})
}

// RemoveNetwork removes the network; one that is in use is refused.
func (p *Provider) RemoveNetwork(ctx context.Context, cloud, name string) error {
	return p.step(ctx, "network "+name+": remove", func(w *world) error {
		c := w.cloud(cloud)
		for _, m := range c.Machines {
			for _, nic := range m.Spec.NICs {
				if nic.Network == name {
					return fmt.Errorf("machine %s is on it", m.Spec.Name)
				}
			}
		}
		delete(c.Networks, name)
		return nil
	})
}

// Target says how to reach a machine: with the dialler of the options.
func (p *Provider) Target(_ context.Context, m machine.Machine) (transport.Target, error) {
	if len(m.NICs) == 0 {
		return transport.Target{}, fmt.Errorf("cannot reach machine %s: it has no network interface", m.Name)
	}
	return transport.Target{
		Name: m.Name, Address: m.NICs[0].Address.Addr().String(), Port: m.Access.Port, User: m.Access.User,
		Identities: []string{m.Access.Identity}, KnownHosts: m.Access.KnownHosts, HostKeyAlias: m.Name,
		Dial: func(ctx context.Context, network, addr string) (net.Conn, error) {
			return p.DialContext(ctx, m.Cloud, network, addr)
		},
	}, nil
}

// DialContext dials with the options' Dial, if a running machine has the address.
func (p *Provider) DialContext(ctx context.Context, cloud, network, addr string) (net.Conn, error) {
	if p.opts.Dial == nil {
		return nil, errors.New("cannot dial: this fake has no networks behind it")
	}
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, fmt.Errorf("cannot dial %s: %w", addr, err)
	}
	up := false
	if err := p.look(func(w *world) { up = w.cloud(cloud).answers(host) }); err != nil {
		return nil, err
	}
	if !up {
		return nil, fmt.Errorf("cannot dial %s: no route to host", addr)
	}
	return p.opts.Dial(ctx, cloud, network, addr)
}

// Listen listens with the options' Listen.
func (p *Provider) Listen(ctx context.Context, cloud, network, addr string) (net.Listener, error) {
	if p.opts.Listen == nil {
		return nil, errors.New("cannot listen: this fake has no networks behind it")
	}
	return p.opts.Listen(ctx, cloud, network, addr)
}
