package amphora

import (
	"fmt"
	"hash/fnv"
	"net/netip"
	"slices"
	"strings"
)

// Table is the table of nftables (family inet) that virtuals are in.
const Table = "updraft"

// Ruleset renders virtuals as a script of nft(8) that replaces one set of them
// by another in one transaction. Clients stay with their members: what is
// remembered of them is not touched, unless the virtual goes. With from nil the
// table is made anew.
//
// A packet is sent on by destination NAT, and its source becomes the amphora's,
// so that the answer comes back here. Only the first packet of a flow sees the
// choice. Members are chosen in proportion to their weights: one after the other
// for ROUND_ROBIN and LEAST_CONNECTIONS (packets have no connections that could be
// counted), by a hash for SOURCE_IP and SOURCE_IP_PORT.
func Ruleset(from, to []Virtual, up func(listener, member string) bool) string {
	var b strings.Builder
	fmt.Fprintf(&b, "add table inet %s\n", Table)
	if from == nil {
		fmt.Fprintf(&b, "delete table inet %s\nadd table inet %s\n", Table, Table)
	} else {
		fmt.Fprintf(&b, "flush table inet %s\n", Table)
		stale(&b, from, to)
	}
	fmt.Fprintf(&b, "table inet %s {\n", Table)
	var filter, forward, nat strings.Builder
	for _, v := range to {
		r := rules{Virtual: v, b: &b, filter: &filter, forward: &forward, nat: &nat, up: up}
		r.write()
	}
	fmt.Fprintf(&b, "    chain filter {\n        type filter hook prerouting priority mangle; policy accept;\n%s    }\n", filter.String())
	fmt.Fprintf(&b, "    chain forward {\n        type filter hook forward priority filter; policy accept;\n%s    }\n", forward.String())
	fmt.Fprintf(&b, "    chain prerouting {\n        type nat hook prerouting priority dstnat; policy accept;\n%s    }\n", nat.String())
	b.WriteString("    chain postrouting {\n        type nat hook postrouting priority srcnat; policy accept;\n        ct status dnat masquerade\n    }\n}\n")
	return b.String()
}

// object is something with a name in the table.
type object struct{ kind, name string }

// objects lists what a virtual has, in an order in which it can be deleted.
func (v Virtual) objects() []object {
	var out []object
	for _, f := range families {
		out = append(out, object{"chain", f.chain(v)})
	}
	for _, t := range v.Targets {
		out = append(out, object{"chain", memberChain(v, t)})
	}
	for _, f := range families {
		if v.Persist > 0 {
			out = append(out, object{"map", f.persist(v)})
		}
	}
	for _, c := range counterKinds {
		out = append(out, object{"counter", Counter(c, v.Listener)})
	}
	return out
}

// stale deletes what is no longer wanted, and maps whose time has changed.
func stale(b *strings.Builder, from, to []Virtual) {
	wanted := map[object]bool{}
	times := map[string]int{}
	for _, v := range to {
		for _, o := range v.objects() {
			wanted[o] = true
		}
		times[v.Listener] = v.Persist
	}
	for _, v := range from {
		for _, o := range v.objects() {
			if !wanted[o] || o.kind == "map" && times[v.Listener] != v.Persist {
				fmt.Fprintf(b, "delete %s inet %s %s\n", o.kind, Table, o.name)
			}
		}
	}
}

// counterKinds are packets to members, packets back, and new flows.
var counterKinds = []string{"in", "out", "new"}

// Counter names a counter of a listener: in, out or new.
func Counter(kind, listener string) string { return kind + "-" + listener }

type family struct{ proto, kind string }

var families = []family{{"ip", "ipv4_addr"}, {"ip6", "ipv6_addr"}}

func (f family) has(a netip.Addr) bool        { return a.Is4() == (f.proto == "ip") }
func (f family) chain(v Virtual) string       { return "v-" + f.proto + "-" + v.Listener }
func (f family) persist(v Virtual) string     { return "p-" + f.proto + "-" + v.Listener }
func memberChain(v Virtual, t Target) string  { return fmt.Sprintf("m-%08x-%s", mark(t), v.Listener) }
func (f family) addresses(v Virtual) []string { return texts(v.Addresses, f.has) }

// mark is what is remembered of a member: the same however the others change.
func mark(t Target) uint32 {
	h := fnv.New32a()
	_, _ = h.Write([]byte(t.Member)) // never fails (hash.Hash)
	return h.Sum32() | 1
}

func texts(all []netip.Addr, keep func(netip.Addr) bool) []string {
	var out []string
	for _, a := range all {
		if keep(a) {
			out = append(out, a.String())
		}
	}
	return out
}

// rules writes one virtual.
type rules struct {
	Virtual
	b, filter, forward, nat *strings.Builder
	up                      func(listener, member string) bool
}

func (r *rules) write() {
	for _, c := range counterKinds {
		fmt.Fprintf(r.b, "    counter %s {\n    }\n", Counter(c, r.Listener))
	}
	for _, f := range families {
		if r.Persist > 0 {
			fmt.Fprintf(r.b, "    map %s {\n        type %s : mark; size 65536; flags dynamic,timeout; timeout %ds;\n    }\n", f.persist(r.Virtual), f.kind, min(r.Persist, maxPersist))
		}
	}
	for _, t := range r.Targets {
		r.member(t)
	}
	for _, f := range families {
		r.family(f)
	}
}

// maxPersist is a year.
const maxPersist = 365 * 86400

func (r *rules) member(t Target) {
	f := families[0]
	if t.Address.Addr().Is6() {
		f = families[1]
	}
	fmt.Fprintf(r.b, "    chain %s {\n", memberChain(r.Virtual, t))
	if r.Persist > 0 {
		fmt.Fprintf(r.b, "        update @%s { %s : %#x }\n", f.persist(r.Virtual), r.client(f), mark(t))
	}
	fmt.Fprintf(r.b, "        meta l4proto %s dnat %s to %s\n    }\n", r.Protocol, f.proto, t.Address)
}

// client is whom persistence takes for one.
func (r *rules) client(f family) string {
	if g := r.Granularity; g.IsValid() && f.has(g) {
		return fmt.Sprintf("%s saddr & %s", f.proto, g)
	}
	return f.proto + " saddr"
}

func (r *rules) family(f family) {
	fmt.Fprintf(r.b, "    chain %s {\n", f.chain(r.Virtual))
	r.choice(f)
	r.b.WriteString("        drop\n    }\n")
	addresses := f.addresses(r.Virtual)
	if len(addresses) == 0 {
		return
	}
	to := fmt.Sprintf("%s daddr { %s } %s dport %d", f.proto, strings.Join(addresses, ", "), r.Protocol, r.Port)
	if len(r.Allowed) > 0 {
		fmt.Fprintf(r.filter, "        %s%s drop\n", to, r.notAllowed(f))
	}
	fmt.Fprintf(r.filter, "        %s counter name %s\n", to, Counter("in", r.Listener))
	fmt.Fprintf(r.forward, "        meta l4proto %s ct direction reply ct original %s daddr { %s } ct original proto-dst %d counter name %s\n",
		r.Protocol, f.proto, strings.Join(addresses, ", "), r.Port, Counter("out", r.Listener))
	fmt.Fprintf(r.nat, "        %s goto %s\n", to, f.chain(r.Virtual))
}

// notAllowed matches clients that are in none of the ranges. Overlapping ranges
// would be an error in a set.
func (r *rules) notAllowed(f family) string {
	var words []string
	for i, p := range r.Allowed {
		covered := slices.ContainsFunc(r.Allowed[:i], func(o netip.Prefix) bool { return o == p })
		for _, o := range r.Allowed {
			covered = covered || o.Bits() < p.Bits() && o.Overlaps(p)
		}
		if f.has(p.Addr()) && !covered {
			words = append(words, p.String())
		}
	}
	if len(words) == 0 {
		return ""
	}
	return fmt.Sprintf(" %s saddr != { %s }", f.proto, strings.Join(words, ", "))
}

// choice picks a member for a new flow.
func (r *rules) choice(f family) {
	fmt.Fprintf(r.b, "        counter name %s\n", Counter("new", r.Listener))
	if r.Limit > 0 {
		fmt.Fprintf(r.b, "        ct count over %d drop\n", r.Limit)
	}
	targets := r.Active(f.has, r.up)
	total := 0
	var slots, marks []string
	for _, t := range targets {
		slot := fmt.Sprintf("%d-%d", total, total+t.Weight-1)
		if t.Weight == 1 {
			slot = fmt.Sprint(total)
		}
		slots = append(slots, fmt.Sprintf("%s : goto %s", slot, memberChain(r.Virtual, t)))
		marks = append(marks, fmt.Sprintf("%#x : goto %s", mark(t), memberChain(r.Virtual, t)))
		total += t.Weight
	}
	if total == 0 {
		return
	}
	if r.Persist > 0 {
		// What is remembered is kept as it is by update, so a member that is
		// gone must be forgotten first.
		fmt.Fprintf(r.b, "        meta mark set %s map @%s\n", r.client(f), f.persist(r.Virtual))
		fmt.Fprintf(r.b, "        meta mark vmap { %s }\n", strings.Join(marks, ", "))
		fmt.Fprintf(r.b, "        delete @%s { %s : 0x0 }\n", f.persist(r.Virtual), r.client(f))
	}
	fmt.Fprintf(r.b, "        %s vmap { %s }\n", r.pick(f, total), strings.Join(slots, ", "))
}

func (r *rules) pick(f family, total int) string {
	switch r.Algorithm {
	case "SOURCE_IP":
		return fmt.Sprintf("jhash %s saddr mod %d seed 0x75706472", f.proto, total)
	case "SOURCE_IP_PORT":
		return fmt.Sprintf("jhash %s saddr . %s sport mod %d seed 0x75706472", f.proto, r.Protocol, total)
	}
	return fmt.Sprintf("numgen inc mod %d", total)
}

// Active returns the targets of a family that take new flows: those that are up
// and have a weight, backups only when there are no others.
func (v Virtual) Active(family func(netip.Addr) bool, up func(listener, member string) bool) []Target {
	var all, backups []Target
	for _, t := range v.Targets {
		if t.Disabled || t.Weight == 0 || !family(t.Address.Addr()) || !up(v.Listener, t.Member) {
			continue
		}
		if t.Backup {
			backups = append(backups, t)
		} else {
			all = append(all, t)
		}
	}
	if len(all) > 0 {
		return all
	}
	return backups
}
