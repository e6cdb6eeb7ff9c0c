package auth

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"sync"
	"time"
)

const (
	// refuseFor is for how long a token that was refused is refused unasked.
	// It is short: a token may be validated before all Keystones know it.
	refuseFor = 2 * time.Second
	// maxEntries bounds the memory that tokens take, about 5 MB.
	maxEntries = 10_000
)

// cache keeps the answers of ask by token. One goroutine asks for a token, all
// who want it wait. An answer in the second half of its time is renewed in the
// background, so that nobody waits for a token in steady use.
type cache struct {
	hold time.Duration
	ask  func(token string) (*Identity, error)
	now  func() time.Time

	running sync.WaitGroup

	mu      sync.Mutex
	entries map[[sha256.Size]byte]*entry
}

// entry is what is known of a token. Tokens are not kept, only their hashes: a
// core dump shall not hold what lets people in.
type entry struct {
	ready   chan struct{} // closed when the first answer is there
	asking  bool
	id      *Identity
	err     error
	renewAt time.Time
	until   time.Time
}

func newCache(hold time.Duration, ask func(string) (*Identity, error)) *cache {
	return &cache{hold: hold, ask: ask, now: time.Now, entries: map[[sha256.Size]byte]*entry{}}
}

func (c *cache) get(ctx context.Context, token string) (*Identity, error) {
	key := sha256.Sum256([]byte(token))
	e := c.entry(key, token)
	if e == nil {
		return nil, fmt.Errorf("%w: too many tokens are being asked for", ErrUnavailable)
	}
	select {
	case <-e.ready:
	default:
		select {
		case <-e.ready:
		case <-ctx.Done():
			return nil, errors.Join(ErrUnavailable, ctx.Err())
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return e.id, e.err
}

// entry returns the entry of a token, and has it asked for if need be; nil when
// there is no room for one more.
func (c *cache) entry(key [sha256.Size]byte, token string) *entry {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.now()
	e, ok := c.entries[key]
	if ok && e.answered() && now.After(e.until) {
		ok = false
	}
	if !ok {
		if !c.makeRoom(now) {
			return nil
		}
		e = &entry{ready: make(chan struct{})}
		c.entries[key] = e
	}
	if !e.asking && (!e.answered() || now.After(e.renewAt) && e.err == nil) {
		e.asking = true
		c.running.Go(func() { c.settle(key, e, token) })
	}
	return e
}

// settle asks, and writes the answer down.
func (c *cache) settle(key [sha256.Size]byte, e *entry, token string) {
	id, err := c.ask(token)
	c.mu.Lock()
	defer c.mu.Unlock()
	e.asking = false
	now := c.now()
	first := !e.answered()
	if !first && errors.Is(err, ErrUnavailable) {
		e.renewAt = now.Add(time.Second)
		return // what is known still holds, until its time is over
	}
	e.id, e.err = id, err
	switch {
	case err == nil:
		e.until = now.Add(c.hold)
		if id.Expires.Before(e.until) {
			e.until = id.Expires
		}
		e.renewAt = now.Add(c.hold / 2)
	case errors.Is(err, ErrUnavailable):
		if c.entries[key] == e {
			delete(c.entries, key) // those who wait get the error, the next one asks
		}
	default:
		e.until = now.Add(min(refuseFor, c.hold))
	}
	if first {
		close(e.ready)
	}
}

// makeRoom keeps the number of entries bounded: those that are over go first, then
// any, but for those that are being asked for.
func (c *cache) makeRoom(now time.Time) bool {
	if len(c.entries) < maxEntries {
		return true
	}
	for k, e := range c.entries {
		if e.answered() && now.After(e.until) {
			delete(c.entries, k)
		}
	}
	for k, e := range c.entries {
		if len(c.entries) < maxEntries*3/4 {
			break
		}
		if e.answered() {
			delete(c.entries, k)
		}
	}
	return len(c.entries) < maxEntries
}

// wait returns when no question is under way.
func (c *cache) wait() { c.running.Wait() }

func (e *entry) answered() bool {
	select {
	case <-e.ready:
		return true
	default:
		return false
	}
}
