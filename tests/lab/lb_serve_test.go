package lab_test

import (
	"context"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// walk is what Debian's stock client is asked, one command a line, and what it
// answers: nothing after "=>" means that it says nothing.
const walk = `
loadbalancer provider list -f value -c name => amphora amphorav2 octavia
loadbalancer provider capability list amphora -f value -c name ~ loadbalancer_topology
loadbalancer create --name lb1 --project demo --vip-subnet-id front4 --tag blue -f value -c vip_address -c provider => amphora 10.20.0.10
loadbalancer list -f value -c name -c provisioning_status => lb1 ACTIVE
loadbalancer set lb1 --description hello =>
loadbalancer show lb1 -f value -c description => hello
loadbalancer unset lb1 --description =>
loadbalancer listener create --name l1 --protocol HTTP --protocol-port 80 lb1 -f value -c protocol => HTTP
loadbalancer listener set --connection-limit 100 l1 =>
loadbalancer listener show l1 -f value -c connection_limit => 100
loadbalancer listener unset --connection-limit l1 =>
loadbalancer listener list -f value -c name => l1
loadbalancer listener stats show l1 -f value -c bytes_in => 0
loadbalancer pool create --name p1 --protocol HTTP --lb-algorithm ROUND_ROBIN --listener l1 -f value -c protocol => HTTP
loadbalancer pool set --lb-algorithm LEAST_CONNECTIONS p1 =>
loadbalancer pool show p1 -f value -c lb_algorithm => LEAST_CONNECTIONS
loadbalancer pool list -f value -c name => p1
loadbalancer member create --name m1 --address 10.0.0.2 --protocol-port 80 p1 -f value -c address => 10.0.0.2
loadbalancer member create --name m2 --address 10.0.0.3 --protocol-port 80 p1 -f value -c address => 10.0.0.3
loadbalancer member set --weight 5 p1 m1 =>
loadbalancer member show p1 m1 -f value -c weight => 5
loadbalancer member list p1 -f value -c name => m1 m2
loadbalancer healthmonitor create --name h1 --delay 5 --timeout 3 --max-retries 2 --type HTTP p1 -f value -c type => HTTP
loadbalancer healthmonitor set --delay 7 h1 =>
loadbalancer healthmonitor show h1 -f value -c delay => 7
loadbalancer healthmonitor list -f value -c name => h1
loadbalancer l7policy create --name y1 --action REJECT l1 -f value -c action => REJECT
loadbalancer l7policy set --description z y1 =>
loadbalancer l7policy show y1 -f value -c description => z
loadbalancer l7rule create --compare-type STARTS_WITH --type PATH --value /x y1 -f value -c value => /x
loadbalancer l7rule list y1 -f value -c type => PATH
loadbalancer l7policy list -f value -c name => y1
loadbalancer status show lb1 ~ "provisioning_status": "ACTIVE"
loadbalancer stats show lb1 -f value -c total_connections => 0
loadbalancer amphora list -f value -c status => ALLOCATED
loadbalancer quota defaults show -f value -c load_balancer => -1
loadbalancer quota set --loadbalancer 5 demo -f value -c load_balancer => 5
loadbalancer quota show demo -f value -c load_balancer => 5
loadbalancer quota list -f value -c load_balancer => 5
loadbalancer quota reset demo =>
loadbalancer flavorprofile create --name fp1 --provider amphora --flavor-data '{\"loadbalancer_topology\":\"SINGLE\"}' -f value -c name => fp1
loadbalancer flavorprofile list -f value -c name => fp1
loadbalancer flavor create --name f1 --flavorprofile fp1 --enable -f value -c name => f1
loadbalancer flavor set --name f2 f1 =>
loadbalancer flavor list -f value -c name => f2
loadbalancer availabilityzoneprofile create --name ap1 --provider amphora --availability-zone-data '{\"compute_zone\":\"nova\"}' -f value -c name => ap1
loadbalancer availabilityzone create --name az1 --availabilityzoneprofile ap1 --enable -f value -c name => az1
loadbalancer availabilityzone list -f value -c name => az1
loadbalancer availabilityzone delete az1 =>
loadbalancer availabilityzoneprofile delete ap1 =>
loadbalancer flavor delete f2 =>
loadbalancer flavorprofile delete fp1 =>
loadbalancer failover lb1 =>
loadbalancer healthmonitor delete h1 =>
loadbalancer member delete p1 m2 =>
loadbalancer l7policy delete y1 =>
loadbalancer pool delete p1 =>
loadbalancer listener delete l1 =>
loadbalancer delete lb1 --cascade =>
loadbalancer list -f value -c name =>
loadbalancer show lb1 ~ Unable to locate lb1
`

// TestTheStockClientOfOpenStackWorksUnmodified walks through the commands of
// Debian's python3-octaviaclient, against a service that asks Keystone.
func TestTheStockClientOfOpenStackWorksUnmodified(t *testing.T) {
	b := newLBService(t)
	k := startKeystone(t, func() (net.Listener, error) { return b.ns.Listen(t.Context(), "tcp", "127.0.0.1:5000") }, "http://127.0.0.1:9876")
	b.args = []string{"--auth", "keystone", "--os-auth-url", k.url, "--compute", "noop", "--network", "local", "--networks", b.data + "/networks.yaml", "--secrets", "local"}
	b.start("serve", append([]string{"serve", "--listen", "127.0.0.1:9876"}, b.args...)...)
	b.awaitAPI("127.0.0.1:9876")
	c := b.client(k.url, "admin")
	b.walk(c, walk)
	if n := k.validated.Load(); n == 0 || n > 5 {
		t.Errorf("Keystone was asked %d times for the same token", n)
	}
	b.stop("serve")
}

// walk gives the client the commands, each when what the one before has begun is
// done, and compares what it says.
func (b *lbService) walk(c *stock, commands string) {
	b.t.Helper()
	for line := range strings.Lines(strings.TrimSpace(commands)) {
		line = strings.TrimSpace(line)
		command, want, exact := strings.Cut(line, " =>")
		if !exact {
			command, want, _ = strings.Cut(line, " ~ ")
		}
		b.settled() // what the command before has begun
		got := c.say(command)
		if want = strings.TrimSpace(want); exact && got != want || !strings.Contains(got, want) {
			b.t.Errorf("openstack %s\n got %s\nwant %s", command, got, want)
		}
	}
}

// stock is one process of the client, which reads commands.
type stock struct {
	t  *testing.T
	in *os.File
	// said is what it says: what belongs to one command is what comes before the
	// answer to the question for something that is not there.
	said chan string
}

const (
	question  = "loadbalancer show end-of-answer"
	endOfText = "Unable to locate end-of-answer in loadbalancers"
)

// client starts the client of a user of the project demo.
func (b *lbService) client(identity, user string) *stock {
	b.t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		b.t.Fatal(err)
	}
	outR, outW, err := os.Pipe()
	if err != nil {
		b.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(b.t.Context()), 2*time.Minute)
	cmd := exec.CommandContext(ctx, "openstack")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = r, outW, outW
	cmd.Env = append(os.Environ(), "OS_AUTH_URL="+identity+"/v3", "OS_USERNAME="+user, "OS_PASSWORD=secret", "OS_PROJECT_NAME=demo", "OS_USER_DOMAIN_NAME=Default",
		"OS_PROJECT_DOMAIN_NAME=Default", "OS_REGION_NAME=here", "OS_IDENTITY_API_VERSION=3", "PYTHONUNBUFFERED=1", "HOME="+b.t.TempDir())
	if err := b.ns.Do(cmd.Start); err != nil {
		b.t.Fatal(err)
	}
	r.Close()
	outW.Close()
	s := &stock{t: b.t, in: w, said: make(chan string, 256)}
	go s.read(outR)
	b.t.Cleanup(func() {
		w.Close()
		_ = cmd.Wait()
		cancel()
		outR.Close()
	})
	return s
}

func (s *stock) read(r *os.File) {
	defer close(s.said)
	buf := make([]byte, 64<<10)
	for {
		n, err := r.Read(buf)
		if n > 0 {
			s.said <- string(buf[:n])
		}
		if err != nil {
			return
		}
	}
}

// say gives a command and returns what the client says to it, in one line.
func (s *stock) say(command string) string {
	s.t.Helper()
	if _, err := s.in.WriteString(command + "\n" + question + "\n"); err != nil {
		s.t.Fatal(err)
	}
	var all strings.Builder
	deadline := time.After(30 * time.Second)
	for !strings.Contains(all.String(), endOfText) {
		select {
		case text, ok := <-s.said:
			if !ok {
				s.t.Fatalf("the client ended: %s", all.String())
			}
			all.WriteString(text)
		case <-deadline:
			s.t.Fatalf("no answer to %q: %s", command, all.String())
		}
	}
	text, _, _ := strings.Cut(all.String(), endOfText)
	text = strings.ReplaceAll(text, "(openstack) ", "")
	return strings.Join(strings.Fields(text), " ")
}
