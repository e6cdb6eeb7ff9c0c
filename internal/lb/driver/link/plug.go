package link

import (
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Plug is an interface of an instance, the other end of which is in a bridge.
type Plug struct {
	Name      string // inside
	Outside   string // the end in the bridge, unique in its namespace
	MAC       string // "" to leave it to the kernel
	MTU       int    // 0: 1500
	Bridge    string
	Addresses []netip.Prefix
	// Routes are set whole: an invalid prefix is the default route of the
	// gateway's family.
	Routes []Route
}

// Route is a way to a destination.
type Route struct {
	To  netip.Prefix
	Via netip.Addr
}

// Connect makes a pair of interfaces between an instance and a bridge.
func Connect(inside, outside *Space, p Plug) error {
	l, err := inside.find(p.Name)
	if err != nil {
		return err
	}
	if l == nil {
		if err := pair(inside, outside, p); err != nil {
			return fmt.Errorf("cannot plug %s into %s: %w", p.Name, p.Bridge, err)
		}
	}
	if err := intoBridge(outside, p); err != nil {
		return fmt.Errorf("cannot plug %s into %s: %w", p.Name, p.Bridge, err)
	}
	if err := inside.Address(p.Name, p.Addresses...); err != nil {
		return err
	}
	return inside.route(p)
}

func pair(inside, outside *Space, p Plug) error {
	if err := outside.Remove(p.Outside); err != nil { // half of what was cut off
		return err
	}
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.MTU = p.Outside, p.mtu()
	veth := &netlink.Veth{LinkAttrs: attrs, PeerName: p.Name, PeerMTU: uint32(p.mtu()), PeerNamespace: netlink.NsFd(inside.NS.Fd())}
	if p.MAC != "" {
		mac, err := net.ParseMAC(p.MAC)
		if err != nil {
			return err
		}
		veth.PeerHardwareAddr = mac
	}
	return outside.handle.LinkAdd(veth)
}

func (p Plug) mtu() int {
	if p.MTU == 0 {
		return 1500
	}
	return p.MTU
}

func intoBridge(s *Space, p Plug) error {
	end, err := s.handle.LinkByName(p.Outside)
	if err != nil {
		return err
	}
	br, err := s.handle.LinkByName(p.Bridge)
	if err != nil {
		return err
	}
	if end.Attrs().MasterIndex != br.Attrs().Index {
		if err := s.handle.LinkSetMaster(end, br); err != nil {
			return err
		}
	}
	if end.Attrs().Flags&net.FlagUp != 0 {
		return nil
	}
	return s.handle.LinkSetUp(end)
}

func (s *Space) route(p Plug) error {
	l, err := s.handle.LinkByName(p.Name)
	if err != nil {
		return err
	}
	for _, r := range p.Routes {
		route := &netlink.Route{LinkIndex: l.Attrs().Index, Gw: r.Via.AsSlice(), Dst: ipNet(r.destination())}
		if err := s.handle.RouteReplace(route); err != nil && !errors.Is(err, unix.EEXIST) {
			return fmt.Errorf("cannot route %s by %s: %w", r.destination(), r.Via, err)
		}
	}
	return nil
}

func (r Route) destination() netip.Prefix {
	switch {
	case r.To.IsValid():
		return r.To
	case r.Via.Is6():
		return netip.PrefixFrom(netip.IPv6Unspecified(), 0)
	}
	return netip.PrefixFrom(netip.IPv4Unspecified(), 0)
}
