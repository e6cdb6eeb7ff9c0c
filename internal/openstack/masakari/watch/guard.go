package watch

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"sync"
	"syscall"
	"time"
)

// Guard ends the servers of the compute that it runs on when the compute is cut off.
type Guard struct {
	Controllers []string // HOST:PORT
	// Alive reports whether a host answers there; [Answers] in life.
	Alive func(ctx context.Context, at string) bool
	// Hush ends what would tell others of servers that end, within [Hush]. Kill ends all
	// servers. Both are called again and again while the compute is cut off.
	Hush func(ctx context.Context) error
	Kill func() error
	// Mute keeps the compute from saying what may not be so any more, as its servers run
	// elsewhere; it is called again and again, like Kill. Speak undoes
	// that, or fails while what is said would still be out of date; it is called once the
	// compute is back.
	Mute, Speak func(ctx context.Context) error
	// Rejoin makes Nova look anew at what of its servers is still its own, and undoes
	// Hush; it is called once the compute is back and servers were ended.
	Rejoin func(ctx context.Context) error
	// Ended says that servers were ended by a guard before this one, which could not undo
	// it; Remember keeps that for the next.
	Ended    bool
	Remember func(ended bool) error
	Log      *slog.Logger
}

// Run guards until ctx ends.
func (g Guard) Run(ctx context.Context) {
	seen, now := time.Now(), state{killed: g.Ended, silent: g.Ended}
	tick := time.NewTicker(Interval)
	defer tick.Stop()
	for {
		asked := time.Now()
		late := asked.Sub(seen) >= Late && !now.killed
		switch {
		case !late && 2*count(ctx, g.Controllers, g.Alive) > len(g.Controllers):
			seen = asked // whoever answered may have done so before the host stood still
			g.back(ctx, &now)
		case time.Since(seen) >= Lease && ctx.Err() == nil:
			g.end(ctx, &now, time.Since(seen))
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// state is what a guard has done to its compute.
type state struct {
	killed bool // servers were ended, and nova-compute does not know
	silent bool // muted, or so in part
}

// end has the compute do nothing that another one may be doing.
func (g Guard) end(ctx context.Context, now *state, since time.Duration) {
	if !now.killed {
		g.Log.Warn("no majority of the controllers was seen: all servers are ended, as others may start them elsewhere", "for", since)
		g.remember(true)
	}
	now.killed, now.silent = true, true
	if err := g.Hush(ctx); err != nil {
		g.Log.Error("cannot keep others from being told of servers that end", "error", err)
	}
	if err := g.Kill(); err != nil {
		g.Log.Error("cannot end servers", "error", err)
	}
	if err := g.Mute(ctx); err != nil {
		g.Log.Error("cannot keep the compute from saying what may not be so any more", "error", err)
	}
}

// back undoes it.
func (g Guard) back(ctx context.Context, now *state) {
	if !now.killed && !now.silent {
		return
	}
	if now.silent {
		err := g.Speak(ctx)
		if err != nil {
			g.Log.Warn("virtual networks do not reach networks outside yet", "error", err)
		}
		now.silent = err != nil
	}
	if now.killed {
		now.killed = !g.rejoined(ctx)
	}
	if !now.killed && !now.silent {
		g.remember(false)
	}
}

func (g Guard) remember(ended bool) {
	if err := g.Remember(ended); err != nil {
		g.Log.Error("a guard after this one would not know what to undo", "error", err)
	}
}

func (g Guard) rejoined(ctx context.Context) bool {
	err := g.Rejoin(ctx)
	if err != nil {
		g.Log.Error("controllers answer again, but nova-compute cannot be restarted", "error", err)
		return false
	}
	g.Log.Info("controllers answer again; nova-compute has been restarted")
	return true
}

// count is how many are alive. All are asked at the same time.
func count(ctx context.Context, all []string, alive func(context.Context, string) bool) int {
	answers := make([]bool, len(all))
	var wg sync.WaitGroup
	for i, at := range all {
		wg.Go(func() { answers[i] = alive(ctx, at) })
	}
	wg.Wait()
	n := 0
	for _, yes := range answers {
		if yes {
			n++
		}
	}
	return n
}

// Answers reports whether a host answers at HOST:PORT, be it that it refuses the
// connection: then its kernel lives, and the way to it is open.
func Answers(ctx context.Context, at string) bool {
	ctx, cancel := context.WithTimeout(ctx, Answer)
	defer cancel()
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", at)
	if err == nil {
		_ = conn.Close() // nothing was sent
	}
	return err == nil || errors.Is(err, syscall.ECONNREFUSED)
}
