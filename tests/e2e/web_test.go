package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// webCloud is the README's example under another name and other addresses, so
// that it runs beside one that the user has up.
func webCloud(t *testing.T, name string) string {
	t.Helper()
	data, err := os.ReadFile("../../examples/web.yaml")
	if err != nil {
		t.Fatal(err)
	}
	text := strings.ReplaceAll(string(data), "10.88.", "10.89.")
	text = strings.Replace(text, "cloud: web\n", "cloud: "+name+"\n", 1)
	if !strings.Contains(text, "cloud: "+name+"\n") {
		t.Fatal("examples/web.yaml no longer has a line cloud: web")
	}
	return text
}

func TestWebFromNothingToProofAndAway(t *testing.T) {
	c := newCloud(t, "e2eweb", webCloud(t, "e2eweb"))
	t.Run("a plan of nothing creates everything and makes nothing", func(t *testing.T) {
		c := c.with(t)
		one, _ := c.try("plan")
		two, _ := c.try("plan")
		if one.code != 2 || one.stdout != two.stdout || !strings.Contains(one.stdout, "+ machine:web3") {
			t.Fatalf("status %d, same %v\n%s", one.code, one.stdout == two.stdout, one.all())
		}
		if out, err := exec.Command("ip", "netns", "list").Output(); err != nil || strings.Contains(string(out), "e2eweb") {
			t.Fatalf("planning made %s, %v", out, err)
		}
	})
	out := c.run("up")
	t.Logf("first up took %s", out.took)
	if !strings.Contains(out.stdout, "5 passed") {
		t.Errorf("not every check passed:\n%s", out.all())
	}
	c.expectNoChanges()
	t.Run("plans are the same to the byte", func(t *testing.T) {
		c := c.with(t)
		for _, args := range [][]string{{"plan"}, {"plan", "--json"}} {
			if one, two := c.run(args...), c.run(args...); one.stdout != two.stdout {
				t.Errorf("%v: two plans differ", args)
			}
		}
	})
	t.Run("one parameter changes what depends on it and nothing else", func(t *testing.T) { onlyDependents(t, c.with(t)) })
	t.Run("a part is worked on, and the rest is left as it is", func(t *testing.T) { partOnly(t, c.with(t)) })
	t.Run("a saved plan is done, or refused when the world moved", func(t *testing.T) { savedPlan(t, c.with(t)) })
	t.Run("other tools reach the hosts by the hand-off files", func(t *testing.T) { otherTools(t, c.with(t)) })
	t.Run("a biased balancer is found out by its numbers", func(t *testing.T) { biased(t, c.with(t)) })
	t.Run("power cut of all hosts and up", func(t *testing.T) {
		c := c.with(t)
		c.run("status")
		c.run("lab", "cut", "edge1")
		offStatus(t, c, "edge1")
		c.run("lab", "cut")
		c.run("up")
		c.expectNoChanges()
	})
}

// onlyDependents edits the page of the web servers.
func onlyDependents(t *testing.T, c *cloud) {
	before, err := os.ReadFile(c.file)
	if err != nil {
		t.Fatal(err)
	}
	c.write(strings.Replace(string(before), "web: {port: 80}", `web: {port: 80, page: "moved: {{host}}\n"}`, 1))
	defer c.write(string(before))
	plan, _ := c.try("plan")
	for line := range strings.Lines(plan.stdout) {
		f := strings.Fields(line)
		if len(f) > 1 && strings.ContainsAny(f[0], "+~↻-?") && !strings.Contains(f[1], "/var/www") && !strings.Contains(f[1], "nginx") {
			t.Errorf("the page's text changed, and the plan touches %s", line)
		}
	}
	if plan.code != 2 || strings.Contains(plan.stdout, "edge1") {
		t.Errorf("status %d:\n%s", plan.code, plan.all())
	}
	c.run("apply")
	if out := c.run("exec", "web", "--", "sh", "-c", "cat /var/www/*/* /var/www/*.html 2>/dev/null; true"); !strings.Contains(out.stdout, "moved: web2") {
		t.Errorf("the page was not replaced:\n%s", out.all())
	}
	c.write(string(before))
	c.run("up")
}

// partOnly lets three hosts drift and works on one of them.
func partOnly(t *testing.T, c *cloud) {
	c.run("exec", "web", "--", "rm", "/etc/hostname")
	out := c.run("up", "--only", "host=web1", "--alone")
	if !strings.Contains(out.stderr, "Only host=web1: 1 to do") || !strings.Contains(out.stderr, "1 changed, 0 removed") {
		t.Errorf("it did something else:\n%s", out.all())
	}
	plan, _ := c.try("plan")
	if strings.Contains(plan.stdout, "web1") || strings.Count(plan.stdout, "hostname") != 2 {
		t.Errorf("web1 is mended, and web2 and web3 are not:\n%s", plan.all())
	}
	c.run("up")
}

func savedPlan(t *testing.T, c *cloud) {
	file := filepath.Join(t.TempDir(), "plan")
	c.run("exec", "web1", "--", "rm", "/etc/hostname")
	if out, _ := c.try("plan", "-o", file); out.code != 2 {
		t.Fatalf("status %d\n%s", out.code, out.all())
	}
	c.run("exec", "web2", "--", "rm", "/etc/hostname")
	c.fails(1, "web2/", "apply", file)
	c.run("up")
	c.run("exec", "web1", "--", "rm", "/etc/hostname")
	c.run("apply", file)
	c.expectNoChanges()
}

// otherTools uses ssh, scp and ansible as anybody would. Ansible needs Python on
// its hosts, which a lab host does not have: its raw module is asked for there,
// and the inventory is read by ansible-inventory as well.
func otherTools(t *testing.T, c *cloud) {
	dir := strings.TrimSpace(c.run("handoff").stdout)
	conf := filepath.Join(dir, "ssh_config")
	tool := func(name string, args ...string) string {
		out, err := exec.Command(name, args...).CombinedOutput()
		if err != nil {
			t.Errorf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
		}
		return string(out)
	}
	if out := tool("ssh", "-F", conf, "web1", "hostname"); strings.TrimSpace(out) != "web1" {
		t.Errorf("ssh -F says %q", out)
	}
	local := filepath.Join(t.TempDir(), "note")
	if err := os.WriteFile(local, []byte("by scp\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	tool("scp", "-F", conf, local, "edge1:/tmp/note")
	if out := tool("ssh", "-F", conf, "edge1", "cat", "/tmp/note"); out != "by scp\n" {
		t.Errorf("scp brought %q", out)
	}
	c.write(strings.Replace(mustRead(t, c.file), "  basebox: {}", "  basebox: {packages: [python3]}", 1))
	c.run("apply")
	for _, inventory := range []string{"hosts", "hosts.yaml"} {
		out := tool("ansible", "all", "-m", "ping", "-i", filepath.Join(dir, inventory))
		if n := strings.Count(out, `"ping": "pong"`); n != 5 {
			t.Errorf("%s: %d of 5 hosts answered ansible's ping:\n%s", inventory, n, out)
		}
	}
	c.write(webCloud(t, c.name))
	c.run("up")
}

func mustRead(t *testing.T, name string) string {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// biased gives the first web server ten times the others' weight.
func biased(t *testing.T, c *cloud) {
	fair := mustRead(t, c.file)
	c.write(strings.Replace(fair, "backends: web, port: 80}", "backends: web, port: 80, weights: {web1: 8, web2: 1, web3: 1}}", 1))
	out := c.fails(3, "requests are spread evenly", "up")
	for line := range strings.Lines(out.stdout) {
		if strings.Contains(line, "spread evenly") {
			t.Logf("verdict: %s", strings.TrimSpace(line))
			if !strings.Contains(line, "p") {
				t.Error("the verdict names no p-value")
			}
		}
	}
	c.write(fair)
	c.run("up")
}
