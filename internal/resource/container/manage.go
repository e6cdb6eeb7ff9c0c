package container

import (
	"context"
	"sync"

	"github.com/updraft-cloud/updraft/internal/drift"
	"github.com/updraft-cloud/updraft/internal/resource"
	"github.com/updraft-cloud/updraft/internal/resource/conffile"
	"github.com/updraft-cloud/updraft/internal/resource/original"
	"github.com/updraft-cloud/updraft/internal/resource/unit"
)

// Prepare asks systemd once for all containers, and those that run, all at the
// same time, whether they do their work.
func (r *Resource) Prepare(ctx context.Context, h resource.Host, all []resource.Resource) error {
	names := make([]string, len(all))
	for i, a := range all {
		names[i] = a.(*Resource).unitName()
	}
	if err := unit.Show(ctx, h, names...); err != nil {
		return err
	}
	var wg sync.WaitGroup
	for _, a := range all {
		c := a.(*Resource)
		if s, err := unit.Look(ctx, h, c.unitName()); err == nil && s.Running && c.Ready != nil {
			wg.Go(func() { _ = c.answer(ctx, h) }) // kept for Observe, which tells it
		}
	}
	wg.Wait()
	return ctx.Err()
}

// Observe compares file and run state, and looks whether it is ready.
func (r *Resource) Observe(ctx context.Context, h resource.Host) (drift.Report, error) {
	var b drift.Builder
	exists, err := r.quadlet().Compare(h, &b, "file")
	if err != nil || !exists {
		return drift.Missing(), err
	}
	u, err := r.unit().Observe(ctx, h)
	if err != nil {
		return drift.Report{}, err
	}
	if u.Status == drift.Absent {
		b.Want("state", "not loaded", "active")
	}
	for _, c := range u.Changes {
		b.Add(c)
	}
	rep := b.Report()
	if rep.Has("state") {
		return rep, nil
	}
	if rep.Agrees() {
		if old, err := r.isOld(h); err != nil || old {
			b.Want("loaded", "older than the file", "as the file says")
			return b.Report(), err
		}
	}
	// Also of one that will be restarted: whether it works decides on when.
	if begun, err := r.begun(h); err != nil || begun {
		b.Want("ready", "not seen yet", "yes")
		return b.Report(), err
	}
	if err := r.answer(ctx, h); err != nil {
		b.Want("ready", "no", "yes")
	}
	return b.Report(), nil
}

// Apply writes the file if the generator takes it, starts, restarts or reloads
// the container where that is due, and waits until it is ready.
func (r *Resource) Apply(ctx context.Context, h resource.Host, found drift.Report, why resource.Cause) error {
	if err := r.place(ctx, h, why.Made); err != nil {
		return err
	}
	before, err := r.begin(ctx, h, why)
	if err != nil {
		return err
	}
	if why.Triggered, err = r.load(ctx, h, why.Triggered); err != nil {
		return err
	}
	if err := r.triggered(why).Apply(ctx, h, found, resource.Cause{Triggered: why.Triggered, Made: true}); err != nil {
		return r.explain("does not start", err)
	}
	h.Forget()
	after, err := unit.Look(ctx, h, r.unitName())
	if err != nil {
		return err
	}
	if r.Ready == nil {
		if after.Started.Equal(before.Started) {
			return nil
		}
		return r.settle(ctx, h, after)
	}
	if err := r.await(ctx, h, after); err != nil {
		return err
	}
	return r.end(h)
}

// begin marks a start that is about to happen, so that the next run sees to its
// end should this one be cut off, and returns the unit as it is. Probes that are
// asked at every look need no mark.
func (r *Resource) begin(ctx context.Context, h resource.Host, why resource.Cause) (unit.Status, error) {
	rep, err := r.unit().Observe(ctx, h)
	if err != nil {
		return unit.Status{}, err
	}
	old, err := r.isOld(h)
	if err != nil {
		return unit.Status{}, err
	}
	if r.asksOnce() && (old || !rep.Agrees() || len(why.Triggered) > 0) {
		if _, err := r.mark().Write(h); err != nil {
			return unit.Status{}, err
		}
	}
	return unit.Look(ctx, h, r.unitName())
}

// end takes the mark away.
func (r *Resource) end(h resource.Host) error {
	_, err := conffile.Remove(h, r.mark().Path)
	return err
}

// triggered is the unit, made to restart on every trigger that is not known as
// one to reload for.
func (r *Resource) triggered(why resource.Cause) *unit.Resource {
	u := r.unit()
	for _, ref := range why.Triggered {
		if _, key, _ := resource.SplitRef(ref); !r.reloadsFor(key) {
			u.RestartOn = append(u.RestartOn, key)
		}
	}
	return u
}

// Remove stops the container and takes its file away. A container that was there
// before comes back, and runs if it did.
func (r *Resource) Remove(ctx context.Context, h resource.Host, made bool) error {
	if err := r.endTrial(h); err != nil {
		return err
	}
	was, kept, err := original.Load(h, resource.Ref(r))
	if err != nil {
		return err
	}
	if !made && !kept {
		return original.Drop(h, resource.Ref(r)) // as far as that was cut off
	}
	if err := r.takeDown(ctx, h); err != nil {
		return err
	}
	if err := r.clear(h); err != nil {
		return err
	}
	if !made {
		if err := was.Restore(h, r.quadletPath()); err != nil {
			return err
		}
	}
	if err := systemctl(ctx, h, "daemon-reload"); err != nil {
		return err
	}
	if !made && was.Text == runs {
		if err := systemctl(ctx, h, "start", r.unitName()); err != nil {
			return r.explain("does not come back as it was", err)
		}
	}
	return original.Drop(h, resource.Ref(r))
}
