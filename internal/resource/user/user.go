// Package user is the kind "user": a local user of the host.
//
// Observing reads the account files and starts no process. New users that are
// plain are written into the files ([account.Add]), many at once. Other changes
// go through useradd, usermod, userdel and chpasswd, which keep the files
// consistent; the password's hash goes to chpasswd by its standard input and
// stands in no process list. A home directory is filled under another name and then renamed,
// so that it is there whole or not at all.
package user

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io/fs"
	"slices"
	"strconv"
	"strings"

	"github.com/updraft-cloud/updraft/internal/drift"
	"github.com/updraft-cloud/updraft/internal/resource"
	"github.com/updraft-cloud/updraft/internal/resource/account"
	"github.com/updraft-cloud/updraft/internal/resource/perm"
)

// Resource is a user.
type Resource struct {
	Name         string   `json:"name" doc:"Login name." required:"true"`
	UID          int      `json:"uid,omitempty" doc:"Number of the user; the system chooses one when it is left out."`
	Group        string   `json:"group,omitempty" doc:"Primary group, by name or number; a new user gets a group of its own name when this is left out."`
	Groups       []string `json:"groups,omitempty" doc:"Further groups, by name: exactly these, unless append_groups is set. Left alone when left out."`
	AppendGroups bool     `json:"append_groups,omitempty" doc:"Leave the user in further groups that are not listed."`
	Comment      string   `json:"comment,omitempty" doc:"Full name or purpose (the GECOS field)."`
	Home         string   `json:"home,omitempty" doc:"Path of the home directory; /home/NAME for a new user when this is left out."`
	CreateHome   *bool    `json:"create_home,omitempty" doc:"Make the home directory, filled from /etc/skel and with mode 0700, if it is missing; true when left out, except for system users."`
	KeepHome     bool     `json:"keep_home,omitempty" doc:"Leave the home directory in place when the user is removed."`
	Shell        string   `json:"shell,omitempty" doc:"Path of the login shell."`
	System       bool     `json:"system,omitempty" doc:"Choose the number from those of system users; means nothing for a user that exists."`
	PasswordHash string   `json:"password_hash,omitempty" doc:"Encrypted password, as in /etc/shadow. Secret."`
	Locked       bool     `json:"locked,omitempty" doc:"Lock the password, so that it opens nothing; keys still do."`
}

// Kind returns the kind.
func Kind() resource.Kind {
	return resource.Kind{
		Name: "user",
		Doc:  "A local user with its groups, home directory, shell and password.",
		New:  func() resource.Resource { return &Resource{} },
		Example: `name: deploy
groups: [sudo]
append_groups: true
shell: /bin/bash
locked: true
`,
	}
}

// Kind returns "user".
func (*Resource) Kind() string { return "user" }

// Key returns the name.
func (r *Resource) Key() string { return r.Name }

// IsSensitive reports whether there is a password among the values.
func (r *Resource) IsSensitive() bool { return r.PasswordHash != "" }

// Needs returns the user's groups, one of its own name included.
func (r *Resource) Needs() []string {
	out := []string{"group:" + r.Name}
	for _, g := range append(slices.Clone(r.Groups), r.Group) {
		if g != "" && g != r.Name {
			out = append(out, "group:"+g)
		}
	}
	return out
}

// digestPrefix marks a password that stands in a probe by its digest.
const digestPrefix = "sha256:"

// Probe returns the user with the password replaced by a digest.
func (r *Resource) Probe() resource.Resource {
	c := *r
	if r.PasswordHash != "" {
		c.PasswordHash = digest(r.PasswordHash)
	}
	return &c
}

func digest(s string) string {
	if strings.HasPrefix(s, digestPrefix) {
		return s
	}
	sum := sha256.Sum256([]byte(s))
	return digestPrefix + hex.EncodeToString(sum[:])
}

// Removal returns the name and what becomes of the home directory.
func (r *Resource) Removal() resource.Resource {
	return &Resource{Name: r.Name, KeepHome: r.KeepHome}
}

func (r *Resource) createsHome() bool {
	if r.CreateHome != nil {
		return *r.CreateHome
	}
	return !r.System
}

// Validate checks what goes into the account files.
func (r *Resource) Validate() error {
	var errs []error
	fault := func(field, mend string, err error) {
		if err != nil {
			errs = append(errs, resource.Fieldf(field, mend, "%v", err))
		}
	}
	fault("name", "choose a name such as deploy", account.CheckName(r.Name))
	if r.UID < 0 || r.UID >= 1<<32-1 {
		errs = append(errs, resource.Fieldf("uid", "choose a number from 1 up", "%d is not a user number", r.UID))
	}
	if r.Group != "" {
		fault("group", "give a name or a number", account.CheckRef(r.Group))
	}
	for _, g := range r.Groups {
		fault("groups", "give names of groups", account.CheckName(g))
	}
	for _, f := range []struct{ name, path string }{{"home", r.Home}, {"shell", r.Shell}} {
		if f.path != "" {
			errs = append(errs, perm.CheckPath(f.name, f.path), checkField(f.name, f.path))
		}
	}
	return errors.Join(append(errs, checkField("comment", r.Comment), r.checkPassword())...)
}

// checkField refuses what would break a line of /etc/passwd.
func checkField(field, s string) error {
	if strings.ContainsFunc(s, func(c rune) bool { return c == ':' || c < ' ' || c == 0x7f }) {
		return resource.Fieldf(field, "leave out colons and line breaks", "holds a colon or a control character")
	}
	return nil
}

// checkPassword takes what crypt(5) makes. A plain password is a mistake that
// must be caught here: chpasswd would store it for all of root to see.
func (r *Resource) checkPassword() error {
	h := r.PasswordHash
	if h == "" {
		return nil
	}
	bare := strings.TrimLeft(h, "!*")
	if strings.ContainsAny(h, ": \t\n") || bare != "" && (!strings.HasPrefix(bare, "$") || strings.Count(bare, "$") < 3) {
		return resource.Fieldf("password_hash", "make one with: openssl passwd -6", "is not an encrypted password")
	}
	return nil
}

// Observe compares the user with what is wanted.
func (r *Resource) Observe(_ context.Context, h resource.Host) (drift.Report, error) {
	db, err := account.Load(h)
	if err != nil {
		return drift.Report{}, err
	}
	u, ok := db.User(r.Name)
	if !ok {
		return drift.Missing(), nil
	}
	var b drift.Builder
	r.compare(db, u, &b)
	if err := r.compareHome(h, u, &b); err != nil {
		return drift.Report{}, err
	}
	if err := r.comparePassword(h, &b); err != nil {
		return drift.Report{}, err
	}
	if rep := b.Report(); !r.IsSensitive() {
		return rep, nil
	}
	return b.Report().WithoutValues(), nil
}

func (r *Resource) compare(db *account.DB, u account.User, b *drift.Builder) {
	if r.UID != 0 {
		b.Want("uid", strconv.Itoa(u.UID), strconv.Itoa(r.UID))
	}
	if gid, ok := db.GID(r.Group); r.Group != "" && (!ok || gid != u.GID) {
		b.Want("group", db.GroupName(u.GID), r.Group)
	}
	if got, want := db.GroupsOf(u.Name), r.wantGroups(db); !slices.Equal(got, want) {
		b.Want("groups", strings.Join(got, ","), strings.Join(want, ","))
	}
	for _, f := range []struct{ attr, got, want string }{
		{"comment", u.Comment, r.Comment}, {"home", u.Home, r.Home}, {"shell", u.Shell, r.Shell},
	} {
		if f.want != "" {
			b.Want(f.attr, f.got, f.want)
		}
	}
}

// wantGroups returns the further groups that the user is to be in, sorted.
func (r *Resource) wantGroups(db *account.DB) []string {
	got := db.GroupsOf(r.Name)
	if len(r.Groups) == 0 {
		return got
	}
	want := slices.Clone(r.Groups)
	if r.AppendGroups {
		want = append(want, got...)
	}
	slices.Sort(want)
	return slices.Compact(want)
}

func (r *Resource) compareHome(h resource.Host, u account.User, b *drift.Builder) error {
	if !r.createsHome() {
		return nil
	}
	_, err := h.Lstat(r.homeOf(u))
	if errors.Is(err, fs.ErrNotExist) {
		b.Want("home_directory", "missing", "present")
		return nil
	}
	return err
}

// homeOf returns the home directory that the user is to have.
func (r *Resource) homeOf(u account.User) string {
	if r.Home != "" {
		return r.Home
	}
	return u.Home
}

func (r *Resource) comparePassword(h resource.Host, b *drift.Builder) error {
	if r.PasswordHash == "" && !r.Locked {
		return nil
	}
	shadow, err := account.Shadow(h)
	if err != nil {
		return err
	}
	has := shadow[r.Name]
	if r.Locked && !isLocked(has) {
		b.Want("locked", "no", "yes")
	}
	if r.PasswordHash != "" && !r.samePassword(has) {
		b.Add(drift.Change{Attr: "password"})
	}
	return nil
}

func isLocked(hash string) bool { return strings.HasPrefix(hash, "!") || strings.HasPrefix(hash, "*") }

// samePassword compares the hash, apart from the mark of a lock if one is wanted.
func (r *Resource) samePassword(has string) bool {
	if r.Locked {
		has = strings.TrimPrefix(has, "!")
	}
	if strings.HasPrefix(r.PasswordHash, digestPrefix) {
		return digest(has) == r.PasswordHash
	}
	return has == r.PasswordHash
}
