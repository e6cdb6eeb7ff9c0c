//go:build endure

package e2e

import (
	"os"
	"strings"
	"testing"
	"time"
)

// TestControllersComeAndGo has a cloud of one controller become one of three, loses one
// of them for good, and leaves one again. Servers answer all the while, and what was
// stored is there in the end.
func TestControllersComeAndGo(t *testing.T) {
	data, err := os.ReadFile("../../examples/openstack-small.yaml")
	if err != nil {
		t.Fatal(err)
	}
	one := strings.NewReplacer(
		"10.88.", "10.89.", "cloud: openstack\n", "cloud: e2ego\n",
		"  external: [ext]\n", "  external: [ext]\n  storage: {instances: local, images: local}\n",
	).Replace(string(data))
	c := newCloud(t, "e2ego", one)
	c.run("up")
	c.expectSettled()
	stay := c.settle(t)
	const group = "  controller:\n    count: 1\n"
	controllers := func(is string) string {
		text := strings.Replace(one, group, "  controller:\n    "+is+"\n", 1)
		if text == one {
			t.Fatal("the example has no such group of controllers")
		}
		return text
	}
	for _, day := range []struct {
		name, file, off string
		hosts           []string
	}{
		{"one becomes three", controllers("count: 3"), "", []string{"controller1", "controller2", "controller3"}},
		{"one that is dead has a successor of another name", controllers("hosts: [controller1, heir, controller3]"), "controller2", []string{"controller1", "heir", "controller3"}},
		{"three become one", one, "", []string{"controller1"}},
	} {
		t.Run(day.name, func(t *testing.T) {
			c := c.with(t)
			before := c.client(t)("server", "list", "--all-projects", "-f", "value", "-c", "ID")
			if day.off != "" {
				c.run("lab", "cut", day.off)
			}
			c.write(day.file)
			trace, began := c.traced(stay.address), time.Now()
			out := c.run("up")
			t.Logf("up took %s; the server meanwhile: %s", time.Since(began).Round(time.Second), trace())
			if !strings.Contains(out.stdout, "3 passed") {
				t.Errorf("not every check passed:\n%s", out.all())
			}
			c.expectSettled()
			c.whole5(t)
			c.knows(t, day.hosts)
			if after := c.client(t)("server", "list", "--all-projects", "-f", "value", "-c", "ID"); before != after {
				t.Errorf("servers were\n%s and are\n%s", before, after)
			}
			c.works(t, day.name)
		})
	}
}

// knows checks that each part of the cloud has these controllers for members, and no
// others.
func (c *cloud) knows(t *testing.T, hosts []string) {
	t.Helper()
	membersAgree(t, c, hosts...)
	for _, service := range []string{"nova-conductor", "nova-scheduler"} {
		said := strings.Fields(c.client(t)("compute", "service", "list", "--service", service, "-f", "value", "-c", "Host"))
		if len(said) != len(hosts) {
			t.Errorf("%s runs on %v, and should on %v", service, said, hosts)
		}
	}
}
