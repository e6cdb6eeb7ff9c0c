package e2e

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// openstackCloud is the README's example under another name and other addresses.
func openstackCloud(t *testing.T, name string) string {
	t.Helper()
	data, err := os.ReadFile("../../examples/openstack-small.yaml")
	if err != nil {
		t.Fatal(err)
	}
	text := strings.ReplaceAll(string(data), "10.88.", "10.89.")
	text = strings.Replace(text, "cloud: openstack\n", "cloud: "+name+"\n", 1)
	if !strings.Contains(text, "cloud: "+name+"\n") {
		t.Fatal("examples/openstack-small.yaml no longer has a line cloud: openstack")
	}
	return text
}

// TestOpenStackFromNothingToAServer raises the example, killed in every phase on
// the way, and looks at it as its users do.
func TestOpenStackFromNothingToAServer(t *testing.T) {
	c := newCloud(t, "e2eos", zoned(t, openstackCloud(t, "e2eos")))
	spy := watchProcesses(t)
	t.Run("a plan of nothing creates everything and makes nothing", func(t *testing.T) {
		c := c.with(t)
		one, _ := c.try("plan")
		two, _ := c.try("plan")
		if one.code != 2 || one.stdout != two.stdout || !strings.Contains(one.stdout, "+ container:keystone") {
			t.Fatalf("status %d, same %v\n%s", one.code, one.stdout == two.stdout, one.all())
		}
		if _, err := os.Stat(c.state); err == nil {
			t.Error("planning made a state directory")
		}
	})
	t.Run("a plan that was saved before anything was there can be applied", func(t *testing.T) {
		c, plan := c.with(t), filepath.Join(t.TempDir(), "plan.json")
		c.try("plan", "-o", plan)
		if c.killAfter(5, plan) {
			t.Error("it ended before its fifth step")
		}
		c.fails(1, "plan again", "apply", plan) // those steps are done
	})
	// Machines, configuration, schemas, services, the API: wherever it is.
	t.Logf("killed after 60 steps; ended before: %v", c.killAfter(60))
	c.killInSync()
	t.Logf("killed after 30 steps; ended before: %v", c.killAfter(30))
	out := c.run("up")
	t.Logf("the last up took %s\n%s", out.took, out.stdout)
	if !strings.Contains(out.stdout, "3 passed") {
		t.Fatalf("not every check passed:\n%s", out.all())
	}
	c.expectSettled()
	t.Run("plans are the same to the byte", func(t *testing.T) {
		c := c.with(t)
		for _, args := range [][]string{{"plan"}, {"plan", "--json"}} {
			if one, two := c.run(args...), c.run(args...); one.stdout != two.stdout {
				t.Errorf("%v: two plans differ", args)
			}
		}
	})
	t.Run("status says that all is well", func(t *testing.T) { wellStatus(t, c.with(t)) })
	t.Run("no secret is where it does not belong", func(t *testing.T) { noSecrets(t, c.with(t), out, spy.report()) })
	t.Run("every port that others can reach speaks TLS", func(t *testing.T) { everyPortSpeaksTLS(t, c.with(t)) })
	t.Run("the stock client works with the files handed over", func(t *testing.T) { stockClient(t, c.with(t)) })
	t.Run("load balancers have addresses of Neutron, and users of Keystone", func(t *testing.T) { loadBalancers(t, c.with(t)) })
	t.Run("a browser trusts the authority handed over", func(t *testing.T) { authority(t, c.with(t)) })
	t.Run("tokens and credentials outlive the keys that made them", func(t *testing.T) { keyRotations(t, c.with(t)) })
	t.Run("certificates and the authority are replaced while the APIs are asked", func(t *testing.T) { rotations(t, c.with(t)) })
	t.Run("an option of Nova restarts Nova and nothing else", func(t *testing.T) { novaOption(t, c.with(t)) })
	t.Run("Heat comes and goes", func(t *testing.T) { stacks(t, c.with(t)) })
	t.Run("no secret is in a plan of changed files", func(t *testing.T) { noSecretsInPlans(t, c.with(t)) })
	t.Run("a power cut of everything, and changed files", func(t *testing.T) {
		c := c.with(t)
		c.run("lab", "cut")
		if out := c.run("up"); !strings.Contains(out.stdout, "3 passed") {
			t.Errorf("not every check passed:\n%s", out.all())
		}
		c.expectSettled()
	})
	t.Run("what was deleted is back from a backup", func(t *testing.T) { backupRestore(t, c.with(t)) })
}

// zoned is a cloud whose computes are in an availability zone.
func zoned(t *testing.T, text string) string {
	t.Helper()
	const count = "  compute:\n    count: 1\n"
	if !strings.Contains(text, count) {
		t.Fatal("the example no longer has one compute")
	}
	return strings.Replace(text, count, count+"    zone: east\n", 1)
}

// killInSync kills updraft and a schema's sync once it has made some tables.
func (c *cloud) killInSync() {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	cmd := c.command(ctx, "apply")
	if err := cmd.Start(); err != nil {
		c.t.Fatal(err)
	}
	const some = 20
	c.awaitWithin(8*time.Minute, "the sync of nova's database makes tables", func() bool {
		out, err := c.labExec("controller1", "sh", "-c", sqlScript, "sh", "SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = 'nova'")
		n, bad := strconv.Atoi(strings.TrimSpace(out))
		return err == nil && bad == nil && n > some
	})
	_ = cmd.Process.Kill()
	_ = cmd.Wait() // killed
	if out, err := c.labExec("controller1", "podman", "kill", "updraft-job-nova-schema"); err != nil {
		c.t.Errorf("the sync was not in its middle: %v\n%s", err, out)
	}
}

// sqlScript asks the controller's database each of the arguments.
const sqlScript = `set -e; for q in "$@"; do nsenter --target "$(cat /run/updraft/mariadb.pid)" --mount -- mariadb --no-defaults --skip-ssl ` +
	`--socket=/var/lib/updraft/mariadb/mariadb.sock -N -e "$q"; done`

// expectSettled is expectNoChanges without the checks, which start a server.
func (c *cloud) expectSettled() {
	c.t.Helper()
	if out := c.run("apply"); !strings.Contains(out.stderr, "No changes") {
		c.t.Errorf("a further apply was to change nothing:\n%s", out.all())
	}
	c.run("plan")
}

// client returns Debian's python3-openstackclient in the deployer's place in the
// cloud's networks.
func (c *cloud) client(t *testing.T) func(args ...string) string {
	t.Helper()
	try := c.tryClient(t)
	return func(args ...string) string {
		t.Helper()
		out, err := try(args...)
		if err != nil {
			t.Fatalf("openstack %s: %v\n%s", strings.Join(args, " "), err, out)
		}
		return out
	}
}

// tryClient is client for what may fail.
func (c *cloud) tryClient(t *testing.T) func(args ...string) (string, error) {
	t.Helper()
	dir := strings.TrimSpace(c.run("handoff").stdout)
	return func(args ...string) (string, error) {
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
		defer cancel()
		cmd := exec.CommandContext(ctx, "ip", append([]string{"netns", "exec", "ud-" + c.name, "openstack", "--os-cloud", c.name}, args...)...)
		cmd.Env = append(os.Environ(), "OS_CLIENT_CONFIG_FILE="+filepath.Join(dir, "clouds.yaml"))
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
}

// stockClient uses what a user has at hand.
func stockClient(t *testing.T, c *cloud) {
	client := c.client(t)
	for _, kind := range []string{"identity", "image", "compute", "network", "placement"} {
		if out := client("catalog", "list"); !strings.Contains(out, kind) {
			t.Errorf("no %s in the catalogue:\n%s", kind, out)
		}
	}
	if out := client("image", "list") + client("network", "list"); !strings.Contains(out, "proof-kernel") || !strings.Contains(out, "private") {
		t.Errorf("images and networks:\n%s", out)
	}
	var server struct{ Status string }
	if err := json.Unmarshal([]byte(client("server", "create", "--image", "proof", "--flavor", "proof", "--network", "private", "--wait", "-f", "json", "mine")), &server); err != nil || server.Status != "ACTIVE" {
		t.Fatalf("the server is %q: %v", server.Status, err)
	}
	if out := client("server", "list"); !strings.Contains(out, "mine") {
		t.Errorf("it is not listed:\n%s", out)
	}
	deadline := time.Now().Add(2 * time.Minute)
	for out := ""; !strings.Contains(out, "UPDRAFT-READY hostname=mine"); out = client("console", "log", "show", "mine") {
		if time.Now().After(deadline) {
			t.Fatalf("the console does not say that it is up:\n%s", out)
		}
	}
	t.Run("Horizon in a browser", func(t *testing.T) { dashboard(t, c.with(t), "mine") })
	t.Run("a console in a browser", func(t *testing.T) { console(t, c.with(t), "mine") })
	client("server", "delete", "--wait", "mine")
}

// novaOption changes one option of Nova, and takes it back.
func novaOption(t *testing.T, c *cloud) {
	before, err := os.ReadFile(c.file)
	if err != nil {
		t.Fatal(err)
	}
	c.write(strings.Replace(string(before), "openstack:\n", "openstack:\n  overrides: {nova: {DEFAULT: {reserved_host_disk_mb: 100}}}\n", 1))
	plan, _ := c.try("plan", "--diff")
	if plan.code != 2 || !strings.Contains(plan.stdout, "50-overrides.conf") || !strings.Contains(plan.stdout, "+ reserved_host_disk_mb = 100\n") {
		t.Fatalf("status %d:\n%s", plan.code, plan.all())
	}
	plan, _ = c.try("plan") // lines of a file look like steps
	steps := regexp.MustCompile(`(?m)^\s+[+~↻?-] (\S+)`)
	for _, m := range steps.FindAllStringSubmatch(plan.stdout, -1) {
		if !strings.Contains(m[1], "nova") && !strings.HasPrefix(m[1], "command:nova") {
			t.Errorf("an option of Nova changed, and the plan touches %s", m[1])
		}
	}
	out := c.run("apply")
	t.Logf("one option took %s", out.took)
	c.expectSettled()
	c.write(string(before))
	c.run("apply")
	c.expectSettled()
}
