package user

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/updraft-cloud/updraft/internal/drift"
	"github.com/updraft-cloud/updraft/internal/resource"
	"github.com/updraft-cloud/updraft/internal/resource/account"
	"github.com/updraft-cloud/updraft/internal/resource/original"
)

// Apply makes or changes the user, then its password, then its home.
func (r *Resource) Apply(ctx context.Context, h resource.Host, _ drift.Report, why resource.Cause) error {
	defer h.Lock(account.Lock)()
	found, err := r.Observe(ctx, h)
	if err != nil || found.Agrees() {
		return err
	}
	db, err := account.Load(h)
	if err != nil {
		return err
	}
	u, exists := db.User(r.Name)
	if err := r.keep(h, db, u, exists, why.Made); err != nil {
		return err
	}
	if exists {
		err = r.modify(ctx, h, db, u)
	} else {
		err = run(ctx, h, "useradd", r.addArgs(db)...)
	}
	if err != nil {
		return err
	}
	if err := r.setPassword(ctx, h); err != nil {
		return err
	}
	if err := r.finishMove(ctx, h); err != nil {
		return err
	}
	return r.makeHome(ctx, h)
}

func run(ctx context.Context, h resource.Host, name string, args ...string) error {
	_, err := h.Run(ctx, resource.Command{Name: name, Args: args})
	return err
}

// state is what a user was before updraft changed it.
type state struct {
	User    account.User `json:"user"`
	Groups  []string     `json:"groups"`
	Hash    string       `json:"hash"`
	HasHome bool         `json:"has_home"`
}

// keep stores what the user was, and which directories will have been made.
func (r *Resource) keep(h resource.Host, db *account.DB, u account.User, exists, made bool) error {
	e, kept, err := original.Load(h, resource.Ref(r))
	if err != nil {
		return err
	}
	if !kept && exists && !made {
		shadow, err := account.Shadow(h)
		if err != nil {
			return err
		}
		if e.Data, err = json.Marshal(state{u, db.GroupsOf(r.Name), shadow[r.Name], there(h, u.Home)}); err != nil {
			return err
		}
	}
	changed := !kept && e.Data != nil
	if g, ok := db.Group(r.Name); ok && !exists && !kept {
		e.Text, changed = strconv.Itoa(g.GID), true // userdel would take it along
	}
	home := r.homeOf(u)
	if home == "" {
		home = "/home/" + r.Name // HOME of useradd's defaults
	}
	if r.createsHome() && !there(h, home) && !slices.Contains(e.Made, home) {
		e.Made, changed = append(e.Made, tempHome(home), home), true
	}
	if !changed {
		return nil
	}
	return original.Save(h, resource.Ref(r), e)
}

// flags collects options that have a value.
type flags []string

func (f *flags) add(name, value string) {
	if value != "" {
		*f = append(*f, name, value)
	}
}

func number(n int) string {
	if n == 0 {
		return ""
	}
	return strconv.Itoa(n)
}

func (r *Resource) addArgs(db *account.DB) []string {
	f := flags{"--no-create-home"}
	group := r.Group
	if _, taken := db.Group(r.Name); taken && group == "" {
		group = r.Name // useradd would refuse to make it
	}
	if group == "" {
		f = append(f, "--user-group")
	}
	if r.System {
		f = append(f, "--system")
	}
	f.add("--uid", number(r.UID))
	f.add("--gid", group)
	f.add("--groups", strings.Join(r.Groups, ","))
	f.add("--comment", r.Comment)
	home := r.Home
	if home == "" {
		home = "/home/" + r.Name
	}
	f.add("--home-dir", home)
	f.add("--shell", r.Shell)
	return append(f, r.Name)
}

// modify changes in one go what differs.
func (r *Resource) modify(ctx context.Context, h resource.Host, db *account.DB, u account.User) error {
	var b drift.Builder
	r.compare(db, u, &b)
	rep := b.Report()
	if rep.Agrees() {
		return nil
	}
	var f flags
	for _, c := range rep.Changes {
		option := "--" + c.Attr
		if c.Attr == "group" {
			option = "--gid"
		}
		f = append(f, option, c.To)
	}
	if rep.Has("home") && r.createsHome() && there(h, u.Home) && !there(h, r.Home) {
		f = append(f, "--move-home")
	}
	return run(ctx, h, "usermod", append(f, r.Name)...)
}

// there reports whether there is something at p.
func there(h resource.Host, p string) bool {
	_, err := h.Lstat(p)
	return err == nil
}

// setPassword sets the hash, or marks the one that is there as locked.
func (r *Resource) setPassword(ctx context.Context, h resource.Host) error {
	var b drift.Builder
	if err := r.comparePassword(h, &b); err != nil || b.Report().Agrees() {
		return err
	}
	hash := r.PasswordHash
	if hash == "" {
		shadow, err := account.Shadow(h)
		if err != nil {
			return err
		}
		hash = shadow[r.Name]
	}
	if r.Locked && !isLocked(hash) {
		hash = "!" + hash
	}
	return setHash(ctx, h, r.Name, hash)
}

func setHash(ctx context.Context, h resource.Host, name, hash string) error {
	_, err := h.Run(ctx, resource.Command{
		Name: "chpasswd", Args: []string{"--encrypted"}, Stdin: []byte(name + ":" + hash + "\n"), Quiet: true,
	})
	var exit *resource.ExitError
	if errors.As(err, &exit) {
		return fmt.Errorf("cannot set the password of %s: chpasswd ends with status %d", name, exit.Code)
	}
	return err
}
