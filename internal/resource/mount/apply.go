package mount

import (
	"context"
	"errors"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/updraft-cloud/updraft/internal/drift"
	"github.com/updraft-cloud/updraft/internal/resource"
	"github.com/updraft-cloud/updraft/internal/resource/original"
	"github.com/updraft-cloud/updraft/internal/resource/perm"
)

// Apply writes the line of fstab, makes the mount point and mounts.
func (r *Resource) Apply(ctx context.Context, h resource.Host, _ drift.Report, why resource.Cause) error {
	v, err := r.look(h)
	if err != nil {
		return err
	}
	if err := r.keep(h, v, why.Made); err != nil {
		return err
	}
	if v.line < 0 || v.inFstab != r.line() {
		if err := r.edit(h, r.line().String()+"\n"); err != nil {
			return err
		}
	}
	if !r.wantsMounted() {
		return nil
	}
	if err := r.makePoint(h); err != nil {
		return err
	}
	return r.mount(ctx, h, v)
}

// keep stores the line that was there, whether it was mounted and with which
// options, and the directories that will have been made.
func (r *Resource) keep(h resource.Host, v view, made bool) error {
	e, err := r.before(h, v, made)
	if err != nil || e.Text == "" && e.Type == "" && len(e.Made) == 0 {
		return err
	}
	return original.Keep(h, resource.Ref(r), e)
}

func (r *Resource) before(h resource.Host, v view, made bool) (e original.Entry, err error) {
	if v.line >= 0 && !made {
		table, err := readLines(h, fstab)
		if err != nil {
			return e, err
		}
		e.Text = table[v.line]
	}
	if v.mounted && !made {
		e.Type = v.live.String()
	}
	if r.wantsMounted() {
		e.Made, err = missing(h, r.Target)
	}
	return e, err
}

// missing returns the directories down to p that do not exist, highest first.
func missing(h resource.Host, p string) ([]string, error) {
	var out []string
	for ; p != "/"; p = path.Dir(p) {
		_, err := h.Stat(p)
		if err == nil {
			break
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		out = append(out, p)
	}
	slices.Reverse(out)
	return out, nil
}

// edit puts a line, or nothing, in the place of the target's line in fstab.
func (r *Resource) edit(h resource.Host, line string) error {
	defer h.Lock(fstab)()
	lines, err := readLines(h, fstab)
	if err != nil {
		return err
	}
	access := resource.Access{Mode: 0o644}
	if fi, err := h.Stat(fstab); err == nil {
		access = perm.AccessOf(fi)
	}
	before := strings.Join(lines, "")
	if _, i := findIn(lines, r.Target); i >= 0 {
		lines[i] = line
	} else if line != "" {
		at := len(lines)
		if at > 0 && !strings.HasSuffix(lines[at-1], "\n") {
			at-- // before a last line without a newline, so that none is to be added
		}
		lines = slices.Insert(lines, at, line)
	}
	if after := strings.Join(lines, ""); after != before {
		return h.WriteFile(fstab, []byte(after), access)
	}
	return nil
}

func (r *Resource) makePoint(h resource.Host) error {
	dirs, err := missing(h, r.Target)
	if err != nil {
		return err
	}
	for _, dir := range dirs {
		if err := h.Mkdir(dir, resource.Access{Mode: 0o755}); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
	}
	return nil
}

// mount mounts, or mounts anew with other options. Another file system at the
// target has to go first.
func (r *Resource) mount(ctx context.Context, h resource.Host, v view) error {
	switch {
	case v.mounted && !r.sameLive(v):
		if err := umount(ctx, h, r.Target); err != nil {
			return err
		}
	case v.mounted && flagsOf(v.live.options) == flagsOf(r.options()):
		return nil
	case v.mounted:
		return r.remount(ctx, h)
	}
	// A bind's other options are set by mount(8) itself, since util-linux 2.27.
	return run(ctx, h, "mount", "-t", r.FSType, "-o", r.options(), r.Source, r.Target)
}

// remount sets the comparable options of the mount alone: the rest of its
// options may be such as only a new mount takes.
func (r *Resource) remount(ctx context.Context, h resource.Host) error {
	list := []string{"remount"}
	if r.isBind() {
		list = append(list, "bind")
	}
	for _, flag := range []string{"ro", "nosuid", "nodev", "noexec", "noatime"} {
		if slices.Contains(r.Options, flag) {
			list = append(list, flag)
		} else {
			list = append(list, kernelFlags[flag])
		}
	}
	return run(ctx, h, "mount", "-t", r.FSType, "-o", strings.Join(list, ","), r.Source, r.Target)
}

func umount(ctx context.Context, h resource.Host, target string) error {
	return run(ctx, h, "umount", target)
}

func run(ctx context.Context, h resource.Host, name string, args ...string) error {
	_, err := h.Run(ctx, resource.Command{Name: name, Args: args})
	return err
}

// Remove unmounts what was mounted, takes the line out of fstab or gives it back
// as it was, and removes the mount point if it was made and is empty.
func (r *Resource) Remove(ctx context.Context, h resource.Host, made bool) error {
	was, kept, err := original.Load(h, resource.Ref(r))
	if err != nil {
		return err
	}
	v, err := r.look(h)
	if err != nil {
		return err
	}
	if made || kept {
		if err := r.removeLive(ctx, h, v, was); err != nil {
			return err
		}
		if err := r.edit(h, was.Text); err != nil {
			return err
		}
	}
	if err := was.RemoveMade(h); err != nil {
		return err
	}
	return original.Drop(h, resource.Ref(r))
}

// removeLive brings back what was mounted: nothing, or the same with the
// options from before, or another file system.
func (r *Resource) removeLive(ctx context.Context, h resource.Host, v view, was original.Entry) error {
	if r.State == Fstab {
		return nil
	}
	old, wasMounted := parse(was.Type)
	if !wasMounted {
		if v.mounted {
			return umount(ctx, h, r.Target)
		}
		return nil
	}
	if v.mounted && old == v.live {
		return nil
	}
	back := &Resource{Target: r.Target, Source: old.source, FSType: old.fstype, Options: strings.Split(old.options, ",")}
	return back.mount(ctx, h, v)
}
