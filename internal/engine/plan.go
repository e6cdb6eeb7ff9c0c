package engine

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/updraft-cloud/updraft/internal/drift"
)

// Action is what a step does.
type Action string

// The actions.
const (
	NoOp    Action = ""
	Create  Action = "create"
	Update  Action = "update"
	Trigger Action = "trigger" // in sync, but acts on the change of another
	Remove  Action = "remove"
	// Unclear means that the thing could not be observed; applying observes
	// it again.
	Unclear Action = "unclear"
)

// Step is one thing that a plan would do.
type Step struct {
	ID     string `json:"id"`
	Kind   string `json:"kind"`
	Scope  string `json:"scope,omitempty"`
	Phase  Phase  `json:"phase,omitempty"`
	Action Action `json:"action"`
	// Changes are the differences found; none for a thing that does not exist.
	Changes []drift.Change `json:"changes,omitempty"`
	// Behind is the gate that must be opened before the thing can be
	// observed. What is there already will then be left alone.
	Behind string `json:"behind,omitempty"`
	// Because lists the triggers of a step, other than one that creates.
	Because []string `json:"because,omitempty"`
	// Needed says that the thing was not chosen for a partial run, and comes along
	// because what was chosen needs it.
	Needed bool `json:"needed,omitempty"`
	// Err says why a thing is unclear, or must not be removed.
	Err string `json:"error,omitempty"`
	// Digest stands for the desired state.
	Digest string `json:"digest,omitempty"`
	// Turn is the number of the turn that the step belongs to, from 1; 0 for none.
	Turn int `json:"turn,omitempty"`

	removal Record
	drops   []string // records that go along with a removal
	also    []string // what those were triggers of
	last    bool     // a removal that comes when all else is done
	heirs   []int32  // nodes that are to get what a removal makes free
}

// Blind is a scope that could not be observed.
type Blind struct {
	Scope string `json:"scope"`
	Err   string `json:"error"`
	err   error
}

// Plan is the graph compared with the world: the steps that would make them
// agree, in an order that respects all edges.
type Plan struct {
	Steps []Step  `json:"steps"`
	Blind []Blind `json:"blind,omitempty"`
	// Nodes is how many nodes the graph holds; Observed how many were looked at.
	Nodes    int `json:"nodes"`
	Observed int `json:"observed"`
	// Later are the nodes outside of a partial run that act on its changes in the
	// next run that has them.
	Later []string `json:"later,omitempty"`
	// Away are the scopes that are left alone.
	Away []string `json:"away,omitempty"`
	// Turns are the parts that happen in one scope at a time, one after the other.
	Turns []Turn `json:"turns,omitempty"`

	graph    *Graph
	asked    func(*Node) bool
	alone    []bool  // nodes of scopes that are away, and their gates
	first    []int32 // services that are brought back before the first turn
	reports  []drift.Report
	actions  []Action
	deferred map[string]bool     // scopes not observed
	forced   bool                // objections do not count
	made     map[string]bool     // nodes that updraft has made, by ID
	owed     map[string][]string // by node: triggers that changed in a run that was cut off, or in which the node failed
}

// Empty reports whether nothing would be done.
func (p *Plan) Empty() bool { return len(p.Steps) == 0 }

// Counts returns the number of steps by action.
func (p *Plan) Counts() map[Action]int {
	m := map[Action]int{}
	for i := range p.Steps {
		m[p.Steps[i].Action]++
	}
	return m
}

// Options bound the engine's work. Zero values mean the defaults.
type Options struct {
	// Observers is how many scopes are observed at once (128).
	Observers int
	// Workers is how many steps run at once in all (256), PerScope how many
	// in one scope that sets no limit of its own (8).
	Workers, PerScope int
	// PerTurn is how many services of one scope are disturbed at once in its turn (2).
	// Those that start take processor time from what goes on, there and, where
	// controllers are virtual machines of one computer, elsewhere.
	PerTurn int
	// Partial says that the graph is only a part of the cloud: what is not in
	// it is left alone instead of removed.
	Partial bool
	// Again, if set, says which nodes act although nothing changed, as if a trigger of
	// theirs had ([Requested]): services that are to be restarted.
	Again func(*Node) bool
	// Away are scopes that are left alone, with their gates, and taken to be in order:
	// hosts that a person works on. Nothing that works is changed in a group meanwhile
	// ([Scope].Turn), as one of it is missing already.
	Away []string
	// Last, if set, says which of the scopes that take turns had better come last. It
	// is asked only when several have one.
	Last func(ctx context.Context, scopes []string) []string
}

func (o Options) withDefaults() Options {
	o.Observers = cmp.Or(o.Observers, 128)
	o.Workers = cmp.Or(o.Workers, 256)
	o.PerScope = cmp.Or(o.PerScope, 8)
	o.PerTurn = cmp.Or(o.PerTurn, 2)
	return o
}

// Engine plans and applies one graph.
type Engine struct {
	graph *Graph
	store Store
	exec  Executor
	opts  Options

	mu   sync.Mutex
	sink Sink
}

// New returns an engine. sink may be nil.
func New(g *Graph, store Store, exec Executor, sink Sink, opts Options) *Engine {
	if sink == nil {
		sink = func(Event) {}
	}
	return &Engine{graph: g, store: store, exec: exec, sink: sink, opts: opts.withDefaults()}
}

// Plan observes the world and says what Apply would do. A scope that cannot be
// observed is no error: the plan lists it in Blind.
func (e *Engine) Plan(ctx context.Context) (*Plan, error) {
	records, err := e.store.Records(ctx)
	if err != nil {
		return nil, fmt.Errorf("cannot read the state: %w", err)
	}
	n := len(e.graph.nodes)
	p := &Plan{
		graph: e.graph, Nodes: n, asked: e.opts.Again,
		reports: make([]drift.Report, n), actions: make([]Action, n),
		deferred: map[string]bool{}, made: make(map[string]bool, len(records)),
	}
	for id, r := range records {
		p.made[id] = r.Made
	}
	p.owed = owed(records)
	p.setAside(e.opts.Away)
	e.observeAll(ctx, p)
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	p.passOver()
	p.decide()
	p.postpone()
	gone := p.gone(records)
	if !e.opts.Partial {
		p.prune(gone)
		e.object(ctx, p)
	}
	p.pokeAll(gone)
	p.takeTurns(ctx, records, e.opts.Last)
	return p, nil
}

// observeAll looks at every scope whose gate is open, gates before what lies
// behind them.
func (e *Engine) observeAll(ctx context.Context, p *Plan) {
	todo := slices.Clone(e.graph.names)
	seen := map[string]bool{}
	for len(todo) > 0 {
		var wave, later []string
		for _, name := range todo {
			s := e.graph.scopes[name]
			switch {
			case s.gate >= 0 && !seen[e.graph.nodes[s.gate].Scope]:
				later = append(later, name)
			case slices.Contains(p.Away, name):
			case s.gate >= 0 && !p.open(s.gate):
				p.deferred[name] = true
			default:
				wave = append(wave, name)
			}
		}
		for _, name := range todo {
			seen[name] = seen[name] || !slices.Contains(later, name)
		}
		e.observeWave(ctx, p, wave)
		if len(later) == len(todo) {
			return
		}
		todo = later
	}
}

// open reports whether what lies behind gate i can be observed.
func (p *Plan) open(i int32) bool {
	r := p.reports[i]
	return !p.deferred[p.graph.nodes[i].Scope] && (r.Status == drift.InSync || r.Status == drift.Differs && !r.Shut)
}

func (e *Engine) observeWave(ctx context.Context, p *Plan, wave []string) {
	var g errgroup.Group
	g.SetLimit(e.opts.Observers)
	var mu sync.Mutex
	for _, name := range wave {
		g.Go(func() error {
			err := e.observeScope(ctx, p.graph.scopes[name], p.reports)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				p.deferred[name] = true
				p.Blind = append(p.Blind, Blind{Scope: name, Err: err.Error(), err: err})
				return nil
			}
			p.Observed += len(p.graph.scopes[name].nodes)
			return nil
		})
	}
	_ = g.Wait() // the functions return no errors
	slices.SortFunc(p.Blind, func(a, b Blind) int { return cmp.Compare(a.Scope, b.Scope) })
}

// observeScope fills in the reports of one scope's nodes.
func (e *Engine) observeScope(ctx context.Context, s *scope, reports []drift.Report) error {
	if len(s.nodes) == 0 {
		return nil
	}
	nodes := make([]*Node, len(s.nodes))
	for k, i := range s.nodes {
		nodes[k] = e.graph.nodes[i]
	}
	e.emit(Event{Type: EvObserving, Scope: s.Name})
	found, err := e.exec.Observe(ctx, s.Name, nodes)
	if err == nil && len(found) != len(nodes) {
		err = fmt.Errorf("observing %s returned %d reports for %d resources", s.Name, len(found), len(nodes))
	}
	if err != nil {
		e.emit(Event{Type: EvObserved, Scope: s.Name, Err: err.Error()})
		return err
	}
	for k, i := range s.nodes {
		reports[i] = found[k]
	}
	e.emit(Event{Type: EvObserved, Scope: s.Name})
	return nil
}

// decide turns reports into actions and steps, in topological order.
func (p *Plan) decide() {
	for _, i := range p.graph.edges.Order() {
		n := p.graph.nodes[i]
		step := Step{ID: n.ID, Kind: n.Kind, Scope: n.Scope, Phase: n.Phase, Needed: p.graph.chosen != nil && !p.graph.chosen[n.ID]}
		p.classify(i, &step)
		if p.actions[i] = step.Action; step.Action != NoOp {
			step.Digest = n.Body.Digest()
			if n.Sensitive {
				step.Digest, step.Changes = "", veiled(step.Changes)
			}
			p.Steps = append(p.Steps, step)
		}
	}
}

// postpone lists what would act on the steps and is left out of the run.
func (p *Plan) postpone() {
	if p.graph.whole == nil {
		return
	}
	for i := range p.Steps {
		for _, id := range p.graph.pokes(p.Steps[i].ID) {
			if p.graph.Node(id) == nil {
				p.Later = append(p.Later, id)
			}
		}
	}
	slices.Sort(p.Later)
	p.Later = slices.Compact(p.Later)
}

// veiled keeps which attributes differ and drops the values.
func veiled(changes []drift.Change) []drift.Change {
	out := make([]drift.Change, len(changes))
	for i, c := range changes {
		out[i] = drift.Change{Attr: c.Attr, From: "(sensitive)", To: "(sensitive)"}
	}
	return out
}

func (p *Plan) classify(i int32, step *Step) {
	n, r := p.graph.nodes[i], p.reports[i]
	s := p.graph.scopes[n.Scope]
	switch {
	case p.alone[i]:
		return
	case p.deferred[n.Scope] && s.gate >= 0 && !p.open(s.gate):
		step.Action, step.Behind = Create, s.Gate
	case p.deferred[n.Scope]:
		step.Action, step.Err = Unclear, n.Scope+" could not be observed"
	case r.Status == drift.Unknown:
		step.Action, step.Err = Unclear, r.Err
	case r.Status == drift.Absent:
		step.Action = Create
	case r.Status == drift.Differs:
		step.Action, step.Changes = Update, r.Changes
	}
	if step.Action == Create {
		return // it is made because it is not there; its triggers say nothing more
	}
	for _, t := range n.Triggers {
		if j, _ := p.graph.edges.Lookup(t); p.actions[j] != NoOp || slices.Contains(p.owed[n.ID], t) {
			step.Because = append(step.Because, t)
		}
	}
	if p.again(i) {
		step.Because = append(step.Because, Requested)
	}
	if step.Action == NoOp && len(step.Because) > 0 {
		step.Action = Trigger
	}
}
