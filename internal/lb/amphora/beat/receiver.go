package beat

import (
	"errors"
	"fmt"
	"maps"
	"sync"
)

// Receiver opens beats of many amphorae.
type Receiver struct {
	keys    func(amphora string) [][]byte
	unknown func(amphora string)
	mu      sync.Mutex
	last    map[string]position
}

type position struct{ boot, seq uint64 }

func (p position) before(o position) bool {
	return p.boot < o.boot || p.boot == o.boot && p.seq < o.seq
}

// ErrUnseeded means that it is not known which beat of the amphora was the last.
var ErrUnseeded = errors.New("it is not known what arrived before")

// NewReceiver returns one that asks for the keys of an amphora: none if it is
// not known, two while its key is being changed.
//
// It takes nothing of an amphora before Seed has told where its beats are, and
// calls unknown when a beat comes before that: whoever recorded beats could
// otherwise have them taken after each start of a receiver.
func NewReceiver(keys func(amphora string) [][]byte, unknown func(amphora string)) *Receiver {
	return &Receiver{keys: keys, unknown: unknown, last: map[string]position{}}
}

// Open returns the beat in a datagram. Its errors are for logs: who sends what
// is no beat gets no answer.
func (r *Receiver) Open(datagram []byte) (*Beat, error) {
	b, err := unseal(datagram, r.keys)
	if err != nil {
		return nil, fmt.Errorf("cannot take a beat: %w", err)
	}
	if err := r.take(b); err != nil {
		if errors.Is(err, ErrUnseeded) {
			r.unknown(b.Amphora)
		}
		return nil, fmt.Errorf("cannot take a beat of %s: %w", b.Amphora, err)
	}
	return b, nil
}

func (r *Receiver) take(b *Beat) error {
	now := position{b.Boot, b.Seq}
	r.mu.Lock()
	defer r.mu.Unlock()
	before, ok := r.last[b.Amphora]
	switch {
	case !ok:
		return ErrUnseeded
	case !before.before(now):
		return ErrReplay
	}
	r.last[b.Amphora] = now
	return nil
}

// Seed tells which beat the amphora has sent last, as it says itself over a
// connection that nobody can repeat. One that has forgotten its number of starts
// begins anew.
func (r *Receiver) Seed(amphora string, boot, seq uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := position{boot, seq}
	if last, ok := r.last[amphora]; !ok || last.before(now) || boot < last.boot {
		r.last[amphora] = now
	}
}

// Keep forgets all but those for which known is true.
func (r *Receiver) Keep(known func(amphora string) bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	maps.DeleteFunc(r.last, func(id string, _ position) bool { return !known(id) })
}
