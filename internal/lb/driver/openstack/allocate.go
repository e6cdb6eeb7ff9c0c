package openstack

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"

	"github.com/updraft-cloud/updraft/internal/lb/driver"
)

func deviceOf(lb string) string { return "lb-" + lb }

// EnsureVIP makes one port for each address, as Octavia does.
func (n *Network) EnsureVIP(ctx context.Context, want driver.VIPRequest) (*driver.VIP, error) {
	have, err := n.list(ctx, url.Values{"device_id": {deviceOf(want.LoadBalancerID)}})
	if err != nil {
		return nil, err
	}
	first, err := n.vipPort(ctx, have, want, 0, driver.AdditionalVIP{SubnetID: want.SubnetID, Address: want.Address, PortID: want.PortID})
	if err != nil {
		return nil, err
	}
	v := &driver.VIP{LoadBalancerID: want.LoadBalancerID, PortID: first.ID, NetworkID: first.NetworkID, Given: want.PortID != ""}
	v.SubnetID, v.Address = chosen(first, want.SubnetID, want.Address)
	for i, a := range want.Additional {
		p, err := n.vipPort(ctx, have, want, i+1, a)
		if err != nil {
			return nil, err
		}
		a.PortID = p.ID
		a.SubnetID, a.Address = chosen(p, a.SubnetID, a.Address)
		v.Additional = append(v.Additional, a)
	}
	return v, nil
}

// chosen returns the address that is meant of those that a port has.
func chosen(p *port, subnet, address string) (string, string) {
	for _, f := range p.FixedIPs {
		if (subnet == "" || f.SubnetID == subnet) && (address == "" || f.Address == address) {
			return f.SubnetID, f.Address
		}
	}
	if len(p.FixedIPs) > 0 {
		return p.FixedIPs[0].SubnetID, p.FixedIPs[0].Address
	}
	return subnet, address
}

func (n *Network) vipPort(ctx context.Context, have []port, want driver.VIPRequest, number int, wish driver.AdditionalVIP) (*port, error) {
	if wish.PortID != "" {
		return n.take(ctx, wish.PortID, want.LoadBalancerID)
	}
	name := "octavia-lb-" + want.LoadBalancerID
	if number > 0 {
		name = "octavia-lb-vip-" + strconv.Itoa(number) + "-" + want.LoadBalancerID
	}
	if i := slices.IndexFunc(have, func(p port) bool { return p.Name == name }); i >= 0 {
		return &have[i], nil
	}
	down := false // the address is on the amphorae's ports
	p := port{Name: name, Description: n.mark + want.LoadBalancerID, NetworkID: want.NetworkID, ProjectID: want.ProjectID, AdminStateUp: &down,
		DeviceID: deviceOf(want.LoadBalancerID), DeviceOwner: ownerVIP, Groups: want.SecurityGroupIDs}
	if wish.SubnetID != "" || wish.Address != "" {
		p.FixedIPs = []fixedIP{{SubnetID: wish.SubnetID, Address: wish.Address}}
	}
	return n.create(ctx, p)
}

// take marks a user's port as used.
func (n *Network) take(ctx context.Context, id, lb string) (*port, error) {
	var a struct{ Port port }
	if err := n.get(ctx, "ports", "Port", id, &a); err != nil {
		return nil, err
	}
	switch a.Port.DeviceID {
	case deviceOf(lb):
		return &a.Port, nil
	case "":
		return &a.Port, n.update(ctx, id, map[string]any{"device_id": deviceOf(lb), "device_owner": ownerVIP})
	}
	return nil, &driver.Error{Kind: "Port", ID: id, Class: driver.ErrInUse, Detail: "by " + a.Port.DeviceID}
}

// ReleaseVIP removes the ports that EnsureVIP made, and lets those of the user go.
func (n *Network) ReleaseVIP(ctx context.Context, vip driver.VIP) error {
	have, err := n.list(ctx, url.Values{"device_id": {deviceOf(vip.LoadBalancerID)}})
	if err != nil {
		return err
	}
	for _, p := range have {
		if err := n.RemovePort(ctx, p.ID); err != nil {
			return err
		}
	}
	ids := []string{vip.PortID}
	for _, a := range vip.Additional {
		ids = append(ids, a.PortID)
	}
	for _, id := range ids {
		if ours := slices.ContainsFunc(have, func(p port) bool { return p.ID == id }); ours || id == "" {
			continue
		}
		if err := n.letGo(ctx, id, vip.LoadBalancerID); err != nil {
			return err
		}
	}
	return nil
}

// letGo takes the marks of a load balancer from a user's port.
func (n *Network) letGo(ctx context.Context, id, lb string) error {
	p, err := n.Port(ctx, id)
	if errors.Is(err, driver.ErrNotFound) {
		return nil
	}
	if err != nil || p.DeviceID != deviceOf(lb) {
		return err
	}
	return n.update(ctx, id, map[string]any{"device_id": "", "device_owner": ""})
}

// EnsurePort makes an amphora's port, which may use the VIPs, too.
func (n *Network) EnsurePort(ctx context.Context, want driver.PortRequest) (*driver.Port, error) {
	name := fmt.Sprintf("octavia-amp-%s-%s", want.AmphoraID, want.NetworkID)
	have, err := n.list(ctx, url.Values{"name": {name}})
	if err != nil {
		return nil, err
	}
	if len(have) > 0 {
		return n.widen(ctx, have[0], want)
	}
	p := port{Name: name, Description: n.mark + want.LoadBalancerID + " " + want.AmphoraID, NetworkID: want.NetworkID, ProjectID: want.ProjectID,
		DeviceID: want.AmphoraID, DeviceOwner: ownerAmphora, Groups: want.SecurityGroupIDs, QoSPolicy: want.QoSPolicyID}
	for _, s := range want.Subnets {
		p.FixedIPs = append(p.FixedIPs, fixedIP{SubnetID: s})
	}
	for _, a := range want.Allowed {
		p.Pairs = append(p.Pairs, pair{a.String()})
	}
	made, err := n.create(ctx, p)
	if err != nil {
		return nil, err
	}
	return n.view(*made), nil
}

// widen gives a port addresses of the subnets that it misses.
func (n *Network) widen(ctx context.Context, p port, want driver.PortRequest) (*driver.Port, error) {
	ips := slices.Clone(p.FixedIPs)
	for _, s := range want.Subnets {
		if !slices.ContainsFunc(ips, func(f fixedIP) bool { return f.SubnetID == s }) {
			ips = append(ips, fixedIP{SubnetID: s})
		}
	}
	if len(ips) == len(p.FixedIPs) {
		return n.view(p), nil
	}
	if err := n.update(ctx, p.ID, map[string]any{"fixed_ips": ips}); err != nil {
		return nil, err
	}
	return n.Port(ctx, p.ID)
}
