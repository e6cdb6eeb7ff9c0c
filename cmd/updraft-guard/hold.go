package main

import (
	"context"
	"errors"
	"log/slog"
	"os"

	"github.com/updraft-cloud/updraft/internal/openstack/etcd/client"
	"github.com/updraft-cloud/updraft/internal/openstack/etcd/lease"
)

// hold runs a program while this host is the one of all that may.
func hold(ctx context.Context, args []string) error {
	if len(args) < 2 {
		return errors.New("say the file that has the configuration, and the program")
	}
	c, err := lease.Open(args[0])
	if err != nil {
		return err
	}
	etcd, err := client.New(c.Etcd, c.EtcdLeaf, c.CA)
	if err != nil {
		return err
	}
	h := &lease.Holder{
		Host: c.Host, Store: lease.Etcd{Client: etcd, Key: c.Key}, Log: slog.New(slog.NewTextHandler(os.Stderr, nil)),
		Start: func() (lease.Process, error) { return lease.Command(args[1:]) },
	}
	return h.Run(ctx)
}
