package ssh

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

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
	token := rand.Text()
	return c.start(ctx, "echo "+token+" $$\n"+guard+line, token)
}

// StartBound runs a command that ends with its input, and needs no guard.
func (c *Conn) StartBound(ctx context.Context, line string) (transport.Process, error) {
	return c.start(ctx, line, "")
}

func (c *Conn) start(ctx context.Context, line, token string) (transport.Process, error) {
	s, err := c.session(ctx, c.slots)
	if err != nil {
		return nil, err
	}
	p := &process{conn: c, session: s, ctx: ctx, ended: make(chan struct{}), aborted: make(chan struct{})}
	if err := p.open(line, token); err != nil {
		_ = s.Close()
		<-c.slots
		if gone := c.Err(); gone != nil {
			return nil, gone
		}
		return nil, retry.Mark(fmt.Errorf("cannot run a command on %s: %w", describe(c.target), err), retry.Unreachable)
	}
	c.mu.Lock()
	c.live[p] = struct{}{}
	c.mu.Unlock()
	stop := context.AfterFunc(ctx, func() { _ = p.Kill() })
	go func() {
		p.err = s.Wait()
		stop()
		_ = s.Close()
		c.mu.Lock()
		delete(c.live, p)
		c.mu.Unlock()
		close(p.ended)
		_ = c.probe() // sshd frees the session after it has read our end of it
		<-c.slots
	}()
	return p, nil
}

// A server allows ten sessions at once on a connection by default (MaxSessions
// in sshd_config(5)): nine for commands, of which more have to wait, and one to
// kill them by.
const (
	maxCommands = 9
	maxKills    = 1
)

// session opens a session, for which it takes a slot.
func (c *Conn) session(ctx context.Context, slots chan struct{}) (*ssh.Session, error) {
	if err := c.Err(); err != nil {
		return nil, err
	}
	select {
	case slots <- struct{}{}:
	case <-c.done:
		return nil, c.Err()
	case <-ctx.Done():
		return nil, retry.Mark(context.Cause(ctx), retry.Unreachable)
	}
	s, err := c.client.NewSession()
	if err == nil {
		return s, nil
	}
	<-slots
	var refused *ssh.OpenChannelError
	if errors.As(err, &refused) {
		return nil, fmt.Errorf("cannot run a command on %s: %w", describe(c.target), err)
	}
	if gone := c.Err(); gone != nil {
		return nil, gone
	}
	return nil, lost(c.target, fmt.Errorf("%w: %w", transport.ErrClosed, err))
}

type process struct {
	conn           *Conn
	session        *ssh.Session
	stdin          io.WriteCloser
	stdout, stderr *output
	ctx            context.Context // that of Start, to say why it was killed
	killed         atomic.Bool
	err            error         // how the session ended; valid when ended is closed
	ended          chan struct{} // the session is over
	aborted        chan struct{} // it is not, and no longer waited for
}

// open starts the line by the login shell, which at once becomes /bin/sh: the
// login shell may be of another kind.
func (p *process) open(line, token string) (err error) {
	if p.stdin, err = p.session.StdinPipe(); err != nil {
		return err
	}
	stdout, err := p.session.StdoutPipe()
	if err != nil {
		return err
	}
	stderr, err := p.session.StderrPipe()
	if err != nil {
		return err
	}
	if err := p.session.Start("exec /bin/sh -c " + quote(line)); err != nil {
		return err
	}
	p.stdout, p.stderr = newOutput(stdout, token), newOutput(stderr, "")
	return nil
}

func (p *process) Stdin() io.WriteCloser { return p.stdin }
func (p *process) Stdout() io.Reader     { return p.stdout }
func (p *process) Stderr() io.Reader     { return p.stderr }

// killGrace is how long a command that was killed is waited for. One that runs
// under sudo cannot be killed by the login user.
const killGrace = 5 * time.Second

// Kill kills the process group. It does not wait; Wait does.
func (p *process) Kill() error {
	if p.killed.Swap(true) {
		return nil
	}
	go func() {
		p.conn.kill([]*process{p})
		select {
		case <-p.ended:
		case <-time.After(killGrace):
			_ = p.session.Close()
			close(p.aborted)
		}
		p.stdout.cutOff()
		p.stderr.cutOff()
	}()
	return nil
}

// kill kills process groups. The request of the protocol to do so (RFC 4254,
// section 6.9) is refused by sshd for root, so kill(1) is run as well, where the
// group is known. Commands that end with their input are given its end.
func (c *Conn) kill(all []*process) {
	groups := ""
	for _, p := range all {
		_ = p.session.Signal(ssh.SIGKILL)
		p.stdin.Close()
		if group := p.stdout.group(); group > 0 {
			groups += " -" + strconv.Itoa(group)
		}
	}
	if groups == "" {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), killGrace)
	defer cancel()
	s, err := c.session(ctx, c.kills)
	if err != nil {
		return // the guard will do it
	}
	defer func() {
		_ = s.Close()
		_ = c.probe() // as for the slots of commands
		<-c.kills
	}()
	stop := context.AfterFunc(ctx, func() { _ = s.Close() })
	defer stop()
	_ = s.Run("exec /bin/sh -c " + quote("kill -9"+groups+" 2>/dev/null"))
}

// Wait waits for the exit status.
func (p *process) Wait() error {
	select {
	case <-p.ended:
	case <-p.aborted:
		p.err = errors.New("it could not be killed")
	}
	var exit *ssh.ExitError
	switch {
	case p.err == nil:
		return nil
	case p.ctx.Err() != nil:
		return context.Cause(p.ctx)
	case errors.As(p.err, &exit):
		return &transport.ExitError{Code: exit.ExitStatus()} // 128+n for a signal
	case p.killed.Load():
		return &transport.ExitError{Code: 128 + 9}
	}
	if gone := p.conn.Err(); gone != nil {
		return gone
	}
	return lost(p.conn.target, transport.ErrClosed)
}
