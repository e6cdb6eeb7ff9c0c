package pkgcache

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"time"

	"golang.org/x/sync/errgroup"
)

const (
	// headerTimeout bounds how long a client takes to send a request.
	headerTimeout = 10 * time.Second
	// idleTimeout is how long apt's keep-alive connection is held open.
	idleTimeout = 2 * time.Minute
	// maxHeader bounds the request header; apt's is below 1 kB.
	maxHeader = 16 << 10
	// shutdownGrace is how long downloads under way may take after the end
	// was asked for.
	shutdownGrace = 10 * time.Second
)

// Serve answers on all listeners until ctx ends, then lets downloads under way
// finish for a while. It closes the listeners, not the cache. It returns nil
// when it ended because of ctx.
func (c *Cache) Serve(ctx context.Context, listeners ...net.Listener) error {
	srv := &http.Server{
		Handler:           c,
		ReadHeaderTimeout: headerTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          slog.NewLogLogger(c.log.Handler(), slog.LevelDebug),
	}
	group, ctx := errgroup.WithContext(ctx)
	for _, l := range listeners {
		group.Go(func() error {
			if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
				return err
			}
			return nil
		})
	}
	group.Go(func() error {
		<-ctx.Done()
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownGrace)
		defer cancel()
		if err := srv.Shutdown(grace); err != nil {
			return srv.Close() // what is still under way breaks off
		}
		return nil
	})
	return group.Wait()
}
