package api

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"github.com/updraft-cloud/updraft/internal/resource"
)

// Neutron's networks and subnets. API reference: docs.openstack.org/api-ref/network/v2.

// Network is a network that servers or routers are on.
type Network struct {
	Name            string `json:"name" required:"true" doc:"Name of the network."`
	Project         string `json:"project,omitempty" doc:"Project that it belongs to; admin's when not given."`
	Description     string `json:"description,omitempty" doc:"What it is for; left alone when not given."`
	Shared          *bool  `json:"shared,omitempty" doc:"Whether all projects can use it; left alone when not given."`
	External        *bool  `json:"external,omitempty" doc:"Whether routers use it as their way out; left alone when not given."`
	MTU             int    `json:"mtu,omitempty" doc:"MTU in bytes; Neutron chooses when not given."`
	ProviderType    string `json:"provider_type,omitempty" enum:"flat,vlan,geneve" doc:"How the network is carried; Neutron chooses when not given."`
	PhysicalNetwork string `json:"physical_network,omitempty" doc:"Physical network that carries it, for flat and vlan."`
	Segment         int    `json:"segment,omitempty" doc:"VLAN tag or tunnel number."`
	PortSecurity    *bool  `json:"port_security,omitempty" doc:"Whether ports are filtered by default; left alone when not given."`
	AdminUp         *bool  `json:"admin_up,omitempty" doc:"Whether the network forwards; left alone when not given."`
}

func networkKind() Kind {
	return Kind{
		"network", "A network of Neutron.",
		"name: public\nexternal: true\nprovider_type: flat\nphysical_network: external\n", func() Resource { return &Network{} },
	}
}

// Kind returns "network".
func (*Network) Kind() string { return "network" }

// Key returns project and name.
func (n *Network) Key() string { return inProject(n.Project, n.Name) }

// Services returns "network".
func (*Network) Services() []string { return []string{"network"} }

// Needs returns the project.
func (n *Network) Needs() []string { return projectNeed(n.Project) }

// Validate checks the declaration.
func (n *Network) Validate() error {
	errs := []error{
		validName("name", n.Name), validOptional("project", n.Project), validOptional("physical_network", n.PhysicalNetwork),
		validOneOf("provider_type", n.ProviderType, "flat", "vlan", "geneve"),
	}
	if n.MTU != 0 && (n.MTU < 68 || n.MTU > 65535) { // RFC 791: the least that every link carries
		errs = append(errs, resource.Fieldf("mtu", "use 68 to 65535", "%d is no MTU", n.MTU))
	}
	physical := n.ProviderType == "flat" || n.ProviderType == "vlan"
	if physical != (n.PhysicalNetwork != "") {
		errs = append(errs, resource.Fieldf("physical_network", "give it with provider_type flat or vlan, and only then", "does not fit provider_type %q", n.ProviderType))
	}
	if n.ProviderType == "vlan" && (n.Segment < 1 || n.Segment > 4094) || n.ProviderType == "flat" && n.Segment != 0 || n.Segment < 0 {
		errs = append(errs, resource.Fieldf("segment", "a vlan has 1 to 4094, flat has none", "%d is no segment of a %s network", n.Segment, n.ProviderType))
	}
	return errors.Join(errs...)
}

func (n *Network) identity() Resource { return &Network{Name: n.Name, Project: n.Project} }

func (n *Network) thing(ctx context.Context, v *view) (*thing, error) {
	project, err := v.project(ctx, n.Project)
	if err != nil {
		return nil, err
	}
	t := &thing{coll: networks(), name: n.Key(), match: object{"name": n.Name, "project_id": project}}
	t.optional("description", n.Description)
	t.optional("shared", n.Shared)
	t.optional("router:external", n.External)
	t.optional("mtu", n.MTU)
	t.optional("provider:network_type", n.ProviderType)
	t.optional("provider:physical_network", n.PhysicalNetwork)
	t.optional("provider:segmentation_id", n.Segment)
	t.optional("port_security_enabled", n.PortSecurity)
	t.optional("admin_state_up", n.AdminUp)
	t.fix("provider:network_type", "provider:physical_network", "provider:segmentation_id")
	return t, nil
}

// Subnet is a range of addresses on a network.
type Subnet struct {
	Name    string   `json:"name" required:"true" doc:"Name of the subnet."`
	Network string   `json:"network" required:"true" doc:"Name of the network; one of the project's own, or else one that is shared."`
	Project string   `json:"project,omitempty" doc:"Project that it belongs to; admin's when not given."`
	CIDR    string   `json:"cidr" required:"true" format:"cidr" doc:"The range of addresses, such as 10.0.0.0/24."`
	Gateway string   `json:"gateway,omitempty" doc:"Address of the gateway, or none; the first of the range when not given."`
	DHCP    *bool    `json:"dhcp,omitempty" doc:"Whether addresses are given out by DHCP; left alone when not given."`
	DNS     []string `json:"dns,omitempty" doc:"Name servers that DHCP announces; left alone when not given."`
	Pools   []string `json:"pools,omitempty" doc:"Ranges from which addresses are given out, such as 10.0.0.100-10.0.0.200; all but the gateway's when not given."`
	Mode    string   `json:"ipv6_mode,omitempty" enum:"slaac,dhcpv6-stateful,dhcpv6-stateless" doc:"How hosts get IPv6 addresses and routers announce them."`
}

func subnetKind() Kind {
	return Kind{
		"subnet", "A subnet of a network of Neutron.",
		"name: demo\nnetwork: demo\nproject: demo\ncidr: 10.0.0.0/24\ndns: [192.0.2.53]\n", func() Resource { return &Subnet{} },
	}
}

// Kind returns "subnet".
func (*Subnet) Kind() string { return "subnet" }

// Key returns project and name.
func (s *Subnet) Key() string { return inProject(s.Project, s.Name) }

// Services returns "network".
func (*Subnet) Services() []string { return []string{"network"} }

// Needs returns network and project.
func (s *Subnet) Needs() []string {
	return append(projectNeed(s.Project), "network:"+s.Network, "network:"+inProject(s.Project, s.Network))
}

// Validate checks the declaration.
func (s *Subnet) Validate() error {
	errs := []error{
		validName("name", s.Name), validName("network", s.Network), validOptional("project", s.Project),
		validOneOf("ipv6_mode", s.Mode, "slaac", "dhcpv6-stateful", "dhcpv6-stateless"),
	}
	prefix, err := netip.ParsePrefix(s.CIDR)
	if err != nil || prefix.Masked() != prefix {
		return errors.Join(append(errs, resource.Fieldf("cidr", "give a range such as 10.0.0.0/24", "%q is no range of addresses", s.CIDR))...)
	}
	if s.Gateway != "" && s.Gateway != "none" {
		if gw, err := netip.ParseAddr(s.Gateway); err != nil || !prefix.Contains(gw) {
			errs = append(errs, resource.Fieldf("gateway", "give an address of the range, or none", "%q is not in %s", s.Gateway, prefix))
		}
	}
	for _, d := range s.DNS {
		if _, err := netip.ParseAddr(d); err != nil {
			errs = append(errs, resource.Fieldf("dns", "give addresses", "%q is no address", d))
		}
	}
	for _, p := range s.Pools {
		if first, last, err := parsePool(p); err != nil || !prefix.Contains(first) || !prefix.Contains(last) || last.Less(first) {
			errs = append(errs, resource.Fieldf("pools", "give FIRST-LAST, both in the range", "%q is no part of %s", p, prefix))
		}
	}
	if s.Mode != "" && prefix.Addr().Is4() {
		errs = append(errs, resource.Fieldf("ipv6_mode", "leave it out", "%s is IPv4", prefix))
	}
	return errors.Join(errs...)
}

func parsePool(s string) (first, last netip.Addr, err error) {
	from, to, ok := strings.Cut(s, "-")
	if !ok {
		return first, last, fmt.Errorf("%q is no range", s)
	}
	if first, err = netip.ParseAddr(strings.TrimSpace(from)); err != nil {
		return first, last, err
	}
	last, err = netip.ParseAddr(strings.TrimSpace(to))
	return first, last, err
}

func (s *Subnet) identity() Resource {
	return &Subnet{Name: s.Name, Network: s.Network, Project: s.Project}
}

func (s *Subnet) thing(ctx context.Context, v *view) (*thing, error) {
	project, err := v.project(ctx, s.Project)
	if err != nil {
		return nil, err
	}
	network, err := v.within(ctx, networks(), s.Network, project)
	if err != nil {
		return nil, err
	}
	t := &thing{coll: subnets(), name: s.Key(), match: object{"name": s.Name, "network_id": network, "project_id": project}}
	if prefix, err := netip.ParsePrefix(s.CIDR); err == nil {
		version := 4
		if prefix.Addr().Is6() {
			version = 6
		}
		t.attrs = append(t.attrs, attr{name: "cidr", want: prefix.String(), fixed: true}, attr{name: "ip_version", want: version, fixed: true})
	}
	if s.Gateway == "none" {
		t.attrs = append(t.attrs, attr{name: "gateway_ip"})
	}
	if s.Gateway != "none" {
		t.optional("gateway_ip", s.Gateway)
	}
	t.optional("enable_dhcp", s.DHCP)
	t.optional("dns_nameservers", s.DNS)
	t.optional("ipv6_address_mode", s.Mode)
	t.optional("ipv6_ra_mode", s.Mode)
	t.fix("ipv6_address_mode", "ipv6_ra_mode")
	if s.Pools != nil {
		t.attrs = append(t.attrs, attr{name: "allocation_pools", want: s.pools(), set: true})
	}
	return t, nil
}

func (s *Subnet) pools() []map[string]string {
	out := []map[string]string{}
	for _, p := range s.Pools {
		if first, last, err := parsePool(p); err == nil {
			out = append(out, map[string]string{"start": first.String(), "end": last.String()})
		}
	}
	return out
}
