// Package account reads the local users and groups of a host.
//
// It looks at /etc/passwd, /etc/group and /etc/shadow only, and starts no
// process. Accounts of a directory service (LDAP) are not seen; their numbers
// can be used in place of names. [Add] makes plain users by writing the files.
package account

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"

	"github.com/updraft-cloud/updraft/internal/resource"
)

// Lock is the name under which changes of the account files take turns.
const Lock = "/etc/passwd"

// User is a line of /etc/passwd.
type User struct {
	Name    string
	UID     int
	GID     int
	Comment string
	Home    string
	Shell   string
}

// Group is a line of /etc/group.
type Group struct {
	Name    string
	GID     int
	Members []string
}

// DB is the content of the account files.
type DB struct {
	Users  []User
	Groups []Group
}

// Load returns the users and groups of the host.
func Load(h resource.Host) (*DB, error) {
	v, err := h.Cached("account", []string{"/etc/passwd", "/etc/group"}, func() (any, error) { return load(h) })
	if err != nil {
		return nil, err
	}
	return v.(*DB), nil
}

func load(h resource.Host) (*DB, error) {
	db := &DB{}
	err := eachRow(h, "/etc/passwd", 7, func(f []string) {
		uid, e1 := strconv.Atoi(f[2])
		gid, e2 := strconv.Atoi(f[3])
		if e1 == nil && e2 == nil {
			db.Users = append(db.Users, User{f[0], uid, gid, f[4], f[5], f[6]})
		}
	})
	if err != nil {
		return nil, err
	}
	err = eachRow(h, "/etc/group", 4, func(f []string) {
		if gid, err := strconv.Atoi(f[2]); err == nil {
			members := strings.FieldsFunc(f[3], func(r rune) bool { return r == ',' })
			db.Groups = append(db.Groups, Group{f[0], gid, members})
		}
	})
	return db, err
}

// eachRow calls f with the fields of each line; lines of another shape (such as
// the "+" of NIS) are skipped. A file that is missing has no lines.
func eachRow(h resource.Host, file string, fields int, f func([]string)) error {
	data, err := h.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("cannot read the accounts: %w", err)
	}
	for line := range strings.Lines(string(data)) {
		if row := strings.Split(strings.TrimRight(line, "\n"), ":"); len(row) == fields {
			f(row)
		}
	}
	return nil
}

// Shadow returns the encrypted passwords by user name.
func Shadow(h resource.Host) (map[string]string, error) {
	v, err := h.Cached("account/shadow", []string{"/etc/shadow"}, func() (any, error) {
		out := map[string]string{}
		err := eachRow(h, "/etc/shadow", 9, func(f []string) { out[f[0]] = f[1] })
		return out, err
	})
	if err != nil {
		return nil, err
	}
	return v.(map[string]string), nil
}

// User returns the user of that name.
func (db *DB) User(name string) (User, bool) {
	i := slices.IndexFunc(db.Users, func(u User) bool { return u.Name == name })
	if i < 0 {
		return User{}, false
	}
	return db.Users[i], true
}

// Group returns the group of that name.
func (db *DB) Group(name string) (Group, bool) {
	i := slices.IndexFunc(db.Groups, func(g Group) bool { return g.Name == name })
	if i < 0 {
		return Group{}, false
	}
	return db.Groups[i], true
}

// UID returns the number of a user given by name or number.
func (db *DB) UID(ref string) (int, bool) {
	if u, ok := db.User(ref); ok {
		return u.UID, true
	}
	n, err := strconv.Atoi(ref)
	return n, err == nil && n >= 0
}

// GID returns the number of a group given by name or number.
func (db *DB) GID(ref string) (int, bool) {
	if g, ok := db.Group(ref); ok {
		return g.GID, true
	}
	n, err := strconv.Atoi(ref)
	return n, err == nil && n >= 0
}

// UserName returns the name of a user, or the number where it has none.
func (db *DB) UserName(uid int) string {
	for _, u := range db.Users {
		if u.UID == uid {
			return u.Name
		}
	}
	return strconv.Itoa(uid)
}

// GroupName returns the name of a group, or the number where it has none.
func (db *DB) GroupName(gid int) string {
	for _, g := range db.Groups {
		if g.GID == gid {
			return g.Name
		}
	}
	return strconv.Itoa(gid)
}

// GroupsOf returns the names of the groups that list the user as a member,
// sorted; the primary group is not among them unless it does.
func (db *DB) GroupsOf(user string) []string {
	var out []string
	for _, g := range db.Groups {
		if slices.Contains(g.Members, user) {
			out = append(out, g.Name)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// CheckName reports what is wrong with the name of a user or group. It holds to
// what useradd(8) of both Debian and Red Hat takes.
func CheckName(name string) error {
	if name == "" {
		return errors.New("is empty")
	}
	if len(name) > 32 {
		return fmt.Errorf("%q is longer than 32 characters", name)
	}
	for i, c := range []byte(name) {
		letter := c >= 'a' && c <= 'z' || c == '_'
		if !letter && (i == 0 || !(c >= '0' && c <= '9' || c == '-' || c == '$' && i == len(name)-1)) {
			return fmt.Errorf("%q is not a name: it takes small letters, digits, - and _, and begins with a letter or _", name)
		}
	}
	return nil
}

// CheckRef reports what is wrong with a name or number.
func CheckRef(ref string) error {
	if n, err := strconv.ParseUint(ref, 10, 32); err == nil && n < 1<<32-1 {
		return nil
	}
	return CheckName(ref)
}
