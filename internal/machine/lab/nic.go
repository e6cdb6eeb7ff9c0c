package lab

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/updraft-cloud/updraft/internal/drift"
	"github.com/updraft-cloud/updraft/internal/machine"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// portName is the end of a machine's NIC that is plugged into the bridge.
func portName(host, nic string) string { return linkName("", host+"."+nic) }

func nicAddresses(n machine.NIC) []netip.Prefix {
	return slices.DeleteFunc([]netip.Prefix{n.Address, n.Address6}, func(p netip.Prefix) bool { return !p.IsValid() })
}

// wire is what is needed to plug a machine in: both of its namespaces.
type wire struct {
	cloud, host *links
}

// ensureNICs makes the machine's namespace and its interfaces as described.
// old is what was described before, so that what left can be taken away.
func ensureNICs(m, old machine.Machine) error {
	cloud, err := openLinks(Namespace(m.Cloud))
	if err != nil {
		return err
	}
	defer cloud.close()
	host, err := makeLinks(HostNamespace(m.Cloud, m.Name))
	if err != nil {
		return err
	}
	defer host.close()
	w := &wire{cloud: cloud, host: host}
	// First away with what left: an address added beside an old one of the same
	// network is secondary to it, and the kernel removes both together.
	if err := w.unplug(m, old); err != nil {
		return err
	}
	for _, nic := range m.NICs {
		if err := w.plug(m.Name, nic); err != nil {
			return fmt.Errorf("interface %s: %w", nic.Name, err)
		}
	}
	return forget(m.Cloud, moved(m, old))
}

// plug makes one interface and sets all of it.
func (w *wire) plug(host string, nic machine.NIC) error {
	mac, err := net.ParseMAC(nic.MAC)
	if err != nil {
		return err
	}
	br, err := w.cloud.find(bridgeName(nic.Network))
	if err != nil {
		return err
	}
	if br == nil {
		return fmt.Errorf("network %s does not exist", nic.Network)
	}
	link, err := w.pair(host, nic, br, mac)
	if err != nil {
		return err
	}
	if link.Attrs().MTU != mtu(nic.MTU) {
		if err := w.host.LinkSetMTU(link, mtu(nic.MTU)); err != nil {
			return err
		}
	}
	if link.Attrs().HardwareAddr.String() != mac.String() {
		if err := w.host.LinkSetHardwareAddr(link, mac); err != nil {
			return err
		}
	}
	have, err := w.host.held(link)
	if err != nil {
		return err
	}
	fresh := false
	for _, a := range nicAddresses(nic) {
		if slices.Contains(have, a) {
			continue
		}
		fresh = true
		if err := w.host.addAddress(link, a); err != nil {
			return fmt.Errorf("address %s: %w", a, err)
		}
	}
	if err := w.host.LinkSetUp(link); err != nil {
		return err
	}
	if fresh {
		if err := w.host.announce(link, mac, nic); err != nil {
			return fmt.Errorf("announce %s: %w", nic.Address, err)
		}
	}
	return w.route(link, nic)
}

// pair returns the machine's end of the veth pair, with the other in the bridge.
// A half pair cannot exist: the kernel removes both ends together. One whose
// other end is not ours, or not where it should be, is made anew.
func (w *wire) pair(host string, nic machine.NIC, br netlink.Link, mac net.HardwareAddr) (netlink.Link, error) {
	port, err := w.cloud.find(portName(host, nic.Name))
	if err != nil {
		return nil, err
	}
	link, err := w.host.find(nic.Name)
	if err != nil {
		return nil, err
	}
	if port != nil && link != nil && port.Attrs().ParentIndex == link.Attrs().Index {
		return link, w.attach(port, br, nic)
	}
	if err := errors.Join(w.cloud.drop(port), w.host.drop(link)); err != nil {
		return nil, err
	}
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.MTU, attrs.MasterIndex, attrs.Flags = portName(host, nic.Name), mtu(nic.MTU), br.Attrs().Index, net.FlagUp
	veth := &netlink.Veth{
		LinkAttrs: attrs, PeerName: nic.Name, PeerHardwareAddr: mac,
		PeerNamespace: netlink.NsFd(w.host.ns.Fd()), PeerMTU: uint32(mtu(nic.MTU)),
	}
	if err := w.cloud.LinkAdd(veth); err != nil {
		return nil, err
	}
	return w.host.LinkByName(nic.Name)
}

// drop removes a link if there is one.
func (l *links) drop(link netlink.Link) error {
	if link == nil {
		return nil
	}
	return ignore(l.LinkDel(link), unix.ENODEV)
}

// attach mends a port that exists.
func (w *wire) attach(port, br netlink.Link, nic machine.NIC) error {
	if port.Attrs().MasterIndex != br.Attrs().Index {
		if err := w.cloud.LinkSetMaster(port, br); err != nil {
			return err
		}
	}
	if port.Attrs().MTU != mtu(nic.MTU) {
		if err := w.cloud.LinkSetMTU(port, mtu(nic.MTU)); err != nil {
			return err
		}
	}
	if port.Attrs().Flags&net.FlagUp == 0 {
		return w.cloud.LinkSetUp(port)
	}
	return nil
}

// route sets the default route of the gateway's family.
func (w *wire) route(link netlink.Link, nic machine.NIC) error {
	if !nic.Gateway.IsValid() {
		return nil
	}
	err := w.host.RouteReplace(&netlink.Route{LinkIndex: link.Attrs().Index, Gw: nic.Gateway.AsSlice(), Dst: anywhere(nic.Gateway)})
	if err != nil {
		return fmt.Errorf("gateway %s: %w", nic.Gateway, err)
	}
	return nil
}

func anywhere(a netip.Addr) *net.IPNet {
	return ipNet(netip.PrefixFrom(a, 0).Masked())
}

// unplug takes away interfaces and addresses of old that m has no more.
// Addresses that updraft never gave are left alone.
func (w *wire) unplug(m, old machine.Machine) error {
	for _, o := range old.NICs {
		link, err := w.host.find(o.Name)
		if err != nil {
			return err
		}
		i := slices.IndexFunc(m.NICs, func(n machine.NIC) bool { return n.Name == o.Name })
		if link == nil {
			continue
		}
		if i < 0 {
			if err := w.host.LinkDel(link); err != nil {
				return err
			}
			continue
		}
		if o.Gateway.IsValid() && m.NICs[i].Gateway != o.Gateway {
			route := &netlink.Route{LinkIndex: link.Attrs().Index, Gw: o.Gateway.AsSlice(), Dst: anywhere(o.Gateway)}
			if err := ignore(w.host.RouteDel(route), unix.ESRCH); err != nil {
				return err
			}
		}
		for _, a := range nicAddresses(o) {
			if slices.Contains(nicAddresses(m.NICs[i]), a) {
				continue
			}
			if err := ignore(w.host.AddrDel(link, &netlink.Addr{IPNet: ipNet(a)}), unix.EADDRNOTAVAIL); err != nil {
				return err
			}
		}
	}
	return nil
}

// observeNICs notes what differs from the described interfaces. old is what was
// described when the machine was last made.
func observeNICs(b *drift.Builder, m, old machine.Machine) error {
	host, err := openLinks(HostNamespace(m.Cloud, m.Name))
	if errors.Is(err, fs.ErrNotExist) {
		b.Want("nics", "", nicNames(m))
		return nil
	}
	if err != nil {
		return err
	}
	defer host.close()
	cloud, err := openLinks(Namespace(m.Cloud))
	if errors.Is(err, fs.ErrNotExist) {
		b.Want("nics", "unplugged", nicNames(m))
		return nil
	}
	if err != nil {
		return err
	}
	defer cloud.close()
	w := &wire{cloud: cloud, host: host}
	for _, nic := range m.NICs {
		if err := w.observe(b, m.Name, nic); err != nil {
			return err
		}
	}
	return w.observeLeft(b, m, old)
}

// observeLeft notes what unplug would take away.
func (w *wire) observeLeft(b *drift.Builder, m, old machine.Machine) error {
	for _, o := range old.NICs {
		link, err := w.host.find(o.Name)
		if err != nil {
			return err
		}
		if link == nil {
			continue
		}
		i := slices.IndexFunc(m.NICs, func(n machine.NIC) bool { return n.Name == o.Name })
		if i < 0 {
			b.Want("nic."+o.Name, "present", "absent")
			continue
		}
		have, err := w.host.addresses(link)
		if err != nil {
			return err
		}
		for _, a := range nicAddresses(o) {
			if slices.Contains(have, a) && !slices.Contains(nicAddresses(m.NICs[i]), a) {
				b.Want("nic."+o.Name+".address", a.String(), "")
			}
		}
		b.Want("nic."+o.Name+".gateway", gatewayText(o), gatewayText(m.NICs[i]))
	}
	return nil
}

func gatewayText(n machine.NIC) string {
	if !n.Gateway.IsValid() {
		return ""
	}
	return n.Gateway.String()
}

func nicNames(m machine.Machine) string {
	var names []string
	for _, n := range m.NICs {
		names = append(names, n.Name)
	}
	return strings.Join(names, " ")
}

func (w *wire) observe(b *drift.Builder, host string, nic machine.NIC) error {
	attr := "nic." + nic.Name
	link, err := w.host.find(nic.Name)
	if err != nil {
		return err
	}
	port, err := w.cloud.find(portName(host, nic.Name))
	if err != nil {
		return err
	}
	if link == nil || port == nil {
		b.Want(attr, "absent", "present")
		return nil
	}
	b.Want(attr+".network", w.plugged(port), bridgeName(nic.Network))
	b.Want(attr+".mac", link.Attrs().HardwareAddr.String(), strings.ToLower(nic.MAC))
	b.Want(attr+".mtu", strconv.Itoa(link.Attrs().MTU), strconv.Itoa(mtu(nic.MTU)))
	b.Want(attr+".up", strconv.FormatBool(link.Attrs().Flags&port.Attrs().Flags&net.FlagUp != 0), "true")
	have, err := w.host.held(link)
	if err != nil {
		return err
	}
	wantAddresses(b, attr+".address", have, nicAddresses(nic))
	return nil
}

// plugged returns the name of the bridge that the port is in.
func (w *wire) plugged(port netlink.Link) string {
	if port.Attrs().MasterIndex == 0 {
		return ""
	}
	br, err := w.cloud.LinkByIndex(port.Attrs().MasterIndex)
	if err != nil {
		return ""
	}
	return br.Attrs().Name
}
