package lab_test

import (
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	balancer "github.com/updraft-cloud/updraft/internal/openstack/haproxy"
	"github.com/updraft-cloud/updraft/internal/openstack/stack"
	"github.com/updraft-cloud/updraft/internal/resource/container"
)

// service is one of OpenStack's as far as its database is concerned: oslo.db, with its
// pool of connections, in several threads that write and are idle for a moment in turn.
// All of them change one row that they have read, and try again when they are told of a
// deadlock, as services do. It ends when it is told to, and prints what it did.
const service = `
import os, sys, threading, time
from oslo_db import api
from oslo_db.sqlalchemy import enginefacade
from sqlalchemy import text

facade = enginefacade.transaction_context()
facade.configure(connection=sys.argv[1], max_pool_size=2, max_retries=2, retry_interval=1)
class Context: pass
enginefacade.transaction_context_provider(Context)
done, lost, slowest, lock = 0, [], 0.0, threading.Lock()

@api.wrap_db_retry(max_retries=20, retry_interval=0.05, inc_retry_interval=False, retry_on_deadlock=True)
def write(n):
    with facade.writer.using(Context()) as session:
        session.execute(text("SELECT v FROM updraft.sum")).scalar()
        session.execute(text("INSERT INTO updraft.t VALUES (%d)" % n))
        session.execute(text("UPDATE updraft.sum SET v = v + 1"))

def work(n):
    global done, slowest
    i = 0
    while not os.path.exists(sys.argv[2]):
        i += 1
        began = time.monotonic()
        try:
            write(n * 1000000 + i)
            with lock:
                done += 1
        except Exception as e:
            with lock:
                lost.append("%s: %s" % (type(e).__name__, str(e).splitlines()[0]))
        with lock:
            slowest = max(slowest, time.monotonic() - began)
        time.sleep((n % 4) * 0.5 + 0.05)

threads = [threading.Thread(target=work, args=(n,)) for n in range(1, 9)]
for t in threads: t.start()
for t in threads: t.join()
print(done, len(lost), round(slowest, 2), *sorted(set(lost)), sep="\n")
`

// TestTheServerThatIsWrittenToLeavesInOrder restarts each server in turn, as a rolling
// change does, while a service writes through HAProxy. Nothing is lost.
func TestTheServerThatIsWrittenToLeavesInOrder(t *testing.T) {
	all := raise(t, trio(t, "openstack"))
	vip := all[0].b.d.VIP().String()
	all[0].query("CREATE USER service IDENTIFIED BY 'secret' REQUIRE SSL; GRANT ALL ON updraft.* TO service; CREATE TABLE updraft.sum (id INT PRIMARY KEY, v INT); INSERT INTO updraft.sum VALUES (1, 0)")
	sticks := all[0].balance(vip)
	end := filepath.Join(stack.DataDir("mariadb"), "end")
	url := fmt.Sprintf("mysql+pymysql://service:secret@%s:%d/updraft?ssl_ca=%s", vip, stack.DatabasePort, stack.CAFile)
	said := make(chan string, 1)
	go func() {
		out, err := all[0].in("openstack", "root", "python3", "-W", "ignore", "-c", service, url, end)
		said <- fmt.Sprintf("%s\n%v", out, err)
	}()
	sticks("sends it to the first", "server_key=controller1")
	for i, to := range []string{"controller2", "controller1", "controller1"} {
		m := all[i]
		m.as("root", "/run/updraft-guard", "leave", stack.ConfigDir("mariadb")+"/guard.json")
		if i < 2 {
			sticks("sends it to another", "server_key="+to)
		}
		m.signal(syscall.SIGTERM)
		m.eventually("has ended", func() bool { return !m.serves() })
		m.as("root", "/run/updraft-guard", "enter", stack.ConfigDir("mariadb")+"/guard.json")
		m.eventually("serves again", m.serves)
	}
	all[0].drains()
	if err := os.WriteFile(filepath.Join(all[0].b.dir, all[0].name, "var", "mariadb", "end"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	out := <-said
	var done, lost int
	var slowest float64
	if _, err := fmt.Sscan(out, &done, &lost, &slowest); err != nil || done < 100 || lost > 0 {
		t.Errorf("the service lost something: %s", out)
	}
	t.Logf("%d changes, %d lost, the slowest took %.2f s", done, lost, slowest)
	if rows, want := all[2].query("SET wsrep_sync_wait = 1; SELECT COUNT(*), (SELECT v FROM updraft.sum) FROM updraft.t"), fmt.Sprintf("%d\t%[1]d", done); rows != want {
		t.Errorf("%q is stored, and not %q", rows, want)
	}
}

// balance runs the controller's HAProxy, with the virtual address. What it returns waits
// until HAProxy's table says something.
func (m *member) balance(vip string) func(what, entry string) {
	t := m.b.t
	t.Helper()
	items := m.put(balancer.Service())
	m.as("root", "sh", "-euc", "mkdir -p /run/haproxy; chown haproxy: /run/haproxy")
	if out, err := m.command(t.Context(), "ip -n $HOST address add "+vip+"/32 dev eth0").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	m.keep(t.Context(), "haproxy", "root", find[*container.Resource](t, items, "haproxy").Exec...)
	return func(what, entry string) {
		t.Helper()
		m.eventually(what, func() bool { return strings.Contains(m.tell("show table mariadb"), entry) })
	}
}

// drains has HAProxy take nothing more from others, as before it ends, and look at what
// clients have under way, which is nothing.
func (m *member) drains() {
	t := m.b.t
	t.Helper()
	const script = "/etc/updraft/haproxy/drain.sh"
	if out := m.as("root", "bash", script, "clients"); out != "" {
		t.Errorf("it says %s", out)
	}
	m.as("root", "bash", script, "hops")
	hops := 0
	for line := range strings.Lines(m.tell("show stat -1 4 -1")) {
		f := strings.Split(line, ",")
		if strings.HasPrefix(line, "hop-") && !strings.Contains(f[0], "memcached") && !strings.HasSuffix(f[0], "-6080") {
			hops++
			if f[17] != "MAINT" {
				t.Errorf("%s is %s", f[0], f[17])
			}
		} else if strings.HasPrefix(line, "hop-") && f[17] == "MAINT" {
			t.Errorf("%s is taken away", f[0])
		}
	}
	if hops == 0 {
		t.Error("there are no hops")
	}
}

// tell is what HAProxy answers to a command, nothing if it does not.
func (m *member) tell(command string) string {
	dir, err := os.Open(filepath.Join(fmt.Sprintf("/proc/%d/root", m.b.pid), m.b.dir, m.name, "run", "haproxy"))
	if err != nil {
		return ""
	}
	defer dir.Close()
	conn, err := (&net.Dialer{}).DialContext(m.b.t.Context(), "unix", fmt.Sprintf("/proc/self/fd/%d/admin.sock", dir.Fd()))
	if err != nil {
		return ""
	}
	defer conn.Close()
	_, _ = conn.Write([]byte(command + "\n"))
	out, _ := io.ReadAll(conn)
	return string(out)
}
