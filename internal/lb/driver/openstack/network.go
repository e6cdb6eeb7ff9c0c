package openstack

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack"

	"github.com/updraft-cloud/updraft/internal/lb/driver"
)

var (
	_ driver.Network = (*Network)(nil)
	_ driver.Tenancy = (*Network)(nil)
)

// Network is Neutron.
type Network struct {
	cloud *Cloud
	// mark begins the descriptions of what belongs to this service.
	mark string
}

// NewNetwork returns Neutron's driver. The service's id tells what is its own.
func NewNetwork(c *Cloud, service string) *Network {
	return &Network{c, "updraft-lb " + service + " "}
}

// Owners of ports, as Octavia has them for VIPs.
const (
	ownerVIP     = "Octavia"
	ownerAmphora = "Octavia:amphora"
)

// port is what matters of Neutron's ports.
type port struct {
	ID           string    `json:"id,omitempty"`
	Name         string    `json:"name,omitempty"`
	Description  string    `json:"description"`
	NetworkID    string    `json:"network_id,omitempty"`
	ProjectID    string    `json:"project_id,omitempty"`
	DeviceID     string    `json:"device_id"`
	DeviceOwner  string    `json:"device_owner"`
	AdminStateUp *bool     `json:"admin_state_up,omitempty"`
	MAC          string    `json:"mac_address,omitempty"`
	FixedIPs     []fixedIP `json:"fixed_ips,omitempty"`
	Pairs        []pair    `json:"allowed_address_pairs,omitempty"`
	Groups       []string  `json:"security_groups,omitempty"`
	QoSPolicy    string    `json:"qos_policy_id,omitempty"`
	Created      string    `json:"created_at,omitempty"`
}

type fixedIP struct {
	SubnetID string `json:"subnet_id,omitempty"`
	Address  string `json:"ip_address,omitempty"`
}

type pair struct {
	Address string `json:"ip_address"`
}

func (n *Network) client(ctx context.Context) (*gophercloud.ServiceClient, error) {
	return n.cloud.service(ctx, "network", openstack.NewNetworkV2)
}

// get reads one object. Kind is the API's word for it.
func (n *Network) get(ctx context.Context, path, kind, id string, out any) error {
	c, err := n.client(ctx)
	if err != nil {
		return err
	}
	_, err = c.Get(ctx, c.ServiceURL(path, url.PathEscape(id)), out, nil) //nolint:bodyclose // gophercloud reads it to its end
	return class(err, kind, id)
}

// paths are where Neutron has its objects.
var paths = map[string]string{
	"Network": "networks", "Subnet": "subnets", "Port": "ports", "qos_policy": "qos/policies", "Security Group": "security-groups",
}

// MaySee asks Neutron with the token of whoever wants to use an object.
func (n *Network) MaySee(ctx context.Context, token, kind, id string) error {
	c, err := n.client(ctx)
	if err != nil {
		return err
	}
	path, ok := paths[kind]
	if !ok {
		return driver.NotFound(kind, id)
	}
	return n.cloud.seen(ctx, token, c.ServiceURL(path, url.PathEscape(id)), kind, id, nil)
}

// Network looks a network up.
func (n *Network) Network(ctx context.Context, id string) (*driver.Net, error) {
	var a struct {
		Network struct {
			ID        string   `json:"id"`
			Name      string   `json:"name"`
			ProjectID string   `json:"project_id"`
			Subnets   []string `json:"subnets"`
			MTU       int      `json:"mtu"`
			QoSPolicy string   `json:"qos_policy_id"`
			Shared    bool     `json:"shared"`
			External  bool     `json:"router:external"`
		}
	}
	if err := n.get(ctx, "networks", "Network", id, &a); err != nil {
		return nil, err
	}
	v := a.Network
	return &driver.Net{ID: v.ID, Name: v.Name, ProjectID: v.ProjectID, Subnets: v.Subnets, MTU: v.MTU, QoSPolicyID: v.QoSPolicy, Shared: v.Shared, External: v.External}, nil
}

// Subnet looks a subnet up.
func (n *Network) Subnet(ctx context.Context, id string) (*driver.Subnet, error) {
	var a struct {
		Subnet struct {
			ID        string `json:"id"`
			Name      string `json:"name"`
			NetworkID string `json:"network_id"`
			ProjectID string `json:"project_id"`
			CIDR      string `json:"cidr"`
			Gateway   string `json:"gateway_ip"`
			Routes    []struct{ Destination, Nexthop string }
		}
	}
	if err := n.get(ctx, "subnets", "Subnet", id, &a); err != nil {
		return nil, err
	}
	v := a.Subnet
	prefix, err := netip.ParsePrefix(v.CIDR)
	if err != nil {
		return nil, fmt.Errorf("%w: subnet %s has the CIDR %q", driver.ErrUnavailable, id, v.CIDR)
	}
	s := &driver.Subnet{ID: v.ID, Name: v.Name, NetworkID: v.NetworkID, ProjectID: v.ProjectID, Prefix: prefix, Free: n.free(ctx, v.NetworkID, v.ID)}
	s.Gateway, _ = netip.ParseAddr(v.Gateway) // null: not valid, which means none
	return s, nil
}

// free asks how many addresses are left, which not everybody may.
func (n *Network) free(ctx context.Context, network, subnet string) int {
	var raw struct {
		Availability struct {
			Subnets []struct {
				ID    string  `json:"subnet_id"`
				Total float64 `json:"total_ips"`
				Used  float64 `json:"used_ips"`
			} `json:"subnet_ip_availability"`
		} `json:"network_ip_availability"`
	}
	if n.get(ctx, "network-ip-availabilities", "Network", network, &raw) != nil {
		return -1
	}
	for _, s := range raw.Availability.Subnets {
		if s.ID == subnet {
			return int(min(s.Total-s.Used, 1<<30))
		}
	}
	return -1
}

// Port looks a port up.
func (n *Network) Port(ctx context.Context, id string) (*driver.Port, error) {
	var a struct{ Port port }
	if err := n.get(ctx, "ports", "Port", id, &a); err != nil {
		return nil, err
	}
	return n.view(a.Port), nil
}

func (n *Network) view(p port) *driver.Port {
	out := &driver.Port{ID: p.ID, Name: p.Name, NetworkID: p.NetworkID, ProjectID: p.ProjectID, DeviceID: p.DeviceID, DeviceOwner: p.DeviceOwner,
		MAC: p.MAC, QoSPolicyID: p.QoSPolicy, SecurityGroupIDs: p.Groups}
	for _, f := range p.FixedIPs {
		if a, err := netip.ParseAddr(f.Address); err == nil {
			out.FixedIPs = append(out.FixedIPs, driver.FixedIP{SubnetID: f.SubnetID, Address: a})
		}
	}
	if rest, ok := strings.CutPrefix(p.Description, n.mark); ok {
		out.LoadBalancerID, out.AmphoraID, _ = strings.Cut(rest, " ")
	}
	out.Created, _ = time.Parse(time.RFC3339, p.Created) // not known where Neutron does not say
	return out
}

// QoSPolicy looks a policy up. Where Neutron has no QoS there is no such path.
func (n *Network) QoSPolicy(ctx context.Context, id string) error {
	err := n.get(ctx, "qos/policies", "qos_policy", id, nil)
	if !errors.Is(err, driver.ErrNotFound) {
		return err
	}
	if n.get(ctx, "extensions", "extension", "qos", nil) != nil {
		return &driver.Error{Kind: "qos_policy", ID: id, Class: driver.ErrUnsupported, Detail: "Neutron has no QoS"}
	}
	return err
}

// SecurityGroup looks a group up.
func (n *Network) SecurityGroup(ctx context.Context, id string) error {
	return n.get(ctx, "security-groups", "Security Group", id, nil)
}

// list returns the ports of this service that match.
func (n *Network) list(ctx context.Context, query url.Values) ([]port, error) {
	c, err := n.client(ctx)
	if err != nil {
		return nil, err
	}
	var a struct{ Ports []port }
	_, err = c.Get(ctx, c.ServiceURL("ports")+"?"+query.Encode(), &a, nil) //nolint:bodyclose // gophercloud reads it to its end
	if err != nil {
		return nil, class(err, "Port", query.Encode())
	}
	return slices.DeleteFunc(a.Ports, func(p port) bool { return !strings.HasPrefix(p.Description, n.mark) }), nil
}

// Ports lists the ports of this service.
func (n *Network) Ports(ctx context.Context, lb string) ([]driver.Port, error) {
	all, err := n.list(ctx, url.Values{"device_owner": {ownerVIP, ownerAmphora}})
	if err != nil {
		return nil, err
	}
	var out []driver.Port
	for _, p := range all {
		if v := n.view(p); lb == "" || v.LoadBalancerID == lb {
			out = append(out, *v)
		}
	}
	return out, nil
}

// RemovePort removes a port.
func (n *Network) RemovePort(ctx context.Context, id string) error {
	c, err := n.client(ctx)
	if err != nil {
		return err
	}
	_, err = c.Delete(ctx, c.ServiceURL("ports", url.PathEscape(id)), nil) //nolint:bodyclose // gophercloud reads it to its end
	if err = class(err, "Port", id); errors.Is(err, driver.ErrNotFound) {
		return nil
	}
	return err
}

func (n *Network) create(ctx context.Context, want port) (*port, error) {
	c, err := n.client(ctx)
	if err != nil {
		return nil, err
	}
	var a struct{ Port port }
	_, err = c.Post(ctx, c.ServiceURL("ports"), map[string]any{"port": want}, &a, &gophercloud.RequestOpts{OkCodes: []int{http.StatusCreated}}) //nolint:bodyclose // gophercloud reads it to its end
	if err != nil {
		return nil, class(err, "Port", want.Name)
	}
	return &a.Port, nil
}

func (n *Network) update(ctx context.Context, id string, fields map[string]any) error {
	c, err := n.client(ctx)
	if err != nil {
		return err
	}
	_, err = c.Put(ctx, c.ServiceURL("ports", url.PathEscape(id)), map[string]any{"port": fields}, nil, &gophercloud.RequestOpts{OkCodes: []int{http.StatusOK}}) //nolint:bodyclose // gophercloud reads it to its end
	return class(err, "Port", id)
}
