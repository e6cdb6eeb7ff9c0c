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
	// Disable notes at the compute why it takes no servers.
	Disable(ctx context.Context, name, reason string) error
	// Restore undoes what Masakari did to the compute, which stays disabled with the
	// reason that a person had for it, if there is one.
	Restore(ctx context.Context, name, person string) error
}

// Watcher watches the computes of a cloud.
type Watcher struct {
	Cloud Cloud
	// Addresses are HOST:PORT by computes' names.
	Addresses map[string]string
	Alive     func(ctx context.Context, at string) bool
	Log       *slog.Logger

	dead map[string]*death
	seen map[string]bool // computes that were alive once
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
	dead, taker := map[string]*death{}, taker(all)
	var errs []error
	for _, c := range all {
		// Who is up by Nova's word need not be asked.
		c.Alive = c.Up || w.Alive(ctx, w.Addresses[c.Name])
		now := time.Now()
		d := w.death(c, now)
		errs = append(errs, w.act(ctx, c, d, decide(c, d, now, taker), now))
		if c.dead() {
			dead[c.Name] = d
		}
		if c.dead() && taker {
			errs = append(errs, w.vacate(ctx, c.Name, d, now))
		}
	}
	w.dead = dead
	return errors.Join(errs...)
}

// death returns what is known of a compute's death, with what is seen of it now; of one
// that is alive, nothing.
func (w *Watcher) death(c Compute, now time.Time) *death {
	if !c.dead() {
		if w.seen == nil {
			w.seen = map[string]bool{}
		}
		w.seen[c.Name] = true
		return &death{}
	}
	d := w.dead[c.Name]
	if d == nil {
		d = &death{since: now, patience: Patience}
		if !w.seen[c.Name] {
			d.patience = Boot
		}
		w.Log.Warn("nothing is heard of the compute, and nothing answers there", "compute", c.Name, "dead_after", d.patience)
	}
	switch person, told := Died(c.Disabled); {
	case !told:
		d.person = c.Disabled
	case person != "":
		d.person = person
	}
	return d
}

// vacate has the networks do without a compute that has been dead for long enough.
// OVN's own watch over gateways, by BFD, needs a third chassis: of two that do not see
// each other, neither takes itself for the one that is left.
func (w *Watcher) vacate(ctx context.Context, name string, d *death, now time.Time) error {
	if d.vacated || !d.sure(now) {
		return nil
	}
	if err := w.Cloud.Vacate(ctx, name); err != nil {
		return fmt.Errorf("cannot take the networks' gateways from %s: %w", name, err)
	}
	d.vacated = true
	w.Log.Warn("the networks do without the compute: their gateways are elsewhere", "compute", name)
	return nil
}

func (w *Watcher) act(ctx context.Context, c Compute, d *death, step Step, now time.Time) error {
	switch step {
	case Nothing:
	case Notify:
		if err := w.Cloud.Notify(ctx, c.Name, now); err != nil {
			return fmt.Errorf("cannot tell Masakari that %s has died: %w", c.Name, err)
		}
		w.Log.Warn("the compute has died: Masakari starts its servers elsewhere", "compute", c.Name)
	case Note:
		if err := w.Cloud.Disable(ctx, c.Name, Reason+earlier+d.person); err != nil {
			return fmt.Errorf("cannot note at %s why it was disabled before it died: %w", c.Name, err)
		}
	case Restore:
		person, _ := Died(c.Disabled)
		if err := w.Cloud.Restore(ctx, c.Name, person); err != nil {
			return fmt.Errorf("cannot let %s have servers again: %w", c.Name, err)
		}
		w.Log.Info("the compute is back", "compute", c.Name, "disabled", person)
	}
	return nil
}
