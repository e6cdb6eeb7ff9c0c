package control

import (
	"errors"
	"sync/atomic"
	"time"
)

// Metrics are counters of what a controller did.
type Metrics struct {
	Passes, Failures, Condemned, HeldBack, Heartbeats atomic.Int64
	// Nanoseconds is the time that all passes took.
	Nanoseconds atomic.Int64
	// Silent of Watched amphorae were not heard of for too long.
	Silent, Watched atomic.Int64
}

func (m *Metrics) pass(d time.Duration, err error) {
	m.Passes.Add(1)
	m.Nanoseconds.Add(int64(d))
	if err != nil && !errors.Is(err, errAgain) {
		m.Failures.Add(1)
	}
}

func (m *Metrics) condemned() { m.Condemned.Add(1) }
func (m *Metrics) heldBack()  { m.HeldBack.Add(1) }
func (m *Metrics) heartbeat() { m.Heartbeats.Add(1) }

func (m *Metrics) silent(silent, all int) {
	m.Silent.Store(int64(silent))
	m.Watched.Store(int64(all))
}

// Shards returns how many shards the controller has.
func (c *Controller) Shards() int { return c.shards.number() }

// Queue returns how many load balancers are due and are worked on.
func (c *Controller) Queue() (ready, working int) { return c.queue.depth() }

// Held reports whether the circuit breaker is open.
func (c *Controller) Held() bool { open, _ := c.breaker.Open(); return open }

// HeartbeatInterval is how often agents shall tell that they live.
func (l Limits) HeartbeatInterval() time.Duration { return l.withDefaults().Heartbeat }
