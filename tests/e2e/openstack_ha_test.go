package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"
)

// haCloud is the example of three controllers and two computes under another name
// and other addresses.
func haCloud(t *testing.T, name string) string {
	t.Helper()
	data, err := os.ReadFile("../../examples/openstack-ha.yaml")
	if err != nil {
		t.Fatal(err)
	}
	text := regexp.MustCompile(`(?m)^cloud: .*$`).ReplaceAllString(strings.ReplaceAll(string(data), "10.88.", "10.89."), "cloud: "+name)
	return strings.ReplaceAll(text, "fd00:88:", "fd00:89:")
}

// TestHighlyAvailableOpenStack raises three controllers and two computes and takes
// them away, one after the other and all at once.
func TestHighlyAvailableOpenStack(t *testing.T) {
	c := newCloud(t, "e2eha", haCloud(t, "e2eha"))
	out := c.run("up")
	t.Logf("up took %s\n%s", out.took, out.stdout)
	if !strings.Contains(out.stdout, "3 passed") {
		t.Fatalf("not every check passed:\n%s", out.all())
	}
	c.expectSettled()
	c.whole5(t)
	stay := c.settle(t)
	days := []badDay{
		{"an option changes on one controller at a time", inTurn},
		{"the controller with the virtual address loses its power", func(t *testing.T, c *cloud, stay *server) { cutOne(t, c, stay, c.holder(t)) }},
		{"a compute loses its power", recovered},
		{"all lose their power at once", cutAll},
	}
	if os.Getenv("ENDURE") != "" {
		days = append(days,
			badDay{"each controller loses its power in turn", cutInTurn},
			badDay{"a compute is cut off from the controllers alone", recoveredFromHalf},
			badDay{"a compute and a controller are in maintenance", inMaintenance},
			badDay{"a controller is cut off from the others", partitioned},
			badDay{"two of three controllers lose their power", cutTwo},
			badDay{"the first controller is made anew", func(t *testing.T, c *cloud, _ *server) { rebuiltController(t, c, "controller1") }},
			badDay{"volumes on three controllers", volumesOnThree},
			badDay{"users' own addresses go and come", publicGoesAndComes},
		)
	}
	for _, day := range days {
		t.Run(day.name, func(t *testing.T) {
			c := c.with(t)
			day.run(t, c, stay)
			c.whole5(t)
		})
	}
}

// badDay is something that happens to a cloud in which a server runs.
type badDay struct {
	name string
	run  func(*testing.T, *cloud, *server)
}

// volumesOnThree adds Cinder, and has it live through what volumes do and through the
// end of the controller that makes them.
func volumesOnThree(t *testing.T, c *cloud, _ *server) {
	before, err := os.ReadFile(c.file)
	if err != nil {
		t.Fatal(err)
	}
	c.write(strings.Replace(string(before), "services: [masakari]", "services: [masakari, cinder]", 1))
	c.run("apply")
	c.expectSettled()
	volumes(t, c)
	volumesInTime(t, c)
	c.write(string(before))
	c.run("apply")
}

// publicGoesAndComes has users reach the APIs at the controllers' own address for a while,
// and at those of a network outside again.
func publicGoesAndComes(t *testing.T, c *cloud, stay *server) {
	with, err := os.ReadFile(c.file)
	if err != nil {
		t.Fatal(err)
	}
	const line = "  public: [public, public6]\n"
	if !strings.Contains(string(with), line) {
		t.Fatal("the example has no such line")
	}
	trace := c.traced(stay.address)
	for _, is := range []struct{ file, address, not string }{
		{strings.Replace(string(with), line, "", 1), "//10.89.0.10:", "//10.89.2.10:"},
		{string(with), "//10.89.2.10:", "//10.89.0.10:"},
	} {
		c.write(is.file)
		if out := c.run("up"); !strings.Contains(out.stdout, "3 passed") {
			t.Errorf("not every check passed:\n%s", out.all())
		}
		c.expectSettled()
		said := c.client(t)("endpoint", "list", "--interface", "public", "-f", "value", "-c", "URL")
		if !strings.Contains(said, is.address) || strings.Contains(said, is.not) {
			t.Errorf("APIs are public at\n%s\nwant them at %s", said, is.address)
		}
	}
	t.Logf("the server meanwhile: %s", trace())
}

// server is a server of the tests with an address that answers.
type server struct{ name, address string }

// settle makes a server that is there for all of the bad days.
func (c *cloud) settle(t *testing.T) *server {
	t.Helper()
	client := c.client(t)
	client("security", "group", "create", "reach")
	client("security", "group", "rule", "create", "--protocol", "icmp", "reach")
	return c.serve(t, "stay")
}

// serve makes a server and waits until it answers at a floating IP.
func (c *cloud) serve(t *testing.T, name string) *server {
	t.Helper()
	client := c.client(t)
	client("server", "create", "--image", "proof", "--flavor", "proof", "--network", "private", "--security-group", "reach", "--wait", name)
	s := &server{name: name, address: strings.TrimSpace(client("floating", "ip", "create", "ext", "-f", "value", "-c", "floating_ip_address"))}
	client("server", "add", "floating", "ip", name, s.address)
	c.awaitWithin(3*time.Minute, name+" answers", func() bool { return c.ping(s.address) == nil })
	return s
}

// gone removes a server and its address.
func (c *cloud) gone(t *testing.T, s *server) {
	t.Helper()
	client := c.client(t)
	client("server", "delete", "--wait", s.name)
	client("floating", "ip", "delete", s.address)
}

// works makes a server, reaches it and removes it, and says how long that took.
func (c *cloud) works(t *testing.T, what string) {
	t.Helper()
	began := time.Now()
	c.gone(t, c.serve(t, "passing"))
	t.Logf("%s: a server was made, reached and removed in %s", what, time.Since(began).Round(time.Second))
}

// whole5 waits until status has nothing to say against the cloud, without updraft's help.
func (c *cloud) whole5(t *testing.T) {
	t.Helper()
	began := time.Now()
	for {
		out, err := c.try("status", "--timeout", "1m")
		if err == nil {
			break
		}
		if time.Since(began) > 5*time.Minute {
			t.Fatalf("the cloud is not whole:\n%s", out.all())
		}
	}
	t.Logf("all is well after %s", time.Since(began).Round(time.Second))
}

// answers waits until an API has answered a question for its users.
func (c *cloud) answers(t *testing.T, what string) {
	t.Helper()
	try, began := c.tryClient(t), time.Now()
	var last string
	for {
		out, err := try("network", "list")
		if err == nil {
			break
		}
		if last = out; time.Since(began) > 2*time.Minute {
			t.Fatalf("%s, and nothing answers:\n%s", what, last)
		}
	}
	t.Logf("%s: asked for networks, and answered %s later", what, time.Since(began).Round(100*time.Millisecond))
}

func cutInTurn(t *testing.T, c *cloud, stay *server) {
	for _, host := range []string{"controller1", "controller2", "controller3"} {
		cutOne(t, c, stay, host)
	}
}

// cutOne has a controller lose its power: servers are made, reached and removed
// without it, and those that are there go on.
func cutOne(t *testing.T, c *cloud, stay *server, host string) {
	trace, vip := c.traced(stay.address), c.traced("10.89.2.10")
	c.run("lab", "cut", host)
	c.answers(t, host+" is off")
	t.Logf("the virtual address meanwhile: %s", vip())
	c.works(t, host+" is off")
	offStatus(t, c, host)
	c.run("lab", "start", host)
	c.whole5(t)
	lost := trace()
	t.Logf("the server meanwhile: %s", lost)
	if lost.longest > 5*time.Second {
		t.Error("servers noticed")
	}
}

// apart adds routes by which a controller does not reach the others, nor they it.
const apart = `for to in %s; do ip route %s unreachable 10.89.0.$to/32; done`

// partitioned cuts the holder of the virtual address off from the others, while
// clients and computes go on to reach all three.
func partitioned(t *testing.T, c *cloud, _ *server) {
	holder := c.holder(t)
	octets := map[string]string{"controller1": "11", "controller2": "12", "controller3": "13"}
	route := func(verb string) {
		for host := range octets {
			var to []string
			for other, octet := range octets {
				if other != host && (other == holder || host == holder) {
					to = append(to, octet)
				}
			}
			if out, err := c.labExec(host, "sh", "-euc", fmt.Sprintf(apart, strings.Join(to, " "), verb)); err != nil {
				t.Fatalf("%s: %v\n%s", host, err, out)
			}
		}
	}
	route("add")
	c.awaitWithin(time.Minute, "another controller has the address, alone", func() bool {
		out, _ := c.try("lab", "enter", holder, "--", "ip", "-o", "address", "show", "to", "10.89.0.10")
		return strings.TrimSpace(out.stdout) == "" && c.holders(t) == 1
	})
	c.answers(t, holder+" is alone")
	c.works(t, holder+" is alone")
	route("del")
}

// holders counts the controllers that have the virtual address.
func (c *cloud) holders(t *testing.T) int {
	t.Helper()
	n := 0
	for _, host := range []string{"controller1", "controller2", "controller3"} {
		if out, err := c.labExec(host, "ip", "-o", "address", "show", "to", "10.89.0.10"); err == nil && strings.TrimSpace(out) != "" {
			n++
		}
	}
	return n
}

// holder is the controller that has the virtual address.
func (c *cloud) holder(t *testing.T) string {
	t.Helper()
	var r struct {
		VIPs []struct{ Holders []string } `json:"vips"`
	}
	out, _ := c.try("status", "-o", "json", "--timeout", "1m") // what else is wrong is not asked here
	if err := json.Unmarshal([]byte(out.stdout), &r); err != nil || len(r.VIPs) == 0 || len(r.VIPs[0].Holders) != 1 {
		t.Fatalf("who has the virtual address? %v, %+v", err, r)
	}
	return r.VIPs[0].Holders[0]
}

// cutTwo leaves one controller, which must do nothing, and gives one of the others
// its power back, with which it has to be enough.
func cutTwo(t *testing.T, c *cloud, stay *server) {
	c.run("lab", "cut", "controller1", "controller2")
	trace := c.traced(stay.address)
	c.fails(1, "controller1 is off", "status")
	c.run("lab", "start", "controller2")
	c.answers(t, "two of three are back")
	t.Logf("the server meanwhile: %s", trace())
	c.works(t, "two of three are back")
	c.run("lab", "start", "controller1")
}

// recovered waits for a server of a dead compute to answer from the other, and gives
// the compute its power back.
func recovered(t *testing.T, c *cloud, stay *server) {
	dead := c.hostOf(c.client(t))
	c.gatewayTo(dead)
	c.run("lab", "cut", dead)
	c.elsewhere(t, stay, dead)
	c.run("lab", "start", dead)
	c.takesServers(t, dead)
}

// recoveredFromHalf takes a compute its management network, while what servers send goes
// on to reach the networks outside: it must not say any more that their addresses are
// there.
func recoveredFromHalf(t *testing.T, c *cloud, stay *server) {
	half := c.hostOf(c.client(t))
	c.gatewayTo(half)
	link := func(state string) {
		if out, err := c.labExec(half, "ip", "link", "set", "eth0", state); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	link("down")
	c.elsewhere(t, stay, half)
	lost := 0
	for range 30 { // each asks anew who has the address
		if out, err := exec.Command("ip", "-n", "ud-"+c.name, "neigh", "flush", "to", stay.address).CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		if c.ping(stay.address) != nil {
			lost++
		}
	}
	if t.Logf("%d of 30 questions for the address lost", lost); lost > 1 {
		t.Errorf("%s goes on to answer for what is elsewhere", half)
	}
	link("up")
	c.takesServers(t, half)
	c.works(t, half+" is back")

	// Back before anybody has taken its servers over, it starts them itself.
	now := c.hostOf(c.client(t))
	half = now
	link("down")
	c.awaitWithin(time.Minute, now+" has ended its servers", func() bool {
		_, err := c.labExec(now, "test", "-e", "/run/updraft/servers-ended")
		return err == nil
	})
	link("up")
	c.awaitWithin(4*time.Minute, "the server runs again by itself", func() bool { return c.ping(stay.address) == nil })
	if is := c.hostOf(c.client(t)); is != now {
		t.Errorf("the server is on %s, and was on %s", is, now)
	}
	c.takesServers(t, now)
}

// elsewhere waits until the server that is there for all days and the router's gateway are on another compute.
func (c *cloud) elsewhere(t *testing.T, s *server, dead string) {
	t.Helper()
	began := time.Now()
	c.awaitWithin(5*time.Minute, "the server is on the other compute", func() bool { return c.hostOf(c.client(t)) != dead })
	c.awaitWithin(3*time.Minute, "the server answers", func() bool { return c.ping(s.address) == nil })
	t.Logf("the server of %s answers from %s after %s", dead, c.hostOf(c.client(t)), time.Since(began).Round(time.Second))
	c.awaitWithin(2*time.Minute, "the router's gateway is elsewhere", func() bool { return !strings.Contains(c.gateways(), dead) })
	t.Logf("the router's gateway is elsewhere after %s", time.Since(began).Round(time.Second))
}

// takesServers waits until a compute is used again.
func (c *cloud) takesServers(t *testing.T, host string) {
	t.Helper()
	client := c.client(t)
	c.awaitWithin(3*time.Minute, host+" takes servers again", func() bool {
		return strings.Contains(client("compute", "service", "list", "--host", host, "--service", "nova-compute", "-f", "value"), "enabled up")
	})
}

// gatewayTo has the router's gateway on a compute.
func (c *cloud) gatewayTo(host string) {
	c.t.Helper()
	const prefer = `n="podman exec ovn-nb ovn-nbctl --no-leader-only --db=unix:/run/ovn/ovnnb_db.sock"; ` +
		`for p in $($n --bare --columns=name find logical_router_port 'gateway_chassis!=[]'); do ` +
		`for c in compute1 compute2; do $n lrp-set-gateway-chassis $p $c 1; done; $n lrp-set-gateway-chassis $p $0 99; done`
	c.run("exec", "controller1", "--", "sh", "-ec", prefer, host)
	c.await("the router's gateway is on "+host, func() bool { return strings.Contains(c.gateways(), host) })
}

// gateways returns the chassis that have gateways of routers.
func (c *cloud) gateways() string {
	c.t.Helper()
	const ask = `s="podman exec ovn-sb ovn-sbctl --no-leader-only --db=unix:/run/ovn/ovnsb_db.sock --bare"; ` +
		`for c in $($s --columns=chassis find port_binding type=chassisredirect); do $s --columns=name list chassis $c; done`
	out := c.run("exec", "controller1", "--", "sh", "-ec", ask).stdout
	if !strings.Contains(out, "compute") {
		c.t.Logf("no gateway has a chassis: %q", out)
	}
	return out
}

// cutAll is a power cut of everything; one up brings it back.
func cutAll(t *testing.T, c *cloud, stay *server) {
	c.run("lab", "cut")
	out := c.run("up")
	t.Logf("up after the power cut took %s", out.took)
	if !strings.Contains(out.stdout, "3 passed") {
		t.Errorf("not every check passed:\n%s", out.all())
	}
	c.expectSettled()
	c.awaitWithin(3*time.Minute, "the server answers again by itself", func() bool { return c.ping(stay.address) == nil })
}
