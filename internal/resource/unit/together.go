package unit

import (
	"context"
	"slices"
	"time"

	"github.com/updraft-cloud/updraft/internal/drift"
	"github.com/updraft-cloud/updraft/internal/resource"
	"github.com/updraft-cloud/updraft/internal/retry"
)

// ApplyTogether enables and starts units whose files are in place: one
// enablement, with the one reload of systemd that comes of it, one start, and
// one look at all while they are watched. Alone, each unit costs a reload and a
// dozen processes. What is not up by the end of the watch is left to Apply.
func (r *Resource) ApplyTogether(ctx context.Context, h resource.Host, all []resource.Resource, why []resource.Cause) []bool {
	done := make([]bool, len(all))
	// The states are held here, not looked up again: what else is applied on the
	// host meanwhile makes it forget them.
	states, err := lookup(ctx, h, names(all)...)
	if err != nil {
		return done
	}
	var some []int
	var enable, start []string
	for i, a := range all {
		u := a.(*Resource)
		s := states[u.Name]
		if !u.isPlain(h, s, why[i]) || u.keepState(h, why[i].Made, s) != nil {
			continue
		}
		some = append(some, i)
		if isTrue(u.Enabled) && !s.enabled() {
			enable = append(enable, u.Name)
		}
		if u.State == Started && !s.running() && u.markLoaded(h) == nil {
			start = append(start, u.Name)
		}
	}
	if len(some) < 2 || bulk(ctx, h, enable, "enable") != nil || bulk(ctx, h, start, "start", "--no-block") != nil {
		return done
	}
	up, err := watchAll(ctx, h, start, states)
	for _, i := range some {
		s, started := up[all[i].(*Resource).Name]
		done[i] = err == nil && (!started || s.running() && s["NRestarts"] == "0")
	}
	return done
}

// names returns those of units that systemd can be asked about.
func names(all []resource.Resource) []string {
	var out []string
	for _, a := range all {
		if u := a.(*Resource); !u.isTemplate() {
			out = append(out, u.Name)
		}
	}
	return out
}

// isPlain reports whether all that is to be done to the unit is to enable or
// start it.
func (r *Resource) isPlain(h resource.Host, s state, why resource.Cause) bool {
	var b drift.Builder
	if r.isTemplate() || r.State == Stopped || r.Masked != nil || r.Enabled != nil && !*r.Enabled {
		return false
	}
	if s["LoadState"] != "loaded" || s["NeedDaemonReload"] == "yes" || s.running() && len(why.Triggered) > 0 {
		return false
	}
	if exists, err := r.compareFiles(h, &b); err != nil || !exists || !b.Report().Agrees() {
		return false
	}
	act, _, err := r.stale(h, s)
	return err == nil && act == nothing
}

// bulk runs systemctl on all units, if there are any.
func bulk(ctx context.Context, h resource.Host, names []string, args ...string) error {
	if len(names) == 0 {
		return nil
	}
	return systemctl(ctx, h, append(append(args, "--"), names...)...)
}

// watchAll looks at started units at the end of the time for which fresh
// processes are watched, and early if none needs to be. It returns them as they
// were last seen; before is how they were.
func watchAll(ctx context.Context, h resource.Host, started []string, before map[string]state) (states map[string]state, err error) {
	pauses := []time.Duration{watchFor}
	if !slices.ContainsFunc(started, func(n string) bool { return before[n].forked() }) {
		pauses = []time.Duration{watchEvery, watchFor - watchEvery}
	}
	for _, pause := range pauses {
		if len(started) == 0 || states != nil && settled(states) {
			break
		}
		if !retry.Wait(ctx, pause) {
			return nil, context.Cause(ctx)
		}
		h.Forget()
		if states, err = lookup(ctx, h, started...); err != nil {
			return nil, err
		}
	}
	return states, nil
}

// settled reports whether all run and say so themselves.
func settled(states map[string]state) bool {
	for _, s := range states {
		if !s.running() || s.forked() {
			return false
		}
	}
	return true
}

// forked reports whether systemd takes the unit for started as soon as its
// process is forked.
func (s state) forked() bool {
	t := s["Type"]
	return t == "simple" || t == "exec" || t == "idle"
}
