package spec

import (
	"net/netip"

	"github.com/updraft-cloud/updraft/internal/addr"
	"github.com/updraft-cloud/updraft/internal/diag"
)

// claim says what has an address.
type claim struct {
	who string
	pos diag.Pos
}

// networks expands networks, and holds them against each other.
func (e *expander) networks() {
	if len(e.file.Networks) > maxNetworks {
		e.faults.errorf(e.pos("networks"), "networks", "", "there are %d networks; %d are the most", len(e.file.Networks), maxNetworks)
		return
	}
	for _, entry := range e.file.Networks {
		e.network(entry.Key, entry.Value, "networks."+entry.Key)
	}
	for i := range e.cloud.Networks {
		for j := range i {
			e.overlap(&e.cloud.Networks[j], &e.cloud.Networks[i])
		}
	}
}

func (e *expander) network(name string, f networkFile, path string) {
	n := Network{
		Name: name, MTU: f.MTU, Uplink: f.Uplink, Pos: e.pos(path),
		CIDR:  e.prefix(f.CIDR, path+".cidr"),
		CIDR6: e.prefix(f.CIDR6, path+".cidr6"),
	}
	for _, s := range f.DNS {
		if a, err := netip.ParseAddr(s); err == nil {
			n.DNS = append(n.DNS, a)
		}
	}
	if n.CIDR.IsValid() {
		e.ownAddresses(&n, f, path)
	}
	if n.CIDR6.IsValid() {
		e.network6(&n, path)
	}
	e.cloud.Networks = append(e.cloud.Networks, n)
}

// prefix parses a network that was held against its format before. Bits to the
// right of the mask are a slip that cannot be misunderstood.
func (e *expander) prefix(s, path string) netip.Prefix {
	p, err := netip.ParsePrefix(s)
	if err != nil {
		return netip.Prefix{}
	}
	if p != p.Masked() {
		e.faults.warnf(e.pos(path), path, "write "+p.Masked().String(), "%s: %s is an address within the network %s", path, s, p.Masked())
	}
	least, most := 8, 30
	if p.Addr().Is6() {
		least, most = 16, 126
	}
	if p.Bits() < least || p.Bits() > most {
		e.faults.errorf(e.pos(path), path, "", "%s: /%d is not between /%d and /%d", path, p.Bits(), least, most)
		return netip.Prefix{}
	}
	return p.Masked()
}

// ownAddresses settles the addresses of the gateway and the deploy host.
func (e *expander) ownAddresses(n *Network, f networkFile, path string) {
	n.Gateway = e.inside(f.Gateway, n, path+".gateway")
	n.Deployer = e.inside(f.Deployer, n, path+".deployer")
	first := addr.Nth(n.CIDR, 1)
	switch {
	case n.Deployer.IsValid():
	case e.cloud.Provider.Name == "static": // it is where it is
	case n.Uplink && n.Gateway.IsValid():
		n.Deployer = n.Gateway
	case n.Gateway == first:
		n.Deployer = addr.Nth(n.CIDR, 2)
	default:
		n.Deployer = first
	}
	if n.Uplink && !n.Gateway.IsValid() && n.Deployer.IsValid() {
		n.Gateway = n.Deployer
	}
	e.claim(n.Deployer, "the deploy host in network "+n.Name, path+".deployer")
	if n.Gateway.IsValid() && (n.Gateway != n.Deployer || !n.Uplink) {
		e.claim(n.Gateway, "the gateway of network "+n.Name, path+".gateway")
	}
}

// inside parses an address that is to lie in the network's IPv4 prefix.
func (e *expander) inside(s string, n *Network, path string) netip.Addr {
	a, err := netip.ParseAddr(s)
	if err != nil {
		return netip.Addr{}
	}
	if !e.belongs(a, n, path) {
		return netip.Addr{}
	}
	if a.Is6() {
		e.faults.errorf(e.pos(path), path, "", "%s: %s is not an IPv4 address", path, a)
		return netip.Addr{}
	}
	return a
}

// belongs reports whether a host of the network may have the address, and says
// why not.
func (e *expander) belongs(a netip.Addr, n *Network, path string) bool {
	return e.belongsAt(a, n, path, e.pos(path))
}

func (e *expander) belongsAt(a netip.Addr, n *Network, path string, pos diag.Pos) bool {
	p := n.CIDR
	if a.Is6() {
		p = n.CIDR6
	}
	switch {
	case a.Is6() && !p.IsValid():
		e.faults.errorf(pos, path, "give the network a cidr6", "%s: network %s has no IPv6 prefix", path, n.Name)
		return false
	case !p.IsValid():
		return false // reported
	case !p.Contains(a):
		e.faults.errorf(pos, path, "", "%s: %s is outside of network %s (%s)", path, a, n.Name, p)
		return false
	case addr.IsEdge(p, a):
		e.faults.errorf(pos, path, "", "%s: %s is the network or broadcast address of %s (%s)", path, a, n.Name, p)
		return false
	}
	return true
}

// network6 checks that every host finds room in the IPv6 network.
func (e *expander) network6(n *Network, path string) {
	if !n.CIDR.IsValid() {
		return
	}
	if addr.Size(n.CIDR6) < addr.Size(n.CIDR) {
		e.faults.errorf(e.pos(path+".cidr6"), path+".cidr6", "a /64 is usual", "%s.cidr6: %s is smaller than %s", path, n.CIDR6, n.CIDR)
		n.CIDR6 = netip.Prefix{}
		return
	}
	if n.MTU < 1280 {
		e.faults.errorf(e.pos(path+".mtu"), path+".mtu", "", "%s.mtu: IPv6 needs 1280 or more (RFC 8200)", path)
	}
	if n.Deployer.IsValid() {
		e.claim(n.Twin(n.Deployer), "the deploy host in network "+n.Name, path+".deployer")
	}
}

// Twin returns the IPv6 address that belongs to an IPv4 address of the network:
// the one at the same distance from the start. It is not valid when the network
// has no IPv6.
func (n *Network) Twin(a netip.Addr) netip.Addr {
	if !n.CIDR6.IsValid() || !a.Is4() {
		return netip.Addr{}
	}
	return addr.Nth(n.CIDR6, addr.Offset(n.CIDR, a))
}

func (e *expander) overlap(a, b *Network) {
	if a.CIDR.IsValid() && b.CIDR.IsValid() && a.CIDR.Overlaps(b.CIDR) {
		path := "networks." + b.Name + ".cidr"
		e.faults.errorf(e.pos(path), path, "", "networks %s (%s) and %s (%s) overlap", a.Name, a.CIDR, b.Name, b.CIDR)
	}
	if a.CIDR6.IsValid() && b.CIDR6.IsValid() && a.CIDR6.Overlaps(b.CIDR6) {
		path := "networks." + b.Name + ".cidr6"
		e.faults.errorf(e.pos(path), path, "", "networks %s (%s) and %s (%s) overlap", a.Name, a.CIDR6, b.Name, b.CIDR6)
	}
}

// claim notes who has an address, and reports when it has an owner already.
func (e *expander) claim(a netip.Addr, who, path string) {
	e.claimAt(a, who, path, e.pos(path))
}

func (e *expander) claimAt(a netip.Addr, who, path string, pos diag.Pos) {
	if !a.IsValid() {
		return
	}
	if other, taken := e.claims[a]; taken {
		e.faults.errorf(pos, path, "", "%s has the address %s of %s", who, a, other.who)
		return
	}
	e.claims[a] = claim{who, pos}
}
