package e2e

import (
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// overridden is the cloud with other settings of services.
func overridden(t *testing.T, overrides string) string {
	t.Helper()
	return strings.Replace(haCloud(t, "e2eha"), "\nopenstack:\n", "\nopenstack:\n  overrides: "+overrides+"\n", 1)
}

// asked has the APIs asked all the time.
func (c *cloud) asked(t *testing.T) *prober {
	t.Helper()
	token := strings.TrimSpace(c.client(t)("token", "issue", "-f", "value", "-c", "id"))
	return askAlways(t, c, token, filepath.Join(strings.TrimSpace(c.run("handoff").stdout), "ca.pem"))
}

// inTurn changes an option: killed in the middle it goes on, never on two controllers
// at once, and one that is wrong breaks one controller.
func inTurn(t *testing.T, c *cloud, _ *server) {
	const order = "One after the other, as they change what works: "
	running := func() string {
		var up []string
		for _, host := range []string{"controller1", "controller2", "controller3"} {
			if _, err := c.labExec(host, "systemctl", "is-active", "--quiet", "keystone"); err == nil {
				up = append(up, host)
			}
		}
		return strings.Join(up, " ")
	}
	c.write(overridden(t, "{keystone: {token: {expiration: 7200}}}"))
	if out, _ := c.try("plan"); out.code != 2 || !strings.Contains(out.stdout, order) {
		t.Errorf("the plan has no turns:\n%s", out.all())
	}
	p := c.asked(t)
	c.killAfter(3)
	if out, _ := c.try("plan"); out.code != 2 || !strings.Contains(out.stdout, order) && !strings.Contains(out.stdout, "controller1") {
		t.Errorf("nothing is left to do:\n%s", out.stdout)
	}
	c.run("apply")
	p.report("an option of Keystone changes, killed on the way")
	p.end()
	c.expectSettled()

	c.write(overridden(t, "{keystone: {DEFAULT: {log_config_append: /nowhere}}}"))
	c.fails(1, "keystone", "apply")
	if up := running(); len(strings.Fields(up)) < 2 {
		t.Errorf("of a wrong option only %q are left", up)
	}
	c.answers(t, "an option of Keystone is wrong")
	c.write(haCloud(t, "e2eha"))
	c.run("apply")
	c.expectSettled()
	if up := running(); len(strings.Fields(up)) != 3 {
		t.Errorf("Keystone runs on %q", up)
	}
}

// inMaintenance takes a compute and a controller out, and gives them back.
func inMaintenance(t *testing.T, c *cloud, stay *server) {
	client := c.client(t)
	where := func() string {
		return strings.TrimSpace(client("server", "show", stay.name, "-f", "value", "-c", "OS-EXT-SRV-ATTR:host"))
	}
	host, trace := where(), c.traced(stay.address)
	out := c.run("maintenance", "enter", host)
	t.Logf("%s was empty and quiet after %s", host, out.took.Round(time.Second))
	if now := where(); now == host {
		t.Errorf("the server is still on %s", now)
	}
	lost := trace()
	t.Logf("the server meanwhile: %s", lost)
	if lost.longest > 5*time.Second {
		t.Error("the server noticed")
	}
	if out := c.run("apply"); !strings.Contains(out.stderr, host+" is in maintenance and is left alone") {
		t.Errorf("apply does not say that it leaves %s alone:\n%s", host, out.all())
	}
	if out, err := c.try("status"); err != nil || !strings.Contains(out.stdout, "(maintenance)") {
		t.Errorf("status: %v\n%s", err, out.all())
	}
	c.run("maintenance", "enter", host) // said again
	c.run("maintenance", "leave", host)

	holder, p := c.holder(t), c.asked(t)
	out = c.run("maintenance", "enter", holder)
	t.Logf("%s was quiet after %s", holder, out.took.Round(time.Second))
	for _, other := range []string{"controller1", "controller2", "controller3"} {
		if other != holder {
			c.fails(1, holder+" is in maintenance", "maintenance", "enter", other)
		}
	}
	c.works(t, holder+" is in maintenance")
	out = c.run("maintenance", "leave", holder)
	t.Logf("%s was back after %s", holder, out.took.Round(time.Second))
	p.report(holder + ", which had the virtual address, in maintenance")
	p.end()
	c.expectSettled()
}
