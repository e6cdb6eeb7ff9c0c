package lab_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/updraft-cloud/updraft/internal/drift"
	"github.com/updraft-cloud/updraft/internal/engine"
	"github.com/updraft-cloud/updraft/internal/fleet"
	"github.com/updraft-cloud/updraft/internal/hostagent"
	"github.com/updraft-cloud/updraft/internal/hostagent/hostagenttest"
	"github.com/updraft-cloud/updraft/internal/resource"
	"github.com/updraft-cloud/updraft/internal/resource/command"
	"github.com/updraft-cloud/updraft/internal/resource/file"
	"github.com/updraft-cloud/updraft/internal/resource/pkg"
	accounts "github.com/updraft-cloud/updraft/internal/resource/user"
	"github.com/updraft-cloud/updraft/internal/retry"
	"github.com/updraft-cloud/updraft/internal/transport"
	sshtransport "github.com/updraft-cloud/updraft/internal/transport/ssh"
	"github.com/updraft-cloud/updraft/internal/transport/transporttest"
)

func TestTransportSuiteOverOpenSSH(t *testing.T) {
	s := startSSHD(t)
	transporttest.Suite(t, transporttest.Config{
		Connect: func(t *testing.T) transport.Conn { return s.connect(t, s.target()) },
		Alive:   transporttest.Runs,
		Dials:   true,
	})
}

func TestWhatOutlivesAnOpenSSHConnectionIsKilled(t *testing.T) {
	s := startSSHD(t)
	cable := newCable(t, s.port)
	target := s.target()
	target.Port, target.KnownHosts, target.AcceptNew = cable.port, s.path("known_hosts.cable"), true
	c := s.connect(t, target)
	p, err := c.Start(t.Context(), transporttest.LineSleep)
	if err != nil {
		t.Fatal(err)
	}
	var pid int
	if _, err := fmt.Fscan(p.Stdout(), &pid); err != nil || !transporttest.Runs(pid) {
		t.Fatal(pid, err)
	}
	cable.cut()
	<-c.Done()
	transporttest.Eventually(t, "the command is killed", func() bool { return !transporttest.Runs(pid) })
}

// agentsOf returns the numbers of the processes that run an agent below dir.
func agentsOf(dir string) []int {
	var pids []int
	links, _ := filepath.Glob("/proc/[0-9]*/exe")
	for _, l := range links {
		if to, err := os.Readlink(l); err == nil && strings.HasPrefix(to, dir) {
			pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(l)))
			pids = append(pids, pid)
		}
	}
	return pids
}

func TestAgentIsPushedOnceOverOpenSSH(t *testing.T) {
	s := startSSHD(t)
	conn := s.connect(t, s.target())
	agents := hostagenttest.Agents(t)
	o := hostagent.Options{Host: "host1", User: "root", Agents: agents}
	for range 2 {
		c, err := hostagent.Start(t.Context(), conn, o)
		if err != nil {
			t.Fatal(err)
		}
		if h := c.Hello(); h.UID != 0 || h.Arch != runtime.GOARCH || h.OS == "" || h.BootID == "" {
			t.Errorf("hello: %+v", h)
		}
		path := filepath.Join(s.dir, "made")
		r := &file.Resource{Path: path, Content: "hello\n", Mode: "0640"}
		found, err := c.Observe(t.Context(), []resource.Resource{r}, nil)
		if err != nil {
			t.Fatal(err)
		}
		if !found[0].Agrees() {
			if err := c.Apply(t.Context(), r, found[0], resource.Cause{}, nil); err != nil {
				t.Error(err)
			}
		}
		if data, err := os.ReadFile(path); err != nil || string(data) != "hello\n" {
			t.Errorf("%q, %v", data, err)
		}
		c.Close()
		// A second push would find nothing to send.
		o.Agents = map[string]hostagent.Binary{runtime.GOARCH: {SHA: agents[runtime.GOARCH].SHA}}
	}
	transporttest.Eventually(t, "no agent is left", func() bool { return len(agentsOf(s.dir)) == 0 })
}

func TestAgentAndItsCommandsDieWithTheConnection(t *testing.T) {
	s := startSSHD(t)
	cable := newCable(t, s.port)
	target := s.target()
	target.Port, target.KnownHosts, target.AcceptNew = cable.port, s.path("known_hosts.cable"), true
	c, err := hostagent.Start(t.Context(), s.connect(t, target), hostagent.Options{Host: "host1", Agents: hostagenttest.Agents(t)})
	if err != nil {
		t.Fatal(err)
	}
	pidFile := s.path("pid")
	failed := make(chan error, 1)
	go func() {
		r := &command.Resource{Name: "long", Script: "echo $$ >" + pidFile + ".new; mv " + pidFile + ".new " + pidFile + "; sleep 1000", Creates: s.path("never")}
		failed <- c.Apply(context.WithoutCancel(t.Context()), r, drift.Missing(), resource.Cause{}, nil)
	}()
	transporttest.Eventually(t, "the command runs", func() bool { _, err := os.Stat(pidFile); return err == nil })
	data, err := os.ReadFile(pidFile)
	if err != nil {
		t.Fatal(err)
	}
	child, err := strconv.Atoi(strings.TrimSpace(string(data)))
	if err != nil {
		t.Fatal(err)
	}
	if agents := agentsOf(s.dir); len(agents) != 1 || !transporttest.Runs(child) {
		t.Fatalf("agents %v, child %d", agents, child)
	}
	cable.cut()
	if err := <-failed; retry.ClassOf(err) != retry.Unreachable {
		t.Errorf("got %v (%v)", err, retry.ClassOf(err))
	}
	transporttest.Eventually(t, "the agent and its command are gone", func() bool {
		return len(agentsOf(s.dir)) == 0 && !transporttest.Runs(child)
	})
}

func TestAgentUnderSudo(t *testing.T) {
	tests := []struct {
		name string
		rule string
		give func(u user) string // nil: there is no password to give
		asks int
		err  string
	}{
		{"without a password", "ALL=(ALL) NOPASSWD: ALL", nil, 0, ""},
		{"with the password", "ALL=(ALL) ALL", func(u user) string { return u.password }, 1, ""},
		{"with a wrong password, once", "ALL=(ALL) ALL", func(user) string { return "not-it" }, 1, "sudo does not accept it"},
		{"with none to give", "ALL=(ALL) ALL", nil, 0, "there is none"},
		{"not allowed", "ALL=(ALL) NOPASSWD: /bin/true", nil, 0, "there is none"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s, u := startSSHD(t), newUser(t, tt.rule)
			if err := os.Chmod(s.path("id.pub"), 0o644); err != nil { // sshd reads it as the user
				t.Fatal(err)
			}
			if err := os.Chown(s.path("home"), ownerOf(t, "/home/"+u.name), -1); err != nil {
				t.Fatal(err)
			}
			target := s.target()
			target.User = u.name
			asked := 0
			o := hostagent.Options{Host: "host1", User: u.name, Agents: hostagenttest.Agents(t)}
			if tt.give != nil {
				o.SudoPassword = func() (string, error) { asked++; return tt.give(u), nil }
			}
			c, err := hostagent.Start(t.Context(), s.connect(t, target), o)
			if err == nil {
				defer c.Close()
				if c.Hello().UID != 0 {
					t.Errorf("the agent runs as %d", c.Hello().UID)
				}
			}
			if asked != tt.asks || tt.err == "" && err != nil || tt.err != "" && (err == nil || !strings.Contains(err.Error(), tt.err)) {
				t.Errorf("asked %d times, got %v, want %d and %q", asked, err, tt.asks, tt.err)
			}
			if tt.err != "" && (!errors.Is(err, hostagent.ErrPassword) || retry.ClassOf(err) != retry.Permanent) {
				t.Errorf("would be tried again: %v", err)
			}
		})
	}
}

// agentLimit is what a host agent may take of a host's memory.
const agentLimit = 8 << 10 // kB

func TestAgentIsSmall(t *testing.T) {
	s := startSSHD(t)
	c, err := hostagent.Start(t.Context(), s.connect(t, s.target()), hostagent.Options{Host: "host1", Agents: hostagenttest.Agents(t)})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	var all []resource.Resource
	for i := range 75 {
		name := s.path(fmt.Sprint("file", i))
		s.write(t, filepath.Base(name), strings.Repeat("0123456789abcde\n", 64))
		all = append(all, &file.Resource{Path: name, Content: strings.Repeat("0123456789abcde\n", 64)})
	}
	for i := range 10 {
		all = append(all, &accounts.Resource{Name: fmt.Sprint("nobody", i)}, &pkg.Resource{Name: fmt.Sprint("nothing", i)})
	}
	observe := func() {
		if _, err := c.Observe(t.Context(), all, nil); err != nil {
			t.Fatal(err)
		}
	}
	observe()
	if kB := statusOf(t, s.dir, "VmHWM"); kB > agentLimit {
		t.Errorf("it takes up to %d kB to observe %d resources", kB, len(all))
	}
	for range 20 {
		observe()
	}
	transporttest.Eventually(t, "memory goes back to the system", func() bool { return statusOf(t, s.dir, "VmRSS") < agentLimit })
}

// statusOf returns a value, in kB, from /proc/PID/status (proc(5)) of the one
// agent below dir.
func statusOf(t *testing.T, dir, name string) int {
	t.Helper()
	pids := agentsOf(dir)
	if len(pids) != 1 {
		t.Fatalf("agents %v", pids)
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pids[0]))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(status), name+":")
	kB, err := strconv.Atoi(strings.Fields(rest)[0])
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%s: %d kB", name, kB)
	return kB
}

// BenchmarkEnter measures how long it takes to enter many hosts at once, all of
// which are one server here: connection, agent, one observation.
func BenchmarkEnter(b *testing.B) {
	s := startSSHD(b)
	agents := hostagenttest.Agents(b)
	const hosts = 50
	for _, handshakes := range []int{2, 4, 8, 16, 50} {
		b.Run(fmt.Sprint("handshakes=", handshakes), func(b *testing.B) {
			for b.Loop() {
				enterAll(b, s, agents, hosts, handshakes)
			}
			b.ReportMetric(float64(b.Elapsed().Milliseconds())/float64(b.N)/hosts, "ms/host")
		})
	}
}

func enterAll(b *testing.B, s *sshd, agents map[string]hostagent.Binary, hosts, handshakes int) {
	f := fleet.New(fleet.Options{
		Target: func(string) (transport.Target, error) { return s.target(), nil },
		Dialer: new(sshtransport.Dialer), Start: fleet.StartWith(agents), Handshakes: handshakes,
	})
	defer f.Close()
	ctx, cancel := context.WithTimeout(b.Context(), time.Minute)
	defer cancel()
	var wg sync.WaitGroup
	for i := range hosts {
		wg.Go(func() {
			n := &engine.Node{ID: "x", Body: fleet.Body(&file.Resource{Path: "/etc/passwd", Content: "x"})}
			if _, err := f.Observe(ctx, fmt.Sprint("host", i), []*engine.Node{n}); err != nil {
				b.Error(err)
			}
		})
	}
	wg.Wait()
}
