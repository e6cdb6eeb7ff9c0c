package main

import (
	"context"
	"errors"
	"flag"
	"net"
	"os"
	"runtime/debug"

	"github.com/updraft-cloud/updraft/internal/image/registry"
)

// memoryLimit is in bytes. What is served goes from files to connections and is
// not kept.
const memoryLimit = 64 << 20

func serve(ctx context.Context, args []string) error {
	var c registry.Config
	f := flag.NewFlagSet("serve", flag.ContinueOnError)
	f.StringVar(&c.Dir, "dir", "", "directory that holds the images")
	f.StringVar(&c.Listen, "listen", "", "address and port to listen on")
	f.StringVar(&c.Certificate, "cert", "", "file with the certificate, PEM")
	f.StringVar(&c.Key, "cert-key", "", "file with its key, PEM")
	f.StringVar(&c.PasswordFile, "password-file", "", "file with the password of who pushes")
	if err := f.Parse(args); err != nil {
		return err
	}
	if c.Dir == "" || c.Listen == "" || c.Certificate == "" || c.Key == "" || f.NArg() > 0 {
		return errors.New("serve needs -dir, -listen, -cert and -cert-key, and takes no arguments")
	}
	debug.SetMemoryLimit(memoryLimit)
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	err := registry.Serve(ctx, c, func(net.Addr) {
		if err := registry.Notify(ctx, os.Getenv("NOTIFY_SOCKET")); err != nil {
			fail(err)
		}
	})
	if cause := context.Cause(ctx); err == nil && !errors.Is(cause, context.Canceled) {
		err = cause
	}
	return err
}
