// Package fleet executes the graph's host scopes: it holds one connection and
// one host agent per host, and hands them what the engine asks for.
//
// It guarantees that a host is entered once and only when needed, that a dead
// connection is noticed and replaced at the next use, and that errors tell the
// engine whether trying again makes sense: a host that does not answer is
// Unreachable, a refused key, credential or sudo password is Permanent. It
// never retries by itself, except that a machine that has just been made, or
// was told to reboot, is waited for.
package fleet

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/updraft-cloud/updraft/internal/drift"
	"github.com/updraft-cloud/updraft/internal/resource"
	"github.com/updraft-cloud/updraft/internal/retry"
	"github.com/updraft-cloud/updraft/internal/transport"
)

// Agent is the host agent at the other end of a connection. Methods may be
// called concurrently. Errors carry a class of package retry.
type Agent interface {
	// Observe returns one report for each resource, in order.
	Observe(ctx context.Context, all []resource.Resource) ([]drift.Report, error)
	// Apply applies and observes again: a nil error means that it is in sync.
	Apply(ctx context.Context, r resource.Resource, found drift.Report, why resource.Cause, log func(string)) error
	Remove(ctx context.Context, r resource.Resource, made bool, log func(string)) error
	Ping(ctx context.Context, addr string) (time.Duration, error)
	Exchange(ctx context.Context, addr string, payload []byte) ([]byte, error)
	// BootID tells this boot of the host from others.
	BootID() string
	Close() error
}

// ErrClock means that a host was refused for its clock.
var ErrClock = errors.New("its clock is wrong")

// Options say how hosts are reached.
type Options struct {
	// Target says how to reach a host by its name.
	Target func(host string) (transport.Target, error)
	Dialer transport.Dialer
	// Start starts the agent over a connection.
	Start func(ctx context.Context, conn transport.Conn, t transport.Target) (Agent, error)
	// Registry decodes what the state remembers.
	Registry *resource.Registry
	// Handshakes bounds how many connections are being made at once (16).
	Handshakes int
	// Clocks is how far a host's clock may be from this computer's; on a host whose
	// clock is further off nothing is looked at or changed. 0 lets any clock pass.
	Clocks time.Duration
	// Patience is how long a machine that is expected may take to answer (2 min).
	Patience time.Duration
}

// Fleet is a set of hosts. It is safe for concurrent use.
type Fleet struct {
	opts  Options
	slots chan struct{}

	mu    sync.Mutex
	hosts map[string]*host
}

// New returns a fleet that has not entered any host yet.
func New(o Options) *Fleet {
	if o.Handshakes == 0 {
		o.Handshakes = 16
	}
	if o.Patience == 0 {
		o.Patience = 2 * time.Minute
	}
	return &Fleet{opts: o, slots: make(chan struct{}, o.Handshakes), hosts: map[string]*host{}}
}

// host is one host, entered or not.
type host struct {
	name string
	// entering is held by whoever is making the session; a channel, so that
	// waiting for it ends with a context.
	entering chan struct{}

	mu       sync.Mutex
	session  *session
	expected time.Time // until when the host may keep us waiting
}

// session is a live connection with, once needed, its agent.
type session struct {
	conn  transport.Conn
	agent Agent
}

func (s *session) alive() bool {
	if s == nil {
		return false
	}
	return !over(s.conn.Done())
}

func over(done <-chan struct{}) bool {
	select {
	case <-done:
		return true
	default:
		return false
	}
}

// served reports whether the agent is there. It may have died by itself, as when
// the host is out of memory.
func (s *session) served() bool {
	if s.agent == nil {
		return false
	}
	mortal, ok := s.agent.(interface{ Done() <-chan struct{} })
	return !ok || !over(mortal.Done())
}

func (s *session) close() {
	if s.agent != nil {
		_ = s.agent.Close() // the connection goes next anyway
	}
	_ = s.conn.Close()
}

func (f *Fleet) host(name string) *host {
	f.mu.Lock()
	defer f.mu.Unlock()
	h := f.hosts[name]
	if h == nil {
		h = &host{name: name, entering: make(chan struct{}, 1)}
		f.hosts[name] = h
	}
	return h
}

// Expect says that the host has just been made or started: until it answers, it
// is waited for.
func (f *Fleet) Expect(name string) {
	h := f.host(name)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.expected = time.Now().Add(f.opts.Patience)
}

// Forget drops the session with a host, as before it is removed.
func (f *Fleet) Forget(name string) {
	h := f.host(name)
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.session != nil {
		h.session.close()
		h.session = nil
	}
}

// Close ends all sessions.
func (f *Fleet) Close() {
	f.mu.Lock()
	hosts := f.hosts
	f.hosts = map[string]*host{}
	f.mu.Unlock()
	var wg sync.WaitGroup
	for _, h := range hosts {
		wg.Go(func() {
			h.mu.Lock()
			defer h.mu.Unlock()
			if h.session != nil {
				h.session.close()
			}
		})
	}
	wg.Wait()
}

// enter returns the session with a host, making it if there is none.
func (f *Fleet) enter(ctx context.Context, name string, agent bool) (*session, error) {
	h := f.host(name)
	select {
	case h.entering <- struct{}{}:
		defer func() { <-h.entering }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	h.mu.Lock()
	s, expected := h.session, h.expected
	h.mu.Unlock()
	if s.alive() && (!agent || s.served()) {
		return s, nil
	}
	s, err := f.make(ctx, name, s, agent, expected)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.session = s
	if err == nil {
		h.expected = time.Time{}
	}
	return s, err
}

// make makes a session, or gives a live one its agent. An expected host is
// tried until it answers.
func (f *Fleet) make(ctx context.Context, name string, s *session, agent bool, expected time.Time) (*session, error) {
	// From 20 ms, since a lab host boots within a few hundred; up to 400 ms,
	// so that a hundred of them do not spend the computer on being asked.
	policy := retry.Policy{First: 20 * time.Millisecond, Most: 400 * time.Millisecond}
	err := policy.Do(ctx, nil, func(ctx context.Context) (err error) {
		if !s.alive() {
			if s != nil {
				s.close()
			}
			if s, err = f.connect(ctx, name); err != nil {
				s = nil
				return f.classify(err, expected)
			}
		}
		if !agent || s.served() {
			return nil
		}
		served, err := f.start(ctx, name, s)
		if err != nil {
			s.close()
			s = nil
			return f.classify(err, expected)
		}
		s = served
		return nil
	})
	if err != nil {
		return nil, mark(err, name)
	}
	return s, nil
}

// classify makes an error final for the policy above unless the host may still
// be on its way.
func (f *Fleet) classify(err error, expected time.Time) error {
	if retry.ClassOf(err) != retry.Permanent && time.Now().Before(expected) {
		return retry.Mark(err, retry.Transient)
	}
	return final{err}
}

// final hides the class of an error from the policy in make; mark restores it.
type final struct{ error }

func mark(err error, name string) error {
	var fin final
	if errors.As(err, &fin) {
		err = fin.error
	}
	class := retry.ClassOf(err)
	if class == retry.Transient {
		class = retry.Unreachable
	}
	return retry.Mark(fmt.Errorf("%w %s: %w", transport.ErrNoEntry, name, err), class)
}

// connect enters a host. A slot is only taken once the host has taken the
// stream, so that hosts that are away do not keep those waiting that are there.
func (f *Fleet) connect(ctx context.Context, name string) (*session, error) {
	t, err := f.opts.Target(name)
	if err != nil {
		return nil, err
	}
	hangUp, err := knock(ctx, &t)
	if err != nil {
		return nil, err
	}
	defer hangUp()
	select {
	case f.slots <- struct{}{}:
		defer func() { <-f.slots }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	conn, err := f.opts.Dialer.Connect(ctx, t)
	if err != nil {
		return nil, err
	}
	return &session{conn: conn}, nil
}

// knock dials the target, and puts the stream in place of its dialler for one
// use. hangUp closes it if it was not used. Behind a jump host there is nothing
// to dial from here.
func knock(ctx context.Context, t *transport.Target) (hangUp func(), err error) {
	if t.Jump != nil || t.Address == "" {
		return func() {}, nil
	}
	dial := t.Dial
	if dial == nil {
		dial = new(net.Dialer).DialContext
	}
	limited, cancel := context.WithTimeout(ctx, cmp.Or(t.ConnectTimeout, dialTimeout))
	defer cancel()
	addr := net.JoinHostPort(t.Address, strconv.Itoa(cmp.Or(t.Port, 22)))
	nc, err := dial(limited, "tcp", addr)
	if err != nil {
		return nil, retry.Mark(fmt.Errorf("cannot reach %s (%s): %w", t.Name, addr, err), retry.Unreachable)
	}
	var unused atomic.Bool
	unused.Store(true)
	t.Dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
		if unused.Swap(false) {
			return nc, nil
		}
		return dial(ctx, network, addr)
	}
	return func() {
		if unused.Swap(false) {
			nc.Close()
		}
	}, nil
}

// dialTimeout is that of a target that has none.
const dialTimeout = 10 * time.Second

// start starts the agent over the session's connection, in place of one that
// has died. The session itself is left as it is, since others may be using it.
func (f *Fleet) start(ctx context.Context, name string, s *session) (*session, error) {
	t, err := f.opts.Target(name)
	if err != nil {
		return nil, err
	}
	a, err := f.opts.Start(ctx, s.conn, t)
	if err != nil {
		return nil, err
	}
	if err := f.clock(name, a); err != nil {
		_ = a.Close()
		return nil, err
	}
	if s.agent != nil {
		_ = s.agent.Close()
	}
	return &session{conn: s.conn, agent: a}, nil
}

// clock refuses a host whose clock is too far off. An agent that does not know its
// host's passes.
func (f *Fleet) clock(name string, a Agent) error {
	c, ok := a.(interface{ Ahead() time.Duration })
	if !ok || f.opts.Clocks == 0 || c.Ahead().Abs() <= f.opts.Clocks {
		return nil
	}
	which, how := "ahead of", c.Ahead()
	if how < 0 {
		which, how = "behind", -how
	}
	return retry.Mark(fmt.Errorf("%w: it is %s %s this computer's, and %s is the most; nothing was done there. "+
		"Set whichever is wrong: updraft exec %s -- date --utc --set=@$(date +%%s) gives the host this computer's time",
		ErrClock, how.Round(time.Second), which, f.opts.Clocks, name), retry.Permanent)
}

// agent returns the agent on a host.
func (f *Fleet) agent(ctx context.Context, name string) (Agent, error) {
	s, err := f.enter(ctx, name, true)
	if err != nil {
		return nil, err
	}
	return s.agent, nil
}

// DialFrom connects from a host to an address that it can reach.
func (f *Fleet) DialFrom(ctx context.Context, name, network, addr string) (net.Conn, error) {
	s, err := f.enter(ctx, name, false)
	if err != nil {
		return nil, err
	}
	return s.conn.Dial(ctx, network, addr)
}

// Ping sends one ICMP echo request from a host.
func (f *Fleet) Ping(ctx context.Context, name, addr string) (time.Duration, error) {
	a, err := f.agent(ctx, name)
	if err != nil {
		return 0, err
	}
	return a.Ping(ctx, addr)
}

// Exchange sends one UDP datagram from a host and returns the answer.
func (f *Fleet) Exchange(ctx context.Context, name, addr string, payload []byte) ([]byte, error) {
	a, err := f.agent(ctx, name)
	if err != nil {
		return nil, err
	}
	return a.Exchange(ctx, addr, payload)
}
