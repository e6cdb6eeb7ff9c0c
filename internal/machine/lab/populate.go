package lab

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/updraft-cloud/updraft/internal/aptconf"
	"github.com/updraft-cloud/updraft/internal/machine"
)

// tree is the file system of a machine as seen by the provider: changes go to
// top, and what is not there is read from base. A machine that runs is changed
// through /proc/PID/root, never below the feet of its mounted overlay.
type tree struct{ top, base string }

func (t tree) read(name string) (string, error) {
	b, err := os.ReadFile(filepath.Join(t.top, name))
	if errors.Is(err, fs.ErrNotExist) && t.base != "" {
		b, err = os.ReadFile(filepath.Join(t.base, name))
	}
	return string(b), err
}

func (t tree) write(name, content string, mode fs.FileMode) error {
	return writeFile(filepath.Join(t.top, name), content, mode)
}

// populate writes what tells the machine from others of its image. Everything
// that is there already stays.
func populate(t tree, m machine.Machine, mirror aptconf.Mirror) error {
	id := make([]byte, 16)
	if _, err := rand.Read(id); err != nil {
		return err
	}
	sources := fmt.Sprintf("deb %s %s main\n", mirror.URI, settingsOf(m.Settings).suite())
	if mirror.Security != "" {
		sources += fmt.Sprintf("deb %s %s-security main\n", mirror.Security, settingsOf(m.Settings).suite())
	}
	if mirror.URI == "" {
		sources = ""
	}
	for _, f := range []struct{ name, content string }{
		{"etc/machine-id", hex.EncodeToString(id) + "\n"},
		{"etc/hostname", m.Name + "\n"},
		{"etc/hosts", "127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n127.0.1.1 " + m.Name + "\n"},
		{"etc/apt/sources.list", sources},
		{"etc/resolv.conf", resolvConf(m.DNS)},
	} {
		if _, err := os.Stat(filepath.Join(t.top, f.name)); err == nil {
			continue
		}
		if err := t.write(f.name, f.content, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// resolvConf is a resolv.conf(5), of which resolvers read three name servers.
func resolvConf(servers []netip.Addr) string {
	var b strings.Builder
	for _, a := range servers {
		b.WriteString("nameserver " + a.String() + "\n")
	}
	return b.String()
}

// resolve writes the name servers of a machine that had others before, unless
// its resolv.conf was taken over by something else since.
func resolve(t tree, m, old machine.Machine) error {
	now, err := t.read("etc/resolv.conf")
	if err = ignore(err, fs.ErrNotExist); err != nil || now != resolvConf(old.DNS) || slices.Equal(old.DNS, m.DNS) {
		return err
	}
	return t.write("etc/resolv.conf", resolvConf(m.DNS), 0o644)
}

var userName = regexp.MustCompile(`^[a-z_][a-z0-9_-]{0,31}$`)

// admit lets the login user in with its key and, unless it is root, makes it
// and gives it sudo without a password.
func admit(t tree, a machine.Access) error {
	user, home, id := a.User, "root", 0
	if user == "" {
		user = "root"
	}
	if !userName.MatchString(user) {
		return fmt.Errorf("login user %q is not a valid user name", a.User)
	}
	if user != "root" {
		var err error
		if id, err = ensureUser(t, user); err != nil {
			return err
		}
		home = "home/" + user
		rule := user + " ALL=(ALL:ALL) NOPASSWD: ALL\n"
		if err := t.write("etc/sudoers.d/updraft-"+user, rule, 0o440); err != nil {
			return err
		}
	}
	if a.PublicKey == "" {
		return nil
	}
	if err := t.authorise(home+"/.ssh", strings.TrimSpace(a.PublicKey)); err != nil {
		return err
	}
	if user == "root" {
		return nil
	}
	return chownAll(filepath.Join(t.top, home), id)
}

// authorise adds the key to the authorized_keys in dir.
func (t tree) authorise(dir, key string) error {
	if err := os.MkdirAll(filepath.Join(t.top, filepath.Dir(dir)), 0o700); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Join(t.top, dir), 0o700); err != nil {
		return err
	}
	old, err := t.read(dir + "/authorized_keys")
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for line := range strings.Lines(old) {
		if strings.TrimSpace(line) == key {
			return nil
		}
	}
	return t.write(dir+"/authorized_keys", old+key+"\n", 0o600)
}

// ensureUser adds the user to the files of passwd(5) and returns its ID.
func ensureUser(t tree, user string) (int, error) {
	passwd, err := t.read("etc/passwd")
	if err != nil {
		return 0, err
	}
	id := 1000
	for line := range strings.Lines(passwd) {
		f := strings.Split(line, ":")
		var got int
		if len(f) < 3 {
			continue
		}
		if _, err := fmt.Sscan(f[2], &got); err == nil && f[0] == user {
			return got, nil
		} else if err == nil && got >= id && got < 60000 {
			id = got + 1
		}
	}
	for _, f := range []struct {
		name, line string
		mode       fs.FileMode
	}{
		{"etc/group", fmt.Sprintf("%s:x:%d:\n", user, id), 0o644},
		{"etc/shadow", fmt.Sprintf("%s:*:20000:0:99999:7:::\n", user), 0o640},
		{"etc/passwd", fmt.Sprintf("%s:x:%d:%d::/home/%s:/bin/bash\n", user, id, id, user), 0o644},
	} {
		old, err := t.read(f.name)
		if err != nil {
			return 0, err
		}
		if err := t.write(f.name, old+f.line, f.mode); err != nil {
			return 0, err
		}
	}
	return id, nil
}

func chownAll(dir string, id int) error {
	return filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Lchown(path, id, id)
	})
}
