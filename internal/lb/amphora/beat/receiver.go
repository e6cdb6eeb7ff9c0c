package beat

import (
	"fmt"
	"sync"
)

// Receiver opens beats of many amphorae.
type Receiver struct {
	keys func(amphora string) [][]byte
	mu   sync.Mutex
	last map[string]position
}

type position struct{ boot, seq uint64 }

func (p position) before(o position) bool {
	return p.boot < o.boot || p.boot == o.boot && p.seq < o.seq
}

// NewReceiver returns one that asks for the keys of an amphora: none if it is
// not known, two while its key is being changed.
func NewReceiver(keys func(amphora string) [][]byte) *Receiver {
	return &Receiver{keys: keys, last: map[string]position{}}
}

// Open returns the beat in a datagram. Its errors are for logs: who sends what
// is no beat gets no answer.
func (r *Receiver) Open(datagram []byte) (*Beat, error) {
	b, err := unseal(datagram, r.keys)
	if err != nil {
		return nil, fmt.Errorf("cannot take a beat: %w", err)
	}
	now := position{b.Boot, b.Seq}
	r.mu.Lock()
	defer r.mu.Unlock()
	if before, ok := r.last[b.Amphora]; ok && !before.before(now) {
		return nil, fmt.Errorf("cannot take a beat of %s: %w", b.Amphora, ErrReplay)
	}
	r.last[b.Amphora] = now
	return b, nil
}

// Seed tells what was seen of an amphora before this receiver was made, so that
// a restart of a controller does not make old beats new.
func (r *Receiver) Seed(amphora string, boot, seq uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if now := (position{boot, seq}); r.last[amphora].before(now) {
		r.last[amphora] = now
	}
}

// Forget drops an amphora that is no more.
func (r *Receiver) Forget(amphora string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.last, amphora)
}
