package provision_test

import (
	"context"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/updraft-cloud/updraft/internal/drift"
	"github.com/updraft-cloud/updraft/internal/engine"
	"github.com/updraft-cloud/updraft/internal/engine/statedir"
	"github.com/updraft-cloud/updraft/internal/machine"
	"github.com/updraft-cloud/updraft/internal/machine/fake"
	"github.com/updraft-cloud/updraft/internal/machine/static"
	"github.com/updraft-cloud/updraft/internal/provision"
)

func testNetwork() machine.Network {
	return machine.Network{Name: "mgmt", CIDR: netip.MustParsePrefix("10.88.0.0/24"), MTU: 1500, Deployer: netip.MustParseAddr("10.88.0.1")}
}

func testMachine(identity string) machine.Machine {
	return machine.Machine{
		Cloud: "web", Name: "web1",
		NICs:   []machine.NIC{{Name: "eth0", Network: "mgmt", MAC: "02:00:00:00:00:01", Address: netip.MustParsePrefix("10.88.0.11/24"), MTU: 1500}},
		Access: machine.Access{User: "root", Port: 22, Identity: identity, KnownHosts: filepath.Join(filepath.Dir(identity), "known_hosts")},
	}
}

// graphOf is the deployer's part of a cloud of one machine.
func graphOf(t *testing.T, p machine.Provider, m machine.Machine) *engine.Graph {
	t.Helper()
	var nodes []*engine.Node
	var images []string
	for _, i := range p.Images(machine.Topology{Cloud: "web", Machines: []machine.Machine{m}}) {
		nodes = append(nodes, &engine.Node{ID: "image:" + i.ID, Kind: provision.KindImage, Key: i.ID, Body: provision.Image{Image: i}})
		images = append(images, "image:"+i.ID)
	}
	nodes = append(nodes,
		&engine.Node{ID: "network:mgmt", Kind: provision.KindNetwork, Key: "mgmt", Body: provision.Network{Cloud: "web", Network: testNetwork()}},
		&engine.Node{
			ID: "machine:web1", Kind: provision.KindMachine, Key: "web1", Body: provision.Machine{Machine: m},
			Needs: append(images, "network:mgmt"), Holds: true,
		})
	g, err := engine.NewGraph(nodes, nil)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func run(t *testing.T, g *engine.Graph, s engine.Store, x engine.Executor) engine.Result {
	t.Helper()
	e := engine.New(g, s, x, nil, engine.Options{})
	p, err := e.Plan(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	r, err := e.Apply(context.Background(), p, nil)
	if err != nil || r.Err() != nil {
		t.Fatal(err, r.Err())
	}
	return r
}

func TestMachinesAreMadeOnceAnnouncedAndRemoved(t *testing.T) {
	var ensured, removing []string
	dir := t.TempDir()
	identity := filepath.Join(dir, "id")
	if err := os.WriteFile(identity+".pub", []byte("ssh-ed25519 AAAA updraft-web\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	p := fake.New(fake.Options{})
	x := &provision.Executor{
		Provider: p, Cloud: "web",
		Ensured:  func(n string) { ensured = append(ensured, n) },
		Removing: func(n string) { removing = append(removing, n) },
	}
	s := statedir.Open(filepath.Join(dir, "state"))
	g := graphOf(t, p, testMachine(identity))
	if r := run(t, g, s, x); r.Changed < 2 {
		t.Errorf("first run: %+v", r)
	}
	if r := run(t, g, s, x); r.Changed != 0 {
		t.Errorf("second run: %+v\n%s", r, p)
	}
	if !slices.Equal(ensured, []string{"web1"}) {
		t.Errorf("announced as made: %q", ensured)
	}
	if _, err := engine.New(g, s, x, nil, engine.Options{}).Destroy(context.Background(), nil); err != nil {
		t.Fatal(err)
	}
	inv, err := p.List(context.Background(), "web")
	if err != nil || len(inv.Machines) != 0 || len(inv.Networks) != 0 || !slices.Equal(removing, []string{"web1"}) {
		t.Errorf("left: %+v, %v; told of %q", inv, err, removing)
	}
}

func TestABorrowedMachineIsLeftNotRemoved(t *testing.T) {
	left := ""
	x := &provision.Executor{Provider: static.New(), Cloud: "web", Leave: func(_ context.Context, n string) error { left = n; return nil }}
	m := provision.Machine{Machine: testMachine("/none")}
	err := x.Remove(context.Background(), engine.Record{ID: "machine:web1", Kind: provision.KindMachine, Key: "web1", Removal: m.Removal()}, nil)
	if err != nil || left != "web1" {
		t.Errorf("left %q, %v", left, err)
	}
}

func TestTheStateTellsHowToReachAMachine(t *testing.T) {
	want := testMachine("/keys/id")
	got, err := provision.MachineOf(engine.Record{ID: "machine:web1", Removal: provision.Machine{Machine: want}.Removal()})
	if err != nil || got.Access != want.Access || got.NICs[0] != want.NICs[0] {
		t.Errorf("%+v, %v", got, err)
	}
	if _, err := provision.MachineOf(engine.Record{ID: "machine:web1", Removal: []byte("{")}); err == nil {
		t.Error("damage was not noticed")
	}
}

func TestAnotherImageIsAFaultWithAWayOut(t *testing.T) {
	x := &provision.Executor{Provider: fake.New(fake.Options{}), Cloud: "web"}
	found := drift.Report{Status: drift.Differs, Changes: []drift.Change{{Attr: "rebuild"}}}
	n := &engine.Node{ID: "machine:web1", Kind: provision.KindMachine, Body: provision.Machine{Machine: testMachine("/none")}}
	if err := x.Apply(context.Background(), n, found, engine.Cause{}, func(string) {}); err == nil {
		t.Error("a machine on another image was passed over")
	}
}
