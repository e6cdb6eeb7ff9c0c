package e2e

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// lbAddress is where the load-balancing service listens, in the deployer's namespace.
const lbAddress = "127.0.0.1:9876"

// loadBalancers runs the load-balancing service beside the cloud: users find it in the
// real catalogue, the real Keystone says who they are, and addresses are ports of the
// real Neutron. The stock client is what users have.
func loadBalancers(t *testing.T, c *cloud) {
	client, try := c.client(t), c.tryClient(t)
	password := "of-octavia-" + t.Name()
	client("user", "create", "--password", password, "octavia")
	client("role", "add", "--project", "service", "--user", "octavia", "admin")
	client("user", "create", "--password", password, "looker")
	client("role", "add", "--project", "admin", "--user", "looker", "reader")
	client("service", "create", "--name", "octavia", "load-balancer")
	client("endpoint", "create", "--region", "RegionOne", "octavia", "public", "http://"+lbAddress)
	defer func() {
		client("service", "delete", "octavia")
		client("user", "delete", "octavia", "looker")
	}()
	c.serveLoadBalancers(t, password)
	c.awaitWithin(time.Minute, "the service answers", func() bool {
		_, err := try("loadbalancer", "list")
		return err == nil
	})

	client("loadbalancer", "create", "--name", "web", "--vip-subnet-id", "private", "--wait")
	var lb struct {
		Address string `json:"vip_address"`
		Port    string `json:"vip_port_id"`
		Status  string `json:"provisioning_status"`
	}
	c.json(t, &lb, "loadbalancer", "show", "web")
	var port struct {
		Owner string `json:"device_owner"`
		Fixed []struct {
			Address string `json:"ip_address"`
		} `json:"fixed_ips"`
	}
	c.json(t, &port, "port", "show", lb.Port)
	if lb.Status != "ACTIVE" || port.Owner != "Octavia" || len(port.Fixed) != 1 || port.Fixed[0].Address != lb.Address {
		t.Errorf("the load balancer is %+v, its port %+v", lb, port)
	}
	client("loadbalancer", "listener", "create", "--name", "http", "--protocol", "HTTP", "--protocol-port", "80", "--wait", "web")
	client("loadbalancer", "pool", "create", "--name", "all", "--listener", "http", "--protocol", "HTTP", "--lb-algorithm", "ROUND_ROBIN", "--wait")
	client("loadbalancer", "member", "create", "--name", "one", "--address", "192.168.77.7", "--subnet-id", "private", "--protocol-port", "80", "--wait", "all")

	asLooker := []string{"--os-username", "looker", "--os-password", password, "loadbalancer"}
	if out, err := try(append(asLooker, "show", "web")...); err != nil {
		t.Errorf("a reader of the project does not see it: %v\n%s", err, out)
	}
	if out, err := try(append(asLooker, "delete", "--cascade", "web")...); err == nil || !strings.Contains(out, "403") {
		t.Errorf("a reader may delete it: %v\n%s", err, out)
	}
	client("loadbalancer", "delete", "--cascade", "--wait", "web")
	if out, err := try("port", "show", lb.Port); err == nil {
		t.Errorf("its port is still there:\n%s", out)
	}
}

// serveLoadBalancers runs the service until the test ends.
func (c *cloud) serveLoadBalancers(t *testing.T, password string) {
	t.Helper()
	handoff := strings.TrimSpace(c.run("handoff").stdout)
	openrc, err := os.ReadFile(filepath.Join(handoff, "openrc"))
	keystone := regexp.MustCompile(`(?m)OS_AUTH_URL=['"]?([^'"\n]+)`).FindSubmatch(openrc)
	if err != nil || keystone == nil {
		t.Fatalf("where is Keystone? %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, "ip", "netns", "exec", "ud-"+c.name, program(t), "lb", "serve", "--listen", lbAddress, "--data", t.TempDir(),
		"--auth", "keystone", "--os-auth-url", string(keystone[1]), "--os-cacert", filepath.Join(handoff, "ca.pem"),
		"--compute", "noop", "--network", "neutron", "--secrets", "noop")
	cmd.Env = append(os.Environ(), "OS_PASSWORD="+password)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	var said strings.Builder
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		err := cmd.Wait()
		if t.Failed() {
			t.Logf("the service ended with %v:\n%s", err, &said)
		}
	})
}

// json asks the stock client, and reads its answer.
func (c *cloud) json(t *testing.T, into any, args ...string) {
	t.Helper()
	out := c.client(t)(append(args, "-f", "json")...)
	if err := json.Unmarshal([]byte(out), into); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}
