// Package netns runs amphorae on this computer: one amphora is one network
// namespace with an agent in it, which starts HAProxy and what else it needs.
//
// An instance outlives the controller that made it: agents have sessions of
// their own, and everything that is known of an instance lies in its directory
// and in its namespace. Its steps are such that after being cut off at any of
// them Ensure goes on and Remove takes all of it away.
//
// Agents and controllers meet on a bridge in a namespace of its own, so that
// nothing of it is seen outside and no address can clash. An agent's address
// there follows from the amphora's id.
package netns

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/google/renameio/v2"
	"golang.org/x/sys/unix"

	"github.com/updraft-cloud/updraft/internal/lb/driver"
	"github.com/updraft-cloud/updraft/internal/lb/driver/link"
	"github.com/updraft-cloud/updraft/internal/netns"
	"github.com/updraft-cloud/updraft/internal/proc"
)

var _ driver.Compute = (*Compute)(nil)

// Options say where things are and what runs.
type Options struct {
	// Dir holds a directory for each instance. Its name decides the names of the
	// namespaces, so that services with other directories do not meet.
	Dir string
	// Agent is the program of the agent.
	Agent string
}

// Compute runs amphorae in namespaces.
type Compute struct {
	dir, agent, prefix string
	alive              *os.File // shared lock of all who use the management network
}

// New makes the namespace in which controllers and agents meet.
func New(o Options) (*Compute, error) {
	dir, err := filepath.Abs(o.Dir)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	c := &Compute{dir: dir, agent: o.Agent, prefix: "ulb-" + driver.DerivedID("instance", dir)[:8] + "-"}
	if c.alive, err = os.OpenFile(filepath.Join(dir, "users.lock"), os.O_RDWR|os.O_CREATE, 0o600); err != nil {
		return nil, err
	}
	if err := c.meet(); err != nil {
		c.alive.Close()
		return nil, fmt.Errorf("cannot make the management network: %w", err)
	}
	return c, nil
}

// meet also notes how the names of the namespaces begin, for people and scripts.
func (c *Compute) meet() error {
	if err := os.WriteFile(filepath.Join(c.dir, "prefix"), []byte(c.prefix), 0o600); err != nil {
		return err
	}
	if err := unix.Flock(int(c.alive.Fd()), unix.LOCK_SH); err != nil {
		return err
	}
	s, err := link.Make(c.management())
	if err != nil {
		return err
	}
	defer s.Close()
	return s.Bridge(bridge, 1500, controllerPrefix)
}

// Close removes the management network if there is no instance, and nobody else
// uses it. Instances run on.
func (c *Compute) Close() error {
	defer c.alive.Close()
	if unix.Flock(int(c.alive.Fd()), unix.LOCK_EX|unix.LOCK_NB) != nil {
		return nil
	}
	left, err := c.List(context.Background())
	if err != nil || len(left) > 0 {
		return err
	}
	return netns.Delete(c.management())
}

func (c *Compute) management() string { return c.prefix + "mgmt" }

// Namespace returns the name of an amphora's namespace.
func (c *Compute) Namespace(amphoraID string) string { return c.prefix + amphoraID }

func (c *Compute) home(amphoraID string) string { return filepath.Join(c.dir, amphoraID) }

// record is what is kept of an instance. Agent is known once it was started.
type record struct {
	AmphoraID, LoadBalancerID string
	Created                   time.Time
	Agent                     *proc.ID
}

func (c *Compute) load(amphoraID string) (record, error) {
	var r record
	data, err := os.ReadFile(filepath.Join(c.home(amphoraID), "instance.json"))
	if err != nil {
		return r, err
	}
	return r, json.Unmarshal(data, &r)
}

func (c *Compute) save(r record) error {
	data, err := json.Marshal(r)
	if err != nil {
		return err
	}
	return renameio.WriteFile(filepath.Join(c.home(r.AmphoraID), "instance.json"), data, 0o600)
}

// Ensure makes the instance.
func (c *Compute) Ensure(ctx context.Context, want driver.Spec) (*driver.Instance, error) {
	unlock, err := c.lock(ctx, want.AmphoraID)
	if err != nil {
		return nil, err
	}
	defer unlock()
	r, err := c.load(want.AmphoraID)
	if errors.Is(err, fs.ErrNotExist) {
		r = record{AmphoraID: want.AmphoraID, LoadBalancerID: want.LoadBalancerID, Created: time.Now().UTC()}
		err = errors.Join(os.MkdirAll(c.home(r.AmphoraID), 0o700), c.save(r))
	}
	if err != nil {
		return nil, fmt.Errorf("cannot make the amphora %s: %w", want.AmphoraID, err)
	}
	if r.Agent != nil && c.state(r) == driver.Stopped {
		return c.instance(r), nil
	}
	if err := c.wire(r, want); err != nil {
		return nil, fmt.Errorf("cannot make the amphora %s: %w", want.AmphoraID, err)
	}
	if r.Agent == nil {
		if err := c.start(&r, want.Boot); err != nil {
			return nil, fmt.Errorf("cannot start the amphora %s: %w", want.AmphoraID, err)
		}
	}
	return c.instance(r), nil
}

func (c *Compute) state(r record) driver.State {
	if r.Agent == nil {
		return driver.Booting
	}
	ns, err := netns.Open(c.Namespace(r.AmphoraID))
	if err != nil || !r.Agent.Alive() {
		return driver.Stopped
	}
	ns.Close()
	return driver.Running
}

func (c *Compute) instance(r record) *driver.Instance {
	return &driver.Instance{AmphoraID: r.AmphoraID, LoadBalancerID: r.LoadBalancerID, ComputeID: driver.DerivedID("compute", r.AmphoraID),
		State: c.state(r), Address: agentAddress(r.AmphoraID), Created: r.Created}
}

// List returns all instances, also those that were cut off when they were made
// or removed.
func (c *Compute) List(context.Context) ([]driver.Instance, error) {
	ids := map[string]bool{}
	entries, err := os.ReadDir(c.dir)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		if e.IsDir() && len(e.Name()) == idLen {
			ids[e.Name()] = true
		}
	}
	spaces, err := netns.List(c.prefix)
	if err != nil {
		return nil, err
	}
	for _, s := range spaces {
		if id := strings.TrimPrefix(s, c.prefix); len(id) == idLen {
			ids[id] = true
		}
	}
	var out []driver.Instance
	for id := range ids {
		r, err := c.load(id)
		if err != nil { // cut off before or after there was a record
			r = record{AmphoraID: id, Agent: &proc.ID{}}
		}
		out = append(out, *c.instance(r))
	}
	return out, nil
}

// idLen is the length of a UUID's text form.
const idLen = 36

// Remove ends everything that the instance has, first what others can see.
func (c *Compute) Remove(ctx context.Context, amphoraID string) error {
	if len(amphoraID) != idLen || strings.ContainsAny(amphoraID, "/.") {
		return &driver.Error{Kind: "Amphora", ID: amphoraID, Class: driver.ErrInvalid}
	}
	unlock, err := c.lock(ctx, amphoraID)
	if err != nil {
		return err
	}
	defer unlock()
	name := c.Namespace(amphoraID)
	ns, err := netns.Open(name)
	if err == nil {
		err = errors.Join(unplug(name), kill(ctx, ns))
		ns.Close()
		if err != nil {
			return fmt.Errorf("cannot end the amphora %s: %w", amphoraID, err)
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := netns.Delete(name); err != nil {
		return fmt.Errorf("cannot remove the amphora %s: %w", amphoraID, err)
	}
	return os.RemoveAll(c.home(amphoraID))
}
