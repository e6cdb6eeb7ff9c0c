// Command updraft-amphora is the agent on an amphora: it takes the configuration
// of a load balancer from a controller and has HAProxy, keepalived and nftables do
// it. updraft carries it; what makes amphorae starts it.
//
//	updraft-amphora --config FILE
package main

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/updraft-cloud/updraft/internal/lb/agent"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	err := run(ctx, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "updraft-amphora:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("updraft-amphora", flag.ContinueOnError)
	path := flags.String("config", "", "the file with who this is and whom to trust")
	debug := flags.Bool("debug", false, "log more")
	if err := flags.Parse(args); err != nil {
		return err
	}
	boot, err := agent.Load(*path)
	if err != nil {
		return err
	}
	level := slog.LevelInfo
	if *debug {
		level = slog.LevelDebug
	}
	a, err := agent.New(boot, slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level})))
	if err != nil {
		return err
	}
	return a.Run(ctx)
}
