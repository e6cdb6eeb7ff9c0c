package e2e

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"
)

// cinder adds Cinder to a cloud that runs, lives with volumes, and takes it out again,
// which is refused as long as there is one.
func cinder(t *testing.T, c *cloud) {
	before, err := os.ReadFile(c.file)
	if err != nil {
		t.Fatal(err)
	}
	defer c.write(string(before)) // for those who come after, if this fails
	c.write(strings.Replace(string(before), "openstack:\n", "openstack:\n  services: [cinder]\n", 1))
	c.run("apply")
	c.expectSettled()
	volumes(t, c)
	client := c.client(t)
	client("volume", "create", "--size", "1", "left")
	c.awaitVolumes(t, "available", "left")
	c.write(string(before))
	c.fails(1, "Cinder has volumes: left (", "plan")
	c.fails(1, "Cinder has volumes: left (", "apply")
	client("volume", "delete", "left")
	c.awaitVolumes(t, "gone", "left")
	c.run("apply")
	c.expectSettled()
	if out := client("catalog", "list"); strings.Contains(out, "block-storage") {
		t.Errorf("Cinder was taken out, and is still in the catalogue:\n%s", out)
	}
}

// volumes is what becomes of volumes in a cloud that has Cinder, as seen in the servers
// that have them: each writes its name onto a disk that is blank. It leaves nothing.
// With two computes or more, a server moves with its volume.
func volumes(t *testing.T, c *cloud) {
	client := c.client(t)
	for _, name := range []string{"one", "two"} {
		client("server", "create", "--image", "proof", "--flavor", "proof", "--network", "private", "--wait", "vol-"+name)
	}
	client("volume", "create", "--size", "1", "data")
	c.awaitVolumes(t, "available", "data")

	client("server", "add", "volume", "vol-one", "data")
	c.sees(t, "vol-one", "vdb=2097152:by-vol-one.novalocal")
	if strings.Count(client("hypervisor", "list", "-f", "value"), "\n") > 1 {
		client("server", "migrate", "--live-migration", "--wait", "vol-one")
		c.awaitVolumes(t, "in-use", "data")
	}
	client("--os-volume-api-version", "3.42", "volume", "set", "--size", "2", "data")
	c.sees(t, "vol-one", "vdb=4194304:by-vol-one.novalocal")
	client("volume", "snapshot", "create", "--force", "--volume", "data", "kept")
	c.awaitStatus(t, "available", "volume", "snapshot", "kept")
	client("server", "remove", "volume", "vol-one", "data")
	c.awaitVolumes(t, "available", "data")

	client("server", "add", "volume", "vol-two", "data")
	client("volume", "create", "--snapshot", "kept", "copy")
	c.awaitVolumes(t, "available", "copy")
	client("server", "add", "volume", "vol-two", "copy")
	c.sees(t, "vol-two", "vdb=4194304:by-vol-one.novalocal vdc=4194304:by-vol-one.novalocal")
	client("volume", "snapshot", "delete", "kept")
	c.awaitStatus(t, "gone", "volume", "snapshot", "kept")
	client("server", "reboot", "--hard", "--wait", "vol-two") // with the file that is the newest now
	c.sees(t, "vol-two", "vdb=4194304:by-vol-one.novalocal vdc=4194304:by-vol-one.novalocal")

	client("volume", "create", "--image", "proof", "--size", "1", "--bootable", "start")
	c.awaitVolumes(t, "available", "start")
	client("server", "create", "--volume", "start", "--flavor", "proof", "--network", "private", "--wait", "vol-three")
	c.console(t, "vol-three", "UPDRAFT-READY hostname=vol-three")
	client("server", "delete", "--wait", "vol-one", "vol-two", "vol-three")
	c.awaitVolumes(t, "available", "data", "copy", "start")
	client("volume", "delete", "data", "copy", "start")
	c.awaitVolumes(t, "gone", "data", "copy", "start")
}

// volumesInTime cuts the power of the controller that makes volumes while it is at it,
// in a cloud of three. Whatever was asked for is made or has failed in the end, without
// a person, and what is asked for next is made.
func volumesInTime(t *testing.T, c *cloud) {
	client := c.client(t)
	worker := c.worker(t)
	asked := []string{"in-time-1", "in-time-2", "in-time-3", "in-time-4"}
	for _, name := range asked {
		client("volume", "create", "--image", "proof", "--size", "1", name)
	}
	c.run("lab", "cut", worker)
	began := time.Now()
	c.awaitVolumes(t, "available error", asked...)
	t.Logf("%s lost its power; all volumes are made or have failed after %s:\n%s", worker, time.Since(began).Round(time.Second),
		client("volume", "list", "-f", "value", "-c", "Name", "-c", "Status"))
	client("volume", "create", "--size", "1", "next")
	c.awaitVolumes(t, "available", "next")
	if now := c.worker(t); now == worker {
		t.Errorf("%s makes volumes, and has no power", now)
	}
	client(append([]string{"volume", "delete", "next"}, asked...)...)
	c.awaitVolumes(t, "gone", append(asked, "next")...)
	c.run("up")
}

// worker is the controller that runs cinder-volume.
func (c *cloud) worker(t *testing.T) string {
	t.Helper()
	var found []string
	c.awaitWithin(2*time.Minute, "one controller runs cinder-volume", func() bool {
		found = nil
		for _, h := range []string{"controller1", "controller2", "controller3"} {
			if _, err := c.labExec(h, "pgrep", "-f", "python3 /usr/bin/cinder-volume"); err == nil {
				found = append(found, h)
			}
		}
		return len(found) == 1
	})
	return found[0]
}

// sees waits until a server says on its console that it has these disks.
func (c *cloud) sees(t *testing.T, server, disks string) {
	t.Helper()
	c.console(t, server, "UPDRAFT-DISKS "+disks+".")
}

// console waits for something on a server's console.
func (c *cloud) console(t *testing.T, server, text string) {
	t.Helper()
	try, deadline := c.tryClient(t), time.Now().Add(3*time.Minute)
	for {
		out, _ := try("console", "log", "show", server)
		if strings.Contains(out, text) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("the console of %s does not say %q:\n%s", server, text, out)
		}
	}
}

// awaitVolumes waits until volumes are in one of the states.
func (c *cloud) awaitVolumes(t *testing.T, states string, names ...string) {
	t.Helper()
	for _, name := range names {
		c.awaitStatus(t, states, "volume", name)
	}
}

// awaitStatus waits until a thing is in one of the states, which may be "gone".
func (c *cloud) awaitStatus(t *testing.T, states string, thing ...string) {
	t.Helper()
	what, name := thing[:len(thing)-1], thing[len(thing)-1]
	try, deadline := c.tryClient(t), time.Now().Add(3*time.Minute)
	for {
		out, err := try(append(append([]string{}, what...), "list", "-f", "json")...)
		var all []struct{ Name, Status string }
		if _, body, ok := strings.Cut(out, "["); err == nil && ok {
			err = json.Unmarshal([]byte("["+body), &all)
		}
		state := "gone"
		for _, one := range all {
			if one.Name == name {
				state = one.Status
			}
		}
		if err == nil && strings.Contains(" "+states+" ", " "+state+" ") {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s is %s, not %s: %v\n%s", strings.Join(thing, " "), state, states, err, out)
		}
	}
}
