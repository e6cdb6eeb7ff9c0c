// Command updraft-guard watches the member of Galera on a controller: it tells
// HAProxy whether the member may be written to, and begins the cluster anew where
// Galera does not return by itself. updraft carries it and puts it there; systemd
// runs it.
//
//	updraft-guard FILE
//
// Before the member ends in order it has clients go to another, and before it is started
// it takes that back:
//
//	updraft-guard leave|enter FILE
//
// It also runs a program on one controller at a time:
//
//	updraft-guard hold FILE PROGRAM [ARGUMENT...]
package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/updraft-cloud/updraft/internal/openstack/mariadb/guard"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	err := run(ctx, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "updraft-guard:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) > 0 && args[0] == "hold" {
		return hold(ctx, args[1:])
	}
	verb := ""
	if len(args) > 1 && (args[0] == "leave" || args[0] == "enter") {
		verb, args = args[0], args[1:]
	}
	if len(args) != 1 {
		return errors.New("say the file that has the configuration")
	}
	c, err := guard.Open(args[0])
	switch {
	case err != nil:
		return err
	case verb == "leave":
		return guard.Leave(ctx, c)
	case verb == "enter":
		return guard.Enter(c)
	}
	return watch(ctx, c)
}

// watch is the guard itself, which ends with the context.
func watch(ctx context.Context, c guard.Config) error {
	store, err := guard.NewStore(c.Etcd, c.EtcdLeaf, c.CA)
	if err != nil {
		return err
	}
	server := c.Server()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	served := make(chan error, 1)
	go func() {
		served <- guard.Serve(ctx, c.Listen, c.Leaf, c.CA, guard.Check(server.Ask, c.Leaving))
		cancel()
	}()
	g := &guard.Guard{Server: server, Store: store, Log: slog.New(slog.NewTextHandler(os.Stderr, nil))}
	g.Run(ctx)
	cancel()
	return <-served
}
