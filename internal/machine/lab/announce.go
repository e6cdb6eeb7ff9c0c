package lab

import (
	"encoding/binary"
	"net"
	"net/netip"
	"slices"

	"github.com/updraft-cloud/updraft/internal/machine"
	"github.com/updraft-cloud/updraft/internal/netdump"
	"github.com/updraft-cloud/updraft/internal/netns"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// moved returns the addresses that the machine no longer has where it had them,
// or has where it did not: what others may have learnt of them is wrong.
func moved(m, old machine.Machine) []netip.Addr {
	var out []netip.Addr
	for _, o := range old.NICs {
		var now machine.NIC
		if i := slices.IndexFunc(m.NICs, func(n machine.NIC) bool { return n.Name == o.Name }); i >= 0 {
			now = m.NICs[i]
		}
		was, is := nicAddresses(o), nicAddresses(now)
		if o.Network == now.Network && o.MAC == now.MAC {
			shared := func(p netip.Prefix) bool { return slices.Contains(was, p) && slices.Contains(is, p) }
			was, is = slices.DeleteFunc(slices.Clone(was), shared), slices.DeleteFunc(slices.Clone(is), shared)
		}
		for _, p := range append(slices.Clip(was), is...) {
			out = append(out, p.Addr())
		}
	}
	return out
}

// forget makes all of the cloud's hosts and the deployer ask anew who has the
// addresses. Otherwise they would go on talking to whoever had them before for as
// long as the kernel believes an entry without proof, which is up to 45 s.
func forget(cloud string, addrs []netip.Addr) error {
	if len(addrs) == 0 {
		return nil
	}
	names, err := netns.List(HostNamespace(cloud, ""))
	if err != nil {
		return err
	}
	for _, name := range append(names, Namespace(cloud)) {
		l, err := openLinks(name)
		if err != nil {
			continue // it is being removed
		}
		err = l.forget(addrs)
		l.close()
		if err != nil {
			return err
		}
	}
	return nil
}

func (l *links) forget(addrs []netip.Addr) error {
	known, err := netdump.Whole(func() ([]netlink.Neigh, error) { return l.NeighList(0, netlink.FAMILY_ALL) })
	if err != nil {
		return err
	}
	for _, n := range known {
		a, _ := netip.AddrFromSlice(n.IP)
		if n.State&netlink.NUD_PERMANENT != 0 || !slices.Contains(addrs, a.Unmap()) {
			continue
		}
		if err := ignore(l.NeighDel(&n), unix.ENOENT); err != nil {
			return err
		}
	}
	return nil
}

// announce tells the network who has the NIC's address, by an ARP request for it
// from itself (RFC 5227, section 2.3). A machine that takes another's place is
// heard of at once. IPv6 finds out by itself within seconds.
func (l *links) announce(link netlink.Link, mac net.HardwareAddr, nic machine.NIC) error {
	if !nic.Address.Addr().Is4() {
		return nil
	}
	return l.ns.Do(func() error {
		fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		to := &unix.SockaddrLinklayer{Protocol: htons(unix.ETH_P_ARP), Ifindex: link.Attrs().Index, Halen: 6}
		for i := range 6 {
			to.Addr[i] = 0xff
		}
		return unix.Sendto(fd, announcement(mac, nic.Address.Addr()), 0, to)
	})
}

// announcement is an ARP packet for IPv4 on Ethernet (RFC 826).
func announcement(mac net.HardwareAddr, a netip.Addr) []byte {
	b := []byte{0, 1, 8, 0, 6, 4, 0, 1} // Ethernet, IPv4, their lengths, request
	b = append(append(b, mac...), a.AsSlice()...)
	return append(append(b, 0, 0, 0, 0, 0, 0), a.AsSlice()...)
}

// htons is the number in network byte order, as packet(7) wants it.
func htons(n uint16) uint16 { return binary.NativeEndian.Uint16([]byte{byte(n >> 8), byte(n)}) }
