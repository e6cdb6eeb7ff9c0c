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
	// Kill ends all servers, and is called again and again while the compute is cut off.
	Kill func() error
	// Rejoin makes Nova look anew at what of its servers is still its own; it is
	// called once the compute is back and servers were ended.
	Rejoin func(ctx context.Context) error
	Log    *slog.Logger
}

// Run guards until ctx ends.
func (g Guard) Run(ctx context.Context) {
	seen, killed := time.Now(), false
	tick := time.NewTicker(Interval)
	defer tick.Stop()
	for {
		asked := time.Now()
		late := asked.Sub(seen) >= Late && !killed
		switch {
		case !late && 2*count(ctx, g.Controllers, g.Alive) > len(g.Controllers):
			seen = asked // whoever answered may have done so before the host stood still
			if killed {
				killed = !g.rejoined(ctx)
			}
		case time.Since(seen) >= Lease && ctx.Err() == nil:
			if !killed {
				g.Log.Warn("no majority of the controllers was seen: all servers are ended, as others may start them elsewhere", "for", time.Since(seen))
			}
			killed = true
			if err := g.Kill(); err != nil {
				g.Log.Error("cannot end servers", "error", err)
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
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
