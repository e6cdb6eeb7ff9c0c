package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/updraft-cloud/updraft/internal/lb/model"
)

// request is one call of Update.
type request struct {
	ctx  context.Context
	fn   func(*Tx) error
	done chan error
	// fresh is the revision from which on an error of fn is final.
	fresh int64
	tries int
	// solo is a request that did not fit into a transaction together with others.
	solo bool
}

// turn is one run of a request's function.
type turn struct {
	req *request
	tx  *Tx
	err error
}

// Update runs a transaction: it calls fn, possibly several times, and commits
// what fn did, unless fn returns an error, which is then Update's. When Update
// returns nil, View shows the change.
func (s *Store) Update(ctx context.Context, fn func(*Tx) error) error {
	if err := s.gate.refuse(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, s.opts.WriteTimeout)
	defer cancel()
	r := &request{ctx: ctx, fn: fn, done: make(chan error, 1)}
	select {
	case s.queue <- r:
	case <-s.ctx.Done():
		return ErrClosed
	case <-ctx.Done():
		return s.late(ctx)
	}
	select {
	case err := <-r.done:
		return err
	case <-s.ctx.Done():
		return ErrClosed
	case <-ctx.Done():
		return s.late(ctx)
	}
}

// late explains a transaction that did not end in time, or whose caller went.
func (s *Store) late(ctx context.Context) error {
	if errors.Is(ctx.Err(), context.Canceled) {
		return ctx.Err()
	}
	return &UnavailableError{Reason: "it did not answer in time", RetryAfter: s.opts.RetryAfter, Uncertain: true, Err: ctx.Err()}
}

// commits is the goroutine that runs all transactions.
func (s *Store) commits() {
	var again []*request
	for {
		group, ok := s.gather(again)
		if !ok {
			return
		}
		again = s.commit(group)
	}
}

// gather waits for a request and takes along what else is there.
func (s *Store) gather(group []*request) ([]*request, bool) {
	if len(group) == 0 {
		select {
		case r := <-s.queue:
			group = append(group, r)
		case <-s.ctx.Done():
			return nil, false
		}
	}
	for len(group) < s.limits.requests {
		select {
		case r := <-s.queue:
			group = append(group, r)
			continue
		default:
		}
		break
	}
	return group, s.ctx.Err() == nil
}

// commit runs the functions of a group and commits what they did. It returns the
// requests that must run again.
func (s *Store) commit(group []*request) []*request {
	base := s.index.cur.Load()
	turns, rest := s.run(base, group)
	var send []*part
	var failed []*turn
	for _, p := range parts(turns) {
		if len(p.ops) > 0 {
			send = append(send, p)
			continue
		}
		failed = append(failed, p.turns...)
	}
	again := s.send(base, send)
	again = append(again, s.confirm(base, failed)...)
	return append(again, rest...)
}

// run calls the functions one after the other. Those for which there is no more
// room in one transaction are returned as they are.
func (s *Store) run(base *Snapshot, group []*request) ([]*turn, []*request) {
	changes := newOverlay()
	keys := 0
	var turns []*turn
	for i, r := range group {
		if keys > s.limits.keys || len(turns) > 0 && (r.solo || turns[0].req.solo) {
			return turns, group[i:]
		}
		if r.ctx.Err() != nil {
			r.done <- s.late(r.ctx)
			continue
		}
		t := &turn{req: r, tx: newTx(base, changes, s.opts.Quota)}
		r.tries++
		if t.err = call(r.fn, t.tx); t.err != nil {
			t.tx.mine = newOverlay()
		} else {
			t.tx.seal()
			changes.merge(t.tx.mine)
		}
		keys += len(t.tx.keys())
		turns = append(turns, t)
	}
	return turns, nil
}

// call runs a function; one that panics fails alone.
func call(fn func(*Tx) error, tx *Tx) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the transaction panicked: %v", p)
		}
	}()
	return fn(tx)
}

// part is a set of turns that have keys in common, directly or through others.
// It is committed, or not, as a whole.
type part struct {
	turns []*turn
	ops   map[string]op
	heads map[string]struct{}
	fence map[string]int64
	alone bool
}

// parts divides turns into independent parts: two turns belong together when one
// changed what the other changed or read.
func parts(turns []*turn) []*part {
	written := map[string]bool{}
	for _, t := range turns {
		for k := range t.tx.mine.ops {
			written[k] = true
		}
	}
	owner := map[string]*turn{}
	sets := disjoint{}
	for _, t := range turns {
		for _, k := range t.tx.keys() {
			if first, ok := owner[k]; ok && written[k] {
				sets.union(first, t)
			} else if !ok {
				owner[k] = t
			}
		}
	}
	byRoot := map[*turn]*part{}
	var out []*part
	for _, t := range turns {
		root := sets.find(t)
		p := byRoot[root]
		if p == nil {
			p = &part{ops: map[string]op{}, heads: map[string]struct{}{}, fence: map[string]int64{}}
			byRoot[root] = p
			out = append(out, p)
		}
		p.add(t)
	}
	return out
}

func (p *part) add(t *turn) {
	p.turns = append(p.turns, t)
	for k, o := range t.tx.mine.ops {
		p.ops[k] = o
	}
	for k := range t.tx.heads {
		p.heads[k] = struct{}{}
	}
	for k, v := range t.tx.fences {
		p.fence[k] = v
	}
	p.alone = p.alone || t.tx.alone
}

// disjoint are disjoint sets of turns; a turn that is not in it is a set.
type disjoint map[*turn]*turn

func (d disjoint) find(t *turn) *turn {
	for d[t] != nil {
		t = d[t]
	}
	return t
}

func (d disjoint) union(a, b *turn) {
	if a, b = d.find(a), d.find(b); a != b {
		d[b] = a
	}
}

// events are the changes of a part as the index takes them in.
func (p *part) events(base *Snapshot, rev int64) []event {
	out := make([]event, 0, len(p.ops))
	for k, o := range p.ops {
		e := event{key: k, value: o.value, rev: rev, created: rev, deleted: o.deleted}
		if old, ok := base.misc.Get(entry{key: k}); ok {
			e.created = old.created
		}
		if id := parseKey(k); id.kind.IsChild() {
			_, known := base.homes.Get(home{id: id.id})
			e.fresh = !known
		}
		out = append(out, e)
	}
	return out
}

// answer tells those who wait. An error among them was decided on what the
// transaction compared, so it counts.
func (p *part) answer() {
	for _, t := range p.turns {
		t.req.done <- t.err
	}
}

func requestsOf(parts []*part) []*request {
	var out []*request
	for _, p := range parts {
		for _, t := range p.turns {
			out = append(out, t.req)
		}
	}
	return out
}

// confirm answers turns that changed nothing: those that failed, and those that
// only read. They count if the state they saw was the latest at some time after
// the request came in; else they run again on a newer one.
func (s *Store) confirm(base *Snapshot, turns []*turn) []*request {
	var open []*turn
	for _, t := range turns {
		if t.req.fresh > 0 && base.Rev >= t.req.fresh {
			t.req.done <- t.err
		} else {
			open = append(open, t)
		}
	}
	if len(open) == 0 {
		return nil
	}
	rev, err := s.latest(s.ctx)
	if err != nil {
		for _, t := range open {
			t.req.done <- err
		}
		return nil
	}
	if base.Rev >= rev {
		for _, t := range open {
			t.req.done <- t.err
		}
		return nil
	}
	return s.later(open, rev)
}

// later returns requests to run again on a state that has a revision.
func (s *Store) later(turns []*turn, rev int64) []*request {
	ctx, cancel := context.WithTimeout(s.ctx, s.opts.WriteTimeout)
	defer cancel()
	_, _ = s.index.wait(ctx, rev) // too late is seen by the request itself
	var out []*request
	for _, t := range turns {
		t.req.fresh = rev
		out = append(out, t.req)
	}
	return out
}

// Fence makes a transaction fail with [ErrFenced] when a claim is not held any
// more at its commit.
func (tx *Tx) Fence(c *Held) error {
	key := keyOf(model.KindClaim, model.Place{ID: c.Name})
	if e, ok := tx.base.misc.Get(entry{key: key}); !ok || e.created != c.Token {
		return ErrFenced
	}
	tx.fences[key] = c.Token
	return nil
}

// backoff is how long a request that lost against another process waits: at
// random, so that two processes do not stay in step.
func backoff(tries int, random float64) time.Duration {
	ms := min(1<<min(tries, 6), 50)
	return time.Duration(random * float64(ms) * float64(time.Millisecond))
}
