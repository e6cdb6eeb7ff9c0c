package lab_test

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/updraft-cloud/updraft/internal/openstack/rabbitmq"
	"github.com/updraft-cloud/updraft/internal/openstack/stack"
	"github.com/updraft-cloud/updraft/internal/resource/container"
	"github.com/updraft-cloud/updraft/internal/transport"
)

// start runs one container of the controller until the returned function is called.
func (m *member) start(image, what, user string) func() {
	t := m.b.t
	t.Helper()
	c := find[*container.Resource](t, m.items, what)
	words := []string{"env"}
	for _, k := range slices.Sorted(maps.Keys(c.Env)) {
		words = append(words, k+"="+c.Env[k])
	}
	ctx, stop := context.WithCancel(context.Background())
	m.keepIn(ctx, image, what, user, append(words, c.Exec...)...)
	done := m.done[len(m.done)-1]
	end := func() {
		stop()
		<-done
	}
	t.Cleanup(func() {
		end()
		if text, err := os.ReadFile(filepath.Join(m.b.dir, m.name, what+".log")); err == nil && t.Failed() {
			t.Logf("%s, %s: %s", m.name, what, lastLines(string(text)))
		}
	})
	return end
}

// in runs a command to its end in an image.
func (m *member) in(image, user string, words ...string) (string, error) {
	out, err := m.command(m.b.t.Context(), "export IMAGE="+image+"\n"+controllerRoot+transport.Quote(append([]string{user}, words...)...)).CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

// loses takes away what is below /var/lib/updraft.
func (m *member) loses(path string) {
	m.b.t.Helper()
	at := filepath.Join(m.b.dir, m.name, "var", path)
	if err := os.Rename(at, fmt.Sprintf("%s.lost-%d", at, time.Now().UnixNano())); err != nil {
		m.b.t.Fatal(err)
	}
}

// begun notes that the clusters have begun, as the command of that name does.
func begun(m *member) {
	m.b.t.Helper()
	line := append([]string{"root"}, m.etcd.Ready.Exec[:len(m.etcd.Ready.Exec)-2]...)
	m.as(line[0], append(line[1:], "put", stack.BegunKey, "yes")...)
}

// withEtcd are three controllers with their etcd, in which nothing has begun.
func withEtcd(t *testing.T, images ...string) []*member {
	t.Helper()
	all := trio(t, images...)
	for _, m := range all {
		m.stop = func() {}
		m.start("infra", "etcd", "etcd")
	}
	for _, m := range all {
		m.eventually("has etcd", func() bool { _, err := m.in("infra", "root", m.etcd.Ready.Exec...); return err == nil })
	}
	return all
}

// inRabbit runs a command with what RabbitMQ's container has in its environment.
func (m *member) inRabbit(words ...string) (string, error) {
	line := []string{"env"}
	for k, v := range find[*container.Resource](m.b.t, m.items, "rabbitmq").Env {
		line = append(line, k+"="+v)
	}
	return m.in("infra", "rabbitmq", append(line, words...)...)
}

// ctl asks a member of RabbitMQ.
func (m *member) ctl(words ...string) string {
	out, err := m.inRabbit(append([]string{"timeout", "60"}, words...)...)
	if err != nil {
		m.b.t.Logf("%s: %s", m.name, lastLines(out))
		return "error: " + out
	}
	return out
}

const rabbitBin = "/usr/lib/rabbitmq/bin/"

func (m *member) runningMembers() int {
	out := m.ctl(rabbitBin+"rabbitmqctl", "--quiet", "eval", "length(rabbit_nodes:list_running()).")
	n := 0
	_, _ = fmt.Sscan(out, &n) // 0 while it does not answer
	return n
}

// queueOfThree are three members with etcd and RabbitMQ, and a queue with a copy on
// each. The functions end RabbitMQ.
func queueOfThree(t *testing.T) (all []*member, ends []func()) {
	t.Helper()
	all = withEtcd(t)
	for _, m := range all {
		ends = append(ends, m.start("infra", "rabbitmq", "rabbitmq"))
		if m == all[0] { // it begins, and the others join
			m.eventually("serves", func() bool { return m.runningMembers() == 1 })
		}
	}
	for _, m := range all {
		m.eventually("is one of three", func() bool { return m.runningMembers() == 3 })
	}
	begun(all[0])
	declare := `rabbit_amqqueue:declare(rabbit_misc:r(<<"/">>, queue, <<"q">>), true, false, [{<<"x-queue-type">>, longstr, <<"quorum">>}], none, <<"x">>).`
	if out := all[1].ctl(rabbitBin+"rabbitmqctl", "--quiet", "eval", declare); strings.Contains(out, "error") {
		t.Fatal(out)
	}
	t.Log(all[1].copies())
	return all, ends
}

// copies says where the queues have copies, and which of them are online.
func (m *member) copies() string {
	return m.ctl(rabbitBin+"rabbitmqctl", "--quiet", "list_queues", "members", "online")
}

// TestMembersOfRabbitMQLeaveUntilOneIsLeft has three become one. The last but one goes
// while there are two, of which one is no majority.
func TestMembersOfRabbitMQLeaveUntilOneIsLeft(t *testing.T) {
	all, ends := queueOfThree(t)
	stays, leaving := all[0], rabbitmq.Service().Leaving
	for i, leaver := range all[1:] {
		address := "10.88.0.1" + strings.TrimPrefix(leaver.name, "controller")
		for again := range 2 { // as after a run that was cut off
			out, err := leaver.asHost(leaving.Leave)
			if again == 0 && strings.Contains(out, "keep their copies") {
				t.Errorf("%s: %s", leaver.name, out)
			}
			if err == nil {
				out, err = stays.asHost(leaving.Forget(nil, nil, address))
			}
			if err != nil || strings.Contains(out, "keep their copies") {
				t.Fatalf("%s: %v: %s", leaver.name, err, lastLines(out))
			}
		}
		ends[i+1]()
		if n := stays.runningMembers(); n != 2-i {
			t.Errorf("without %s there are %d members", leaver.name, n)
		}
		if of := stays.copies(); strings.Count(of, "rabbit@10.88.0.11") != 2 || strings.Contains(of, address) {
			t.Errorf("without %s the copies are: %s", leaver.name, of)
		}
	}
}

func TestAMemberOfRabbitMQThatLostItsDiskJoinsAnew(t *testing.T) {
	all, ends := queueOfThree(t)
	a, b, c := all[0], all[1], all[2]
	stopA, stopB, stopC := ends[0], ends[1], ends[2]

	stopB()
	b.loses("rabbitmq/mnesia")
	b.loses("rabbitmq/joined")
	stopB = b.start("infra", "rabbitmq", "rabbitmq")
	b.eventually("is one of three again", func() bool { return b.runningMembers() == 3 })
	b.eventually("has a copy of the queue again", func() bool { return strings.Count(b.copies(), "rabbit@10.88.0.12") == 2 })

	// The first, while nobody else is up: it waits.
	stopA()
	stopB()
	stopC()
	a.loses("rabbitmq/mnesia")
	a.loses("rabbitmq/joined")
	a.start("infra", "rabbitmq", "rabbitmq")
	wait(t, 10*time.Second)
	if n := a.runningMembers(); n != 0 {
		t.Fatalf("the first controller's began a cluster of its own: %d", n)
	}
	b.start("infra", "rabbitmq", "rabbitmq")
	c.start("infra", "rabbitmq", "rabbitmq")
	a.eventually("is one of three again", func() bool { return a.runningMembers() == 3 })
	a.eventually("has a copy of the queue again", func() bool { return strings.Count(a.copies(), "rabbit@10.88.0.11") == 2 })
}

// asHost runs what is for the controller itself, where RabbitMQ's container is.
func (m *member) asHost(script string) (string, error) {
	m.b.t.Helper()
	dir := filepath.Join(m.b.dir, m.name, "run", "bin")
	mk(m.b.t, dir)
	if err := os.WriteFile(filepath.Join(dir, "podman"), []byte("#!/bin/sh\nshift 2 # exec rabbitmq\nexec \"$@\"\n"), 0o755); err != nil {
		m.b.t.Fatal(err)
	}
	return m.inRabbit("PATH=/run/bin:/usr/sbin:/usr/bin:/sbin:/bin", "sh", "-euc", script)
}

func (m *member) remake() {
	m.loses("mariadb/data")
	const install = `mariadb-install-db --no-defaults --datadir=/var/lib/updraft/mariadb/data --auth-root-authentication-method=socket --skip-test-db --skip-name-resolve`
	m.as("mysql", "sh", "-euc", install)
}

func TestAFirstMemberOfGaleraThatLostItsDiskBeginsNothing(t *testing.T) {
	all := raised(t)
	a, b, c := all[0], all[1], all[2]
	insert(t, 1, a, all...)
	begun(a)

	// Alone it joins; the others keep what they have.
	a.cut()
	a.remake()
	a.power()
	a.eventually("has what the others have", func() bool {
		return a.serves() && a.query("SET wsrep_sync_wait = 1; SELECT COUNT(*) FROM updraft.t") == "1"
	})

	// All are off, the first lost its disk and is up before the others.
	for _, m := range all {
		m.cut()
	}
	a.remake()
	a.power()
	b.stop, c.stop = nil, nil
	for range 6 {
		wait(t, 2*time.Second)
		if a.serves() {
			t.Fatal("the first controller began an empty database")
		}
	}
	b.power()
	c.power()
	b.eventually("serves", b.serves)
	c.eventually("serves", c.serves)
	a.eventually("serves", a.serves)
	insert(t, 2, a, all...)
}

// northbound asks the controller's member of OVN's northbound database.
func (m *member) northbound(words ...string) (string, error) {
	return m.in("openstack", "root", append([]string{"ovs-appctl", "-t", "/run/ovn/ovnnb_db.ctl"}, words...)...)
}

func (m *member) raftMembers() int {
	out, err := m.northbound("cluster/status", "OVN_Northbound")
	if err != nil || !strings.Contains(out, "Status: cluster member") || strings.Contains(out, "Leader: unknown") {
		return 0
	}
	return strings.Count(out, " at ssl:")
}

// raft are the members' addresses, that of m first.
func (m *member) raft(all []*member) []string {
	var out []string
	for _, o := range all {
		at := stack.OVNRemote(m.b.d.Address(m.b.d.Cloud.Host(o.name)), 6643)
		if o == m {
			out = slices.Insert(out, 0, at)
		} else {
			out = append(out, at)
		}
	}
	return out
}

// joinNorthbound makes the member's file.
func (m *member) joinNorthbound(role string, all []*member) {
	m.b.t.Helper()
	out, err := m.in("openstack", "root", append([]string{
		"bash", "/etc/updraft/ovn/database.sh", "/var/lib/updraft/ovn/nb.db", role,
		"OVN_Northbound", "/usr/share/ovn/ovn-nb.ovsschema",
	}, m.raft(all)...)...)
	if err != nil {
		m.b.t.Fatalf("%s: %v: %s", m.name, err, out)
	}
}

// northboundMembers runs the program that keeps the members those of the cloud.
func (m *member) northboundMembers(mode string, all []*member) error {
	out, err := m.in("openstack", "root", append([]string{
		"bash", "/etc/updraft/ovn/members.sh", mode, "/run/ovn/ovnnb_db.ctl", "OVN_Northbound",
		fmt.Sprint(stack.OVNNorthPort), stack.LeafFile("ovn"), stack.CAFile,
	}, m.raft(all)...)...)
	m.b.t.Logf("members %s on %s: %s", mode, m.name, out)
	return err
}

func TestAMemberOfOVNThatLostItsDiskReplacesItself(t *testing.T) {
	all := trio(t, "openstack")
	ends := map[*member]func(){}
	for i, m := range all {
		m.stop = func() {}
		m.joinNorthbound([]string{"begin", "join", "join"}[i], all)
		ends[m] = m.start("openstack", "ovn-nb", "root")
		m.eventually("is in the cluster", func() bool { return m.raftMembers() == i+1 })
	}
	a := all[0]
	a.eventually("sees all", func() bool { return a.raftMembers() == 3 })
	if err := a.northboundMembers("check", all); err != nil {
		t.Fatalf("three members as they should be: %v", err)
	}
	if out, err := a.in("openstack", "root", "ovn-nbctl", "--db=unix:/run/ovn/ovnnb_db.sock", "ls-add", "x"); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for _, lost := range []*member{all[1], a} {
		ends[lost]()
		lost.loses("ovn/nb.db")
		// The first would begin a cluster, were it not for those that answer.
		lost.joinNorthbound(map[bool]string{true: "begin", false: "join"}[lost == a], all)
		ends[lost] = lost.start("openstack", "ovn-nb", "root")
		lost.eventually("is in the cluster again, beside what it was", func() bool { return lost.raftMembers() == 4 })
		a.eventually("sees both", func() bool { return a.raftMembers() == 4 })
		if a.northboundMembers("check", all) == nil {
			t.Fatal("a member that is there twice goes unnoticed")
		}
		if err := a.northboundMembers("apply", all); err != nil {
			t.Fatal(err)
		}
		lost.eventually("is one of three", func() bool { return lost.raftMembers() == 3 })
		lost.eventually("has what the others have", func() bool {
			out, err := lost.in("openstack", "root", "ovn-nbctl", "--no-leader-only", "--db=unix:/run/ovn/ovnnb_db.sock", "ls-list")
			return err == nil && strings.Contains(out, "(x)")
		})
	}
	// One is taken out.
	two := all[:2]
	if err := a.northboundMembers("apply", two); err != nil {
		t.Fatal(err)
	}
	a.eventually("is one of two", func() bool { return a.raftMembers() == 2 })
}

func TestAMemberOfAnotherOVNClusterIsRefused(t *testing.T) {
	all := trio(t, "openstack")
	a, b, c := all[0], all[1], all[2]
	const file = "/var/lib/updraft/ovn/nb.db"
	run := func(m *member, words ...string) string {
		t.Helper()
		out, err := m.in("openstack", "root", words...)
		if err != nil {
			t.Fatalf("%s: %q: %v: %s", m.name, words, err, out)
		}
		return out
	}
	var ends []func()
	starts := func(m *member, why string) {
		t.Helper()
		said := func() string {
			text, _ := os.ReadFile(filepath.Join(m.b.dir, m.name, "ovn-nb.log")) // it may not be there yet
			return string(text)
		}
		before := len(said())
		end := m.start("openstack", "ovn-nb", "root")
		if why == "" {
			ends = append(ends, end)
			m.eventually("is in the cluster", func() bool { return m.raftMembers() > 0 })
			return
		}
		defer end()
		m.eventually("is refused", func() bool { return strings.Contains(said()[before:], why) })
		if _, err := m.northbound("cluster/status", "OVN_Northbound"); err == nil {
			t.Errorf("%s: it runs all the same", m.name)
		}
	}
	for _, m := range all {
		m.stop = func() {}
	}
	a.joinNorthbound("begin", all)
	starts(a, "")
	b.joinNorthbound("join", all)
	starts(b, "")
	own := run(a, "ovsdb-tool", "db-cid", file)
	if noted := run(b, "cat", file+".cluster"); noted != own {
		t.Errorf("who joined notes the cluster %q, and it is %q", noted, own)
	}

	run(c, "ovsdb-tool", "create-cluster", file, "/usr/share/ovn/ovn-nb.ovsschema", c.raft(all)[0])
	other := run(c, "ovsdb-tool", "db-cid", file)
	starts(c, "refused: "+file+" is of cluster "+other+", and others are in another: "+own)
	c.loses("ovn/nb.db")
	run(c, "ovsdb-tool", "create-cluster", file, "/usr/share/ovn/ovn-sb.ovsschema", c.raft(all)[0])
	starts(c, "refused: "+file+" is the database OVN_Southbound")
	c.loses("ovn/nb.db")

	c.joinNorthbound("join", all)
	starts(c, "")
	a.eventually("sees all", func() bool { return a.raftMembers() == 3 })
	// With nobody to ask, it remembers.
	for _, end := range ends {
		end()
	}
	c.loses("ovn/nb.db")
	run(c, "ovsdb-tool", "create-cluster", file, "/usr/share/ovn/ovn-nb.ovsschema", c.raft(all)[0])
	starts(c, "and this controller is in cluster "+own)
}
