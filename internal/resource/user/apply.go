package user

import (
	"cmp"
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
	if err := account.Recover(ctx, h); err != nil {
		return err
	}
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
		err = r.add(ctx, h, db)
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

// add makes the user by writing the account files, or by useradd where that takes
// more.
func (r *Resource) add(ctx context.Context, h resource.Host, db *account.DB) error {
	if !r.System {
		made, err := account.Add(ctx, h, []account.NewUser{r.account(db)})
		if err != nil || len(made) > 0 {
			return err
		}
	}
	return run(ctx, h, "useradd", r.addArgs(db)...)
}

// ApplyTogether makes new users at once. Any other is left to Apply.
func (r *Resource) ApplyTogether(ctx context.Context, h resource.Host, all []resource.Resource, why []resource.Cause) []bool {
	defer h.Lock(account.Lock)()
	done := make([]bool, len(all))
	if account.Recover(ctx, h) != nil {
		return done
	}
	db, err := account.Load(h)
	if err != nil {
		return done
	}
	var fresh []account.NewUser
	for i, a := range all {
		u := a.(*Resource)
		if _, exists := db.User(u.Name); !exists && !u.System && u.keep(h, db, account.User{}, false, why[i].Made) == nil {
			fresh = append(fresh, u.account(db))
		}
	}
	made, err := account.Add(ctx, h, fresh)
	if err != nil {
		return done
	}
	for i, a := range all {
		u := a.(*Resource)
		done[i] = slices.Contains(made, u.Name) && u.makeHome(ctx, h) == nil
	}
	return done
}

// account returns the new user as the account files have it.
func (r *Resource) account(db *account.DB) account.NewUser {
	n := account.NewUser{
		Name: r.Name, UID: r.UID, Group: r.ownGroup(db), Groups: r.Groups,
		Comment: r.Comment, Home: cmp.Or(r.Home, defaultHome(r.Name)), Shell: r.Shell, Hash: r.PasswordHash,
	}
	if r.Locked && n.Hash != "" && !isLocked(n.Hash) {
		n.Hash = "!" + n.Hash
	}
	return n
}

// ownGroup returns the primary group of a new user, "" for one of its own that
// is yet to be made.
func (r *Resource) ownGroup(db *account.DB) string {
	if _, taken := db.Group(r.Name); taken && r.Group == "" {
		return r.Name
	}
	return r.Group
}

// defaultHome is HOME of useradd's defaults.
func defaultHome(name string) string { return "/home/" + name }

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
		home = defaultHome(r.Name)
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
	group := r.ownGroup(db) // useradd would refuse to make one that is there
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
	f.add("--home-dir", cmp.Or(r.Home, defaultHome(r.Name)))
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
