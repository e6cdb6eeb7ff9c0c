// Package maintain takes hosts out of a cloud that goes on, and gives them back.
//
// It guarantees that servers are asked to move only after the scheduler has been told
// to send no more, that each is moved while it runs or named with the reason why it
// stays, and that what a person has switched off stays so: updraft's own doing has a
// reason of its own ([Reason]). All of it can be said again at any time and goes on
// from what is true.
package maintain

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/updraft-cloud/updraft/internal/openstack/api"
	"github.com/updraft-cloud/updraft/internal/openstack/masakari/watch"
	"github.com/updraft-cloud/updraft/internal/retry"
)

// Reason is why Nova does not use a compute in maintenance.
const Reason = "updraft: maintenance"

// API is the cloud's, as package api speaks to it.
type API interface {
	Call(ctx context.Context, service, method, path string, body, out any, doing string) error
	All(ctx context.Context, service, path, plural string, out any) error
}

// Compute is a host of servers.
type Compute struct {
	API  API
	Name string
	// Recovery says that Masakari watches over it.
	Recovery bool
	// Log is told what happens; Every is how often a server on its way is looked at.
	Log   func(format string, args ...any)
	Every time.Duration
}

// Left is a server that stays, and why.
type Left struct{ ID, Name, Why string }

func (l Left) String() string { return fmt.Sprintf("%s (%s): %s", l.Name, l.ID, l.Why) }

type service struct {
	ID     string `json:"id"`
	Host   string `json:"host"`
	Status string `json:"status"`
	Reason string `json:"disabled_reason"`
}

type server struct {
	ID     string  `json:"id"`
	Name   string  `json:"name"`
	Status string  `json:"status"`
	Host   string  `json:"OS-EXT-SRV-ATTR:host"`
	Task   *string `json:"OS-EXT-STS:task_state"`
}

// KeepAway has the scheduler send no more servers, and Masakari take the host's
// absence for what it is. One that a person has switched off is left as it is; one that
// has died would be used again as soon as it is back.
func (c *Compute) KeepAway(ctx context.Context) error {
	s, err := c.service(ctx)
	if err != nil {
		return err
	}
	person, died := watch.Died(s.Reason)
	if s.Status == "enabled" || died {
		reason := cmp.Or(person, Reason)
		if err := c.use(ctx, s, map[string]any{"status": "disabled", "disabled_reason": reason}, "keep servers away from "+c.Name); err != nil {
			return err
		}
	}
	return c.absent(ctx, true)
}

// Return undoes KeepAway.
func (c *Compute) Return(ctx context.Context) error {
	if err := c.absent(ctx, false); err != nil {
		return err
	}
	s, err := c.service(ctx)
	if err != nil || s.Status == "enabled" || s.Reason != Reason {
		return err
	}
	return c.use(ctx, s, map[string]any{"status": "enabled"}, "let servers onto "+c.Name)
}

func (c *Compute) use(ctx context.Context, s service, status map[string]any, doing string) error {
	return c.API.Call(ctx, "compute", http.MethodPut, "os-services/"+url.PathEscape(s.ID), status, nil, doing)
}

func (c *Compute) service(ctx context.Context) (service, error) {
	var all []service
	if err := c.API.All(ctx, "compute", "os-services?binary=nova-compute", "services", &all); err != nil {
		return service{}, err
	}
	i := slices.IndexFunc(all, func(s service) bool { return s.Host == c.Name })
	if i < 0 {
		return service{}, fmt.Errorf("nova does not know %s", c.Name)
	}
	return all[i], nil
}

// absent tells Masakari whether the host is away on purpose.
func (c *Compute) absent(ctx context.Context, yes bool) error {
	if !c.Recovery {
		return nil
	}
	var segments []struct{ UUID string }
	if err := c.API.All(ctx, "instance-ha", "segments", "segments", &segments); err != nil {
		return err
	}
	for _, seg := range segments {
		var hosts []struct {
			UUID, Name string
			Away       bool `json:"on_maintenance"`
		}
		path := "segments/" + url.PathEscape(seg.UUID) + "/hosts"
		if err := c.API.All(ctx, "instance-ha", path, "hosts", &hosts); err != nil {
			return err
		}
		for _, h := range hosts {
			if h.Name != c.Name || h.Away == yes {
				continue
			}
			body := map[string]any{"host": map[string]any{"on_maintenance": yes}}
			if err := c.tell(ctx, path+"/"+url.PathEscape(h.UUID), body); err != nil {
				return err
			}
		}
	}
	return nil
}

// busyFor is how long Masakari may be at work for a host, whose servers it starts elsewhere
// or anew: it takes no word of the host meanwhile. It tries for some minutes itself.
const busyFor = 5 * time.Minute

// tell changes the host at Masakari, as soon as that is done with it.
func (c *Compute) tell(ctx context.Context, path string, body any) error {
	for began, told := time.Now(), false; ; told = true {
		err := c.API.Call(ctx, "instance-ha", http.MethodPut, path, body, nil, "tell Masakari of "+c.Name)
		if err == nil || !api.Busy(err) || time.Since(began) > busyFor {
			return err
		}
		if !told {
			c.Log("Masakari is still at work for %s: waiting", c.Name)
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(c.Every):
		}
	}
}

// servers returns those on the host.
func (c *Compute) servers(ctx context.Context) ([]server, error) {
	var all []server
	if err := c.API.All(ctx, "compute", "servers/detail?all_tenants=1&host="+url.QueryEscape(c.Name), "servers", &all); err != nil {
		return nil, err
	}
	return slices.DeleteFunc(all, func(s server) bool { return s.Host != c.Name }), nil
}

// Empty moves servers that run to other computes, one after the other, while they
// run. It returns those that still run here. Servers that are off stay, as they are
// not missed.
func (c *Compute) Empty(ctx context.Context) ([]Left, error) {
	all, err := c.servers(ctx)
	if err != nil {
		return nil, err
	}
	var left []Left
	for _, s := range all {
		if resting(s.Status) {
			c.Log("%s (%s) is off and stays on %s", s.Name, s.Status, c.Name)
			continue
		}
		why, err := c.move(ctx, s)
		if err != nil {
			return nil, err
		}
		if why != "" {
			left = append(left, Left{s.ID, s.Name, why})
		}
	}
	return left, nil
}

// resting reports whether a server does not run.
func resting(status string) bool {
	return slices.Contains([]string{"SHUTOFF", "SUSPENDED", "SHELVED", "SHELVED_OFFLOADED", "SOFT_DELETED", "DELETED"}, status)
}

// move moves one server, and returns why it stays.
func (c *Compute) move(ctx context.Context, s server) (why string, err error) {
	if s.Status == "ERROR" {
		return "it is in ERROR; delete it, or reset its state and say this again", nil
	}
	if s.Status != "MIGRATING" {
		c.Log("moving %s", s.Name)
		// Nova finds a compute, and out whether the disk is to be copied.
		body := map[string]any{"os-migrateLive": map[string]any{"host": nil, "block_migration": "auto"}}
		if err := c.API.Call(ctx, "compute", http.MethodPost, "servers/"+url.PathEscape(s.ID)+"/action", body, nil, "move "+s.Name); err != nil {
			if retry.ClassOf(err) != retry.Permanent {
				return "", err
			}
			return err.Error(), nil
		}
	}
	return c.follow(ctx, s)
}

// follow waits until a server on its way has arrived, or is back.
func (c *Compute) follow(ctx context.Context, s server) (why string, err error) {
	for {
		if !retry.Wait(ctx, c.Every) {
			return "", errors.Join(fmt.Errorf("%s is still on its way", s.Name), context.Cause(ctx))
		}
		var now struct{ Server server }
		if err := c.API.Call(ctx, "compute", http.MethodGet, "servers/"+url.PathEscape(s.ID), nil, &now, "look for "+s.Name); err != nil {
			return "", err
		}
		switch n := now.Server; {
		case n.Status == "MIGRATING" || n.Task != nil:
		case n.Host != c.Name:
			c.Log("%s is on %s", s.Name, n.Host)
			return "", nil
		default:
			return c.reason(ctx, s), nil
		}
	}
}

// reason is why a server came back, as far as Nova says it.
func (c *Compute) reason(ctx context.Context, s server) string {
	const hint = "no other compute takes it: see updraft openstack -- server migration list --server "
	var all []struct{ Status string }
	if err := c.API.All(ctx, "compute", "os-migrations?instance_uuid="+url.QueryEscape(s.ID), "migrations", &all); err != nil || len(all) == 0 {
		return hint + s.ID
	}
	return fmt.Sprintf("its move ended with %q; %s%s, and updraft logs %s -u nova-compute", all[0].Status, hint, s.ID, c.Name)
}
