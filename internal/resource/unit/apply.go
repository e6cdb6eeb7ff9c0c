package unit

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/updraft-cloud/updraft/internal/drift"
	"github.com/updraft-cloud/updraft/internal/resource"
	"github.com/updraft-cloud/updraft/internal/resource/conffile"
	"github.com/updraft-cloud/updraft/internal/retry"
)

// Apply makes files, enablement and run state agree, in this order.
func (r *Resource) Apply(ctx context.Context, h resource.Host, _ drift.Report, why resource.Cause) error {
	found, err := r.Observe(ctx, h)
	if err != nil || found.Agrees() && len(why.Triggered) == 0 {
		return err
	}
	if !found.Agrees() && found.Status != drift.Absent {
		if err := r.keep(ctx, h, why.Made); err != nil {
			return err
		}
	}
	changed, err := r.writeFiles(h)
	if err != nil {
		return err
	}
	if r.isTemplate() {
		return systemctl(ctx, h, "daemon-reload")
	}
	s, err := r.loadedState(ctx, h, changed)
	if err != nil {
		return err
	}
	if err := r.applyEnablement(ctx, h, s, changed); err != nil {
		return err
	}
	return r.applyRunState(ctx, h, s, why)
}

// writeFiles makes the unit's files agree.
func (r *Resource) writeFiles(h resource.Host) (changed bool, err error) {
	for _, f := range r.files() {
		wrote, err := f.Write(h)
		if err != nil {
			return false, err
		}
		changed = changed || wrote
	}
	left, err := r.leftDropIns(h)
	if err != nil {
		return false, err
	}
	removed, err := conffile.Remove(h, left...)
	if err == nil && removed {
		err = conffile.Tidy(h, r.dropInDir())
	}
	return changed || removed, err
}

// loadedState lets systemd read what is on disk and returns the state as of then.
func (r *Resource) loadedState(ctx context.Context, h resource.Host, changed bool) (state, error) {
	s, err := r.look(ctx, h)
	if err != nil {
		return nil, err
	}
	if changed || s["NeedDaemonReload"] == "yes" || !s.found() {
		if err := systemctl(ctx, h, "daemon-reload"); err != nil {
			return nil, err
		}
		if s, err = r.look(ctx, h); err != nil {
			return nil, err
		}
	}
	switch s["LoadState"] {
	case "not-found":
		if r.wantsNothing() || isTrue(r.Masked) {
			return s, nil
		}
		return nil, fmt.Errorf("there is no unit %s on this host: install what brings it, or give its content", r.Name)
	case "bad-setting", "error":
		return nil, fmt.Errorf("systemd cannot load %s: %s; see: systemctl status %s", r.Name, s["LoadError"], r.Name)
	}
	return s, nil
}

func (r *Resource) look(ctx context.Context, h resource.Host) (state, error) {
	states, err := lookup(ctx, h, r.Name)
	return states[r.Name], err
}

func (r *Resource) applyEnablement(ctx context.Context, h resource.Host, s state, changed bool) error {
	if r.Masked != nil && *r.Masked != s.masked() {
		if err := systemctl(ctx, h, word(*r.Masked, "mask", "unmask"), r.Name); err != nil {
			return err
		}
	}
	switch {
	case r.Enabled == nil:
		return nil
	case !*r.Enabled && !s.disabled():
		return systemctl(ctx, h, "disable", r.Name)
	case *r.Enabled && changed && r.Content != "":
		// The [Install] section may have changed.
		if err := systemctl(ctx, h, "reenable", r.Name); err != nil {
			return err
		}
	case *r.Enabled && !s.enabled():
		if err := systemctl(ctx, h, "enable", r.Name); err != nil {
			return err
		}
	default:
		return nil
	}
	now, err := r.look(ctx, h)
	if err == nil && !now.enabled() {
		return fmt.Errorf("cannot enable %s: it is %s, since its file has no [Install] section that says when to start it", r.Name, now["UnitFileState"])
	}
	return err
}

func (r *Resource) applyRunState(ctx context.Context, h resource.Host, s state, why resource.Cause) error {
	if r.State == Stopped {
		if s.stopped() {
			return nil
		}
		return systemctl(ctx, h, "stop", r.Name)
	}
	if !s.running() {
		if r.State == Started {
			return r.bring(ctx, h, "start")
		}
		return nil
	}
	act, _, err := r.stale(h, s)
	if err != nil {
		return err
	}
	if t := r.triggered(why); act != restart && t != nothing {
		act = t
	}
	switch act {
	case restart:
		return r.bring(ctx, h, "restart")
	case reload:
		return r.bring(ctx, h, "reload-or-restart")
	}
	return nil
}

// triggered tells what changes of other resources ask for.
func (r *Resource) triggered(why resource.Cause) action {
	act := nothing
	for _, ref := range why.Triggered {
		kind, key, _ := resource.SplitRef(ref)
		if strings.HasSuffix(kind, "package") || slices.Contains(r.RestartOn, key) {
			return restart
		}
		act = reload
	}
	return act
}

// markStill marks a unit as loaded where its process does not show it: after a
// reload, or when starting it touches its files.
func (r *Resource) markStill(h resource.Host, s state) error {
	act, _, err := r.stale(h, s)
	if err != nil || act == nothing {
		return err
	}
	return r.markLoaded(h)
}

// markLoaded notes the present as the time at which the unit has read its files.
func (r *Resource) markLoaded(h resource.Host) error {
	if len(r.RestartOn)+len(r.ReloadOn) == 0 {
		return nil
	}
	if err := conffile.MakeDirs(h, path.Dir(r.marker())); err != nil {
		return err
	}
	return h.WriteFile(r.marker(), nil, resource.Access{Mode: 0o644})
}

// How long a process that systemd takes for started as soon as it is forked is
// watched: programs that reject their configuration were seen to end within
// some tens of milliseconds.
const (
	watchFor   = 200 * time.Millisecond
	watchEvery = 40 * time.Millisecond
)

// bring starts, restarts or reloads the unit and returns when it runs.
func (r *Resource) bring(ctx context.Context, h resource.Host, verb string) error {
	if verb == "start" {
		// Harmless while nothing runs, and it cannot be missed afterwards.
		if err := r.markLoaded(h); err != nil {
			return err
		}
	}
	err := r.begin(ctx, h, verb)
	var exit *resource.ExitError
	if errors.As(err, &exit) && retry.ClassOf(err) == retry.Permanent {
		return r.failure(ctx, h, verb, exit.Stderr)
	} else if err != nil {
		return err
	}
	s, err := r.look(ctx, h)
	if err != nil {
		return err
	}
	restarts := s["NRestarts"]
	if s.forked() {
		if s, err = r.watch(ctx, h, s); err != nil {
			return err
		}
	}
	switch {
	case s.running() && s["NRestarts"] == restarts:
		return r.markStill(h, s)
	case s["Type"] == "oneshot" && s["Result"] == "success" && s["RemainAfterExit"] == "no":
		return fmt.Errorf("%s has run and ended; a oneshot unit can be kept started only with RemainAfterExit=yes", r.Name)
	}
	return r.failure(ctx, h, verb, "it ended right away ("+s["Result"]+")")
}

// begin runs the verb. systemd's limit of starts is there for services that
// crash; it does not stand in the way of one that is started on purpose.
func (r *Resource) begin(ctx context.Context, h resource.Host, verb string) error {
	err := systemctl(ctx, h, verb, r.Name)
	var exit *resource.ExitError
	if !errors.As(err, &exit) || !strings.Contains(exit.Stderr, "attempted too often") {
		return err
	}
	if err := systemctl(ctx, h, "reset-failed", r.Name); err != nil {
		return err
	}
	return systemctl(ctx, h, verb, r.Name)
}

// watch looks at a fresh process until it has ended or lived long enough.
func (r *Resource) watch(ctx context.Context, h resource.Host, s state) (state, error) {
	for waited := time.Duration(0); waited < watchFor && s.running(); waited += watchEvery {
		if !retry.Wait(ctx, watchEvery) {
			return nil, context.Cause(ctx)
		}
		h.Forget()
		var err error
		if s, err = r.look(ctx, h); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// failure is the error of a unit that does not run, with its last words.
func (r *Resource) failure(ctx context.Context, h resource.Host, verb, why string) error {
	out, err := h.Run(ctx, resource.Command{
		Name: "journalctl", Args: []string{"-u", r.Name, "-n", "20", "--no-pager", "-o", "cat"}, Quiet: true, Reads: true,
	})
	words := strings.TrimSpace(string(out.Stdout))
	if err != nil || words == "" {
		return fmt.Errorf("cannot %s %s: %s; see: journalctl -u %s", verb, r.Name, why, r.Name)
	}
	return fmt.Errorf("cannot %s %s: %s; see: journalctl -u %s; its last words:\n%s", verb, r.Name, why, r.Name, words)
}

func systemctl(ctx context.Context, h resource.Host, args ...string) error {
	_, err := h.Run(ctx, resource.Command{Name: "systemctl", Args: args})
	return systemctlError(err)
}
