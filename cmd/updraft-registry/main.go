// Command updraft-registry serves a cloud's container images to its hosts, and
// builds them there where the cloud file says so. updraft carries it and puts it
// onto the first controller, where it is a unit of systemd (Type=notify).
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	err := run(ctx, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "updraft-registry:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) > 0 {
		switch args[0] {
		case "serve":
			return serve(ctx, args[1:])
		case "build":
			return build(ctx, args[1:])
		}
	}
	return errors.New("say serve or build")
}
