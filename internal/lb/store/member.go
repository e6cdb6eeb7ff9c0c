package store

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3client"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3rpc"
	"go.uber.org/zap"
	"google.golang.org/grpc"
)

// member is the store's own member of etcd. It listens on no network: this
// process calls it directly, and commands on the same computer through a socket
// in its directory that only the owner can open.
//
// The socket has a server of ours, since that of etcd's package waits for silent
// clients when it is closed.
type member struct {
	etcd   *embed.Etcd
	client *clientv3.Client
	socket net.Listener
	server *grpc.Server
}

// startPatience bounds how long a member may take to be ready: it replays its
// log, at most the 10,000 last transactions.
const startPatience = time.Minute

// SocketPath is where the member in a directory listens.
func SocketPath(dir string) string { return filepath.Join(dir, "etcd.sock") }

func startMember(ctx context.Context, o Options) (*member, error) {
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("cannot make the store's directory: %w", err)
	}
	e, err := embed.StartEtcd(memberConfig(o))
	if err != nil {
		return nil, fmt.Errorf("cannot start the store in %s (is another process using it?): %w", o.Dir, err)
	}
	m := &member{etcd: e}
	if err := m.ready(ctx); err != nil {
		m.close()
		return nil, err
	}
	m.client = v3client.New(e.Server)
	if err := m.listen(SocketPath(o.Dir)); err != nil {
		m.close()
		return nil, err
	}
	return m, nil
}

func (m *member) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startPatience)
	defer cancel()
	select {
	case <-m.etcd.Server.ReadyNotify():
		return nil
	case err := <-m.etcd.Err():
		return fmt.Errorf("the store's etcd ended: %w", err)
	case <-ctx.Done():
		return fmt.Errorf("the store's etcd does not become ready: %w", ctx.Err())
	}
}

func (m *member) listen(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("cannot take the store's socket: %w", err)
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return fmt.Errorf("cannot open the store's socket: %w", err)
	}
	m.socket = l
	if err := os.Chmod(path, 0o600); err != nil {
		return err
	}
	m.server = v3rpc.Server(m.etcd.Server, nil, nil)
	go func() { _ = m.server.Serve(l) }() // ends when the server is stopped
	return nil
}

// close ends the member; streams of clients are cut, not waited for.
func (m *member) close() {
	if m.server != nil {
		m.server.Stop()
	}
	if m.client != nil {
		_ = m.client.Close() // it has no connection of its own
	}
	m.etcd.Close()
}

func memberConfig(o Options) *embed.Config {
	c := embed.NewConfig()
	c.Name = "updraft"
	c.Dir = filepath.Join(o.Dir, "etcd")
	// It has no peers and listens for none; the address is only its name.
	peer := url.URL{Scheme: "http", Host: "localhost:2380"}
	c.ListenPeerUrls, c.ListenClientUrls = nil, nil
	c.AdvertisePeerUrls, c.AdvertiseClientUrls = []url.URL{peer}, []url.URL{peer}
	c.InitialCluster = c.InitialClusterFromName(c.Name)
	c.ZapLoggerBuilder = embed.NewZapLoggerBuilder(zap.NewNop())
	c.LogLevel = "error"
	c.QuotaBackendBytes = o.MaxBytes
	c.MaxTxnOps = 1 << 20
	c.MaxRequestBytes = 16 << 20
	c.CompactionBatchLimit = 1000
	c.CompactionSleepInterval = 5 * time.Millisecond
	// A single member elects itself; there is nobody to wait for.
	c.TickMs, c.ElectionMs = 20, 200
	// Entries in memory are for slow followers, of which there are none.
	c.SnapshotCount, c.SnapshotCatchUpEntries = 10_000, 100
	return c
}
