// Package serve puts the load-balancing service together: the store, the drivers,
// the API and a controller, or some of them, in one process.
//
// It guarantees that an end is orderly: the API finishes what it is answering,
// the controller ends what it is at and gives its shards to others, and the
// store is closed last. What does not end in time is cut off, as a crash would:
// everything goes on where it was.
package serve

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"github.com/updraft-cloud/updraft/internal/lb/auth"
	"github.com/updraft-cloud/updraft/internal/lb/control"
	"github.com/updraft-cloud/updraft/internal/lb/driver/openstack"
	"github.com/updraft-cloud/updraft/internal/lb/store"
	"github.com/updraft-cloud/updraft/internal/secret"
)

// Config is what the process shall be.
type Config struct {
	// Name tells controllers apart; the host's when empty.
	Name string
	// Listen is where the API is, Metrics where /metrics is; none when empty.
	Listen, Metrics string
	// TLS is for Listen.
	TLS ServerTLS
	// Data is the directory of everything that is kept.
	Data string
	// Auth is noauth or keystone.
	Auth     string
	Keystone auth.KeystoneOptions
	// PolicyFiles are rules in the language of oslo.policy; Roles is default,
	// advanced or legacy.
	Roles       string
	PolicyFiles []string
	// The drivers: see package driver. Networks is the file of local ones.
	Compute, Network, Secrets string
	Networks                  string
	Cloud                     Cloud
	// Agent is the program that runs on amphorae.
	Agent string
	// Etcd are the addresses of a cluster; the store has its own member when empty.
	Etcd    []string
	EtcdTLS EtcdTLS
	// Identity is what secrets at rest are encrypted to.
	Identity secret.Identity
	API      API
	// WithAPI and WithController say which parts run.
	WithAPI, WithController bool
	Limits                  control.Limits
	Log                     *slog.Logger
	// Ready is called with the API's URL, if there is one, when everything serves.
	Ready func(url string)
}

// Cloud is an account of OpenStack, for neutron and barbican.
type Cloud struct {
	openstack.Account
	// CA is a file with the authority of the cloud's certificates; this computer's
	// authorities when empty.
	CA string
}

// EtcdTLS are files.
type EtcdTLS struct{ CA, Certificate, Key string }

// Directories below Config.Data.
const (
	storeDir    = "store"
	amphoraDir  = "amphorae"
	networkDir  = "network"
	secretsDir  = "secrets"
	identityKey = "identity.age"
)

// StoreDir returns where the store's own member is.
func StoreDir(data string) string { return filepath.Join(data, storeDir) }

// SecretsDir returns where local secrets are.
func SecretsDir(data string) string { return filepath.Join(data, secretsDir) }

// Identity returns the identity of a data directory.
func Identity(data string) secret.Identity {
	return secret.Identity{Path: filepath.Join(data, identityKey)}
}

// service is the process.
type service struct {
	Config
	store    *store.Store
	drivers  drivers
	registry *prometheus.Registry
}

// Run serves until the context ends.
func Run(ctx context.Context, c Config) (err error) {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if err := os.MkdirAll(c.Data, 0o700); err != nil {
		return fmt.Errorf("cannot make the data directory: %w", err)
	}
	s := &service{Config: c, registry: prometheus.NewRegistry()}
	tls, err := c.EtcdTLS.Config()
	if err != nil {
		return err
	}
	// The store outlives ctx: what is under way when the end comes is stored.
	s.store, err = store.Open(context.WithoutCancel(ctx), store.Options{Dir: StoreDir(c.Data), Endpoints: c.Etcd, TLS: tls, Log: c.Log, Quota: c.quota()})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.store.Close()) }()
	id, err := control.ServiceID(ctx, s.store)
	if err != nil {
		return err
	}
	if s.drivers, err = c.open(id); err != nil {
		return err
	}
	if closer, ok := s.drivers.compute.(io.Closer); ok {
		defer func() { err = errors.Join(err, closer.Close()) }()
	}
	return s.run(ctx)
}

// run runs the parts. The first that fails ends all.
func (s *service) run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	url := ""
	if s.WithAPI {
		l, handler, done, err := s.prepareAPI(ctx)
		if err != nil {
			return err
		}
		url = "http://" + l.Addr().String()
		if handler.TLSConfig != nil {
			url = "https://" + l.Addr().String()
		}
		g.Go(func() error { return errors.Join(serveHTTP(ctx, l, handler, s.Log), done()) })
	}
	if s.Metrics != "" {
		l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", s.Metrics)
		if err != nil {
			return fmt.Errorf("cannot serve metrics: %w", err)
		}
		g.Go(func() error {
			return serveHTTP(ctx, l, &http.Server{Handler: s.metricsHandler(), ReadHeaderTimeout: readHeader}, s.Log)
		})
	}
	if s.WithController {
		c, err := s.prepareController(ctx)
		if err != nil {
			return err
		}
		g.Go(func() error { return c.Run(ctx) })
	}
	if s.Ready != nil {
		s.Ready(url)
	}
	if err := g.Wait(); !errors.Is(err, context.Canceled) {
		return err
	}
	return nil // it was ended
}

const (
	readHeader = 10 * time.Second
	// drain is how long requests may take to end.
	drain = 15 * time.Second
)

// serveHTTP serves until the context ends, and then ends what it is answering.
func serveHTTP(ctx context.Context, l net.Listener, srv *http.Server, log *slog.Logger) error {
	srv.ErrorLog = slog.NewLogLogger(log.Handler(), slog.LevelDebug)
	stopped := make(chan error, 1)
	stop := context.AfterFunc(ctx, func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), drain)
		defer cancel()
		stopped <- srv.Shutdown(ctx)
	})
	var err error
	if srv.TLSConfig != nil {
		err = srv.ServeTLS(l, "", "")
	} else {
		err = srv.Serve(l)
	}
	if stop() || !errors.Is(err, http.ErrServerClosed) {
		return err // it ended by itself
	}
	return <-stopped
}
