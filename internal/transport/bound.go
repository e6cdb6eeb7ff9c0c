package transport

import "context"

// BoundStarter is a [Conn] that can run more cheaply a command of which it is
// known that it ends when its standard input ends, as it does when the
// connection dies: nothing has to watch over it on the host.
type BoundStarter interface {
	StartBound(ctx context.Context, line string) (Process, error)
}

// StartBound starts a command that ends by itself when its input ends.
func StartBound(ctx context.Context, c Conn, line string) (Process, error) {
	if b, ok := c.(BoundStarter); ok {
		return b.StartBound(ctx, line)
	}
	return c.Start(ctx, line)
}
