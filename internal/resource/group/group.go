// Package group is the kind "group": a local group of the host.
//
// Who is a member is said on the users, by the kind "user".
package group

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/updraft-cloud/updraft/internal/drift"
	"github.com/updraft-cloud/updraft/internal/resource"
	"github.com/updraft-cloud/updraft/internal/resource/account"
	"github.com/updraft-cloud/updraft/internal/resource/original"
)

// Resource is a group.
type Resource struct {
	Name   string `json:"name" doc:"Name of the group." required:"true"`
	GID    int    `json:"gid,omitempty" doc:"Number of the group; the system chooses one when it is left out."`
	System bool   `json:"system,omitempty" doc:"Choose the number from those of system groups; means nothing for a group that exists."`
}

// Kind returns the kind.
func Kind() resource.Kind {
	return resource.Kind{
		Name: "group",
		Doc:  "A local group. Its members are said on the users.",
		New:  func() resource.Resource { return &Resource{} },
		Example: `name: operators
gid: 2000
`,
	}
}

// Kind returns "group".
func (*Resource) Kind() string { return "group" }

// Key returns the name.
func (r *Resource) Key() string { return r.Name }

// Removal returns the name alone.
func (r *Resource) Removal() resource.Resource { return &Resource{Name: r.Name} }

// Validate checks name and number.
func (r *Resource) Validate() error {
	var errs []error
	if err := account.CheckName(r.Name); err != nil {
		errs = append(errs, resource.Fieldf("name", "choose a name such as operators", "%v", err))
	}
	if r.GID < 0 || r.GID >= 1<<32-1 {
		errs = append(errs, resource.Fieldf("gid", "choose a number from 1 up", "%d is not a group number", r.GID))
	}
	return errors.Join(errs...)
}

// Observe compares the group with what is wanted.
func (r *Resource) Observe(_ context.Context, h resource.Host) (drift.Report, error) {
	db, err := account.Load(h)
	if err != nil {
		return drift.Report{}, err
	}
	g, ok := db.Group(r.Name)
	if !ok {
		return drift.Missing(), nil
	}
	var b drift.Builder
	if r.GID != 0 {
		b.Want("gid", strconv.Itoa(g.GID), strconv.Itoa(r.GID))
	}
	return b.Report(), nil
}

// Apply makes the group or changes its number. Files keep the old number.
func (r *Resource) Apply(ctx context.Context, h resource.Host, _ drift.Report, why resource.Cause) error {
	defer h.Lock(account.Lock)()
	db, err := account.Load(h)
	if err != nil {
		return err
	}
	g, ok := db.Group(r.Name)
	switch {
	case !ok:
		return run(ctx, h, "groupadd", r.addArgs()...)
	case r.GID == 0 || g.GID == r.GID:
		return nil
	}
	was := original.Entry{Text: strconv.Itoa(g.GID)}
	if err := original.KeepUnless(why.Made, h, resource.Ref(r), was); err != nil {
		return err
	}
	return run(ctx, h, "groupmod", "--gid", strconv.Itoa(r.GID), r.Name)
}

func (r *Resource) addArgs() []string {
	var args []string
	if r.GID != 0 {
		args = append(args, "--gid", strconv.Itoa(r.GID))
	}
	if r.System {
		args = append(args, "--system")
	}
	return append(args, r.Name)
}

func run(ctx context.Context, h resource.Host, name string, args ...string) error {
	_, err := h.Run(ctx, resource.Command{Name: name, Args: args})
	return err
}

// Remove deletes the group if it was made, and otherwise gives it its number
// back. A group that is some user's primary one cannot go.
func (r *Resource) Remove(ctx context.Context, h resource.Host, made bool) error {
	defer h.Lock(account.Lock)()
	db, err := account.Load(h)
	if err != nil {
		return err
	}
	was, kept, err := original.Load(h, resource.Ref(r))
	if err != nil {
		return err
	}
	g, exists := db.Group(r.Name)
	switch {
	case !exists:
	case made:
		if err := r.refuseIfPrimary(db, g); err != nil {
			return err
		}
		err = run(ctx, h, "groupdel", r.Name)
	case kept && was.Text != strconv.Itoa(g.GID):
		err = run(ctx, h, "groupmod", "--gid", was.Text, r.Name)
	}
	if err != nil {
		return err
	}
	return original.Drop(h, resource.Ref(r))
}

func (r *Resource) refuseIfPrimary(db *account.DB, g account.Group) error {
	for _, u := range db.Users {
		if u.GID == g.GID {
			return fmt.Errorf("cannot remove group %s: it is the primary group of user %s", r.Name, u.Name)
		}
	}
	return nil
}
