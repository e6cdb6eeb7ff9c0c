// Package fake is a transport whose commands are Go functions.
//
// It keeps the contract of package transport to the letter, and passes its
// suite, so that what works over it works over ssh: bounded pipes, ends by
// context, Kill and Close, connections cut in the middle. A command that the
// handler does not know is to fail the test.
package fake

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"

	"github.com/updraft-cloud/updraft/internal/retry"
	"github.com/updraft-cloud/updraft/internal/transport"
)

// Command is one command that was started.
type Command struct {
	Line           string
	Stdin          io.Reader
	Stdout, Stderr io.Writer
}

// Handler runs a command and returns its exit status. When ctx ends, the
// command is to be killed: it returns as soon as it can.
type Handler func(ctx context.Context, c Command) int

// Dialer opens connections to hosts by the target's name.
type Dialer struct {
	mu    sync.Mutex
	hosts map[string]*Host
}

// Host is one host of a [Dialer].
type Host struct {
	// Handler runs the commands.
	Handler Handler
	// DialFrom connects from the host; nil refuses.
	DialFrom func(ctx context.Context, network, addr string) (net.Conn, error)

	mu      sync.Mutex
	refuse  error
	conns   map[*Conn]bool
	connect int
}

// Add adds a host.
func (d *Dialer) Add(name string, h *Host) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.hosts == nil {
		d.hosts = map[string]*Host{}
	}
	d.hosts[name] = h
}

// Connect opens a connection. A host that was not added does not answer.
func (d *Dialer) Connect(ctx context.Context, t transport.Target) (transport.Conn, error) {
	d.mu.Lock()
	h := d.hosts[t.Name]
	d.mu.Unlock()
	if h == nil {
		return nil, retry.Mark(fmt.Errorf("cannot reach %s: no route to host", t.Name), retry.Unreachable)
	}
	if err := ctx.Err(); err != nil {
		return nil, retry.Mark(err, retry.Unreachable)
	}
	return h.open()
}

func (h *Host) open() (transport.Conn, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.connect++
	if h.refuse != nil {
		return nil, h.refuse
	}
	c := New(h.Handler)
	c.dial = h.DialFrom
	if h.conns == nil {
		h.conns = map[*Conn]bool{}
	}
	h.conns[c] = true
	return c, nil
}

// Refuse makes further connections fail with err; nil lets them through again.
func (h *Host) Refuse(err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.refuse = err
}

// Cut cuts all connections, as a power failure does.
func (h *Host) Cut() {
	h.mu.Lock()
	conns := h.conns
	h.conns = nil
	h.mu.Unlock()
	for c := range conns {
		c.end(retry.Mark(fmt.Errorf("%w: cut by the test", transport.ErrClosed), retry.Unreachable))
	}
}

// Connects returns how many times a connection was asked for.
func (h *Host) Connects() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.connect
}

// Conn is one connection.
type Conn struct {
	handler Handler
	dial    func(ctx context.Context, network, addr string) (net.Conn, error)
	ctx     context.Context // ends with the connection
	cancel  context.CancelCauseFunc
	live    sync.WaitGroup
	mu      sync.Mutex
}

// New opens a connection that runs its commands with h.
func New(h Handler) *Conn {
	ctx, cancel := context.WithCancelCause(context.Background())
	return &Conn{handler: h, ctx: ctx, cancel: cancel}
}

// Done is closed when the connection was closed or cut.
func (c *Conn) Done() <-chan struct{} { return c.ctx.Done() }

// Err says why.
func (c *Conn) Err() error { return context.Cause(c.ctx) }

// Close kills all commands and waits for their handlers.
func (c *Conn) Close() error {
	c.end(transport.ErrClosed)
	c.live.Wait()
	return nil
}

func (c *Conn) end(why error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cancel(why)
}

// Dial connects with the host's DialFrom.
func (c *Conn) Dial(ctx context.Context, network, addr string) (net.Conn, error) {
	switch {
	case c.Err() != nil:
		return nil, c.Err()
	case network != "tcp":
		return nil, net.UnknownNetworkError(network)
	case c.dial == nil:
		return nil, errors.New("connection refused")
	}
	return c.dial(ctx, network, addr)
}

// Start calls the handler.
func (c *Conn) Start(ctx context.Context, line string) (transport.Process, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.Err(); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(c.ctx, func() { cancel(c.Err()) })
	p := &process{cancel: cancel, ended: make(chan struct{})}
	p.stdin, p.stdout, p.stderr = newPipe(), newPipe(), newPipe()
	c.live.Go(func() {
		defer stop()
		p.run(ctx, c.handler, line)
	})
	return p, nil
}

type process struct {
	stdin, stdout, stderr *pipe
	cancel                context.CancelCauseFunc
	ended                 chan struct{}
	err                   error
}

var errKilled = errors.New("killed")

func (p *process) run(ctx context.Context, h Handler, line string) {
	// What blocks on a pipe is woken up when the command is killed.
	stop := context.AfterFunc(ctx, func() {
		p.stdin.breakOff()
		p.stdout.breakOff()
		p.stderr.breakOff()
	})
	code := h(ctx, Command{Line: line, Stdin: p.stdin, Stdout: p.stdout, Stderr: p.stderr})
	stop()
	switch cause := context.Cause(ctx); {
	case errors.Is(cause, errKilled):
		p.err = &transport.ExitError{Code: 128 + 9}
	case cause != nil:
		p.err = cause
	case code != 0:
		p.err = &transport.ExitError{Code: code}
	}
	p.stdin.breakOff()
	_ = p.stdout.Close()
	_ = p.stderr.Close()
	close(p.ended)
}

func (p *process) Stdin() io.WriteCloser { return p.stdin }
func (p *process) Stdout() io.Reader     { return p.stdout }
func (p *process) Stderr() io.Reader     { return p.stderr }

func (p *process) Kill() error {
	p.cancel(errKilled)
	return nil
}

func (p *process) Wait() error {
	<-p.ended
	p.cancel(nil)
	return p.err
}
