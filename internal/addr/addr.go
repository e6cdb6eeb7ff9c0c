// Package addr computes addresses: positions within a prefix, ranges, the
// blocks from which groups of hosts take theirs, and MACs.
//
// Everything is a pure function of its arguments. The same cloud file gives the
// same addresses on every computer, and a group that grows keeps those that it
// has (docs/adr/0002-addresses.md).
package addr

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"strings"
)

// Size returns how many addresses an IPv4 prefix holds, with the first and the
// last; of an IPv6 prefix at most 1<<32, which is more than is ever walked.
func Size(p netip.Prefix) uint64 {
	return 1 << min(32, p.Addr().BitLen()-p.Bits())
}

// Nth returns the address n steps after the first one of p. It is not valid
// when p does not reach that far.
func Nth(p netip.Prefix, n uint64) netip.Addr {
	if n >= Size(p) {
		return netip.Addr{}
	}
	return step(p.Masked().Addr(), n)
}

// Offset returns how many steps a is after the first address of p, counting
// the last 32 bits only. The caller makes sure that p contains a.
func Offset(p netip.Prefix, a netip.Addr) uint64 {
	return low(a) - low(p.Masked().Addr())
}

// IsEdge reports whether a is an address of the IPv4 prefix p that no host may
// have: the network's own or the broadcast address (RFC 919, RFC 950). In IPv6
// it is the Subnet-Router anycast address (RFC 4291, section 2.6.1).
func IsEdge(p netip.Prefix, a netip.Addr) bool {
	if a == p.Masked().Addr() {
		return true
	}
	return a.Is4() && Offset(p, a) == Size(p)-1
}

// low returns the last 32 bits of a.
func low(a netip.Addr) uint64 {
	b := a.AsSlice()
	return uint64(binary.BigEndian.Uint32(b[len(b)-4:]))
}

// step adds n to the last 32 bits of a, without carry into the others.
func step(a netip.Addr, n uint64) netip.Addr {
	b := a.AsSlice()
	tail := b[len(b)-4:]
	binary.BigEndian.PutUint32(tail, binary.BigEndian.Uint32(tail)+uint32(n))
	out, _ := netip.AddrFromSlice(b)
	return out
}

// Range is a run of addresses of one family, both ends included.
type Range struct{ From, To netip.Addr }

// ParseRange reads "192.0.2.5" or "192.0.2.5-192.0.2.9". A range holds at most
// 65,536 addresses.
func ParseRange(s string) (Range, error) {
	first, last, isRange := strings.Cut(s, "-")
	from, err := netip.ParseAddr(strings.TrimSpace(first))
	if err != nil || from.Zone() != "" {
		return Range{}, fmt.Errorf("%q is not an IP address", strings.TrimSpace(first))
	}
	if !isRange {
		return Range{from, from}, nil
	}
	to, err := netip.ParseAddr(strings.TrimSpace(last))
	if err != nil || to.Zone() != "" {
		return Range{}, fmt.Errorf("%q is not an IP address", strings.TrimSpace(last))
	}
	return newRange(from, to)
}

func newRange(from, to netip.Addr) (Range, error) {
	switch {
	case from.BitLen() != to.BitLen():
		return Range{}, fmt.Errorf("%s and %s are not of the same family", from, to)
	case to.Less(from):
		return Range{}, fmt.Errorf("%s comes after %s", from, to)
	case step(from, low(to)-low(from)) != to, low(to)-low(from) >= 1<<16:
		return Range{}, fmt.Errorf("%s-%s holds more than 65536 addresses", from, to)
	}
	return Range{from, to}, nil
}

// Len returns how many addresses the range holds.
func (r Range) Len() int {
	if !r.From.IsValid() {
		return 0
	}
	return int(low(r.To)-low(r.From)) + 1
}

// At returns the i-th address, from 0. It is not valid past the end.
func (r Range) At(i int) netip.Addr {
	if i < 0 || i >= r.Len() {
		return netip.Addr{}
	}
	return step(r.From, uint64(i))
}

// String renders the range as ParseRange reads it.
func (r Range) String() string {
	if r.From == r.To {
		return r.From.String()
	}
	return r.From.String() + "-" + r.To.String()
}
