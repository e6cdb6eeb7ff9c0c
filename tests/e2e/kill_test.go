package e2e

import (
	"fmt"
	"strings"
	"testing"
)

// killCloud is small and needs no package, so that it can be raised many times.
const killCloud = `version: 1
cloud: e2ekill
provider: lab
networks:
  mgmt: {cidr: 10.89.8.0/24}
groups:
  node:
    count: 2
    nics: [mgmt]
    resources:
      - directory: {path: /etc/demo}
      - file: {path: /etc/demo/conf, content: "a=1\n"}
      - group: {name: demo}
      - user: {name: demo, group: demo}
      # ln(1) fails when it is done a second time, and is one system call.
      - command: {name: once, run: [ln, -s, /etc/hostname, /var/lib/demo-done], creates: /var/lib/demo-done}
        needs: [file:/etc/demo/conf]
      - symlink: {path: /etc/demo/link, target: conf}
verify:
  - icmp: {target: all}
`

// TestKilledAfterEveryStep is the kill matrix: SIGKILL after the k-th step has
// started, for every k, then up. The world must be the same each time, and the
// one-time command must not be run again once it has done its work.
func TestKilledAfterEveryStep(t *testing.T) {
	c := newCloud(t, "e2ekill", killCloud)
	world := ""
	for k := 1; ; k++ {
		ended := c.killAfter(k)
		c.run("up")
		c.expectNoChanges()
		now := c.run("exec", "all", "--", "sh", "-c",
			"find /etc/demo -printf '%p %m %u %l\\n' | sort; getent passwd demo; cat /etc/demo/conf; readlink /var/lib/demo-done").stdout
		now = sortedLines(now)
		if world == "" {
			world = now
		}
		if now != world {
			t.Errorf("killed at step %d, the world is another:\n%s\nwant\n%s", k, now, world)
		}
		c.run("destroy", "--yes")
		if ended {
			t.Logf("killed after each of %d steps", k-1)
			return
		}
		if k > 60 {
			t.Fatal("this cloud cannot have so many steps")
		}
	}
}

func sortedLines(s string) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	return strings.Join(sortStrings(lines), "\n")
}

// TestDestroyFromEveryHalfMadeState kills up after the k-th step and destroys.
func TestDestroyFromEveryHalfMadeState(t *testing.T) {
	c := newCloud(t, "e2ehalf", strings.ReplaceAll(strings.ReplaceAll(killCloud, "e2ekill", "e2ehalf"), "10.89.8.", "10.89.9."))
	before := snapshot(t, c.name)
	for _, k := range []int{1, 2, 3, 5, 8} {
		t.Run(fmt.Sprintf("after %d steps", k), func(t *testing.T) {
			c := c.with(t)
			c.killAfter(k)
			c.run("destroy", "--yes")
			c.expectTraceless(before)
			c.run("destroy", "--yes")
		})
	}
}
