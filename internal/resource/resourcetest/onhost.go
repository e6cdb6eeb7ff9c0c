package resourcetest

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/updraft-cloud/updraft/internal/drift"
	"github.com/updraft-cloud/updraft/internal/resource"
)

// OnHost runs a case on any host, which it leaves changed by the case's Given:
// observe, apply, in sync, each drift told and mended, removed twice.
func OnHost(t *testing.T, h resource.Host, c Case) {
	t.Helper()
	OnHostWith(t, h, c, func() string { return "" })
}

// OnHostWith is [OnHost] that also holds removing to leave the host as it was,
// as far as snapshot tells it as text.
func OnHostWith(t *testing.T, h resource.Host, c Case, snapshot func() string) {
	t.Helper()
	if lacks := c.Real.lacks(h); lacks != "" {
		t.Skip(lacks)
	}
	ctx := t.Context()
	if c.Given != nil {
		if err := c.Given(ctx, h); err != nil {
			t.Fatalf("given: %v", err)
		}
	}
	before := snapshot()
	first := observeOn(t, h, c.Resource)
	if first.Agrees() {
		t.Errorf("in sync before it was applied")
	}
	applyOn(t, h, c.Resource)
	for _, d := range c.Drifts {
		if err := d.Do(ctx, h); err != nil {
			t.Fatalf("drift %s: %v", d.Name, err)
		}
		t.Run(d.Name, func(t *testing.T) {
			checkReport(t, observeOn(t, h, c.Resource), d.Attrs)
			applyOn(t, h, c.Resource)
		})
	}
	for range 2 {
		if err := resource.Removal(c.Resource).Remove(ctx, h, first.Status == drift.Absent); err != nil {
			t.Fatalf("remove: %v", err)
		}
	}
	if diff := cmp.Diff(before, snapshot()); diff != "" && !c.Stays {
		t.Errorf("removing does not leave the host as it was (-before +after):\n%s", diff)
	}
	h.Forget()
	if after := observeOn(t, h, c.Resource); !c.Stays && after.Status != first.Status {
		t.Errorf("after removing it is %s %+v, before it was %s", after.Status, after.Changes, first.Status)
	}
}

// lacks says why a case cannot be run on the host, or "".
func (r Real) lacks(h resource.Host) string {
	if r.Skip != "" {
		return r.Skip
	}
	if _, err := h.Stat("/run/systemd/system"); r.Systemd && err != nil {
		return "systemd does not run on the host"
	}
	for _, name := range r.Commands {
		found := false
		for _, dir := range []string{"/usr/sbin/", "/usr/bin/", "/sbin/", "/bin/"} {
			_, err := h.Stat(dir + name)
			found = found || err == nil
		}
		if !found {
			return "the host has no " + name
		}
	}
	return ""
}

func observeOn(t *testing.T, h resource.Host, r resource.Resource) drift.Report {
	t.Helper()
	rep, err := r.Observe(t.Context(), h)
	if err != nil {
		t.Fatalf("observe: %v", err)
	}
	return rep
}

func applyOn(t *testing.T, h resource.Host, r resource.Resource) {
	t.Helper()
	rep := observeOn(t, h, r)
	if rep.Agrees() {
		return
	}
	if err := r.Apply(t.Context(), h, rep, resource.Cause{}); err != nil {
		t.Fatalf("apply: %v", err)
	}
	if rep := observeOn(t, h, r); !rep.Agrees() {
		t.Fatalf("after apply: %s %+v", rep.Status, rep.Changes)
	}
}
