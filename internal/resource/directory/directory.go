// Package directory is the kind "directory": a directory with its mode and
// owner.
//
// What a directory holds is not touched. Removing it removes the directory, and
// the parents that were made for it, as far as they are empty. Only one that was
// made and is disposable goes with all that it holds.
package directory

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"

	"github.com/updraft-cloud/updraft/internal/drift"
	"github.com/updraft-cloud/updraft/internal/resource"
	"github.com/updraft-cloud/updraft/internal/resource/original"
	"github.com/updraft-cloud/updraft/internal/resource/perm"
)

// Resource is a directory.
type Resource struct {
	Path    string `json:"path" doc:"Absolute path of the directory." required:"true"`
	Mode    string `json:"mode,omitempty" doc:"Permissions in octal; an existing directory keeps its own when this is left out." default:"0755"`
	Owner   string `json:"owner,omitempty" doc:"Owner, by name or number; an existing directory keeps its own when this is left out." default:"root"`
	Group   string `json:"group,omitempty" doc:"Group, by name or number; an existing directory keeps its own when this is left out." default:"root"`
	Parents *bool  `json:"parents,omitempty" doc:"Make missing parents, as root's and with mode 0755." default:"true"`
	// Disposable is for caches and copies.
	Disposable bool `json:"disposable,omitempty" doc:"What it holds can be had again: when the directory is removed, and updraft made it, all that is in it goes along."`
}

// Kind returns the kind.
func Kind() resource.Kind {
	return resource.Kind{
		Name: "directory",
		Doc:  "A directory with its mode and owner; what it holds is left alone.",
		New:  func() resource.Resource { return &Resource{} },
		Example: `path: /srv/www
mode: "0755"
owner: www-data
`,
	}
}

// Kind returns "directory".
func (*Resource) Kind() string { return "directory" }

// Key returns the path.
func (r *Resource) Key() string { return r.Path }

// Needs returns the directories above and the owner.
func (r *Resource) Needs() []string { return r.spec().Needs(r.Path) }

func (r *Resource) spec() perm.Spec { return perm.Spec{Mode: r.Mode, Owner: r.Owner, Group: r.Group} }

func (r *Resource) makesParents() bool { return r.Parents == nil || *r.Parents }

// Validate checks path, mode and owner.
func (r *Resource) Validate() error {
	return errors.Join(perm.CheckPath("path", r.Path), r.spec().Validate())
}

// Observe compares the directory with what is wanted. A symlink to a directory
// counts as one: distributions move directories in this way.
func (r *Resource) Observe(_ context.Context, h resource.Host) (drift.Report, error) {
	fi, err := h.Stat(r.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return r.observeMissing(h)
	}
	if err != nil {
		return drift.Report{}, err
	}
	var b drift.Builder
	if fi.Type != resource.Directory {
		b.Want("type", original.TypeName(fi.Type), "directory")
		return b.Report(), nil
	}
	if err := r.spec().Compare(h, fi, &b); err != nil {
		return drift.Report{}, err
	}
	return b.Report(), nil
}

// observeMissing tells a symlink that points nowhere from nothing at all.
func (r *Resource) observeMissing(h resource.Host) (drift.Report, error) {
	if _, err := h.Lstat(r.Path); errors.Is(err, fs.ErrNotExist) {
		return drift.Missing(), nil
	} else if err != nil {
		return drift.Report{}, err
	}
	var b drift.Builder
	b.Want("type", "symlink to nothing", "directory")
	return b.Report(), nil
}

// Apply makes the directory, or sets its mode and owner.
func (r *Resource) Apply(ctx context.Context, h resource.Host, _ drift.Report, why resource.Cause) error {
	found, err := r.Observe(ctx, h)
	switch {
	case err != nil || found.Agrees():
		return err
	case found.Has("type") && found.Status != drift.Absent:
		return fmt.Errorf("cannot make directory %s: there is a %s", r.Path, found.Changes[0].From)
	case found.Status == drift.Absent:
		err = r.make(h, why)
	default:
		err = r.change(h, why)
	}
	if err != nil {
		return fmt.Errorf("cannot make directory %s: %w", r.Path, err)
	}
	return nil
}

func (r *Resource) make(h resource.Host, why resource.Cause) error {
	access, err := r.spec().Access(h, resource.Access{Mode: 0o755})
	if err != nil {
		return err
	}
	missing, err := missingAbove(h, r.Path)
	if err != nil {
		return err
	}
	if len(missing) > 0 && !r.makesParents() {
		return fmt.Errorf("%s does not exist, and parents is false", missing[len(missing)-1])
	}
	if len(missing) > 0 {
		if err := original.Keep(h, resource.Ref(r), original.Entry{Made: missing}); err != nil {
			return err
		}
	}
	for _, dir := range missing {
		if err := h.Mkdir(dir, resource.Access{Mode: 0o755}); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
	}
	if err := h.Mkdir(r.Path, access); !errors.Is(err, fs.ErrExist) {
		return err
	}
	return r.change(h, why) // another resource made it, as a parent of its own
}

// missingAbove returns the directories above p that do not exist, highest first.
func missingAbove(h resource.Host, p string) ([]string, error) {
	var out []string
	for dir := path.Dir(p); dir != "/"; dir = path.Dir(dir) {
		_, err := h.Stat(dir)
		if err == nil {
			break
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		out = append(out, dir)
	}
	slices.Reverse(out)
	return out, nil
}

func (r *Resource) change(h resource.Host, why resource.Cause) error {
	fi, err := h.Stat(r.Path)
	if err != nil {
		return err
	}
	want, err := r.spec().Access(h, perm.AccessOf(fi))
	if err != nil {
		return err
	}
	if want == perm.AccessOf(fi) {
		return nil
	}
	was := original.Entry{Type: "directory", Mode: fi.Mode, UID: fi.UID, GID: fi.GID}
	if err := original.KeepUnless(why.Made, h, resource.Ref(r), was); err != nil {
		return err
	}
	return perm.Set(h, r.Path, fi, want)
}

// Remove removes the directory if it was made and is empty or disposable, then the parents
// made for it that are empty. A directory that was there gets its mode and
// owner back.
func (r *Resource) Remove(ctx context.Context, h resource.Host, made bool) error {
	was, kept, err := original.Load(h, resource.Ref(r))
	if err != nil {
		return err
	}
	if made && r.Disposable {
		_, err = h.Run(ctx, resource.Command{Name: "rm", Args: []string{"-rf", "--one-file-system", "--", r.Path}})
	} else if made {
		err = original.RemoveEmpty(h, r.Path)
	} else if kept && was.Type == "directory" {
		err = r.restore(h, was)
	}
	if err != nil {
		return err
	}
	if err := was.RemoveMade(h); err != nil {
		return err
	}
	return original.Drop(h, resource.Ref(r))
}

func (r *Resource) restore(h resource.Host, was original.Entry) error {
	fi, err := h.Stat(r.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return perm.Set(h, r.Path, fi, resource.Access{Mode: was.Mode, UID: was.UID, GID: was.GID})
}
