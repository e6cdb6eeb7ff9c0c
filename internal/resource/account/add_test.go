package account_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/updraft-cloud/updraft/internal/resource"
	"github.com/updraft-cloud/updraft/internal/resource/account"
	"github.com/updraft-cloud/updraft/internal/resource/fakehost"
	"github.com/updraft-cloud/updraft/internal/resource/original"
)

func write(t *testing.T, h *fakehost.Host, path, text string) {
	t.Helper()
	if err := h.WriteFile(path, []byte(text), resource.Access{Mode: 0o644}); err != nil {
		t.Fatal(err)
	}
}

// line returns the line of a name in a file below /etc, today's date as DAY.
func line(t *testing.T, h *fakehost.Host, file, name string) string {
	t.Helper()
	data, err := h.ReadFile("/etc/" + file)
	if err != nil {
		t.Fatal(err)
	}
	for l := range strings.Lines(string(data)) {
		if strings.HasPrefix(l, name+":") {
			f := strings.Split(strings.TrimSuffix(l, "\n"), ":")
			if file == "shadow" && len(f) == 9 {
				f[2] = "DAY"
			}
			return strings.Join(f, ":")
		}
	}
	return ""
}

func TestAddWritesWhatUseraddDoes(t *testing.T) {
	h := fakehost.New()
	write(t, h, "/etc/subuid", "old:100000:65536\n")
	write(t, h, "/etc/subgid", "old:100000:65536\nolder:300000:65536\n")
	made, err := account.Add(t.Context(), h, []account.NewUser{
		{Name: "a", UID: 3001, Home: "/home/a", Shell: "/bin/bash"},
		{Name: "b", Home: "/srv/b", Shell: "/bin/sh", Comment: "B", Group: "users", Groups: []string{"sudo", "adm"}, Hash: "$6$x$y"},
		{Name: "c", Home: "/home/c", Shell: "/bin/sh", Group: "27", Groups: []string{"sudo"}},
	})
	if err != nil || !slices.Equal(made, []string{"a", "b", "c"}) {
		t.Fatal(made, err)
	}
	for _, c := range []struct{ file, name, want string }{
		{"passwd", "a", "a:x:3001:3001::/home/a:/bin/bash"},
		{"passwd", "b", "b:x:3002:100:B:/srv/b:/bin/sh"},
		{"passwd", "c", "c:x:3003:27::/home/c:/bin/sh"},
		{"shadow", "a", "a:!:DAY:0:99999:7:::"},
		{"shadow", "b", "b:$6$x$y:DAY:0:99999:7:::"},
		{"group", "a", "a:x:3001:"},
		{"gshadow", "a", "a:!::"},
		{"group", "b", ""},
		{"group", "sudo", "sudo:x:27:b,c"},
		{"gshadow", "sudo", "sudo:*::b,c"},
		{"subuid", "a", "a:165536:65536"},
		{"subuid", "b", "b:231072:65536"},
		{"subgid", "a", "a:165536:65536"},
		{"subgid", "b", "b:231072:65536"},
		{"subgid", "c", "c:365536:65536"},
	} {
		if got := line(t, h, c.file, c.name); got != c.want {
			t.Errorf("%s has %q, want %q", c.file, got, c.want)
		}
	}
	if fi, err := h.Stat("/etc/shadow"); err != nil || fi.Mode != 0o640 {
		t.Errorf("mode of shadow is %o, %v", fi.Mode, err)
	}
}

func TestAddLeavesToUseradd(t *testing.T) {
	plain := account.NewUser{Name: "u", UID: 3001, Home: "/home/u", Shell: "/bin/sh"}
	with := func(f func(*account.NewUser)) account.NewUser { u := plain; f(&u); return u }
	file := func(path, text string) func(*testing.T, *fakehost.Host) {
		return func(t *testing.T, h *fakehost.Host) { write(t, h, path, text) }
	}
	dir := func(path string) func(*testing.T, *fakehost.Host) {
		return func(t *testing.T, h *fakehost.Host) {
			if err := h.Change(func(f *fakehost.FS) error { return f.MkdirAll(path) }); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, c := range []struct {
		reason string
		given  func(*testing.T, *fakehost.Host)
		user   account.NewUser
	}{
		{"a number that is taken", nil, with(func(u *account.NewUser) { u.UID = 33 })},
		{"a number outside of those of people", nil, with(func(u *account.NewUser) { u.UID = 70000 })},
		{"a number whose group is taken", file("/etc/group", "x:x:3001:\n"), plain},
		{"a group of the name", file("/etc/group", "u:x:4000:\n"), plain},
		{"a group that is not there", nil, with(func(u *account.NewUser) { u.Group = "none" })},
		{"a further group that is not there", nil, with(func(u *account.NewUser) { u.Groups = []string{"none"} })},
		{"a shell that only useradd knows", nil, with(func(u *account.NewUser) { u.Shell = "" })},
		{"a user that is there", nil, with(func(u *account.NewUser) { u.Name = "daemon" })},
		{"a directory service", file("/etc/nsswitch.conf", "passwd: files sss\n"), plain},
		{"entries of NIS", file("/etc/passwd", "root:x:0:0::/root:/bin/sh\n+::::::\n"), plain},
		{"a cache", file("/usr/sbin/nscd", ""), plain},
		{"labels", dir("/sys/fs/selinux/enforce"), plain},
		{"hooks", dir("/etc/shadow-maint/useradd-post.d"), plain},
		{"a mail spool", file("/etc/default/useradd", "CREATE_MAIL_SPOOL=yes\n"), plain},
		{"accounts that expire", file("/etc/default/useradd", "INACTIVE=30\n"), plain},
		{"numbers that cannot be read", file("/etc/login.defs", "UID_MIN many\n"), plain},
		{"a last login of an earlier user", file("/var/log/lastlog", strings.Repeat("x", 3002*32)), plain},
		{"no room for subordinate numbers", file("/etc/subuid", "x:100000:600000000\n"), plain},
	} {
		t.Run(c.reason, func(t *testing.T) {
			h := fakehost.New()
			if err := h.Change(func(f *fakehost.FS) error { return f.MkdirAll("/etc/default") }); err != nil {
				t.Fatal(err)
			}
			if c.given != nil {
				c.given(t, h)
			}
			before := h.Changes()
			made, err := account.Add(t.Context(), h, []account.NewUser{c.user})
			if err != nil || len(made) > 0 || h.Changes() != before {
				t.Errorf("made %v with %d changes, %v", made, h.Changes()-before, err)
			}
		})
	}
}

// TestAddCutOffAnywhere holds that users are there whole or, after Recover, not
// at all.
func TestAddCutOffAnywhere(t *testing.T) {
	users := []account.NewUser{
		{Name: "a", UID: 3001, Home: "/home/a", Shell: "/bin/sh", Groups: []string{"sudo"}},
		{Name: "b", Home: "/home/b", Shell: "/bin/sh", Group: "users"},
	}
	files := []string{"passwd", "shadow", "group", "gshadow", "subuid"}
	read := func(h *fakehost.Host) (all string) {
		for _, f := range files {
			data, _ := h.ReadFile("/etc/" + f) // a missing one shows as empty
			all += string(data)
		}
		return all
	}
	for steps := 0; ; steps++ {
		h := fakehost.New()
		write(t, h, "/etc/subuid", "")
		before := read(h)
		h.CutAfter(steps)
		made, err := account.Add(t.Context(), h, users)
		if err == nil {
			if len(made) != 2 || steps < 6 {
				t.Fatalf("made %v after %d steps", made, steps)
			}
			return
		}
		if !errors.Is(err, fakehost.ErrPowerCut) {
			t.Fatal(err)
		}
		h.PowerOn()
		if err := account.Recover(t.Context(), h); err != nil {
			t.Fatalf("after %d steps: %v", steps, err)
		}
		whole := line(t, h, "passwd", "a") != ""
		if after := read(h); !whole && after != before || whole && line(t, h, "shadow", "a") == "" {
			t.Errorf("after %d steps:\n%s", steps, after)
		}
		if notes, err := h.ReadDir(original.Dir); len(notes) > 0 {
			t.Errorf("after %d steps a note stays: %v, %v", steps, notes, err)
		}
	}
}
