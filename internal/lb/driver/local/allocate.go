package local

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/updraft-cloud/updraft/internal/lb/driver"
)

// ownerVIP is the device_owner that Octavia gives its VIP ports.
const ownerVIP, ownerAmphora = "Octavia", "compute:netns"

// EnsureVIP reserves addresses.
func (n *Network) EnsureVIP(ctx context.Context, want driver.VIPRequest) (*driver.VIP, error) {
	if want.PortID != "" {
		return nil, &driver.Error{Kind: "Port", ID: want.PortID, Class: driver.ErrUnsupported, Detail: "local networks have no ports of users"}
	}
	id := driver.DerivedID("vip", want.LoadBalancerID)
	var vip *driver.VIP
	err := n.ports.change(ctx, func(ports []driver.Port) ([]driver.Port, error) {
		if i := slices.IndexFunc(ports, func(p driver.Port) bool { return p.ID == id }); i >= 0 {
			vip = vipOf(ports[i])
			return ports, nil
		}
		port := driver.Port{ID: id, Name: "octavia-lb-" + want.LoadBalancerID, ProjectID: want.ProjectID, DeviceID: "lb-" + want.LoadBalancerID,
			DeviceOwner: ownerVIP, LoadBalancerID: want.LoadBalancerID, Created: time.Now().UTC()}
		wishes := append([]driver.AdditionalVIP{{SubnetID: want.SubnetID, Address: want.Address}}, want.Additional...)
		if err := n.fill(&port, ports, want.NetworkID, wishes); err != nil {
			return nil, err
		}
		vip = vipOf(port)
		return append(ports, port), nil
	})
	return vip, err
}

func vipOf(p driver.Port) *driver.VIP {
	v := &driver.VIP{LoadBalancerID: p.LoadBalancerID, PortID: p.ID, NetworkID: p.NetworkID}
	for i, f := range p.FixedIPs {
		if i == 0 {
			v.SubnetID, v.Address = f.SubnetID, f.Address.String()
			continue
		}
		v.Additional = append(v.Additional, driver.AdditionalVIP{SubnetID: f.SubnetID, Address: f.Address.String(), PortID: p.ID})
	}
	return v
}

// fill gives a port its addresses and the network that they are on.
func (n *Network) fill(port *driver.Port, ports []driver.Port, networkID string, wishes []driver.AdditionalVIP) error {
	used := taken(ports)
	for _, wish := range wishes {
		w, s, err := n.choose(networkID, wish)
		if err != nil {
			return err
		}
		if port.NetworkID != "" && port.NetworkID != w.ID {
			return &driver.Error{Kind: "Subnet", ID: s.ID, Class: driver.ErrInvalid, Detail: "it is on another network"}
		}
		a, err := s.allocate(used, wish.Address)
		if err != nil {
			return err
		}
		used[a] = port.ID
		port.NetworkID = w.ID
		port.FixedIPs = append(port.FixedIPs, driver.FixedIP{SubnetID: s.ID, Address: a})
	}
	if port.MAC == "" {
		port.MAC = randomMAC()
	}
	return nil
}

// choose returns the subnet that is wished for, or the network's first.
func (n *Network) choose(networkID string, wish driver.AdditionalVIP) (*network, *subnet, error) {
	if wish.SubnetID != "" {
		w, s := n.subnet(wish.SubnetID)
		if s == nil {
			return nil, nil, driver.NotFound("Subnet", wish.SubnetID)
		}
		return w, s, nil
	}
	w := n.network(networkID)
	if w == nil {
		return nil, nil, driver.NotFound("Network", networkID)
	}
	for i := range w.Subnets {
		if a, err := netip.ParseAddr(wish.Address); wish.Address == "" || err == nil && w.Subnets[i].CIDR.Contains(a) {
			return w, &w.Subnets[i], nil
		}
	}
	return nil, nil, &driver.Error{Kind: "Network", ID: networkID, Class: driver.ErrInvalid, Detail: "no subnet of it holds " + wish.Address}
}

// allocate takes the wished address, or the one after the highest that is in use
// below the end, then any: one just given back is not reused at once, because
// neighbours remember whose it was.
func (s *subnet) allocate(used map[netip.Addr]string, wish string) (netip.Addr, error) {
	if wish != "" {
		return s.take(used, wish)
	}
	start := s.First
	for a := range used {
		if s.holds(a) && a.Compare(start) >= 0 && a != s.Last {
			start = a.Next()
		}
	}
	for _, from := range []netip.Addr{start, s.First} {
		for a := from; a.IsValid() && a.Compare(s.Last) <= 0; a = a.Next() {
			if used[a] == "" && !s.reserved(a) {
				return a, nil
			}
		}
	}
	return netip.Addr{}, &driver.Error{Kind: "Subnet", ID: s.ID, Class: driver.ErrExhausted, Detail: "all addresses of " + s.CIDR.String() + " are in use"}
}

func (s *subnet) take(used map[netip.Addr]string, wish string) (netip.Addr, error) {
	a, err := netip.ParseAddr(wish)
	if err != nil || !s.CIDR.Contains(a) {
		return a, &driver.Error{Kind: "Address", ID: wish, Class: driver.ErrInvalid, Detail: "it is not in " + s.CIDR.String()}
	}
	if used[a] != "" || s.reserved(a) {
		return a, &driver.Error{Kind: "Address", ID: wish, Class: driver.ErrInUse}
	}
	return a, nil
}

func randomMAC() string {
	b := make([]byte, 5)
	_, _ = rand.Read(b) // never fails
	return fmt.Sprintf("fa:%02x:%02x:%02x:%02x:%02x", b[0], b[1], b[2], b[3], b[4])
}

// ReleaseVIP gives the addresses back.
func (n *Network) ReleaseVIP(ctx context.Context, vip driver.VIP) error {
	return n.RemovePort(ctx, driver.DerivedID("vip", vip.LoadBalancerID))
}

// EnsurePort makes a port of an amphora.
func (n *Network) EnsurePort(ctx context.Context, want driver.PortRequest) (*driver.Port, error) {
	id := driver.DerivedID("port", want.AmphoraID, want.NetworkID)
	var out *driver.Port
	err := n.ports.change(ctx, func(ports []driver.Port) ([]driver.Port, error) {
		if i := slices.IndexFunc(ports, func(p driver.Port) bool { return p.ID == id }); i >= 0 {
			if covers(ports[i], want.Subnets) {
				out = n.bound(ports[i])
				return ports, nil
			}
			port := ports[i]
			ports = slices.Delete(ports, i, i+1)
			return n.plug(&out, port, ports, want)
		}
		return n.plug(&out, driver.Port{ID: id, Name: "octavia-amp-" + want.AmphoraID, ProjectID: want.ProjectID, DeviceID: want.AmphoraID, DeviceOwner: ownerAmphora,
			LoadBalancerID: want.LoadBalancerID, AmphoraID: want.AmphoraID, Created: time.Now().UTC()}, ports, want)
	})
	return out, err
}

// plug adds what the port misses.
func (n *Network) plug(out **driver.Port, port driver.Port, ports []driver.Port, want driver.PortRequest) ([]driver.Port, error) {
	var wishes []driver.AdditionalVIP
	for _, s := range want.Subnets {
		if !covers(port, []string{s}) {
			wishes = append(wishes, driver.AdditionalVIP{SubnetID: s})
		}
	}
	if len(want.Subnets) == 0 {
		wishes = append(wishes, driver.AdditionalVIP{})
	}
	port.FixedIPs = slices.Clone(port.FixedIPs)
	if err := n.fill(&port, ports, want.NetworkID, wishes); err != nil {
		return nil, err
	}
	*out = n.bound(port)
	return append(ports, port), nil
}

func covers(p driver.Port, subnets []string) bool {
	for _, s := range subnets {
		if !slices.ContainsFunc(p.FixedIPs, func(f driver.FixedIP) bool { return f.SubnetID == s }) {
			return false
		}
	}
	return len(p.FixedIPs) > 0
}
