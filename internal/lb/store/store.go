package store

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"google.golang.org/grpc"
)

// Options configure a [Store].
type Options struct {
	// Endpoints are the addresses of an etcd cluster ("https://etcd1:2379").
	// Without any, the store has a member of its own.
	Endpoints []string
	// TLS is for Endpoints with https; Username and Password for etcd's roles.
	TLS                *tls.Config
	Username, Password string
	// Dir is where the store's own member keeps its data.
	Dir string
	// Attach uses the member of another process when that has Dir.
	Attach bool
	// MaxBytes bounds the data of the store's own member; 4 GiB when zero.
	MaxBytes int64
	// Prefix begins all keys; "/updraft/lb/v1/" when empty.
	Prefix string
	// Quota says what projects may have.
	Quota QuotaPolicy
	Log   *slog.Logger

	// WriteTimeout bounds a transaction; 5 s when zero.
	WriteTimeout time.Duration
	// RetryAfter is what an UnavailableError tells clients; 1 s when zero.
	RetryAfter time.Duration
	// RetryInterval is the pause between tries to reach etcd; 200 ms when zero.
	RetryInterval time.Duration
	// CompactEvery is the interval of compactions, 5 minutes when zero; never
	// when negative. What is older than two of them can go.
	CompactEvery time.Duration
}

func (o Options) withDefaults() Options {
	set := func(d *time.Duration, v time.Duration) {
		if *d == 0 {
			*d = v
		}
	}
	set(&o.WriteTimeout, 5*time.Second)
	set(&o.RetryAfter, time.Second)
	set(&o.RetryInterval, 200*time.Millisecond)
	set(&o.CompactEvery, 5*time.Minute)
	if o.Prefix == "" {
		o.Prefix = defaultPrefix
	}
	if o.MaxBytes == 0 {
		o.MaxBytes = 4 << 30
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return o
}

// Store is an open store. All methods may be called concurrently.
type Store struct {
	opts   Options
	log    *slog.Logger
	prefix string
	client *clientv3.Client
	member *member // nil with a cluster of others
	limits limits
	index  *index
	queue  chan *request
	gate   *gate
	wake   chan struct{} // of maintenance

	ctx    context.Context // the life of the store's goroutines
	cancel context.CancelFunc
	wg     sync.WaitGroup
	closed sync.Once
}

// manyTrees is from how many load balancers on it pays to give memory back after
// they were read.
const manyTrees = 10_000

// Open opens a store and reads what is in it. A cluster that does not answer is an
// [UnavailableError].
func Open(ctx context.Context, opts Options) (*Store, error) {
	s := newStore(opts)
	if err := s.connect(ctx); err != nil {
		return nil, err
	}
	snap, err := s.begin(ctx)
	if err != nil {
		_ = s.Close() // the reason is the first error
		return nil, opening(ctx, s.opts, err)
	}
	s.index.replace(snap)
	if snap.Len() > manyTrees {
		debug.FreeOSMemory() // reading left as much behind as it brought
	}
	s.start(s.commits)
	s.start(func() { s.follow(s.ctx) })
	s.start(func() { s.gate.probe(s.ctx, s.probe) })
	if s.opts.CompactEvery > 0 && (s.member != nil || len(s.opts.Endpoints) > 0) {
		s.start(func() { s.maintain(s.ctx) })
	}
	return s, nil
}

// begin reads everything, once etcd is known to answer: a client of its waits for
// ever for one that does not.
func (s *Store) begin(ctx context.Context) (*Snapshot, error) {
	if _, err := s.latest(ctx); err != nil {
		return nil, err
	}
	return s.load(ctx)
}

func newStore(opts Options) *Store {
	opts = opts.withDefaults()
	s := &Store{
		opts: opts, log: opts.Log, prefix: opts.Prefix, limits: externalLimits, index: newIndex(),
		queue: make(chan *request, 4096), wake: make(chan struct{}, 1),
	}
	s.gate = newGate(opts)
	s.ctx, s.cancel = context.WithCancel(context.Background())
	return s
}

func (s *Store) connect(ctx context.Context) error {
	if len(s.opts.Endpoints) > 0 {
		client, err := dial(s.opts)
		s.client = client
		return err
	}
	if s.opts.Dir == "" {
		return errors.New("a store needs a directory for its data, or the addresses of an etcd cluster")
	}
	m, err := startMember(ctx, s.opts)
	if s.opts.Attach && errors.Is(err, ErrInUse) {
		s.limits = embeddedLimits
		s.client, err = dialMember(s.opts)
		return err
	}
	if err != nil {
		return err
	}
	s.member, s.client, s.limits = m, m.client, embeddedLimits
	return nil
}

// pingEvery is how often a silent member is asked whether it is there; gRPC's clients
// do it no more often. Members cut off who asks more often than every 5 s.
const pingEvery = 10 * time.Second

func dial(o Options, more ...grpc.DialOption) (*clientv3.Client, error) {
	client, err := clientv3.New(clientv3.Config{
		Endpoints: o.Endpoints, TLS: o.TLS, Username: o.Username, Password: o.Password,
		DialTimeout: o.WriteTimeout, DialKeepAliveTime: pingEvery, DialKeepAliveTimeout: 3 * time.Second,
		AutoSyncInterval: 0, Logger: zap.NewNop(), MaxCallRecvMsgSize: math.MaxInt32, MaxCallSendMsgSize: 16 << 20, DialOptions: more,
	})
	if err != nil {
		return nil, fmt.Errorf("cannot connect to etcd at %s: %w", strings.Join(o.Endpoints, ", "), err)
	}
	return client, nil
}

func (s *Store) start(fn func()) {
	s.wg.Go(fn)
}

// View returns the latest state that was heard of.
func (s *Store) View() *Snapshot { return s.index.cur.Load() }

// closePatience bounds how long Close waits for etcd.
const closePatience = 10 * time.Second

// Close ends the store. Transactions that are under way end with [ErrClosed];
// whether they took place is not known.
func (s *Store) Close() error {
	var err error
	s.closed.Do(func() {
		s.cancel()
		done := make(chan struct{})
		go func() {
			defer close(done)
			s.wg.Wait()
			if s.member != nil {
				s.member.close()
			} else if s.client != nil {
				_ = s.client.Close() // of no consequence any more
			}
		}()
		select {
		case <-done:
		case <-time.After(closePatience):
			err = errors.New("etcd did not end in time; what was acknowledged is on disk")
		}
	})
	return err
}

func (s *Store) probe(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(clientv3.WithRequireLeader(ctx), time.Second)
	defer cancel()
	_, err := s.client.Get(ctx, s.prefix+headKey, clientv3.WithKeysOnly())
	return err
}
