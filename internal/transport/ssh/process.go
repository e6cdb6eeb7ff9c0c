package ssh

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync/atomic"

	"golang.org/x/crypto/ssh"

	"github.com/updraft-cloud/updraft/internal/retry"
	"github.com/updraft-cloud/updraft/internal/transport"
)

// guard is put before a command line. It leaves a process behind that kills the
// process group of the command when the server's process of this connection,
// the parent of the login shell, is gone. It looks after 1, 2, 4 and then every
// 8 seconds. Where other users' processes cannot be seen (hidepid of proc(5))
// there is no guard. The parentheses are nested so that the guard is no child of
// the command's shell, which might wait for all of its own.
const guard = `[ -d /proc/$PPID ] && ( (
n=1
while [ -d /proc/$$ ]; do
  [ -d /proc/$PPID ] || kill -9 -$$
  sleep $n
  [ $n -ge 8 ] || n=$((n * 2))
done
) </dev/null >/dev/null 2>&1 & )
`

// quote makes s one word of a shell.
func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

// Start runs a command line.
func (c *Conn) Start(ctx context.Context, line string) (transport.Process, error) {
	return c.start(ctx, guard+line)
}

// StartBound runs a command that ends with its input, and needs no guard.
func (c *Conn) StartBound(ctx context.Context, line string) (transport.Process, error) {
	return c.start(ctx, line)
}

func (c *Conn) start(ctx context.Context, line string) (transport.Process, error) {
	s, err := c.session(ctx)
	if err != nil {
		return nil, err
	}
	p := &process{conn: c, session: s}
	if err := p.open(line); err != nil {
		s.Close()
		c.ended(p)
		if gone := c.Err(); gone != nil {
			return nil, gone
		}
		return nil, retry.Mark(fmt.Errorf("cannot run a command on %s: %w", describe(c.target), err), retry.Unreachable)
	}
	c.mu.Lock()
	c.live[p] = struct{}{}
	c.mu.Unlock()
	p.ctx = ctx
	p.stop = context.AfterFunc(ctx, func() { _ = p.Kill() })
	return p, nil
}

// maxSessions is how many commands run at once on a connection; more wait. It is
// what sshd allows by default (MaxSessions in sshd_config(5)).
const maxSessions = 10

// session opens a session, which holds a slot until ended is called.
func (c *Conn) session(ctx context.Context) (*ssh.Session, error) {
	if err := c.Err(); err != nil {
		return nil, err
	}
	select {
	case c.slots <- struct{}{}:
	case <-c.done:
		return nil, c.Err()
	case <-ctx.Done():
		return nil, retry.Mark(context.Cause(ctx), retry.Unreachable)
	}
	s, err := c.client.NewSession()
	if err == nil {
		return s, nil
	}
	<-c.slots
	var refused *ssh.OpenChannelError
	if errors.As(err, &refused) {
		return nil, fmt.Errorf("cannot run a command on %s: %w", describe(c.target), err)
	}
	if gone := c.Err(); gone != nil {
		return nil, gone
	}
	return nil, lost(c.target, fmt.Errorf("%w: %w", transport.ErrClosed, err))
}

// ended gives the slot of a command back.
func (c *Conn) ended(p *process) {
	c.mu.Lock()
	delete(c.live, p)
	c.mu.Unlock()
	<-c.slots
}

type process struct {
	conn           *Conn
	session        *ssh.Session
	stdin          io.WriteCloser
	stdout, stderr io.Reader
	ctx            context.Context //nolint:containedctx // that of Start, to say why it was killed
	stop           func() bool
	killed         atomic.Bool
}

// open starts the line by the login shell, which at once becomes /bin/sh: the
// login shell may be of another kind.
func (p *process) open(line string) (err error) {
	if p.stdin, err = p.session.StdinPipe(); err != nil {
		return err
	}
	if p.stdout, err = p.session.StdoutPipe(); err != nil {
		return err
	}
	if p.stderr, err = p.session.StderrPipe(); err != nil {
		return err
	}
	return p.session.Start("exec /bin/sh -c " + quote(line))
}

func (p *process) Stdin() io.WriteCloser { return p.stdin }
func (p *process) Stdout() io.Reader     { return p.stdout }
func (p *process) Stderr() io.Reader     { return p.stderr }

// signal asks the server to kill the process group.
func (p *process) signal() { _ = p.session.Signal(ssh.SIGKILL) }

// Kill kills the process group and ends the session.
func (p *process) Kill() error {
	if !p.killed.Swap(true) {
		p.signal()
		p.session.Close()
	}
	return nil
}

// Wait waits for the exit status.
func (p *process) Wait() error {
	err := p.session.Wait()
	p.stop()
	p.session.Close()
	p.conn.ended(p)
	var exit *ssh.ExitError
	switch {
	case err == nil:
		return nil
	case p.ctx.Err() != nil:
		return context.Cause(p.ctx)
	case errors.As(err, &exit):
		return &transport.ExitError{Code: exit.ExitStatus()} // 128+n for a signal
	case p.killed.Load(): // the session was closed before its status came
		return &transport.ExitError{Code: 128 + 9}
	}
	if gone := p.conn.Err(); gone != nil {
		return gone
	}
	return lost(p.conn.target, transport.ErrClosed)
}
