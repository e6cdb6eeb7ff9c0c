package fake_test

import (
	"context"
	"fmt"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/updraft-cloud/updraft/internal/machine"
	"github.com/updraft-cloud/updraft/internal/machine/fake"
	"github.com/updraft-cloud/updraft/internal/machine/machinetest"
)

func topology(t *testing.T, cloud string, n int) machine.Topology {
	t.Helper()
	topo := machine.Topology{
		Cloud:  cloud,
		Images: []machine.Image{{ID: "fake"}},
		Networks: []machine.Network{{
			Name: "mgmt", CIDR: netip.MustParsePrefix("10.88.0.0/24"), MTU: 1500, Deployer: netip.MustParseAddr("10.88.0.1"),
		}},
	}
	for i := range n {
		topo.Machines = append(topo.Machines, machine.Machine{
			Cloud: cloud, Name: fmt.Sprintf("web%d", i+1),
			NICs: []machine.NIC{{
				Name: "eth0", Network: "mgmt", MAC: fmt.Sprintf("02:00:00:00:00:%02x", i+10),
				Address: netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 88, 0, byte(i + 10)}), 24),
			}},
			Access: machine.Access{User: "root"},
		})
	}
	return topo
}

func TestConformanceInMemory(t *testing.T) {
	p := fake.New(fake.Options{})
	suite(t, func(*testing.T) *fake.Provider { return p })
}

func TestConformanceInAFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "world.json")
	suite(t, func(*testing.T) *fake.Provider { return fake.New(fake.Options{File: file}) })
}

func suite(t *testing.T, provider func(*testing.T) *fake.Provider) {
	machinetest.Suite(t, machinetest.Harness{
		New:      func(t *testing.T) machine.Provider { return provider(t) },
		Topology: topology,
		Cloud:    func(suffix string) string { return suffix },
		Trace:    func(t *testing.T) string { return provider(t).String() },
		Interrupt: func(t *testing.T) []context.Context {
			var out []context.Context
			for steps := range 4 {
				out = append(out, &ending{Context: t.Context(), left: steps})
			}
			return out
		},
		Takes: true,
	})
}

// ending is a context that ends after its error was asked for some times.
type ending struct {
	context.Context
	left int
}

func (e *ending) Err() error {
	if e.left--; e.left < 0 {
		return context.Canceled
	}
	return nil
}

func TestWhatCannotBeIsRefused(t *testing.T) {
	for _, tc := range []struct {
		rule   string
		change func(*machine.Machine)
		want   string
	}{
		{"an image that was not made", func(m *machine.Machine) { m.Image = "other" }, "image other was not made"},
		{"a machine without interfaces", func(m *machine.Machine) { m.NICs = nil }, "no network interface"},
		{"a network that is not there", func(m *machine.Machine) { m.NICs[0].Network = "x" }, "network x does not exist"},
		{"an address of another network", func(m *machine.Machine) { m.NICs[0].Address = netip.MustParsePrefix("10.89.0.2/24") }, "not in network"},
		{"an address that is taken", func(m *machine.Machine) { m.NICs[0].Address = netip.MustParsePrefix("10.88.0.10/24") }, "taken by machine web1"},
	} {
		p := fake.New(fake.Options{})
		topo := topology(t, "c", 2)
		if err := up(t, p, topo, 1); err != nil {
			t.Fatal(err)
		}
		tc.change(&topo.Machines[1])
		err := p.EnsureMachine(t.Context(), topo.Machines[1], t.Logf)
		if err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v", tc.rule, err)
		}
	}
	p := fake.New(fake.Options{})
	if err := up(t, p, topology(t, "c", 1), 1); err != nil {
		t.Fatal(err)
	}
	if err := p.RemoveNetwork(t.Context(), "c", "mgmt"); err == nil {
		t.Error("a network in use was removed")
	}
}

func up(t *testing.T, p *fake.Provider, topo machine.Topology, n int) error {
	t.Helper()
	if err := p.EnsureImage(t.Context(), topo.Images[0], t.Logf); err != nil {
		return err
	}
	if err := p.EnsureNetwork(t.Context(), topo.Cloud, topo.Networks[0], t.Logf); err != nil {
		return err
	}
	for _, m := range topo.Machines[:n] {
		if err := p.EnsureMachine(t.Context(), m, t.Logf); err != nil {
			return err
		}
	}
	return nil
}

func TestAFaultLeavesTheStepsBeforeIt(t *testing.T) {
	p := fake.New(fake.Options{Fault: func(step string) error {
		if step == "machine web1: boot" {
			return fmt.Errorf("no power")
		}
		return nil
	}})
	err := up(t, p, topology(t, "c", 1), 1)
	if err == nil || err.Error() != "cannot do machine web1: boot: no power" {
		t.Errorf("error: %v", err)
	}
	const world = `image fake
c network mgmt 10.88.0.0/24 deployer 10.88.0.1 mtu 1500
c machine web1 stopped image fake cpus 0 memory 0
c machine web1 nic eth0 mgmt 02:00:00:00:00:0a 10.88.0.10/24
`
	if diff := cmp.Diff(world, p.String()); diff != "" {
		t.Errorf("world (-want +got):\n%s", diff)
	}
	want := []string{"image fake: make", "network mgmt: define", "network mgmt: address", "machine web1: define", "machine web1: disk"}
	if diff := cmp.Diff(want, p.Trace()); diff != "" {
		t.Errorf("steps (-want +got):\n%s", diff)
	}
}
