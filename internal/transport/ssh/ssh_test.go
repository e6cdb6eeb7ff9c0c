package ssh

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/updraft-cloud/updraft/internal/retry"
	"github.com/updraft-cloud/updraft/internal/transport"
	"github.com/updraft-cloud/updraft/internal/transport/ssh/sshtest"
	"github.com/updraft-cloud/updraft/internal/transport/transporttest"
)

func connect(t *testing.T, target transport.Target) *Conn {
	t.Helper()
	c, err := new(Dialer).Connect(t.Context(), target)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c.(*Conn)
}

func TestSuite(t *testing.T) {
	s := sshtest.New(t, sshtest.Options{})
	transporttest.Suite(t, transporttest.Config{
		Connect: func(t *testing.T) transport.Conn { return connect(t, s.Target()) },
		Alive:   transporttest.Runs,
		Dials:   true,
	})
}

func TestSuiteThroughJumpHost(t *testing.T) {
	jump, s := sshtest.New(t, sshtest.Options{}), sshtest.New(t, sshtest.Options{})
	via, target := jump.Target(), s.Target()
	target.Jump = &via
	transporttest.Suite(t, transporttest.Config{
		Connect: func(t *testing.T) transport.Conn { return connect(t, target) },
		Alive:   transporttest.Runs,
		Dials:   true,
	})
	transporttest.Eventually(t, "the jump host is left", func() bool { return jump.Connections() == 0 })
}

func TestJumpConnectionIsShared(t *testing.T) {
	jump, s := sshtest.New(t, sshtest.Options{}), sshtest.New(t, sshtest.Options{})
	via, target := jump.Target(), s.Target()
	target.Jump = &via
	var d Dialer
	var wg sync.WaitGroup
	for range 10 {
		wg.Go(func() {
			c, err := d.Connect(t.Context(), target)
			if err != nil {
				t.Error(err)
				return
			}
			t.Cleanup(func() { c.Close() })
		})
	}
	wg.Wait()
	if n := jump.Logins(); n != 1 {
		t.Errorf("%d logins at the jump host, want 1", n)
	}
}

func TestMoreCommandsThanSessionsWaitForOneToEnd(t *testing.T) {
	s := sshtest.New(t, sshtest.Options{MaxSessions: 10})
	c := connect(t, s.Target())
	var wg sync.WaitGroup
	for i := range 25 {
		wg.Go(func() {
			if _, _, err := transporttest.Run(t.Context(), c, "sleep 0.02", nil); err != nil {
				t.Errorf("command %d: %v", i, err)
			}
		})
	}
	wg.Wait()
}

func TestGuardKillsWhatOutlivesTheConnection(t *testing.T) {
	s := sshtest.New(t, sshtest.Options{})
	c := connect(t, s.Target())
	p, err := c.Start(t.Context(), "echo $$; sleep 1000 & wait")
	if err != nil {
		t.Fatal(err)
	}
	var pid int
	if _, err := fmt.Fscan(p.Stdout(), &pid); err != nil || !transporttest.Runs(pid) {
		t.Fatal(pid, err)
	}
	s.Cut()
	<-c.Done()
	if err := p.Wait(); !errors.Is(err, transport.ErrClosed) || retry.ClassOf(err) != retry.Unreachable {
		t.Errorf("Wait: %v (%v)", err, retry.ClassOf(err))
	}
	transporttest.Eventually(t, "the command is killed", func() bool { return !transporttest.Runs(pid) })
}

func TestWaitInACommandDoesNotWaitForTheGuard(t *testing.T) {
	s := sshtest.New(t, sshtest.Options{})
	out, _, err := transporttest.Run(t.Context(), connect(t, s.Target()), "wait; echo done 'it''s' \"$0\"", nil)
	if err != nil || string(out) != "done its /bin/sh\n" {
		t.Errorf("got %q, %v", out, err)
	}
}

func TestErrorsOfConnect(t *testing.T) {
	other := filepath.Join(t.TempDir(), "other")
	sshtest.WriteKey(t, other)
	missing := filepath.Join(t.TempDir(), "missing")
	tests := []struct {
		name   string
		change func(*sshtest.Server, *transport.Target)
		is     error
		class  retry.Class
		text   []string
	}{
		{
			"a changed host key is refused with a way out",
			func(s *sshtest.Server, _ *transport.Target) { s.SetHostKeys(sshtest.NewKey(t)) },
			transport.ErrHostKeyChanged, retry.Permanent,
			[]string{"known_hosts:1 has ssh-ed25519 SHA256:", "ssh-keygen -R '[127.0.0.1]:", "updraft ssh --accept-new-key host1"},
		},
		{
			"AcceptNew does not accept a changed host key",
			func(s *sshtest.Server, t_ *transport.Target) { s.SetHostKeys(sshtest.NewKey(t)); t_.AcceptNew = true },
			transport.ErrHostKeyChanged, retry.Permanent, nil,
		},
		{
			"an unknown host is refused",
			func(_ *sshtest.Server, t *transport.Target) { t.KnownHosts = missing },
			nil, retry.Permanent, []string{"is not in " + missing},
		},
		{
			"a host without known_hosts file is refused",
			func(_ *sshtest.Server, t *transport.Target) { t.KnownHosts = "" },
			nil, retry.Permanent, []string{"no known_hosts file"},
		},
		{
			"a refused key says which",
			func(_ *sshtest.Server, t *transport.Target) { t.Identities = []string{other} },
			transport.ErrAuth, retry.Permanent, []string{"as tester", other},
		},
		{
			"no key at all",
			func(_ *sshtest.Server, t *transport.Target) { t.Identities = nil },
			transport.ErrAuth, retry.Permanent, []string{"no key to offer"},
		},
		{
			"a missing identity",
			func(_ *sshtest.Server, t *transport.Target) { t.Identities = []string{missing} },
			nil, retry.Permanent, []string{missing},
		},
		{
			"nobody listens",
			func(_ *sshtest.Server, t *transport.Target) { t.Port = 1 },
			nil, retry.Unreachable, []string{"cannot reach host1 (127.0.0.1:1)", "refused"},
		},
		{
			"a jump host that forbids forwarding",
			func(s *sshtest.Server, target *transport.Target) {
				jump := sshtest.New(t, sshtest.Options{NoForwarding: true}).Target()
				target.Jump = &jump
			},
			nil, retry.Permanent, []string{"prohibited"},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := sshtest.New(t, sshtest.Options{})
			target := s.Target()
			tt.change(s, &target)
			_, err := new(Dialer).Connect(t.Context(), target)
			if err == nil || tt.is != nil && !errors.Is(err, tt.is) || retry.ClassOf(err) != tt.class {
				t.Fatalf("got %v (%v), want %v (%v)", err, retry.ClassOf(err), tt.is, tt.class)
			}
			for _, text := range tt.text {
				if !strings.Contains(err.Error(), text) {
					t.Errorf("%q is not in: %v", text, err)
				}
			}
		})
	}
}

func TestHostWithSeveralKeysIsAskedForTheKnownOne(t *testing.T) {
	s := sshtest.New(t, sshtest.Options{HostKey: ecdsaKey(t)})
	s.SetHostKeys(sshtest.NewKey(t), s.HostKey())
	connect(t, s.Target())
}

func TestAcceptNewAddsEachHostOnce(t *testing.T) {
	dir := t.TempDir()
	known := filepath.Join(dir, "sub", "known_hosts")
	var d Dialer
	var wg sync.WaitGroup
	for i := range 10 {
		target := sshtest.New(t, sshtest.Options{}).Target()
		target.KnownHosts, target.AcceptNew = known, true
		target.HostKeyAlias = fmt.Sprintf("host%d", i)
		for range 2 {
			wg.Go(func() {
				c, err := d.Connect(t.Context(), target)
				if err != nil {
					t.Error(err)
					return
				}
				c.Close()
			})
		}
	}
	wg.Wait()
	data, err := os.ReadFile(known)
	if n := strings.Count(string(data), "\n"); err != nil || n != 10 {
		t.Errorf("%d lines, want 10: %v\n%s", n, err, data)
	}
	if fi, err := os.Stat(known); err != nil || fi.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", fi.Mode(), err)
	}
}

func TestForgetDropsTheKeyOfOneHost(t *testing.T) {
	s, other := sshtest.New(t, sshtest.Options{}), sshtest.New(t, sshtest.Options{})
	target, second := s.Target(), other.Target()
	second.KnownHosts, second.AcceptNew = target.KnownHosts, true
	connect(t, second).Close()
	s.SetHostKeys(sshtest.NewKey(t))
	var d Dialer
	if n, err := d.Forget(target); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	target.AcceptNew = true
	connect(t, target)
	second.AcceptNew = false
	connect(t, second)
}

func TestMuteHostIsGivenUp(t *testing.T) {
	s := sshtest.New(t, sshtest.Options{})
	target := s.Target()
	target.KeepAlive = 10 * time.Millisecond
	c := connect(t, target)
	transporttest.Eventually(t, "the server knows the connection", func() bool { return s.Connections() == 1 })
	s.Mute()
	<-c.Done()
	if err := c.Err(); retry.ClassOf(err) != retry.Unreachable || !strings.Contains(err.Error(), "has not answered for 30ms") {
		t.Errorf("got %v", err)
	}
}

func TestKeepAliveGivesUpAfterThreeMisses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start, mute := time.Now(), make(chan struct{})
		answers := 2
		keepAlive(15*time.Second, nil, func() error {
			if answers--; answers < 0 {
				<-mute
			}
			return nil
		}, func() { close(mute) })
		if took := time.Since(start); took != 6*15*time.Second {
			t.Errorf("gave up after %s, want two answered probes, one unanswered, three misses", took)
		}
	})
}

func TestConnectEndsWithItsContext(t *testing.T) {
	s := sshtest.New(t, sshtest.Options{})
	target := s.Target()
	ctx, cancel := context.WithCancel(t.Context())
	target.Dial = silent(t, cancel)
	_, err := new(Dialer).Connect(ctx, target)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}
