package netif

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/updraft-cloud/updraft/internal/drift"
	"github.com/updraft-cloud/updraft/internal/resource"
)

// link is an interface as ip -j -d address prints it.
type link struct {
	Index    int      `json:"ifindex"`
	Name     string   `json:"ifname"`
	MAC      string   `json:"address"`
	Parent   string   `json:"link"`
	Master   string   `json:"master"`
	MTU      int      `json:"mtu"`
	Flags    []string `json:"flags"`
	LinkInfo struct {
		Kind string `json:"info_kind"`
		Data struct {
			ID   int    `json:"id"`
			Mode string `json:"mode"`
		} `json:"info_data"`
	} `json:"linkinfo"`
	Addrs []struct {
		Local  string `json:"local"`
		Prefix int    `json:"prefixlen"`
	} `json:"addr_info"`
}

// liveRoute is a route as ip -j route prints it.
type liveRoute struct {
	Dst     string `json:"dst"`
	Gateway string `json:"gateway"`
	Dev     string `json:"dev"`
}

// network is what the kernel says.
type network struct {
	links  []link
	routes []liveRoute
}

// look asks the kernel, by three short processes for all interfaces together.
func look(ctx context.Context, h resource.Host) (*network, error) {
	v, err := h.Memo("interface: live", func() (any, error) {
		n := &network{}
		if err := ipJSON(ctx, h, &n.links, "-d", "address", "show"); err != nil {
			return nil, err
		}
		for _, family := range []string{"-4", "-6"} {
			var routes []liveRoute
			if err := ipJSON(ctx, h, &routes, family, "route", "show"); err != nil {
				return nil, err
			}
			n.routes = append(n.routes, routes...)
		}
		return n, nil
	})
	if err != nil {
		return nil, err
	}
	return v.(*network), nil
}

func ipJSON(ctx context.Context, h resource.Host, to any, args ...string) error {
	out, err := h.Run(ctx, resource.Command{Name: "ip", Args: append([]string{"-j"}, args...), Quiet: true, Reads: true})
	if err != nil || len(strings.TrimSpace(string(out.Stdout))) == 0 {
		return err
	}
	if err := json.Unmarshal(out.Stdout, to); err != nil {
		return fmt.Errorf("cannot read the output of ip %s: %w", strings.Join(args, " "), err)
	}
	return nil
}

// find returns the link of the resource, by hardware address if it has one.
func (n *network) find(r *Resource) *link {
	for i, l := range n.links {
		if r.MAC != "" && strings.EqualFold(l.MAC, r.MAC) || r.MAC == "" && l.Name == r.Name {
			return &n.links[i]
		}
	}
	return nil
}

func (n *network) named(name string) *link { return n.find(&Resource{Name: name}) }

// compare notes in what the live interface differs.
func (n *network) compare(r *Resource, b *drift.Builder) {
	l := n.find(r)
	if l == nil {
		b.Want("link", "absent", r.Name)
		return
	}
	b.Want("link", l.shape(r), r.shape())
	b.Want("up", strconv.FormatBool(slices.Contains(l.Flags, "UP")), "true")
	if r.MTU != 0 {
		b.Want("mtu", strconv.Itoa(l.MTU), strconv.Itoa(r.MTU))
	}
	for _, a := range r.Addresses {
		if !l.has(a) {
			b.Want("address "+a, "absent", "present")
		}
	}
	for _, rt := range r.routes() {
		if !n.routed(l.Name, rt) {
			b.Want("route "+rt.To, "absent", strings.TrimSpace("via "+rt.Via))
		}
	}
	for _, name := range r.Members {
		if m := n.named(name); m == nil {
			b.Want("member "+name, "absent", r.Name)
		} else {
			b.Want("member "+name, m.Master, r.Name)
		}
	}
}

// shape describes what a made interface is.
func (r *Resource) shape() string {
	switch r.typ() {
	case VLAN:
		return fmt.Sprintf("vlan %d on %s", r.VLANID, r.Parent)
	case Bond:
		return "bond " + r.bondMode()
	default:
		return r.typ()
	}
}

// shape describes a live interface as far as the resource's type tells.
func (l *link) shape(r *Resource) string {
	switch {
	case r.typ() == Physical:
		return Physical // whatever it is made of, such as a veth
	case l.LinkInfo.Kind == VLAN:
		return fmt.Sprintf("vlan %d on %s", l.LinkInfo.Data.ID, l.Parent)
	case l.LinkInfo.Kind == Bond:
		return "bond " + l.LinkInfo.Data.Mode
	case l.LinkInfo.Kind == "":
		return Physical
	default:
		return l.LinkInfo.Kind
	}
}

func (l *link) has(address string) bool {
	want, err := netip.ParsePrefix(address)
	if err != nil {
		return false
	}
	for _, a := range l.Addrs {
		if ip, err := netip.ParseAddr(a.Local); err == nil && ip == want.Addr() && a.Prefix == want.Bits() {
			return true
		}
	}
	return false
}

// routed reports whether there is the route. A default route is of the family
// of its router.
func (n *network) routed(dev string, want Route) bool {
	return slices.ContainsFunc(n.routes, func(have liveRoute) bool {
		return have.Dev == dev && have.Gateway == want.Via && sameDestination(have.Dst, want.To)
	})
}

func sameDestination(a, b string) bool {
	if a == b {
		return true
	}
	p, q := prefixOf(a), prefixOf(b)
	return p.IsValid() && p == q
}

// prefixOf reads a destination; ip leaves out the length for a single address.
func prefixOf(s string) netip.Prefix {
	if ip, err := netip.ParseAddr(s); err == nil {
		return netip.PrefixFrom(ip, ip.BitLen())
	}
	p, _ := netip.ParsePrefix(s)
	return p
}
