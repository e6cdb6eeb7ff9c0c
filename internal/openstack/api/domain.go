package api

import (
	"context"
	"errors"
	"net/http"
)

// Domain is a set of projects and users, apart from those of other domains.
type Domain struct {
	Name        string `json:"name" required:"true" doc:"Name of the domain."`
	Description string `json:"description,omitempty" doc:"What it is for; left alone when not given."`
}

func domainKind() Kind {
	return Kind{"domain", "A domain of Keystone: projects and users apart from all others.", "name: customers\n", func() Resource { return &Domain{} }}
}

// Kind returns "domain".
func (*Domain) Kind() string { return "domain" }

// Key returns the name.
func (d *Domain) Key() string { return d.Name }

// Services returns "identity".
func (*Domain) Services() []string { return []string{"identity"} }

// Needs returns nothing.
func (*Domain) Needs() []string { return nil }

// Validate checks the declaration.
func (d *Domain) Validate() error { return errors.Join(validName("name", d.Name)) }

func (d *Domain) identity() Resource { return &Domain{Name: d.Name} }

func (d *Domain) thing(_ context.Context, v *view) (*thing, error) {
	t := &thing{coll: domains(), name: d.Name, match: object{"name": d.Name}}
	t.optional("description", d.Description)
	// Keystone deletes no domain that is in use, which its being enabled counts as.
	t.empty = func(ctx context.Context, got object) error {
		return v.write(ctx, request{
			service: "identity", method: http.MethodPatch, path: "domains/" + got.text("id"),
			body: domains().wrapped(object{"enabled": false}), doing: "disable the domain " + d.Name,
		})
	}
	return t, nil
}

// domainNeed is a reference to a domain, or none for the one that is always there.
func domainNeed(domain string) []string {
	if domain == "" || domain == "Default" {
		return nil
	}
	return []string{"domain:" + domain}
}
