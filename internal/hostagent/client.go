package hostagent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"github.com/updraft-cloud/updraft/internal/drift"
	"github.com/updraft-cloud/updraft/internal/hostagent/proto"
	"github.com/updraft-cloud/updraft/internal/resource"
	"github.com/updraft-cloud/updraft/internal/retry"
	"github.com/updraft-cloud/updraft/internal/transport"
)

// aliveInterval is how often the agent is told that we are there; it gives up
// after four times as long.
const aliveInterval = 15 * time.Second

// cancelGrace is how long a request that was cancelled may take to end before
// it is no longer waited for.
const cancelGrace = 5 * time.Second

// Client is an agent that runs. It is safe for concurrent use: requests go side
// by side.
type Client struct {
	s     *session
	hello proto.Hello
	ahead time.Duration
	out   *proto.Writer
	done  chan struct{}
	wg    sync.WaitGroup
	close sync.Once

	mu    sync.Mutex
	last  uint64
	calls map[uint64]*call
	err   error
}

type call struct {
	log  func(string)
	done chan proto.Reply
}

func newClient(s *session, hello proto.Hello) *Client {
	c := &Client{s: s, hello: hello, out: proto.NewWriter(s.proc.Stdin()), done: make(chan struct{}), calls: map[uint64]*call{}}
	c.wg.Go(c.read)
	c.wg.Go(c.stayAlive)
	return c
}

// Hello returns what the agent said of its host.
func (c *Client) Hello() proto.Hello { return c.hello }

// Ahead is how far the host's clock was ahead of this computer's at least when the
// agent began, negative if it was behind.
func (c *Client) Ahead() time.Duration { return c.ahead }

// Done is closed when the agent is gone; Err then says why.
func (c *Client) Done() <-chan struct{} { return c.done }

// Err returns why the agent is gone, or nil.
func (c *Client) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// Close ends the agent, and with it all requests under way.
func (c *Client) Close() error {
	c.end(transport.ErrClosed)
	c.close.Do(func() { c.s.proc.Stdin().Close() })
	select {
	case <-c.done:
	case <-time.After(cancelGrace):
		_ = c.s.proc.Kill()
	}
	c.wg.Wait()
	c.s.cancel()
	return nil
}

// end notes the first reason.
func (c *Client) end(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err == nil {
		c.err = err
	}
}

// read hands replies to their calls until the agent is gone.
func (c *Client) read() {
	r := proto.NewReader(c.s.stdout)
	var err error
	for err == nil {
		var reply proto.Reply
		if err = r.Read(&reply); err == nil {
			c.deliver(reply)
		}
	}
	status := c.s.abandon()
	c.end(retry.Mark(fmt.Errorf("lost the host agent on %s: %w%s", c.s.o.Host, errors.Join(err, status), c.s.stderr.words()), retry.Unreachable))
	c.mu.Lock()
	defer c.mu.Unlock()
	c.calls = nil
	close(c.done)
}

func (c *Client) deliver(r proto.Reply) {
	c.mu.Lock()
	call := c.calls[r.ID]
	if r.Log == nil {
		delete(c.calls, r.ID)
	}
	c.mu.Unlock()
	switch {
	case call == nil: // nobody waits any more
	case r.Log == nil:
		call.done <- r
	case call.log != nil:
		call.log(*r.Log)
	}
}

func (c *Client) stayAlive() {
	tick := time.NewTicker(aliveInterval)
	defer tick.Stop()
	for {
		select {
		case <-c.done:
			return
		case <-tick.C:
			_ = c.out.Write(proto.Request{Op: proto.OpAlive})
		}
	}
}

// do sends a request and waits for its outcome. When ctx ends, the request is
// cancelled, and waited for as long as it may take to undo itself.
func (c *Client) do(ctx context.Context, op string, body, into any, log func(string)) error {
	data, err := json.Marshal(body)
	if err != nil {
		return fmt.Errorf("cannot encode a request: %w", err)
	}
	k := &call{log: log, done: make(chan proto.Reply, 1)}
	id, err := c.register(k)
	if err != nil {
		return err
	}
	if err := c.out.Write(proto.Request{ID: id, Op: op, Body: data}); err != nil {
		if errors.Is(err, proto.ErrTooLarge) {
			return err
		}
		return c.lost()
	}
	select {
	case reply := <-k.done:
		return outcome(reply, into)
	case <-c.done:
		return c.lost()
	case <-ctx.Done():
		c.cancel(id, k)
		return retry.Mark(context.Cause(ctx), retry.Unreachable)
	}
}

func (c *Client) register(k *call) (uint64, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil || c.calls == nil {
		return 0, retry.Mark(errors.Join(c.err), retry.Unreachable)
	}
	c.last++
	c.calls[c.last] = k
	return c.last, nil
}

// cancel cancels a request and waits a while for its end.
func (c *Client) cancel(id uint64, k *call) {
	_ = c.out.Write(proto.Request{ID: id, Op: proto.OpCancel})
	select {
	case <-k.done:
	case <-c.done:
	case <-time.After(cancelGrace):
	}
}

// lost returns why the agent is gone. Writing may have failed before reading.
func (c *Client) lost() error {
	_ = c.s.proc.Kill()
	<-c.done
	return retry.Mark(c.Err(), retry.Unreachable)
}

func outcome(r proto.Reply, into any) error {
	switch {
	case r.Err != nil:
		return retry.Mark(errors.New(r.Err.Msg), retry.Class(min(r.Err.Class, uint8(retry.Unreachable))))
	case into == nil:
		return nil
	}
	if err := json.Unmarshal(r.Body, into); err != nil {
		return fmt.Errorf("cannot decode a reply: %w", err)
	}
	return nil
}

// encode makes an item of a resource.
func encode(r resource.Resource) (proto.Item, error) {
	body, err := json.Marshal(r)
	if err != nil {
		return proto.Item{}, fmt.Errorf("cannot encode %s: %w", resource.Ref(r), err)
	}
	return proto.Item{Kind: r.Kind(), Body: body}, nil
}

// Observe compares resources with the host, in one round trip. The payload of
// those that can do without stays here (resource.Probe).
func (c *Client) Observe(ctx context.Context, all []resource.Resource, log func(string)) ([]drift.Report, error) {
	req := proto.ObserveRequest{Items: make([]proto.Item, len(all))}
	for i, r := range all {
		var err error
		if req.Items[i], err = encode(resource.Probe(r)); err != nil {
			return nil, err
		}
	}
	var reply proto.ObserveReply
	if err := c.do(ctx, proto.OpObserve, req, &reply, log); err != nil {
		return nil, err
	}
	reports := make([]drift.Report, len(all))
	for i := range reports {
		reports[i].Status = drift.InSync
	}
	for i, r := range reply.Reports {
		if i < 0 || i >= len(reports) {
			return nil, fmt.Errorf("cannot decode a reply: a report on resource %d of %d", i, len(all))
		}
		reports[i] = r
	}
	return reports, nil
}

// Apply makes the host agree with a resource. Without an error it does, unless
// the resource takes the host down.
func (c *Client) Apply(ctx context.Context, r resource.Resource, found drift.Report, why resource.Cause, log func(string)) error {
	item, err := encode(r)
	if err != nil {
		return err
	}
	return c.do(ctx, proto.OpApply, proto.ApplyRequest{Item: item, Found: found, Cause: why}, nil, log)
}

// Remove takes a resource back. body is what resource.Removal was encoded to.
func (c *Client) Remove(ctx context.Context, kind string, body json.RawMessage, made bool, log func(string)) error {
	req := proto.RemoveRequest{Item: proto.Item{Kind: kind, Body: body}, Made: made}
	return c.do(ctx, proto.OpRemove, req, nil, log)
}

// Ping sends one ICMP echo from the host and returns how long the answer took.
// No answer is a transient error.
func (c *Client) Ping(ctx context.Context, addr netip.Addr, timeout time.Duration) (time.Duration, error) {
	var reply proto.PingReply
	err := c.do(ctx, proto.OpPing, proto.PingRequest{Addr: addr.String(), Timeout: int64(timeout)}, &reply, nil)
	return time.Duration(reply.RTT), err
}

// Exchange sends one UDP datagram from the host and returns the one that comes
// back. No answer is a transient error.
func (c *Client) Exchange(ctx context.Context, addr netip.AddrPort, data []byte, timeout time.Duration) ([]byte, time.Duration, error) {
	var reply proto.ExchangeReply
	err := c.do(ctx, proto.OpExchange, proto.ExchangeRequest{Addr: addr.String(), Data: data, Timeout: int64(timeout)}, &reply, nil)
	return reply.Data, time.Duration(reply.RTT), err
}

// Facts returns what else is known of the host.
func (c *Client) Facts(ctx context.Context) (proto.Facts, error) {
	var f proto.Facts
	err := c.do(ctx, proto.OpFacts, nil, &f, nil)
	return f, err
}
