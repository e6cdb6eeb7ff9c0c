// Package symlink is the kind "symlink": a symbolic link and what it points to.
//
// A link is replaced atomically. A file in its place is replaced only with
// force, and comes back when the resource is removed; a directory never is.
package symlink

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"

	"github.com/updraft-cloud/updraft/internal/drift"
	"github.com/updraft-cloud/updraft/internal/resource"
	"github.com/updraft-cloud/updraft/internal/resource/original"
	"github.com/updraft-cloud/updraft/internal/resource/perm"
)

// Resource is a symlink.
type Resource struct {
	Path   string `json:"path" doc:"Absolute path of the link." required:"true"`
	Target string `json:"target" doc:"What the link points to; relative targets count from the link's directory, and need not exist." required:"true"`
	Force  bool   `json:"force,omitempty" doc:"Replace a file that is in the link's place; it comes back when the link is removed."`
}

// Kind returns the kind.
func Kind() resource.Kind {
	return resource.Kind{
		Name: "symlink",
		Doc:  "A symbolic link. It replaces another link, and a file if told to, but never a directory.",
		New:  func() resource.Resource { return &Resource{} },
		Example: `path: /etc/localtime
target: /usr/share/zoneinfo/UTC
`,
	}
}

// Kind returns "symlink".
func (*Resource) Kind() string { return "symlink" }

// Key returns the path.
func (r *Resource) Key() string { return r.Path }

// Needs returns what provides the directories above, and the target: a service
// that follows the link is to find it.
func (r *Resource) Needs() []string {
	target := r.Target
	if !path.IsAbs(target) {
		target = path.Join(path.Dir(r.Path), target)
	}
	return append(perm.Above(r.Path), "file:"+target, "directory:"+target)
}

// Validate checks path and target.
func (r *Resource) Validate() error {
	errs := []error{perm.CheckPath("path", r.Path)}
	switch {
	case r.Target == "":
		errs = append(errs, resource.Fieldf("target", "say what the link points to", "is missing"))
	case strings.ContainsFunc(r.Target, func(c rune) bool { return c < ' ' || c == 0x7f }):
		errs = append(errs, resource.Fieldf("target", "", "%q holds control characters", r.Target))
	case r.Target == r.Path:
		errs = append(errs, resource.Fieldf("target", "", "the link would point to itself"))
	}
	return errors.Join(errs...)
}

// Observe compares the link with what is wanted.
func (r *Resource) Observe(_ context.Context, h resource.Host) (drift.Report, error) {
	fi, err := h.Lstat(r.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return drift.Missing(), nil
	}
	if err != nil {
		return drift.Report{}, err
	}
	var b drift.Builder
	if fi.Type != resource.Symlink {
		b.Want("type", original.TypeName(fi.Type), "symlink")
		return b.Report(), nil
	}
	target, err := h.Readlink(r.Path)
	if err != nil {
		return drift.Report{}, err
	}
	b.Want("target", target, r.Target)
	return b.Report(), nil
}

// Apply makes the link.
func (r *Resource) Apply(_ context.Context, h resource.Host, _ drift.Report, why resource.Cause) error {
	was, err := original.Of(h, r.Path)
	if err != nil {
		return err
	}
	switch {
	case was.Type == "symlink" && was.Text == r.Target:
		return nil
	case was.Type == "file" && !r.Force:
		return fmt.Errorf("cannot link %s: there is a file; set force to replace it", r.Path)
	case was.Type != "" && was.Type != "file" && was.Type != "symlink":
		return fmt.Errorf("cannot link %s: there is a %s", r.Path, was.Type)
	}
	if was.Type != "" {
		if err := original.KeepUnless(why.Made, h, resource.Ref(r), was); err != nil {
			return err
		}
	}
	if was.Type == "file" {
		if err := h.Remove(r.Path); err != nil {
			return err
		}
	}
	return h.Symlink(r.Target, r.Path)
}

// Remove removes the link, or brings back what was there before.
func (r *Resource) Remove(_ context.Context, h resource.Host, made bool) error {
	was, kept, err := original.Load(h, resource.Ref(r))
	if err != nil {
		return err
	}
	if made {
		err = r.removeMade(h)
	} else if kept {
		err = r.restore(h, was)
	}
	if err != nil {
		return err
	}
	return original.Drop(h, resource.Ref(r))
}

func (r *Resource) removeMade(h resource.Host) error {
	fi, err := h.Lstat(r.Path)
	if errors.Is(err, fs.ErrNotExist) || err == nil && fi.Type != resource.Symlink {
		return nil
	}
	if err != nil {
		return err
	}
	return h.Remove(r.Path)
}

// restore puts back what was there, unless something else took the place.
func (r *Resource) restore(h resource.Host, was original.Entry) error {
	now, err := original.Of(h, r.Path)
	if err != nil || now.Type != "" && now.Type != "symlink" || now.Type == was.Type && now.Text == was.Text {
		return err
	}
	err = was.Restore(h, r.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // its directory is gone
	}
	return err
}
