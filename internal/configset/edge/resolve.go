package edge

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/updraft-cloud/updraft/internal/configset"
	"github.com/updraft-cloud/updraft/internal/spec"
)

// firstPriority is the VRRP priority of the first edge; the next have one less
// each. 255 is kept for an owner of the address, which no edge is (RFC 9568,
// section 5.2.4).
const firstPriority = 200

// The bounds of the advertisement interval. Below 100 ms a busy computer loses
// the address without a fault; RFC 9568 has no default below 1 s.
const (
	defaultAdvert = 500 * time.Millisecond
	minAdvert     = 100 * time.Millisecond
	maxAdvert     = time.Second
)

// resolve finds everything that the names in the parameters stand for. It
// reports all faults it can see and returns nil if there was one.
func resolve(in *configset.Input) *service {
	s := &service{Params: *in.Params.(*Params), host: in.Host.Name}
	before := len(*in.Diags)
	s.resolveVIP(in)
	s.resolveBackends(in)
	s.advert = cmp.Or(s.Advert, defaultAdvert)
	if s.advert < minAdvert || s.advert > maxAdvert {
		in.Fault("advert", "write a value from 100ms to 1s", "advert: %s is out of bounds", s.advert)
	}
	if !strings.HasPrefix(s.StatsSocket, "/") || strings.ContainsAny(s.StatsSocket, " \t\"'\\#$") {
		in.Fault("stats_socket", "write an absolute path without spaces", "stats_socket: %q cannot be used", s.StatsSocket)
	}
	if s.Check != "" && !isPath(s.Check) {
		in.Fault("check", "write a path such as /healthz", "check: %q is not the path of a request", s.Check)
	}
	if len(*in.Diags) > before {
		return nil
	}
	return s
}

// resolveVIP finds the address, the NIC it goes on, and the other edges.
func (s *service) resolveVIP(in *configset.Input) {
	v := in.Cloud.VIP(s.VIP)
	if s.VIP == "" { // no parameters at all
		in.Fault("vip", "name one of vips", "vip is missing")
		return
	}
	if v == nil {
		in.Fault("vip", "declare it under vips", "there is no virtual address %q", s.VIP)
		return
	}
	s.vip = *v
	s.routerID = cmp.Or(s.RouterID, int(lastByte(v.Address)))
	if s.routerID == 0 {
		in.Fault("router_id", "write router_id: 1", "no VRRP router id follows from %s", v.Address)
	}
	edges := in.Cloud.Select(v.Group)
	at := slices.Index(edges, in.Host)
	if at < 0 {
		in.Fault("vip", "use the configset on that group, or change vips."+v.Name+".group",
			"virtual address %s belongs to %s, and %s is not in it", v.Name, v.Group, in.Host.Name)
		return
	}
	if at >= firstPriority {
		in.Fault("vip", "make the group smaller", "%s has more than %d hosts, which is all that VRRP can order", v.Group, firstPriority)
		return
	}
	s.priority = firstPriority - at
	s.resolvePeers(in, edges)
}

func (s *service) resolvePeers(in *configset.Input, edges []*spec.Host) {
	for _, h := range edges {
		nic, address := nicOn(h, s.vip.Network, s.vip.Address.Is4())
		switch {
		case !address.IsValid():
			in.Fault("vip", "give the hosts of "+s.vip.Group+" a NIC there", "%s has no address on network %s, where %s is",
				h.Name, s.vip.Network, s.vip.Address)
		case h == in.Host:
			s.nic, s.own = nic, address
		default:
			s.peers = append(s.peers, address)
		}
	}
}

// resolveBackends finds the backends' addresses and weights.
func (s *service) resolveBackends(in *configset.Input) {
	if s.Backends == "" {
		in.Fault("backends", "name a group, a role or a host", "backends is missing")
		return
	}
	hosts := in.Cloud.Select(s.Backends)
	if len(hosts) == 0 {
		in.Fault("backends", "name a group, a role or a host", "there are no hosts %q", s.Backends)
		return
	}
	s.checkWeights(in, hosts)
	network := s.BackendNetwork
	if network == "" {
		if network = common(in.Host, hosts, s.vip.Network); network == "" {
			in.Fault("backends", "give them a NIC on one network", "%s has no network in common with all of %s", in.Host.Name, s.Backends)
			return
		}
	}
	for _, h := range hosts {
		_, address := nicOn(h, network, true)
		if !address.IsValid() {
			in.Fault("backend_network", "name a network that all of "+s.Backends+" are on", "%s has no address on network %q", h.Name, network)
			continue
		}
		weight, ok := s.Weights[h.Name]
		if !ok {
			weight = 1
		}
		s.backends = append(s.backends, backend{h.Name, address, weight})
	}
}

func (s *service) checkWeights(in *configset.Input, hosts []*spec.Host) {
	for name, w := range s.Weights {
		if !slices.ContainsFunc(hosts, func(h *spec.Host) bool { return h.Name == name }) {
			in.Fault("weights."+name, "name one of "+s.Backends, "weights: %s is no backend", name)
		}
		if w < 0 || w > 256 {
			in.Fault("weights."+name, "", "weights: %d is not from 0 to 256", w)
		}
	}
}

// common returns a network that h and all others are on: the preferred one, or
// else the first of h.
func common(h *spec.Host, others []*spec.Host, preferred string) string {
	shared := func(network string) bool {
		apart := func(o *spec.Host) bool { return !o.AddressOn(network).IsValid() }
		return !apart(h) && !slices.ContainsFunc(others, apart)
	}
	if shared(preferred) {
		return preferred
	}
	for _, nic := range h.NICs {
		if shared(nic.Network) {
			return nic.Network
		}
	}
	return ""
}

// nicOn returns the host's NIC on the network, and its address of the family.
func nicOn(h *spec.Host, network string, v4 bool) (string, netip.Addr) {
	for _, n := range h.NICs {
		if n.Network != network {
			continue
		}
		if v4 {
			return n.Name, n.Address.Addr()
		}
		return n.Name, n.Address6.Addr()
	}
	return "", netip.Addr{}
}

func lastByte(a netip.Addr) byte {
	b := a.AsSlice()
	return b[len(b)-1]
}

// isPath reports whether s is the path of a request that needs no quoting in
// haproxy.cfg.
func isPath(s string) bool {
	return s[0] == '/' && !strings.ContainsFunc(s, func(c rune) bool {
		return c <= ' ' || c >= 0x7f || strings.ContainsRune("\"'\\#$%{}`", c)
	})
}
