package lab

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strings"

	"github.com/updraft-cloud/updraft/internal/addr"
	"github.com/updraft-cloud/updraft/internal/netdump"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// linkRanges are where the pairs' addresses are taken from, two for each cloud:
// link-local ones (RFC 3927), which are seen on no other link, and where the
// computer uses these, some of those for benchmarks (RFC 2544).
var linkRanges = []netip.Prefix{netip.MustParsePrefix("169.254.200.0/22"), netip.MustParsePrefix("198.18.200.0/22")}

// computer is the network namespace that updraft itself runs in, which is that
// of the computer.
type computer struct{ links }

func openComputer() (*computer, error) {
	h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("cannot open netlink: %w", err)
	}
	return &computer{links{Handle: h}}, nil
}

func (c *computer) close() { c.Close() }

// uplinkName is the computer's end of the pair, uplinkRules the table of rules.
func uplinkName(cloud string) string  { return linkName("ud-", cloud) }
func uplinkRules(cloud string) string { return "updraft-" + cloud }

// way is the pair of a cloud: the addresses of its ends.
type way struct {
	cloud         string
	lab, computer netip.Prefix
}

// pair makes both ends with their addresses, or finds them.
func (c *computer) pair(l *links, cloud string) (way, error) {
	near, err := l.find(uplinkEnd)
	if err != nil {
		return way{}, err
	}
	far, err := c.find(uplinkName(cloud))
	if err != nil {
		return way{}, err
	}
	if near != nil && far != nil && near.Attrs().ParentIndex == far.Attrs().Index {
		if w, ok := c.addressed(l, cloud, near, far); ok {
			return w, errors.Join(c.LinkSetUp(far), l.LinkSetUp(near))
		}
	}
	if err := errors.Join(l.drop(near), c.drop(far)); err != nil {
		return way{}, err
	}
	w, err := c.choose(l, cloud)
	if err != nil {
		return way{}, err
	}
	return w, c.join(l, w)
}

// addressed returns the addresses of a pair that is complete.
func (c *computer) addressed(l *links, cloud string, near, far netlink.Link) (way, bool) {
	labs, err1 := l.linkAddresses(near)
	computers, err2 := c.linkAddresses(far)
	if err1 != nil || err2 != nil || len(labs) != 1 || len(computers) != 1 || labs[0].Masked() != computers[0].Masked() {
		return way{}, false
	}
	return way{cloud, labs[0], computers[0]}, true
}

// linkAddresses are the IPv4 addresses of a link, link-local ones included.
func (l *links) linkAddresses(link netlink.Link) ([]netip.Prefix, error) {
	list, err := netdump.Whole(func() ([]netlink.Addr, error) { return l.AddrList(link, netlink.FAMILY_V4) })
	if err != nil {
		return nil, err
	}
	var out []netip.Prefix
	for _, a := range list {
		out = append(out, prefixOf(a.IPNet))
	}
	return out, nil
}

func prefixOf(n *net.IPNet) netip.Prefix {
	ip, _ := netip.AddrFromSlice(n.IP)
	ones, _ := n.Mask.Size()
	return netip.PrefixFrom(ip.Unmap(), ones)
}

// choose finds two addresses that overlap with nothing that the computer or the
// cloud has. A cloud gets the same ones again where it can.
func (c *computer) choose(l *links, cloud string) (way, error) {
	used, err := c.inUse()
	if err != nil {
		return way{}, err
	}
	labs, err := l.inUse()
	if err != nil {
		return way{}, err
	}
	h := fnv.New32a()
	h.Write([]byte(cloud))
	for _, r := range linkRanges {
		if p, ok := freePair(r, h.Sum32(), append(used, labs...)); ok {
			return way{cloud, netip.PrefixFrom(p.Addr(), 31), netip.PrefixFrom(p.Addr().Next(), 31)}, nil
		}
	}
	return way{}, fmt.Errorf("all of %v is in use on this computer", linkRanges)
}

// freePair returns a pair of the range that overlaps with nothing used, looking
// from the place that seed gives.
func freePair(r netip.Prefix, seed uint32, used []netip.Prefix) (netip.Prefix, bool) {
	n := uint32(1) << (31 - r.Bits())
	for i := range n {
		p := netip.PrefixFrom(addr.Nth(r, uint64(2*((seed+i)%n))), 31)
		if !slices.ContainsFunc(used, p.Overlaps) {
			return p, true
		}
	}
	return netip.Prefix{}, false
}

// inUse returns the addresses and the targets of routes, without default routes.
func (l *links) inUse() ([]netip.Prefix, error) {
	addrs, err := netdump.Whole(func() ([]netlink.Addr, error) { return l.AddrList(nil, netlink.FAMILY_V4) })
	if err != nil {
		return nil, err
	}
	// Of all tables: a VPN may have its routes in one of its own.
	routes, err := l.routes(&netlink.Route{Table: unix.RT_TABLE_UNSPEC}, netlink.RT_FILTER_TABLE)
	if err != nil {
		return nil, err
	}
	var out []netip.Prefix
	for _, a := range addrs {
		out = append(out, prefixOf(a.IPNet).Masked())
	}
	for _, r := range routes {
		if p := r.Dst; p != nil && prefixOf(p).Bits() > 1 { // VPNs halve the default route
			out = append(out, prefixOf(p).Masked())
		}
	}
	return out, nil
}

// join makes the pair. IPv6 is off on it: nothing is to be said or learnt there.
func (c *computer) join(l *links, w way) error {
	attrs := netlink.NewLinkAttrs()
	attrs.Name = uplinkName(w.cloud)
	veth := &netlink.Veth{LinkAttrs: attrs, PeerName: uplinkEnd, PeerNamespace: netlink.NsFd(l.ns.Fd())}
	if err := c.LinkAdd(veth); err != nil {
		return fmt.Errorf("make the link %s: %w", attrs.Name, err)
	}
	if err := errors.Join(noIPv6(attrs.Name), l.ns.Do(func() error { return noIPv6(uplinkEnd) })); err != nil {
		return err
	}
	near, err := l.LinkByName(uplinkEnd)
	if err != nil {
		return err
	}
	far, err := c.LinkByName(attrs.Name)
	if err != nil {
		return err
	}
	return errors.Join(c.addAddress(far, w.computer), l.addAddress(near, w.lab), c.LinkSetUp(far), l.LinkSetUp(near))
}

func noIPv6(link string) error {
	err := os.WriteFile("/proc/sys/net/ipv6/conf/"+link+"/disable_ipv6", []byte("1"), 0)
	return ignore(err, os.ErrNotExist) // a kernel without IPv6
}

// rules are what the computer lets through for a cloud: out, and answers. Its own
// services are not there for lab hosts, nor are other clouds.
//
// An interface that answers come in by must forward. For those in the set turned
// updraft has switched that on: they forward nothing new to anybody but what rules
// of others redirect, as if it were off. The set is also the record of what is to
// be switched off again, and goes with a restart of the computer as that does.
func rules(w way, turned []string) string {
	elements := ""
	if len(turned) > 0 {
		elements = `elements = { "` + strings.Join(turned, `", "`) + `" };`
	}
	return strings.NewReplacer("TABLE", uplinkRules(w.cloud), "LINK", uplinkName(w.cloud), "LAB", w.lab.Addr().String(), "TURNED", elements).Replace(`table ip TABLE
delete table ip TABLE
table ip TABLE {
	set turned { type ifname; TURNED }
	chain nat {
		type nat hook postrouting priority srcnat; policy accept;
		ip saddr LAB masquerade
	}
	chain forward {
		type filter hook forward priority filter; policy accept;
		iifname "LINK" ip saddr != LAB drop
		iifname "LINK" oifname "ud-*" drop
		iifname "LINK" accept
		oifname "LINK" ct state established,related accept
		oifname "LINK" drop
		iifname @turned ct status dnat accept
		iifname @turned ct state new,invalid,untracked drop
	}
	chain input {
		type filter hook input priority filter; policy accept;
		iifname "LINK" icmp type echo-request accept
		iifname "LINK" drop
	}
}
`)
}

// let opens the way. The record of what is switched on is there before it is.
func (c *computer) let(ctx context.Context, w way) error {
	outside, err := c.outside()
	if err != nil {
		return err
	}
	guarded, err := guards(ctx)
	if err != nil {
		return err
	}
	var turned []string
	for _, name := range outside {
		if len(guarded[name]) > 0 || !forwards(name) {
			turned = append(turned, name)
		}
	}
	before := c.turnedBy(guarded, w.cloud)
	if err := nft(ctx, rules(w, turned)); err != nil {
		return err
	}
	for _, name := range append(turned, uplinkName(w.cloud)) {
		if err := forwarding(name, true); err != nil {
			return fmt.Errorf("forward what comes in through %s: %w", name, err)
		}
	}
	// What was the way out before, such as the cable that was unplugged.
	for _, name := range before {
		if !slices.Contains(turned, name) {
			if err := c.turnOff(guarded, w.cloud, name); err != nil {
				return err
			}
		}
	}
	return nil
}

// turnedBy returns the interfaces that forward because of the cloud.
func (c *computer) turnedBy(guarded map[string][]string, cloud string) []string {
	var out []string
	for name, tables := range guarded {
		if slices.Contains(tables, uplinkRules(cloud)) {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out
}

// turnOff sets an interface back, unless another cloud needs it, or somebody has
// made a router of the whole computer since.
func (c *computer) turnOff(guarded map[string][]string, cloud, name string) error {
	others := slices.DeleteFunc(slices.Clone(guarded[name]), func(t string) bool { return t == uplinkRules(cloud) })
	if len(others) > 0 || forwards("all") {
		return nil
	}
	return forwarding(name, false)
}

// forbid closes the way and takes all of it out of the computer's namespace. The
// record goes after what it is of.
func (c *computer) forbid(ctx context.Context, cloud string) error {
	guarded, err := guards(ctx)
	if err != nil {
		return err
	}
	for _, name := range c.turnedBy(guarded, cloud) {
		if err := c.turnOff(guarded, cloud, name); err != nil {
			return err
		}
	}
	link, err := c.find(uplinkName(cloud))
	if err != nil {
		return err
	}
	return errors.Join(c.drop(link), nftDelete(ctx, uplinkRules(cloud)))
}

// touched reports whether anything of the cloud is in the computer's namespace.
func (c *computer) touched(ctx context.Context, cloud string) bool {
	link, err := c.find(uplinkName(cloud))
	return err != nil || link != nil || nftHas(ctx, uplinkRules(cloud))
}

// stopped says what of the computer's part of an uplink is missing, if any.
func (c *computer) stopped(ctx context.Context, cloud string) (string, error) {
	outside, err := c.outside()
	if err != nil {
		return "", err
	}
	if !nftHas(ctx, uplinkRules(cloud)) {
		return "no rules", nil
	}
	for _, name := range append(outside, uplinkName(cloud)) {
		if !forwards(name) {
			return name + " does not forward", nil
		}
	}
	return "", nil
}

// outside returns the names of the interfaces that default routes lead through.
func (c *computer) outside() ([]string, error) {
	routes, err := c.routes(&netlink.Route{}, 0)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, r := range routes {
		if r.Dst != nil && prefixOf(r.Dst).Bits() > 1 {
			continue
		}
		hops := []int{r.LinkIndex}
		for _, h := range r.MultiPath {
			hops = append(hops, h.LinkIndex)
		}
		for _, i := range hops {
			if i == 0 {
				continue // of a route with several ways
			}
			if link, err := c.LinkByIndex(i); err == nil && !strings.ContainsAny(link.Attrs().Name, "\"\\*") {
				out = append(out, link.Attrs().Name)
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out), nil
}

// guards returns, by interface, the tables of clouds that have switched its
// forwarding on.
func guards(ctx context.Context) (map[string][]string, error) {
	out, err := exec.CommandContext(ctx, "nft", "-j", "list", "sets", "ip").Output()
	if errors.Is(err, exec.ErrNotFound) {
		return nil, nil // without nft nothing was ever switched on
	}
	if err != nil {
		return nil, nftError(err)
	}
	return parseGuards(out)
}

func parseGuards(list []byte) (map[string][]string, error) {
	var doc struct {
		Nftables []struct {
			Set *struct {
				Table, Name string
				Elem        []any // names; something else in the sets of others
			}
		}
	}
	if err := json.Unmarshal(list, &doc); err != nil {
		return nil, fmt.Errorf("cannot read what nft lists: %w", err)
	}
	out := map[string][]string{}
	for _, e := range doc.Nftables {
		if e.Set == nil || e.Set.Name != "turned" || !strings.HasPrefix(e.Set.Table, uplinkRules("")) {
			continue
		}
		for _, name := range e.Set.Elem {
			if s, ok := name.(string); ok {
				out[s] = append(out[s], e.Set.Table)
			}
		}
	}
	return out, nil
}

// nft has the rules take effect, all or none, in the thread's namespace.
func nft(ctx context.Context, script string) error {
	cmd := exec.CommandContext(ctx, "nft", "-f", "-")
	cmd.Stdin = strings.NewReader(script)
	_, err := cmd.Output()
	return nftError(err)
}

// nftDelete removes a table that may be gone.
func nftDelete(ctx context.Context, table string) error {
	if !nftHas(ctx, table) {
		return nil
	}
	return nft(ctx, "delete table ip "+table+"\n")
}

func nftHas(ctx context.Context, table string) bool {
	return exec.CommandContext(ctx, "nft", "-t", "list", "table", "ip", table).Run() == nil
}

func nftError(err error) error {
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return fmt.Errorf("nft: %w: %s", err, bytes.TrimSpace(exit.Stderr))
	}
	return err
}
