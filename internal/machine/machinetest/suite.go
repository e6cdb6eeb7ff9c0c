// Package machinetest is the conformance suite of machine providers. What a
// provider promises in the comments of package machine is held here, over every
// implementation: the fake and static in unit tests, the lab with real machines.
package machinetest

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/updraft-cloud/updraft/internal/drift"
	"github.com/updraft-cloud/updraft/internal/machine"
)

// Harness is one provider under test.
type Harness struct {
	// New returns a provider; each call stands for a new process that sees the
	// same world.
	New func(t *testing.T) machine.Provider
	// Topology returns what a cloud with n machines asks for, images included.
	// Clouds of different names may have the same addresses.
	Topology func(t *testing.T, cloud string, n int) machine.Topology
	// Cloud makes a name unique to the test run of a short suffix.
	Cloud func(suffix string) string
	// Trace renders everything in the world that a cloud may leave behind. It is
	// compared before and after; nil: not compared.
	Trace func(t *testing.T) string
	// Answers waits until the machine answers; nil: not waited for.
	Answers func(ctx context.Context, p machine.Provider, m machine.Machine) error
	// Reboot reboots the machine from within; nil: not tried.
	Reboot func(ctx context.Context, p machine.Provider, m machine.Machine) error
	// Write and Read keep a text on the machine's disk; nil: not tried.
	Write func(ctx context.Context, p machine.Provider, m machine.Machine, text string) error
	Read  func(ctx context.Context, p machine.Provider, m machine.Machine) (string, error)
	// Interrupt returns contexts that end at different points of an Ensure.
	// Each is used once on the same machine, before one that does not end.
	Interrupt func(t *testing.T) []context.Context
	// Takes says that the provider takes things away again. One that only uses
	// what exists does not.
	Takes bool
}

// Suite runs all tests of the contract that apply to the provider.
func Suite(t *testing.T, h Harness) {
	t.Run("ensured things are in sync, also the second time and for another process", h.ensureTwice)
	t.Run("an interrupted ensure is finished by the next", h.interrupted)
	if !h.Takes {
		t.Run("removal leaves machines alone", h.removalKeeps)
		return
	}
	t.Run("what was not made is absent", h.absent)
	t.Run("removal takes everything, from any state, twice", h.removeTwice)
	t.Run("half-made clouds are removed without a trace", h.removeHalfMade)
	t.Run("one machine is removed and made again beside others", h.replaceOne)
	t.Run("changed limits are changed in place", h.limits)
	t.Run("a lost network is mended", h.lostNetwork)
	t.Run("two clouds with the same addresses do not meet", h.sideBySide)
	p := h.New(t)
	if _, ok := p.(machine.Power); ok {
		t.Run("machines stop, start and survive a power cut", h.power)
		t.Run("power on what does not exist is refused", h.powerOnNothing)
	}
	if _, ok := p.(machine.Snapshots); ok {
		t.Run("snapshots bring disks back", h.snapshots)
	}
	if h.Reboot != nil {
		t.Run("a machine that reboots itself comes back", h.reboot)
	}
}

// deadline bounds one test; the lab on a loaded machine needs most of it.
const deadline = 5 * time.Minute

// begin returns a context, a provider and a cloud that is removed at the end,
// after which the world must be as it was.
func (h *Harness) begin(t *testing.T, suffix string, n int) (context.Context, machine.Provider, machine.Topology) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), deadline)
	t.Cleanup(cancel)
	p := h.New(t)
	topo := h.Topology(t, h.Cloud(suffix), n)
	for _, i := range topo.Images { // shared with other clouds, and no part of the trace
		must(t, p.EnsureImage(ctx, i, quiet(t)))
	}
	before := h.trace(t)
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("world at the failure:\n%s", h.trace(t))
		}
		ctx, cancel := context.WithTimeout(context.Background(), deadline)
		defer cancel()
		if err := h.New(t).RemoveAll(ctx, topo.Cloud, quiet(t)); err != nil {
			t.Error(err)
		}
		if diff := cmp.Diff(before, h.trace(t)); diff != "" {
			t.Errorf("the cloud left a trace (-before +after):\n%s", diff)
		}
	})
	return ctx, p, topo
}

func (h *Harness) trace(t *testing.T) string {
	if h.Trace == nil {
		return ""
	}
	return h.Trace(t)
}

func quiet(t *testing.T) machine.Log {
	return func(format string, args ...any) { t.Logf(format, args...) }
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// up makes everything and waits for the machines.
func (h *Harness) up(ctx context.Context, t *testing.T, p machine.Provider, topo machine.Topology) {
	t.Helper()
	must(t, ensureNetworks(ctx, t, p, topo))
	for _, m := range topo.Machines {
		must(t, p.EnsureMachine(ctx, m, quiet(t)))
	}
	h.answer(ctx, t, p, topo)
}

func ensureNetworks(ctx context.Context, t *testing.T, p machine.Provider, topo machine.Topology) error {
	for _, n := range topo.Networks {
		if err := p.EnsureNetwork(ctx, topo.Cloud, n, quiet(t)); err != nil {
			return err
		}
	}
	return nil
}

func (h *Harness) answer(ctx context.Context, t *testing.T, p machine.Provider, topo machine.Topology) {
	t.Helper()
	if h.Answers == nil {
		return
	}
	for _, m := range topo.Machines {
		if err := h.Answers(ctx, p, m); err != nil {
			t.Fatalf("machine %s does not answer: %v", m.Name, err)
		}
	}
}

// agrees fails unless everything observed is in sync.
func agrees(ctx context.Context, t *testing.T, p machine.Provider, topo machine.Topology) {
	t.Helper()
	observe(ctx, t, p, topo, func(what string, r drift.Report) {
		if !r.Agrees() {
			t.Errorf("%s: %s %+v", what, r.Status, r.Changes)
		}
	})
}

func observe(ctx context.Context, t *testing.T, p machine.Provider, topo machine.Topology, see func(what string, r drift.Report)) {
	t.Helper()
	for _, i := range topo.Images {
		r, err := p.ObserveImage(ctx, i)
		must(t, err)
		see("image "+i.ID, r)
	}
	for _, n := range topo.Networks {
		r, err := p.ObserveNetwork(ctx, topo.Cloud, n)
		must(t, err)
		see("network "+n.Name, r)
	}
	for _, m := range topo.Machines {
		r, err := p.ObserveMachine(ctx, m)
		must(t, err)
		see("machine "+m.Name, r)
	}
}

// status returns the machine's entry in the list.
func status(ctx context.Context, t *testing.T, p machine.Provider, cloud, name string) (machine.Status, bool) {
	t.Helper()
	inv, err := p.List(ctx, cloud)
	must(t, err)
	for _, s := range inv.Machines {
		if s.Name == name {
			return s, true
		}
	}
	return machine.Status{}, false
}

func (h *Harness) ensureTwice(t *testing.T) {
	ctx, p, topo := h.begin(t, "twice", 2)
	h.up(ctx, t, p, topo)
	agrees(ctx, t, p, topo)
	agrees(ctx, t, h.New(t), topo)
	before, _ := status(ctx, t, p, topo.Cloud, topo.Machines[0].Name)
	h.up(ctx, t, h.New(t), topo)
	agrees(ctx, t, p, topo)
	after, _ := status(ctx, t, p, topo.Cloud, topo.Machines[0].Name)
	if before != after {
		t.Errorf("the second ensure changed the machine from %+v to %+v", before, after)
	}
	if diags := p.Check(ctx, topo); diags.HasErrors() {
		t.Errorf("check of what exists: %v", diags)
	}
}

func (h *Harness) interrupted(t *testing.T) {
	if h.Interrupt == nil {
		t.Skip("the provider has no step to be interrupted in")
	}
	ctx, p, topo := h.begin(t, "cutoff", 1)
	must(t, ensureNetworks(ctx, t, p, topo))
	cut := 0
	for _, short := range h.Interrupt(t) {
		err := h.New(t).EnsureMachine(short, topo.Machines[0], quiet(t))
		switch {
		case err == nil:
		case short.Err() != nil || errors.Is(err, context.Canceled):
			cut++
		default:
			t.Fatalf("interrupted ensure: %v", err)
		}
	}
	if cut == 0 {
		t.Error("no context ended in time to interrupt anything")
	}
	h.up(ctx, t, p, topo)
	agrees(ctx, t, p, topo)
}

func (h *Harness) absent(t *testing.T) {
	ctx, p, topo := h.begin(t, "absent", 1)
	topo.Images = nil
	observe(ctx, t, p, topo, func(what string, r drift.Report) {
		if r.Status != drift.Absent {
			t.Errorf("%s: %s", what, r.Status)
		}
	})
	inv, err := p.List(ctx, topo.Cloud)
	must(t, err)
	if len(inv.Machines)+len(inv.Networks) > 0 {
		t.Errorf("list of nothing: %+v", inv)
	}
}

func (h *Harness) removalKeeps(t *testing.T) {
	ctx, p, topo := h.begin(t, "keeps", 1)
	h.up(ctx, t, p, topo)
	must(t, p.RemoveMachine(ctx, topo.Cloud, topo.Machines[0].Name))
	must(t, p.RemoveAll(ctx, topo.Cloud, quiet(t)))
	h.answer(ctx, t, p, topo)
	agrees(ctx, t, p, topo)
}

func (h *Harness) removeTwice(t *testing.T) {
	ctx, p, topo := h.begin(t, "remove", 2)
	before := h.trace(t)
	h.up(ctx, t, p, topo)
	for range 2 {
		for _, m := range topo.Machines {
			must(t, p.RemoveMachine(ctx, topo.Cloud, m.Name))
		}
	}
	for range 2 {
		for _, n := range topo.Networks {
			must(t, p.RemoveNetwork(ctx, topo.Cloud, n.Name))
		}
	}
	if diff := cmp.Diff(before, h.trace(t)); diff != "" {
		t.Errorf("removal piece by piece left a trace:\n%s", diff)
	}
	h.up(ctx, t, p, topo)
	for range 2 {
		must(t, h.New(t).RemoveAll(ctx, topo.Cloud, quiet(t)))
	}
	if diff := cmp.Diff(before, h.trace(t)); diff != "" {
		t.Errorf("removal of all left a trace:\n%s", diff)
	}
}

func (h *Harness) removeHalfMade(t *testing.T) {
	if h.Interrupt == nil {
		t.Skip("the provider has no step to be interrupted in")
	}
	ctx, p, topo := h.begin(t, "half", 1)
	before := h.trace(t)
	for _, short := range h.Interrupt(t) {
		must(t, ensureNetworks(ctx, t, p, topo))
		_ = p.EnsureMachine(short, topo.Machines[0], quiet(t)) // cut off somewhere, or not
		for range 2 {
			must(t, h.New(t).RemoveAll(ctx, topo.Cloud, quiet(t)))
		}
		if diff := cmp.Diff(before, h.trace(t)); diff != "" {
			t.Fatalf("a half-made cloud left a trace:\n%s", diff)
		}
	}
}

func (h *Harness) replaceOne(t *testing.T) {
	ctx, p, topo := h.begin(t, "replace", 2)
	h.up(ctx, t, p, topo)
	other, _ := status(ctx, t, p, topo.Cloud, topo.Machines[1].Name)
	must(t, p.RemoveMachine(ctx, topo.Cloud, topo.Machines[0].Name))
	if r, err := p.ObserveMachine(ctx, topo.Machines[0]); err != nil || r.Status != drift.Absent {
		t.Errorf("removed machine: %s, %v", r.Status, err)
	}
	h.up(ctx, t, p, topo)
	agrees(ctx, t, p, topo)
	if now, _ := status(ctx, t, p, topo.Cloud, topo.Machines[1].Name); now != other {
		t.Errorf("the other machine changed from %+v to %+v", other, now)
	}
}

func (h *Harness) limits(t *testing.T) {
	ctx, p, topo := h.begin(t, "limits", 1)
	h.up(ctx, t, p, topo)
	m := topo.Machines[0]
	before, _ := status(ctx, t, p, topo.Cloud, m.Name)
	m.CPUs, m.Memory = 0.5, 512<<20
	r, err := p.ObserveMachine(ctx, m)
	must(t, err)
	if r.Status != drift.Differs || !r.Has("cpus") || !r.Has("memory") || len(r.Changes) != 2 {
		t.Errorf("changed limits are seen as %s %+v", r.Status, r.Changes)
	}
	must(t, p.EnsureMachine(ctx, m, quiet(t)))
	if r, err = p.ObserveMachine(ctx, m); err != nil || !r.Agrees() {
		t.Errorf("after the change: %+v, %v", r, err)
	}
	if now, _ := status(ctx, t, p, topo.Cloud, m.Name); now != before {
		t.Errorf("the machine was restarted: %+v, then %+v", before, now)
	}
}

func (h *Harness) lostNetwork(t *testing.T) {
	ctx, p, topo := h.begin(t, "lostnet", 1)
	before := h.trace(t)
	must(t, ensureNetworks(ctx, t, p, topo))
	must(t, p.RemoveNetwork(ctx, topo.Cloud, topo.Networks[0].Name))
	r, err := p.ObserveNetwork(ctx, topo.Cloud, topo.Networks[0])
	must(t, err)
	if r.Status != drift.Absent {
		t.Errorf("a removed network is %s", r.Status)
	}
	if err := p.EnsureMachine(ctx, topo.Machines[0], quiet(t)); err == nil {
		t.Error("a machine was made on a network that does not exist")
	}
	h.up(ctx, t, p, topo)
	agrees(ctx, t, p, topo)
	must(t, p.RemoveAll(ctx, topo.Cloud, quiet(t)))
	if diff := cmp.Diff(before, h.trace(t)); diff != "" {
		t.Errorf("left a trace:\n%s", diff)
	}
}

func (h *Harness) sideBySide(t *testing.T) {
	ctx, p, one := h.begin(t, "side-a", 1)
	two := h.Topology(t, h.Cloud("side-b"), 1)
	t.Cleanup(func() { _ = h.New(t).RemoveAll(context.Background(), two.Cloud, quiet(t)) })
	h.up(ctx, t, p, one)
	h.up(ctx, t, p, two)
	if h.Write != nil {
		must(t, h.Write(ctx, p, one.Machines[0], "one"))
		must(t, h.Write(ctx, p, two.Machines[0], "two"))
		got, err := h.Read(ctx, p, one.Machines[0])
		if err != nil || got != "one" {
			t.Errorf("the first cloud's machine has %q, %v", got, err)
		}
	}
	must(t, p.RemoveAll(ctx, two.Cloud, quiet(t)))
	agrees(ctx, t, p, one)
	h.answer(ctx, t, p, one)
}

// until probes until nil comes or ctx ends.
func until(ctx context.Context, probe func() error) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := probe()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return err
		case <-tick.C:
		}
	}
}
