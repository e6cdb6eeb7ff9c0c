package lab_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/updraft-cloud/updraft/internal/lb/driver"
	compute "github.com/updraft-cloud/updraft/internal/lb/driver/netns"
	"github.com/updraft-cloud/updraft/internal/lb/model"
	"github.com/updraft-cloud/updraft/internal/netns"
)

// instances is the driver of amphorae in namespaces, with what it stands on.
type instances struct {
	*compute.Compute
	b   *balancing
	dir string
}

func newInstances(t *testing.T) *instances {
	t.Helper()
	b := newBalancing(t)
	dir := t.TempDir()
	c, err := compute.New(compute.Options{Dir: dir, Agent: b.bin})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return &instances{c, b, dir}
}

func (c *instances) spec(id string) driver.Spec {
	port := driver.Port{ID: "port-" + id, FixedIPs: []driver.FixedIP{{SubnetID: "s", Address: netip.MustParseAddr("10.77.0.1")}},
		Binding: &driver.Binding{Namespace: c.b.prefix + "hub", Bridge: "br0"}}
	subnet := driver.Subnet{ID: "s", Prefix: netip.MustParsePrefix("10.77.0.0/24")}
	return driver.Spec{AmphoraID: id, LoadBalancerID: "lb", Interfaces: []driver.Interface{{Port: port, Subnets: []driver.Subnet{subnet}}},
		Boot: func() (driver.Boot, error) {
			cert, key, err := c.b.ca.Issue(id, []string{id}, time.Now())
			return driver.Boot{AmphoraID: id, Certificate: cert, Key: key, Authority: c.b.ca.Cert}, err
		}}
}

func (c *instances) ensure(id string) *driver.Instance {
	c.b.t.Helper()
	in, err := c.Ensure(context.Background(), c.spec(id))
	if err != nil {
		c.b.t.Fatal(err)
	}
	return in
}

// forget takes from the record of an instance that its agent was started.
func (c *instances) forget(id string) {
	c.b.t.Helper()
	data, err := json.Marshal(map[string]any{"AmphoraID": id, "LoadBalancerID": "lb", "Created": time.Now()})
	if err == nil {
		err = os.MkdirAll(filepath.Join(c.dir, id), 0o700)
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(c.dir, id, "instance.json"), data, 0o600)
	}
	if err != nil {
		c.b.t.Fatal(err)
	}
}

func (c *instances) killAll(id string) {
	for _, pid := range processesIn(c.Namespace(id)) {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	c.b.until("all have ended", func() error {
		if left := processesIn(c.Namespace(id)); len(left) > 0 {
			return os.ErrExist
		}
		return nil
	})
}

func (c *instances) space(id string) {
	c.b.t.Helper()
	if err := netns.Create(c.Namespace(id)); err != nil {
		c.b.t.Fatal(err)
	}
}

// TestAnInstanceIsMadeAndRemovedWhereverItWasCutOff begins with what is there when
// the process was killed at each step of making or removing an instance.
func TestAnInstanceIsMadeAndRemovedWhereverItWasCutOff(t *testing.T) {
	c := newInstances(t)
	before := c.links()
	for _, s := range []struct {
		after string
		half  func(id string)
		state driver.State // of what Ensure makes of it
	}{
		{"nothing", func(string) {}, driver.Running},
		{"its directory", func(id string) { _ = os.Mkdir(filepath.Join(c.dir, id), 0o700) }, driver.Running},
		{"its record", c.forget, driver.Running},
		{"its namespace", func(id string) { c.forget(id); c.space(id) }, driver.Running},
		{"one end of its wire", func(id string) {
			c.ensure(id)
			c.killAll(id)
			c.forget(id)
			c.unplug(id)
		}, driver.Running},
		{"its agent, which was not noted", func(id string) { c.ensure(id); c.forget(id) }, driver.Running},
		{"everything", func(id string) { c.ensure(id) }, driver.Running},
		{"taking its wires away", func(id string) { c.ensure(id); c.unplug(id) }, driver.Running},
		{"ending its processes", func(id string) { c.ensure(id); c.killAll(id) }, driver.Stopped},
		{"taking its namespace away", func(id string) {
			c.ensure(id)
			c.killAll(id)
			if err := netns.Delete(c.Namespace(id)); err != nil {
				t.Fatal(err)
			}
		}, driver.Stopped},
	} {
		for _, goOn := range []bool{true, false} {
			id := model.NewID()
			s.half(id)
			if goOn {
				in := c.ensure(id)
				if in.State != s.state {
					t.Errorf("cut off after %s, it is %s and not %s", s.after, in.State, s.state)
				}
				if n := len(processesIn(c.Namespace(id))); s.state == driver.Running && n != 1 {
					t.Errorf("cut off after %s, %d processes run", s.after, n)
				}
			}
			if err := c.Remove(t.Context(), id); err != nil {
				t.Errorf("cut off after %s, it is not removed: %v", s.after, err)
			}
			c.nothing(id, s.after)
		}
	}
	// The kernel takes away what was in a namespace some time after that.
	c.b.until("the bridge is as it was", func() error {
		if after := c.links(); after != before {
			return errors.New(after)
		}
		return nil
	})
}

func (c *instances) unplug(id string) {
	c.b.t.Helper()
	if out, err := exec.Command("ip", "-n", c.Namespace(id), "link", "del", "eth0").CombinedOutput(); err != nil {
		c.b.t.Fatalf("%v: %s", err, out)
	}
}

// links are the names of the interfaces beside the bridge.
func (c *instances) links() string {
	c.b.t.Helper()
	out, err := exec.Command("ip", "-n", c.b.prefix+"hub", "-o", "link").Output()
	if err != nil {
		c.b.t.Fatal(err)
	}
	var names []string
	for line := range strings.Lines(string(out)) {
		names = append(names, strings.Fields(line)[1])
	}
	return strings.Join(names, "\n")
}

// nothing checks that nothing of an instance is there.
func (c *instances) nothing(id, after string) {
	c.b.t.Helper()
	list, err := c.List(context.Background())
	if err != nil || len(list) > 0 {
		c.b.t.Errorf("cut off after %s, listed are %+v, %v", after, list, err)
	}
	left, _ := filepath.Glob(filepath.Join(c.dir, id+"*"))
	if len(left) > 0 || len(processesIn(c.Namespace(id))) > 0 {
		c.b.t.Errorf("cut off after %s, left are %q", after, left)
	}
}
