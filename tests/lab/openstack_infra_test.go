package lab_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/updraft-cloud/updraft/internal/openstack/glance"
	balancer "github.com/updraft-cloud/updraft/internal/openstack/haproxy"
	"github.com/updraft-cloud/updraft/internal/openstack/horizon"
	"github.com/updraft-cloud/updraft/internal/openstack/keepalived"
	"github.com/updraft-cloud/updraft/internal/openstack/keystone"
	"github.com/updraft-cloud/updraft/internal/openstack/mariadb"
	"github.com/updraft-cloud/updraft/internal/openstack/nova"
	"github.com/updraft-cloud/updraft/internal/openstack/openvswitch"
	"github.com/updraft-cloud/updraft/internal/openstack/stack"
	"github.com/updraft-cloud/updraft/internal/openstack/stack/stacktest"
	"github.com/updraft-cloud/updraft/internal/resource/command"
	"github.com/updraft-cloud/updraft/internal/resource/file"
	"github.com/updraft-cloud/updraft/internal/spec"
	"github.com/updraft-cloud/updraft/internal/transport"
	"github.com/updraft-cloud/updraft/internal/transport/transporttest"
)

// lay puts a service's files on a host of the cloud where the box has them, and
// returns what it asks for there.
func (b *box) lay(cloud, host string, s stack.Service) []stack.Item {
	b.t.Helper()
	c, faults := spec.Parse("cloud.yaml", []byte(cloud), spec.Options{})
	if c == nil {
		b.t.Fatal(faults.Err())
	}
	b.d.Cloud, b.d.Spec = c, c.OpenStack
	b.d.Services = []stack.Service{keystone.Service(), glance.Service(), nova.Service(), horizon.Service()}
	var out []stack.Item
	for _, it := range s.Build(b.d) {
		if it.Host != host {
			continue
		}
		out = append(out, it)
		f, ok := it.Resource.(*file.Resource)
		if !ok || !strings.HasPrefix(f.Path, stack.ConfigRoot) {
			continue
		}
		content := f.Content
		if len(f.Data) > 0 {
			content = string(f.Data)
		}
		b.write(f.Path, content)
	}
	return out
}

// find returns the resource of that key.
func find[R interface{ Key() string }](t *testing.T, items []stack.Item, key string) R {
	t.Helper()
	for _, it := range items {
		if r, ok := it.Resource.(R); ok && r.Key() == key {
			return r
		}
	}
	t.Fatalf("there is no %s", key)
	panic("not reached")
}

func TestRealProgramsTakeTheConfigurationOfTheInfrastructure(t *testing.T) {
	for name, cloud := range map[string]string{"one controller": stacktest.Small, "three controllers": stacktest.Large, "a network for users": stacktest.Public} {
		b := newBox(t, "infra") // certificates of one name are for the same names all the time
		for _, c := range []struct {
			service stack.Service
			judge   string
		}{
			{balancer.Service(), "haproxy -c -V -f /etc/updraft/haproxy/haproxy.cfg"},
			{keepalived.Service(), "keepalived --config-test --vrrp --log-console --use-file /etc/updraft/keepalived/keepalived.conf"},
			{mariadb.Service(), "mariadbd --defaults-file=/etc/updraft/mariadb/mariadb.cnf --user=mysql --help --verbose"},
		} {
			t.Run(name+": "+c.service.Name, func(t *testing.T) {
				b.lay(cloud, "controller1", c.service)
				text := "ip link show eth0 >/dev/null 2>&1 || ip link add eth0 type veth peer name eth1\npodman run box/infra:x sh -c 'mkdir -p /run/haproxy; " + c.judge + "'"
				out, err := b.run("-euc", text)
				if err != nil || strings.Contains(out, "[WARNING]") || strings.Contains(out, "[ERROR]") {
					t.Errorf("%v: %s", err, lastLines(out))
				}
			})
		}
	}
}

func lastLines(s string) string {
	const most = 2000
	return s[max(0, len(s)-most):]
}

func TestADatabaseIsMadeAndItsPasswordKeptInStep(t *testing.T) {
	b := newBox(t, "infra")
	b.mariadb("other", "other")
	use := func(what string) {
		t.Helper()
		items := b.lay(stacktest.Small, "controller1", mariadb.Service())
		job := find[*command.Resource](t, items, "mariadb database keystone")
		guard := func() error { _, err := b.outside("-c", job.Unless); return err }
		if guard() == nil {
			t.Fatalf("%s: the guard sees no work", what)
		}
		if out, err := b.outside("-euc", job.Script); err != nil {
			t.Fatalf("%s: %v: %s", what, err, out)
		}
		if err := guard(); err != nil {
			t.Fatalf("%s: the work is done, and the guard says %v", what, err)
		}
		b.signIn(t, what)
	}
	use("at first")
	b.d.Secrets = rotated{b.d.Secrets, "database-keystone"}
	use("after a rotation")
	b.sql("REVOKE DROP ON keystone.* FROM keystone@'%'")
	use("after a right was taken away")
	b.sql("ALTER USER keystone@'%' REQUIRE NONE")
	use("after anybody could sign in without TLS")
}

// outside runs a command of the first controller's, which names files of its own
// by their paths there.
func (b *box) outside(flags, text string) (string, error) {
	for _, before := range []string{"<", "-nt "} {
		text = strings.ReplaceAll(text, before+stack.ConfigRoot, before+filepath.Join(b.dir, "etc"))
	}
	return b.run(flags, text)
}

// signIn signs in as Keystone does.
func (b *box) signIn(t *testing.T, what string) {
	t.Helper()
	b.write(stack.ConfigRoot+"/client.cnf", "[client]\nuser=keystone\npassword="+b.d.Secrets.Password(stack.DatabaseSecret("keystone"))+"\n")
	out, err := b.run("-euc", "podman run box/infra:x mariadb --defaults-file=/etc/updraft/client.cnf --ssl-ca="+stack.CAFile+
		" --ssl-verify-server-cert --host="+b.d.VIP().String()+" --database=keystone --execute='CREATE TABLE t (a INT); DROP TABLE t'")
	if err != nil {
		t.Errorf("%s: Keystone cannot sign in: %v: %s", what, err, out)
	}
}

// rotated are secrets of which one is another.
type rotated struct {
	stack.Secrets
	name string
}

func (r rotated) Password(name string) string {
	if name == r.name {
		return r.Secrets.Password(name) + "2"
	}
	return r.Secrets.Password(name)
}

func TestRabbitMQTellsWhetherThePasswordIsRight(t *testing.T) {
	b := newBox(t, "infra")
	b.rabbitmq()
	login := filepath.Join(b.dir, "etc", "rabbitmq", "login")
	ask := func(file string) error {
		_, err := b.run("-c", fmt.Sprintf("timeout 10 bash %s.sh 127.0.0.1 5672 %s", login, file))
		return err
	}
	transporttest.Eventually(t, "the password is taken", func() bool { return ask(login+".amqp") == nil })
	frame, err := os.ReadFile(login + ".amqp")
	if err != nil {
		t.Fatal(err)
	}
	wrong := filepath.Join(b.dir, "wrong")
	if err := os.WriteFile(wrong, []byte(strings.Replace(string(frame), b.d.Secrets.Password(stack.SecretRabbit), strings.Repeat("x", len(b.d.Secrets.Password(stack.SecretRabbit))), 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	if ask(wrong) == nil {
		t.Error("a wrong password counts as right")
	}
}

// background runs text in the box until the test ends.
func (b *box) background(name, text string) {
	b.t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	c := b.command(ctx, "-euc", text)
	log, err := os.Create(filepath.Join(b.dir, name+".log"))
	if err == nil {
		c.Stdout, c.Stderr = log, log
		err = c.Start()
	}
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() {
		stop()
		_ = c.Wait()
		if text, err := os.ReadFile(log.Name()); err == nil && b.t.Failed() {
			b.t.Logf("%s: %s", name, lastLines(string(text)))
		}
	})
}

func TestOpenVSwitchTakesNICsOverAndTheirAddressesAlong(t *testing.T) {
	b := newBox(t, "openstack")
	items := b.lay(stacktest.Small, "compute1", openvswitch.Service())
	setup := "mkdir -p /run/systemd; mount -t tmpfs tmpfs /run/systemd\n"
	for nic, address := range map[string]string{"eth1": "10.88.1.129/24", "eth2": "10.88.2.129/24"} {
		setup += fmt.Sprintf("ip link add %[1]s type veth peer name p%[1]s; ip link set p%[1]s up; ip link set %[1]s up; ip addr add %[2]s dev %[1]s\n", nic, address)
	}
	if out, err := b.run("-euc", setup); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	b.background("openvswitch", "echo $$ >"+stack.RunRoot+"/ovs-vswitchd.pid\nexec podman run box/openstack:x sh -euc "+transport.Quote(
		`mkdir -p /run/openvswitch /dev/net; ovsdb-tool create /run/openvswitch/conf.db /usr/share/openvswitch/vswitch.ovsschema
ovsdb-server --remote=punix:/run/openvswitch/db.sock --unixctl=/run/openvswitch/ovsdb.ctl /run/openvswitch/conf.db &
while ! test -S /run/openvswitch/db.sock; do sleep 0.1; done
exec sh /etc/updraft/openvswitch/vswitchd.sh`))
	script := filepath.Join(b.dir, "bridges.sh")
	text := strings.ReplaceAll(find[*file.Resource](t, items, "/etc/updraft/openvswitch/bridges.sh").Content, stack.RunRoot, b.dir)
	if err := os.WriteFile(script, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	do := func(mode string) (string, error) { return b.run("-c", "bash "+script+" "+mode) }
	transporttest.Eventually(t, "Open vSwitch answers", func() bool {
		_, err := b.run("-c", "nsenter --target $(cat "+stack.RunRoot+"/ovs-vswitchd.pid) --mount -- ovs-vsctl --timeout=5 get Open_vSwitch . ovs_version")
		return err == nil
	})
	if _, err := do("check"); err == nil {
		t.Error("the script sees no work")
	}
	for range 2 { // the second time, there is nothing to do
		if out, err := do("apply"); err != nil {
			t.Fatalf("apply: %v: %s", err, out)
		}
		if out, err := do("check"); err != nil {
			t.Fatalf("check: %v: %s", err, out)
		}
	}
	where, err := b.run("-c", "ip -o -4 address show")
	if err != nil || !strings.Contains(where, "br-ext    inet 10.88.2.129/24") || strings.Contains(where, "eth2    inet") {
		t.Errorf("addresses are not where they should be: %v: %s", err, where)
	}
	if out, err := b.run("-c", "ip address add 10.88.2.129/24 dev eth2"); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if _, err := do("check"); err == nil {
		t.Error("an address that came back to the NIC is not noticed")
	}
	// As a server's interface, whose flags Open vSwitch wrote as it had read them before
	// libvirt set it up.
	if out, err := b.run("-ec", "ip link add tap1 type veth peer name ptap1; ip link set ptap1 up; ip link set tap1 up; ip link set tap1 down"); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	transporttest.Eventually(t, "a server's interface is up again", func() bool {
		out, err := b.run("-c", "ip -o link show dev tap1")
		return err == nil && strings.Contains(out, ",UP")
	})
}

func TestAHostMayHoldAnAddressOnABridgeOfItsOwn(t *testing.T) {
	f := newFixture(t)
	p, topo := f.brought(t, "bridged", 1, nil)
	m := topo.Machines[0]
	address := m.NICs[1].Address.String()
	move := "ip link add name br0 type bridge && ip link set br0 up && ip address del " + address + " dev eth1 && ip address add " + address + " dev br0"
	if out, err := ssh(t, m, move); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if r, err := p.ObserveMachine(t.Context(), m); err != nil || !r.Agrees() {
		t.Errorf("observed: %+v, %v", r, err)
	}
	if err := p.EnsureMachine(t.Context(), m, quiet); err != nil {
		t.Fatal(err)
	}
	if got, err := ssh(t, m, "ip -4 -br address show eth1 | grep -c "+address); got != "0" {
		t.Errorf("it came back to the NIC: %q, %v", got, err)
	}
	if out, err := ssh(t, m, "ip link delete br0"); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if r, err := p.ObserveMachine(t.Context(), m); err != nil || !r.Has("nic.eth1.address") {
		t.Errorf("nobody misses the address: %+v, %v", r, err)
	}
}
