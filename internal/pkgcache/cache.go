package pkgcache

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"sync"
	"time"
)

// DefaultSize is the size of the cache when none is given: 10 GiB holds the
// packages of several clouds and two releases of a distribution.
const DefaultSize = 10 << 30

// DefaultFresh is for how long an answer of the upstream holds for objects that
// may change. It spares the upstream the questions of a fleet that updates its
// package lists at the same time.
const DefaultFresh = 30 * time.Second

// Options configure a [Cache].
type Options struct {
	// Dir holds the store. One process has it at a time.
	Dir string
	// MaxBytes bounds the store; DefaultSize when zero.
	MaxBytes int64
	// Offline serves what is there and asks no upstream.
	Offline bool
	// Hosts are the upstreams that may be asked: "mirror.example.org" (on ports 80
	// and 443), "mirror.example:8080" (on that port), "*.example.org" (all
	// below, not itself). See [HostsOf].
	Hosts []string
	// Fresh is for how long an object that may change is served without asking
	// again; DefaultFresh when zero, never when negative.
	Fresh time.Duration
	// Proxy is the proxy on the way to the upstreams. Without one, the
	// environment decides (http_proxy, https_proxy, no_proxy).
	Proxy *url.URL
	// Transport replaces the way to the upstreams; Proxy is then not used. It
	// must not decompress.
	Transport http.RoundTripper
	// Log takes what happens; nothing is logged when nil.
	Log *slog.Logger
}

// Cache is the proxy. It is an http.Handler; [Cache.Serve] runs it with the
// limits a public listener needs. All methods are safe for concurrent use.
type Cache struct {
	opts   Options
	store  *store
	client *http.Client
	log    *slog.Logger

	// ctx spans the life of the cache; fetches outlive the requests that
	// started them, so theirs are made from it.
	ctx      context.Context
	cancel   context.CancelFunc
	fetchers sync.WaitGroup

	mu      sync.Mutex
	flights map[string]*flight
	stats   Stats
}

// New opens the store at opts.Dir, making it if need be. Close it after use.
func New(opts Options) (*Cache, error) {
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	if opts.MaxBytes == 0 {
		opts.MaxBytes = DefaultSize
	}
	if opts.Fresh == 0 {
		opts.Fresh = DefaultFresh
	}
	if opts.Dir == "" || opts.MaxBytes < 0 {
		return nil, errors.New("cannot open package cache: it needs a directory and a size above zero")
	}
	s, err := openStore(opts.Dir, opts.MaxBytes, opts.Log)
	if err != nil {
		return nil, fmt.Errorf("cannot open package cache: %w", err)
	}
	c := &Cache{opts: opts, store: s, log: opts.Log, flights: map[string]*flight{}}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	c.client = &http.Client{Transport: opts.Transport, CheckRedirect: c.followAllowed}
	if opts.Transport == nil {
		c.client.Transport = newTransport(opts.Proxy)
	}
	return c, nil
}

// newTransport returns the way to the upstreams. Compression is left alone: an
// object must be stored as it is.
func newTransport(proxy *url.URL) *http.Transport {
	tr := http.DefaultTransport.(*http.Transport).Clone()
	if proxy != nil {
		tr.Proxy = http.ProxyURL(proxy)
	}
	tr.DisableCompression = true
	tr.ResponseHeaderTimeout = stallAfter
	// Mirrors ask for few connections; a fleet shares these.
	tr.MaxConnsPerHost = 16
	tr.MaxIdleConnsPerHost = 16
	return tr
}

// Close ends all fetches and gives the store free. Requests still being served
// see their bodies break off.
func (c *Cache) Close() error {
	c.mu.Lock() // no flight starts after this
	c.cancel()
	c.mu.Unlock()
	c.fetchers.Wait()
	c.client.CloseIdleConnections()
	return c.store.close()
}

// count changes the statistics.
func (c *Cache) count(change func(*Stats)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	change(&c.stats)
}
