package netns

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/updraft-cloud/updraft/internal/lb/driver"
	"github.com/updraft-cloud/updraft/internal/lb/driver/link"
	"github.com/updraft-cloud/updraft/internal/netns"
)

// The management network: unique local addresses (RFC 4193), because a user's
// networks may have any IPv4 address. Nothing routes it.
var (
	controllerPrefix = netip.MustParsePrefix("fd75:7064:6c62:1::1/64")
	controller       = controllerPrefix.Addr()
)

const (
	bridge         = "mgmt"
	managementLink = "mgmt0"
	// dataLink begins the names of the others, as driver.VIPInterface does.
	dataLink = "eth"
	// heartbeatPort is Octavia's; controllers beside each other take the next.
	heartbeatPort, maxControllers = 5555, 64
)

func agentAddress(amphoraID string) netip.Addr {
	a := controller.As16()
	sum := sha256.Sum256([]byte(amphoraID))
	copy(a[8:], sum[:8])
	a[8] |= 2 // never the controllers'
	return netip.AddrFrom16(a)
}

// outside names the end of a pair that is in a bridge.
func outside(words ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(words, "\x00")))
	return "ulb" + hex.EncodeToString(sum[:6])
}

// linkName says which interface belongs to a port, wherever in a Spec it stands.
func linkName(first bool, portID string) string {
	if first {
		return driver.VIPInterface
	}
	sum := sha256.Sum256([]byte(portID))
	return dataLink + "-" + hex.EncodeToString(sum[:4])
}

// wire makes the namespace and its interfaces.
func (c *Compute) wire(r record, want driver.Spec) error {
	in, err := link.Make(c.Namespace(r.AmphoraID))
	if err != nil {
		return err
	}
	defer in.Close()
	if err := in.NS.Do(settings); err != nil {
		return err
	}
	plugs, spaces := c.plugs(want)
	for i, p := range plugs {
		out, err := link.Open(spaces[i])
		if err != nil {
			return err
		}
		err = link.Connect(in, out, p)
		out.Close()
		if err != nil {
			return err
		}
	}
	return prune(in, plugs)
}

// settings are run inside: HAProxy binds addresses that the other amphora has,
// and an address belongs to the interface that is on its network.
func settings() error {
	for name, value := range map[string]string{
		"ipv4/ip_nonlocal_bind": "1", "ipv6/ip_nonlocal_bind": "1",
		"ipv4/conf/all/arp_ignore": "1", "ipv4/conf/all/arp_announce": "2",
	} {
		if err := os.WriteFile("/proc/sys/net/"+name, []byte(value), 0); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// plugs returns the interfaces, and the namespaces that their bridges are in.
func (c *Compute) plugs(want driver.Spec) ([]link.Plug, []string) {
	id := want.AmphoraID
	plugs := []link.Plug{{Name: managementLink, Outside: outside(c.prefix, id), Bridge: bridge,
		Addresses: []netip.Prefix{netip.PrefixFrom(agentAddress(id), controllerPrefix.Bits())}}}
	spaces := []string{c.management()}
	for i, n := range want.Interfaces {
		p := link.Plug{Name: linkName(i == 0, n.Port.ID), Outside: outside(c.prefix, id, n.Port.ID), MAC: n.Port.MAC}
		space := ""
		if b := n.Port.Binding; b != nil {
			p.Bridge, p.MTU, space = b.Bridge, b.MTU, b.Namespace
		}
		for j, s := range n.Subnets {
			if j >= len(n.Port.FixedIPs) {
				break
			}
			p.Addresses = append(p.Addresses, netip.PrefixFrom(n.Port.FixedIPs[j].Address, s.Prefix.Bits()))
			p.Routes = append(p.Routes, routes(s, i == 0)...)
		}
		plugs, spaces = append(plugs, p), append(spaces, space)
	}
	return plugs, spaces
}

// routes of a subnet; only the first interface, that of the VIP, leads anywhere.
func routes(s driver.Subnet, first bool) []link.Route {
	var out []link.Route
	for _, r := range s.Routes {
		out = append(out, link.Route{To: r.To, Via: r.Via})
	}
	if first && s.Gateway.IsValid() {
		out = append(out, link.Route{Via: s.Gateway})
	}
	return out
}

// prune removes interfaces that are not wanted any longer.
func prune(in *link.Space, plugs []link.Plug) error {
	names, err := in.Names()
	if err != nil {
		return err
	}
	keep := map[string]bool{}
	for _, p := range plugs {
		keep[p.Name] = true
	}
	for _, n := range names {
		if strings.HasPrefix(n, dataLink) && !keep[n] {
			err = errors.Join(err, in.Remove(n))
		}
	}
	return err
}

// unplug takes all interfaces away: from here on no address of it answers.
func unplug(namespace string) error {
	in, err := link.Open(namespace)
	if err != nil {
		return err
	}
	defer in.Close()
	return prune(in, nil)
}

// lock keeps other controllers away from an instance; it ends with its process.
func (c *Compute) lock(ctx context.Context, amphoraID string) (unlock func(), err error) {
	path := filepath.Join(c.dir, amphoraID+".lock")
	for {
		f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
		if err != nil {
			return nil, err
		}
		if err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err == nil && same(f, path) {
			return func() { _ = os.Remove(path); f.Close() }, nil
		}
		f.Close()
		if err != nil && !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR) {
			return nil, err
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("cannot lock the amphora %s: %w", amphoraID, ctx.Err())
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// same reports whether the file that was locked is still the one of that name.
func same(f *os.File, path string) bool {
	have, err1 := f.Stat()
	there, err2 := os.Stat(path)
	return err1 == nil && err2 == nil && os.SameFile(have, there)
}

// Manage returns the network that controllers and agents meet in.
func (c *Compute) Manage() driver.Management { return management{c.management()} }

type management struct{ namespace string }

// DialContext connects from within the namespace.
func (m management) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	ns, err := netns.Open(m.namespace)
	if err != nil {
		return nil, err
	}
	defer ns.Close()
	return ns.DialContext(ctx, network, address)
}

// ListenPacket takes the first port that no other controller has, so that one
// that is started again is where the agents send to.
func (m management) ListenPacket(ctx context.Context) (net.PacketConn, string, error) {
	ns, err := netns.Open(m.namespace)
	if err != nil {
		return nil, "", err
	}
	defer ns.Close()
	for port := heartbeatPort; port < heartbeatPort+maxControllers; port++ {
		addr := netip.AddrPortFrom(controller, uint16(port)).String()
		conn, err := ns.ListenPacket(ctx, "udp6", addr)
		if err == nil {
			return conn, addr, nil
		}
		if !errors.Is(err, unix.EADDRINUSE) {
			return nil, "", err
		}
	}
	return nil, "", errors.New("cannot listen for heartbeats: all ports are taken")
}
