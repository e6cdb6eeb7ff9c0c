package lab_test

import (
	"crypto/rand"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/updraft-cloud/updraft/internal/transport"
	sshtransport "github.com/updraft-cloud/updraft/internal/transport/ssh"
	"github.com/updraft-cloud/updraft/internal/transport/transporttest"
)

// sshd is a real OpenSSH server on the loopback address, for the test's key.
type sshd struct {
	dir  string
	port int
}

// startSSHD starts a server whose logins have dir/home as home.
func startSSHD(t testing.TB) *sshd {
	t.Helper()
	requireRoot(t, "/usr/sbin/sshd", "ssh-keygen")
	s := &sshd{dir: t.TempDir(), port: freePort(t)}
	for _, name := range []string{"id", "host"} {
		if out, err := exec.Command("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", s.path(name)).CombinedOutput(); err != nil {
			t.Fatalf("ssh-keygen: %v: %s", err, out)
		}
	}
	host, err := os.ReadFile(s.path("host.pub"))
	if err != nil {
		t.Fatal(err)
	}
	s.write(t, "known_hosts", fmt.Sprintf("[127.0.0.1]:%d %s", s.port, host))
	s.write(t, "sshd_config", fmt.Sprintf(`ListenAddress 127.0.0.1:%d
HostKey %s
AuthorizedKeysFile %s
PidFile none
StrictModes no
PermitRootLogin prohibit-password
PasswordAuthentication no
UsePAM no
MaxStartups 500
`, s.port, s.path("host"), s.path("id.pub")))
	for _, dir := range []string{"/run/sshd", s.path("home")} {
		if err := os.MkdirAll(dir, 0o755); err != nil { // sshd(8) wants it so
			t.Fatal(err)
		}
	}
	// Users other than root must be able to reach the list of keys.
	for _, dir := range []string{filepath.Dir(s.dir), s.dir} {
		if err := os.Chmod(dir, 0o755); err != nil { // as above
			t.Fatal(err)
		}
	}
	s.run(t)
	return s
}

func (s *sshd) path(name string) string { return filepath.Join(s.dir, name) }

func (s *sshd) write(t testing.TB, name, text string) {
	t.Helper()
	if err := os.WriteFile(s.path(name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func (s *sshd) run(t testing.TB) {
	t.Helper()
	cmd := exec.Command("/usr/sbin/sshd", "-D", "-e", "-f", s.path("sshd_config"), "-o", "SetEnv=HOME="+s.path("home"))
	var log strings.Builder
	cmd.Stderr = &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("sshd said:\n%s", log.String())
		}
	})
	transporttest.Eventually(t, "sshd answers", func() bool {
		c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", s.port))
		if err == nil {
			c.Close()
		}
		return err == nil
	})
}

// target says how to log in as root.
func (s *sshd) target() transport.Target {
	return transport.Target{
		Name: "host1", Address: "127.0.0.1", Port: s.port,
		Identities: []string{s.path("id")}, KnownHosts: s.path("known_hosts"),
	}
}

func (s *sshd) connect(t testing.TB, target transport.Target) transport.Conn {
	t.Helper()
	c, err := new(sshtransport.Dialer).Connect(t.Context(), target)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func requireRoot(t testing.TB, tools ...string) {
	t.Helper()
	missing := ""
	if os.Geteuid() != 0 {
		missing = "root"
	}
	for _, tool := range tools {
		if _, err := exec.LookPath(tool); err != nil {
			missing = tool
		}
	}
	switch {
	case missing == "":
	case strings.Contains(os.Getenv("REQUIRE"), "lab"):
		t.Fatalf("the lab tier needs %s", missing)
	default:
		t.Skipf("needs %s", missing)
	}
}

func ownerOf(t *testing.T, path string) int {
	t.Helper()
	fi, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return int(fi.Sys().(*syscall.Stat_t).Uid)
}

func freePort(t testing.TB) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// cable is a way to a server that can be cut.
type cable struct {
	port int
	mu   sync.Mutex
	ends []net.Conn
}

func newCable(t testing.TB, port int) *cable {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &cable{port: l.Addr().(*net.TCPAddr).Port}
	t.Cleanup(func() { l.Close(); c.cut() })
	go func() {
		for {
			near, err := l.Accept()
			if err != nil {
				return
			}
			c.join(near, port)
		}
	}()
	return c
}

func (c *cable) join(near net.Conn, port int) {
	far, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		near.Close()
		return
	}
	c.mu.Lock()
	c.ends = append(c.ends, near, far)
	c.mu.Unlock()
	go func() { _, _ = io.Copy(near, far) }()
	go func() { _, _ = io.Copy(far, near) }()
}

func (c *cable) cut() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, e := range c.ends {
		e.Close()
	}
}

// user is a user of this computer for the time of a test.
type user struct{ name, password string }

// newUser adds a user who may use sudo with the given rule.
func newUser(t *testing.T, rule string) user {
	t.Helper()
	requireRoot(t, "sudo", "useradd", "chpasswd")
	u := user{name: "updraft-test-" + strings.ToLower(rand.Text()[:6]), password: rand.Text()}
	t.Cleanup(func() {
		if out, err := exec.Command("userdel", "-f", "-r", u.name).CombinedOutput(); err != nil {
			t.Logf("userdel: %v: %s", err, out)
		}
	})
	if out, err := exec.Command("useradd", "-m", "-s", "/bin/bash", u.name).CombinedOutput(); err != nil {
		t.Fatalf("useradd: %v: %s", err, out)
	}
	chpasswd := exec.Command("chpasswd")
	chpasswd.Stdin = strings.NewReader(u.name + ":" + u.password)
	if out, err := chpasswd.CombinedOutput(); err != nil {
		t.Fatalf("chpasswd: %v: %s", err, out)
	}
	sudoers := "/etc/sudoers.d/" + u.name
	t.Cleanup(func() { os.Remove(sudoers) })
	if err := os.WriteFile(sudoers, []byte(u.name+" "+rule+"\n"), 0o440); err != nil {
		t.Fatal(err)
	}
	return u
}
