package e2e

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func sortStrings(s []string) []string {
	slices.Sort(s)
	return s
}

const badDaysCloud = `version: 1
cloud: e2ebad
provider: lab
networks:
  mgmt: {cidr: 10.89.10.0/24}
package_cache: true
configsets: {basebox: {}}
groups:
  node:
    count: 2
    nics: [mgmt]
    resources:
      - file: {path: /etc/demo.conf, content: "a=1\n"}
#more
verify:
  - icmp: {target: all}
`

func more(resources string) string { return strings.Replace(badDaysCloud, "#more\n", resources, 1) }

// TestBadDays has one lab and one bad day after the other. Each ends with the
// cloud in order again.
func TestBadDays(t *testing.T) {
	c := newCloud(t, "e2ebad", badDaysCloud)
	c.run("up")
	days := []struct {
		name string
		run  func(t *testing.T, c *cloud)
	}{
		{"a package that does not exist", noSuchPackage},
		{"a full disk on a host", fullDisk},
		{"a power cut in the middle of apply", powerCut},
		{"a connection that is cut", connectionCut},
		{"two at once", twoAtOnce},
		{"a host key that changed", hostKeyChanged},
		{"a host that does not answer", hostAway},
		{"a half-destroyed lab", halfDestroyed},
		{"saved and restored", saveRestore},
	}
	for _, d := range days {
		t.Run(d.name, func(t *testing.T) {
			c := c.with(t)
			d.run(t, c)
			c.write(badDaysCloud)
			c.run("up")
			c.expectNoChanges()
		})
	}
}

func noSuchPackage(_ *testing.T, c *cloud) {
	c.write(more("      - package: {name: no-such-package-anywhere}\n      - file: {path: /etc/other.conf, content: x}\n"))
	out := c.fails(1, "no-such-package-anywhere", "up")
	if !strings.Contains(out.stderr, "First cause") || !strings.Contains(out.stderr, "To go on") {
		c.t.Errorf("the summary does not name the first cause and how to go on:\n%s", out.stderr)
	}
	if out := c.run("exec", "node", "--", "cat", "/etc/other.conf"); strings.Count(out.stdout, "x") != 2 {
		c.t.Errorf("what does not depend on the package was not done:\n%s", out.all())
	}
}

// fullDisk fills a small file system that a file is to go to.
func fullDisk(_ *testing.T, c *cloud) {
	c.run("exec", "node", "--", "mkdir", "-p", "/srv/small")
	c.run("exec", "node1", "--", "sh", "-c", "mount -t tmpfs -o size=64k tmpfs /srv/small && head -c 65536 /dev/zero > /srv/small/fill || true")
	c.write(more("      - file: {path: /srv/small/conf, content: \"" + strings.Repeat("x", 8000) + "\"}\n"))
	c.fails(1, "no space left", "up")
	if out := c.run("exec", "node1", "--", "ls", "-A", "/srv/small"); strings.TrimSpace(out.stdout) != "fill" {
		c.t.Errorf("a failed write left %q", out.stdout)
	}
	c.run("exec", "node1", "--", "rm", "/srv/small/fill")
	c.run("up")
	c.run("exec", "node1", "--", "umount", "/srv/small")
}

// powerCut takes the power from a host while a command runs on it.
func powerCut(t *testing.T, c *cloud) {
	c.write(more("      - command: {name: slow, script: \"test -e /var/lib/slow-once || { touch /var/lib/slow-once; sync; sleep 8; }; touch /var/lib/slow-done\", creates: /var/lib/slow-done}\n"))
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	cmd := c.command(ctx, "up")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	c.await("the command runs on node1", func() bool {
		out, err := c.try("exec", "node1", "--", "test", "-e", "/var/lib/slow-once")
		return err == nil && out.code == 0
	})
	c.run("lab", "cut", "node1")
	c.run("lab", "start", "node1")
	_ = cmd.Wait() // it may have got over it, or not: the next up must
	c.run("up")
}

// connectionCut kills the host's side of updraft's connections in mid-apply.
func connectionCut(t *testing.T, c *cloud) {
	c.write(more("      - command: {name: slow, script: \"test -e /var/lib/cut-once || { touch /var/lib/cut-once; sleep 8; }; touch /var/lib/cut-done\", creates: /var/lib/cut-done}\n"))
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	cmd := c.command(ctx, "up", "-v")
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	c.await("the command runs on node1", func() bool {
		out, err := c.try("exec", "node1", "--", "test", "-e", "/var/lib/cut-once")
		return err == nil && out.code == 0
	})
	_, _ = c.try("exec", "node1", "--", "sh", "-c", "pkill -f '^sshd.*: root' || pkill -f sshd-session") // ends this connection, too
	if err := cmd.Wait(); err != nil {
		t.Errorf("up did not get over a lost connection: %v\n%s", err, &said)
	}
	c.await("the agent and its command are gone from node1", func() bool {
		out, err := c.try("exec", "node1", "--", "sh", "-c", "! pgrep -f '^sleep 8'")
		return err == nil && out.code == 0
	})
}

// await polls a condition until it holds, within a minute.
func (c *cloud) await(what string, holds func() bool) {
	c.t.Helper()
	c.awaitWithin(time.Minute, what, holds)
}

func (c *cloud) awaitWithin(patience time.Duration, what string, holds func() bool) {
	c.t.Helper()
	deadline := time.After(patience)
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-tick.C:
		case <-deadline:
			c.t.Fatalf("not within %s: %s", patience, what)
		}
	}
}

func twoAtOnce(t *testing.T, c *cloud) {
	c.write(more("      - command: {name: slow, script: \"touch /var/lib/two-started && sleep 6 && touch /var/lib/two-done\", creates: /var/lib/two-done}\n"))
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	cmd := c.command(ctx, "up")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	c.await("the first is at work", func() bool {
		_, err := c.try("exec", "node1", "--", "test", "-e", "/var/lib/two-started")
		return err == nil
	})
	c.fails(4, "updraft up", "apply", "--only", "node2/file:/etc/demo.conf")
	if err := cmd.Wait(); err != nil {
		t.Errorf("the first was disturbed: %v", err)
	}
}

func hostKeyChanged(t *testing.T, c *cloud) {
	c.run("exec", "node1", "--", "sh", "-c", "rm /etc/ssh/ssh_host_*; ssh-keygen -q -t ed25519 -N '' -f /etc/ssh/ssh_host_ed25519_key; systemctl restart ssh")
	out, _ := c.try("up")
	if out.code == 0 || !strings.Contains(out.all(), "key") || !strings.Contains(out.all(), "ssh-keygen -R") {
		t.Errorf("status %d; a changed host key must be refused, with how to accept it:\n%s", out.code, out.all())
	}
	known := filepath.Join(c.state, "clouds", c.name, "known_hosts")
	scan, err := c.labExec("node1", "cat", "/etc/ssh/ssh_host_ed25519_key.pub")
	if err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("ssh-keygen", "-R", "node1", "-f", known).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	f, err := os.OpenFile(known, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteString("node1 " + strings.Join(strings.Fields(scan)[:2], " ") + "\n"); err != nil {
		t.Fatal(err)
	}
}

// labExec runs a command on a host without SSH.
func (c *cloud) labExec(host string, argv ...string) (string, error) {
	out, err := c.try(append([]string{"lab", "enter", host, "--"}, argv...)...)
	return out.stdout, err
}

// hostAway stops one host: the other's work is done, and the summary says so.
func hostAway(t *testing.T, c *cloud) {
	_, _ = c.try("exec", "node1", "--", "systemctl", "mask", "--runtime", "--now", "ssh.service", "ssh.socket") // may end its own connection
	c.write(more("      - file: {path: /etc/away.conf, content: x}\n"))
	c.fails(1, "node1", "up")
	if out := c.run("exec", "node2", "--", "cat", "/etc/away.conf"); out.stdout != "x\n" && out.stdout != "x" {
		t.Errorf("node2 has %q", out.stdout)
	}
	if _, err := c.labExec("node1", "systemctl", "unmask", "--runtime", "ssh.service", "ssh.socket"); err != nil {
		t.Fatal(err)
	}
	if _, err := c.labExec("node1", "systemctl", "start", "ssh.service"); err != nil {
		t.Fatal(err)
	}
}

// halfDestroyed takes a network away under a lab.
func halfDestroyed(t *testing.T, c *cloud) {
	c.run("lab", "cut", "node2")
	// Nothing answers for a machine without power.
	if out, err := exec.Command("ip", "netns", "list").CombinedOutput(); err != nil || strings.Contains(string(out), "ud-e2ebad.node2") {
		t.Fatalf("%v: %s", err, out)
	}
	out, err := exec.Command("sh", "-euc", "ip -n ud-e2ebad -o link show type bridge | sed -n '1s/^[0-9]*: \\([^:]*\\):.*/\\1/p' | xargs ip -n ud-e2ebad link delete").CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
}

func saveRestore(t *testing.T, c *cloud) {
	c.run("lab", "save", "good")
	c.await("node1 answers after the save", func() bool {
		_, err := c.try("exec", "node1", "--", "rm", "-rf", "/etc/demo.conf", "/usr/share/doc")
		return err == nil
	})
	c.run("lab", "restore", "good")
	c.run("up")
	if out := c.run("exec", "node1", "--", "cat", "/etc/demo.conf"); out.stdout != "a=1\n" {
		t.Errorf("restored file holds %q", out.stdout)
	}
}
