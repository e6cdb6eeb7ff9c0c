package netns

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// DialContext connects from inside the namespace. The network is tcp or udp,
// with 4 or 6 appended or not; the address is a literal IP address and a port,
// because names would be looked up outside of the namespace.
func (n *NS) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := n.dial(ctx, network, address)
	if err != nil {
		return nil, &net.OpError{Op: "dial", Net: network, Addr: addrString(address), Err: err}
	}
	return conn, nil
}

// addrString is a net.Addr for errors.
type addrString string

func (addrString) Network() string  { return "" }
func (a addrString) String() string { return string(a) }

func (n *NS) dial(ctx context.Context, network, address string) (net.Conn, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	to, err := netip.ParseAddrPort(address)
	if err != nil {
		return nil, err
	}
	kind, err := socketType(network, to.Addr())
	if err != nil {
		return nil, err
	}
	family, sa := sockaddr(to)
	fd := -1
	if err := n.Do(func() (err error) {
		fd, err = unix.Socket(family, kind|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
		return os.NewSyscallError("socket", err)
	}); err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), "socket")
	defer f.Close() // net.FileConn works on a duplicate
	if err := connect(ctx, f, fd, sa); err != nil {
		return nil, err
	}
	return net.FileConn(f)
}

func socketType(network string, a netip.Addr) (int, error) {
	base := strings.TrimRight(network, "46")
	if v := strings.TrimPrefix(network, base); v == "4" && !a.Unmap().Is4() || v == "6" && !a.Is6() {
		return 0, errors.New("address is of the other family")
	}
	switch base {
	case "tcp":
		return unix.SOCK_STREAM, nil
	case "udp":
		return unix.SOCK_DGRAM, nil
	}
	return 0, net.UnknownNetworkError(network)
}

func sockaddr(to netip.AddrPort) (int, unix.Sockaddr) {
	if a := to.Addr().Unmap(); a.Is4() {
		return unix.AF_INET, &unix.SockaddrInet4{Port: int(to.Port()), Addr: a.As4()}
	}
	return unix.AF_INET6, &unix.SockaddrInet6{Port: int(to.Port()), Addr: to.Addr().As16()}
}

// connect starts the connection and waits in the runtime's poller, so that a
// slow host holds no thread.
func connect(ctx context.Context, f *os.File, fd int, sa unix.Sockaddr) error {
	switch err := unix.Connect(fd, sa); err {
	case nil:
		return nil
	case unix.EINPROGRESS, unix.EINTR:
	default:
		return os.NewSyscallError("connect", err)
	}
	stop := context.AfterFunc(ctx, func() { _ = f.SetWriteDeadline(time.Unix(1, 0)) })
	defer stop()
	raw, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var status error
	err = raw.Write(func(fd uintptr) bool {
		if pending(int(fd)) {
			return false
		}
		status = socketError(int(fd))
		return true
	})
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		return err
	}
	return status
}

// pending reports whether the connection is still being made.
func pending(fd int) bool {
	fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}
	n, err := unix.Poll(fds, 0)
	return err != nil || n == 0
}

func socketError(fd int) error {
	code, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ERROR)
	if err != nil {
		return os.NewSyscallError("getsockopt", err)
	}
	if code != 0 {
		return os.NewSyscallError("connect", unix.Errno(code))
	}
	return nil
}

// Listen listens inside the namespace on a literal address.
func (n *NS) Listen(ctx context.Context, network, address string) (net.Listener, error) {
	var l net.Listener
	err := n.literal(address, func() (err error) {
		l, err = (&net.ListenConfig{}).Listen(ctx, network, address)
		return err
	})
	return l, err
}

// ListenPacket listens for packets inside the namespace on a literal address.
func (n *NS) ListenPacket(ctx context.Context, network, address string) (net.PacketConn, error) {
	var c net.PacketConn
	err := n.literal(address, func() (err error) {
		c, err = (&net.ListenConfig{}).ListenPacket(ctx, network, address)
		return err
	})
	return c, err
}

// literal runs f inside if the address needs no lookup, which would move the
// making of the socket to another goroutine.
func (n *NS) literal(address string, f func() error) error {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		host = address // packet networks such as ip4:icmp have no port
	}
	if _, err := netip.ParseAddr(host); err != nil && host != "" {
		return fmt.Errorf("cannot listen on %s: the address must be a literal IP address", address)
	}
	return n.Do(f)
}
