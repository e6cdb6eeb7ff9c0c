package fake

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/updraft-cloud/updraft/internal/machine"
	"golang.org/x/sys/unix"
)

// world is all that exists.
type world struct {
	Images map[string]bool   `json:"images"`
	Clouds map[string]*cloud `json:"clouds"`
}

type cloud struct {
	Networks  map[string]machine.Network `json:"networks"`
	Machines  map[string]*vm             `json:"machines"`
	Snapshots map[string]map[string]vm   `json:"snapshots,omitempty"`
}

// vm is a machine. One that is not made was defined and no more.
type vm struct {
	Spec    machine.Machine `json:"spec"`
	Made    bool            `json:"made"`
	Running bool            `json:"running"`
	Boots   int             `json:"boots"`
}

// errUnchanged ends an update that only looked.
var errUnchanged = errors.New("unchanged")

// cloud returns the cloud of that name, which is empty when nothing was made.
func (w *world) cloud(name string) *cloud {
	c, ok := w.Clouds[name]
	if !ok {
		c = &cloud{
			Networks: map[string]machine.Network{}, Machines: map[string]*vm{},
			Snapshots: map[string]map[string]vm{},
		}
		w.Clouds[name] = c
	}
	if c.Snapshots == nil {
		c.Snapshots = map[string]map[string]vm{}
	}
	return c
}

// answers reports whether a running machine has the address.
func (c *cloud) answers(addr string) bool {
	for _, m := range c.Machines {
		for _, nic := range m.Spec.NICs {
			if m.Running && (nic.Address.Addr().String() == addr || nic.Address6.IsValid() && nic.Address6.Addr().String() == addr) {
				return true
			}
		}
	}
	return false
}

// prune forgets clouds of which nothing is left.
func (w *world) prune() {
	maps.DeleteFunc(w.Clouds, func(_ string, c *cloud) bool {
		return len(c.Networks)+len(c.Machines)+len(c.Snapshots) == 0
	})
}

// update loads the world, changes it and stores it. A change that fails leaves
// the file as it was; in memory, changes check before they write.
func (p *Provider) update(change func(*world) error) error {
	if p.opts.File == "" {
		p.world.fill()
		defer p.world.prune()
		return changed(change(&p.world))
	}
	lock, err := os.OpenFile(p.opts.File+".lock", os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return fmt.Errorf("cannot lock the fake world: %w", err)
	}
	defer lock.Close()
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != nil {
		return fmt.Errorf("cannot lock the fake world: %w", err)
	}
	w, err := load(p.opts.File)
	if err != nil {
		return err
	}
	if err := change(w); err != nil {
		return changed(err)
	}
	w.prune()
	return store(p.opts.File, w)
}

func changed(err error) error {
	if errors.Is(err, errUnchanged) {
		return nil
	}
	return err
}

func (w *world) fill() {
	if w.Images == nil {
		w.Images, w.Clouds = map[string]bool{}, map[string]*cloud{}
	}
}

func load(path string) (*world, error) {
	w := &world{}
	b, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("cannot read the fake world: %w", err)
	}
	if len(b) > 0 {
		if err := json.Unmarshal(b, w); err != nil {
			return nil, fmt.Errorf("cannot read the fake world: %w", err)
		}
	}
	w.fill()
	return w, nil
}

func store(path string, w *world) error {
	b, err := json.MarshalIndent(w, "", " ")
	if err != nil {
		return fmt.Errorf("cannot write the fake world: %w", err)
	}
	tmp := path + ".new"
	if err := os.WriteFile(tmp, b, 0o600); err != nil {
		return fmt.Errorf("cannot write the fake world: %w", err)
	}
	return os.Rename(tmp, path)
}

// String renders everything that exists, one thing a line, sorted.
func (p *Provider) String() string {
	var b strings.Builder
	err := p.look(func(w *world) {
		for _, id := range slices.Sorted(maps.Keys(w.Images)) {
			fmt.Fprintf(&b, "image %s\n", id)
		}
		for _, name := range slices.Sorted(maps.Keys(w.Clouds)) {
			w.Clouds[name].render(&b, name)
		}
	})
	if err != nil {
		return err.Error()
	}
	return b.String()
}

func (c *cloud) render(b *strings.Builder, cloud string) {
	for _, name := range slices.Sorted(maps.Keys(c.Networks)) {
		n := c.Networks[name]
		fmt.Fprintf(b, "%s network %s %s deployer %s mtu %d\n", cloud, name, n.CIDR, n.Deployer, n.MTU)
	}
	for _, name := range slices.Sorted(maps.Keys(c.Machines)) {
		m := c.Machines[name]
		fmt.Fprintf(b, "%s machine %s %s image %s cpus %g memory %d\n", cloud, name, m.state(), imageOf(m.Spec), m.Spec.CPUs, m.Spec.Memory)
		for _, nic := range m.Spec.NICs {
			fmt.Fprintf(b, "%s machine %s nic %s %s %s %s\n", cloud, name, nic.Name, nic.Network, nic.MAC, nic.Address)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(c.Snapshots)) {
		fmt.Fprintf(b, "%s snapshot %s of %s\n", cloud, name, strings.Join(slices.Sorted(maps.Keys(c.Snapshots[name])), " "))
	}
}

func (m *vm) state() string {
	switch {
	case m.Running:
		return "running"
	case m.Made:
		return "stopped"
	default:
		return "half-made"
	}
}
