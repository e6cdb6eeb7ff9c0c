package verify

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/updraft-cloud/updraft/internal/transport"
)

// ErrVantage marks errors of the vantage point itself (the host from which a
// check looks does not answer), as opposed to those of what is looked at.
var ErrVantage = errors.New("cannot look from there")

// Vantage is a place from which checks look. Addresses are host:port, for Ping
// without a port. Methods may be called concurrently.
type Vantage interface {
	Name() string
	// Dial opens a TCP connection; network is "tcp".
	Dial(ctx context.Context, network, addr string) (net.Conn, error)
	// Ping sends one ICMP echo request and returns the time until its reply.
	Ping(ctx context.Context, addr string) (time.Duration, error)
	// Exchange sends one UDP datagram and returns the first one that answers.
	Exchange(ctx context.Context, addr string, payload []byte) ([]byte, error)
}

// Local is the deploy host as a vantage point. The zero value uses the plain
// network stack; the hooks place it elsewhere, such as in a network namespace.
type Local struct {
	// DialContext replaces the dialler for "tcp" and "udp".
	DialContext func(ctx context.Context, network, addr string) (net.Conn, error)
	// ListenICMP replaces [ListenICMP].
	ListenICMP func(ctx context.Context, v6 bool) (net.PacketConn, error)
}

// Name returns "deployer".
func (*Local) Name() string { return "deployer" }

// Dial connects by DialContext.
func (l *Local) Dial(ctx context.Context, network, addr string) (net.Conn, error) {
	if l.DialContext != nil {
		return l.DialContext(ctx, network, addr)
	}
	var d net.Dialer
	return d.DialContext(ctx, network, addr)
}

// Exchange sends payload from a fresh UDP socket.
func (l *Local) Exchange(ctx context.Context, addr string, payload []byte) ([]byte, error) {
	conn, err := l.Dial(ctx, "udp", addr)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	stop := closeOnDone(ctx, conn)
	defer stop()
	if _, err := conn.Write(payload); err != nil {
		return nil, ctxError(ctx, err)
	}
	buf := make([]byte, 64<<10)
	n, err := conn.Read(buf)
	if err != nil {
		return nil, ctxError(ctx, err)
	}
	return buf[:n], nil
}

// Fleet is what a host vantage needs of the connections to the hosts. An error
// of the way to the host wraps one of the errors of package transport; any
// other is taken to be the target's.
type Fleet interface {
	DialFrom(ctx context.Context, host, network, addr string) (net.Conn, error)
	Ping(ctx context.Context, host, addr string) (time.Duration, error)
	Exchange(ctx context.Context, host, addr string, payload []byte) ([]byte, error)
}

// FromHost returns the named host as a vantage point.
func FromHost(f Fleet, host string) Vantage { return &hostVantage{f, host} }

type hostVantage struct {
	fleet Fleet
	host  string
}

func (h *hostVantage) Name() string { return h.host }

func (h *hostVantage) Dial(ctx context.Context, network, addr string) (net.Conn, error) {
	conn, err := h.fleet.DialFrom(ctx, h.host, network, addr)
	return conn, h.blame(err)
}

func (h *hostVantage) Ping(ctx context.Context, addr string) (time.Duration, error) {
	rtt, err := h.fleet.Ping(ctx, h.host, addr)
	return rtt, h.blame(err)
}

func (h *hostVantage) Exchange(ctx context.Context, addr string, payload []byte) ([]byte, error) {
	answer, err := h.fleet.Exchange(ctx, h.host, addr, payload)
	return answer, h.blame(err)
}

// blame marks errors of the way to the host with ErrVantage.
func (h *hostVantage) blame(err error) error {
	if err == nil {
		return nil
	}
	for _, own := range []error{transport.ErrNoEntry, transport.ErrClosed, transport.ErrAuth, transport.ErrHostKeyChanged} {
		if errors.Is(err, own) {
			return fmt.Errorf("%w (%s): %w", ErrVantage, h.host, err)
		}
	}
	return err
}

// closeOnDone closes conn when ctx ends, which ends its reads and writes. It
// works for connections through SSH too, which know no deadlines.
func closeOnDone(ctx context.Context, conn interface{ Close() error }) (stop func() bool) {
	return context.AfterFunc(ctx, func() { _ = conn.Close() }) // the reader reports the end of ctx
}

// ctxError returns the reason why ctx ended instead of what that did to a
// connection.
func ctxError(ctx context.Context, err error) error {
	if cause := ctx.Err(); cause != nil {
		return cause
	}
	return err
}
