package agent

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/updraft-cloud/updraft/internal/hostagent/proto"
	"github.com/updraft-cloud/updraft/internal/retry"
)

// Package net is left out of the agent on purpose: two kinds of sockets do not
// justify a resolver and its memory.

// ICMP message types (RFC 792; RFC 4443).
const (
	echoRequest4, echoReply4 = 8, 0
	echoRequest6, echoReply6 = 128, 129
)

// ping sends one ICMP echo request and waits for the reply.
func ping(ctx context.Context, req proto.PingRequest) (any, error) {
	addr, err := netip.ParseAddr(req.Addr)
	if err != nil {
		return nil, fmt.Errorf("cannot ping: %w", err)
	}
	addr = addr.Unmap()
	family, protocol, kind := unix.AF_INET, unix.IPPROTO_ICMP, byte(echoRequest4)
	if addr.Is6() {
		family, protocol, kind = unix.AF_INET6, unix.IPPROTO_ICMPV6, echoRequest6
	}
	s, err := open(family, unix.SOCK_RAW, protocol, netip.AddrPortFrom(addr, 0))
	if err != nil {
		return nil, fmt.Errorf("cannot ping %s: %w", addr, err)
	}
	defer s.Close()
	msg := echo(kind)
	rtt, err := s.exchange(ctx, time.Duration(req.Timeout), msg, func(packet []byte) bool {
		return answers(packet, msg, addr.Is4())
	})
	if err != nil {
		return nil, fmt.Errorf("cannot ping %s: %w", addr, err)
	}
	return proto.PingReply{RTT: rtt.Nanoseconds()}, nil
}

// echo returns an echo request whose identifier and data are unlike others'.
// The kernel fills in the checksum of ICMPv6.
func echo(kind byte) []byte {
	msg := make([]byte, 56+8) // as much as ping(8) sends
	msg[0] = kind
	now := time.Now().UnixNano()
	binary.BigEndian.PutUint16(msg[4:], uint16(os.Getpid()^int(now>>10)))
	binary.BigEndian.PutUint64(msg[8:], uint64(now))
	if kind == echoRequest4 {
		binary.BigEndian.PutUint16(msg[2:], checksum(msg))
	}
	return msg
}

// checksum is the Internet checksum (RFC 1071).
func checksum(b []byte) uint16 {
	var sum uint32
	for i := 0; i+1 < len(b); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(b[i:]))
	}
	for sum>>16 != 0 {
		sum = sum&0xffff + sum>>16
	}
	return ^uint16(sum)
}

// answers reports whether a packet is the reply to msg: a raw socket sees all
// ICMP messages, those of IPv4 with their IP header.
func answers(packet, msg []byte, v4 bool) bool {
	want := byte(echoReply6)
	if v4 {
		if len(packet) == 0 {
			return false
		}
		packet, want = packet[min(len(packet), int(packet[0]&0x0f)*4):], echoReply4
	}
	return len(packet) == len(msg) && packet[0] == want && packet[1] == 0 && string(packet[4:]) == string(msg[4:])
}

// exchange sends one UDP datagram and waits for one in return.
func exchange(ctx context.Context, req proto.ExchangeRequest) (any, error) {
	to, err := netip.ParseAddrPort(req.Addr)
	if err != nil {
		return nil, fmt.Errorf("cannot send a datagram: %w", err)
	}
	to = netip.AddrPortFrom(to.Addr().Unmap(), to.Port())
	family := unix.AF_INET
	if to.Addr().Is6() {
		family = unix.AF_INET6
	}
	s, err := open(family, unix.SOCK_DGRAM, unix.IPPROTO_UDP, to)
	if err != nil {
		return nil, fmt.Errorf("cannot reach %s: %w", to, err)
	}
	defer s.Close()
	var got []byte
	rtt, err := s.exchange(ctx, time.Duration(req.Timeout), req.Data, func(packet []byte) bool {
		got = append([]byte(nil), packet...)
		return true
	})
	if err != nil {
		return nil, fmt.Errorf("cannot reach %s: %w", to, err)
	}
	return proto.ExchangeReply{Data: got, RTT: rtt.Nanoseconds()}, nil
}

// socket is a connected socket in the runtime's poller.
type socket struct{ *os.File }

func open(family, kind, protocol int, to netip.AddrPort) (*socket, error) {
	fd, err := unix.Socket(family, kind|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, protocol)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	if err := unix.Connect(fd, sockaddr(to)); err != nil {
		unix.Close(fd)
		return nil, retry.Mark(os.NewSyscallError("connect", err), retry.Transient)
	}
	return &socket{os.NewFile(uintptr(fd), "socket")}, nil
}

func sockaddr(to netip.AddrPort) unix.Sockaddr {
	if a := to.Addr(); a.Is4() {
		return &unix.SockaddrInet4{Port: int(to.Port()), Addr: a.As4()}
	}
	return &unix.SockaddrInet6{Port: int(to.Port()), Addr: to.Addr().As16()}
}

// maxDatagram is the largest datagram (RFC 768).
const maxDatagram = 1 << 16

// exchange sends msg and reads packets until one is accepted. That none came in
// time is transient: the other side may yet come up.
func (s *socket) exchange(ctx context.Context, timeout time.Duration, msg []byte, accept func([]byte) bool) (time.Duration, error) {
	start := time.Now()
	if err := s.SetDeadline(start.Add(timeout)); err != nil {
		return 0, err
	}
	stop := context.AfterFunc(ctx, func() { _ = s.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if _, err := s.Write(msg); err != nil {
		return 0, retry.Mark(err, retry.Transient)
	}
	buf := make([]byte, maxDatagram)
	for {
		n, err := s.Read(buf)
		switch {
		case ctx.Err() != nil:
			return 0, ctx.Err()
		case errors.Is(err, os.ErrDeadlineExceeded):
			return 0, retry.Mark(fmt.Errorf("no answer within %s", timeout), retry.Transient)
		case err != nil:
			return 0, retry.Mark(err, retry.Transient)
		case accept(buf[:n]):
			return time.Since(start), nil
		}
	}
}
