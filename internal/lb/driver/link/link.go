// Package link makes bridges and pairs of interfaces for the drivers that work on
// this computer.
//
// Everything is level-triggered: what is there as wanted is left alone, and what
// a cut-off call left half done is completed by the next one.
package link

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"slices"

	"github.com/vishvananda/netlink"
	vishns "github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/updraft-cloud/updraft/internal/netdump"
	"github.com/updraft-cloud/updraft/internal/netns"
)

// MaxName is the longest name of an interface (IFNAMSIZ less the NUL).
const MaxName = 15

// Space is a network namespace and a netlink connection into it.
type Space struct {
	NS     *netns.NS // nil: the one that the process runs in
	handle *netlink.Handle
}

// Open opens a named namespace, or, for "", the one that the process runs in.
// The error wraps fs.ErrNotExist if there is none.
func Open(name string) (*Space, error) {
	if name == "" {
		h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
		if err != nil {
			return nil, fmt.Errorf("cannot open netlink: %w", err)
		}
		return &Space{handle: h}, nil
	}
	ns, err := netns.Open(name)
	if err != nil {
		return nil, err
	}
	h, err := netlink.NewHandleAt(vishns.NsHandle(ns.Fd()), unix.NETLINK_ROUTE)
	if err != nil {
		ns.Close()
		return nil, fmt.Errorf("cannot open netlink in namespace %s: %w", name, err)
	}
	return &Space{NS: ns, handle: h}, nil
}

// Make makes a named namespace, with loopback up, and opens it. Duplicate address
// detection is off: every address is known, and is to be usable at once.
func Make(name string) (*Space, error) {
	if name == "" {
		return Open("")
	}
	if err := netns.Create(name); err != nil {
		return nil, err
	}
	s, err := Open(name)
	if err != nil {
		return nil, err
	}
	lo, err := s.handle.LinkByName("lo")
	if err == nil && lo.Attrs().Flags&net.FlagUp == 0 {
		if err = s.NS.Do(noDAD); err == nil {
			err = s.handle.LinkSetUp(lo) // last: it says that all is done
		}
	}
	if err != nil {
		s.Close()
		return nil, fmt.Errorf("cannot set up namespace %s: %w", name, err)
	}
	return s, nil
}

// noDAD is run inside a namespace; a kernel without IPv6 has nothing to set.
func noDAD() error {
	for _, conf := range []string{"all", "default"} {
		err := os.WriteFile("/proc/sys/net/ipv6/conf/"+conf+"/accept_dad", []byte("0"), 0)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// Close closes what Open opened.
func (s *Space) Close() {
	s.handle.Close()
	if s.NS != nil {
		s.NS.Close()
	}
}

// find returns the link of that name, or nil.
func (s *Space) find(name string) (netlink.Link, error) {
	l, err := s.handle.LinkByName(name)
	var missing netlink.LinkNotFoundError
	if errors.As(err, &missing) {
		return nil, nil
	}
	return l, err
}

// Has reports whether there is an interface of that name.
func (s *Space) Has(name string) bool {
	l, err := s.find(name)
	return err == nil && l != nil
}

// Bridge makes a bridge, up, that has at least these addresses.
func (s *Space) Bridge(name string, mtu int, addrs ...netip.Prefix) error {
	br, err := s.find(name)
	if err != nil {
		return err
	}
	if br == nil {
		attrs := netlink.NewLinkAttrs()
		attrs.Name, attrs.MTU = name, mtu
		if err := s.handle.LinkAdd(&netlink.Bridge{LinkAttrs: attrs}); err != nil && !errors.Is(err, unix.EEXIST) {
			return fmt.Errorf("cannot make the bridge %s: %w", name, err)
		}
		if br, err = s.handle.LinkByName(name); err != nil {
			return err
		}
	}
	if br.Type() != "bridge" {
		return fmt.Errorf("cannot use %s as a bridge: it is an interface of type %s", name, br.Type())
	}
	return s.ready(br, addrs)
}

// Address gives an interface these addresses beside those it has, and switches
// it on.
func (s *Space) Address(name string, addrs ...netip.Prefix) error {
	l, err := s.handle.LinkByName(name)
	if err != nil {
		return err
	}
	return s.ready(l, addrs)
}

func (s *Space) ready(l netlink.Link, addrs []netip.Prefix) error {
	for _, a := range addrs {
		addr := &netlink.Addr{IPNet: ipNet(a)}
		if a.Addr().Is6() {
			addr.Flags = unix.IFA_F_NODAD
		}
		if err := s.handle.AddrAdd(l, addr); err != nil && !errors.Is(err, unix.EEXIST) {
			return fmt.Errorf("cannot give %s to %s: %w", a, l.Attrs().Name, err)
		}
	}
	if l.Attrs().Flags&net.FlagUp != 0 {
		return nil
	}
	return s.handle.LinkSetUp(l)
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}

// Remove removes an interface; one that is not there is no error.
func (s *Space) Remove(name string) error {
	l, err := s.find(name)
	if err != nil || l == nil {
		return err
	}
	return s.handle.LinkDel(l)
}

// Names lists the interfaces.
func (s *Space) Names() ([]string, error) {
	ls, err := netdump.Whole(s.handle.LinkList)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, l := range ls {
		names = append(names, l.Attrs().Name)
	}
	slices.Sort(names)
	return names, nil
}

// Down switches an interface off.
func (s *Space) Down(name string) error {
	l, err := s.handle.LinkByName(name)
	if err != nil {
		return err
	}
	return s.handle.LinkSetDown(l)
}

// Index returns the number of an interface, or 0.
func (s *Space) Index(name string) int {
	l, err := s.find(name)
	if err != nil || l == nil {
		return 0
	}
	return l.Attrs().Index
}
