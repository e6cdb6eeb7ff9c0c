// Package perm is what the kinds that make files share: mode and owner as a
// person writes them, how they compare with a file, and how they are set.
//
// An empty mode, owner or group is not managed: an existing file keeps its own.
package perm

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strconv"
	"strings"

	"github.com/updraft-cloud/updraft/internal/drift"
	"github.com/updraft-cloud/updraft/internal/resource"
	"github.com/updraft-cloud/updraft/internal/resource/account"
)

// Spec is a mode and an owner as written: an octal mode such as "0644", a user
// and a group by name or number.
type Spec struct{ Mode, Owner, Group string }

// Validate reports what is wrong, by field.
func (s Spec) Validate() error {
	var errs []error
	if s.Mode != "" {
		if _, err := ParseMode(s.Mode); err != nil {
			errs = append(errs, resource.Fieldf("mode", `write it in octal, such as "0644"`, "%v", err))
		}
	}
	for _, f := range []struct{ name, ref string }{{"owner", s.Owner}, {"group", s.Group}} {
		if f.ref != "" {
			if err := account.CheckRef(f.ref); err != nil {
				errs = append(errs, resource.Fieldf(f.name, "give a name or a number", "%v", err))
			}
		}
	}
	return errors.Join(errs...)
}

// ParseMode reads an octal mode of three or four digits.
func ParseMode(s string) (uint32, error) {
	n, err := strconv.ParseUint(s, 8, 32)
	if err != nil || len(s) < 3 || len(s) > 5 || n > 0o7777 {
		return 0, fmt.Errorf("%q is not an octal mode", s)
	}
	return uint32(n), nil
}

// Format renders a mode as Debian's documentation writes it.
func Format(mode uint32) string { return fmt.Sprintf("%04o", mode) }

// Compare notes where a file differs from the spec. A name that does not exist
// on the host yet is a difference, not an error: its user may be made first.
func (s Spec) Compare(h resource.Host, fi resource.FileInfo, b *drift.Builder) error {
	if mode, err := ParseMode(s.Mode); err == nil && mode != fi.Mode {
		b.Want("mode", Format(fi.Mode), Format(mode))
	}
	if s.Owner == "" && s.Group == "" {
		return nil
	}
	db, err := account.Load(h)
	if err != nil {
		return err
	}
	if uid, ok := db.UID(s.Owner); s.Owner != "" && (!ok || uid != fi.UID) {
		b.Want("owner", db.UserName(fi.UID), s.Owner)
	}
	if gid, ok := db.GID(s.Group); s.Group != "" && (!ok || gid != fi.GID) {
		b.Want("group", db.GroupName(fi.GID), s.Group)
	}
	return nil
}

// Access returns what a file is to have: what the spec says, and otherwise what
// it has.
func (s Spec) Access(h resource.Host, has resource.Access) (resource.Access, error) {
	if mode, err := ParseMode(s.Mode); err == nil {
		has.Mode = mode
	}
	if s.Owner == "" && s.Group == "" {
		return has, nil
	}
	db, err := account.Load(h)
	if err != nil {
		return has, err
	}
	if s.Owner != "" {
		uid, ok := db.UID(s.Owner)
		if !ok {
			return has, fmt.Errorf("user %s does not exist on the host", s.Owner)
		}
		has.UID = uid
	}
	if s.Group != "" {
		gid, ok := db.GID(s.Group)
		if !ok {
			return has, fmt.Errorf("group %s does not exist on the host", s.Group)
		}
		has.GID = gid
	}
	return has, nil
}

// AccessOf returns the mode and owner that a file has.
func AccessOf(fi resource.FileInfo) resource.Access {
	return resource.Access{Mode: fi.Mode, UID: fi.UID, GID: fi.GID}
}

// Set gives p, which is fi, the mode and owner of want. The owner goes first:
// chown(2) clears the setuid bit.
func Set(f resource.Files, p string, fi resource.FileInfo, want resource.Access) error {
	if fi.UID != want.UID || fi.GID != want.GID {
		if err := f.Chown(p, want.UID, want.GID); err != nil {
			return err
		}
	}
	if fi.Mode != want.Mode || (want.Mode&0o6000 != 0 && fi.Type == resource.Regular) {
		return f.Chmod(p, fs.FileMode(want.Mode))
	}
	return nil
}

// Needs returns what a file at p with this owner needs.
func (s Spec) Needs(p string) []string {
	out := Above(p)
	if s.Owner != "" {
		out = append(out, "user:"+s.Owner)
	}
	if s.Group != "" {
		out = append(out, "group:"+s.Group)
	}
	return out
}

// Above returns references to all that may provide the directories above p.
func Above(p string) []string {
	var out []string
	for dir := path.Dir(p); dir != "/" && dir != "."; dir = path.Dir(dir) {
		out = append(out, "directory:"+dir, "symlink:"+dir, "mount:"+dir)
	}
	return out
}

// CheckPath reports what is wrong with an absolute path.
func CheckPath(field, p string) error {
	const mend = "give an absolute path, such as /etc/motd"
	switch {
	case p == "":
		return resource.Fieldf(field, mend, "is missing")
	case !path.IsAbs(p):
		return resource.Fieldf(field, mend, "%q is not absolute", p)
	case strings.ContainsFunc(p, func(r rune) bool { return r < ' ' || r == 0x7f }):
		return resource.Fieldf(field, mend, "%q holds control characters", p)
	case path.Clean(p) != p:
		return resource.Fieldf(field, "write "+path.Clean(p), "%q is not in its shortest form", p)
	case p == "/":
		return resource.Fieldf(field, mend, "the root directory is not managed")
	}
	return nil
}
