package cli

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/term"

	"github.com/updraft-cloud/updraft/internal/engine"
	"github.com/updraft-cloud/updraft/internal/ui"
)

// run is one plan-and-apply of a session, with its events shown and recorded.
type run struct {
	s     *session
	rec   *recorder
	live  *ui.Live
	shown engine.Sink
}

// begin starts to show and record events.
func (s *session) begin() (*run, error) {
	rec, err := newRecorder(s.dir)
	if err != nil {
		return nil, err
	}
	return &run{s: s, rec: rec}, nil
}

// sink is the engine's; where events go depends on what is under way.
func (r *run) sink(e engine.Event) {
	r.rec.event(e)
	if r.shown != nil {
		r.shown(e)
	}
}

// show starts the printer that fits the output, for the given number of steps.
func (r *run) show(steps int) {
	a := r.s.a
	switch fd, tty := a.terminal(); {
	case a.json:
		r.shown = ui.JSONLines(a.out)
	case tty && !a.noColor && !a.verbose:
		size := func() (int, int) {
			cols, rows, err := term.GetSize(fd)
			if err != nil {
				return 80, 24
			}
			return cols, rows
		}
		r.live = ui.NewLive(a.err, size, steps, r.rec.expected)
		r.shown = r.live.Event
	default:
		r.shown = ui.Lines(a.err, a.verbose)
	}
}

// hide ends the printer.
func (r *run) hide() {
	if r.live != nil {
		r.live.Close()
		r.live = nil
	}
	r.shown = nil
}

// terminal returns the descriptor of stderr and whether it is a terminal.
func (a *app) terminal() (int, bool) {
	f, ok := a.err.(*os.File)
	if !ok {
		return 0, false
	}
	return int(f.Fd()), term.IsTerminal(int(f.Fd()))
}

// apply plans and applies. confirm, if not nil, sees the plan first.
func (r *run) apply(ctx context.Context, stop <-chan struct{}, opts engine.Options, confirm func(*engine.Engine, *engine.Plan) error) (engine.Result, error) {
	r.s.tellAway()
	e := r.s.engine(r.sink, opts)
	p, err := e.Plan(ctx)
	if err != nil {
		return engine.Result{}, err
	}
	if confirm != nil {
		if err := confirm(e, p); err != nil {
			return engine.Result{}, err
		}
	}
	return r.carryOut(ctx, e, p, stop)
}

func (r *run) carryOut(ctx context.Context, e *engine.Engine, p *engine.Plan, stop <-chan struct{}) (engine.Result, error) {
	r.show(len(p.Steps))
	res, err := e.Apply(ctx, p, stop)
	r.hide()
	r.rec.finish(res)
	return res, err
}

// recorder keeps the events of a run for the timeline, and how long steps of a
// kind took, for the next run's expectations.
type recorder struct {
	dir   string
	start time.Time
	file  *os.File
	enc   *json.Encoder
	took  map[string]time.Duration
}

// keepRuns is how many runs are kept.
const keepRuns = 20

func newRecorder(dir string) (*recorder, error) {
	r := &recorder{dir: dir, start: time.Now(), took: map[string]time.Duration{}}
	if data, err := os.ReadFile(filepath.Join(dir, "durations.json")); err == nil {
		// Only expectations: without them the view is merely poorer.
		_ = json.Unmarshal(data, &r.took)
	}
	return r, nil
}

// event records what a timeline needs. The file is made with the first step, so
// that a run that has nothing to do leaves nothing.
func (r *recorder) event(e engine.Event) {
	switch e.Type {
	case engine.EvStart, engine.EvDone, engine.EvFail, engine.EvRetry, engine.EvBlocked, engine.EvLine:
	default:
		return
	}
	if r.file == nil {
		runs := filepath.Join(r.dir, "runs")
		if err := os.MkdirAll(runs, 0o700); err != nil {
			return
		}
		name := filepath.Join(runs, r.start.UTC().Format("20060102T150405.000")+".jsonl")
		f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
		if err != nil {
			return // the work goes on without a timeline
		}
		r.file, r.enc = f, json.NewEncoder(f)
	}
	_ = r.enc.Encode(e)
	if e.Type == engine.EvDone && e.Changed {
		r.learn(e.Kind, e.Took)
	}
}

// learn keeps a moving average by kind.
func (r *recorder) learn(kind string, took time.Duration) {
	if old, ok := r.took[kind]; ok {
		took = (3*old + took) / 4
	}
	r.took[kind] = took
}

func (r *recorder) expected(kind string) time.Duration { return r.took[kind] }

// finish closes the record and forgets the oldest ones.
func (r *recorder) finish(engine.Result) {
	if r.file == nil {
		return
	}
	_ = r.file.Close()
	r.file = nil
	if data, err := json.Marshal(r.took); err == nil {
		_ = os.WriteFile(filepath.Join(r.dir, "durations.json"), data, 0o600)
	}
	old, err := filepath.Glob(filepath.Join(r.dir, "runs", "*.jsonl"))
	if err != nil || len(old) <= keepRuns {
		return
	}
	for _, name := range old[:len(old)-keepRuns] { // Glob sorts by name, which is the time
		_ = os.Remove(name)
	}
}

// printJSON writes a result.
func (a *app) printJSON(v any) error {
	enc := json.NewEncoder(a.out)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}
