// Package local is the transport to the computer that updraft runs on.
//
// A command runs by /bin/sh in a process group of its own, which is killed as a
// whole when its context ends, Kill is called or the connection is closed. A
// command that leaves its process group on purpose is beyond reach.
package local

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"sync"
	"syscall"

	"github.com/updraft-cloud/updraft/internal/transport"
)

// Dialer opens connections to this computer, whatever the target's address.
type Dialer struct{}

// Connect never fails.
func (Dialer) Connect(context.Context, transport.Target) (transport.Conn, error) { return New(), nil }

// Conn is a connection to this computer.
type Conn struct {
	ctx   context.Context // ends with the connection
	close context.CancelFunc
	live  sync.WaitGroup
	mu    sync.Mutex // orders Start before Close
}

// New opens a connection.
func New() *Conn {
	ctx, cancel := context.WithCancel(context.Background())
	return &Conn{ctx: ctx, close: cancel}
}

// Done is closed by Close.
func (c *Conn) Done() <-chan struct{} { return c.ctx.Done() }

// Err returns ErrClosed after Close.
func (c *Conn) Err() error {
	if c.ctx.Err() != nil {
		return transport.ErrClosed
	}
	return nil
}

// Close kills all that runs and waits for its end.
func (c *Conn) Close() error {
	c.mu.Lock()
	c.close()
	c.mu.Unlock()
	c.live.Wait()
	return nil
}

// Dial connects from this computer.
func (c *Conn) Dial(ctx context.Context, network, addr string) (net.Conn, error) {
	if network != "tcp" {
		return nil, net.UnknownNetworkError(network)
	}
	if c.Err() != nil {
		return nil, transport.ErrClosed
	}
	return new(net.Dialer).DialContext(ctx, network, addr)
}

// Start runs a command line.
func (c *Conn) Start(ctx context.Context, line string) (transport.Process, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.Err() != nil {
		return nil, transport.ErrClosed
	}
	p, err := start(line)
	if err != nil {
		return nil, fmt.Errorf("cannot run a command on this computer: %w", err)
	}
	c.live.Go(func() { p.reap(ctx, c.ctx) })
	return p, nil
}

type process struct {
	cmd            *exec.Cmd
	stdin          *os.File
	stdout, stderr *os.File
	kill           chan struct{}
	killOnce       sync.Once
	ended          chan struct{}
	err            error
}

// start makes the pipes itself: those of package exec would be closed by Wait
// before the reader has seen everything.
func start(line string) (*process, error) {
	p := &process{cmd: exec.Command("/bin/sh", "-c", line), kill: make(chan struct{}), ended: make(chan struct{})}
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	var theirs [3]*os.File
	var err error
	if theirs[0], p.stdin, err = os.Pipe(); err == nil {
		if p.stdout, theirs[1], err = os.Pipe(); err == nil {
			p.stderr, theirs[2], err = os.Pipe()
		}
	}
	if err == nil {
		p.cmd.Stdin, p.cmd.Stdout, p.cmd.Stderr = theirs[0], theirs[1], theirs[2]
		err = p.cmd.Start()
	}
	for _, f := range theirs {
		f.Close() // nil is fine
	}
	if err != nil {
		p.closePipes()
		return nil, err
	}
	return p, nil
}

func (p *process) closePipes() {
	for _, f := range []*os.File{p.stdin, p.stdout, p.stderr} {
		f.Close()
	}
}

// reap kills the group when one of the contexts ends, and collects the shell.
func (p *process) reap(ctx, conn context.Context) {
	waited := make(chan error, 1)
	go func() { waited <- p.cmd.Wait() }()
	select {
	case p.err = <-waited:
	case <-ctx.Done():
		p.err = p.end(waited, context.Cause(ctx))
	case <-conn.Done():
		p.err = p.end(waited, transport.ErrClosed)
		p.stdout.Close() // a grandchild may hold the other end
		p.stderr.Close()
	case <-p.kill:
		p.err = p.end(waited, nil)
	}
	close(p.ended)
}

// end kills the process group and returns why, or how the command ended.
func (p *process) end(waited <-chan error, why error) error {
	_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL)
	err := <-waited
	if why != nil {
		return why
	}
	return err
}

func (p *process) Stdin() io.WriteCloser { return p.stdin }
func (p *process) Stdout() io.Reader     { return p.stdout }
func (p *process) Stderr() io.Reader     { return p.stderr }

func (p *process) Kill() error {
	p.killOnce.Do(func() { close(p.kill) })
	return nil
}

func (p *process) Wait() error {
	<-p.ended
	p.closePipes()
	var exit *exec.ExitError
	if !errors.As(p.err, &exit) {
		return p.err
	}
	if ws, ok := exit.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
		return &transport.ExitError{Code: 128 + int(ws.Signal())}
	}
	return &transport.ExitError{Code: exit.ExitCode()}
}
