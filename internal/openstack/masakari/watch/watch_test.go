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
		person  string        // why it was disabled before
		alone   bool          // no other could have its servers
		want    Step
	}{
		"one that works is left alone":                         {compute: Compute{Up: true, Alive: true}, want: Nothing},
		"a dead one is told of":                                {dead: Patience, want: Notify},
		"but not at once":                                      {dead: Patience - 1, want: Nothing},
		"nor while no other could have its servers":            {dead: time.Hour, alone: true, want: Nothing},
		"servers go on where only nova-compute has ended":      {compute: Compute{Alive: true}, dead: time.Hour, want: Nothing},
		"one that is only cut off from here is not dead":       {compute: Compute{Up: true}, dead: time.Hour, want: Nothing},
		"it is told of once":                                   {compute: Compute{Maintenance: true}, dead: time.Hour, want: Nothing},
		"when it is back it has servers again":                 {compute: Compute{Up: true, Alive: true, Disabled: Reason, Maintenance: true}, want: Restore},
		"even if restoring ended halfway":                      {compute: Compute{Up: true, Alive: true, Disabled: Reason}, want: Restore},
		"even if no other could have them":                     {compute: Compute{Up: true, Alive: true, Disabled: Reason}, alone: true, want: Restore},
		"as long as it is away nothing is restored":            {compute: Compute{Disabled: Reason, Maintenance: true}, dead: time.Hour, want: Nothing},
		"what a person has disabled stays so":                  {compute: Compute{Up: true, Alive: true, Disabled: "disk"}, want: Nothing},
		"what a person has put into maintenance stays so":      {compute: Compute{Up: true, Alive: true, Maintenance: true}, want: Nothing},
		"one that a person disabled is recovered all the same": {compute: Compute{Disabled: "disk"}, dead: Patience, person: "disk", want: Notify},
		"a person's reason is put back beside Masakari's":      {compute: Compute{Disabled: Reason, Maintenance: true}, dead: time.Hour, person: "disk", want: Note},
		"once":                        {compute: Compute{Disabled: Reason + earlier + "disk", Maintenance: true}, dead: time.Hour, person: "disk", want: Nothing},
		"with it, too, it comes back": {compute: Compute{Up: true, Disabled: Reason + earlier + "disk", Maintenance: true}, want: Restore},
	} {
		now := time.Now()
		d := &death{since: now.Add(-c.dead), patience: Patience, person: c.person}
		if got := decide(c.compute, d, now, !c.alone); got != c.want {
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

func (c *cloud) Disable(_ context.Context, name, reason string) error {
	c.log = append(c.log, "disable "+name)
	c.computes[0].Disabled = reason
	return nil
}

func (c *cloud) Restore(_ context.Context, name, person string) error {
	c.log = append(c.log, "restore "+name+" "+person)
	c.computes[0].Maintenance, c.computes[0].Disabled = false, person
	return nil
}

// watched is the watcher of a cloud whose second compute works; a compute that is up
// answers.
func (c *cloud) watched(first Compute) *Watcher {
	c.computes = []Compute{first, {Name: "compute2", Up: true}}
	return &Watcher{
		Cloud: c, Addresses: map[string]string{"compute1": "0", "compute2": "1"}, Log: slog.New(slog.DiscardHandler),
		Alive: func(_ context.Context, at string) bool { return c.computes[at[0]-'0'].Up },
	}
}

func TestADeadComputeIsToldOfAndComesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		c := &cloud{}
		w := c.watched(Compute{Name: "compute1", Up: true, Disabled: "disk"})
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
		want := []string{"notify compute1", "vacate compute1", "disable compute1", "vacate compute1", "vacate compute1", "restore compute1 disk"}
		if diff := cmp.Diff(want, c.log); diff != "" {
			t.Error(diff)
		}
	})
}

func TestAComputeThatWasNeverSeenMayStillBeBooting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &cloud{}
		go c.watched(Compute{Name: "compute1"}).Run(t.Context())
		time.Sleep(Boot - time.Second)
		synctest.Wait()
		if len(c.log) > 0 {
			t.Errorf("too early: %q", c.log)
		}
		time.Sleep(2 * Look)
		synctest.Wait()
		if diff := cmp.Diff([]string{"notify compute1", "vacate compute1"}, c.log); diff != "" {
			t.Error(diff)
		}
	})
}

func TestWhenAllComputesAreCutOffNobodyIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &cloud{}
		w := c.watched(Compute{Name: "compute1", Up: true})
		go w.Run(t.Context())
		time.Sleep(time.Minute + time.Second)
		c.computes[0].Up, c.computes[1].Up = false, false
		time.Sleep(time.Hour)
		synctest.Wait()
		if len(c.log) > 0 {
			t.Errorf("no compute could take servers: %q", c.log)
		}
		c.computes[1].Up = true
		time.Sleep(2 * Look)
		synctest.Wait()
		if diff := cmp.Diff([]string{"notify compute1", "vacate compute1"}, c.log); diff != "" {
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
				g.Hush = func(context.Context) error { log = append(log, "hush"); return nil }
				g.Kill = func() error { log = append(log, "kill"); return nil }
				g.Rejoin = func(context.Context) error { log = append(log, "rejoin"); return nil }
				g.Mute, g.Speak = noted(&log, "mute"), noted(&log, "speak")
				g.Remember = func(ended bool) error { log = append(log, fmt.Sprint(ended)); return nil }
				go g.Run(t.Context())
				at := func(when time.Duration) { time.Sleep(time.Until(start.Add(when))); synctest.Wait() }
				at(time.Minute + time.Second)
				alive = c.alive
				at(time.Minute + time.Second + c.cut)
				alive = c.of
				at(2*time.Minute + c.cut)
				var want []string
				if c.kills {
					want = []string{"true", "hush", "kill", "mute", "rejoin", "speak", "false"}
				}
				if diff := cmp.Diff(want, once(log)); diff != "" {
					t.Error(diff)
				}
			})
		})
	}
}

func TestAHostThatStoodStillMayHaveBeenTakenForDead(t *testing.T) {
	for rule, c := range map[string]struct {
		still time.Duration
		want  []string
	}{
		"for a moment":            {Late - 2*Interval, nil},
		"for longer than a lease": {Late + Interval, []string{"true", "hush", "kill", "rejoin", "speak", "false"}},
	} {
		t.Run(rule, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var log []string
				still := time.Duration(0)
				g := Guard{Controllers: []string{"0"}, Log: slog.New(slog.DiscardHandler)}
				// All controllers answer, before and after.
				g.Alive = func(context.Context, string) bool {
					time.Sleep(still)
					still = 0
					return true
				}
				g.Hush = func(context.Context) error { log = append(log, "hush"); return nil }
				g.Kill = func() error { log = append(log, "kill"); return nil }
				g.Rejoin = func(context.Context) error { log = append(log, "rejoin"); return nil }
				g.Mute, g.Speak = noted(&log, "mute"), noted(&log, "speak")
				g.Remember = func(ended bool) error { log = append(log, fmt.Sprint(ended)); return nil }
				go g.Run(t.Context())
				time.Sleep(time.Minute + time.Second)
				still = c.still
				time.Sleep(time.Hour)
				synctest.Wait()
				if diff := cmp.Diff(c.want, log); diff != "" {
					t.Error(diff)
				}
			})
		})
	}
}

// once has what was done again and again once, at its first time.
func once(log []string) []string {
	var out []string
	for _, l := range log {
		if !slices.Contains(out, l) {
			out = append(out, l)
		}
	}
	return out
}

// noted notes that it was called, and fails the first time.
func noted(log *[]string, what string) func(context.Context) error {
	failed := false
	return func(context.Context) error {
		if !failed {
			failed = true
			return errors.New("not yet")
		}
		*log = append(*log, what)
		return nil
	}
}

func TestTheGuardIsBeforeNova(t *testing.T) {
	// Nova says that a compute is down when it has heard nothing for a minute, and
	// heard of it up to ten seconds before it was cut off.
	if earliest := Late + Patience; Lease+2*Interval+2*Answer+Hush >= earliest {
		t.Errorf("servers may run for %v, and others start them after %v", Lease+2*Interval+2*Answer, earliest)
	}
}
