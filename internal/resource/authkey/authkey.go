// Package authkey is the kind "authkey": one public key that opens a user's
// account, a line of ~/.ssh/authorized_keys.
//
// Other lines are left as they are. The home directory is the user's, who may
// put symlinks and hard links there while root works in it: all work is
// confined to the home, links that lead out of it are refused, the file is
// replaced and never written in place, and a home that belongs to somebody else
// is not touched.
package authkey

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/updraft-cloud/updraft/internal/drift"
	"github.com/updraft-cloud/updraft/internal/resource"
	"github.com/updraft-cloud/updraft/internal/resource/account"
)

// Resource is one key of one user.
type Resource struct {
	User      string `json:"user" doc:"Login name of the user whose account the key opens." required:"true"`
	PublicKey string `json:"key" doc:"The public key, as in a .pub file: type, key and comment." required:"true"`
	Options   string `json:"options,omitempty" doc:"Options of the key as in authorized_keys, such as from=\"10.0.0.0/8\",no-pty."`
}

// Kind returns the kind.
func Kind() resource.Kind {
	return resource.Kind{
		Name: "authkey",
		Doc:  "A public key that opens a user's account over SSH; other keys are left alone.",
		New:  func() resource.Resource { return &Resource{} },
		Example: `user: deploy
key: ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFaNbXGx1Uk7V4cW6vu/3sYqO0mPDW4yHfVHFgLLFVvD deploy@example
`,
	}
}

// Kind returns "authkey".
func (*Resource) Kind() string { return "authkey" }

// Key returns the user and the key's fingerprint.
func (r *Resource) Key() string { return r.User + "/" + r.want().fingerprint() }

// Needs returns the user.
func (r *Resource) Needs() []string { return []string{"user:" + r.User} }

// Removal returns the resource without the options, which may say too much.
func (r *Resource) Removal() resource.Resource {
	return &Resource{User: r.User, PublicKey: r.PublicKey}
}

func (r *Resource) want() line {
	l, _ := parseLine(r.PublicKey)
	l.options = r.Options
	return l
}

// Validate checks the name, the key and that the options are one word.
func (r *Resource) Validate() error {
	var errs []error
	if err := account.CheckName(r.User); err != nil {
		errs = append(errs, resource.Fieldf("user", "give a login name", "%v", err))
	}
	if _, err := parseKey(r.PublicKey); err != nil {
		errs = append(errs, resource.Fieldf("key", "give the text of a .pub file that ssh-keygen wrote", "%v", err))
	}
	word, rest := cutWord(r.Options)
	if rest != "" || word != r.Options || strings.ContainsAny(r.Options, "\n\r\x00") || strings.HasPrefix(r.Options, "#") ||
		slices.Contains(keyTypes, r.Options) || strings.Count(strings.ReplaceAll(r.Options, `\"`, ""), `"`)%2 != 0 {
		errs = append(errs, resource.Fieldf("options", `separate options by commas, and quote values: from="10.0.0.0/8",no-pty`, "%q is not one word", r.Options))
	}
	return errors.Join(errs...)
}

// place is where a user's keys are.
type place struct {
	user      account.User
	dir, file string
}

func (r *Resource) place(h resource.Host) (place, bool, error) {
	db, err := account.Load(h)
	if err != nil {
		return place{}, false, err
	}
	u, ok := db.User(r.User)
	dir := u.Home + "/.ssh"
	return place{u, dir, dir + "/authorized_keys"}, ok, nil
}

// confine works in the home directory of p, if it is the user's or root's.
func (p place) confine(h resource.Host, f func(resource.Files) error) error {
	return h.Confine(p.user.Home, func(files resource.Files) error {
		fi, err := files.Stat(p.user.Home)
		if err != nil {
			return err
		}
		if fi.UID != p.user.UID && fi.UID != 0 {
			return fmt.Errorf("home %s of user %s belongs to user number %d", p.user.Home, p.user.Name, fi.UID)
		}
		return f(files)
	})
}

// Observe looks for the key, and whether sshd would accept the file.
func (r *Resource) Observe(_ context.Context, h resource.Host) (drift.Report, error) {
	p, ok, err := r.place(h)
	if err != nil || !ok {
		return drift.Missing(), err
	}
	rep := drift.Missing()
	err = p.confine(h, func(f resource.Files) error {
		rep, err = r.observe(f, p)
		return err
	})
	if errors.Is(err, fs.ErrNotExist) {
		return drift.Missing(), nil
	}
	return rep, err
}

func (r *Resource) observe(f resource.Files, p place) (drift.Report, error) {
	data, err := f.ReadFile(p.file)
	if err != nil {
		return drift.Missing(), err
	}
	want := r.want()
	got, i := find(splitLines(data), want.blob)
	if i < 0 {
		return drift.Missing(), nil
	}
	var b drift.Builder
	b.Want("options", got.options, want.options)
	if want.comment != "" {
		b.Want("comment", got.comment, want.comment)
	}
	for _, path := range []string{p.dir, p.file} {
		fi, err := f.Stat(path)
		if err != nil {
			return drift.Report{}, err
		}
		if !p.safe(fi) {
			b.Add(drift.Change{Attr: "access", From: path + " can be changed by others", To: "by " + r.User + " alone"})
			break
		}
	}
	return b.Report(), nil
}

// safe reports whether sshd takes a file with these permissions (StrictModes).
func (p place) safe(fi resource.FileInfo) bool {
	return fi.Mode&0o022 == 0 && (fi.UID == p.user.UID || fi.UID == 0)
}
