// Package transport is the contract of connections to hosts: run a command with
// its streams, and dial from the host. Implementations are ssh, local (the
// deploy host itself) and fake (a strict in-memory host); one suite in
// transporttest runs over all of them.
package transport

import (
	"context"
	"errors"
	"io"
	"net"
	"strconv"
	"time"
)

// Errors that callers tell apart.
var (
	// ErrHostKeyChanged means that the host showed another key than the one
	// in known_hosts. Never retried: a person must look.
	ErrHostKeyChanged = errors.New("host key has changed")
	// ErrAuth means that the host refused every credential offered.
	ErrAuth = errors.New("authentication refused")
	// ErrClosed means that the connection is no longer there.
	ErrClosed = errors.New("connection closed")
	// ErrNoEntry marks every error of coming into a host, as opposed to those
	// of what is beyond it: a check from web1 to db1 that fails with it says
	// nothing of db1.
	ErrNoEntry = errors.New("cannot enter")
)

// Target says how to reach and enter a host.
type Target struct {
	Name    string // the host's name in the cloud
	Address string // IP address or DNS name
	Port    int    // 22 when zero
	User    string // root when empty
	// Identities are paths of private keys; Agent also offers the keys of the
	// ssh-agent at SSH_AUTH_SOCK.
	Identities []string
	Agent      bool
	// KnownHosts is the path of the known_hosts file. An unknown host is
	// refused, unless AcceptNew is set: then its key is added on first sight.
	KnownHosts string
	AcceptNew  bool
	// HostKeyAlias is looked up in KnownHosts in place of the address.
	HostKeyAlias string
	// Jump is a host to go through; nil for none.
	Jump *Target
	// SudoPassword is asked for when sudo wants one; nil means there is none.
	SudoPassword func() (string, error)
	// ConnectTimeout bounds dialling and the handshake; 10 s when zero.
	ConnectTimeout time.Duration
	// KeepAlive is the interval of probes; a connection that misses three is
	// closed. 15 s when zero.
	KeepAlive time.Duration
	// Dial replaces the dialler, to dial from inside a network namespace.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)
}

// Dialer opens connections. Errors are classified by package retry: a host that
// does not answer is Unreachable; a refused key or credential is Permanent.
type Dialer interface {
	Connect(ctx context.Context, t Target) (Conn, error)
}

// Conn is one live connection to a host. It is safe for concurrent use.
type Conn interface {
	// Start runs a POSIX shell command line as the login user. When ctx ends,
	// the connection dies or Kill is called, the process on the host ends too.
	Start(ctx context.Context, line string) (Process, error)
	// Dial connects from the host to an address it can reach ("tcp" only).
	Dial(ctx context.Context, network, addr string) (net.Conn, error)
	// Done is closed when the connection is gone; Err then says why.
	Done() <-chan struct{}
	Err() error
	Close() error
}

// Process is a command running on a host.
type Process interface {
	Stdin() io.WriteCloser
	Stdout() io.Reader
	Stderr() io.Reader
	// Wait waits for the end. It is to be called once, after both outputs
	// were read to their end. A status other than zero is an [*ExitError].
	Wait() error
	Kill() error
}

// ExitError is the end of a process that did not succeed.
type ExitError struct{ Code int } // exit status, or 128+n for signal n

// Error renders the status.
func (e *ExitError) Error() string { return "exit status " + strconv.Itoa(e.Code) }
