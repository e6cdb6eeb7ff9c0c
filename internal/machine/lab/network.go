package lab

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/updraft-cloud/updraft/internal/drift"
	"github.com/updraft-cloud/updraft/internal/machine"
	"github.com/updraft-cloud/updraft/internal/netdump"
	"github.com/updraft-cloud/updraft/internal/netns"
	"github.com/vishvananda/netlink"
	vishns "github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// maxLinkName is the longest name of an interface (IFNAMSIZ less the NUL).
const maxLinkName = 15

// linkName joins prefix and name into an interface name. One that is too long
// keeps its beginning and gets a hash.
func linkName(prefix, name string) string {
	full := prefix + name
	if len(full) <= maxLinkName {
		return full
	}
	h := sha256.Sum256([]byte(full))
	return full[:6] + "_" + hex.EncodeToString(h[:4])
}

func bridgeName(network string) string { return linkName("br-", network) }

// links is a network namespace and a netlink connection into it.
type links struct {
	ns *netns.NS
	*netlink.Handle
}

// openLinks opens a named namespace; the error wraps fs.ErrNotExist if there is none.
func openLinks(name string) (*links, error) {
	ns, err := netns.Open(name)
	if err != nil {
		return nil, err
	}
	h, err := netlink.NewHandleAt(vishns.NsHandle(ns.Fd()), unix.NETLINK_ROUTE)
	if err != nil {
		ns.Close()
		return nil, fmt.Errorf("cannot open netlink in namespace %s: %w", name, err)
	}
	return &links{ns, h}, nil
}

func (l *links) close() {
	l.Close()
	l.ns.Close()
}

// makeLinks makes the namespace, with loopback up, and opens it. Duplicate
// address detection is off: every address is known, and is to be usable at once.
func makeLinks(name string) (*links, error) {
	_, err := os.Stat(netns.Dir + "/" + name)
	fresh := err != nil
	if err := netns.Create(name); err != nil {
		return nil, err
	}
	l, err := openLinks(name)
	if err != nil {
		return nil, err
	}
	lo, err := l.LinkByName("lo")
	if err == nil && lo.Attrs().Flags&net.FlagUp == 0 {
		fresh, err = true, l.LinkSetUp(lo)
	}
	if err == nil && fresh {
		err = l.ns.Do(noDAD)
	}
	if err != nil {
		l.close()
		return nil, fmt.Errorf("cannot set up namespace %s: %w", name, err)
	}
	return l, nil
}

// noDAD is run inside a namespace; a kernel without IPv6 has nothing to set.
func noDAD() error {
	for _, conf := range []string{"all", "default"} {
		err := os.WriteFile("/proc/sys/net/ipv6/conf/"+conf+"/accept_dad", []byte("0"), 0)
		if err := ignore(err, fs.ErrNotExist); err != nil {
			return err
		}
	}
	return nil
}

// find returns the link of that name, or nil.
func (l *links) find(name string) (netlink.Link, error) {
	link, err := l.LinkByName(name)
	var missing netlink.LinkNotFoundError
	if errors.As(err, &missing) {
		return nil, nil
	}
	return link, err
}

// addresses returns the link's addresses with their lengths, without link-local ones.
func (l *links) addresses(link netlink.Link) ([]netip.Prefix, error) {
	addrs, err := netdump.Whole(func() ([]netlink.Addr, error) { return l.AddrList(link, netlink.FAMILY_ALL) })
	if err != nil {
		return nil, err
	}
	var out []netip.Prefix
	for _, a := range addrs {
		ip, _ := netip.AddrFromSlice(a.IP)
		ones, _ := a.Mask.Size()
		if ip = ip.Unmap(); !ip.IsLinkLocalUnicast() {
			out = append(out, netip.PrefixFrom(ip, ones))
		}
	}
	return out, nil
}

// routes returns the routes of IPv4 that agree with the example in what is asked for.
func (l *links) routes(like *netlink.Route, by uint64) ([]netlink.Route, error) {
	return netdump.Whole(func() ([]netlink.Route, error) { return l.RouteListFiltered(unix.AF_INET, like, by) })
}

// held returns the addresses of the link, and those that the host has on
// interfaces of its own making: it may have put the link into a bridge, and the
// address on that.
func (l *links) held(link netlink.Link) ([]netip.Prefix, error) {
	all, err := netdump.Whole(l.LinkList)
	if err != nil {
		return nil, err
	}
	var out []netip.Prefix
	for _, other := range all {
		if other.Attrs().Index != link.Attrs().Index && other.Type() == link.Type() {
			continue // another of the lab's
		}
		if other.Attrs().Flags&net.FlagLoopback != 0 {
			continue
		}
		have, err := l.addresses(other)
		if err != nil {
			return nil, err
		}
		out = append(out, have...)
	}
	return out, nil
}

// addAddress adds the address unless the link has it.
func (l *links) addAddress(link netlink.Link, p netip.Prefix) error {
	a := &netlink.Addr{IPNet: ipNet(p)}
	if p.Addr().Is6() {
		a.Flags = unix.IFA_F_NODAD
	}
	return ignore(l.AddrAdd(link, a), unix.EEXIST)
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}

// deployerAddresses are the addresses of the bridge.
func deployerAddresses(n machine.Network) []netip.Prefix {
	var out []netip.Prefix
	if n.Deployer.IsValid() {
		out = append(out, netip.PrefixFrom(n.Deployer, n.CIDR.Bits()))
	}
	if n.CIDR6.IsValid() {
		out = append(out, netip.PrefixFrom(n.CIDR6.Masked().Addr().Next(), n.CIDR6.Bits()))
	}
	return out
}

func mtu(n int) int {
	if n == 0 {
		return 1500
	}
	return n
}

// ObserveNetwork compares the bridge with the network.
func (p *Provider) ObserveNetwork(ctx context.Context, cloud string, n machine.Network) (drift.Report, error) {
	l, err := openLinks(Namespace(cloud))
	if errors.Is(err, fs.ErrNotExist) {
		return drift.Missing(), nil
	}
	if err != nil {
		return drift.Report{}, err
	}
	defer l.close()
	br, err := l.find(bridgeName(n.Name))
	if err != nil {
		return drift.Report{}, fmt.Errorf("cannot observe network %s: %w", n.Name, err)
	}
	if br == nil {
		return drift.Missing(), nil
	}
	have, err := l.addresses(br)
	if err != nil {
		return drift.Report{}, fmt.Errorf("cannot observe network %s: %w", n.Name, err)
	}
	var b drift.Builder
	b.Want("mtu", strconv.Itoa(br.Attrs().MTU), strconv.Itoa(mtu(n.MTU)))
	b.Want("up", strconv.FormatBool(br.Attrs().Flags&net.FlagUp != 0), "true")
	b.Want("alias", br.Attrs().Alias, n.Name)
	wantAddresses(&b, "deployer", have, deployerAddresses(n))
	if err := observeUplink(ctx, &b, l, cloud, n); err != nil {
		return drift.Report{}, fmt.Errorf("cannot observe the uplink of network %s: %w", n.Name, err)
	}
	return b.Report(), nil
}

// wantAddresses notes wanted addresses that are missing. Others may be there:
// virtual addresses come and go.
func wantAddresses(b *drift.Builder, attr string, have, want []netip.Prefix) {
	for _, a := range want {
		if !slices.Contains(have, a) {
			b.Add(drift.Change{Attr: attr, From: strings.Trim(fmt.Sprint(have), "[]"), To: a.String()})
		}
	}
}

// EnsureNetwork makes or mends the bridge of the network.
func (p *Provider) EnsureNetwork(ctx context.Context, cloud string, n machine.Network, _ machine.Log) error {
	if err := checkName(n.Name); err != nil {
		return fmt.Errorf("cannot make network %s: %w", n.Name, err)
	}
	defer p.clouds.rlock(cloud)()
	if err := p.claim(cloud); err != nil {
		return err
	}
	// Two networks of one cloud may come at once; making the namespace and a
	// bridge twice is not an option.
	defer p.machines.lock(cloud + "/")()
	l, err := makeLinks(Namespace(cloud))
	if err != nil {
		return err
	}
	defer l.close()
	if err := errors.Join(l.bridge(n), l.keepInside(n)); err != nil {
		return fmt.Errorf("cannot make network %s: %w", n.Name, err)
	}
	if n.Uplink {
		err = p.ensureUplink(ctx, l, cloud, n)
	} else {
		err = p.dropUplink(ctx, l, cloud, n.Name)
	}
	if err != nil {
		return fmt.Errorf("cannot make the uplink of network %s: %w", n.Name, err)
	}
	return nil
}

func (l *links) bridge(n machine.Network) error {
	name := bridgeName(n.Name)
	br, err := l.find(name)
	if err != nil {
		return err
	}
	if br == nil {
		attrs := netlink.NewLinkAttrs()
		attrs.Name, attrs.MTU, attrs.HardwareAddr = name, mtu(n.MTU), bridgeMAC(n.Name)
		br = &netlink.Bridge{LinkAttrs: attrs}
		if err := l.LinkAdd(br); err != nil {
			return err
		}
	}
	if err := l.LinkSetAlias(br, n.Name); err != nil {
		return err
	}
	if br.Attrs().MTU != mtu(n.MTU) {
		if err := l.LinkSetMTU(br, mtu(n.MTU)); err != nil {
			return err
		}
	}
	if mac := bridgeMAC(n.Name); !bytes.Equal(br.Attrs().HardwareAddr, mac) { // made by an older version
		if err := l.LinkSetHardwareAddr(br, mac); err != nil {
			return err
		}
	}
	want := deployerAddresses(n)
	have, err := l.addresses(br)
	if err != nil {
		return err
	}
	for _, a := range have { // the bridge carries the deployer's addresses only
		if !slices.Contains(want, a) {
			if err := l.AddrDel(br, &netlink.Addr{IPNet: ipNet(a)}); err != nil {
				return err
			}
		}
	}
	for _, a := range want {
		if err := l.addAddress(br, a); err != nil {
			return err
		}
	}
	return l.LinkSetUp(br)
}

// bridgeMAC is the hardware address of a network's bridge, which is the deployer's in
// it. Left alone, a bridge takes the lowest one of its ports, and another when a
// machine comes or goes: whoever remembers the deployer, as OVN's routers do for good,
// then answers to nobody. It is a locally administered one (IEEE 802, section 8.4).
func bridgeMAC(network string) net.HardwareAddr {
	sum := sha256.Sum256([]byte("bridge " + network))
	return append(net.HardwareAddr{0x0e}, sum[:5]...)
}

// RemoveNetwork removes the bridge, and the namespace with the last one.
func (p *Provider) RemoveNetwork(ctx context.Context, cloud, name string) error {
	if err := p.owned(cloud); err != nil {
		return err
	}
	l, err := openLinks(Namespace(cloud))
	if errors.Is(err, fs.ErrNotExist) {
		return p.tidy(ctx, cloud)
	}
	if err != nil {
		return err
	}
	unlock := p.machines.lock(cloud + "/")
	err = p.dropUplink(ctx, l, cloud, name)
	br, found := l.find(bridgeName(name))
	if err = errors.Join(err, found); err == nil {
		err = l.drop(br)
	}
	unlock()
	l.close()
	if err != nil {
		return fmt.Errorf("cannot remove network %s: %w", name, err)
	}
	return p.tidy(ctx, cloud)
}

// networks returns the names of the cloud's networks, sorted.
func networks(cloud string) ([]string, error) {
	l, err := openLinks(Namespace(cloud))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer l.close()
	all, err := netdump.Whole(l.LinkList)
	if err != nil {
		return nil, fmt.Errorf("cannot list networks: %w", err)
	}
	var out []string
	for _, link := range all {
		if link.Type() == "bridge" {
			// A bridge that was cut off before it got its alias has a name that is short enough or lost.
			name := link.Attrs().Alias
			if name == "" {
				name = link.Attrs().Name[len("br-"):]
			}
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out, nil
}
