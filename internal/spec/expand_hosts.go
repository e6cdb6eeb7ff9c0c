package spec

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/updraft-cloud/updraft/internal/addr"
	"github.com/updraft-cloud/updraft/internal/diag"
)

// pendingNIC is a NIC that wants an address from its group's block.
type pendingNIC struct {
	host  *Host
	nic   int
	group int
	wants bool // false: it has one, and only keeps its place in the block
	pos   diag.Pos
}

// host makes one host of a group.
func (e *expander) host(group, index int, g *Group, name string, s *settings) {
	h := &Host{
		Name: name, Group: g.Name, Index: index + 1, Roles: g.Roles, Pos: s.at.pos,
		CPUs: s.host.CPUs, Memory: int64(s.host.Memory), Disk: int64(s.host.Disk), Zone: s.host.Zone,
		Address: s.host.Address, Provider: s.provider, Access: s.host.Access.value(), Sets: s.uses, Resources: s.resources,
	}
	if other := e.hosts[name]; other != nil {
		what := fmt.Sprintf("groups %s and %s both have a host %s", other.Group, g.Name, shorten(name))
		if other.Group == g.Name {
			what = fmt.Sprintf("group %s has the host %s twice", g.Name, shorten(name))
		}
		e.faults.errorf(g.Pos, "groups."+g.Name, "rename one of them", "%s", what)
		return
	}
	e.hosts[name] = h
	e.cloud.Hosts = append(e.cloud.Hosts, h)
	e.hostAddress(h, s)
	e.nics(group, g, h, s)
}

func (e *expander) hostAddress(h *Host, s *settings) {
	path := "hosts." + h.Name + ".address"
	switch static := e.cloud.Provider.Name == "static"; {
	case static && h.Address == "":
		e.faults.errorf(h.Pos, path, fmt.Sprintf("write hosts: {%s: {address: …}}", h.Name), "host %s exists already, but where is not said", h.Name)
	case !static && h.Address != "":
		e.faults.errorf(s.at.at("address"), path, "remove it, or use provider: static; addresses on networks go under nics",
			"host %s has an address, but provider %s makes its hosts", h.Name, e.cloud.Provider.Name)
	}
}

// nics makes a host's NICs.
func (e *expander) nics(group int, g *Group, h *Host, s *settings) {
	list := s.host.NICs
	if list == nil && e.cloud.Provider.Name != "static" {
		if len(e.cloud.Networks) == 0 {
			if h.Index == 1 {
				e.faults.errorf(h.Pos, "groups."+g.Name+".nics", "write networks: {mgmt: {cidr: 10.88.0.0/24}}", "host %s has no network to be on", h.Name)
			}
			return
		}
		list = []nicFile{{nicSettings{Network: e.cloud.Networks[0].Name}}}
	}
	names, nets := map[string]bool{}, map[string]bool{}
	routed := false
	for i, f := range list {
		n := nicBuilder{e, group, g, h, s, f, i}.build(names, nets)
		if n == nil {
			continue
		}
		if net := e.cloud.Network(n.Network); !routed && net.Gateway.IsValid() {
			n.Gateway, routed = net.Gateway, true
		}
	}
}

// nicBuilder makes one NIC.
type nicBuilder struct {
	*expander
	group int
	g     *Group
	h     *Host
	s     *settings
	f     nicFile
	i     int
}

// path of a field of the NIC in the merged tree, and its position.
func (b nicBuilder) at(field string) (string, diag.Pos) {
	path := fmt.Sprintf("nics.%d", b.i)
	pos := b.s.at.at(path + "." + field)
	if b.s.ownNICs {
		return "hosts." + b.h.Name + "." + path + "." + field, pos
	}
	return "groups." + b.g.Name + "." + path + "." + field, pos
}

func (b nicBuilder) build(names, nets map[string]bool) *NIC {
	net := b.cloud.Network(b.f.Network)
	if net == nil {
		b.unknownNetwork()
		return nil
	}
	n := NIC{Name: b.f.Name, Network: net.Name, MAC: strings.ToLower(b.f.MAC), MTU: net.MTU}
	if n.Name == "" {
		n.Name = fmt.Sprintf("eth%d", b.i)
	}
	path, pos := b.at("name")
	if names[n.Name] {
		b.faults.errorf(pos, path, "", "host %s has two NICs named %s", b.h.Name, n.Name)
		return nil
	}
	if nets[net.Name] {
		b.faults.errorf(pos, path, "", "host %s has two NICs in network %s", b.h.Name, net.Name)
		return nil
	}
	names[n.Name], nets[net.Name] = true, true
	b.mac(&n)
	b.h.NICs = append(b.h.NICs, n)
	b.address(net, len(b.h.NICs)-1)
	return &b.h.NICs[len(b.h.NICs)-1]
}

func (b nicBuilder) unknownNetwork() {
	if b.f.Network == "" || !b.s.ownNICs && b.h.Index > 1 {
		return // reported
	}
	path, pos := b.at("network")
	b.faults.errorf(pos, path, DidYouMean(b.f.Network, b.file.Networks.Keys()), "there is no network %q", shorten(b.f.Network))
}

func (b nicBuilder) mac(n *NIC) {
	path, pos := b.at("mac")
	if n.MAC == "" && b.cloud.Provider.Name == "static" {
		return // it is what it is
	}
	if n.MAC == "" {
		n.MAC = addr.MAC(b.cloud.Name, b.h.Name, n.Name)
	}
	who := b.h.Name + " " + n.Name
	if other, taken := b.macs[n.MAC]; taken {
		b.faults.errorf(pos, path, "", "%s has the MAC %s of %s", who, n.MAC, other)
		return
	}
	b.macs[n.MAC] = who
}

// address settles an address that is written, or queues the NIC for one.
func (b nicBuilder) address(net *Network, nic int) {
	path, pos := b.at("address")
	p := pendingNIC{host: b.h, nic: nic, group: b.group, pos: pos}
	text := b.f.Address
	if text == "" && b.cloud.Provider.Name == "static" {
		if a, err := netip.ParseAddr(b.h.Address); err != nil || !net.CIDR.Contains(a) {
			b.faults.errorf(pos, path, "write nics: [{network: "+net.Name+", address: …}]", "host %s exists already, but its address in network %s is not said", b.h.Name, net.Name)
			return
		}
		text = b.h.Address
	}
	if text == "" {
		p.wants = true
		b.pending[net.Name] = append(b.pending[net.Name], p)
		return
	}
	b.pending[net.Name] = append(b.pending[net.Name], p)
	r, err := addr.ParseRange(text)
	if err != nil {
		return // reported by the decoder
	}
	a, ok := b.pick(r, path, pos)
	if ok && b.belongsAt(a, net, path, pos) {
		b.assign(b.h, nic, net, a, path, pos)
	}
}

// pick returns the host's address of the range.
func (b nicBuilder) pick(r addr.Range, path string, pos diag.Pos) (netip.Addr, bool) {
	if !r.From.Is4() {
		b.faults.errorf(pos, path, "give the network a cidr6: IPv6 addresses follow from it", "%s: %s is not an IPv4 address", path, r)
		return netip.Addr{}, false
	}
	if b.s.ownNICs || b.f.Address == "" {
		if r.Len() != 1 {
			b.faults.errorf(pos, path, "write one address", "%s: a range for one host", path)
		}
		return r.From, true
	}
	if b.h.Index == r.Len()+1 { // the first one that is left without
		b.faults.errorf(pos, path, "write a longer range", "%s: group %s has %d hosts, and %s has room for %d", path, b.g.Name, b.g.Count, r, r.Len())
	}
	a := r.At(b.h.Index - 1)
	return a, a.IsValid()
}

// assign gives an address to a NIC, and the IPv6 address that goes with it.
func (e *expander) assign(h *Host, nic int, net *Network, a netip.Addr, path string, pos diag.Pos) {
	n := &h.NICs[nic]
	who := "host " + h.Name
	e.claimAt(a, who, path, pos)
	n.Address = netip.PrefixFrom(a, net.CIDR.Bits())
	if a6 := net.Twin(a); a6.IsValid() {
		e.claimAt(a6, who, path, pos)
		n.Address6 = netip.PrefixFrom(a6, net.CIDR6.Bits())
	}
}

// addresses gives an address to every NIC that waits for one. See package addr
// for the rule.
func (e *expander) addresses() {
	for i := range e.cloud.Networks {
		net := &e.cloud.Networks[i]
		if !net.CIDR.IsValid() {
			continue
		}
		waiting := e.pending[net.Name]
		blocks := e.blocks(net, waiting)
		for _, p := range waiting {
			e.automatic(net, blocks[p.group], p)
		}
	}
}

// blocks returns the blocks of the groups that take addresses in the network.
func (e *expander) blocks(net *Network, waiting []pendingNIC) map[int]*addr.Block {
	blocks := map[int]*addr.Block{}
	var users []int
	for _, p := range waiting {
		if _, seen := blocks[p.group]; !seen && p.wants {
			blocks[p.group] = nil
			users = append(users, p.group)
		}
	}
	for _, u := range users {
		blocks[u] = addr.NewBlock(net.CIDR, u, users)
	}
	return blocks
}

func (e *expander) automatic(net *Network, block *addr.Block, p pendingNIC) {
	if block == nil {
		return // nobody in the group wants one
	}
	own := p.host.NICs[p.nic].Address.Addr()
	a := block.Next(func(a netip.Addr) bool { _, taken := e.claims[a]; return taken && a != own })
	if !p.wants {
		return // its place stays empty, or its own, so that those after it keep theirs
	}
	path := fmt.Sprintf("groups.%s.nics", p.host.Group)
	if a.IsValid() {
		e.assign(p.host, p.nic, net, a, path, p.pos)
		return
	}
	if p.host.Index > 1 && !p.host.NICs[p.nic].Address.IsValid() && e.exhausted(p) {
		return
	}
	e.faults.errorf(p.pos, path, "make the network larger, or give the group addresses: {network: "+net.Name+", address: FIRST-LAST}",
		"network %s (%s) has no address left for host %s of group %s", net.Name, net.CIDR, p.host.Name, p.host.Group)
}

// exhausted reports whether the host before p in its group was left without an
// address as well: then it was said.
func (e *expander) exhausted(p pendingNIC) bool {
	for _, h := range e.cloud.Hosts {
		if h.Group == p.host.Group && h.Index == p.host.Index-1 {
			return p.nic < len(h.NICs) && !h.NICs[p.nic].Address.IsValid()
		}
	}
	return false
}
