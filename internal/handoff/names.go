package handoff

import (
	"bytes"
	"fmt"
	"net/netip"
	"strings"
)

// name is an address with the names it is known by, relative to the domain,
// the chief one first.
type name struct {
	addr  netip.Addr
	names []string
}

// names lists all names of the cloud: hosts by their first NIC, every NIC as
// HOST.NETWORK, and VIPs. The last form cannot collide with a host's name,
// which holds no dot.
func (in Input) names() []name {
	var out []name
	add := func(a netip.Addr, names ...string) {
		if a.IsValid() {
			out = append(out, name{a, names})
		}
	}
	for _, h := range in.Hosts {
		v4, v6 := h.address()
		if len(h.NICs) == 0 {
			add(v4, h.Name)
			add(v6, h.Name)
		}
		for i, n := range h.NICs {
			names := []string{h.Name + "." + n.Network}
			if i == 0 {
				names = []string{h.Name, names[0]}
			}
			add(n.Address.Addr(), names...)
			add(n.Address6.Addr(), names...)
		}
	}
	for _, v := range in.VIPs {
		add(v.Address, v.Name)
	}
	return out
}

// etcHosts renders a fragment for /etc/hosts (hosts(5)): the full name of each
// address first, as that is its canonical one.
func etcHosts(in Input) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "# BEGIN updraft %s\n", in.Cloud)
	for _, n := range in.names() {
		var all []string
		for _, s := range n.names {
			all = append(all, s+"."+in.Domain, s)
		}
		fmt.Fprintf(&b, "%s\t%s\n", n.addr, strings.Join(all, " "))
	}
	fmt.Fprintf(&b, "# END updraft %s\n", in.Cloud)
	return b.Bytes()
}
