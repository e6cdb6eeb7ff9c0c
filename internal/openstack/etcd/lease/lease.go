// Package lease runs a program on one of several hosts at a time: on the one that
// holds a key in etcd.
//
// It guarantees that the program of a holder is dead before another host can be the
// holder, as long as clocks of hosts run at about the same speed: a holder that could
// not renew its lease for two thirds of its time kills the program and all that it has
// started. A program that ends by itself, or is told to, gives the key away at once.
package lease

import (
	"context"
	"errors"
	"log/slog"
	"syscall"
	"time"
)

const (
	// TTL is how long a lease lasts that is not renewed: as long as another host takes
	// to notice that the holder is dead.
	TTL = 15 * time.Second
	// patience is after how long without a word from etcd the program is killed.
	patience = TTL * 2 / 3
	// interval is how often a lease is renewed, and how often it is asked whether the
	// key can be had.
	interval = 2 * time.Second
)

// Store is etcd. Each question ends within a few seconds.
type Store interface {
	// Acquire takes the key, under a new lease, if nobody has it. It returns who has
	// it; the lease is for the caller only if that is host.
	Acquire(ctx context.Context, host string) (lease, holder string, err error)
	// Renew fails with ErrOver when the lease is over.
	Renew(ctx context.Context, lease string) error
	// Release ends the lease, and gives the key away with it.
	Release(ctx context.Context, lease string) error
}

// ErrOver means that a lease is over: somebody else may be the holder.
var ErrOver = errors.New("the lease is over")

// Process is a program that runs, with all that it starts.
type Process interface {
	Signal(sig syscall.Signal)
	// Ended gives what the program returned.
	Ended() <-chan error
}

// Holder runs the program when it is the host's turn.
type Holder struct {
	Host  string
	Store Store
	Start func() (Process, error)
	Log   *slog.Logger

	said string
}

// Run waits for the key and runs the program, again and again, until the program
// ends by itself or the context does. It returns what the program did.
func (h *Holder) Run(ctx context.Context) error {
	for {
		lease, since, err := h.acquire(ctx)
		if err != nil {
			return nil //nolint:nilerr // it was told to end while another host was the holder
		}
		err = h.hold(ctx, lease, since)
		if !errors.Is(err, ErrOver) {
			return err
		}
		h.say("this host may not run it any more", err.Error())
	}
}

// acquire returns a lease and since when it lasts at most; an error when the context
// ends.
func (h *Holder) acquire(ctx context.Context) (lease string, since time.Time, err error) {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		since = time.Now()
		lease, holder, err := h.Store.Acquire(ctx, h.Host)
		switch {
		case err != nil:
			h.say("it cannot be seen who runs it", err.Error())
		case holder == h.Host && lease != "":
			h.say("this host runs it", "")
			return lease, since, nil
		default:
			h.say("another host runs it", holder)
		}
		select {
		case <-ctx.Done():
			return "", since, ctx.Err()
		case <-tick.C:
		}
	}
}

// hold runs the program under a lease.
func (h *Holder) hold(ctx context.Context, lease string, since time.Time) error {
	p, err := h.Start()
	if err != nil {
		return errors.Join(err, h.release(lease))
	}
	renewed := make(chan time.Time, 1)
	over := make(chan struct{})
	renewing, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	go h.renew(renewing, lease, renewed, over)
	end := time.NewTimer(time.Until(since.Add(patience)))
	defer end.Stop()
	told := ctx.Done()
	for {
		select {
		case at := <-renewed:
			end.Reset(time.Until(at.Add(patience)))
		case <-told:
			p.Signal(syscall.SIGTERM)
			told = nil
		case err := <-p.Ended():
			p.Signal(syscall.SIGKILL) // what it has left
			stop()
			return errors.Join(err, h.release(lease))
		case <-over:
			return h.kill(p)
		case <-end.C:
			return h.kill(p)
		}
	}
}

func (h *Holder) kill(p Process) error {
	p.Signal(syscall.SIGKILL)
	<-p.Ended() //nolint:errcheck // it says no more than that it was killed
	return ErrOver
}

// renew sends the time before each question that was answered well, and closes over
// when etcd says that the lease is over.
func (h *Holder) renew(ctx context.Context, lease string, renewed chan<- time.Time, over chan<- struct{}) {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		at := time.Now()
		switch err := h.Store.Renew(ctx, lease); {
		case errors.Is(err, ErrOver):
			close(over)
			return
		case err != nil:
			h.Log.Warn("the lease is not renewed", "why", err.Error())
		default:
			select {
			case renewed <- at:
			case <-ctx.Done():
				return
			}
		}
	}
}

// release gives the key away. Where that fails, the lease ends by itself.
func (h *Holder) release(lease string) error {
	ctx, cancel := context.WithTimeout(context.Background(), interval)
	defer cancel()
	if err := h.Store.Release(ctx, lease); err != nil {
		h.Log.Warn("others have to wait until the lease is over", "why", err.Error())
	}
	return nil
}

// say writes to the log what was not said last.
func (h *Holder) say(what, why string) {
	if h.said != what+why {
		h.said = what + why
		h.Log.Info(what, "which", why)
	}
}
