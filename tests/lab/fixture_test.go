package lab_test

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/updraft-cloud/updraft/internal/machine"
	"github.com/updraft-cloud/updraft/internal/machine/lab"
	"github.com/updraft-cloud/updraft/internal/netns"
)

// needLab skips without root and tools, or fails where REQUIRE asks for the lab tier.
func needLab(t testing.TB) {
	t.Helper()
	missing := ""
	if os.Geteuid() != 0 {
		missing = "root"
	}
	for _, tool := range []string{"systemd-nspawn", "mmdebstrap", "nft", "ssh", "ssh-keygen"} {
		if _, err := exec.LookPath(tool); err != nil {
			missing = tool
		}
	}
	if missing == "" {
		return
	}
	if strings.Contains(os.Getenv("REQUIRE"), "lab") {
		t.Fatalf("the lab tier needs %s", missing)
	}
	t.Skipf("the lab tier needs %s", missing)
}

// fixture is a lab in directories of the test, over the computer's root cache.
type fixture struct {
	dir string
	key string // path of the login's private key
	pub string
}

func newFixture(t testing.TB) *fixture {
	t.Helper()
	needLab(t)
	f := &fixture{dir: t.TempDir()}
	if os.Getenv("KEEP") != "" {
		dir, err := os.MkdirTemp("", "lab-kept-")
		if err != nil {
			t.Fatal(err)
		}
		f.dir = dir
		t.Logf("kept in %s", dir)
	}
	f.key = filepath.Join(f.dir, "id")
	if out, err := exec.Command("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", f.key).CombinedOutput(); err != nil {
		t.Fatalf("ssh-keygen: %v: %s", err, out)
	}
	b, err := os.ReadFile(f.key + ".pub")
	if err != nil {
		t.Fatal(err)
	}
	f.pub = strings.TrimSpace(string(b))
	return f
}

// provider returns a provider as a new process would.
func (f *fixture) provider() *lab.Provider {
	return lab.New(lab.Options{DataDir: filepath.Join(f.dir, "lab"), CacheDir: os.Getenv(cacheVariable), Owner: f.dir})
}

// cacheVariable names another cache of roots than the computer's.
const cacheVariable = "UPDRAFT_TEST_LAB_CACHE"

// cloudName returns a name that no other test process uses.
func cloudName(suffix string) string { return fmt.Sprintf("t%d-%s", os.Getpid(), suffix) }

// topology returns a cloud of n machines on two networks with both families.
func (f *fixture) topology(t testing.TB, cloud string, n int) machine.Topology {
	t.Helper()
	topo := machine.Topology{Cloud: cloud, Networks: []machine.Network{
		{
			Name: "mgmt", CIDR: netip.MustParsePrefix("10.88.0.0/16"), CIDR6: netip.MustParsePrefix("fd88::/64"), MTU: 1500,
			Deployer: netip.MustParseAddr("10.88.0.1"),
		},
		{
			Name: "a-network-with-a-long-name", CIDR: netip.MustParsePrefix("10.89.0.0/16"), MTU: 1450,
			Deployer: netip.MustParseAddr("10.89.0.1"),
		},
	}}
	for i := range n {
		x, y := byte((i+10)/250), byte((i+10)%250)
		topo.Machines = append(topo.Machines, machine.Machine{
			Cloud: cloud, Name: fmt.Sprintf("host%d", i+1),
			NICs: []machine.NIC{
				{
					Name: "eth0", Network: "mgmt", MAC: fmt.Sprintf("02:88:00:00:%02x:%02x", x, y), MTU: 1500,
					Address:  netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 88, x, y}), 16),
					Address6: netip.MustParsePrefix(fmt.Sprintf("fd88::1:%x/64", i+10)),
					Gateway:  netip.MustParseAddr("10.88.0.1"),
				},
				{
					Name: "eth1", Network: "a-network-with-a-long-name", MAC: fmt.Sprintf("02:89:00:00:%02x:%02x", x, y), MTU: 1450,
					Address: netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 89, x, y}), 16),
				},
			},
			Access: machine.Access{User: "root", Port: 22, Identity: f.key, PublicKey: f.pub, KnownHosts: filepath.Join(f.dir, "known_hosts")},
		})
	}
	p := f.provider()
	topo.Images = p.Images(topo)
	return topo
}

func quiet(string, ...any) {}

// up makes everything of the topology, in parallel where the engine would.
func up(ctx context.Context, p machine.Provider, topo machine.Topology) error {
	for _, i := range topo.Images {
		if err := p.EnsureImage(ctx, i, quiet); err != nil {
			return err
		}
	}
	for _, n := range topo.Networks {
		if err := p.EnsureNetwork(ctx, topo.Cloud, n, quiet); err != nil {
			return err
		}
	}
	return parallel(topo.Machines, func(m machine.Machine) error { return p.EnsureMachine(ctx, m, quiet) })
}

func parallel(all []machine.Machine, f func(machine.Machine) error) error {
	errs := make([]error, len(all))
	var wg sync.WaitGroup
	slots := make(chan struct{}, parallelism)
	for i, m := range all {
		wg.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			errs[i] = f(m)
		})
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

var parallelism = 32

// answers waits until the machine's sshd sends its banner.
func answers(ctx context.Context, p machine.Provider, m machine.Machine) error {
	target, err := p.Target(ctx, m)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 3*time.Minute)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := banner(ctx, target.Dial, net.JoinHostPort(target.Address, "22"))
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s does not answer: %w", m.Name, err)
		case <-tick.C:
		}
	}
}

func banner(ctx context.Context, dial func(context.Context, string, string) (net.Conn, error), addr string) error {
	c, err := dial(ctx, "tcp", addr)
	if err != nil {
		return err
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	line, err := bufio.NewReader(c).ReadString('\n')
	if err == nil && !strings.HasPrefix(line, "SSH-2.0-") {
		err = fmt.Errorf("banner %q", line)
	}
	return err
}

// ssh runs a command on the machine with the ssh client, from the deployer's
// place, with the known_hosts file that the provider wrote.
func ssh(t testing.TB, m machine.Machine, command string) (string, error) {
	t.Helper()
	ns, err := netns.Open(lab.Namespace(m.Cloud))
	if err != nil {
		return "", err
	}
	defer ns.Close()
	cmd := exec.CommandContext(t.Context(), "ssh", "-F", "none", "-i", m.Access.Identity, "-o", "IdentitiesOnly=yes", "-o", "BatchMode=yes",
		"-o", "StrictHostKeyChecking=yes", "-o", "HostKeyAlias="+m.Name, "-o", "UserKnownHostsFile="+m.Access.KnownHosts,
		m.Access.User+"@"+m.NICs[0].Address.Addr().String(), command)
	var out strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := ns.Do(cmd.Start); err != nil {
		return "", err
	}
	err = cmd.Wait()
	return strings.TrimSpace(out.String()), err
}
