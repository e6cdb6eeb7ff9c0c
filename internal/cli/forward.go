package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
)

// forward carries connections from a listener to one address elsewhere.
type forward struct {
	listener net.Listener
	dial     func(ctx context.Context) (net.Conn, error)
	// failed hears of connections that could not be made; the others go on.
	failed func(error)
}

// serve carries connections until the context ends, which is no error. It
// returns when all of them are closed.
func (f *forward) serve(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() { _ = f.listener.Close() })
	defer stop()
	var wg sync.WaitGroup
	defer wg.Wait()
	for {
		near, err := f.listener.Accept()
		if err != nil {
			if ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
				return nil
			}
			return fmt.Errorf("cannot listen any longer: %w", err)
		}
		wg.Go(func() {
			if err := f.carry(ctx, near); err != nil && ctx.Err() == nil {
				f.failed(err)
			}
		})
	}
}

// carry carries one connection. Each direction ends by itself, as HTTP/1.0 and
// TLS need it; the end of the context ends both.
func (f *forward) carry(ctx context.Context, near net.Conn) error {
	defer near.Close()
	far, err := f.dial(ctx)
	if err != nil {
		return err
	}
	defer far.Close()
	stop := context.AfterFunc(ctx, func() { near.Close(); far.Close() })
	defer stop()
	var wg sync.WaitGroup
	wg.Go(func() { pump(far, near) })
	wg.Go(func() { pump(near, far) })
	wg.Wait()
	return nil
}

// pump copies until the source ends and then says so to the destination. A
// connection that breaks off is nothing to report: browsers do it all the time.
func pump(dst, src net.Conn) {
	_, err := io.Copy(dst, src)
	if half, ok := dst.(interface{ CloseWrite() error }); ok && err == nil {
		_ = half.CloseWrite()
		return
	}
	dst.Close()
	src.Close()
}
