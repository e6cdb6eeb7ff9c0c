package lab_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/updraft-cloud/updraft/internal/openstack/etcd"
	"github.com/updraft-cloud/updraft/internal/openstack/mariadb"
	"github.com/updraft-cloud/updraft/internal/openstack/mariadb/guard"
	"github.com/updraft-cloud/updraft/internal/openstack/ovn"
	"github.com/updraft-cloud/updraft/internal/openstack/rabbitmq"
	"github.com/updraft-cloud/updraft/internal/openstack/stack"
	"github.com/updraft-cloud/updraft/internal/openstack/stack/stacktest"
	"github.com/updraft-cloud/updraft/internal/resource/container"
	"github.com/updraft-cloud/updraft/internal/resource/file"
	"github.com/updraft-cloud/updraft/internal/spec"
	"github.com/updraft-cloud/updraft/internal/transport"
	"github.com/updraft-cloud/updraft/internal/transport/transporttest"
)

// controllerRoot runs a command as on a controller: in the image, with the files,
// data and /run of that host. BOX is the box's directory, HOST the controller.
const controllerRoot = `exec ip netns exec "$HOST" unshare --mount --uts sh -euc '
mount --make-rprivate /
echo "$HOST.updraft.test" >/proc/sys/kernel/hostname
root=$BOX/${IMAGE:-infra}/root
mount --rbind "$root" "$root"
mkdir -p "$root/etc/updraft" "$root/var/lib/updraft" "$root/var/lib/rabbitmq"
mount --rbind "$BOX/$HOST/var/rabbitmq" "$root/var/lib/rabbitmq"
mount --rbind "$BOX/$HOST/etc" "$root/etc/updraft"
mount --rbind "$BOX/$HOST/var" "$root/var/lib/updraft"
mount --rbind "$BOX/$HOST/run" "$root/run"
mount --rbind /dev "$root/dev"
mount -t proc proc "$root/proc"
cd "$root"
pivot_root . mnt
user=$1
shift
exec chroot --userspec="$user:$user" . env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/ "$@"
' sh `

// wires gives three controllers a network name space each, and a bridge between
// them: members look at the address that others come from.
const wires = `mkdir -p /run/netns
mount -t tmpfs tmpfs /run/netns
ip addr flush dev lo scope global
ip link add br0 type bridge
ip link set br0 up
for i in 1 2 3; do
	ip netns add controller$i
	ip link add v$i type veth peer name eth0 netns controller$i
	ip link set v$i master br0 up
	ip -n controller$i link set lo up
	ip -n controller$i address add 10.88.0.1$i/24 dev eth0
	ip -n controller$i link set eth0 up
done
`

// member is a controller with its part of both clusters.
type member struct {
	b     *box
	name  string
	items []stack.Item
	etcd  *container.Resource
	sql   *container.Resource
	stop  context.CancelFunc // nil while it is off
	done  []chan struct{}
}

// trio makes three controllers in a box. They are off.
func trio(t *testing.T, images ...string) []*member {
	t.Helper()
	b := newBox(t, append(images, "infra")...)
	if out, err := b.run("-euc", wires); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	c, faults := spec.Parse("cloud.yaml", []byte(stacktest.Large), spec.Options{})
	if c == nil {
		t.Fatal(faults.Err())
	}
	b.d.Cloud, b.d.Spec = c, c.OpenStack
	program := filepath.Join(b.dir, "updraft-guard")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", program, "./cmd/updraft-guard")
	build.Dir = filepath.Join("..", "..")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	var out []*member
	for _, h := range b.d.Spec.Controllers {
		m := &member{b: b, name: h.Name}
		m.lay(program)
		t.Cleanup(m.cut)
		out = append(out, m)
	}
	return out
}

// lay puts the controller's files where they belong.
func (m *member) lay(program string) {
	t := m.b.t
	t.Helper()
	root := filepath.Join(m.b.dir, m.name)
	for _, d := range []string{"etc", "var/mariadb", "var/etcd", "var/rabbitmq", "var/ovn", "run/updraft", "run/mariadb", "run/ovn"} {
		mk(t, root, d)
	}
	m.writeFile(stack.CAFile, m.b.d.Secrets.Authority())
	m.items = m.put(etcd.Service(), mariadb.Service(), rabbitmq.Service(), ovn.Service())
	m.etcd, m.sql = find[*container.Resource](t, m.items, "etcd"), find[*container.Resource](t, m.items, "mariadb")
	if err := os.Link(program, filepath.Join(root, "run", "updraft-guard")); err != nil {
		t.Fatal(err)
	}
	m.as("root", "sh", "-euc", "chown mysql: /var/lib/updraft/mariadb; chown etcd: /var/lib/updraft/etcd; chown -R rabbitmq: /var/lib/updraft/rabbitmq")
}

// writeFile writes a file of the controller's configuration.
func (m *member) writeFile(path, content string) {
	m.b.t.Helper()
	at := filepath.Join(m.b.dir, m.name, "etc", strings.TrimPrefix(path, stack.ConfigRoot))
	mk(m.b.t, filepath.Dir(at))
	if err := os.WriteFile(at, []byte(content), 0o644); err != nil {
		m.b.t.Fatal(err)
	}
}

// put writes the files of services, and returns what the controller has of them.
func (m *member) put(services ...stack.Service) []stack.Item {
	t := m.b.t
	t.Helper()
	var items []stack.Item
	for _, s := range services {
		for _, it := range s.Build(m.b.d) {
			if it.Host != m.name {
				continue
			}
			items = append(items, it)
			if f, ok := it.Resource.(*file.Resource); ok && strings.HasPrefix(f.Path, stack.ConfigRoot) {
				m.writeFile(f.Path, f.Content)
			}
			if f, ok := it.Resource.(*file.Resource); ok && strings.HasSuffix(f.Path, ".erlang.cookie") {
				cookie := filepath.Join(m.b.dir, m.name, "var", "rabbitmq", ".erlang.cookie")
				if err := os.WriteFile(cookie, []byte(f.Content), 0o400); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	return items
}

func (m *member) command(ctx context.Context, text string) *exec.Cmd {
	c := m.b.command(ctx, "-euc", text)
	c.Args[len(c.Args)-1] = text // a controller has a /run of its own, which the box has not
	c.Env = append(c.Env, "HOST="+m.name)
	return c
}

// as runs a command to its end, and returns what it prints.
func (m *member) as(user string, words ...string) string {
	m.b.t.Helper()
	out, err := m.command(m.b.t.Context(), controllerRoot+transport.Quote(append([]string{user}, words...)...)).CombinedOutput()
	if err != nil {
		m.b.t.Fatalf("%s: %q: %v: %s", m.name, words, err, lastLines(string(out)))
	}
	return strings.TrimSpace(string(out))
}

// keep runs a command, again whenever it ends, as systemd does.
func (m *member) keep(ctx context.Context, what, user string, words ...string) {
	m.b.t.Helper()
	m.keepIn(ctx, "infra", what, user, words...)
}

// keepIn is keep for a command of any of the images.
func (m *member) keepIn(ctx context.Context, image, what, user string, words ...string) {
	t := m.b.t
	t.Helper()
	pid := filepath.Join(m.b.dir, m.name, "run", "updraft", what+".pid")
	once := "echo $$ >" + pid + "\n" + controllerRoot + transport.Quote(append([]string{user}, words...)...)
	c := m.command(ctx, "export IMAGE="+image+"; while :; do sh -c "+transport.Quote(once)+" || :; sleep 1; done")
	log, err := os.OpenFile(filepath.Join(m.b.dir, m.name, what+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err == nil {
		c.Stdout, c.Stderr = log, log
		err = c.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = c.Wait()
		_ = log.Close()
	}()
	m.done = append(m.done, done)
}

// power starts all that the controller has to run.
func (m *member) power() {
	m.b.t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	m.stop = stop
	m.keep(ctx, "etcd", "etcd", m.etcd.Exec...)
	m.keep(ctx, "mariadb", "mysql", m.sql.Exec...)
	m.keep(ctx, "guard", "root", "/run/updraft-guard", stack.ConfigDir("mariadb")+"/guard.json")
}

// cut kills all of it at once.
func (m *member) cut() {
	if m.stop == nil {
		return
	}
	m.stop()
	for _, d := range m.done {
		<-d
	}
	m.stop, m.done = nil, nil
	_ = os.Remove(filepath.Join(m.b.dir, m.name, "run", "mariadb", "begin")) // /run does not outlive a boot
	if m.b.t.Failed() {
		for _, what := range []string{"etcd", "mariadb", "guard", "rabbitmq", "ovn-nb"} {
			if text, err := os.ReadFile(filepath.Join(m.b.dir, m.name, what+".log")); err == nil {
				m.b.t.Logf("%s, %s: %s", m.name, what, lastLines(string(text)))
			}
		}
	}
}

// asked is what the server says, through the guard's own eyes.
func (m *member) asked() (guard.Status, error) {
	// A member may have a file system of its own there. Paths of sockets are short
	// (sun_path of unix(7)).
	dir, err := os.Open(filepath.Join(fmt.Sprintf("/proc/%d/root", m.b.pid), m.b.dir, m.name, "var", "mariadb"))
	if err != nil {
		return guard.Status{}, err
	}
	defer dir.Close()
	return guard.Server{Socket: fmt.Sprintf("/proc/self/fd/%d/mariadb.sock", dir.Fd())}.Ask(m.b.t.Context())
}

func (m *member) serves() bool { s, err := m.asked(); return err == nil && s.Serves }
func (m *member) apart() bool  { s, err := m.asked(); return err == nil && s.Apart }

// ask sends a statement to the member's server.
func (m *member) ask(sql string) (string, error) {
	return m.in("infra", "root", "mariadb", "--no-defaults", "--skip-ssl", "--socket="+stack.DatabaseSocket, "--batch", "--skip-column-names", "--execute="+sql)
}

// query has a statement answered that may be repeated. A member of a cluster that
// changes answers none for a moment.
func (m *member) query(sql string) (answer string) {
	m.b.t.Helper()
	var err error
	began := time.Now()
	for answer, err = m.ask(sql); err != nil; answer, err = m.ask(sql) {
		if time.Since(began) > comesBack {
			m.b.t.Fatalf("%s: %s: %v: %s", m.name, sql, err, lastLines(answer))
		}
		wait(m.b.t, time.Second/2)
	}
	return answer
}

// signal sends a signal to the server's process.
func (m *member) signal(s syscall.Signal) {
	m.b.t.Helper()
	m.signalTo("mariadb", s)
}

// signalTo sends a signal to one of those that the controller runs.
func (m *member) signalTo(what string, s syscall.Signal) {
	t := m.b.t
	t.Helper()
	var pid int
	text, err := os.ReadFile(filepath.Join(m.b.dir, m.name, "run", "updraft", what+".pid"))
	if err == nil {
		_, err = fmt.Sscan(string(text), &pid)
	}
	if err == nil {
		err = syscall.Kill(pid, s)
	}
	if err != nil {
		t.Fatal(err)
	}
}

const comesBack = 3 * time.Minute

func (m *member) eventually(what string, ok func() bool) {
	m.b.t.Helper()
	began := time.Now()
	deadline := began.Add(comesBack)
	for !ok() {
		if time.Now().After(deadline) {
			m.b.t.Fatalf("%s: not %s within %s", m.name, what, comesBack)
		}
		wait(m.b.t, time.Second/2)
	}
	m.b.t.Logf("%s %s after %.1f s", m.name, what, time.Since(began).Seconds())
}

// wait lets time go by, which is what is tested here.
func wait(t *testing.T, d time.Duration) {
	t.Helper()
	select {
	case <-time.After(d):
	case <-t.Context().Done():
		t.Fatal("the test ended")
	}
}

// raised are three members that serve, with a table.
func raised(t *testing.T) []*member {
	t.Helper()
	return raise(t, trio(t))
}

func raise(t *testing.T, all []*member) []*member {
	t.Helper()
	const install = `mariadb-install-db --no-defaults --datadir=/var/lib/updraft/mariadb/data --auth-root-authentication-method=socket --skip-test-db --skip-name-resolve`
	all[0].as("mysql", "sh", "-euc", install)
	for _, m := range all[1:] {
		from, to := filepath.Join(m.b.dir, all[0].name, "var", "mariadb", "data"), filepath.Join(m.b.dir, m.name, "var", "mariadb", "data")
		if out, err := m.b.run("-euc", transport.Quote("cp", "-a", from, to)); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	for _, m := range all {
		m.power() // the first begins when a majority of etcd says that nobody did before
	}
	for _, m := range all {
		m.eventually("serves at first", m.serves)
	}
	all[0].query("CREATE DATABASE IF NOT EXISTS updraft; CREATE TABLE IF NOT EXISTS updraft.t (n INT PRIMARY KEY)")
	return all
}

// insert stores a number, and all who serve have to have all numbers until then.
func insert(t *testing.T, n int, by *member, all ...*member) {
	t.Helper()
	by.query(fmt.Sprintf("INSERT IGNORE INTO updraft.t VALUES (%d)", n))
	for _, m := range all {
		transporttest.Eventually(t, m.name+" has all that was stored", func() bool {
			rows, err := m.ask("SET wsrep_sync_wait = 1; SELECT COUNT(*) FROM updraft.t")
			return err == nil && rows == fmt.Sprint(n)
		})
	}
}

func TestGaleraComesBack(t *testing.T) {
	all := raised(t)
	a, b, c := all[0], all[1], all[2]
	insert(t, 1, a, all...)
	wait(t, 2*guard.Interval) // in which the guards note who has all data

	// Two of three are cut: the third, alone, does nothing, however long it takes.
	a.cut()
	b.cut()
	c.eventually("is apart when two of three are cut", c.apart)
	for range 2 * int(guard.Interval/time.Second) {
		wait(t, 2*time.Second)
		if c.serves() {
			t.Fatal("a minority of one began a cluster")
		}
	}
	b.power()
	c.eventually("serves when the second is back", c.serves)
	b.eventually("serves, too", b.serves)
	insert(t, 2, c, b, c)
	a.power()
	a.eventually("serves when it is back", a.serves)
	insert(t, 3, a, all...)
	wait(t, 2*guard.Interval)

	// All are cut, and two come back.
	for _, m := range all {
		m.cut()
	}
	b.power()
	c.power()
	b.eventually("serves after a full outage", b.serves)
	c.eventually("serves after a full outage", c.serves)
	insert(t, 4, b, b, c)
	a.power()
	a.eventually("serves when it is back", a.serves)
	insert(t, 5, a, all...)
	wait(t, 2*guard.Interval)

	// One is cut, and another stands still for longer than Galera waits: what comes
	// together then has lost its primary component.
	a.cut()
	c.signal(syscall.SIGSTOP)
	b.eventually("is apart when nobody answers", b.apart)
	wait(t, 20*time.Second) // evs.inactive_timeout is 15 s
	c.signal(syscall.SIGCONT)
	b.eventually("serves after the merge", b.serves)
	c.eventually("serves after the merge", c.serves)
	insert(t, 6, c, b, c)
	began := all[1].as("root", "etcdctl", "--endpoints=https://10.88.0.12:2379", "--cacert="+stack.CAFile, "--cert="+stack.LeafFile("etcd"), "--key="+stack.LeafFile("etcd"),
		"get", "--prefix", "/updraft/galera/begun/")
	t.Logf("who began from which view:\n%s", began)
}

func TestEtcdReplacesAMemberThatLostItsDisk(t *testing.T) {
	all := trio(t)
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	for _, m := range all {
		m.stop = func() {}
		m.keep(ctx, "etcd", "etcd", m.etcd.Exec...)
	}
	t.Cleanup(stop)
	ask := func(m *member, words ...string) (string, error) {
		line := append([]string{"root"}, m.etcd.Ready.Exec[:len(m.etcd.Ready.Exec)-2]...)
		out, err := m.command(t.Context(), controllerRoot+transport.Quote(append(line, words...)...)).CombinedOutput()
		return string(out), err
	}
	for _, m := range all {
		m.eventually("has a cluster", func() bool { _, err := ask(m, "endpoint", "health"); return err == nil })
	}
	if out, err := ask(all[0], "put", "x", "1"); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	before, err := ask(all[0], "member", "list")
	if err != nil {
		t.Fatalf("%v: %s", err, before)
	}
	lost := all[2]
	data := filepath.Join(lost.b.dir, lost.name, "var", "etcd", "data")
	if err := os.Rename(data, data+".lost"); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(lost.b.dir, lost.name, "run", "updraft", "etcd.pid"))
	if err != nil {
		t.Fatal(err)
	}
	var pid int
	if _, err := fmt.Sscan(string(text), &pid); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	lost.eventually("has the cluster's data again", func() bool {
		out, err := ask(lost, "get", "x", "--print-value-only")
		return err == nil && strings.TrimSpace(out) == "1"
	})
	after, err := ask(lost, "member", "list")
	if err != nil || strings.Count(after, ", started, ") != 3 || after == before {
		t.Errorf("%v: members were\n%s and are\n%s", err, before, after)
	}
}
