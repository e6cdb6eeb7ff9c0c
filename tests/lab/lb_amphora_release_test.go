package lab_test

import (
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/updraft-cloud/updraft/internal/aptconf"
	"github.com/updraft-cloud/updraft/internal/lb/amphora"
	"github.com/updraft-cloud/updraft/internal/lb/amphora/render"
	"github.com/updraft-cloud/updraft/internal/lb/amphora/render/rendertest"
	"github.com/updraft-cloud/updraft/internal/lb/model"
)

// trixie unpacks HAProxy of Debian 13 with what it needs. Nothing of it is
// configured, which HAProxy does not miss.
func trixie(t *testing.T) string {
	t.Helper()
	m, err := aptconf.HostMirror("trixie")
	if err != nil {
		t.Fatal(err)
	}
	root := filepath.Join(t.TempDir(), "trixie")
	args := []string{"--mode=root", "--variant=extract", "--include=haproxy"}
	if m.Keyring != "" {
		args = append(args, "--keyring="+m.Keyring)
	}
	if out, err := exec.Command("mmdebstrap", append(args, "trixie", root, m.URI)...).CombinedOutput(); err != nil {
		t.Fatalf("mmdebstrap: %v: %s", err, out)
	}
	for _, dir := range []string{"lib", "lib64"} {
		if err := os.Symlink("usr/"+dir, filepath.Join(root, dir)); err != nil && !os.IsExist(err) {
			t.Fatal(err)
		}
	}
	for _, dir := range []string{"proc", "dev", "tmp"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func version(t *testing.T, command ...string) string {
	t.Helper()
	out, err := exec.Command(command[0], append(command[1:], "-v")...).Output()
	if err != nil {
		t.Fatal(err)
	}
	line, _, _ := strings.Cut(string(out), "\n")
	return line
}

// TestAmphoraConfigurationsAreTakenByTheirPrograms has the real programs of both
// releases look at everything that can be rendered.
func TestAmphoraConfigurationsAreTakenByTheirPrograms(t *testing.T) {
	needAmphora(t)
	tree, place := rendertest.Everything(rendertest.Plain())
	rendertest.Real(t, &place)
	c, err := render.Config(tree, place)
	if err != nil {
		t.Fatal(err)
	}
	t.Log(version(t, "haproxy"))
	if err := rendertest.Accept(c, t.TempDir(), "haproxy", "-c", "-f", "haproxy.cfg"); err != nil {
		t.Error(err)
	}
	dir := t.TempDir()
	conf := filepath.Join(dir, "keepalived.conf")
	if err := os.WriteFile(conf, []byte(strings.ReplaceAll(c.Keepalived, amphora.DirMark, dir)), 0o600); err != nil {
		t.Fatal(err)
	}
	b := newBalancing(t)
	a := b.space("check")
	b.plug("check", "192.0.2.11/24") // keepalived asks for the interface
	run := func(name string, args ...string) {
		t.Helper()
		cmd := exec.Command(name, args...)
		cmd.Stdin = strings.NewReader(amphora.Ruleset(nil, c.Virtuals, func(string, string) bool { return true }))
		var out []byte
		if err := a.Do(func() (err error) { out, err = cmd.CombinedOutput(); return err }); err != nil {
			t.Errorf("%s: %v: %s", name, err, out)
		}
	}
	run("keepalived", "--config-test", "-f", conf)
	run("nft", "-c", "-f", "-")
}

// TestAmphoraOfTrixie runs the agent with HAProxy 3.0.
func TestAmphoraOfTrixie(t *testing.T) {
	needAmphora(t)
	root := trixie(t)
	t.Log(version(t, "chroot", root, "/usr/sbin/haproxy"))
	tree, place := rendertest.Everything(rendertest.Plain())
	rendertest.Real(t, &place)
	c, err := render.Config(tree, place)
	if err != nil {
		t.Fatal(err)
	}
	if err := rendertest.Accept(c, filepath.Join(root, "tmp"), "chroot", root, "/usr/sbin/haproxy", "-C", "/tmp", "-c", "-f", "haproxy.cfg"); err != nil {
		t.Error(err)
	}
	b := newBalancing(t)
	b.root = root
	data, err := os.ReadFile(b.bin)
	if err == nil {
		err = os.WriteFile(filepath.Join(root, "updraft-amphora"), data, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	a := b.amphora(1)
	s := a.scene()
	pool := s.pool(model.ProtocolHTTP, model.RoundRobin)
	s.monitor(pool, model.MonitorHTTP)
	s.member(pool, b.web(10, nil).at)
	s.listener(model.ProtocolHTTP, 80, pool)
	a.apply(s)
	status, err := a.client.Status(t.Context())
	if err != nil || !strings.Contains(status.HAProxy, " 3.") {
		t.Fatalf("%+v, %v", status, err)
	}
	tr := b.traffic("http://10.77.0.100/")
	more := b.web(11, nil)
	for range 3 {
		s.member(pool, more.at)
		if done := a.apply(s); done.By != amphora.ByRuntime {
			t.Errorf("a member added: %+v", done)
		}
		if got := b.spread(b.browser(nil), "http://10.77.0.100/", 40); len(got) != 2 {
			t.Errorf("answered by %v", got)
		}
		s.Listeners[0].TimeoutClientData += 1000
		if done := a.apply(s); done.By != amphora.ByReload {
			t.Errorf("a timeout: %+v", done)
		}
		s.Members = s.Members[:1]
		if done := a.apply(s); done.By != amphora.ByRuntime {
			t.Errorf("a member removed: %+v", done)
		}
	}
	tr.end(t)
	if res, _ := b.must(b.browser(nil), "http://10.77.0.100/"); res.StatusCode != http.StatusOK {
		t.Error(res.Status)
	}
	pool.SessionPersistence = &model.SessionPersistence{Type: model.PersistHTTPCookie}
	a.apply(s)
	added := s.member(pool, more.at)
	if done := a.apply(s); done.By != amphora.ByRuntime {
		t.Errorf("a member of a pool with cookies was added: %+v", done)
	}
	if got := b.spread(b.browser(nil), "http://10.77.0.100/", 6, "Cookie: SRV="+added.ID); got["m11"] != 6 {
		t.Errorf("its clients came to %v", got)
	}
}
