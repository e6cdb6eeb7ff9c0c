package store

import (
	"context"
	"sync"

	"github.com/updraft-cloud/updraft/internal/lb/model"
)

// Feed tells which objects changed. What changed more than once between two
// calls of Next is told once, so a slow reader costs nothing; a load balancer is
// told for changes of all that is below it.
type Feed struct {
	mu      sync.Mutex
	changed map[model.Ref]struct{}
	signal  chan struct{}
	drop    func()
}

// Watch returns a feed of what changes from now on. A reader that takes View
// after it misses nothing. Close it.
func (s *Store) Watch() *Feed {
	f := &Feed{changed: map[model.Ref]struct{}{}, signal: make(chan struct{}, 1)}
	x := s.index
	x.mu.Lock()
	defer x.mu.Unlock()
	x.feeds[f] = struct{}{}
	f.drop = func() {
		x.mu.Lock()
		defer x.mu.Unlock()
		delete(x.feeds, f)
	}
	return f
}

// Next waits until something has changed and returns it, in no order. Records,
// claims, quotas, counters and what operators define are told too.
func (f *Feed) Next(ctx context.Context) ([]model.Ref, error) {
	for {
		if out := f.take(); len(out) > 0 {
			return out, nil
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-f.signal:
		}
	}
}

// Close ends the feed.
func (f *Feed) Close() { f.drop() }

func (f *Feed) take() []model.Ref {
	f.mu.Lock()
	defer f.mu.Unlock()
	out := make([]model.Ref, 0, len(f.changed))
	for r := range f.changed {
		out = append(out, r)
	}
	f.changed = map[model.Ref]struct{}{}
	return out
}

func (f *Feed) add(changed map[model.Ref]struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for r := range changed {
		f.changed[r] = struct{}{}
	}
	select {
	case f.signal <- struct{}{}:
	default:
	}
}
