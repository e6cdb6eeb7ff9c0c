package control

import (
	"context"
	"errors"
	"hash/fnv"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/updraft-cloud/updraft/internal/lb/model"
	"github.com/updraft-cloud/updraft/internal/lb/store"
)

const (
	shardClaims      = "shard/"
	controllerClaims = "controller/"

	// sessionLife is how long a controller that was killed keeps its shards.
	sessionLife = 3 * time.Second
	// balanceEvery is how often a controller looks whether it has its share.
	balanceEvery = 250 * time.Millisecond
)

// shards are the parts of all load balancers. A controller has claims on some.
type shards struct {
	store *store.Store
	name  string
	count int
	names []string

	address string // of heartbeats; "" for none

	mu      sync.RWMutex
	session *store.Session
	held    map[string]*store.Held
	told    bool // the address is claimed
}

func newShards(s *store.Store, name string, count int) *shards {
	h := &shards{store: s, name: name, count: count, held: map[string]*store.Held{}}
	for i := range count {
		h.names = append(h.names, shardClaims+strconv.Itoa(i))
	}
	return h
}

// at names where this controller takes heartbeats.
func (s *shards) at(address string) *shards {
	s.address = address
	return s
}

// of returns the shard of a load balancer.
func (s *shards) of(lb string) string {
	h := fnv.New32a()
	_, _ = h.Write([]byte(lb)) // never fails
	return s.names[h.Sum32()%uint32(s.count)]
}

// mine reports whether this controller has the shard of a load balancer. It may
// be wrong for a moment: what counts is fence.
func (s *shards) mine(lb string) bool { return s.has(s.of(lb)) }

func (s *shards) has(shard string) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.held[shard] != nil
}

// number returns how many shards this controller has.
func (s *shards) number() int {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return len(s.held)
}

// fence makes a transaction fail if the shard is no longer this controller's.
func (s *shards) fence(tx *store.Tx, lb string) error { return s.fenceShard(tx, s.of(lb)) }

func (s *shards) fenceShard(tx *store.Tx, shard string) error {
	s.mu.RLock()
	h := s.held[shard]
	s.mu.RUnlock()
	if h == nil {
		return store.ErrFenced
	}
	return tx.Fence(h)
}

// run keeps this controller's share until the context ends.
func (s *shards) run(ctx context.Context, acquired, lost func(string)) error {
	for {
		s.balance(ctx, acquired, lost)
		s.mu.RLock()
		session := s.session
		s.mu.RUnlock()
		var gone <-chan struct{}
		if session != nil {
			gone = session.Lost()
		}
		select {
		case <-ctx.Done():
			return nil
		case <-gone:
			s.forget(lost)
		case <-time.After(balanceEvery):
		}
	}
}

// forget drops all claims: the session that they belong to is over.
func (s *shards) forget(lost func(string)) {
	s.mu.Lock()
	held := s.held
	s.session, s.held, s.told = nil, map[string]*store.Held{}, false
	s.mu.Unlock()
	for name := range held {
		lost(name)
	}
}

// balance takes what this controller misses of its share, or gives back what it
// has too many, one at a time so that the others see it.
func (s *shards) balance(ctx context.Context, acquired, lost func(string)) {
	session, err := s.ensure(ctx)
	if err != nil {
		return // etcd is away: there is nothing to do but to try again
	}
	s.tell(ctx, session)
	controllers := max(1, len(s.store.View().Claims(controllerClaims)))
	share := (s.count + controllers - 1) / controllers
	for _, name := range s.names {
		n, has := s.number(), s.has(name)
		switch {
		case has && n > share:
			s.giveBack(ctx, name, lost)
		case !has && n < share && !s.taken(name):
			h, err := session.Claim(ctx, name)
			var other *store.ClaimedError
			if errors.As(err, &other) {
				continue
			}
			if err != nil {
				return
			}
			s.mu.Lock()
			s.held[name] = h
			s.mu.Unlock()
			acquired(name)
		}
	}
}

// tell claims the address of this controller. Before it was killed, it may have
// had the same, which is free when that session ends.
func (s *shards) tell(ctx context.Context, session *store.Session) {
	if s.address == "" || s.told {
		return
	}
	_, err := session.Claim(ctx, receiverClaims+s.address)
	s.told = err == nil
}

// taken reports whether somebody has the shard, as far as is known here.
func (s *shards) taken(name string) bool {
	c := s.store.View().Claims(name)
	return len(c) > 0 && c[0].Name == name
}

// ensure returns the session, which is begun if there is none. The claim by which
// controllers count each other has a name of its own for every session, because
// that of a controller that was killed stays for a while.
func (s *shards) ensure(ctx context.Context) (*store.Session, error) {
	s.mu.RLock()
	session := s.session
	s.mu.RUnlock()
	if session != nil {
		return session, nil
	}
	session, err := s.store.NewSession(ctx, s.name, sessionLife)
	if err != nil {
		return nil, err
	}
	if _, err := session.Claim(ctx, controllerClaims+s.name+"/"+model.NewID()); err != nil {
		return nil, errors.Join(err, session.Close(ctx))
	}
	s.mu.Lock()
	s.session = session
	s.mu.Unlock()
	return session, nil
}

func (s *shards) giveBack(ctx context.Context, name string, lost func(string)) {
	s.mu.Lock()
	h := s.held[name]
	delete(s.held, name)
	s.mu.Unlock()
	lost(name)
	if h != nil {
		_ = h.Release(ctx) // if it fails, it goes with the session
	}
}

// release ends the session, so that others need not wait for its end.
func (s *shards) release(ctx context.Context) error {
	s.mu.Lock()
	session := s.session
	s.session, s.held = nil, map[string]*store.Held{}
	s.mu.Unlock()
	if session == nil {
		return nil
	}
	return session.Close(ctx)
}

// Controllers returns the names of the controllers that are alive.
func Controllers(s *store.Snapshot) []string {
	var out []string
	for _, c := range s.Claims(controllerClaims) {
		name, _, _ := strings.Cut(strings.TrimPrefix(c.Name, controllerClaims), "/")
		out = append(out, name)
	}
	return out
}
