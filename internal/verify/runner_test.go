package verify

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/updraft-cloud/updraft/internal/retry"
	"github.com/updraft-cloud/updraft/internal/transport"
)

// probe is a check that does what its function does.
type probe struct {
	patience time.Duration
	run      func(ctx context.Context) error
}

func (*probe) Kind() string              { return "probe" }
func (*probe) Validate() error           { return nil }
func (*probe) Resolve(Lookup) error      { return nil }
func (p *probe) Patience() time.Duration { return p.patience }
func (p *probe) Run(ctx context.Context, _ Vantage) (any, error) {
	return nil, p.run(ctx)
}

func jobOf(name string, patience time.Duration, run func(context.Context) error) Job {
	return Job{Name: name, Check: &probe{patience, run}, Vantage: &Local{}}
}

func TestRunnerTellsOutcomesApartAndKeepsTheOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		jobs := []Job{
			jobOf("slow", 0, func(context.Context) error { time.Sleep(5 * time.Second); return nil }),
			jobOf("bad", 0, func(context.Context) error { return failf("port 80 is not open") }),
			jobOf("broken", 0, func(context.Context) error { return ErrVantage }),
			{Name: "left out", Check: &probe{}, Skip: "no host in the group"},
			jobOf("hangs", 0, func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }),
		}
		rep := (&Runner{}).Run(t.Context(), "web", jobs)
		var got []string
		for _, r := range rep.Results {
			got = append(got, fmt.Sprintf("%s %s %d %s", r.Name, r.Status, r.Tries, r.Reason))
		}
		want := []string{
			"slow passed 1 ",
			"bad failed 1 port 80 is not open",
			"broken error 1 cannot look from there",
			"left out skipped 0 no host in the group",
			"hangs failed 1 not finished within 10s",
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("got %q\nwant %q", got, want)
		}
		if rep.OK() || rep.Interrupted || rep.Duration != 10*time.Second {
			t.Errorf("report: ok %v, interrupted %v, took %v", rep.OK(), rep.Interrupted, rep.Duration)
		}
		if got, want := rep.Counts().String(), "5 checks: 1 passed, 2 failed, 1 could not be carried out, 1 skipped"; got != want {
			t.Errorf("counts %q, want %q", got, want)
		}
	})
}

func TestRunnerRepeatsUntilTheDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		comesUp := func(after time.Duration) func(context.Context) error {
			return func(context.Context) error {
				if time.Since(start) < after {
					return failf("not up")
				}
				return nil
			}
		}
		var events []Event
		r := &Runner{OnEvent: func(e Event) { events = append(events, e) }}
		rep := r.Run(t.Context(), "web", []Job{
			jobOf("in time", 10*time.Second, comesUp(3*time.Second)),
			jobOf("too late", 10*time.Second, comesUp(time.Hour)),
		})
		wantResult(t, rep.Results[0], Passed, "")
		wantResult(t, rep.Results[1], Failed, "not up")
		if rep.Results[0].Tries < 3 || rep.Results[1].Tries < rep.Results[0].Tries {
			t.Errorf("tries: %d and %d", rep.Results[0].Tries, rep.Results[1].Tries)
		}
		if d := rep.Results[1].Duration; d < 9*time.Second || d > 13*time.Second {
			t.Errorf("gave up after %v", d)
		}
		if n := len(events); n != rep.Results[0].Tries+rep.Results[1].Tries+2 {
			t.Errorf("%d events: %v", n, events)
		}
	})
}

func TestRunnerHasPatienceWithWhatSettles(t *testing.T) {
	const several = 0 // pauses are not all the same
	for _, tt := range []struct {
		name     string
		settling time.Duration
		fails    int
		failure  Failure
		status   Status
		tries    int
	}{
		{"nothing was changed", 0, 1, Failure{Reason: "web3 answered none"}, Failed, 1},
		{"a member comes into service", 30 * time.Second, 5, Failure{Reason: "web3 answered none"}, Passed, 6},
		{"it never does", 3 * time.Second, 1000, Failure{Reason: "web3 answered none"}, Failed, several},
		{"a sample was taken meanwhile", 30 * time.Second, 1, Failure{Reason: "rejected", Statistical: true}, Passed, 2},
		{"samples until one pleases", 30 * time.Second, 2, Failure{Reason: "rejected", Statistical: true}, Failed, 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := 0
				job := jobOf(tt.name, 0, func(context.Context) error {
					if n++; n <= tt.fails {
						return &tt.failure
					}
					return nil
				})
				job.Settling = tt.settling
				got := (&Runner{}).Run(t.Context(), "web", []Job{job}).Results[0]
				if got.Status != tt.status || got.Tries != tt.tries && (tt.tries != several || got.Tries < 3) {
					t.Errorf("%s after %d tries, want %s after %d", got.Status, got.Tries, tt.status, tt.tries)
				}
			})
		})
	}
}

func TestRunnerBoundsConcurrency(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var now, most atomic.Int64
		var jobs []Job
		for i := range 20 {
			jobs = append(jobs, jobOf(fmt.Sprint(i), 0, func(context.Context) error {
				n := now.Add(1)
				for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
				}
				time.Sleep(time.Second)
				now.Add(-1)
				return nil
			}))
		}
		rep := (&Runner{Concurrency: 4}).Run(t.Context(), "web", jobs)
		if most.Load() != 4 || rep.Duration != 5*time.Second || !rep.OK() {
			t.Errorf("%d at once, took %v, ok %v", most.Load(), rep.Duration, rep.OK())
		}
	})
}

func TestRunnerInterruptedKeepsWhatItHas(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		rep := (&Runner{Concurrency: 1}).Run(ctx, "web", []Job{
			jobOf("done", 0, func(context.Context) error { return nil }),
			jobOf("cut", time.Minute, func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }),
			jobOf("never", 0, func(context.Context) error { return nil }),
		})
		wantResult(t, rep.Results[0], Passed, "")
		wantResult(t, rep.Results[1], Skipped, "interrupted")
		wantResult(t, rep.Results[2], Skipped, "interrupted before it began")
		if !rep.Interrupted || rep.OK() {
			t.Errorf("interrupted %v, ok %v", rep.Interrupted, rep.OK())
		}
	})
}

func TestHostVantageTellsItsOwnFaultsFromThoseOfTheTarget(t *testing.T) {
	check := ready(t, "tcp", `{"target":"192.0.2.1","port":80,"expect":"closed"}`)
	run := func(err error) Result {
		jobs := []Job{{Name: "x", Check: check, Vantage: FromHost(brokenFleet{err}, "web1")}}
		return (&Runner{}).Run(t.Context(), "web", jobs).Results[0]
	}
	gone := fmt.Errorf("%w web1: connection reset", transport.ErrNoEntry)
	wantResult(t, run(gone), Errored, "cannot look from there (web1): cannot enter web1: connection reset")
	refused := retry.Mark(errors.New("connection refused"), retry.Unreachable) // as transport/ssh marks it
	wantResult(t, run(refused), Passed, "closed")
	if got := run(gone); got.From != "web1" {
		t.Errorf("from %q", got.From)
	}
}
