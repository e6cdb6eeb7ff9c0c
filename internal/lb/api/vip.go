package api

import (
	"context"
	"errors"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/updraft-cloud/updraft/internal/lb/driver"
	"github.com/updraft-cloud/updraft/internal/lb/model"
)

// resolveVIP works out on which network, subnet and port a load balancer's
// address shall be (contract §4.1): a port decides before a network, a network
// before a subnet. networks are those that its zone allows.
func (c *call) resolveVIP(in *loadBalancerInput, networks []string) (*driver.VIPRequest, *fault) {
	want := &driver.VIPRequest{
		PortID: in.port.or(""), NetworkID: in.network.or(""), SubnetID: in.subnet.or(""), Address: in.address.or(""),
		QoSPolicyID: in.qos.or(""), SecurityGroupIDs: in.groups.v,
	}
	if err := c.s.settings.checkVIPKinds(want); err != nil {
		return nil, err
	}
	var err *fault
	switch {
	case want.PortID != "":
		err = c.vipOnPort(want, in.qos.sent)
	case want.NetworkID != "":
		err = c.vipOnNetwork(want)
	default:
		err = c.vipOnSubnet(want)
	}
	if err != nil {
		return nil, err
	}
	for _, a := range in.additional.v {
		if err := c.freePort(a.port.or(""), want.NetworkID); err != nil {
			return nil, err
		}
		want.Additional = append(want.Additional, driver.AdditionalVIP{SubnetID: a.subnet.v, Address: a.address.or(""), PortID: a.port.or("")})
	}
	for _, check := range []func(*driver.VIPRequest) *fault{c.checkQoS, c.checkShared, c.checkGroups} {
		if err := check(want); err != nil {
			return nil, err
		}
	}
	return want, c.s.settings.checkVIPNetwork(want.NetworkID, networks)
}

func (s *Settings) checkVIPKinds(want *driver.VIPRequest) *fault {
	var allowed []string
	given := false
	for _, k := range []struct {
		name, value string
		forbidden   bool
	}{
		{"vip_port_id", want.PortID, s.ForbidVIPPort}, {"vip_network_id", want.NetworkID, s.ForbidVIPNetwork}, {"vip_subnet_id", want.SubnetID, s.ForbidVIPSubnet},
	} {
		if k.value != "" && k.forbidden {
			return invalid("use of %s is disallowed by this deployment's configuration.", k.name)
		}
		if !k.forbidden {
			allowed = append(allowed, k.name)
		}
		given = given || k.value != ""
	}
	if !given {
		return invalid("VIP must contain one of: %s.", strings.Join(allowed, ", "))
	}
	return nil
}

// freePort wants the port of an additional address to be of the sender's, on the
// network, and used by nobody.
func (c *call) freePort(id, network string) *fault {
	if id == "" {
		return nil
	}
	p, err := c.network().Port(c.r.Context(), id)
	switch {
	case err != nil:
		return asNetworkFault(err, "Port", id)
	case p.DeviceID != "":
		return invalid("Port %s is already used by device %s ", p.ID, p.DeviceID)
	case p.NetworkID != network && !c.s.anyNetwork():
		return invalid("All VIP subnets must belong to the same network.")
	}
	return nil
}

// vipOnPort takes network, subnet and address from a port that nobody uses.
func (c *call) vipOnPort(want *driver.VIPRequest, qosGiven bool) *fault {
	p, err := c.network().Port(c.r.Context(), want.PortID)
	if err != nil {
		return asNetworkFault(err, "Port", want.PortID)
	}
	if p.DeviceID != "" {
		return invalid("Port %s is already used by device %s ", p.ID, p.DeviceID)
	}
	want.NetworkID = p.NetworkID
	if !qosGiven {
		want.QoSPolicyID = p.QoSPolicyID
	}
	return c.fixedIP(want, p)
}

func (c *call) fixedIP(want *driver.VIPRequest, p *driver.Port) *fault {
	pick := func(match func(driver.FixedIP) bool) bool {
		i := slices.IndexFunc(p.FixedIPs, match)
		if i >= 0 {
			want.SubnetID, want.Address = p.FixedIPs[i].SubnetID, p.FixedIPs[i].Address.String()
		}
		return i >= 0
	}
	switch {
	case want.SubnetID != "":
		if _, err := c.network().Subnet(c.r.Context(), want.SubnetID); err != nil {
			return asNetworkFault(err, "Subnet", want.SubnetID)
		}
		if !pick(func(ip driver.FixedIP) bool { return ip.SubnetID == want.SubnetID }) {
			return invalid("No VIP address found on the specified VIP port within the specified subnet.")
		}
	case want.Address != "":
		a, _ := netip.ParseAddr(want.Address)
		if !pick(func(ip driver.FixedIP) bool { return ip.Address == a }) {
			return invalid("Specified VIP address not found on the specified VIP port.")
		}
	case len(p.FixedIPs) != 1:
		return invalid("VIP port's subnet could not be determined. Please specify either a VIP subnet or address.")
	default:
		pick(func(driver.FixedIP) bool { return true })
	}
	return nil
}

// vipOnNetwork chooses a subnet: the one that is named, the one that holds the
// address, else the first of IPv4 with room, else the first with room.
func (c *call) vipOnNetwork(want *driver.VIPRequest) *fault {
	n, err := c.network().Network(c.r.Context(), want.NetworkID)
	if err != nil {
		return asNetworkFault(err, "Network", want.NetworkID)
	}
	if want.SubnetID != "" {
		if !slices.Contains(n.Subnets, want.SubnetID) && !c.s.anyNetwork() {
			return missing("Subnet", want.SubnetID)
		}
		return nil
	}
	subnets, f := c.subnets(n.Subnets)
	if f != nil {
		return f
	}
	if want.Address != "" {
		a, _ := netip.ParseAddr(want.Address)
		i := slices.IndexFunc(subnets, func(s *driver.Subnet) bool { return s.Prefix.Contains(a) })
		if i < 0 {
			return invalid("Supplied network does not contain a subnet for VIP address specified.")
		}
		want.SubnetID = subnets[i].ID
		return nil
	}
	return c.s.settings.roomiest(want, subnets)
}

func (c *call) subnets(ids []string) ([]*driver.Subnet, *fault) {
	var out []*driver.Subnet
	for _, id := range ids {
		s, err := c.network().Subnet(c.r.Context(), id)
		if errors.Is(err, driver.ErrNotFound) {
			return nil, invalid("Subnet %s not found", id)
		}
		if err != nil {
			return nil, asNetworkFault(err, "Subnet", id)
		}
		out = append(out, s)
	}
	return out, nil
}

// roomiest chooses a subnet with addresses for the VIP and the amphorae.
func (s *Settings) roomiest(want *driver.VIPRequest, subnets []*driver.Subnet) *fault {
	if len(subnets) == 0 {
		return invalid("Supplied network does not contain a subnet.")
	}
	needed := 2
	if s.Topology == model.TopologyActiveStandby {
		needed = 3
	}
	subnets = slices.DeleteFunc(subnets, func(s *driver.Subnet) bool { return s.Free >= 0 && s.Free < needed })
	if len(subnets) == 0 {
		return invalid("Subnet(s) in the supplied network do not contain enough available IPs.")
	}
	chosen := subnets[0]
	if i := slices.IndexFunc(subnets, func(s *driver.Subnet) bool { return s.Prefix.Addr().Is4() }); i >= 0 {
		chosen = subnets[i]
	}
	want.SubnetID = chosen.ID
	return nil
}

func (c *call) vipOnSubnet(want *driver.VIPRequest) *fault {
	s, err := c.network().Subnet(c.r.Context(), want.SubnetID)
	if err != nil {
		return asNetworkFault(err, "Subnet", want.SubnetID)
	}
	want.NetworkID = s.NetworkID
	return nil
}

func (c *call) checkQoS(want *driver.VIPRequest) *fault { return c.qosExists(want.QoSPolicyID) }

func (c *call) qosExists(id string) *fault {
	if id == "" {
		return nil
	}
	err := c.network().QoSPolicy(c.r.Context(), id)
	if errors.Is(err, driver.ErrUnsupported) {
		return invalid("VIP QoS policy is not allowed in this deployment.")
	}
	if err != nil {
		return asNetworkFault(err, "qos_policy", id)
	}
	return nil
}

// checkShared wants all addresses on one network, one per subnet.
func (c *call) checkShared(want *driver.VIPRequest) *fault {
	if len(want.Additional) == 0 {
		return nil
	}
	ids := []string{want.SubnetID}
	for _, a := range want.Additional {
		if slices.Contains(ids, a.SubnetID) {
			return invalid("Duplicate VIP subnet(s) specified. Only one IP can be bound per subnet.")
		}
		ids = append(ids, a.SubnetID)
	}
	subnets, err := c.subnets(ids)
	if err != nil {
		return err
	}
	for _, s := range subnets {
		if s.NetworkID != subnets[0].NetworkID && !c.s.anyNetwork() {
			return invalid("All VIP subnets must belong to the same network.")
		}
	}
	return nil
}

func (c *call) checkGroups(want *driver.VIPRequest) *fault {
	return c.groupsExist(want.SecurityGroupIDs)
}

func (c *call) groupsExist(ids []string) *fault {
	for _, id := range ids {
		if err := c.network().SecurityGroup(c.r.Context(), id); err != nil {
			return asNetworkFault(err, "Security Group", id)
		}
	}
	return nil
}

func (s *Settings) checkVIPNetwork(id string, networks []string) *fault {
	if len(networks) == 0 {
		networks = s.VIPNetworks
	}
	same := func(o string) bool { return strings.EqualFold(o, id) }
	if len(networks) > 0 && !slices.ContainsFunc(networks, same) || slices.ContainsFunc(s.DeniedVIPNetworks, same) {
		return invalid("Supplied VIP network_id is not allowed by the configuration of this deployment.")
	}
	return nil
}

// anyNetwork reports whether the network takes every id, so that nothing can be
// said about what belongs to what.
func (s *Server) anyNetwork() bool {
	n, ok := s.network.(interface{ AcceptsAnything() bool })
	return ok && n.AcceptsAnything()
}

// reserve has the network reserve the addresses, and writes them down.
func (c *call) reserve(lb *model.LoadBalancer, want *driver.VIPRequest) (*driver.VIP, *fault) {
	want.LoadBalancerID, want.ProjectID = lb.ID, lb.ProjectID
	vip, err := c.s.network.EnsureVIP(c.r.Context(), *want)
	if err != nil {
		c.letGo(want)
		if f := driverFault(err); f != nil {
			return nil, f
		}
		return nil, newFault(http.StatusInternalServerError, "Provider '%s' reports error: %s", lb.Provider, err)
	}
	lb.VIP = model.VIP{Address: vip.Address, SubnetID: vip.SubnetID, NetworkID: vip.NetworkID, PortID: vip.PortID, PortOwned: !vip.Given}
	for i, a := range vip.Additional {
		given := i < len(want.Additional) && want.Additional[i].PortID != ""
		lb.AdditionalVIPs = append(lb.AdditionalVIPs, model.VIP{Address: a.Address, SubnetID: a.SubnetID, NetworkID: vip.NetworkID, PortID: a.PortID, PortOwned: !given})
	}
	return vip, nil
}

// letGo gives the ports back that the user named, some of which may be marked already:
// those that the service makes are found by controllers, these are not.
func (c *call) letGo(want *driver.VIPRequest) {
	given := want.PortID != ""
	for _, a := range want.Additional {
		given = given || a.PortID != ""
	}
	if given {
		c.release(&driver.VIP{LoadBalancerID: want.LoadBalancerID, PortID: want.PortID, NetworkID: want.NetworkID, Given: want.PortID != "", Additional: want.Additional})
	}
}

// release gives addresses back after a failure; the request may be over by then.
func (c *call) release(vip *driver.VIP) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(c.r.Context()), 30*time.Second)
	defer cancel()
	if err := c.s.network.ReleaseVIP(ctx, *vip); err != nil {
		c.s.log.Warn("addresses of a load balancer that was not created are left to a controller", "request_id", c.id, "loadbalancer", vip.LoadBalancerID, "error", err)
	}
}
