package e2e

import (
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
)

// day2 grows, shrinks and hurts an OpenStack that is up with one compute, and
// leaves it as it was.
func day2(t *testing.T, c *cloud) {
	one, err := os.ReadFile(c.file)
	if err != nil {
		t.Fatal(err)
	}
	two := computes(t, string(one))
	c.write(two)
	t.Run("a plan of one more compute shows it, and who must know of it", func(t *testing.T) { planOneMore(t, c.with(t)) })
	t.Run("a compute that does not answer keeps back nothing else", func(t *testing.T) { silentCompute(t, c.with(t)) })
	t.Run("a compute whose agent cannot start is the first cause", func(t *testing.T) { brokenCompute(t, c.with(t)) })
	t.Run("a compute is added without a restart on the controller", func(t *testing.T) { addCompute(t, c.with(t)) })
	t.Run("a server answers while it moves", func(t *testing.T) { moved(t, c.with(t)) })
	t.Run("a compute with servers is not removed", func(t *testing.T) { occupiedCompute(t, c.with(t), string(one), two) })
	c.run("lab", "cut", "compute2")
	offStatus(t, c, "compute2")
	t.Run("a server of a dead compute is started elsewhere", func(t *testing.T) { evacuated(t, c.with(t)) })
	t.Run("a dead compute is removed, killed on the way", func(t *testing.T) { removeCompute(t, c.with(t), string(one)) })
	t.Run("a power cut of the controller", func(t *testing.T) { controllerCut(t, c.with(t)) })
}

// computes returns the cloud with two computes in place of one.
func computes(t *testing.T, text string) string {
	t.Helper()
	out := strings.Replace(text, "  compute:\n    count: 1\n", "  compute:\n    count: 2\n", 1)
	out = strings.Replace(out, "hypervisors: 1", "hypervisors: 2", 1)
	if strings.Count(out, "count: 2") != 1 || !strings.Contains(out, "hypervisors: 2") {
		t.Fatal("the example no longer has one compute")
	}
	return out
}

// plannedStep are the steps of a plan as it is shown: signs and IDs below the host's.
var plannedStep = regexp.MustCompile(`(?m)^    ([+~↻?-]) (\S+)|^  (\S+)`)

func planOneMore(t *testing.T, c *cloud) {
	out, _ := c.try("plan")
	if out.code != 2 || !strings.Contains(out.stdout, "+ machine:compute2") {
		t.Fatalf("status %d:\n%s", out.code, out.all())
	}
	host := ""
	for _, m := range plannedStep.FindAllStringSubmatch(out.stdout, -1) {
		if m[3] != "" {
			host = m[3]
			continue
		}
		known := host == "" || host == "compute2" || strings.HasPrefix(m[2], "hosts:") || host == "controller1" && m[2] == "command:nova" ||
			m[2] == "aggregate_host:east/compute2"
		if !known {
			t.Errorf("one more compute, and the plan touches %s of %s", m[2], host)
		}
	}
	if noise := regexp.MustCompile(`(?m)^ +\+ .*because of.*$`).FindString(out.stdout); noise != "" {
		t.Errorf("what is made because it is not there has no other cause: %s", noise)
	}
}

// silentCompute has the new machine's sshd stopped before anybody has asked it.
func silentCompute(t *testing.T, c *cloud) {
	c.run("apply", "--only", "machine:compute2")
	sshd := func(verb ...string) { // not all that it is called exists everywhere
		_, _ = c.labExec("compute2", append(append([]string{"systemctl"}, verb...), "ssh.service", "ssh.socket")...)
	}
	c.await("sshd runs on compute2", func() bool {
		_, err := c.labExec("compute2", "systemctl", "is-active", "ssh.socket", "ssh.service")
		return err == nil
	})
	sshd("mask", "--runtime", "--now")
	out := c.fails(1, "First cause", "up")
	if _, cause, _ := strings.Cut(out.stderr, "First cause: "); !strings.HasPrefix(cause, "host:compute2\n") {
		t.Errorf("the first cause is not compute2:\n%s", out.stderr)
	}
	if got := c.run("exec", "compute1", "--", "cat", "/etc/hosts").stdout; !strings.Contains(got, "compute2") {
		t.Errorf("compute1 was not told of compute2:\n%s", got)
	}
	sshd("unmask", "--runtime")
	if _, err := c.labExec("compute2", "systemctl", "start", "ssh.service"); err != nil {
		t.Fatal(err)
	}
}

// identity is the file by which nova-compute knows who it is.
const identity = "/var/lib/updraft/nova/compute_id"

func brokenCompute(_ *testing.T, c *cloud) {
	c.run("exec", "compute2", "--", "sh", "-c", "mkdir -p ${0%/*} && echo nobody >$0", identity)
	out := c.fails(1, "compute2/container:nova-compute", "up")
	for _, want := range []string{"First cause: compute2/container:nova-compute\n", "Unable to parse UUID from /var/lib/nova/compute_id: it has ended", "To go on"} {
		if !strings.Contains(out.stderr, want) {
			c.t.Errorf("the summary does not say %q:\n%s", want, out.stderr)
		}
	}
	c.run("exec", "compute2", "--", "rm", identity)
}

// started are the units of the controller with when each was started.
func (c *cloud) started() string {
	c.t.Helper()
	return c.run("exec", "controller1", "--", "sh", "-c", `for s in /run/systemd/generator/*.service; do systemctl show --property=Id,ExecMainStartTimestampMonotonic "${s##*/}"; done`).stdout
}

func addCompute(t *testing.T, c *cloud) {
	before := c.started()
	if !strings.Contains(before, "nova-api.service") {
		t.Fatalf("the controller has no services:\n%s", before)
	}
	out := c.run("apply")
	t.Logf("what was left of one more compute took %s", out.took)
	if after := c.started(); after != before {
		t.Errorf("services of the controller were started again:\n%s\nbefore:\n%s", after, before)
	}
	c.expectSettled()
	if out := c.run("verify", "every service answers"); !strings.Contains(out.stdout, "1 passed") {
		t.Error(out.all())
	}
}

// occupiedCompute takes the compute away that the server has moved to.
func occupiedCompute(t *testing.T, c *cloud, one, two string) {
	c.write(one)
	for _, verb := range []string{"plan", "up"} {
		out := c.fails(1, "cannot remove openstack/host:compute2: on compute2 there is a server: stay (", verb)
		if !strings.Contains(out.stderr, "server delete") {
			t.Errorf("there is no way out:\n%s", out.stderr)
		}
	}
	c.write(two)
	c.run("exec", "compute2", "--", "systemctl", "is-active", "nova-compute")
	c.expectSettled()
}

// forgotten are queries of what is to be gone with a compute, one a table.
var forgotten = []string{
	"SELECT host FROM nova.services WHERE deleted = 0", "SELECT host FROM nova.compute_nodes WHERE deleted = 0",
	"SELECT host FROM nova_api.host_mappings", "SELECT name FROM placement.resource_providers",
}

func removeCompute(t *testing.T, c *cloud, one string) {
	c.write(one)
	t.Logf("the removal ended before it was killed: %v", c.killAfter(4))
	c.run("apply")
	c.expectSettled()
	have := c.run(append([]string{"exec", "controller1", "--", "sh", "-c", sqlScript, "sh"}, forgotten...)...).stdout
	have += c.client(t)("network", "agent", "list")
	if strings.Contains(have, "compute2") || strings.Count(have, "compute1") < len(forgotten)+2 {
		t.Errorf("known is:\n%s", have)
	}
	if out, err := exec.Command("ip", "netns", "list").Output(); err != nil || strings.Contains(string(out), c.name+".compute2") {
		t.Errorf("the machine is not gone: %v\n%s", err, out)
	}
}

func controllerCut(_ *testing.T, c *cloud) {
	c.run("lab", "cut", "controller1")
	if out := c.run("up"); !strings.Contains(out.stdout, "3 passed") {
		c.t.Errorf("not every check passed:\n%s", out.all())
	}
	c.expectSettled()
}
