// Package daemon runs the package cache beside a cloud as a process of its own,
// so that hosts can install packages also when no updraft is at work.
//
// The process is "updraft cache serve --config FILE". It listens in the cloud's
// network namespace, where there is one, and fetches from the computer's own.
// It is found again by PID and start time, and ends with the cloud.
package daemon

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/google/renameio/v2"

	"github.com/updraft-cloud/updraft/internal/drift"
	"github.com/updraft-cloud/updraft/internal/netns"
	"github.com/updraft-cloud/updraft/internal/pkgcache"
	"github.com/updraft-cloud/updraft/internal/proc"
)

// readyDeadline bounds the start: measured are 20 ms, and the store's index of
// 10,000 objects reads in 0.2 s.
const readyDeadline = 15 * time.Second

// Config is what the process is to do.
type Config struct {
	Cloud string `json:"cloud"`
	// Namespace is the network namespace to listen in; empty for the own one.
	Namespace string `json:"namespace,omitempty"`
	Listen    string `json:"listen"` // address:port
	// Pool is a directory of stores. A store has one owner at a time, so the
	// process takes the first that is free.
	Pool     string   `json:"pool"`
	MaxBytes int64    `json:"max_bytes,omitempty"`
	Offline  bool     `json:"offline,omitempty"`
	Hosts    []string `json:"hosts"` // upstreams that may be asked
	// Dir is where the process keeps its config, log and PID.
	Dir string `json:"dir"`
}

// Service is a cache that is to run. It implements provision.Service.
type Service struct {
	Config
	// Program is the updraft to run; the running one when empty.
	Program string `json:"-"`
}

// running is what the process writes once it listens.
type running struct {
	proc.ID
	Digest string `json:"digest"`
}

// Digest changes with the configuration.
func (s *Service) Digest() string {
	sum := sha256.Sum256(s.encode())
	return hex.EncodeToString(sum[:])
}

// Removal returns where to find the process.
func (s *Service) Removal() json.RawMessage { return s.encode() }

func (s *Service) encode() []byte {
	b, err := json.Marshal(s.Config)
	if err != nil {
		panic("daemon: " + err.Error()) // plain fields always encode
	}
	return b
}

// probeTimeout bounds a connection to the process, on this computer.
const probeTimeout = 2 * time.Second

// Observe tells whether the process runs as configured and can be reached. One
// whose namespace was taken away and made anew listens where nobody is.
func (s *Service) Observe(ctx context.Context) (drift.Report, error) {
	r, err := readRunning(s.Dir)
	if err != nil {
		return drift.Report{}, err
	}
	if !r.Alive() {
		return drift.Missing(), nil
	}
	var b drift.Builder
	b.Want("config", short(r.Digest), short(s.Digest()))
	if r.Digest == s.Digest() && !s.listens(ctx) {
		b.Want("listening", "false", "true")
	}
	return b.Report(), nil
}

// listens reports whether the address accepts connections.
func (s *Service) listens(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	addr, err := netip.ParseAddrPort(s.Listen)
	if err != nil {
		return true // nothing that could be asked
	}
	if addr.Addr().IsUnspecified() {
		addr = netip.AddrPortFrom(loopback(addr.Addr()), addr.Port())
	}
	dial := new(net.Dialer).DialContext
	if s.Namespace != "" {
		ns, err := netns.Open(s.Namespace)
		if err != nil {
			return false
		}
		defer ns.Close()
		dial = ns.DialContext
	}
	conn, err := dial(ctx, "tcp", addr.String())
	if err != nil {
		return false
	}
	_ = conn.Close() // nothing was sent
	return true
}

func loopback(unspecified netip.Addr) netip.Addr {
	if unspecified.Is4() {
		return netip.AddrFrom4([4]byte{127, 0, 0, 1})
	}
	return netip.IPv6Loopback()
}

func short(digest string) string { return digest[:min(len(digest), 12)] }

// Ensure starts the process, after stopping one with another configuration, and
// returns when it listens.
func (s *Service) Ensure(ctx context.Context, log func(string, ...any)) error {
	if err := Stop(ctx, s.Dir); err != nil {
		return err
	}
	if err := os.MkdirAll(s.Dir, 0o700); err != nil {
		return err
	}
	if err := renameio.WriteFile(s.configFile(), s.encode(), 0o600); err != nil {
		return err
	}
	ended, err := s.launch()
	if err != nil {
		return fmt.Errorf("cannot start the package cache: %w", err)
	}
	log("listening on %s", s.Listen)
	return s.await(ctx, ended)
}

func (s *Service) configFile() string { return filepath.Join(s.Dir, "config.json") }
func (s *Service) logFile() string    { return filepath.Join(s.Dir, "log") }

// launch starts the process in a session of its own, with nothing inherited but
// its log. The channel is closed when it has ended.
func (s *Service) launch() (ended <-chan struct{}, err error) {
	program := s.Program
	if program == "" {
		if program, err = os.Executable(); err != nil {
			return nil, err
		}
	}
	out, err := os.OpenFile(s.logFile(), os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, err
	}
	defer out.Close()
	cmd := exec.Command(program, "cache", "serve", "--config", s.configFile())
	cmd.Stdout, cmd.Stderr, cmd.Dir = out, out, "/"
	if err := proc.Detach(cmd); err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	done := make(chan struct{})
	go func() {
		_ = cmd.Wait() // how it ended is in its log
		close(done)
	}()
	return done, nil
}

// await waits until the process says that it listens, or ends.
func (s *Service) await(ctx context.Context, ended <-chan struct{}) error {
	ctx, cancel := context.WithTimeout(ctx, readyDeadline)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		r, err := readRunning(s.Dir)
		if err != nil {
			return err
		}
		if r.Digest == s.Digest() && r.Alive() {
			return nil
		}
		select {
		case <-tick.C:
		case <-ended:
			said, _ := os.ReadFile(s.logFile()) // the best there is to say
			return fmt.Errorf("the package cache on %s ended: %s", s.Listen, bytes.TrimSpace(said))
		case <-ctx.Done():
			said, _ := os.ReadFile(s.logFile()) // the best there is to say
			return fmt.Errorf("the package cache does not listen on %s after %s: %s", s.Listen, readyDeadline, said)
		}
	}
}

func readRunning(dir string) (running, error) {
	var r running
	data, err := os.ReadFile(filepath.Join(dir, "running.json"))
	if errors.Is(err, fs.ErrNotExist) {
		return r, nil
	}
	if err != nil {
		return r, err
	}
	if err := json.Unmarshal(data, &r); err != nil {
		return running{}, nil //nolint:nilerr // written by a process that was killed: as good as none
	}
	return r, nil
}

// Stop ends the process whose files are in dir, if there is one.
func Stop(ctx context.Context, dir string) error {
	r, err := readRunning(dir)
	if err != nil {
		return err
	}
	if err := r.Stop(ctx, 5*time.Second); err != nil {
		return fmt.Errorf("cannot stop the package cache: %w", err)
	}
	return ignoreMissing(os.Remove(filepath.Join(dir, "running.json")))
}

// Remove stops the process and removes its files. The store stays, for others.
func Remove(ctx context.Context, removal json.RawMessage) error {
	var c Config
	if err := json.Unmarshal(removal, &c); err != nil {
		return fmt.Errorf("the state of the package cache is damaged: %w", err)
	}
	if c.Dir == "" {
		return errors.New("the state of the package cache is damaged: it names no directory")
	}
	if err := Stop(ctx, c.Dir); err != nil {
		return err
	}
	return os.RemoveAll(c.Dir)
}

func ignoreMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// Serve is the process: it listens as configured until ctx ends.
func Serve(ctx context.Context, configFile string) error {
	data, err := os.ReadFile(configFile)
	if err != nil {
		return err
	}
	s := &Service{}
	if err := json.Unmarshal(data, &s.Config); err != nil {
		return fmt.Errorf("%s: %w", configFile, err)
	}
	cache, err := openPool(s.Config)
	if err != nil {
		return err
	}
	l, err := listen(ctx, s.Config)
	if err != nil {
		return errors.Join(fmt.Errorf("cannot listen on %s: %w", s.Listen, err), cache.Close())
	}
	if err := s.announce(); err != nil {
		return errors.Join(err, l.Close(), cache.Close())
	}
	return errors.Join(cache.Serve(ctx, l), cache.Close())
}

func (s *Service) announce() error {
	id, err := proc.Of(os.Getpid())
	if err != nil {
		return err
	}
	b, err := json.Marshal(running{id, s.Digest()})
	if err != nil {
		return err
	}
	return renameio.WriteFile(filepath.Join(s.Dir, "running.json"), b, 0o600)
}

func listen(ctx context.Context, c Config) (net.Listener, error) {
	if c.Namespace == "" {
		var lc net.ListenConfig
		return lc.Listen(ctx, "tcp", c.Listen)
	}
	ns, err := netns.Open(c.Namespace)
	if err != nil {
		return nil, err
	}
	defer ns.Close()
	return ns.Listen(ctx, "tcp", c.Listen)
}

// poolSize bounds how many caches run side by side on one computer.
const poolSize = 64

// openPool opens the first store of the pool that nobody has, so that clouds one
// after the other share what was fetched.
func openPool(c Config) (*pkgcache.Cache, error) {
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	for i := range poolSize {
		cache, err := pkgcache.New(pkgcache.Options{
			Dir: filepath.Join(c.Pool, fmt.Sprintf("%02d", i)), MaxBytes: c.MaxBytes, Offline: c.Offline, Hosts: c.Hosts, Log: log,
		})
		if err == nil || !errors.Is(err, pkgcache.ErrInUse) {
			return cache, err
		}
	}
	return nil, fmt.Errorf("all %d stores in %s are in use", poolSize, c.Pool)
}
