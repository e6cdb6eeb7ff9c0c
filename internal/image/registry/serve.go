package registry

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"time"
)

// Config says how a registry is run as a program.
type Config struct {
	// Dir holds everything, Listen is ADDRESS:PORT.
	Dir, Listen string
	// Certificate and Key are files in PEM. They are read anew for every
	// connection, so that new ones need no restart.
	Certificate, Key string
	// PasswordFile holds the password of who pushes; without one nobody can.
	PasswordFile string
}

// headerTimeout bounds how long a client may take to say what it wants. Bodies
// may take as long as they need.
const headerTimeout = 30 * time.Second

// Serve runs a registry over TLS until ctx ends. ready, if not nil, is told the
// address once it listens.
func Serve(ctx context.Context, c Config, ready func(net.Addr)) error {
	if err := serve(ctx, c, ready); err != nil {
		return fmt.Errorf("cannot run the registry: %w", err)
	}
	return nil
}

func serve(ctx context.Context, c Config, ready func(net.Addr)) error {
	o := Options{Dir: c.Dir}
	if c.PasswordFile != "" {
		data, err := os.ReadFile(c.PasswordFile)
		if err != nil {
			return err
		}
		o.Password = strings.TrimSpace(string(data))
	}
	handler, err := New(o)
	if err != nil {
		return err
	}
	certificate := func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
		cert, err := tls.LoadX509KeyPair(c.Certificate, c.Key)
		return &cert, err
	}
	if _, err := certificate(nil); err != nil { // a mistake shows now, not at the first connection
		return err
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", c.Listen)
	if err != nil {
		return err
	}
	if ready != nil {
		ready(l.Addr())
	}
	s := &http.Server{
		Handler: handler, ReadHeaderTimeout: headerTimeout,
		TLSConfig: &tls.Config{GetCertificate: certificate, MinVersion: tls.VersionTLS12},
	}
	stop := context.AfterFunc(ctx, func() { _ = s.Close() }) // clients go on where they were
	defer stop()
	if err := s.ServeTLS(l, "", ""); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
