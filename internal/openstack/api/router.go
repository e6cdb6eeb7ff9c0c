package api

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/updraft-cloud/updraft/internal/drift"
	"github.com/updraft-cloud/updraft/internal/resource"
)

func routers() collection {
	return collection{service: "network", path: "routers", plural: "routers", single: "router", method: http.MethodPut}
}

// interfaces is the list of all routers' ports on subnets.
func interfaces() collection {
	const owners = "device_owner=network:router_interface&device_owner=network:router_interface_distributed&device_owner=network:ha_router_replicated_interface"
	return collection{service: "network", path: "ports", query: owners, plural: "ports", single: "port", method: http.MethodPut}
}

// Router joins subnets, and connects them to the outside.
type Router struct {
	Name        string   `json:"name" required:"true" doc:"Name of the router."`
	Project     string   `json:"project,omitempty" doc:"Project that it belongs to; admin's when not given."`
	Description string   `json:"description,omitempty" doc:"What it is for; left alone when not given."`
	External    string   `json:"external,omitempty" doc:"Name of the external network that is its way out, or none; left alone when not given."`
	SNAT        *bool    `json:"snat,omitempty" doc:"Whether addresses are translated on the way out; left alone when not given."`
	Interfaces  []string `json:"interfaces,omitempty" doc:"Names of the subnets that it joins. Given, there are no others; left alone when not given."`
	AdminUp     *bool    `json:"admin_up,omitempty" doc:"Whether the router forwards; left alone when not given."`
}

func routerKind() Kind {
	return Kind{
		"router", "A router of Neutron, with its way out and its subnets.",
		"name: demo\nproject: demo\nexternal: public\ninterfaces: [demo]\n", func() Resource { return &Router{} },
	}
}

// Kind returns "router".
func (*Router) Kind() string { return "router" }

// Key returns project and name.
func (r *Router) Key() string { return inProject(r.Project, r.Name) }

// Services returns "network".
func (*Router) Services() []string { return []string{"network"} }

// Needs returns the project, the external network with its subnets' names
// unknown, and the subnets that it joins.
func (r *Router) Needs() []string {
	needs := projectNeed(r.Project)
	if r.External != "" && r.External != none {
		needs = append(needs, "network:"+r.External, "network:"+inProject(r.Project, r.External))
	}
	for _, s := range r.Interfaces {
		needs = append(needs, "subnet:"+s, "subnet:"+inProject(r.Project, s))
	}
	return needs
}

// none says that there is to be no gateway.
const none = "none"

// Validate checks the declaration.
func (r *Router) Validate() error {
	errs := []error{validName("name", r.Name), validOptional("project", r.Project), validOptional("external", r.External)}
	for _, s := range r.Interfaces {
		errs = append(errs, validName("interfaces", s))
	}
	if r.SNAT != nil && (r.External == "" || r.External == none) {
		errs = append(errs, resource.Fieldf("snat", "name the external network, too", "there is no way out to translate on"))
	}
	return errors.Join(errs...)
}

func (r *Router) identity() Resource { return &Router{Name: r.Name, Project: r.Project} }

func (r *Router) thing(ctx context.Context, v *view) (*thing, error) {
	project, err := v.project(ctx, r.Project)
	if err != nil {
		return nil, err
	}
	t := &thing{coll: routers(), name: r.Key(), match: object{"name": r.Name, "project_id": project}}
	t.optional("description", r.Description)
	t.optional("admin_state_up", r.AdminUp)
	j := &joints{router: r, v: v, project: project}
	if err := j.resolve(ctx); err != nil {
		return nil, err
	}
	if j.gateway != nil {
		t.once = object{"external_gateway_info": j.gateway}
	}
	t.also, t.settle = j.also, j.settle
	t.empty = func(ctx context.Context, got object) error { return j.detach(ctx, got, nil) }
	return t, nil
}

// joints are a router's connections.
type joints struct {
	router  *Router
	v       *view
	project string
	gateway object            // what is sent; nil if it is left alone
	subnets map[string]string // those wanted: name by ID
}

func (j *joints) resolve(ctx context.Context) error {
	if name := j.router.External; name != "" && name != none {
		id, err := j.v.within(ctx, networks(), name, j.project)
		if err != nil {
			return err
		}
		j.gateway = object{"network_id": id}
		if j.router.SNAT != nil {
			j.gateway["enable_snat"] = *j.router.SNAT
		}
	}
	if j.router.Interfaces == nil {
		return nil
	}
	j.subnets = map[string]string{}
	for _, name := range j.router.Interfaces {
		id, err := j.v.within(ctx, subnets(), name, j.project)
		if err != nil {
			return err
		}
		j.subnets[id] = name
	}
	return nil
}

// also compares gateway and interfaces. Interfaces are not sent with the router
// but made to agree in settle.
func (j *joints) also(ctx context.Context, got object, b *drift.Builder) (object, error) {
	var send object
	info, _ := got["external_gateway_info"].(map[string]any)
	now := object(info)
	switch {
	case j.router.External == none && now.text("network_id") != "":
		b.Want("external", now.text("network_id"), none)
		send = object{"external_gateway_info": object{}}
	case j.gateway != nil && !now.agrees(j.gateway):
		b.Want("external", now.text("network_id"), canonical(j.gateway["network_id"]))
		if j.router.SNAT != nil {
			b.Want("snat", now.text("enable_snat"), canonical(*j.router.SNAT))
		}
		send = object{"external_gateway_info": j.gateway}
	}
	if j.subnets == nil {
		return send, nil
	}
	have, err := j.attached(ctx, got)
	if err != nil {
		return nil, err
	}
	b.Want("interfaces", j.names(have), j.names(keys(j.subnets)))
	return send, nil
}

// names renders subnets for people: those that are declared by name.
func (j *joints) names(ids []string) string {
	out := make([]string, len(ids))
	for i, id := range ids {
		if out[i] = j.subnets[id]; out[i] == "" {
			out[i] = id
		}
	}
	slices.Sort(out)
	return strings.Join(out, ", ")
}

func keys(m map[string]string) []string {
	var out []string
	for k := range m {
		out = append(out, k)
	}
	return out
}

// attached returns the IDs of the subnets that the router joins.
func (j *joints) attached(ctx context.Context, got object) ([]string, error) {
	ports, err := j.v.list(ctx, interfaces())
	if err != nil {
		return nil, err
	}
	var out []string
	for _, p := range ports {
		if p.text("device_id") != got.text("id") {
			continue
		}
		ips, _ := p["fixed_ips"].([]any)
		for _, ip := range ips {
			if m, ok := ip.(map[string]any); ok {
				out = append(out, object(m).text("subnet_id"))
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out), nil
}

func (j *joints) settle(ctx context.Context, got object) error {
	if j.subnets == nil {
		return nil
	}
	if err := j.detach(ctx, got, j.subnets); err != nil {
		return err
	}
	have, err := j.attached(ctx, got)
	if err != nil {
		return err
	}
	for _, name := range j.router.Interfaces {
		for id, n := range j.subnets {
			if n != name || slices.Contains(have, id) {
				continue
			}
			if err := j.turn(ctx, got, "add_router_interface", id); err != nil {
				return err
			}
		}
	}
	return nil
}

// detach takes the router off all subnets but those to keep.
func (j *joints) detach(ctx context.Context, got object, keep map[string]string) error {
	have, err := j.attached(ctx, got)
	if err != nil {
		return err
	}
	for _, id := range have {
		if _, wanted := keep[id]; wanted {
			continue
		}
		if err := j.turn(ctx, got, "remove_router_interface", id); err != nil && statusOf(err) != http.StatusNotFound {
			return err
		}
	}
	return nil
}

func (j *joints) turn(ctx context.Context, got object, action, subnet string) error {
	defer j.v.forget(interfaces())
	return j.v.write(ctx, request{
		service: "network", method: http.MethodPut, path: "routers/" + got.text("id") + "/" + action,
		body: object{"subnet_id": subnet}, doing: strings.ReplaceAll(action, "_", " ") + " of " + j.router.Key(),
	})
}
