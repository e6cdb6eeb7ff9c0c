package user

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"

	"github.com/updraft-cloud/updraft/internal/resource"
	"github.com/updraft-cloud/updraft/internal/resource/account"
	"github.com/updraft-cloud/updraft/internal/resource/original"
)

// skel holds what a new home directory starts with.
const skel = "/etc/skel"

// tempSuffix marks a home directory that is being filled.
const tempSuffix = ".updraft-tmp"

// tempHome is where a home directory is while it is filled.
func tempHome(home string) string {
	return path.Join(path.Dir(home), "."+path.Base(home)+tempSuffix)
}

// finishMove moves the home directory where a usermod that was cut off has
// changed the account and not the directory.
func (r *Resource) finishMove(ctx context.Context, h resource.Host) error {
	if r.Home == "" || !r.createsHome() || there(h, r.Home) {
		return nil
	}
	e, kept, err := original.Load(h, resource.Ref(r))
	if err != nil || !kept {
		return err
	}
	candidates := e.Made
	var was state
	if err := json.Unmarshal(e.Data, &was); err == nil && was.HasHome {
		candidates = append(candidates, was.User.Home)
	}
	return r.moveHome(ctx, h, candidates, r.Home)
}

// moveHome moves the one of several homes that is there to another path. usermod
// moves what the account names, so the account is set back first.
func (r *Resource) moveHome(ctx context.Context, h resource.Host, from []string, to string) error {
	for _, dir := range from {
		if dir == to || strings.HasSuffix(dir, tempSuffix) || !there(h, dir) {
			continue
		}
		if err := run(ctx, h, "usermod", "--home", dir, r.Name); err != nil {
			return err
		}
		return run(ctx, h, "usermod", "--home", to, "--move-home", r.Name)
	}
	return nil
}

// makeHome makes the home directory if it is wanted and missing. It is filled
// while it is root's and under another name, where its user can neither see it
// nor put a symlink in the way.
func (r *Resource) makeHome(ctx context.Context, h resource.Host) error {
	db, err := account.Load(h)
	if err != nil {
		return err
	}
	u, ok := db.User(r.Name)
	if !ok {
		return fmt.Errorf("user %s is gone right after it was made", r.Name)
	}
	home := r.homeOf(u)
	if !r.createsHome() || there(h, home) {
		return nil
	}
	temp := tempHome(home)
	if there(h, temp) {
		if err := run(ctx, h, "rm", "-rf", "--one-file-system", "--", temp); err != nil {
			return err
		}
	}
	err = h.Mkdir(temp, resource.Access{Mode: 0o700})
	if err == nil {
		err = copyTree(h, skel, temp, u)
	}
	if err == nil {
		err = h.Chown(temp, u.UID, u.GID)
	}
	if err == nil {
		err = h.Rename(temp, home)
	}
	if err != nil {
		return fmt.Errorf("cannot make home %s: %w", home, err)
	}
	return nil
}

// copyTree copies files, directories and symlinks and gives them to the user.
func copyTree(h resource.Host, from, to string, u account.User) error {
	names, err := h.ReadDir(from)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for _, name := range names {
		if err := copyOne(h, path.Join(from, name), path.Join(to, name), u); err != nil {
			return err
		}
	}
	return err
}

func copyOne(h resource.Host, from, to string, u account.User) error {
	fi, err := h.Lstat(from)
	if err != nil {
		return err
	}
	access := resource.Access{Mode: fi.Mode, UID: u.UID, GID: u.GID}
	switch fi.Type {
	case resource.Directory:
		if err := h.Mkdir(to, access); err != nil {
			return err
		}
		return copyTree(h, from, to, u)
	case resource.Symlink:
		target, err := h.Readlink(from)
		if err != nil {
			return err
		}
		if err := h.Symlink(target, to); err != nil {
			return err
		}
		return h.Chown(to, u.UID, u.GID)
	case resource.Regular:
		data, err := h.ReadFile(from)
		if err != nil {
			return err
		}
		return h.WriteFile(to, data, access)
	}
	return nil // a device or socket has no place in a home
}
