package api

import (
	"context"
	"net/url"

	"github.com/updraft-cloud/updraft/internal/drift"
)

// Controller is a controller as Nova and Neutron know it: by the services that work
// there. They make their records of it themselves; removing it, once they have
// stopped for good, deletes those, which nobody else does: they would be shown as
// down for ever. Cloud files do not declare it.
type Controller struct {
	Name string `json:"name"`
	// Outlives are IDs of the nodes that make records of it as long as they are there.
	Outlives []string `json:"-"`
}

// controllerKind is not among [Kinds], as nobody declares it.
func controllerKind() Kind {
	return Kind{Name: "controller", New: func() Resource { return &Controller{} }}
}

// Kind returns "controller".
func (*Controller) Kind() string { return "controller" }

// Key returns the name.
func (c *Controller) Key() string { return c.Name }

// Validate finds no fault: nobody writes it.
func (*Controller) Validate() error { return nil }

// Services returns those that know controllers.
func (*Controller) Services() []string { return []string{"compute", "network"} }

// Needs returns nothing: the records are not there before it runs.
func (*Controller) Needs() []string { return nil }

func (c *Controller) identity() Resource { return c }

// observe finds it in place, whatever there is: services come to it by themselves.
func (*Controller) observe(context.Context, *view) (drift.Report, error) {
	return drift.Report{Status: drift.InSync}, nil
}

func (*Controller) apply(context.Context, *view) error { return nil }

// remove deletes what is known of its services and agents.
func (c *Controller) remove(ctx context.Context, v *view) error {
	h := &Host{Name: c.Name}
	all, err := v.list(ctx, collection{service: "compute", path: "os-services", query: "host=" + url.QueryEscape(c.Name), plural: "services"})
	if err != nil {
		return err
	}
	for _, s := range all {
		if s.text("host") != c.Name || s.text("binary") == "nova-compute" {
			continue
		}
		if err := h.drop(ctx, v, "compute", "os-services/"+escape(s.text("id"))); err != nil {
			return err
		}
	}
	return h.removeAgents(ctx, v)
}

func (c *Controller) outlives() []string { return c.Outlives }

// object finds nothing in the way: what is lost with a controller its members know
// (package member).
func (*Controller) object(context.Context, *view) error { return nil }

func (*Controller) seal(context.Context, *view) error { return nil }
