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
	"golang.org/x/sys/unix"
	"google.golang.org/grpc"
	"google.golang.org/grpc/keepalive"
)

// member is the store's own member of etcd. It listens on no network: this
// process calls it directly, and commands on the same computer through a socket
// in its directory that only the owner can open.
//
// The socket has a server of ours, since that of etcd's package waits for silent
// clients when it is closed.
type member struct {
	lock   *os.File
	etcd   *embed.Etcd
	client *clientv3.Client
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
	lock, err := lockDir(o.Dir)
	if err != nil {
		return nil, err
	}
	e, err := embed.StartEtcd(memberConfig(o))
	if err != nil {
		lock.Close()
		return nil, fmt.Errorf("cannot start the store in %s: %w", o.Dir, err)
	}
	m := &member{lock: lock, etcd: e}
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

// lockDir takes the directory for this process, until the file is closed.
func lockDir(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("cannot lock the store's directory: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("%w: %s", ErrInUse, dir)
		}
		return nil, fmt.Errorf("cannot lock the store's directory: %w", err)
	}
	return f, nil
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
	short, done, err := shortPath(path)
	if err != nil {
		return fmt.Errorf("cannot open the store's socket: %w", err)
	}
	defer done()
	l, err := net.Listen("unix", short)
	if err != nil {
		return fmt.Errorf("cannot open the store's socket: %w", err)
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false) // its name may be a short one
	if err := os.Chmod(path, 0o600); err != nil {
		return err
	}
	// Without it gRPC lets clients ask every five minutes, and cuts ours off.
	m.server = v3rpc.Server(m.etcd.Server, nil, nil, grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: pingEvery / 2}))
	go func() { _ = m.server.Serve(l) }() // ends when the server is stopped
	return nil
}

// maxSocketPath is what sun_path has room for (unix(7)), less the zero.
const maxSocketPath = 107

// shortPath returns a name of a socket that is short enough, until done.
func shortPath(path string) (short string, done func(), err error) {
	if len(path) <= maxSocketPath {
		return path, func() {}, nil
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return "", nil, err
	}
	return fmt.Sprintf("/proc/self/fd/%d/%s", dir.Fd(), filepath.Base(path)), func() { dir.Close() }, nil
}

// dialMember connects to the member that another process runs in a directory.
func dialMember(o Options) (*clientv3.Client, error) {
	o.TLS, o.Username, o.Password = nil, "", ""
	o.Endpoints = []string{"http://updraft.invalid"} // a name only: the socket is what is dialed
	return dial(o, grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
		short, done, err := shortPath(SocketPath(o.Dir))
		if err != nil {
			return nil, err
		}
		defer done()
		var d net.Dialer
		return d.DialContext(ctx, "unix", short)
	}))
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
	m.lock.Close()
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
