package store

import (
	"context"
	"sync"
	"time"
)

// gate refuses writes at once while etcd is known not to take them, so that
// callers do not all wait for the same silence.
type gate struct {
	mu    sync.Mutex
	cause error
	since time.Time
	opts  Options
	wake  chan struct{}
}

func newGate(o Options) *gate { return &gate{opts: o, wake: make(chan struct{}, 1)} }

func (g *gate) refuse() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.cause == nil {
		return nil
	}
	return &UnavailableError{Reason: "no majority of its members answers", RetryAfter: g.opts.RetryAfter, Err: g.cause}
}

func (g *gate) shut(err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.cause == nil {
		g.since = time.Now()
		g.opts.Log.Error("the store takes no writes", "error", err)
	}
	g.cause = err
	select {
	case g.wake <- struct{}{}:
	default:
	}
}

func (g *gate) open() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.cause != nil {
		g.opts.Log.Info("the store takes writes again", "after", time.Since(g.since))
	}
	g.cause = nil
}

func (g *gate) isShut() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.cause != nil
}

// probe opens the gate as soon as etcd answers again.
func (g *gate) probe(ctx context.Context, ask func(context.Context) error) {
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
			return
		case <-g.wake:
		}
		for ctx.Err() == nil && g.isShut() {
			if ask(ctx) == nil {
				g.open()
				break
			}
			pause(ctx, g.opts.RetryInterval)
		}
	}
}
