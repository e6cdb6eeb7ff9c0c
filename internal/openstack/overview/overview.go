// Package overview asks a cloud's API how its services are and what room there is
// for servers. It only reads, all at once, within the time it is given.
package overview

import (
	"context"
	"fmt"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/updraft-cloud/updraft/internal/openstack/api"
	"github.com/updraft-cloud/updraft/internal/status"
)

// Overview is what the API says.
type Overview struct {
	Services []status.Service
	Capacity *status.Capacity
}

// Ask asks. What was found is returned with an error, too.
func Ask(ctx context.Context, access api.Access) (Overview, error) {
	c, err := api.Connect(ctx, access)
	if err != nil {
		return Overview{}, err
	}
	defer c.Close()
	var nova, neutron []status.Service
	var room *status.Capacity
	var g errgroup.Group
	g.Go(func() (err error) { nova, err = computeServices(ctx, c); return err })
	g.Go(func() (err error) { neutron, err = agents(ctx, c); return err })
	g.Go(func() (err error) { room, err = capacity(ctx, c); return err })
	err = g.Wait()
	return Overview{Services: append(nova, neutron...), Capacity: room}, err
}

func computeServices(ctx context.Context, c *api.Client) ([]status.Service, error) {
	var all []struct{ Binary, Host, State, Status string }
	if err := c.All(ctx, "compute", "os-services", "services", &all); err != nil {
		return nil, err
	}
	var out []status.Service
	for _, s := range all {
		out = append(out, status.Service{Name: s.Binary, Host: s.Host, Up: s.State == "up", Disabled: s.Status == "disabled"})
	}
	return out, nil
}

// agents names agents as their programs are, like Nova's services.
func agents(ctx context.Context, c *api.Client) ([]status.Service, error) {
	var all []struct {
		Type   string `json:"agent_type"`
		Binary string
		Host   string
		Alive  bool
		Up     bool `json:"admin_state_up"`
	}
	if err := c.All(ctx, "network", "agents", "agents", &all); err != nil {
		return nil, err
	}
	var out []status.Service
	for _, a := range all {
		name := a.Binary
		if name == "" {
			name = strings.ToLower(a.Type)
		}
		out = append(out, status.Service{Name: name, Host: a.Host, Up: a.Alive, Disabled: !a.Up})
	}
	return out, nil
}

// capacity sums up hypervisors that are up: what is elsewhere cannot be used.
func capacity(ctx context.Context, c *api.Client) (*status.Capacity, error) {
	var all []struct {
		State      string
		VCPUs      int64 `json:"vcpus"`
		VCPUsUsed  int64 `json:"vcpus_used"`
		Memory     int64 `json:"memory_mb"`
		MemoryUsed int64 `json:"memory_mb_used"`
		Disk       int64 `json:"local_gb"`
		DiskUsed   int64 `json:"local_gb_used"`
		Servers    int   `json:"running_vms"`
	}
	if err := c.All(ctx, "compute", "os-hypervisors/detail", "hypervisors", &all); err != nil {
		return nil, fmt.Errorf("the room for servers is not known: %w", err)
	}
	const mib, gib = 1 << 20, 1 << 30
	room := &status.Capacity{}
	for _, h := range all {
		if h.State != "up" {
			continue
		}
		room.Hypervisors++
		room.Servers += h.Servers
		room.VCPUs.Used += h.VCPUsUsed
		room.VCPUs.Total += h.VCPUs
		room.Memory.Used += h.MemoryUsed * mib
		room.Memory.Total += h.Memory * mib
		room.Disk.Used += h.DiskUsed * gib
		room.Disk.Total += h.Disk * gib
	}
	return room, nil
}
