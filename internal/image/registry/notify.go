package registry

import (
	"context"
	"fmt"
	"net"
	"strings"
)

// Notify tells the service manager at socket, the value of NOTIFY_SOCKET, that
// the program serves. Without a socket there is nobody to tell.
//
// Source: sd_notify(3).
func Notify(ctx context.Context, socket string) error {
	if socket == "" {
		return nil
	}
	if rest, abstract := strings.CutPrefix(socket, "@"); abstract {
		socket = "\x00" + rest
	}
	c, err := (&net.Dialer{}).DialContext(ctx, "unixgram", socket)
	if err != nil {
		return fmt.Errorf("cannot tell the service manager: %w", err)
	}
	defer c.Close()
	if _, err := c.Write([]byte("READY=1")); err != nil {
		return fmt.Errorf("cannot tell the service manager: %w", err)
	}
	return nil
}
