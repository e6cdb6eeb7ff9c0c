package e2e

import (
	"strconv"
	"strings"
	"testing"
	"time"
)

// rebuiltController takes controllers away, one after the other, and has each made anew
// with empty disks: without names one of the others, and then the first, on which
// clusters begin in a new cloud.
func rebuiltController(t *testing.T, c *cloud, names ...string) {
	if len(names) == 0 {
		names = []string{"controller2", "controller1"}
	}
	client := c.client(t)
	before := client("server", "list", "--all-projects", "-f", "value", "-c", "ID")
	for _, name := range names {
		began := time.Now()
		c.run("destroy", "--only", name, "--yes")
		out := c.run("up")
		t.Logf("%s was made anew in %s", name, time.Since(began).Round(time.Second))
		if !strings.Contains(out.stdout, "3 passed") {
			t.Errorf("not every check passed with another %s:\n%s", name, out.all())
		}
		c.expectSettled()
		membersAgree(t, c, "controller1", "controller2", "controller3")
	}
	if after := c.client(t)("server", "list", "--all-projects", "-f", "value", "-c", "ID"); before != after {
		t.Errorf("servers were\n%s and are\n%s", before, after)
	}
}

// membersAgree asks each controller for the members of the clusters that it is in.
func membersAgree(t *testing.T, c *cloud, hosts ...string) {
	t.Helper()
	for _, host := range hosts {
		for _, db := range []string{"nb OVN_Northbound", "sb OVN_Southbound"} {
			short, schema, _ := strings.Cut(db, " ")
			said := c.run("exec", host, "--", "podman", "exec", "ovn-"+short, "ovs-appctl", "-t", "/run/ovn/ovn"+short+"_db.ctl", "cluster/status", schema).stdout
			if n := strings.Count(said, " at ssl:"); n != len(hosts) {
				t.Errorf("%s of OVN on %s has %d members of %d:\n%s", short, host, n, len(hosts), said)
			}
		}
		said := c.run("exec", host, "--", "podman", "exec", "rabbitmq", "/usr/lib/rabbitmq/bin/rabbitmqctl", "eval", "length(rabbit_nodes:list_running()).").stdout
		if strings.TrimSpace(said) != strconv.Itoa(len(hosts)) {
			t.Errorf("RabbitMQ on %s has %s members of %d that run", host, strings.TrimSpace(said), len(hosts))
		}
	}
}
