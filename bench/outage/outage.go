// Package outage measures for how long a service does not answer.
//
// Every target is asked at a fixed rate by requests of their own connections, none
// of which waits for the one before it: a service that hangs is asked on, as its
// other clients would. A request that is answered late is no failure here, but what
// it took is kept.
package outage

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"
	"time"
)

// Target is what is asked, by GET or in its own way.
type Target struct {
	Name   string
	URL    string
	Header func() http.Header // of each request; nil for none
	Accept func(status int) bool
	// Ask is what is done in place of a request, if not nil.
	Ask func(ctx context.Context) error
	// Every is how often it is asked; 0 is as often as the others.
	Every time.Duration
}

// Ask is one request.
type Ask struct {
	At   time.Time
	Took time.Duration
	Err  error
}

// Row is what became of a target's requests that began in a span of time.
type Row struct {
	Target        string
	Asked, Failed int
	// Gap is the longest time from the beginning of a request that failed to that
	// of the next one that did not; 0 without any.
	Gap time.Duration
	// Slowest is how long the slowest request that did not fail took.
	Slowest time.Duration
	First   error // of the failures
}

// Watch is targets being asked.
type Watch struct {
	client  *http.Client
	every   time.Duration
	targets []Target
	cancel  context.CancelFunc
	wg      sync.WaitGroup

	mu      sync.Mutex
	asks    map[string][]Ask  // by target, in the order in which they ended
	pending map[int]time.Time // when those began that have not ended
	number  int
}

// Start asks each target every so often until [Watch.Stop]. The client's timeout
// is that of a request, and bounds how many are under way at once.
func Start(ctx context.Context, client *http.Client, every time.Duration, targets []Target) *Watch {
	ctx, cancel := context.WithCancel(ctx)
	w := &Watch{client: client, every: every, targets: targets, cancel: cancel, asks: map[string][]Ask{}, pending: map[int]time.Time{}}
	for i, t := range targets {
		// Apart from each other, so that they do not queue for the processor.
		w.wg.Go(func() { w.keepAsking(ctx, t, every*time.Duration(i)/time.Duration(len(targets))) })
	}
	return w
}

// Stop ends the asking; requests under way are given up and not counted.
func (w *Watch) Stop() {
	w.cancel()
	w.wg.Wait()
}

func (w *Watch) keepAsking(ctx context.Context, t Target, wait time.Duration) {
	select {
	case <-ctx.Done():
		return
	case <-time.After(wait):
	}
	tick := time.NewTicker(cmp.Or(t.Every, w.every))
	defer tick.Stop()
	for {
		w.wg.Go(func() { w.ask(ctx, t) })
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (w *Watch) ask(ctx context.Context, t Target) {
	a := Ask{At: time.Now()}
	ended := w.begins(a.At)
	if t.Ask != nil {
		a.Err = w.within(ctx, t.Ask)
	} else {
		a.Err = w.get(ctx, t)
	}
	a.Took = time.Since(a.At)
	w.mu.Lock()
	defer w.mu.Unlock()
	ended()
	if ctx.Err() != nil {
		return
	}
	w.asks[t.Name] = append(w.asks[t.Name], a)
}

// begins notes a request that is under way. The function returned, to be called with
// the lock held, ends that.
func (w *Watch) begins(at time.Time) (ended func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.number++
	n := w.number
	w.pending[n] = at
	return func() { delete(w.pending, n) }
}

// waits reports whether a request is under way that began before a time.
func (w *Watch) waits(before time.Time) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, at := range w.pending {
		if at.Before(before) {
			return true
		}
	}
	return false
}

// within gives a question as much time as a request may take.
func (w *Watch) within(ctx context.Context, ask func(context.Context) error) error {
	if w.client.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, w.client.Timeout)
		defer cancel()
	}
	return ask(ctx)
}

func (w *Watch) get(ctx context.Context, t Target) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, t.URL, nil)
	if err != nil {
		return err
	}
	if t.Header != nil {
		req.Header = t.Header()
	}
	resp, err := w.client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		return fmt.Errorf("cannot read the answer: %w", err)
	}
	if !t.Accept(resp.StatusCode) {
		return errors.New(resp.Status)
	}
	return nil
}

// Between sums up the requests that began in a span of time. Those of its end may
// still be under way: ask when as much time has gone by as a request may take.
func (w *Watch) Between(from, to time.Time) []Row {
	rows := make([]Row, len(w.targets))
	for i, t := range w.targets {
		rows[i] = sum(t.Name, w.of(t.Name, from, to))
	}
	return rows
}

// of returns a target's requests that began in a span of time, in that order.
func (w *Watch) of(target string, from, to time.Time) []Ask {
	w.mu.Lock()
	defer w.mu.Unlock()
	var asks []Ask
	for _, a := range w.asks[target] {
		if !a.At.Before(from) && !a.At.After(to) {
			asks = append(asks, a)
		}
	}
	slices.SortFunc(asks, func(a, b Ask) int { return a.At.Compare(b.At) })
	return asks
}

func sum(target string, asks []Ask) Row {
	r := Row{Target: target, Asked: len(asks)}
	var since time.Time // of the first failure of a row of them
	for _, a := range asks {
		switch {
		case a.Err == nil && !since.IsZero():
			r.Gap = max(r.Gap, a.At.Sub(since))
			since = time.Time{}
		case a.Err != nil && since.IsZero():
			since = a.At
		}
		if a.Err == nil {
			r.Slowest = max(r.Slowest, a.Took)
			continue
		}
		r.Failed++
		if r.First == nil {
			r.First = a.Err
		}
	}
	if !since.IsZero() {
		r.Gap = max(r.Gap, asks[len(asks)-1].At.Sub(since))
	}
	return r
}

// Quiet waits until no request to any target has failed that began in the last
// span of time, and none is under way that began before it, and says for how long it
// waited. So what hangs has failed or been answered before it is counted.
func (w *Watch) Quiet(ctx context.Context, span time.Duration) (time.Duration, error) {
	began := time.Now()
	tick := time.NewTicker(max(w.every, span/20))
	defer tick.Stop()
	for {
		now := time.Now()
		if now.Sub(began) >= span && !w.waits(now.Add(-span)) && !slices.ContainsFunc(w.Between(now.Add(-span), now), func(r Row) bool { return r.Failed > 0 || r.Asked == 0 }) {
			return time.Since(began), nil
		}
		select {
		case <-ctx.Done():
			return time.Since(began), fmt.Errorf("cannot see all services answer: %w", w.latest())
		case <-tick.C:
		}
	}
}

// latest returns each target's failure, where its last request was one.
func (w *Watch) latest() error {
	var errs []error
	for _, t := range w.targets {
		asks := w.of(t.Name, time.Time{}, time.Now())
		if len(asks) == 0 {
			errs = append(errs, fmt.Errorf("%s has not answered", t.Name))
		} else if last := asks[len(asks)-1]; last.Err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", t.Name, last.Err))
		}
	}
	return errors.Join(errs...)
}
