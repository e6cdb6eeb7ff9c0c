package verify

import (
	"context"
	"errors"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/updraft-cloud/updraft/internal/retry"
)

// Defaults of a [Runner] and its jobs.
const (
	DefaultConcurrency = 16
	DefaultTimeout     = 10 * time.Second // of one try
	firstPause         = 100 * time.Millisecond
	longestPause       = 2 * time.Second
)

// Job is a check to be run from a vantage point.
type Job struct {
	Name  string
	From  string // what people call the vantage point; its own name when empty
	Check Check
	// Vantage may be nil together with a Skip.
	Vantage Vantage
	// Timeout bounds one try; 0 means what suits the check.
	Timeout time.Duration
	// Within bounds the time in which the check may come true; 0 means the
	// check's own patience.
	Within time.Duration
	// Settling bounds the time in which a check is tried again because what it looks
	// at has only just been made or started; one that was concluded from a sample once.
	Settling time.Duration
	// Skip says why the check is not to be run; empty means that it is.
	Skip string
}

// EventKind tells events apart.
type EventKind string

// The events of a job, in their order. Retry may come any number of times.
const (
	Started  EventKind = "started"
	Retry    EventKind = "retry"
	Finished EventKind = "finished"
)

// Event is something that happened in a run.
type Event struct {
	Kind   EventKind `json:"kind"`
	Time   time.Time `json:"time"`
	Index  int       `json:"index"` // of the job
	Name   string    `json:"name"`
	From   string    `json:"from"`
	Try    int       `json:"try,omitempty"`
	Reason string    `json:"reason,omitempty"` // why it is tried again
	Result *Result   `json:"result,omitempty"` // when finished
}

// Runner runs jobs, several at once. The zero value is ready to use.
type Runner struct {
	// Concurrency bounds how many jobs run at once; [DefaultConcurrency] when zero.
	Concurrency int
	// OnEvent is told what happens, one event at a time.
	OnEvent func(Event)
}

// Run runs all jobs and reports in their order. When ctx ends before they have,
// the report is marked as interrupted and what had not finished is skipped.
func (r *Runner) Run(ctx context.Context, cloud string, jobs []Job) Report {
	rep := Report{Cloud: cloud, Start: time.Now(), Results: make([]Result, len(jobs))}
	limit := r.Concurrency
	if limit <= 0 {
		limit = DefaultConcurrency
	}
	var (
		g  errgroup.Group
		mu sync.Mutex
	)
	emit := func(e Event) {
		if r.OnEvent == nil {
			return
		}
		mu.Lock()
		defer mu.Unlock()
		e.Time = time.Now()
		r.OnEvent(e)
	}
	g.SetLimit(limit)
	for i, job := range jobs {
		g.Go(func() error {
			rep.Results[i] = run(ctx, i, job, emit)
			return nil
		})
	}
	_ = g.Wait() // jobs keep their errors in their results
	rep.Duration = time.Since(rep.Start)
	rep.Interrupted = ctx.Err() != nil
	return rep
}

// run runs one job to its result.
func run(ctx context.Context, index int, job Job, emit func(Event)) Result {
	if job.From == "" && job.Vantage != nil {
		job.From = job.Vantage.Name()
	}
	res := Result{Name: job.Name, Kind: job.Check.Kind(), From: job.From, Start: time.Now()}
	e := Event{Index: index, Name: job.Name, From: job.From}
	switch {
	case job.Skip != "":
		res.Status, res.Reason = Skipped, job.Skip
	case ctx.Err() != nil:
		res.Status, res.Reason = Skipped, "interrupted before it began"
	default:
		e.Kind = Started
		emit(e)
		attempt(ctx, job, &res, func(try int, reason string) {
			emit(Event{Kind: Retry, Index: index, Name: job.Name, From: job.From, Try: try, Reason: reason})
		})
	}
	res.Duration = time.Since(res.Start)
	e.Kind, e.Try, e.Result = Finished, res.Tries, &res
	emit(e)
	return res
}

// attempt tries until the check passes or its time is over. A try that has
// begun is let finish: only further ones are bounded by the deadline.
func attempt(ctx context.Context, job Job, res *Result, onRetry func(try int, reason string)) {
	timeout := job.Timeout
	if timeout <= 0 {
		timeout = defaultTimeout(job.Check)
	}
	again := patience(job, res.Start)
	policy := retry.Policy{First: firstPause, Most: longestPause}
	err := policy.Do(ctx, func(try int, err error, _ time.Duration) { onRetry(try, err.Error()) },
		func(ctx context.Context) error {
			res.Tries++
			detail, err := try(ctx, job, timeout)
			if detail != nil {
				res.Detail = detail
			}
			if err != nil && again(err) {
				return retry.Mark(err, retry.Transient)
			}
			return retry.Mark(err, retry.Permanent)
		})
	res.Status, res.Reason = judge(ctx, err)
	if s, ok := res.Detail.(interface{ Summary() string }); ok && res.Status == Passed {
		res.Reason = s.Summary()
	}
}

// patience returns whether a check that failed is tried again.
func patience(job Job, start time.Time) func(error) bool {
	within := job.Within
	if within <= 0 {
		within = job.Check.Patience()
	}
	samples := 0
	return func(err error) bool {
		var f *Failure
		if errors.As(err, &f) && f.Statistical {
			samples++
		}
		spent := time.Since(start)
		return spent < within || spent < job.Settling && samples < 2
	}
}

func try(ctx context.Context, job Job, timeout time.Duration) (any, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	detail, err := job.Check.Run(ctx, job.Vantage)
	if err != nil && errors.Is(ctx.Err(), context.DeadlineExceeded) && errors.Is(err, context.DeadlineExceeded) {
		return detail, failf("not finished within %s", timeout)
	}
	return detail, err
}

func judge(ctx context.Context, err error) (Status, string) {
	var f *Failure
	switch {
	case err == nil:
		return Passed, ""
	case ctx.Err() != nil:
		return Skipped, "interrupted: " + err.Error()
	case errors.As(err, &f):
		return Failed, f.Reason
	default:
		return Errored, err.Error()
	}
}

// defaultTimeout is what one try of the check may take.
func defaultTimeout(c Check) time.Duration {
	if t, ok := c.(interface{ TryTimeout() time.Duration }); ok {
		return t.TryTimeout()
	}
	return DefaultTimeout
}
