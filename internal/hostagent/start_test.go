package hostagent_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/updraft-cloud/updraft/internal/hostagent"
	"github.com/updraft-cloud/updraft/internal/hostagent/hostagenttest"
	"github.com/updraft-cloud/updraft/internal/retry"
	"github.com/updraft-cloud/updraft/internal/transport"
	"github.com/updraft-cloud/updraft/internal/transport/ssh"
	"github.com/updraft-cloud/updraft/internal/transport/ssh/sshtest"
)

func connect(t *testing.T, s *sshtest.Server) transport.Conn {
	t.Helper()
	c, err := new(ssh.Dialer).Connect(t.Context(), s.Target())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func cached(t *testing.T, s *sshtest.Server) []string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(s.Home(), ".cache/updraft", "*"))
	if err != nil {
		t.Fatal(err)
	}
	hidden, _ := filepath.Glob(filepath.Join(s.Home(), ".cache/updraft", ".new*"))
	return append(names, hidden...)
}

func TestAgentIsPushedOnceAndRemoved(t *testing.T) {
	s := sshtest.New(t, sshtest.Options{})
	conn := connect(t, s)
	o := hostagent.Options{Host: "host1", Agents: hostagenttest.Agents(t)}
	for range 2 {
		c, err := hostagent.Start(t.Context(), conn, o)
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range o.Agents {
			if c.Hello().Build != a.SHA {
				t.Errorf("build %s, want %s", c.Hello().Build, a.SHA)
			}
			o.Agents = map[string]hostagent.Binary{c.Hello().Arch: {SHA: a.SHA}} // a second push would be empty
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}
	if got := cached(t, s); len(got) != 1 {
		t.Errorf("left in the cache: %v", got)
	}
	if fi, err := os.Stat(filepath.Join(s.Home(), ".cache/updraft")); err != nil || fi.Mode().Perm() != 0o700 {
		t.Errorf("%v, %v", fi.Mode(), err)
	}
	if err := hostagent.RemoveAgent(t.Context(), conn); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Join(s.Home(), ".cache")); !os.IsNotExist(err) {
		t.Errorf("the cache is still there: %v", err)
	}
}

func TestSudo(t *testing.T) {
	give := func(p string) func() (string, error) { return func() (string, error) { return p, nil } }
	tests := []struct {
		name    string
		wants   string
		have    func() (string, error)
		err     string
		answers int
	}{
		{"no password wanted, none given", "", nil, "", 0},
		{"no password wanted, so none is sent", "", give("hush"), "", 0},
		{"the right password", "hush", give("hush"), "", 1},
		{"a wrong password is tried once", "hush", give("wrong-one"), "sudo does not accept it for tester", 1},
		{"no password to give", "hush", nil, "there is none", 0},
		{"the password cannot be had", "hush", func() (string, error) { return "", errors.New("no terminal") }, "no terminal", 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			sudo := sshtest.NewSudo(t, tt.wants)
			s := sshtest.New(t, sshtest.Options{Env: []string{sudo.Env()}})
			var log strings.Builder
			c, err := hostagent.Start(t.Context(), connect(t, s), hostagent.Options{
				Host: "host1", User: "tester", SudoPassword: tt.have, Agents: hostagenttest.Agents(t),
				Log: func(line string) { log.WriteString(line) },
			})
			if err == nil {
				defer c.Close()
			}
			switch {
			case tt.err == "" && err != nil, tt.err != "" && (err == nil || !strings.Contains(err.Error(), tt.err)):
				t.Errorf("got %v, want %q", err, tt.err)
			case retry.ClassOf(err) != retry.Permanent:
				t.Errorf("would be tried again: %v", err)
			}
			if got := sudo.Answers(); len(got) != tt.answers {
				t.Errorf("answers given: %q, want %d", got, tt.answers)
			}
			if err != nil && strings.Contains(err.Error(), "wrong-one") || strings.Contains(log.String(), "hush") {
				t.Errorf("the password is in %v or %q", err, log.String())
			}
		})
	}
}

func TestStartFailures(t *testing.T) {
	tests := []struct {
		name   string
		break_ func(t *testing.T, s *sshtest.Server, agents map[string]hostagent.Binary)
		err    string
		class  retry.Class
	}{
		{
			"no room for the agent",
			func(t *testing.T, s *sshtest.Server, _ map[string]hostagent.Binary) {
				if err := os.WriteFile(filepath.Join(s.Home(), ".cache"), nil, 0o600); err != nil {
					t.Fatal(err)
				}
			},
			".cache", retry.Permanent,
		},
		{
			"an agent that is damaged on the way is not run",
			func(_ *testing.T, _ *sshtest.Server, agents map[string]hostagent.Binary) {
				for arch, a := range agents {
					agents[arch] = hostagent.Binary{GZ: a.GZ[:len(a.GZ)/2], SHA: a.SHA}
				}
			},
			"unexpected end of file", retry.Permanent,
		},
		{
			"another architecture",
			func(_ *testing.T, _ *sshtest.Server, agents map[string]hostagent.Binary) { clear(agents) },
			"no host agent for its architecture", retry.Permanent,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := sshtest.New(t, sshtest.Options{})
			agents := map[string]hostagent.Binary{}
			for arch, a := range hostagenttest.Agents(t) {
				agents[arch] = a
			}
			tt.break_(t, s, agents)
			_, err := hostagent.Start(t.Context(), connect(t, s), hostagent.Options{Host: "host1", Agents: agents})
			if err == nil || !strings.Contains(err.Error(), tt.err) || retry.ClassOf(err) != tt.class {
				t.Errorf("got %v (%v), want %q (%v)", err, retry.ClassOf(err), tt.err, tt.class)
			}
			if got := cached(t, s); len(got) != 0 {
				t.Errorf("left behind: %v", got)
			}
		})
	}
}

func TestConnectionCutWhileStartingIsUnreachable(t *testing.T) {
	sudo := sshtest.NewSudo(t, "hush")
	s := sshtest.New(t, sshtest.Options{Env: []string{sudo.Env()}})
	_, err := hostagent.Start(t.Context(), connect(t, s), hostagent.Options{
		Host: "host1", User: "tester", Agents: hostagenttest.Agents(t),
		SudoPassword: func() (string, error) { s.Cut(); return "hush", nil },
	})
	if retry.ClassOf(err) != retry.Unreachable {
		t.Errorf("got %v (%v)", err, retry.ClassOf(err))
	}
}

func TestOnlyAClockThatIsCertainlyOffIsOff(t *testing.T) {
	s := sshtest.New(t, sshtest.Options{})
	agents := hostagenttest.Agents(t)
	for _, c := range []struct {
		rule string
		off  time.Duration // of this computer's clock
		slow time.Duration // how long the agent took to come, by it
		want time.Duration
	}{
		{rule: "the same"},
		{rule: "the same, said late", slow: time.Hour},
		{rule: "a host that is ahead", off: -5 * time.Minute, want: 5 * time.Minute},
		{rule: "a host that is behind", off: 5 * time.Minute, want: -5 * time.Minute},
	} {
		t.Run(c.rule, func(t *testing.T) {
			looked := false
			now := func() time.Time {
				at := time.Now().Add(c.off)
				if looked {
					at = at.Add(c.slow)
				}
				looked = true
				return at
			}
			a, err := hostagent.Start(t.Context(), connect(t, s), hostagent.Options{Host: "h", Agents: agents, Now: now})
			if err != nil {
				t.Fatal(err)
			}
			defer a.Close()
			if got := a.Ahead(); (got-c.want).Abs() > time.Minute || (c.want == 0) != (got == 0) {
				t.Errorf("it is ahead by %v, want %v", got, c.want)
			}
		})
	}
}
