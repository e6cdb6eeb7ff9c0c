package watch

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestWhatIsDoneAboutACompute(t *testing.T) {
	for rule, c := range map[string]struct {
		compute Compute
		dead    time.Duration // how long it has been seen dead
		want    Step
	}{
		"one that works is left alone":                         {Compute{Up: true, Alive: true}, 0, Nothing},
		"a dead one is told of":                                {Compute{}, Patience, Notify},
		"but not at once":                                      {Compute{}, Patience - 1, Nothing},
		"servers go on where only nova-compute has ended":      {Compute{Alive: true}, time.Hour, Nothing},
		"one that is only cut off from here is not dead":       {Compute{Up: true}, time.Hour, Nothing},
		"it is told of once":                                   {Compute{Maintenance: true}, time.Hour, Nothing},
		"when it is back it has servers again":                 {Compute{Up: true, Alive: true, Disabled: Reason, Maintenance: true}, 0, Restore},
		"even if restoring ended halfway":                      {Compute{Up: true, Alive: true, Disabled: Reason}, 0, Restore},
		"as long as it is away nothing is restored":            {Compute{Disabled: Reason, Maintenance: true}, time.Hour, Nothing},
		"what a person has disabled stays so":                  {Compute{Up: true, Alive: true, Disabled: "disk"}, 0, Nothing},
		"what a person has put into maintenance stays so":      {Compute{Up: true, Alive: true, Maintenance: true}, 0, Nothing},
		"one that a person disabled is recovered all the same": {Compute{Disabled: "disk"}, Patience, Notify},
	} {
		now := time.Now()
		if got := decide(c.compute, now.Add(-c.dead), now); got != c.want {
			t.Errorf("%s: %d, want %d", rule, got, c.want)
		}
	}
}

// cloud is one whose computes are as a test has them; it notes what is done.
type cloud struct {
	computes []Compute
	fails    error
	stays    error // what Vacate says
	log      []string
}

func (c *cloud) Computes(context.Context) ([]Compute, error) {
	return slices.Clone(c.computes), c.fails
}

func (c *cloud) Notify(_ context.Context, name string, _ time.Time) error {
	c.log = append(c.log, "notify "+name)
	c.computes[0].Maintenance, c.computes[0].Disabled = true, Reason
	return nil
}

func (c *cloud) Vacate(_ context.Context, name string) error {
	c.log = append(c.log, "vacate "+name)
	return c.stays
}

func (c *cloud) Restore(_ context.Context, name string) error {
	c.log = append(c.log, "restore "+name)
	c.computes[0].Maintenance, c.computes[0].Disabled = false, ""
	return nil
}

func TestADeadComputeIsToldOfAndComesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		c := &cloud{computes: []Compute{{Name: "compute1", Up: true}}}
		w := &Watcher{Cloud: c, Addresses: map[string]string{"compute1": "x"}, Log: slog.New(slog.DiscardHandler)}
		w.Alive = func(context.Context, string) bool { return c.computes[0].Up }
		go w.Run(t.Context())
		set := func(up bool, fails error) { c.computes[0].Up, c.fails = up, fails }
		at := func(when time.Duration) { time.Sleep(time.Until(start.Add(when))); synctest.Wait() }
		at(time.Minute)
		set(false, nil)
		at(time.Minute + Patience)
		if len(c.log) > 0 {
			t.Errorf("too early: %q", c.log)
		}
		// An API that does not answer meanwhile changes nothing.
		set(false, errors.New("no answer"))
		at(time.Minute + Patience + 3*Look)
		c.stays = errors.New("Neutron does not answer")
		set(false, nil)
		at(time.Minute + Patience + 5*Look + time.Second)
		c.stays = nil
		at(3 * time.Minute)
		set(true, nil)
		at(4 * time.Minute)
		// What did not succeed is tried again, and what did is not.
		want := []string{"notify compute1", "vacate compute1", "vacate compute1", "vacate compute1", "restore compute1"}
		if diff := cmp.Diff(want, c.log); diff != "" {
			t.Error(diff)
		}
	})
}

func TestAGuardEndsServersInTimeAndOnlyThen(t *testing.T) {
	for rule, c := range map[string]struct {
		of, alive int
		cut       time.Duration
		kills     bool
	}{
		"a majority is enough":   {3, 2, time.Hour, false},
		"less than half is not":  {3, 1, Lease + 2*Interval, true},
		"none is not":            {3, 0, Lease + 2*Interval, true},
		"a short cut is no harm": {3, 0, Lease - 2*Interval, false},
		"half is not enough, as the other half may be one": {4, 2, Lease + 2*Interval, true},
	} {
		t.Run(rule, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				start, alive, log := time.Now(), c.of, []string(nil)
				g := Guard{Log: slog.New(slog.DiscardHandler)}
				for i := range c.of {
					g.Controllers = append(g.Controllers, fmt.Sprint(i))
				}
				g.Alive = func(_ context.Context, at string) bool { return slices.Index(g.Controllers, at) < alive }
				g.Kill = func() error { log = append(log, "kill"); return nil }
				g.Rejoin = func(context.Context) error { log = append(log, "rejoin"); return nil }
				go g.Run(t.Context())
				at := func(when time.Duration) { time.Sleep(time.Until(start.Add(when))); synctest.Wait() }
				at(time.Minute + time.Second)
				alive = c.alive
				at(time.Minute + time.Second + c.cut)
				alive = c.of
				at(2*time.Minute + c.cut)
				var want []string
				if c.kills {
					want = []string{"kill", "rejoin"}
				}
				if diff := cmp.Diff(want, slices.Compact(log)); diff != "" {
					t.Error(diff)
				}
			})
		})
	}
}

func TestTheGuardIsBeforeNova(t *testing.T) {
	// Nova says that a compute is down when it has heard nothing for a minute, and
	// heard of it up to ten seconds before it was cut off.
	if earliest := 50*time.Second + Patience; Lease+2*Interval+2*Answer >= earliest {
		t.Errorf("servers may run for %v, and others start them after %v", Lease+2*Interval+2*Answer, earliest)
	}
}
