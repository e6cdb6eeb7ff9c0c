package agent

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"

	"github.com/updraft-cloud/updraft/internal/netdump"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/updraft-cloud/updraft/internal/lb/amphora"
)

// ensureVIP gives an interface an address and tells the neighbours, if it has
// not got it.
func ensureVIP(v amphora.VIP) error {
	has, err := hasVIP(v)
	if err != nil || has {
		return err
	}
	link, err := netlink.LinkByName(v.Interface)
	if err != nil {
		return fmt.Errorf("cannot hold %s on %s: %w", v.Address, v.Interface, err)
	}
	// No duplicate address detection: the address is ours because the controller
	// says so, and packets for it arrive at once.
	err = netlink.AddrAdd(link, &netlink.Addr{IPNet: ipnet(v.Prefix()), Flags: unix.IFA_F_NODAD})
	if err != nil && !errors.Is(err, unix.EEXIST) {
		return fmt.Errorf("cannot hold %s on %s: %w", v.Address, v.Interface, err)
	}
	return announce(v, link.Attrs())
}

// removeVIP takes the address away from whichever interface has it.
func removeVIP(a netip.Addr) error {
	addrs, err := netdump.Whole(func() ([]netlink.Addr, error) { return netlink.AddrList(nil, netlink.FAMILY_ALL) })
	if err != nil {
		return err
	}
	for _, have := range addrs {
		if ip, ok := netip.AddrFromSlice(have.IP); !ok || ip.Unmap() != a {
			continue
		}
		link, err := netlink.LinkByIndex(have.LinkIndex)
		if err != nil {
			return err
		}
		if err := netlink.AddrDel(link, &have); err != nil && !errors.Is(err, unix.EADDRNOTAVAIL) {
			return fmt.Errorf("cannot remove %s: %w", a, err)
		}
	}
	return nil
}

func ipnet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}

// hasVIP reports whether the interface has the address.
func hasVIP(v amphora.VIP) (bool, error) {
	iface, err := net.InterfaceByName(v.Interface)
	if err != nil {
		return false, fmt.Errorf("cannot see %s on %s: %w", v.Address, v.Interface, err)
	}
	addrs, err := iface.Addrs()
	return slices.ContainsFunc(addrs, func(a net.Addr) bool {
		n, ok := a.(*net.IPNet)
		return ok && n.IP.Equal(v.Address.AsSlice())
	}), err
}

// announce tells the neighbours where the address is now: a gratuitous ARP
// request (RFC 5227 §3) or an unsolicited neighbour advertisement (RFC 4861 §7.2.6).
func announce(v amphora.VIP, link *netlink.LinkAttrs) error {
	if len(link.HardwareAddr) != 6 {
		return nil // no Ethernet: nobody asks for addresses
	}
	frame, proto := arp(v.Address, link.HardwareAddr), uint16(unix.ETH_P_ARP)
	if v.Address.Is6() {
		frame, proto = advertisement(v.Address, link.HardwareAddr), unix.ETH_P_IPV6
	}
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	to := &unix.SockaddrLinklayer{Protocol: proto<<8 | proto>>8, Ifindex: link.Index, Halen: 6}
	copy(to.Addr[:], frame[:6])
	for range 2 { // a frame can be lost
		if err := unix.Sendto(fd, frame, 0, to); err != nil {
			return fmt.Errorf("cannot announce %s on %s: %w", v.Address, link.Name, err)
		}
	}
	return nil
}

func arp(a netip.Addr, mac net.HardwareAddr) []byte {
	f := append([]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, mac...)
	f = append(f, 0x08, 0x06, 0, 1, 0x08, 0, 6, 4, 0, 1)
	f = append(append(f, mac...), a.AsSlice()...)
	return append(append(f, 0, 0, 0, 0, 0, 0), a.AsSlice()...)
}

func advertisement(a netip.Addr, mac net.HardwareAddr) []byte {
	all := netip.MustParseAddr("ff02::1").As16()
	f := append([]byte{0x33, 0x33, 0, 0, 0, 1}, mac...)
	f = append(f, 0x86, 0xdd, 0x60, 0, 0, 0, 0, 32, 58, 255)
	f = append(append(f, a.AsSlice()...), all[:]...)
	body := append([]byte{136, 0, 0, 0, 0x20, 0, 0, 0}, a.AsSlice()...)
	body = append(append(body, 2, 1), mac...)
	pseudo := append(append(slices.Clone(a.AsSlice()), all[:]...), 0, 0, 0, 32, 0, 0, 0, 58)
	binary.BigEndian.PutUint16(body[2:], checksum(append(pseudo, body...)))
	return append(f, body...)
}

// checksum is the internet's (RFC 1071).
func checksum(data []byte) uint16 {
	var sum uint32
	for i := 0; i+1 < len(data); i += 2 {
		sum += uint32(data[i])<<8 | uint32(data[i+1])
	}
	if len(data)%2 == 1 {
		sum += uint32(data[len(data)-1]) << 8
	}
	for sum>>16 != 0 {
		sum = sum&0xffff + sum>>16
	}
	return ^uint16(sum)
}

// settings of the kernel: HAProxy binds addresses that the other amphora holds,
// and packets for virtuals are sent on.
func settings(c *amphora.Config) error {
	all := []string{"ipv4/ip_nonlocal_bind", "ipv6/ip_nonlocal_bind"}
	for _, v := range c.Virtuals {
		for _, a := range v.Addresses {
			all = append(all, map[bool]string{true: "ipv4/ip_forward", false: "ipv6/conf/all/forwarding"}[a.Is4()])
		}
	}
	slices.Sort(all)
	for _, name := range slices.Compact(all) {
		path := "/proc/sys/net/" + name
		if now, err := os.ReadFile(path); err != nil || len(now) > 0 && now[0] == '1' {
			continue // no such family, or already so
		}
		if err := os.WriteFile(path, []byte("1"), 0); err != nil {
			return err
		}
	}
	return nil
}
