package cli

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"

	"golang.org/x/sys/unix"
)

// interruptible returns a context and a channel for a long job. The first
// SIGINT or SIGTERM closes the channel: what runs is let finish, nothing new
// starts. The second ends the context: what runs is cut off.
func interruptible(parent context.Context, w io.Writer) (ctx context.Context, stop <-chan struct{}, done func()) {
	ctx, cancel := context.WithCancel(parent)
	sigs := make(chan os.Signal, 2)
	signal.Notify(sigs, unix.SIGINT, unix.SIGTERM)
	soft := make(chan struct{})
	finished := make(chan struct{})
	go func() {
		select {
		case <-sigs:
			fmt.Fprintln(w, "\nstopping: letting what runs finish (again to cut it off)")
			close(soft)
		case <-finished:
			return
		}
		select {
		case <-sigs:
			cancel()
		case <-finished:
		}
	}()
	return ctx, soft, func() {
		signal.Stop(sigs)
		close(finished)
		cancel()
	}
}
