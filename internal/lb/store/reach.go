package store

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"time"
)

// opening tells why a store cannot be opened. A wrong address or certificate is
// found here, by somebody who can mend it, and etcd's client only says that time ran
// out.
func opening(ctx context.Context, o Options, err error) error {
	if len(o.Endpoints) == 0 {
		return fmt.Errorf("cannot open the store in %s: %w", o.Dir, err)
	}
	for _, at := range o.Endpoints {
		if cause := reach(ctx, at, o.TLS); cause != nil {
			return fmt.Errorf("cannot open the store: %w: %s: %w", err, at, cause)
		}
	}
	return fmt.Errorf("cannot open the store: %w", err)
}

// reachPatience bounds each step of reach.
const reachPatience = time.Second

// reach connects to an endpoint, and returns why it cannot.
func reach(ctx context.Context, at string, secure *tls.Config) error {
	u, err := url.Parse(at)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, reachPatience)
	defer cancel()
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", u.Host)
	if err != nil {
		return err
	}
	defer conn.Close()
	if u.Scheme == "http" {
		return nil
	}
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	if secure != nil {
		c = secure.Clone()
	}
	c.ServerName, c.NextProtos = u.Hostname(), []string{"h2"}
	t := tls.Client(conn, c)
	if err := t.HandshakeContext(ctx); err != nil {
		return err
	}
	// A server that wants another certificate says so after the handshake (TLS 1.3).
	_ = t.SetReadDeadline(time.Now().Add(reachPatience))
	if _, err := t.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		return err
	}
	return nil
}
