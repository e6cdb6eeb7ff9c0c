package machinetest

import (
	"context"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/updraft-cloud/updraft/internal/drift"
	"github.com/updraft-cloud/updraft/internal/machine"
)

func (h *Harness) power(t *testing.T) {
	ctx, p, topo := h.begin(t, "power", 1)
	h.up(ctx, t, p, topo)
	m := topo.Machines[0]
	if h.Write != nil {
		must(t, h.Write(ctx, p, m, "kept"))
	}
	for _, off := range []struct {
		name string
		do   func(context.Context, string, string) error
	}{{"stop", p.(machine.Power).Stop}, {"cut", p.(machine.Power).Cut}} {
		for range 2 { // the second finds it off already
			if err := off.do(ctx, topo.Cloud, m.Name); err != nil {
				t.Fatalf("%s: %v", off.name, err)
			}
		}
		if s, ok := status(ctx, t, p, topo.Cloud, m.Name); !ok || s.Running {
			t.Errorf("after %s: %+v, listed %t", off.name, s, ok)
		}
		r, err := p.ObserveMachine(ctx, m)
		must(t, err)
		if r.Status != drift.Differs || !r.Has("running") || !r.Shut {
			t.Errorf("after %s: %s %+v, shut %t", off.name, r.Status, r.Changes, r.Shut)
		}
		for range 2 {
			must(t, p.(machine.Power).Start(ctx, topo.Cloud, m.Name))
		}
		h.answer(ctx, t, p, topo)
		agrees(ctx, t, h.New(t), topo)
		h.has(ctx, t, p, m, "kept")
	}
	must(t, p.(machine.Power).Cut(ctx, topo.Cloud, m.Name))
	h.up(ctx, t, p, topo) // ensure starts it as well
	agrees(ctx, t, p, topo)
}

// has fails unless the text is on the machine's disk.
func (h *Harness) has(ctx context.Context, t *testing.T, p machine.Provider, m machine.Machine, want string) {
	t.Helper()
	if h.Read == nil {
		return
	}
	if got, err := h.Read(ctx, p, m); err != nil || got != want {
		t.Errorf("the disk of machine %s has %q, %v; want %q", m.Name, got, err, want)
	}
}

func (h *Harness) powerOnNothing(t *testing.T) {
	ctx, p, topo := h.begin(t, "nothing", 1)
	power := p.(machine.Power)
	for _, f := range []func(context.Context, string, string) error{power.Start, power.Stop, power.Cut} {
		if err := f(ctx, topo.Cloud, "nobody"); err == nil {
			t.Error("power on a machine that does not exist was not refused")
		}
	}
}

func (h *Harness) snapshots(t *testing.T) {
	ctx, p, topo := h.begin(t, "snap", 2)
	h.up(ctx, t, p, topo)
	snap := p.(machine.Snapshots)
	off := topo.Machines[1]
	if h.Write != nil {
		must(t, h.Write(ctx, p, topo.Machines[0], "before"))
	}
	must(t, snap.Save(ctx, topo.Cloud, "first", quiet(t)))
	h.answer(ctx, t, p, topo)
	agrees(ctx, t, p, topo)
	if h.Write != nil {
		must(t, h.Write(ctx, p, topo.Machines[0], "after"))
	}
	must(t, p.RemoveMachine(ctx, topo.Cloud, off.Name))
	names, err := snap.Snapshots(ctx, topo.Cloud)
	if diff := cmp.Diff([]string{"first"}, names); diff != "" || err != nil {
		t.Errorf("snapshots: %v\n%s", err, diff)
	}
	for range 2 {
		must(t, snap.Restore(ctx, topo.Cloud, "first", quiet(t)))
		h.answer(ctx, t, p, topo)
		agrees(ctx, t, h.New(t), topo)
		h.has(ctx, t, p, topo.Machines[0], "before")
	}
	if err := snap.Restore(ctx, topo.Cloud, "second", quiet(t)); err == nil {
		t.Error("a snapshot that does not exist was restored")
	}
	for range 2 {
		must(t, snap.RemoveSnapshot(ctx, topo.Cloud, "first"))
	}
	if names, err := snap.Snapshots(ctx, topo.Cloud); err != nil || len(names) > 0 {
		t.Errorf("snapshots after removal: %v, %v", names, err)
	}
}

func (h *Harness) reboot(t *testing.T) {
	ctx, p, topo := h.begin(t, "reboot", 1)
	h.up(ctx, t, p, topo)
	m := topo.Machines[0]
	for range 2 {
		before, _ := status(ctx, t, p, topo.Cloud, m.Name)
		must(t, h.Reboot(ctx, p, m))
		must(t, until(ctx, func() error {
			now, _ := status(ctx, t, p, topo.Cloud, m.Name)
			if !now.Running || now.PID == 0 || now.PID == before.PID {
				return fmt.Errorf("it is still %+v, and was %+v", now, before)
			}
			return nil
		}))
		h.answer(ctx, t, p, topo)
		agrees(ctx, t, h.New(t), topo)
	}
}
