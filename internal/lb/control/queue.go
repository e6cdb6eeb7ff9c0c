package control

import (
	"context"
	"sync"
	"time"
)

// queue holds the load balancers that need a look. One is never given to two
// workers at once; what is added while it is worked on is given out again after.
type queue struct {
	mu    sync.Mutex
	ready []string
	state map[string]*entry
	wake  chan struct{}
}

// entry is in the map as long as there is something to know about the item.
type entry struct {
	queued, working bool
	again           bool // added while it was worked on
	failures        int
	timer           *time.Timer
	matter          string // what the work was about that is under way, or failed last
}

func newQueue() *queue {
	return &queue{state: map[string]*entry{}, wake: make(chan struct{}, 1)}
}

func (q *queue) of(id string) *entry {
	e := q.state[id]
	if e == nil {
		e = &entry{}
		q.state[id] = e
	}
	return e
}

// add makes the item due now.
func (q *queue) add(id string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.addLocked(id)
}

func (q *queue) addLocked(id string) {
	e := q.of(id)
	if e.timer != nil {
		e.timer.Stop()
		e.timer = nil
	}
	switch {
	case e.working:
		e.again = true
	case !e.queued:
		e.queued = true
		q.ready = append(q.ready, id)
		q.signal()
	}
}

// begin notes what the work on an item is about.
func (q *queue) begin(id, matter string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.of(id).matter = matter
}

// heard makes the item due if it is about something else than the work that is
// under way, or that failed and is tried again after its pause.
func (q *queue) heard(id, matter string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if e := q.state[id]; e != nil && e.matter == matter && (e.working || e.timer != nil && e.failures > 0) {
		return
	}
	q.addLocked(id)
}

func (q *queue) signal() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// take waits for an item that is due.
func (q *queue) take(ctx context.Context) (id string, ok bool) {
	for {
		q.mu.Lock()
		if len(q.ready) > 0 {
			id, q.ready = q.ready[0], q.ready[1:]
			e := q.of(id)
			e.queued, e.working = false, true
			if len(q.ready) > 0 {
				q.signal() // for the next worker
			}
			q.mu.Unlock()
			return id, true
		}
		q.mu.Unlock()
		select {
		case <-ctx.Done():
			return "", false
		case <-q.wake:
		}
	}
}

// done ends the work on an item, which is due again after a pause, or, for 0,
// when it is added. failed counts for how long the pause should be.
func (q *queue) done(id string, failed bool, pause time.Duration) {
	q.mu.Lock()
	defer q.mu.Unlock()
	e := q.of(id)
	e.working = false
	if failed {
		e.failures++
	} else {
		e.failures = 0
	}
	switch {
	case e.again:
		e.again = false
		q.addLocked(id)
	case pause > 0:
		e.timer = time.AfterFunc(pause, func() { q.add(id) })
	case !e.queued && e.failures == 0:
		delete(q.state, id)
	}
}

// failures returns how often the item failed in a row.
func (q *queue) failures(id string) int {
	q.mu.Lock()
	defer q.mu.Unlock()
	if e := q.state[id]; e != nil {
		return e.failures
	}
	return 0
}

// depth returns how many items are due or worked on.
func (q *queue) depth() (ready, working int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, e := range q.state {
		if e.working {
			working++
		}
	}
	return len(q.ready), working
}

// forget drops items that are not worked on, when another controller has them.
func (q *queue) forget(drop func(id string) bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	kept := q.ready[:0]
	for _, id := range q.ready {
		if drop(id) {
			q.state[id].queued = false
		} else {
			kept = append(kept, id)
		}
	}
	q.ready = kept
	for id, e := range q.state {
		if !drop(id) {
			continue
		}
		if e.timer != nil {
			e.timer.Stop()
		}
		e.again = false
		if !e.working {
			delete(q.state, id)
		}
	}
}
