package control

import (
	"sync"
	"time"
)

// waits is since when something is waited for. What is stored says when it began;
// from then on the process's own clock counts, which nobody sets: a clock that
// jumps back must not make a patience endless, nor one that jumps forward end it.
type waits struct {
	mu   sync.Mutex
	byID map[string]wait
}

type wait struct {
	began  time.Time // as stored
	seen   time.Time // by the process's clock
	before time.Duration
}

// since returns how long something is waited for that began at a stored time.
func (w *waits) since(id string, began, now time.Time) time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	x, ok := w.byID[id]
	if !ok || !x.began.Equal(began) {
		x = wait{began, now, max(0, now.Sub(began))}
		if w.byID == nil {
			w.byID = map[string]wait{}
		}
		w.byID[id] = x
	}
	return x.before + now.Sub(x.seen)
}

// end says that it is not waited for any longer.
func (w *waits) end(id string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.byID, id)
}
