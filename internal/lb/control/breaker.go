package control

import (
	"maps"
	"sync"
	"time"
)

// Breaker decides how many amphorae may be replaced at once because they do not
// answer. When many are silent at the same time, the likely cause is the way to
// them and not they themselves, and replacing all would make a disturbance an
// outage: then one replacement at a time goes on, which shows whether replacing
// is of any use at all.
type Breaker struct {
	// Share and Least open it: at least Least amphorae and at least this share of
	// all are silent.
	Share float64
	Least int
	// Parallel is how many replacements may run at once while it is closed.
	Parallel int
	// Every is the least time between the starts of two replacements while it is
	// open, Burst how many may start in that time while it is closed.
	Every time.Duration
	Burst int

	mu      sync.Mutex
	running map[string]bool
	starts  []time.Time
	open    bool
	since   time.Time
}

// Observe tells how many of how many amphorae are silent.
func (b *Breaker) Observe(now time.Time, silent, all int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	open := silent >= b.Least && float64(silent) >= b.Share*float64(all)
	if open != b.open {
		b.open, b.since = open, now
	}
}

// Open reports whether it is open, and since when.
func (b *Breaker) Open() (bool, time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.open, b.since
}

// Begin asks for a replacement of an amphora. One that was begun already goes on.
func (b *Breaker) Begin(now time.Time, amphoraID string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.running[amphoraID] {
		return true
	}
	parallel, burst := b.Parallel, b.Burst
	if b.open {
		parallel, burst = 1, 1
	}
	recent := 0
	for _, t := range b.starts {
		if now.Sub(t) < b.Every {
			recent++
		}
	}
	if len(b.running) >= parallel || recent >= burst {
		return false
	}
	if b.running == nil {
		b.running = map[string]bool{}
	}
	b.running[amphoraID] = true
	b.starts = append(b.starts, now)
	if extra := len(b.starts) - b.Burst; extra > 0 {
		b.starts = b.starts[extra:]
	}
	return true
}

// Keep ends the replacements for which going is false: others have done them, or
// nobody needs them any longer.
func (b *Breaker) Keep(going func(amphoraID string) bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	maps.DeleteFunc(b.running, func(id string, _ bool) bool { return !going(id) })
}

// End says that a replacement is done or was given up.
func (b *Breaker) End(amphoraID string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.running, amphoraID)
}
