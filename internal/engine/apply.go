package engine

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/updraft-cloud/updraft/internal/drift"
)

// Result tells how a run ended.
type Result struct {
	Changed   int           `json:"changed"`   // steps that changed something
	Unchanged int           `json:"unchanged"` // steps that found nothing to do
	Removed   int           `json:"removed"`
	Failed    []Failure     `json:"failed,omitempty"` // in the order of the plan
	Blocked   []string      `json:"blocked,omitempty"`
	Stopped   bool          `json:"stopped,omitempty"` // interrupted before all was done
	Took      time.Duration `json:"took"`
}

// Failure is a step that failed for good.
type Failure struct {
	ID    string `json:"id"`
	Scope string `json:"scope,omitempty"`
	Err   string `json:"error"`
	// Blocks is how many other steps could not start because of it.
	Blocks int `json:"blocks"`
}

// Err returns nil when everything is as the graph says.
func (r Result) Err() error {
	switch {
	case len(r.Failed) > 0:
		f := r.Failed[0]
		return fmt.Errorf("%s: %s", f.ID, f.Err)
	case r.Stopped:
		return ErrStopped
	}
	return nil
}

// ErrStopped means that a run was interrupted. Nothing is lost: the next run
// goes on from there.
var ErrStopped = errors.New("stopped before everything was done")

// Apply carries out the plan, which must come from the same Engine. When stop
// is closed, no further step starts, and Apply returns when those under way are
// done. When ctx ends, they are cut off as well. A plan with objections is refused
// ([*ObjectionError]).
func (e *Engine) Apply(ctx context.Context, p *Plan, stop <-chan struct{}) (Result, error) {
	start := time.Now()
	if err := e.seal(ctx, p); err != nil {
		return Result{}, err
	}
	r := newRun(ctx, e, p)
	res := r.loop(stop)
	res.Took = time.Since(start)
	e.emit(Event{Type: EvEnd, Took: res.Took, Err: errText(res.Err())})
	return res, r.fatal
}

// Destroy removes everything that is recorded, the newest dependents first. A
// removal that fails does not keep the others from being tried.
func (e *Engine) Destroy(ctx context.Context, stop <-chan struct{}) (Result, error) {
	p, err := e.DestroyPlan(ctx, nil)
	if err != nil {
		return Result{}, err
	}
	return e.Apply(ctx, p, stop)
}

// DestroyPlan says what Destroy would do; with match, for what is recorded and
// matches.
func (e *Engine) DestroyPlan(ctx context.Context, match func(Record) bool) (*Plan, error) {
	records, err := e.store.Records(ctx)
	if err != nil {
		return nil, fmt.Errorf("cannot read the state: %w", err)
	}
	if match != nil {
		maps.DeleteFunc(records, func(_ string, r Record) bool { return !match(r) })
	}
	empty, err := NewGraph(nil, nil)
	if err != nil {
		return nil, err
	}
	p := &Plan{graph: empty, Steps: removals(records), deferred: map[string]bool{}, forced: true}
	p.timeRemovals()
	return p, nil
}

func errText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// emit stamps an event and hands it to the sink.
func (e *Engine) emit(ev Event) {
	e.mu.Lock()
	defer e.mu.Unlock()
	ev.Time = time.Now()
	e.sink(ev)
}

// task is one unit of the run: a node of the graph, the observation of a
// deferred scope, the beginning of a turn, or a removal. Tasks are numbered: nodes
// first, as in the graph, then scopes, then turns, then removals.
type task struct {
	left       int // tasks that must be done first
	behind     int // how many steps wait for it, one after the other
	dependents []int32
	scope      string // whose limit it counts against
	state      taskState
	changed    bool
	disturbs   bool  // a service that is changed in its scope's turn
	cause      int32 // the failed task at the root of a blocked one
}

type taskState uint8

const (
	waiting taskState = iota
	queued
	running
	done
	failed
	blocked
)

// run is one Apply under way. All fields but those of workers are only touched
// by the goroutine in loop.
type run struct {
	ctx      context.Context // lives exactly as long as Apply
	e        *Engine
	p        *Plan
	tasks    []task
	observes []string // scope of task len(nodes)+k
	removes  []*Step  // step of task len(nodes)+len(observes)+len(turns)+k
	ready    []int32  // done without work, or queued: to be looked at
	queues   map[string][]int32
	active   map[string]int
	// disturbed is how many services are being disturbed in their scope's turn.
	disturbed map[string]int
	inFlight  int
	results   chan outcome
	res       Result
	fatal     error              // what ended the run as a whole
	failures  map[int32]int      // task → index in res.Failed
	poked     map[string][]int32 // node → removals of what it was triggered by
	outlived  map[int32][]int32  // removal → removals that it must not precede
	heirs     map[int32][]int32  // removal → nodes that are to get its place
	gates     sync.Map           // scopes whose gate's record is known to be in the journal
	// lost are scopes that did not answer in all the time that retrying gives
	// them, stuck those of which something could not be removed; with the task
	// that found out first.
	lost, stuck map[string]int32
	reopened    sync.Map // scopes whose gate was looked at again: *reopening
}

type outcome struct {
	task    int32
	changed bool
	err     error
}

func newRun(ctx context.Context, e *Engine, p *Plan) *run {
	r := &run{
		ctx: ctx, e: e, p: p,
		queues: map[string][]int32{}, poked: map[string][]int32{}, outlived: map[int32][]int32{}, heirs: map[int32][]int32{}, active: map[string]int{}, disturbed: map[string]int{}, failures: map[int32]int{},
		results: make(chan outcome, e.opts.Workers), lost: map[string]int32{}, stuck: map[string]int32{},
	}
	g := p.graph
	r.tasks = make([]task, len(g.nodes), len(g.nodes)+len(p.deferred)+len(p.Turns)+len(p.Steps))
	for i, n := range g.nodes {
		r.tasks[i] = task{left: len(g.edges.Needs(int32(i))), dependents: g.edges.Dependents(int32(i)), scope: n.Scope}
	}
	for _, name := range g.names {
		if p.deferred[name] {
			r.addObserve(name)
		}
	}
	r.addTurns()
	r.addRemovals()
	r.rank()
	for i := range r.tasks {
		if r.tasks[i].left == 0 {
			r.ready = append(r.ready, int32(i))
		}
	}
	return r
}

// edge makes task to wait for task from.
func (r *run) edge(from, to int32) {
	// Clipped, since the slice of a node's dependents belongs to the graph.
	r.tasks[from].dependents = append(slices.Clip(r.tasks[from].dependents), to)
	r.tasks[to].left++
}

func (r *run) addObserve(name string) {
	t := int32(len(r.tasks))
	r.tasks = append(r.tasks, task{})
	r.observes = append(r.observes, name)
	s := r.p.graph.scopes[name]
	if s.gate >= 0 {
		r.edge(s.gate, t)
	}
	for _, i := range s.nodes {
		r.edge(t, i)
	}
}

// loop starts what is ready and takes results until nothing is left to do.
func (r *run) loop(stop <-chan struct{}) Result {
	for {
		r.settle()
		if !r.res.Stopped {
			r.dispatch()
		}
		if r.inFlight == 0 {
			break
		}
		select {
		case o := <-r.results:
			r.finish(o)
		case <-stop:
			r.res.Stopped, stop = true, nil
		case <-r.ctx.Done():
			r.res.Stopped = true
			r.finish(<-r.results)
		}
	}
	r.sortFailures()
	left := slices.IndexFunc(r.tasks, func(t task) bool { return t.state < done })
	if left >= 0 && !r.res.Stopped { // a mistake in this package, which must not pass for success
		id, _ := r.describe(int32(left))
		r.fatal = fmt.Errorf("steps wait for each other, %s among them", id)
	}
	r.res.Stopped = r.res.Stopped && left >= 0
	return r.res
}

// settle looks at tasks whose needs are met: those with nothing to do are done
// on the spot, the others are queued for their scope.
func (r *run) settle() {
	for len(r.ready) > 0 {
		t := r.ready[len(r.ready)-1]
		r.ready = r.ready[:len(r.ready)-1]
		if r.tasks[t].state != waiting {
			continue
		}
		if r.idle(t) {
			if err := r.note(t); err != nil {
				r.fatal, r.res.Stopped = err, true
			}
			r.complete(t, false)
			continue
		}
		if cause, vain := r.vain(t); vain {
			r.giveUp(t, cause)
			continue
		}
		r.queue(t)
	}
}

// idle reports whether a task has nothing to do.
func (r *run) idle(t int32) bool {
	if int(t) >= len(r.p.graph.nodes) {
		return false
	}
	return r.p.alone[t] || r.p.reports[t].Status == drift.InSync && len(r.triggered(t)) == 0
}

// triggered returns the triggers of node t that were changed or removed in this run.
func (r *run) triggered(t int32) []string {
	var ids []string
	n := r.p.graph.nodes[t]
	for _, id := range n.Triggers {
		j, ok := r.p.graph.edges.Lookup(id)
		if ok && (r.tasks[j].changed || slices.Contains(r.p.owed[n.ID], id)) {
			ids = append(ids, id)
		}
	}
	for _, i := range r.poked[n.ID] {
		if r.tasks[i].changed {
			ids = append(ids, r.removal(i).ID)
		}
	}
	if r.p.again(t) {
		ids = append(ids, Requested)
	}
	return append(ids, r.p.removed(r.p.owed[n.ID])...)
}

// dispatch starts queued tasks as far as the limits allow.
func (r *run) dispatch() {
	for name, q := range r.queues {
		limit := r.e.opts.PerScope
		if s := r.p.graph.scopes[name]; s != nil && s.Limit > 0 {
			limit = s.Limit
		}
		var held []int32 // what would disturb one service too many
		for len(q) > 0 && r.active[name] < limit && r.inFlight < r.e.opts.Workers {
			if r.mayDisturb(q[0]) {
				r.start(q[0])
			} else {
				held = append(held, q[0])
			}
			q = q[1:]
		}
		if len(held) > 0 {
			q = append(held, q...)
		}
		if len(q) == 0 {
			delete(r.queues, name)
		} else {
			r.queues[name] = q
		}
	}
}

// mayDisturb reports whether another service of the scope may be disturbed, if that is
// what the task does.
func (r *run) mayDisturb(t int32) bool {
	return !r.tasks[t].disturbs || r.disturbed[r.tasks[t].scope] < r.e.opts.PerTurn
}

// start has a worker do a task.
func (r *run) start(t int32) {
	task := &r.tasks[t]
	task.state = running
	r.active[task.scope]++
	if task.disturbs {
		r.disturbed[task.scope]++
	}
	r.inFlight++
	work := r.work(t)
	go func() {
		changed, err := work()
		r.results <- outcome{t, changed, err}
	}()
}

// work returns what a worker does for a task.
func (r *run) work(t int32) func() (bool, error) {
	nodes := int32(len(r.p.graph.nodes))
	switch {
	case t < nodes:
		triggered := r.triggered(t)
		return func() (bool, error) { return r.applyNode(t, triggered) }
	case int(t-nodes) < len(r.observes):
		s := r.p.graph.scopes[r.observes[t-nodes]]
		return func() (bool, error) { return false, r.observeDeferred(s) }
	case !r.isRemoval(t):
		turn := r.turnOf(t)
		return func() (bool, error) { return false, r.await(turn) }
	default:
		step := r.removal(t)
		return func() (bool, error) { return true, r.remove(step) }
	}
}

// finish takes the result of a task.
func (r *run) finish(o outcome) {
	r.inFlight--
	task := &r.tasks[o.task]
	r.active[task.scope]--
	if task.disturbs {
		r.disturbed[task.scope]--
	}
	if o.err == nil {
		r.count(o)
		r.complete(o.task, o.changed)
		return
	}
	if r.ctx.Err() != nil {
		r.tasks[o.task].state = waiting // cut off, not failed
		return
	}
	var se *storeError
	if errors.As(o.err, &se) {
		r.fatal, r.res.Stopped = o.err, true
	}
	r.fail(o.task, o.err)
}

func (r *run) count(o outcome) {
	nodes := len(r.p.graph.nodes)
	switch {
	case r.isRemoval(o.task):
		r.res.Removed++
	case int(o.task) >= nodes:
	case o.changed:
		r.res.Changed++
	default:
		r.res.Unchanged++
	}
}

func (r *run) complete(t int32, changed bool) {
	r.tasks[t].state, r.tasks[t].changed = done, changed
	r.release(t)
}

// release lets the dependents of a task go on.
func (r *run) release(t int32) {
	for _, d := range r.tasks[t].dependents {
		if r.tasks[d].left--; r.tasks[d].left == 0 {
			r.ready = append(r.ready, d)
		}
	}
}

func (r *run) isRemoval(t int32) bool {
	return int(t) >= len(r.p.graph.nodes)+len(r.observes)+len(r.p.Turns)
}

// describe returns a task's ID and scope for people.
func (r *run) describe(t int32) (id, scope string) {
	nodes := len(r.p.graph.nodes)
	switch {
	case int(t) < nodes:
		n := r.p.graph.nodes[t]
		return n.ID, n.Scope
	case int(t) < nodes+len(r.observes):
		name := r.observes[int(t)-nodes]
		return "host:" + name, name
	case !r.isRemoval(t):
		turn := r.turnOf(t)
		return turn.id(), turn.Scope
	default:
		s := r.removal(t)
		return s.ID, s.Scope
	}
}
