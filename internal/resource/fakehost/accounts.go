package fakehost

import (
	"context"
	"slices"
	"strconv"
	"strings"

	"github.com/updraft-cloud/updraft/internal/resource"
)

// Accounts are useradd, usermod, userdel, groupadd, groupmod, groupdel and
// chpasswd as Debian's passwd package has them (USERGROUPS_ENAB yes). Their
// state is in /etc/passwd, shadow, group and gshadow; one command is one
// change.
type Accounts struct{}

// Render returns nothing: all is in files.
func (*Accounts) Render(*FS) string { return "" }

const basePasswd = `root:x:0:0:root:/root:/bin/bash
daemon:x:1:1:daemon:/usr/sbin:/usr/sbin/nologin
www-data:x:33:33:www-data:/var/www:/usr/sbin/nologin
nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin
`

const baseGroup = `root:x:0:
daemon:x:1:
adm:x:4:
sudo:x:27:
www-data:x:33:
users:x:100:
nogroup:x:65534:
`

// Install registers the commands and writes the base accounts.
func (a *Accounts) Install(h *Host, f *FS) {
	write := func(name, text string, mode uint32) {
		must(f.WriteFile("/etc/"+name, []byte(text), resource.Access{Mode: mode}))
	}
	write("passwd", basePasswd, 0o644)
	write("group", baseGroup, 0o644)
	write("shadow", shadowOf(basePasswd, ":*:20000:0:99999:7:::"), 0o640)
	write("gshadow", shadowOf(baseGroup, ":*::"), 0o640)
	write(".pwd.lock", "", 0o600)
	write("login.defs", "# shadow-utils\nPASS_MAX_DAYS\t99999\nPASS_MIN_DAYS\t0\nPASS_WARN_AGE\t7\nUID_MIN\t\t 1000\nUID_MAX\t\t60000\n", 0o644)
	h.Handle("useradd", a.useradd)
	h.Handle("usermod", a.usermod)
	h.Handle("userdel", a.userdel)
	h.Handle("groupadd", a.groupadd)
	h.Handle("groupmod", a.groupmod)
	h.Handle("groupdel", a.groupdel)
	h.Handle("chpasswd", a.chpasswd)
}

func shadowOf(text, tail string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		name, _, _ := strings.Cut(line, ":")
		b.WriteString(name + tail + "\n")
	}
	return b.String()
}

// database is one of the account files as rows of fields.
type database struct {
	f    *FS
	path string
	rows [][]string
}

func openDB(f *FS, name string) *database {
	d := &database{f: f, path: "/etc/" + name}
	data, err := f.ReadFile(d.path)
	must(err)
	for line := range strings.Lines(string(data)) {
		d.rows = append(d.rows, strings.Split(strings.TrimRight(line, "\n"), ":"))
	}
	return d
}

func (d *database) save() error {
	var b strings.Builder
	for _, row := range d.rows {
		b.WriteString(strings.Join(row, ":") + "\n")
	}
	fi, err := d.f.Stat(d.path)
	if err != nil {
		return err
	}
	return d.f.WriteFile(d.path, []byte(b.String()), resource.Access{Mode: fi.Mode, UID: fi.UID, GID: fi.GID})
}

// row returns the row with that value in a column, or nil.
func (d *database) row(col int, value string) []string {
	for _, r := range d.rows {
		if r[col] == value {
			return r
		}
	}
	return nil
}

func (d *database) delete(name string) {
	d.rows = slices.DeleteFunc(d.rows, func(r []string) bool { return r[0] == name })
}

// freeID returns an unused number: the first from 1000 up, or from 999 down for
// system accounts, as login.defs has it.
func (d *database) freeID(system bool) string {
	for id := range 50000 {
		n := 1000 + id
		if system {
			n = 999 - id
		}
		if d.row(2, strconv.Itoa(n)) == nil {
			return strconv.Itoa(n)
		}
	}
	return "-1"
}

// groupRow finds a group by name or number.
func groupRow(groups *database, ref string) []string {
	if r := groups.row(0, ref); r != nil {
		return r
	}
	return groups.row(2, ref)
}

// members returns the members of a group's row.
func members(row []string) []string {
	return strings.FieldsFunc(row[3], func(r rune) bool { return r == ',' })
}

func setMember(row []string, user string, in bool) {
	list := slices.DeleteFunc(members(row), func(s string) bool { return s == user })
	if in {
		list = append(list, user)
	}
	row[3] = strings.Join(list, ",")
}

func saveAll(dbs ...*database) error {
	for _, d := range dbs {
		if err := d.save(); err != nil {
			return err
		}
	}
	return nil
}

// edit runs a change of the account files as one change of the host. f returns
// an exit status with its message, or zero.
func edit(h *Host, c resource.Command, f func(d *accountDBs) (int, string)) (resource.Output, error) {
	var code int
	var msg string
	err := h.Change(func(fs *FS) error {
		d := &accountDBs{openDB(fs, "passwd"), openDB(fs, "shadow"), openDB(fs, "group"), openDB(fs, "gshadow")}
		if code, msg = f(d); code != 0 {
			return nil
		}
		return saveAll(d.passwd, d.shadow, d.group, d.gshadow)
	})
	if err == nil && code != 0 {
		return Exit(c, code, "%s: %s", c.Name, msg)
	}
	return resource.Output{}, err
}

type accountDBs struct{ passwd, shadow, group, gshadow *database }

func (d *accountDBs) addGroup(name, gid string) {
	d.group.rows = append(d.group.rows, []string{name, "x", gid, ""})
	d.gshadow.rows = append(d.gshadow.rows, []string{name, "!", "", ""})
}

func (d *accountDBs) setMember(group, user string, in bool) {
	if r := groupRow(d.group, group); r != nil {
		setMember(r, user, in)
		if s := d.gshadow.row(0, r[0]); s != nil {
			setMember(s, user, in)
		}
	}
}

func (a *Accounts) chpasswd(_ context.Context, h *Host, c resource.Command) (resource.Output, error) {
	args, err := ParseArgs(c, "-e", "--encrypted")
	if err != nil {
		return resource.Output{}, err
	}
	if !args.Has("-e") && !args.Has("--encrypted") {
		return resource.Output{}, Refuse(c, "only encrypted passwords are known")
	}
	return edit(h, c, func(d *accountDBs) (int, string) {
		for line := range strings.Lines(string(c.Stdin)) {
			name, hash, ok := strings.Cut(strings.TrimRight(line, "\n"), ":")
			row := d.shadow.row(0, name)
			if !ok || row == nil {
				return 1, "user '" + name + "' does not exist"
			}
			row[1] = hash
		}
		return 0, ""
	})
}
