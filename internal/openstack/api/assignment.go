package api

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"

	"github.com/updraft-cloud/updraft/internal/drift"
	"github.com/updraft-cloud/updraft/internal/resource"
)

// assignments is the list of who has which role where. Its elements have no IDs.
func assignments() collection {
	return collection{service: "identity", path: "role_assignments", plural: "role_assignments", single: "role_assignment"}
}

// RoleAssignment gives a user a role in a project, a domain, or the system.
type RoleAssignment struct {
	User       string `json:"user" required:"true" doc:"Name of the user."`
	UserDomain string `json:"user_domain,omitempty" default:"Default" doc:"Domain of the user."`
	Role       string `json:"role" required:"true" doc:"Name of the role, such as member, reader or admin."`
	Project    string `json:"project,omitempty" doc:"Project in which the user has the role."`
	Domain     string `json:"domain,omitempty" doc:"Domain in which the user has the role, in place of a project."`
	System     bool   `json:"system,omitempty" default:"false" doc:"Whether the user has the role in the system as a whole, in place of a project."`
}

func roleAssignmentKind() Kind {
	return Kind{
		"role_assignment", "A role that a user has in a project, a domain or the system.",
		"user: demo\nrole: member\nproject: demo\n", func() Resource { return &RoleAssignment{} },
	}
}

// Kind returns "role_assignment".
func (*RoleAssignment) Kind() string { return "role_assignment" }

// Key returns user, role and place.
func (a *RoleAssignment) Key() string { return a.User + "/" + a.Role + "@" + a.place() }

func (a *RoleAssignment) place() string {
	switch {
	case a.System:
		return "system"
	case a.Domain != "":
		return "domain " + a.Domain
	}
	return a.Project
}

// Services returns "identity".
func (*RoleAssignment) Services() []string { return []string{"identity"} }

// Needs returns user, role, and project or domain.
func (a *RoleAssignment) Needs() []string {
	return slices.Concat([]string{"user:" + a.User, "role:" + a.Role}, projectNeed(a.Project), domainNeed(a.Domain))
}

// Validate checks the declaration.
func (a *RoleAssignment) Validate() error {
	errs := []error{
		validName("user", a.User), validName("role", a.Role), validOptional("project", a.Project),
		validOptional("domain", a.Domain), validOptional("user_domain", a.UserDomain),
	}
	places := 0
	for _, given := range []bool{a.Project != "", a.Domain != "", a.System} {
		if given {
			places++
		}
	}
	if places != 1 {
		errs = append(errs, resource.Fieldf("project", "give a project, a domain, or system: true", "a role is had in one place, %d are given", places))
	}
	return errors.Join(errs...)
}

func (a *RoleAssignment) identity() Resource { c := *a; return &c }

// grant is an assignment in IDs.
type grant struct{ user, role, path, id string }

// resolve finds the IDs. path is where such assignments lie in the API, without
// user and role; for a place, id is that of the project or domain.
func (a *RoleAssignment) resolve(ctx context.Context, v *view) (g grant, err error) {
	userDomain, err := v.domain(ctx, a.UserDomain)
	if err != nil {
		return g, err
	}
	if g.user, err = v.ref(ctx, users(), a.User, object{"name": a.User, "domain_id": userDomain}); err != nil {
		return g, err
	}
	if g.role, err = v.ref(ctx, roles(), a.Role, object{"name": a.Role, "domain_id": nil}); err != nil {
		return g, err
	}
	switch {
	case a.System:
		g.path = "system"
	case a.Domain != "":
		g.id, err = v.domain(ctx, a.Domain)
		g.path = "domains/" + g.id
	default:
		g.id, err = v.project(ctx, a.Project)
		g.path = "projects/" + g.id
	}
	return g, err
}

// url is where the assignment is made and removed.
func (g grant) url() string { return g.path + "/users/" + g.user + "/roles/" + g.role }

// holds reports whether a listed assignment is this one.
func (g grant) holds(o object) bool {
	at := func(k string) object { m, _ := o[k].(map[string]any); return m }
	scope := at("scope")
	place := func(k string) string { m, _ := scope[k].(map[string]any); return object(m).text("id") }
	if at("user").text("id") != g.user || at("role").text("id") != g.role || scope["OS-INHERIT:inherited_to"] != nil {
		return false
	}
	if g.id == "" {
		return scope["system"] != nil
	}
	return cmp.Or(place("project"), place("domain")) == g.id
}

func (a *RoleAssignment) observe(ctx context.Context, v *view) (drift.Report, error) {
	g, err := a.resolve(ctx, v)
	if err != nil {
		return drift.Report{}, err
	}
	list, err := v.list(ctx, assignments())
	if err != nil {
		return drift.Report{}, err
	}
	for _, o := range list {
		if g.holds(o) {
			return drift.Report{Status: drift.InSync}, nil
		}
	}
	return drift.Missing(), nil
}

func (a *RoleAssignment) apply(ctx context.Context, v *view) error {
	g, err := a.resolve(ctx, v)
	if err != nil {
		return err
	}
	defer v.forget(assignments())
	return v.write(ctx, request{
		service: "identity", method: http.MethodPut, path: g.url(),
		doing: fmt.Sprintf("give %s the role %s in %s", a.User, a.Role, a.place()),
	})
}

func (a *RoleAssignment) remove(ctx context.Context, v *view) error {
	g, err := a.resolve(ctx, v)
	if err != nil {
		return err
	}
	defer v.forget(assignments())
	err = v.write(ctx, request{
		service: "identity", method: http.MethodDelete, path: g.url(),
		doing: fmt.Sprintf("take the role %s in %s from %s", a.Role, a.place(), a.User),
	})
	if statusOf(err) == http.StatusNotFound {
		return nil
	}
	return err
}

// escape makes a name safe as one element of a path.
func escape(name string) string { return url.PathEscape(name) }
