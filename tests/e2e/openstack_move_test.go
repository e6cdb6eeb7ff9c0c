package e2e

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"
)

// moved is a server that goes from compute1 to compute2 while it answers, and has to
// go on when the programs there are started again.
func moved(t *testing.T, c *cloud) {
	client := c.client(t)
	client("security", "group", "create", "reach")
	client("security", "group", "rule", "create", "--protocol", "icmp", "reach")
	client("server", "create", "--image", "proof", "--flavor", "proof", "--network", "private", "--security-group", "reach", "--availability-zone", "east:compute1", "--wait", "stay")
	address := strings.TrimSpace(client("floating", "ip", "create", "ext", "-f", "value", "-c", "floating_ip_address"))
	client("server", "add", "floating", "ip", "stay", address)
	c.awaitWithin(2*time.Minute, "the server answers", func() bool { return c.ping(address) == nil })

	trace := c.traced(address)
	client("server", "migrate", "--live-migration", "--block-migration", "--wait", "stay")
	lost := trace()
	t.Logf("while it moved: %s", lost)
	if lost.sent < 10 || lost.longest > 5*time.Second {
		t.Error("it did not go on to answer")
	}
	if at := c.hostOf(client); at != "compute2" {
		t.Fatalf("it is on %s", at)
	}
	if left := c.run("exec", "compute1", "--", "sh", "-c", "ls /var/lib/updraft/nova/instances; pgrep qemu-system || true").stdout; strings.Contains(left, "-") {
		t.Errorf("compute1 has something left of it:\n%s", left)
	}

	trace = c.traced(address)
	c.run("exec", "compute2", "--", "systemctl", "restart", "libvirtd", "nova-compute")
	c.run("apply") // waits until both are at work
	lost = trace()
	t.Logf("while libvirt and nova-compute were started again: %s", lost)
	if lost.lost > 1 {
		t.Error("the server noticed")
	}
}

// evacuated is the same server, once compute2 is dead.
func evacuated(_ *testing.T, c *cloud) {
	client := c.client(c.t)
	client("--os-compute-api-version", "2.11", "compute", "service", "set", "--down", "compute2", "nova-compute")
	_, _ = c.tryClient(c.t)("server", "evacuate", "stay") // done, and then an error of the client's own
	defer c.tell("server", "show", "stay")
	defer c.tell("server", "event", "list", "stay")
	defer c.tell("console", "log", "show", "--lines", "20", "stay")
	defer c.tell("port", "list", "--long")
	c.awaitWithin(2*time.Minute, "the server is on compute1", func() bool { return c.hostOf(client) == "compute1" })
	address := strings.TrimSpace(client("floating", "ip", "list", "-f", "value", "-c", "Floating IP Address"))
	c.awaitWithin(4*time.Minute, "the server answers from compute1", func() bool { return c.ping(address) == nil })
	client("server", "delete", "--wait", "stay")
	client("floating", "ip", "delete", address)
	client("security", "group", "delete", "reach")
}

// tell logs what the stock client answers, if the test has failed.
func (c *cloud) tell(args ...string) {
	if c.t.Failed() {
		out, err := c.tryClient(c.t)(args...)
		c.t.Logf("%s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

func (c *cloud) hostOf(client func(...string) string) string {
	return strings.TrimSpace(client("server", "show", "stay", "-f", "value", "-c", "OS-EXT-SRV-ATTR:host"))
}

// ping asks once, from the deployer's place in the cloud's networks.
func (c *cloud) ping(address string) error {
	return exec.Command("ip", "netns", "exec", "ud-"+c.name, "ping", "-c", "1", "-W", "1", address).Run()
}

// pings is what became of pings that were sent five times a second.
type pings struct {
	sent, lost int
	// longest is the longest time without an answer.
	longest time.Duration
}

func (p pings) String() string {
	return fmt.Sprintf("%d of %d pings lost, the longest gap is %s", p.lost, p.sent, p.longest.Round(time.Millisecond))
}

// traced pings the address until the function that it returns is called.
func (c *cloud) traced(address string) func() pings {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), 10*time.Minute)
	cmd := exec.CommandContext(ctx, "ip", "netns", "exec", "ud-"+c.name, "ping", "-D", "-i", "0.2", address)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		c.t.Fatal(err)
	}
	result := make(chan pings, 1)
	go func() { result <- readPings(bufio.NewScanner(out)) }()
	return func() pings {
		cancel()
		p := <-result
		_ = cmd.Wait() // interrupted
		return p
	}
}

// readPings reads what ping -D prints: "[SECONDS] 64 bytes from …: icmp_seq=N …".
func readPings(lines *bufio.Scanner) pings {
	var p pings
	last, answers := 0.0, 0
	for lines.Scan() {
		stamp, rest, ok := strings.Cut(strings.TrimPrefix(lines.Text(), "["), "] ")
		_, seq, isAnswer := strings.Cut(rest, "icmp_seq=")
		at, err := strconv.ParseFloat(stamp, 64)
		if !ok || !isAnswer || err != nil || !strings.Contains(rest, "bytes from") {
			continue
		}
		if n, err := strconv.Atoi(strings.Fields(seq)[0]); err == nil {
			p.sent = max(p.sent, n)
		}
		if last > 0 {
			p.longest = max(p.longest, time.Duration((at-last)*float64(time.Second)))
		}
		last = at
		answers++
	}
	p.lost = p.sent - answers
	return p
}
