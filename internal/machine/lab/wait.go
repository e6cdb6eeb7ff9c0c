package lab

import (
	"context"
	"errors"
	"time"
)

// poll calls probe until it reports done or fails, or ctx ends. The pause
// between probes grows from 2 to 50 ms: what is waited for here are processes
// and the kernel, which take milliseconds.
func poll(ctx context.Context, probe func() (done bool, err error)) error {
	pause := 2 * time.Millisecond
	for {
		if done, err := probe(); done || err != nil {
			return err
		}
		t := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			t.Stop()
			return ctx.Err()
		case <-t.C:
		}
		pause = min(pause*3/2, 50*time.Millisecond)
	}
}

// ignore returns nil for the given errors.
func ignore(err error, expected ...error) error {
	for _, e := range expected {
		if errors.Is(err, e) {
			return nil
		}
	}
	return err
}
