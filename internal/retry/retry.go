// Package retry classifies errors and repeats what may be repeated.
//
// There is one retrying layer in updraft, the engine. Everything below it only
// says of what class an error is ([Mark]), and never retries by itself.
package retry

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"
)

// Class says what an error allows.
type Class uint8

// The classes.
const (
	// Permanent errors recur until somebody changes something. It is the class
	// of errors that were not marked.
	Permanent Class = iota
	// Transient errors go away by themselves: a lock is held, a mirror hiccups.
	Transient
	// Unreachable means that the other side did not answer or went away; it is
	// unknown whether the work was done, so it must be observed again.
	Unreachable
)

// String returns the class's name.
func (c Class) String() string {
	return [...]string{"permanent", "transient", "unreachable"}[c]
}

type marked struct {
	error
	class Class
}

func (m marked) Unwrap() error { return m.error }

// Mark gives err a class. A nil err stays nil.
func Mark(err error, c Class) error {
	if err == nil {
		return nil
	}
	return marked{err, c}
}

// ClassOf returns the class that err, or the outermost marked error it wraps, has.
func ClassOf(err error) Class {
	var m marked
	if errors.As(err, &m) {
		return m.class
	}
	return Permanent
}

// Policy bounds repetition. The zero value tries once.
type Policy struct {
	// Attempts is the greatest number of tries; 0 means no bound but Deadline.
	Attempts int
	// First is the pause after the first failure; each pause doubles up to Most.
	First, Most time.Duration
	// Deadline bounds all tries together; 0 means none.
	Deadline time.Duration
}

// Do calls f until it succeeds, fails permanently, or the policy is exhausted,
// and returns f's last error. onRetry, if not nil, is told of each failure that
// will be followed by another try.
func (p Policy) Do(ctx context.Context, onRetry func(try int, err error, pause time.Duration), f func(context.Context) error) error {
	if p.Deadline > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, p.Deadline)
		defer cancel()
	}
	for try := 1; ; try++ {
		err := f(ctx)
		if err == nil || ClassOf(err) == Permanent || ctx.Err() != nil || try == p.Attempts || p == (Policy{}) {
			return err
		}
		pause := p.Pause(try)
		if onRetry != nil {
			onRetry(try, err, pause)
		}
		if !Wait(ctx, pause) {
			return err
		}
	}
}

// Pause returns how long to wait after the given number of failures: doubling
// from First up to Most, spread by ±20 % so that a fleet does not retry in step.
func (p Policy) Pause(failures int) time.Duration {
	d := p.First << min(max(failures-1, 0), 30)
	if most := max(p.Most, p.First); d > most || d <= 0 {
		d = most
	}
	return time.Duration(float64(d) * (0.8 + 0.4*rand.Float64()))
}

// Wait waits for d and reports whether it passed before ctx ended.
func Wait(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}
