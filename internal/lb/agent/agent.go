package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/updraft-cloud/updraft/internal/lb/amphora"
)

// Agent is what runs on an amphora.
type Agent struct {
	boot       Boot
	log        *slog.Logger
	haproxy    *haproxy
	keepalived *keepalived
	health     *health
	identity   *identity

	// applying is held while anything is made so, mu for what is read meanwhile.
	applying sync.Mutex
	mu       sync.Mutex
	config   *amphora.Config
	fault    string // why HAProxy does not serve

	observing sync.Mutex // also of totals
	totals    totals
	bootCount uint64
	seq       atomic.Uint64 // of the last beat
	stir      chan struct{}
	mend      chan struct{}
}

// New returns an agent that has not yet begun.
func New(b Boot, log *slog.Logger) (*Agent, error) {
	if err := os.MkdirAll(b.Dir, 0o700); err != nil {
		return nil, err
	}
	a := &Agent{boot: b, log: log, stir: make(chan struct{}, 1), mend: make(chan struct{}, 1)}
	again := func() { poke(a.mend) }
	a.haproxy = newHAProxy(b.Dir, b.HAProxy, log, again)
	a.keepalived = newKeepalived(b.Dir, b.Keepalived, log, again)
	var err error
	if a.identity, err = newIdentity(b); err != nil {
		return nil, err
	}
	return a, a.recall()
}

func poke(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// Run serves until the context ends. HAProxy and keepalived stay.
func (a *Agent) Run(ctx context.Context) error {
	a.health = newHealth(ctx, a.healthChanged, a.changed)
	a.haproxy.process.adopt()
	a.keepalived.process.adopt()
	if err := a.resume(ctx); err != nil {
		a.log.Error("cannot go on as before", "error", err)
	}
	var wg sync.WaitGroup
	wg.Go(func() { a.beats(ctx) })
	wg.Go(func() { a.tend(ctx) })
	err := a.serve(ctx)
	wg.Wait()
	return err
}

func (a *Agent) configPath() string { return filepath.Join(a.boot.Dir, "config.json") }

// changingPath is there while HAProxy may be something else than config.json says.
func (a *Agent) changingPath() string { return filepath.Join(a.boot.Dir, "changing") }

// undo has HAProxy be as the configuration says, after an agent ended while it was
// being changed.
func (a *Agent) undo(ctx context.Context) error {
	if _, err := os.Stat(a.changingPath()); err != nil {
		return nil //nolint:nilerr // it did not
	}
	c := a.config
	if c.HAProxy != nil && a.haproxy.process.running() {
		if err := a.haproxy.reload(ctx, c.HAProxy, c.Files); err != nil {
			return err
		}
	}
	return os.Remove(a.changingPath())
}

// resume goes on with the configuration of the agent before.
func (a *Agent) resume(ctx context.Context) error {
	data, err := os.ReadFile(a.configPath())
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	c, err := amphora.Decode(data)
	if err != nil {
		return err
	}
	a.applying.Lock()
	defer a.applying.Unlock()
	a.keepalived.text = c.Keepalived
	a.mu.Lock()
	a.config = c
	a.mu.Unlock()
	a.health.watch(toWatch(c))
	return errors.Join(settings(c), a.forward(ctx, c.Virtuals, c.Virtuals), a.undo(ctx), a.reconcile(ctx))
}

// errOlder means that a newer configuration is in effect.
var errOlder = errors.New("it is older than the one in effect")

// Apply makes a configuration take effect.
func (a *Agent) Apply(ctx context.Context, c *amphora.Config) (amphora.Applied, error) {
	began := time.Now()
	if c.Amphora != a.boot.AmphoraID {
		return amphora.Applied{}, fmt.Errorf("cannot use a configuration for %s: this is %s", c.Amphora, a.boot.AmphoraID)
	}
	a.applying.Lock()
	defer a.applying.Unlock()
	from := a.config
	if from == nil {
		from = &amphora.Config{}
	}
	if c.Version < from.Version {
		return amphora.Applied{}, fmt.Errorf("cannot use version %d of the configuration: %w, %d", c.Version, errOlder, from.Version)
	}
	by, why, err := a.change(ctx, from, c)
	if err != nil {
		return amphora.Applied{}, err
	}
	a.changed()
	return amphora.Applied{
		Version: c.Version, Digest: c.Digest(), By: by, Why: why, Boot: a.bootCount, Seq: a.seq.Load(),
		TookMS: float64(time.Since(began).Microseconds()) / 1000,
	}, nil
}

// change does first what can be refused. After HAProxy has it, the configuration
// is the one in effect, also if something else of it failed: then it is answered
// as an error, tried again by tend, and by the controller.
func (a *Agent) change(ctx context.Context, from, to *amphora.Config) (by, why string, err error) {
	if err := settings(to); err != nil {
		return "", "", err
	}
	if by, why, err = a.serveBy(ctx, from, to); err != nil {
		return "", "", err
	}
	a.mu.Lock()
	a.config, a.fault = to, ""
	a.mu.Unlock()
	a.health.watch(toWatch(to))
	gone := func() error {
		var errs []error
		for _, v := range from.VIPs {
			handed := from.Keepalived == "" && to.Keepalived != "" // keepalived holds only what it took itself
			if handed || !slices.ContainsFunc(to.VIPs, func(o amphora.VIP) bool { return o.Address == v.Address }) {
				errs = append(errs, removeVIP(v.Address))
			}
		}
		return errors.Join(errs...)
	}
	return by, why, errors.Join(gone(), a.forward(ctx, from.Virtuals, to.Virtuals), a.reconcile(ctx), a.retell(from, to))
}

// serveBy has HAProxy do its part, and keeps the configuration for the next agent.
func (a *Agent) serveBy(ctx context.Context, from, to *amphora.Config) (by, why string, err error) {
	data, err := json.Marshal(to)
	if err != nil {
		return "", "", err
	}
	if err := replace(a.changingPath(), nil); err != nil {
		return "", "", err
	}
	if by, why, err = a.haproxy.apply(ctx, from.HAProxy, to.HAProxy, to.Files); err == nil {
		err = replace(a.configPath(), data)
	}
	return by, why, errors.Join(err, os.Remove(a.changingPath()))
}

// retell gives HAProxy the health that the agent knows: a new process has not
// been told, and whom nobody checks any longer is well.
func (a *Agent) retell(from, to *amphora.Config) error {
	if to.HAProxy == nil {
		return nil
	}
	var errs []error
	for _, p := range to.Probes {
		errs = append(errs, a.haproxy.health(p.Backend, p.Server, a.health.up(p.Backend, p.Server)))
	}
	for _, p := range from.Probes {
		if !a.health.watches(p.Backend, p.Server) && to.HAProxy.Has(p.Backend, p.Server) {
			errs = append(errs, a.haproxy.health(p.Backend, p.Server, true))
		}
	}
	return errors.Join(errs...)
}

// reconcile makes processes and addresses be as the configuration says. Its
// caller holds applying.
func (a *Agent) reconcile(ctx context.Context) error {
	c := a.config
	var errs []error
	if c.HAProxy != nil && !a.haproxy.process.running() {
		errs = append(errs, a.revive(ctx))
	}
	if c.Keepalived != "" {
		errs = append(errs, a.keepalived.tell(a.faulty()))
	}
	text := c.Keepalived
	if c.Fenced {
		text = ""
	}
	crashed := text != "" && a.keepalived.text == text && !a.keepalived.process.running()
	if c.Fenced || crashed {
		// keepalived that was killed leaves its addresses behind.
		errs = append(errs, a.keepalived.apply(ctx, ""), a.drop(c.VIPs))
	}
	errs = append(errs, a.keepalived.apply(ctx, text))
	if !c.Fenced && c.Keepalived == "" {
		for _, v := range c.VIPs {
			errs = append(errs, ensureVIP(v))
		}
	}
	return errors.Join(errs...)
}

func (a *Agent) drop(vips []amphora.VIP) error {
	var errs []error
	for _, v := range vips {
		errs = append(errs, removeVIP(v.Address))
	}
	return errors.Join(errs...)
}

// revive starts HAProxy again after it ended by itself.
func (a *Agent) revive(ctx context.Context) error {
	err := a.haproxy.restart(ctx)
	if err == nil {
		err = a.retell(a.config, a.config)
	}
	a.mu.Lock()
	a.fault = ""
	if err != nil {
		a.fault = err.Error()
	}
	a.mu.Unlock()
	return err
}

// tendEvery is how long something that is not as it should be stays so, unless
// its end is noticed at once.
const tendEvery = time.Second

// tend mends what broke by itself.
func (a *Agent) tend(ctx context.Context) {
	tick := time.NewTicker(tendEvery)
	defer tick.Stop()
	mend := a.mend
	for {
		select {
		case <-ctx.Done():
			return
		case <-mend:
		case <-tick.C:
		}
		mend = a.mend
		if err := a.tendOnce(ctx); err != nil {
			a.log.Error("not all is as it should be", "error", err)
			mend = nil // what ends at once is not started again at once
		}
	}
}

func (a *Agent) tendOnce(ctx context.Context) error {
	a.applying.Lock()
	defer a.applying.Unlock()
	if a.config == nil {
		return nil
	}
	before := a.faulty()
	err := a.reconcile(ctx)
	if a.faulty() != before {
		a.changed()
	}
	if a.config.HAProxy != nil {
		a.haproxy.purge()
	}
	return err
}

func (a *Agent) faulty() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.fault != ""
}

// healthChanged acts on what a check of the agent's own found.
func (a *Agent) healthChanged(w watched, up bool) {
	a.applying.Lock()
	defer a.applying.Unlock()
	a.log.Info("a member's health has changed", "owner", w.Owner, "member", w.Member, "up", up)
	c := a.config
	if c == nil {
		return // released meanwhile
	}
	if slices.ContainsFunc(c.Virtuals, func(v amphora.Virtual) bool { return v.Listener == w.Owner }) {
		if err := a.forward(context.Background(), c.Virtuals, c.Virtuals); err != nil {
			a.log.Error("cannot forward", "error", err)
		}
		return
	}
	if err := a.haproxy.health(w.Owner, w.Member, up); err != nil {
		a.log.Error("cannot tell HAProxy", "error", err)
	}
}

// release stops everything and gives all addresses back.
func (a *Agent) release(ctx context.Context) error {
	a.applying.Lock()
	defer a.applying.Unlock()
	c := a.config
	if c == nil {
		return nil
	}
	a.health.watch(nil)
	err := errors.Join(a.keepalived.apply(ctx, ""), a.drop(c.VIPs), a.haproxy.process.stop(ctx))
	if len(c.Virtuals) > 0 {
		err = errors.Join(err, a.forward(ctx, nil, []amphora.Virtual{}))
	}
	if err != nil {
		return err
	}
	a.mu.Lock()
	a.config = nil
	a.mu.Unlock()
	return os.Remove(a.configPath())
}

// addresses are for logs.
func addresses(vips []amphora.VIP) []netip.Addr {
	var out []netip.Addr
	for _, v := range vips {
		out = append(out, v.Address)
	}
	return out
}
