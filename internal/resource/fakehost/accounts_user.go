package fakehost

import (
	"context"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/updraft-cloud/updraft/internal/resource"
)

func splitList(s string) []string {
	return strings.FieldsFunc(s, func(r rune) bool { return r == ',' })
}

func (a *Accounts) useradd(_ context.Context, h *Host, c resource.Command) (resource.Output, error) {
	args, err := ParseArgs(c, "--uid=", "--gid=", "--groups=", "--home-dir=", "--shell=", "--comment=", "--system",
		"--create-home", "--no-create-home", "--no-user-group", "--user-group")
	if err != nil {
		return resource.Output{}, err
	}
	if len(args.Rest) != 1 {
		return resource.Output{}, Refuse(c, "want one user name")
	}
	name := args.Rest[0]
	out, err := edit(h, c, func(d *accountDBs) (int, string) { return addUser(d, name, args) })
	if err != nil || !args.Has("--create-home") {
		return out, err
	}
	return out, h.Change(func(f *FS) error { return makeHome(f, name) })
}

func addUser(d *accountDBs, name string, args Args) (int, string) {
	uid := args.Get("--uid")
	switch {
	case d.passwd.row(0, name) != nil:
		return 9, "user '" + name + "' already exists"
	case uid != "" && d.passwd.row(2, uid) != nil:
		return 4, "UID " + uid + " is not unique"
	case args.Get("--gid") != "" && groupRow(d.group, args.Get("--gid")) == nil:
		return 6, "group '" + args.Get("--gid") + "' does not exist"
	case args.Get("--gid") == "" && !args.Has("--no-user-group") && d.group.row(0, name) != nil:
		return 9, "group " + name + " exists - if you want to add this user to that group, use -g."
	}
	for _, g := range splitList(args.Get("--groups")) {
		if groupRow(d.group, g) == nil {
			return 6, "group '" + g + "' does not exist"
		}
	}
	if uid == "" {
		uid = d.passwd.freeID(args.Has("--system"))
	}
	d.passwd.rows = append(d.passwd.rows, []string{name, "x", uid, primaryFor(d, name, uid, args), args.Get("--comment"),
		orElse(args.Get("--home-dir"), "/home/"+name), orElse(args.Get("--shell"), "/bin/sh")})
	d.shadow.rows = append(d.shadow.rows, strings.Split(name+":!:20000:0:99999:7:::", ":"))
	for _, g := range splitList(args.Get("--groups")) {
		d.setMember(g, name, true)
	}
	return 0, ""
}

// primaryFor returns the number of a new user's primary group, making one of
// the user's name where that is asked for; useradd prefers the user's number.
func primaryFor(d *accountDBs, name, uid string, args Args) string {
	if g := args.Get("--gid"); g != "" {
		return groupRow(d.group, g)[2]
	}
	if args.Has("--no-user-group") {
		return "100" // users, the GROUP of /etc/default/useradd
	}
	gid := uid
	if d.group.row(2, gid) != nil {
		gid = d.group.freeID(args.Has("--system"))
	}
	d.addGroup(name, gid)
	return gid
}

func makeHome(f *FS, user string) error {
	row := openDB(f, "passwd").row(0, user)
	uid, _ := strconv.Atoi(row[2])
	gid, _ := strconv.Atoi(row[3])
	home := row[5]
	if _, err := f.Stat(home); err == nil {
		return nil
	}
	if err := f.MkdirAll(path.Dir(home)); err != nil {
		return err
	}
	return f.Mkdir(home, resource.Access{Mode: 0o700, UID: uid, GID: gid})
}

func (a *Accounts) usermod(_ context.Context, h *Host, c resource.Command) (resource.Output, error) {
	args, err := ParseArgs(c, "--uid=", "--gid=", "--groups=", "--append", "--home=", "--move-home", "--shell=", "--comment=")
	if err != nil {
		return resource.Output{}, err
	}
	if len(args.Rest) != 1 {
		return resource.Output{}, Refuse(c, "want one user name")
	}
	name := args.Rest[0]
	var oldHome string
	out, err := edit(h, c, func(d *accountDBs) (int, string) {
		if row := d.passwd.row(0, name); row != nil {
			oldHome = row[5]
		}
		return changeUser(d, name, args)
	})
	if err != nil || !args.Has("--move-home") {
		return out, err
	}
	return out, h.Change(func(f *FS) error {
		if _, err := f.Lstat(oldHome); err != nil {
			return nil //nolint:nilerr // usermod only warns
		}
		return f.Rename(oldHome, args.Get("--home"))
	})
}

func changeUser(d *accountDBs, name string, args Args) (int, string) {
	row := d.passwd.row(0, name)
	if row == nil {
		return 6, "user '" + name + "' does not exist"
	}
	if uid := args.Get("--uid"); uid != "" {
		if other := d.passwd.row(2, uid); other != nil && other[0] != name {
			return 4, "UID '" + uid + "' already exists"
		}
		row[2] = uid
	}
	if g := args.Get("--gid"); g != "" {
		if groupRow(d.group, g) == nil {
			return 6, "group '" + g + "' does not exist"
		}
		row[3] = groupRow(d.group, g)[2]
	}
	row[4] = ifHas(args, "--comment", row[4])
	row[5] = ifHas(args, "--home", row[5])
	row[6] = ifHas(args, "--shell", row[6])
	if args.Has("--groups") {
		return changeGroups(d, name, splitList(args.Get("--groups")), args.Has("--append"))
	}
	return 0, ""
}

func changeGroups(d *accountDBs, name string, want []string, keep bool) (int, string) {
	for _, g := range want {
		if groupRow(d.group, g) == nil {
			return 6, "group '" + g + "' does not exist"
		}
	}
	for _, row := range d.group.rows {
		was := slices.Contains(members(row), name)
		is := slices.Contains(want, row[0]) || slices.Contains(want, row[2])
		if was != is && (is || !keep) {
			d.setMember(row[0], name, is)
		}
	}
	return 0, ""
}

func (a *Accounts) userdel(_ context.Context, h *Host, c resource.Command) (resource.Output, error) {
	args, err := ParseArgs(c, "--remove")
	if err != nil {
		return resource.Output{}, err
	}
	if len(args.Rest) != 1 {
		return resource.Output{}, Refuse(c, "want one user name")
	}
	name := args.Rest[0]
	var home string
	out, err := edit(h, c, func(d *accountDBs) (int, string) {
		row := d.passwd.row(0, name)
		if row == nil {
			return 6, "user '" + name + "' does not exist"
		}
		home = row[5]
		deleteUser(d, name)
		return 0, ""
	})
	if err != nil || !args.Has("--remove") {
		return out, err
	}
	return out, h.Change(func(f *FS) error { f.RemoveAll(home); return nil })
}

// deleteUser also deletes the group of the user's name, unless it is somebody
// else's primary group or has other members.
func deleteUser(d *accountDBs, name string) {
	d.passwd.delete(name)
	d.shadow.delete(name)
	for _, row := range slices.Clone(d.group.rows) {
		d.setMember(row[0], name, false)
	}
	if own := d.group.row(0, name); own != nil && own[3] == "" && d.passwd.row(3, own[2]) == nil {
		d.group.delete(name)
		d.gshadow.delete(name)
	}
}

func ifHas(args Args, option, otherwise string) string {
	if args.Has(option) {
		return args.Get(option)
	}
	return otherwise
}

func orElse(s, otherwise string) string {
	if s != "" {
		return s
	}
	return otherwise
}
