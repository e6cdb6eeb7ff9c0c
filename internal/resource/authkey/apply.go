package authkey

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"github.com/updraft-cloud/updraft/internal/drift"
	"github.com/updraft-cloud/updraft/internal/resource"
	"github.com/updraft-cloud/updraft/internal/resource/original"
	"github.com/updraft-cloud/updraft/internal/resource/perm"
)

// lockName serialises changes of one user's keys.
func (r *Resource) lockName() string { return "authorized_keys of " + r.User }

// madeRef is the reference under which it is kept which of a user's .ssh and
// authorized_keys were made; all keys of the user share it.
func (r *Resource) madeRef() string { return "authkey:" + r.User }

// Apply adds the key or mends its line, and makes file and directory what sshd
// accepts.
func (r *Resource) Apply(_ context.Context, h resource.Host, _ drift.Report, why resource.Cause) error {
	defer h.Lock(r.lockName())()
	p, ok, err := r.place(h)
	if err != nil {
		return err
	}
	if !ok {
		return fmt.Errorf("cannot give user %s a key: there is no such user", r.User)
	}
	err = p.confine(h, func(f resource.Files) error {
		if err := r.prepare(h, f, p); err != nil {
			return err
		}
		return r.write(h, f, p, why)
	})
	if err != nil {
		return fmt.Errorf("cannot give user %s a key: %w", r.User, err)
	}
	return nil
}

// prepare makes the directory, after it is kept what was missing.
func (r *Resource) prepare(h resource.Host, f resource.Files, p place) error {
	var made []string
	for _, path := range []string{p.dir, p.file} {
		if _, err := f.Lstat(path); errors.Is(err, fs.ErrNotExist) {
			made = append(made, path)
		} else if err != nil {
			return err
		}
	}
	if len(made) > 0 {
		if err := original.Keep(h, r.madeRef(), original.Entry{Made: made}); err != nil {
			return err
		}
	}
	if slices.Contains(made, p.dir) {
		return f.Mkdir(p.dir, resource.Access{Mode: 0o700, UID: p.user.UID, GID: p.user.GID})
	}
	fi, err := f.Stat(p.dir)
	if err != nil || p.safe(fi) {
		return err
	}
	return perm.Set(f, p.dir, fi, resource.Access{Mode: fi.Mode &^ 0o022, UID: p.user.UID, GID: p.user.GID})
}

func (r *Resource) write(h resource.Host, f resource.Files, p place, why resource.Cause) error {
	data, access, err := r.read(f, p)
	if err != nil {
		return err
	}
	lines, want := splitLines(data), r.want()
	got, i := find(lines, want.blob)
	if i < 0 {
		lines = slices.Insert(lines, len(lines)-1, want.String())
	} else {
		if want.comment == "" {
			want.comment = got.comment
		}
		if want != got {
			if err := original.KeepUnless(why.Made, h, resource.Ref(r), original.Entry{Text: lines[i]}); err != nil {
				return err
			}
			lines[i] = want.String()
		}
	}
	return r.replace(f, p, data, joinLines(lines), access)
}

// read returns the file and what its permissions are to be.
func (r *Resource) read(f resource.Files, p place) ([]byte, resource.Access, error) {
	access := resource.Access{Mode: 0o600, UID: p.user.UID, GID: p.user.GID}
	fi, err := f.Stat(p.file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, access, nil
	}
	if err != nil {
		return nil, access, err
	}
	if p.safe(fi) {
		access = perm.AccessOf(fi)
	} else {
		access.Mode = fi.Mode &^ 0o022
	}
	data, err := f.ReadFile(p.file)
	return data, access, err
}

// replace writes the file if content or permissions are not as they should be.
func (*Resource) replace(f resource.Files, p place, old, data []byte, a resource.Access) error {
	fi, err := f.Stat(p.file)
	if err == nil && string(old) == string(data) && perm.AccessOf(fi) == a {
		return nil
	}
	return f.WriteFile(p.file, data, a)
}

// Remove takes the key out, or gives its line back the options it had. File and
// directory go with the last key if updraft made them.
func (r *Resource) Remove(_ context.Context, h resource.Host, made bool) error {
	defer h.Lock(r.lockName())()
	was, kept, err := original.Load(h, resource.Ref(r))
	if err != nil {
		return err
	}
	p, ok, err := r.place(h)
	if err != nil {
		return err
	}
	if ok && (made || kept) {
		err = p.confine(h, func(f resource.Files) error { return r.takeOut(f, p, made, was) })
	}
	if err == nil && ok {
		err = p.confine(h, func(f resource.Files) error { return r.tidy(h, f, p) })
	}
	if errors.Is(err, fs.ErrNotExist) || err == nil && !ok {
		err = original.Drop(h, r.madeRef()) // the home is gone
	}
	if err != nil {
		return fmt.Errorf("cannot take a key from user %s: %w", r.User, err)
	}
	return original.Drop(h, resource.Ref(r))
}

func (r *Resource) takeOut(f resource.Files, p place, made bool, was original.Entry) error {
	data, access, err := r.read(f, p)
	if err != nil || data == nil {
		return err
	}
	lines, blob := splitLines(data), r.want().blob
	_, i := find(lines, blob)
	if i < 0 {
		return nil
	}
	if made {
		lines = slices.DeleteFunc(lines, func(s string) bool {
			l, ok := parseLine(s)
			return ok && l.blob == blob
		})
	} else {
		lines[i] = was.Text
	}
	return r.replace(f, p, data, joinLines(lines), access)
}

// tidy removes what was made for keys once no line is left.
func (r *Resource) tidy(h resource.Host, f resource.Files, p place) error {
	e, kept, err := original.Load(h, r.madeRef())
	if err != nil || !kept {
		return err
	}
	fi, err := f.Lstat(p.file)
	if err == nil && fi.Size > 0 {
		return nil // other keys are left
	}
	if err == nil && slices.Contains(e.Made, p.file) {
		err = f.Remove(p.file)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if slices.Contains(e.Made, p.dir) {
		if err := original.RemoveEmpty(f, p.dir); err != nil {
			return err
		}
	}
	return original.Drop(h, r.madeRef())
}
