package watch

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"
)

// Cloud is what of the cloud a watcher sees and does.
type Cloud interface {
	// Computes are those that Nova and Masakari both know, with what they say; Alive
	// is not set. Those of the cloud that Masakari does not know yet are made known to
	// it, and others taken from it.
	Computes(ctx context.Context) ([]Compute, error)
	// Notify tells Masakari that the compute has died. That it was told already is no
	// error.
	Notify(ctx context.Context, name string, at time.Time) error
	// Vacate has the networks do without the compute, which has died: what of their
	// gateways was there goes elsewhere. That nothing is there is no error.
	Vacate(ctx context.Context, name string) error
	// Restore undoes what Masakari did to the compute.
	Restore(ctx context.Context, name string) error
}

// Watcher watches the computes of a cloud.
type Watcher struct {
	Cloud Cloud
	// Addresses are HOST:PORT by computes' names.
	Addresses map[string]string
	Alive     func(ctx context.Context, at string) bool
	Log       *slog.Logger

	dead map[string]*death
}

// death is what is known of a compute that is taken for dead.
type death struct {
	since   time.Time
	vacated bool
}

// Run watches until ctx ends. What fails is said, and tried again: APIs come and go.
func (w *Watcher) Run(ctx context.Context) {
	tick := time.NewTicker(Look)
	defer tick.Stop()
	last := ""
	for {
		said := ""
		if err := w.look(ctx); err != nil && ctx.Err() == nil {
			said = err.Error()
		}
		if said != "" && said != last {
			w.Log.Error("cannot look after computes", "error", said)
		}
		last = said
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// look looks at all computes once.
func (w *Watcher) look(ctx context.Context) error {
	all, err := w.Cloud.Computes(ctx)
	if err != nil {
		return err
	}
	dead := map[string]*death{}
	var errs []error
	for _, c := range all {
		// Who is up by Nova's word need not be asked.
		c.Alive = c.Up || w.Alive(ctx, w.Addresses[c.Name])
		now := time.Now()
		d := w.dead[c.Name]
		switch {
		case !c.dead():
			d = &death{}
		case d == nil:
			d = &death{since: now}
			w.Log.Warn("nothing is heard of the compute, and nothing answers there", "compute", c.Name)
		}
		errs = append(errs, w.act(ctx, c, decide(c, d.since, now), now))
		if c.dead() {
			dead[c.Name] = d
			errs = append(errs, w.vacate(ctx, c.Name, d, now))
		}
	}
	w.dead = dead
	return errors.Join(errs...)
}

// vacate has the networks do without a compute that has been dead for long enough.
// OVN's own watch over gateways, by BFD, needs a third chassis: of two that do not see
// each other, neither takes itself for the one that is left.
func (w *Watcher) vacate(ctx context.Context, name string, d *death, now time.Time) error {
	if d.vacated || now.Sub(d.since) < Patience {
		return nil
	}
	if err := w.Cloud.Vacate(ctx, name); err != nil {
		return fmt.Errorf("cannot take the networks' gateways from %s: %w", name, err)
	}
	d.vacated = true
	w.Log.Warn("the networks do without the compute: their gateways are elsewhere", "compute", name)
	return nil
}

func (w *Watcher) act(ctx context.Context, c Compute, step Step, now time.Time) error {
	switch step {
	case Nothing:
	case Notify:
		if err := w.Cloud.Notify(ctx, c.Name, now); err != nil {
			return fmt.Errorf("cannot tell Masakari that %s has died: %w", c.Name, err)
		}
		w.Log.Warn("the compute has died: Masakari starts its servers elsewhere", "compute", c.Name)
	case Restore:
		if err := w.Cloud.Restore(ctx, c.Name); err != nil {
			return fmt.Errorf("cannot let %s have servers again: %w", c.Name, err)
		}
		w.Log.Info("the compute is back, and may have servers again", "compute", c.Name)
	}
	return nil
}
