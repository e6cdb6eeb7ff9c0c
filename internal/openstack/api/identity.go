package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"

	"github.com/updraft-cloud/updraft/internal/drift"
	"github.com/updraft-cloud/updraft/internal/resource"
)

// Keystone's own things. API reference: docs.openstack.org/api-ref/identity/v3.

func projects() collection {
	return collection{service: "identity", path: "projects", plural: "projects", single: "project", method: http.MethodPatch}
}

func users() collection {
	return collection{service: "identity", path: "users", plural: "users", single: "user", method: http.MethodPatch}
}

func roles() collection {
	return collection{service: "identity", path: "roles", plural: "roles", single: "role", method: http.MethodPatch}
}

func services() collection {
	return collection{service: "identity", path: "services", plural: "services", single: "service", method: http.MethodPatch}
}

func endpoints() collection {
	return collection{service: "identity", path: "endpoints", plural: "endpoints", single: "endpoint", method: http.MethodPatch}
}

// Project is a tenant.
type Project struct {
	Name        string `json:"name" required:"true" doc:"Name of the project."`
	Domain      string `json:"domain,omitempty" default:"Default" doc:"Domain that it belongs to."`
	Description string `json:"description,omitempty" doc:"What it is for; left alone when not given."`
	Enabled     *bool  `json:"enabled,omitempty" doc:"Whether its users can use it; left alone when not given."`
}

func projectKind() Kind {
	return Kind{"project", "A project (tenant) of Keystone.", "name: demo\ndescription: The first tenant\n", func() Resource { return &Project{} }}
}

// Kind returns "project".
func (*Project) Kind() string { return "project" }

// Key returns the name.
func (p *Project) Key() string { return p.Name }

// Services returns "identity".
func (*Project) Services() []string { return []string{"identity"} }

// Needs returns the domain.
func (p *Project) Needs() []string { return domainNeed(p.Domain) }

// Validate checks the declaration.
func (p *Project) Validate() error {
	return errors.Join(validName("name", p.Name), validOptional("domain", p.Domain))
}

func (p *Project) identity() Resource { return &Project{Name: p.Name, Domain: p.Domain} }

func (p *Project) thing(ctx context.Context, v *view) (*thing, error) {
	domain, err := v.domain(ctx, p.Domain)
	if err != nil {
		return nil, err
	}
	t := &thing{coll: projects(), name: p.Name, match: object{"name": p.Name, "domain_id": domain}}
	t.optional("description", p.Description)
	t.optional("enabled", p.Enabled)
	return t, nil
}

// User is somebody, or a service, who can get a token.
type User struct {
	Name        string `json:"name" required:"true" doc:"Name of the user."`
	Domain      string `json:"domain,omitempty" default:"Default" doc:"Domain that the user belongs to."`
	Password    string `json:"password,omitempty" doc:"Name of the secret that is the user's password; it is made if there is none. Left alone when not given."`
	Description string `json:"description,omitempty" doc:"Who it is; left alone when not given."`
	Email       string `json:"email,omitempty" doc:"Address for people; left alone when not given."`
	Enabled     *bool  `json:"enabled,omitempty" doc:"Whether the user can get a token; left alone when not given."`
}

func userKind() Kind {
	return Kind{"user", "A user of Keystone, with a password from the cloud's secrets.", "name: demo\npassword: user-demo\n", func() Resource { return &User{} }}
}

// Kind returns "user".
func (*User) Kind() string { return "user" }

// Key returns the name.
func (u *User) Key() string { return u.Name }

// Services returns "identity".
func (*User) Services() []string { return []string{"identity"} }

// Needs returns the domain.
func (u *User) Needs() []string { return domainNeed(u.Domain) }

// Validate checks the declaration.
func (u *User) Validate() error {
	return errors.Join(validName("name", u.Name), validOptional("domain", u.Domain), validOptional("password", u.Password))
}

func (u *User) identity() Resource { return &User{Name: u.Name, Domain: u.Domain} }

func (u *User) thing(ctx context.Context, v *view) (*thing, error) {
	domain, err := v.domain(ctx, u.Domain)
	if err != nil {
		return nil, err
	}
	t := &thing{coll: users(), name: u.Name, match: object{"name": u.Name, "domain_id": domain}}
	t.optional("description", u.Description)
	t.optional("email", u.Email)
	t.optional("enabled", u.Enabled)
	if u.Password == "" {
		return t, nil
	}
	password, err := v.secrets(u.Password)
	if err != nil {
		return nil, fmt.Errorf("cannot set the password of user %s: %w", u.Name, err)
	}
	v.c.hide(password)
	t.once = object{"password": password}
	t.also = func(ctx context.Context, got object, b *drift.Builder) (object, error) {
		if got["enabled"] == false {
			return nil, nil // nobody can tell: it is refused whatever the password
		}
		right, err := v.c.tryPassword(ctx, got.text("id"), password)
		if err != nil || right {
			return nil, err
		}
		b.Add(drift.Change{Attr: "password"})
		return object{"password": password}, nil
	}
	return t, nil
}

// tryPassword reports whether the password is the user's, by asking for a token
// for nothing. Keystone spends a quarter of a second on it (bcrypt), which is as
// cheap as it gets.
func (c *Client) tryPassword(ctx context.Context, user, password string) (bool, error) {
	body := map[string]any{"auth": map[string]any{
		"identity": map[string]any{
			"methods":  []string{"password"},
			"password": map[string]any{"user": map[string]any{"id": user, "password": password}},
		},
		"scope": "unscoped",
	}}
	ctx, cancel := context.WithTimeout(ctx, c.access.Timeout)
	defer cancel()
	status, err := c.bare(ctx, c.provider.IdentityBase+"v3/auth/tokens?nocatalog", body)
	if err != nil {
		return false, c.wrap(ctx, "try a password", err)
	}
	switch status {
	case http.StatusCreated, http.StatusOK:
		return true, nil
	case http.StatusUnauthorized:
		return false, nil
	}
	e := &Error{Status: status}
	return false, c.wrapStatus("try a password", e)
}

// Role is a name for what somebody may do.
type Role struct {
	Name        string `json:"name" required:"true" doc:"Name of the role. What it allows is said by the services' policies."`
	Description string `json:"description,omitempty" doc:"What it is for; left alone when not given."`
}

func roleKind() Kind {
	return Kind{"role", "A role of Keystone.", "name: operator\n", func() Resource { return &Role{} }}
}

// Kind returns "role".
func (*Role) Kind() string { return "role" }

// Key returns the name.
func (r *Role) Key() string { return r.Name }

// Services returns "identity".
func (*Role) Services() []string { return []string{"identity"} }

// Needs returns nothing.
func (*Role) Needs() []string { return nil }

// Validate checks the declaration.
func (r *Role) Validate() error { return validName("name", r.Name) }

func (r *Role) identity() Resource { return &Role{Name: r.Name} }

func (r *Role) thing(context.Context, *view) (*thing, error) {
	t := &thing{coll: roles(), name: r.Name, match: object{"name": r.Name, "domain_id": nil}}
	t.optional("description", r.Description)
	return t, nil
}

// Service is an entry of the catalogue.
type Service struct {
	Type        string `json:"type" required:"true" doc:"Type of the service, such as compute; there is one of each."`
	Name        string `json:"name" required:"true" doc:"Name of the service, such as nova."`
	Description string `json:"description,omitempty" doc:"What it is; left alone when not given."`
	Enabled     *bool  `json:"enabled,omitempty" doc:"Whether it is shown in the catalogue; left alone when not given."`
}

func serviceKind() Kind {
	return Kind{"service", "A service in Keystone's catalogue.", "type: object-store\nname: swift\n", func() Resource { return &Service{} }}
}

// Kind returns "service".
func (*Service) Kind() string { return "service" }

// Key returns the type.
func (s *Service) Key() string { return s.Type }

// Services returns "identity".
func (*Service) Services() []string { return []string{"identity"} }

// Needs returns nothing.
func (*Service) Needs() []string { return nil }

// Validate checks the declaration.
func (s *Service) Validate() error {
	return errors.Join(validName("type", s.Type), validName("name", s.Name))
}

func (s *Service) identity() Resource { return &Service{Type: s.Type} }

func (s *Service) thing(context.Context, *view) (*thing, error) {
	t := &thing{coll: services(), name: s.Type, match: object{"type": s.Type}}
	t.optional("name", s.Name)
	t.optional("description", s.Description)
	t.optional("enabled", s.Enabled)
	return t, nil
}

// Endpoint is where a service answers.
type Endpoint struct {
	Type      string `json:"type" required:"true" doc:"Type of the service, such as compute."`
	Interface string `json:"interface" required:"true" enum:"public,internal,admin" doc:"For whom the endpoint is."`
	Region    string `json:"region" required:"true" doc:"Region that it belongs to; it is made if there is none."`
	URL       string `json:"url" required:"true" doc:"Where the service answers."`
	Enabled   *bool  `json:"enabled,omitempty" doc:"Whether it is shown in the catalogue; left alone when not given."`
}

func endpointKind() Kind {
	return Kind{
		"endpoint", "An endpoint of a service in Keystone's catalogue.",
		"type: object-store\ninterface: public\nregion: RegionOne\nurl: https://192.0.2.10:8080/v1\n", func() Resource { return &Endpoint{} },
	}
}

// Kind returns "endpoint".
func (*Endpoint) Kind() string { return "endpoint" }

// Key returns type, interface and region.
func (e *Endpoint) Key() string { return e.Type + ":" + e.Interface + ":" + e.Region }

// Services returns "identity".
func (*Endpoint) Services() []string { return []string{"identity"} }

// Needs returns the service.
func (e *Endpoint) Needs() []string { return []string{"service:" + e.Type} }

// Validate checks the declaration.
func (e *Endpoint) Validate() error {
	errs := []error{
		validName("type", e.Type), validName("interface", e.Interface),
		validOneOf("interface", e.Interface, "public", "internal", "admin"), validName("region", e.Region),
	}
	if u, err := url.Parse(e.URL); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || u.User != nil {
		errs = append(errs, resource.Fieldf("url", "give one such as https://192.0.2.10:8774/v2.1", "%q is not the URL of a service", e.URL))
	}
	return errors.Join(errs...)
}

func (e *Endpoint) identity() Resource {
	return &Endpoint{Type: e.Type, Interface: e.Interface, Region: e.Region}
}

func (e *Endpoint) thing(ctx context.Context, v *view) (*thing, error) {
	service, err := v.ref(ctx, services(), e.Type, object{"type": e.Type})
	if err != nil {
		return nil, err
	}
	t := &thing{
		coll: endpoints(), name: e.Key(),
		match: object{"service_id": service, "interface": e.Interface, "region_id": e.Region},
		// Keystone makes a region that it does not know if it is given in this old
		// way, and refuses it in the other.
		once: object{"region": e.Region, "region_id": nil},
	}
	t.optional("url", e.URL)
	t.optional("enabled", e.Enabled)
	return t, nil
}
