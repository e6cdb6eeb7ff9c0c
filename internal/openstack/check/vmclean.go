package check

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"

	"github.com/updraft-cloud/updraft/internal/openstack/api"
	"github.com/updraft-cloud/updraft/internal/retry"
)

// removeAll removes everything that carries the check's tag, in an order in which
// nothing is in use: floating IPs, servers, security groups. It finds it by
// looking, so that it is the same for what this run made and what another left.
func (r *vmRun) removeAll(ctx context.Context) error {
	return errors.Join(r.removeFloating(ctx), r.removeServers(ctx), r.removeGroups(ctx))
}

func (r *vmRun) remove(ctx context.Context, service, path, what string) error {
	err := r.client.Call(ctx, service, http.MethodDelete, path, nil, nil, "remove "+what)
	if api.Gone(err) {
		return nil
	}
	return err
}

func (r *vmRun) removeFloating(ctx context.Context) error {
	var all []named
	if err := r.client.All(ctx, "network", "floatingips?description="+url.QueryEscape(r.d.Name), "floatingips", &all); err != nil {
		return err
	}
	var errs []error
	for _, f := range all {
		if f.Description == r.d.Name {
			errs = append(errs, r.remove(ctx, "network", "floatingips/"+f.ID, "the floating IP "+f.ID))
		}
	}
	return errors.Join(errs...)
}

// removeServers deletes servers and waits until they are gone: their ports hold
// the security group.
func (r *vmRun) removeServers(ctx context.Context) error {
	ours, err := r.servers(ctx)
	if err != nil {
		return err
	}
	for _, s := range ours {
		if err := r.remove(ctx, "compute", "servers/"+s.ID, "the server "+s.ID); err != nil {
			return err
		}
	}
	if len(ours) == 0 {
		return nil
	}
	return until(ctx, cleaningTime, func(ctx context.Context) error {
		left, err := r.servers(ctx)
		if err != nil || len(left) == 0 {
			return err
		}
		if left[0].Status == "ERROR" { // Nova has given up, and may be asked again
			if err := r.remove(ctx, "compute", "servers/"+left[0].ID, "the server "+left[0].ID); err != nil {
				return err
			}
		}
		return retry.Mark(fmt.Errorf("the server %s is still there (%s)", left[0].ID, left[0].Status), retry.Transient)
	})
}

func (r *vmRun) servers(ctx context.Context) ([]server, error) {
	var all, ours []server
	if err := r.client.All(ctx, "compute", "servers/detail?name="+url.QueryEscape("^"+r.d.Name+"$"), "servers", &all); err != nil {
		return nil, err
	}
	for _, s := range all {
		if s.Name == r.d.Name && s.Metadata[tagKey] == r.d.Name {
			ours = append(ours, s)
		}
	}
	return ours, nil
}

func (r *vmRun) removeGroups(ctx context.Context) error {
	var all []named
	if err := r.client.All(ctx, "network", "security-groups?name="+url.QueryEscape(r.d.Name), "security_groups", &all); err != nil {
		return err
	}
	for _, g := range all {
		if g.Name != r.d.Name || g.Description != r.d.Name {
			continue
		}
		// A server's port outlives it by a moment.
		err := until(ctx, cleaningTime, func(ctx context.Context) error {
			return r.remove(ctx, "network", "security-groups/"+g.ID, "the security group "+g.ID)
		})
		if err != nil {
			return err
		}
	}
	return nil
}
