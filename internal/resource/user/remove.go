package user

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/updraft-cloud/updraft/internal/resource"
	"github.com/updraft-cloud/updraft/internal/resource/account"
	"github.com/updraft-cloud/updraft/internal/resource/original"
)

// Remove deletes the user with the home directory that was made for it, or
// turns a user that was there before back into what it was.
func (r *Resource) Remove(ctx context.Context, h resource.Host, made bool) error {
	defer h.Lock(account.Lock)()
	if err := account.Recover(ctx, h); err != nil {
		return err
	}
	was, kept, err := original.Load(h, resource.Ref(r))
	if err != nil {
		return err
	}
	if made {
		err = r.delete(ctx, h, was)
	} else if kept && was.Data != nil {
		err = r.restore(ctx, h, was)
	}
	if err != nil {
		return err
	}
	if err := r.removeHomes(ctx, h, was.Made, made); err != nil {
		return err
	}
	return original.Drop(h, resource.Ref(r))
}

// delete deletes the user. userdel deletes the group of its name as well; one
// that was there before is made anew.
func (r *Resource) delete(ctx context.Context, h resource.Host, was original.Entry) error {
	db, err := account.Load(h)
	if err != nil {
		return err
	}
	if _, ok := db.User(r.Name); ok {
		if err := run(ctx, h, "userdel", r.Name); err != nil {
			return err
		}
	}
	if was.Text == "" {
		return nil
	}
	if db, err = account.Load(h); err != nil {
		return err
	}
	if _, ok := db.Group(r.Name); ok {
		return nil
	}
	return run(ctx, h, "groupadd", "--gid", was.Text, r.Name)
}

// removeHomes removes the directories that were made. The home of a user that
// stays goes only when it is empty; the half-filled one always goes.
func (r *Resource) removeHomes(ctx context.Context, h resource.Host, dirs []string, made bool) error {
	for _, dir := range dirs {
		half := strings.HasSuffix(dir, tempSuffix)
		switch {
		case !there(h, dir) || r.KeepHome && !half:
		case made || half:
			if err := run(ctx, h, "rm", "-rf", "--one-file-system", "--", dir); err != nil {
				return err
			}
		default:
			if err := original.RemoveEmpty(h, dir); err != nil {
				return err
			}
		}
	}
	return nil
}

func (r *Resource) restore(ctx context.Context, h resource.Host, e original.Entry) error {
	var was state
	if err := json.Unmarshal(e.Data, &was); err != nil {
		return fmt.Errorf("cannot read what user %s was: %w", r.Name, err)
	}
	db, err := account.Load(h)
	if err != nil {
		return err
	}
	u, ok := db.User(r.Name)
	if !ok {
		return nil
	}
	f := was.difference(u, db.GroupsOf(u.Name))
	if slices.Contains(f, "--home") && was.HasHome && there(h, u.Home) && !there(h, was.User.Home) {
		f = append(f, "--move-home")
	}
	if len(f) > 0 {
		if err := run(ctx, h, "usermod", append(f, u.Name)...); err != nil {
			return err
		}
	}
	if was.HasHome && !there(h, was.User.Home) {
		if err := r.moveHome(ctx, h, e.Made, was.User.Home); err != nil {
			return err
		}
	}
	shadow, err := account.Shadow(h)
	if err != nil || shadow[u.Name] == was.Hash {
		return err
	}
	return setHash(ctx, h, u.Name, was.Hash)
}

// difference returns the options of usermod that lead from u back to what was.
func (s state) difference(u account.User, groups []string) flags {
	var f flags
	for _, c := range []struct{ option, got, want string }{
		{"--uid", strconv.Itoa(u.UID), strconv.Itoa(s.User.UID)},
		{"--gid", strconv.Itoa(u.GID), strconv.Itoa(s.User.GID)},
		{"--groups", strings.Join(groups, ","), strings.Join(s.Groups, ",")},
		{"--comment", u.Comment, s.User.Comment},
		{"--home", u.Home, s.User.Home},
		{"--shell", u.Shell, s.User.Shell},
	} {
		if c.got != c.want {
			f = append(f, c.option, c.want)
		}
	}
	return f
}
