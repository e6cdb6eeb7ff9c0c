package handoff

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// zoneTTL is short: addresses of a cloud move when it is raised anew.
const zoneTTL = 300

// zones renders the forward zone as "zone" and a reverse zone for each /24 or
// IPv6 network with names in it, as "zone.NAME" (master files, RFC 1035, 5).
//
// The serial is made from the content, so that the same cloud gives the same
// bytes. It does not grow: load the files into primaries, and do not let
// secondaries rely on it.
func zones(in Input) []File {
	ns, glue := in.nameServer()
	forward := []string{}
	for _, g := range glue {
		forward = append(forward, record(ns, g))
	}
	reverse := map[string][]string{}
	for _, n := range in.names() {
		for _, s := range n.names {
			forward = append(forward, record(s, n.addr))
		}
		zone, label := in.reverse(n.addr)
		reverse[zone] = append(reverse[zone], fmt.Sprintf("%s\tIN\tPTR\t%s.%s.", label, n.names[0], in.Domain))
	}
	server := ns + "." + in.Domain + "."
	files := []File{{Name: "zone", Content: zone(in.Domain, server, forward)}}
	for name, records := range reverse {
		files = append(files, File{Name: "zone." + name, Content: zone(name, server, records)})
	}
	return files
}

// nameServer returns the name under which the zone's server stands, and its
// addresses: the deploy host's, or else those of the first host. A zone must
// name one (RFC 1035, 5.2); who serves it from elsewhere replaces it.
func (in Input) nameServer() (name string, addrs []netip.Addr) {
	name = "ns"
	taken := func(n string) bool {
		return slices.ContainsFunc(in.Hosts, func(h Host) bool { return h.Name == n }) ||
			slices.ContainsFunc(in.VIPs, func(v VIP) bool { return v.Name == n })
	}
	for i := 1; taken(name); i++ {
		name = "ns" + strconv.Itoa(i)
	}
	for _, n := range in.Networks {
		if n.Deployer.IsValid() {
			return name, []netip.Addr{n.Deployer}
		}
	}
	for _, n := range in.names() {
		return name, []netip.Addr{n.addr}
	}
	return name, []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1})}
}

func record(name string, a netip.Addr) string {
	kind := "A"
	if a.Is6() {
		kind = "AAAA"
	}
	return fmt.Sprintf("%s\tIN\t%s\t%s", name, kind, a)
}

// reverse returns the reverse zone of an address and its name in it. IPv4 zones
// are cut at /24, whatever the network; IPv6 zones at the network's nibble.
func (in Input) reverse(a netip.Addr) (zone, name string) {
	if a.Is4() {
		b := a.As4()
		return fmt.Sprintf("%d.%d.%d.in-addr.arpa", b[2], b[1], b[0]), strconv.Itoa(int(b[3]))
	}
	nibbles := make([]string, 0, 32)
	for _, b := range slices.Backward(a.AsSlice()) {
		nibbles = append(nibbles, strconv.FormatUint(uint64(b&15), 16), strconv.FormatUint(uint64(b>>4), 16))
	}
	bits := 64
	for _, n := range in.Networks {
		if n.CIDR6.IsValid() && n.CIDR6.Contains(a) {
			bits = n.CIDR6.Bits()
		}
	}
	host := 32 - min(bits/4, 31)
	return strings.Join(nibbles[host:], ".") + ".ip6.arpa", strings.Join(nibbles[:host], ".")
}

func zone(origin, server string, records []string) []byte {
	slices.Sort(records)
	records = slices.Compact(records)
	body := strings.Join(records, "\n") + "\n"
	sum := sha256.Sum256([]byte(origin + "\n" + server + "\n" + body))
	serial := max(binary.BigEndian.Uint32(sum[:]), 1)
	var b bytes.Buffer
	fmt.Fprintf(&b, "$ORIGIN %s.\n$TTL %d\n", origin, zoneTTL)
	fmt.Fprintf(&b, "@\tIN\tSOA\t%s hostmaster.%s (\n\t\t\t%d ; serial, from the content\n\t\t\t3600 600 604800 %d )\n",
		server, strings.SplitN(server, ".", 2)[1], serial, zoneTTL)
	fmt.Fprintf(&b, "@\tIN\tNS\t%s\n%s", server, body)
	return b.Bytes()
}
