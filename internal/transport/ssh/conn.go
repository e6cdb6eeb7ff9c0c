package ssh

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/updraft-cloud/updraft/internal/retry"
	"github.com/updraft-cloud/updraft/internal/transport"
)

// Conn is one connection.
type Conn struct {
	client  *ssh.Client
	target  transport.Target
	release func() // of the jump host

	done  chan struct{}
	watch sync.WaitGroup
	mu    sync.Mutex
	why   error                 // why the connection ended, once it was decided
	live  map[*process]struct{} // commands under way
	slots chan struct{}         // one taken by each of them
	kills chan struct{}         // one taken by each kill
}

func newConn(client *ssh.Client, t transport.Target, release func()) *Conn {
	c := &Conn{
		client: client, target: t, release: release,
		done: make(chan struct{}), live: map[*process]struct{}{},
		slots: make(chan struct{}, maxCommands), kills: make(chan struct{}, maxKills),
	}
	c.watch.Go(func() {
		err := client.Wait()
		c.end(lost(t, fmt.Errorf("%w by the host: %w", transport.ErrClosed, err)))
		close(c.done)
		release()
	})
	c.watch.Go(func() {
		keepAlive(t.KeepAlive, c.done, c.probe, func() {
			c.end(lost(t, fmt.Errorf("%w: the host has not answered for %s", transport.ErrClosed, missesAllowed*t.KeepAlive)))
			_ = client.Close()
		})
	})
	return c
}

func lost(t transport.Target, err error) error {
	return retry.Mark(fmt.Errorf("lost %s: %w", describe(t), err), retry.Unreachable)
}

// end notes why the connection ended; the first reason stays.
func (c *Conn) end(why error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.why == nil {
		c.why = why
	}
}

// Done is closed when the connection is gone.
func (c *Conn) Done() <-chan struct{} { return c.done }

// Err says why the connection is gone, or is about to.
func (c *Conn) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.why
}

// Close kills what runs and closes the connection. It does not wait long for a
// host that may be dead; the guards do the rest.
func (c *Conn) Close() error {
	c.mu.Lock()
	live := slices.Collect(maps.Keys(c.live))
	c.mu.Unlock()
	if len(live) > 0 && c.Err() == nil {
		killed := make(chan struct{})
		go func() {
			defer close(killed)
			c.kill(live)
		}()
		select {
		case <-killed:
		case <-c.done:
		case <-time.After(closeGrace):
		}
	}
	c.end(transport.ErrClosed)
	err := c.client.Close()
	c.watch.Wait()
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

const closeGrace = time.Second

// Dial connects from the host. A host that forbids it is a permanent error; an
// address that it cannot reach is not, since that may yet come up.
func (c *Conn) Dial(ctx context.Context, network, addr string) (net.Conn, error) {
	if network != "tcp" {
		return nil, net.UnknownNetworkError(network)
	}
	if err := c.Err(); err != nil {
		return nil, err
	}
	nc, err := c.client.DialContext(ctx, network, addr)
	if err == nil {
		return nc, nil
	}
	if gone := c.Err(); gone != nil {
		return nil, gone
	}
	err = fmt.Errorf("cannot connect from %s to %s: %w", describe(c.target), addr, err)
	var refused *ssh.OpenChannelError
	if errors.As(err, &refused) && refused.Reason == ssh.Prohibited {
		return nil, err
	}
	return nil, retry.Mark(err, retry.Unreachable)
}

// missesAllowed is how many probes in a row may go without an answer.
const missesAllowed = 3

func (c *Conn) probe() error {
	_, _, err := c.client.SendRequest("keepalive@openssh.com", true, nil)
	return err
}

// keepAlive probes the other side until done is closed, and calls dead when it
// has missed too many. Any answer will do, also a refusal.
func keepAlive(interval time.Duration, done <-chan struct{}, probe func() error, dead func()) {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	var answer chan struct{} // nil when no probe is out
	for misses := 0; ; {
		select {
		case <-done:
			return
		case <-answer:
			answer, misses = nil, 0
		case <-tick.C:
			if answer == nil {
				answer = make(chan struct{})
				go func(a chan<- struct{}) {
					_ = probe() // a refusal is an answer, too
					close(a)
				}(answer)
				continue
			}
			if misses++; misses == missesAllowed {
				dead()
				return
			}
		}
	}
}
