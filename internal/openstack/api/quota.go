package api

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"

	"github.com/updraft-cloud/updraft/internal/drift"
	"github.com/updraft-cloud/updraft/internal/resource"
)

// Quota bounds what a project may use.
type Quota struct {
	Project string         `json:"project" required:"true" doc:"Name of the project."`
	Compute map[string]int `json:"compute,omitempty" doc:"Bounds of Nova by name: instances, cores, ram (MiB), key_pairs, metadata_items, server_groups, server_group_members; -1 means none. Those not given are left alone."`
	Network map[string]int `json:"network,omitempty" doc:"Bounds of Neutron by name: network, subnet, port, router, floatingip, security_group, security_group_rule, rbac_policy, subnetpool; -1 means none. Those not given are left alone."`
}

func quotaKind() Kind {
	return Kind{
		"quota", "What a project may use of Nova and Neutron. A quota that is no longer declared stays as it is.",
		"project: demo\ncompute: {instances: 20, cores: 40, ram: 81920}\nnetwork: {floatingip: 10}\n", func() Resource { return &Quota{} },
	}
}

// computeQuotas and networkQuotas are the names that the services know (Nova
// from microversion 2.57 on).
func computeQuotas() []string {
	return []string{"cores", "instances", "key_pairs", "metadata_items", "ram", "server_group_members", "server_groups"}
}

func networkQuotas() []string {
	return []string{"floatingip", "network", "port", "rbac_policy", "router", "security_group", "security_group_rule", "subnet", "subnetpool"}
}

// Kind returns "quota".
func (*Quota) Kind() string { return "quota" }

// Key returns the project.
func (q *Quota) Key() string { return q.Project }

// Services returns the services whose bounds are given.
func (q *Quota) Services() []string {
	var out []string
	if len(q.Compute) > 0 {
		out = append(out, "compute")
	}
	if len(q.Network) > 0 {
		out = append(out, "network")
	}
	return out
}

// Needs returns the project.
func (q *Quota) Needs() []string { return []string{"project:" + q.Project} }

// Validate checks the declaration.
func (q *Quota) Validate() error {
	errs := []error{validName("project", q.Project)}
	for _, part := range []struct {
		field string
		given map[string]int
		known []string
	}{{"compute", q.Compute, computeQuotas()}, {"network", q.Network, networkQuotas()}} {
		for _, k := range slices.Sorted(maps.Keys(part.given)) {
			errs = append(errs, validOneOf(part.field, k, part.known...))
			if part.given[k] < -1 {
				errs = append(errs, resource.Fieldf(part.field, "use -1 for no bound", "%d cannot bound %s", part.given[k], k))
			}
		}
	}
	if len(q.Compute)+len(q.Network) == 0 {
		errs = append(errs, resource.Fieldf("compute", "give a bound, such as {instances: 10}", "nothing is bounded"))
	}
	return errors.Join(errs...)
}

func (q *Quota) identity() Resource { return &Quota{Project: q.Project} }

// sheet is the bounds of one service.
type sheet struct {
	service, path, key string
	want               map[string]int
}

func (q *Quota) sheets(ctx context.Context, v *view) ([]sheet, error) {
	id, err := v.project(ctx, q.Project)
	if err != nil {
		return nil, err
	}
	return []sheet{
		{"compute", "os-quota-sets/" + id, "quota_set", q.Compute},
		{"network", "quotas/" + id, "quota", q.Network},
	}, nil
}

func (s sheet) read(ctx context.Context, v *view) (object, error) {
	var doc object
	if err := v.c.call(ctx, request{service: s.service, path: s.path, out: &doc, doing: "read quotas of " + s.service}); err != nil {
		return nil, err
	}
	got, ok := doc[s.key].(map[string]any)
	if !ok {
		return nil, fmt.Errorf("cannot read quotas of %s: the answer holds none", s.service)
	}
	return got, nil
}

func (q *Quota) observe(ctx context.Context, v *view) (drift.Report, error) {
	sheets, err := q.sheets(ctx, v)
	if err != nil {
		return drift.Report{}, err
	}
	var b drift.Builder
	for _, s := range sheets {
		if len(s.want) == 0 {
			continue
		}
		got, err := s.read(ctx, v)
		if err != nil {
			return drift.Report{}, err
		}
		for _, k := range slices.Sorted(maps.Keys(s.want)) {
			b.Want(s.service+"."+k, got.text(k), canonical(s.want[k]))
		}
	}
	return b.Report(), nil
}

func (q *Quota) apply(ctx context.Context, v *view) error {
	sheets, err := q.sheets(ctx, v)
	if err != nil {
		return err
	}
	for _, s := range sheets {
		if len(s.want) == 0 {
			continue
		}
		err := v.write(ctx, request{
			service: s.service, method: http.MethodPut, path: s.path, body: map[string]any{s.key: s.want},
			doing: "set quotas of project " + q.Project,
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// remove does nothing: a project always has quotas.
func (*Quota) remove(context.Context, *view) error { return nil }
