package verify

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"time"

	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
)

// ICMP protocol numbers (IANA), as icmp.ParseMessage wants them.
const (
	protocolICMP   = 1
	protocolICMPv6 = 58
)

// ListenICMP opens a socket for echo requests in the network namespace of the
// calling thread: an unprivileged one where net.ipv4.ping_group_range allows
// it, otherwise a raw one, which takes CAP_NET_RAW.
func ListenICMP(_ context.Context, v6 bool) (net.PacketConn, error) {
	dgram, raw := "udp4", "ip4:icmp"
	if v6 {
		dgram, raw = "udp6", "ip6:ipv6-icmp"
	}
	if conn, err := icmp.ListenPacket(dgram, ""); err == nil {
		return conn, nil
	}
	conn, err := icmp.ListenPacket(raw, "")
	if errors.Is(err, os.ErrPermission) {
		return nil, errors.New("not allowed to send pings: run as root, or extend net.ipv4.ping_group_range")
	}
	if err != nil {
		return nil, err
	}
	return conn, nil
}

// Ping sends an echo request with a random token, by which its reply is known.
func (l *Local) Ping(ctx context.Context, addr string) (time.Duration, error) {
	to, err := resolveIP(ctx, addr)
	if err != nil {
		return 0, err
	}
	listen := l.ListenICMP
	if listen == nil {
		listen = ListenICMP
	}
	conn, err := listen(ctx, to.Is6())
	if err != nil {
		return 0, fmt.Errorf("%w: %w", ErrVantage, err)
	}
	defer func() { _ = conn.Close() }() // closeOnDone may have been first
	stop := closeOnDone(ctx, conn)
	defer stop()

	token := make([]byte, 24)
	_, _ = rand.Read(token) // never fails (crypto/rand)
	packet, err := echoRequest(to.Is6(), token)
	if err != nil {
		return 0, err
	}
	start := time.Now()
	if _, err := conn.WriteTo(packet, socketAddr(conn, to)); err != nil {
		return 0, ctxError(ctx, err)
	}
	if err := awaitEcho(conn, to.Is6(), token); err != nil {
		return 0, ctxError(ctx, err)
	}
	return time.Since(start), nil
}

func resolveIP(ctx context.Context, addr string) (netip.Addr, error) {
	if ip, err := netip.ParseAddr(addr); err == nil {
		return ip.Unmap(), nil
	}
	ips, err := net.DefaultResolver.LookupNetIP(ctx, "ip", addr)
	if err != nil {
		return netip.Addr{}, err
	}
	return ips[0].Unmap(), nil
}

func echoRequest(v6 bool, token []byte) ([]byte, error) {
	m := icmp.Message{Type: ipv4.ICMPTypeEcho, Body: &icmp.Echo{ID: os.Getpid() & 0xffff, Seq: 1, Data: token}}
	if v6 {
		m.Type = ipv6.ICMPTypeEchoRequest
	}
	return m.Marshal(nil) // the kernel fills in the ICMPv6 checksum (RFC 3542, 3.1)
}

// socketAddr returns the address in the form that the kind of socket takes.
func socketAddr(conn net.PacketConn, to netip.Addr) net.Addr {
	if _, raw := conn.LocalAddr().(*net.IPAddr); raw {
		return &net.IPAddr{IP: to.AsSlice(), Zone: to.Zone()}
	}
	return &net.UDPAddr{IP: to.AsSlice(), Zone: to.Zone()}
}

// awaitEcho reads until the reply with the token comes. Everything else is for
// others: a raw socket sees all ICMP of the host.
func awaitEcho(conn net.PacketConn, v6 bool, token []byte) error {
	protocol := protocolICMP
	if v6 {
		protocol = protocolICMPv6
	}
	buf := make([]byte, 1500)
	for {
		n, _, err := conn.ReadFrom(buf)
		if err != nil {
			return err
		}
		m, err := icmp.ParseMessage(protocol, buf[:n])
		if err != nil {
			continue
		}
		if m.Type != ipv4.ICMPTypeEchoReply && m.Type != ipv6.ICMPTypeEchoReply {
			continue
		}
		if echo, ok := m.Body.(*icmp.Echo); ok && bytes.Equal(echo.Data, token) {
			return nil
		}
	}
}
