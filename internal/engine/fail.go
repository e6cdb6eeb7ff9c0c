package engine

import (
	"cmp"
	"maps"
	"slices"

	"github.com/updraft-cloud/updraft/internal/drift"
	"github.com/updraft-cloud/updraft/internal/retry"
)

// fail records a failed task and blocks what needs it, except removals: those
// are tried all the same.
func (r *run) fail(t int32, err error) {
	r.tasks[t].state = failed
	id, scope := r.describe(t)
	r.failures[t] = len(r.res.Failed)
	r.res.Failed = append(r.res.Failed, Failure{ID: id, Scope: scope, Err: err.Error()})
	if r.isRemoval(t) {
		r.stick(t, t)
		r.disinherit(t, t)
		r.release(t)
	} else {
		r.block(t, t)
	}
	if retry.ClassOf(err) != retry.Unreachable {
		return
	}
	scopes := []string{scope}
	if int(t) < len(r.p.graph.nodes) {
		scopes = append(scopes, r.p.graph.gates[t]...)
	}
	for _, s := range scopes {
		if _, known := r.lost[s]; !known && s != "" {
			r.lose(s, t)
		}
	}
}

// disinherit blocks what was to get the place of something that is still there.
func (r *run) disinherit(t, cause int32) {
	for _, i := range r.heirs[t] {
		if r.tasks[i].state == waiting {
			r.tasks[i].state, r.tasks[i].cause = blocked, cause
			r.reportBlocked(i, cause)
			r.block(i, cause)
		}
	}
}

// sortFailures brings failures into the order of the plan: what was to come first
// is the likelier cause, whichever took longer to fail.
func (r *run) sortFailures() {
	if len(r.res.Failed) < 2 {
		return
	}
	order := make(map[int32]int, len(r.p.graph.nodes))
	for at, i := range r.p.graph.edges.Order() {
		order[i] = at
	}
	rank := func(t int32) int {
		switch nodes := len(r.p.graph.nodes); {
		case int(t) < nodes:
			return 2 * order[t]
		case r.isRemoval(t):
			return 2*nodes + int(t)
		case r.turnOf(t) != nil: // before the first that waited for it
			return 2*order[r.turnOf(t).nodes[0]] - 1
		default: // right behind the gate
			return 2*order[r.p.graph.scopes[r.observes[int(t)-nodes]].gate] + 1
		}
	}
	tasks := slices.SortedFunc(maps.Keys(r.failures), func(a, b int32) int { return cmp.Compare(rank(a), rank(b)) })
	sorted := make([]Failure, len(tasks))
	for i, t := range tasks {
		sorted[i] = r.res.Failed[r.failures[t]]
	}
	r.res.Failed = sorted
}

// lose gives up all that waits for its turn in a scope that does not answer:
// each of a hundred steps would otherwise be retried for as long as the first.
func (r *run) lose(scope string, cause int32) {
	r.lost[scope] = cause
	queue := r.queues[scope]
	delete(r.queues, scope)
	for _, t := range queue {
		r.giveUp(t, cause)
	}
}

// vain reports whether a task need not be tried, and because of which other:
// its scope does not answer, what it is to outlive is still there, it would
// take away the way into a scope in which something is left to be removed, or it
// would take along what others were to take over and did not.
func (r *run) vain(t int32) (cause int32, vain bool) {
	_, scope := r.describe(t)
	if cause, vain = r.lost[scope]; vain || !r.isRemoval(t) {
		return cause, vain
	}
	if cause, vain = r.survived(t); vain {
		return cause, true
	}
	rec := r.removal(t).removal
	if rec.Holds && len(r.heirs[t]) > 0 {
		return 0, false // what it holds was not to be moved, as it has to make room
	}
	if rec.Holds {
		return r.undone()
	}
	for _, opened := range rec.Opens {
		if cause, vain = r.stuck[opened]; vain {
			return cause, true
		}
	}
	return 0, false
}

// survived returns the failure of something that removal t is to outlive. A host
// that does not answer is taken to be dead.
func (r *run) survived(t int32) (cause int32, yes bool) {
	for _, before := range r.outlived[t] {
		switch task := r.tasks[before]; task.state {
		case failed:
			cause = before
		case blocked:
			cause = task.cause
		default:
			continue
		}
		_, scope := r.describe(cause)
		if _, dead := r.lost[scope]; !dead {
			return cause, true
		}
	}
	return 0, false
}

// undone returns why something is not as it should be on a host that answers, so that it
// is not known whether all is taken over that a machine holds. The next run asks again.
// Hosts that do not answer are taken to be dead: they take nothing over.
func (r *run) undone() (cause int32, yes bool) {
	for i := range int32(len(r.p.graph.nodes)) {
		switch {
		case r.dead(i):
		case r.tasks[i].state == failed:
			return i, true
		case r.tasks[i].state == blocked && r.due(i):
			return r.tasks[i].cause, true
		}
	}
	return 0, false
}

// due reports whether something was to be done about a node.
func (r *run) due(i int32) bool {
	return r.p.actions[i] != NoOp || r.p.reports[i].Status != drift.InSync
}

// dead reports whether a node is on a host that does not answer, or is that host.
func (r *run) dead(i int32) bool {
	_, lost := r.lost[r.tasks[i].scope]
	return lost || slices.ContainsFunc(r.p.graph.gates[i], func(scope string) bool { _, lost := r.lost[scope]; return lost })
}

// giveUp does without a task because of a failed one. As with failed removals,
// those behind it are tried all the same.
func (r *run) giveUp(t, cause int32) {
	r.tasks[t].state, r.tasks[t].cause = blocked, cause
	r.reportBlocked(t, cause)
	if r.isRemoval(t) {
		r.stick(t, cause)
		r.disinherit(t, cause)
		r.release(t)
		return
	}
	r.block(t, cause)
}

// stick notes that something could not be removed in the scope of task t.
func (r *run) stick(t, cause int32) {
	_, scope := r.describe(t)
	if _, known := r.stuck[scope]; !known {
		r.stuck[scope] = cause
	}
}

func (r *run) block(t, cause int32) {
	for _, d := range r.tasks[t].dependents {
		switch {
		case r.tasks[d].state != waiting:
		case r.isRemoval(d):
			if r.tasks[d].left--; r.tasks[d].left == 0 {
				r.ready = append(r.ready, d)
			}
		default:
			r.tasks[d].state, r.tasks[d].cause = blocked, cause
			r.reportBlocked(d, cause)
			r.block(d, cause)
		}
	}
}

func (r *run) reportBlocked(t, cause int32) {
	ev := Event{Type: EvBlocked}
	switch {
	case r.isRemoval(t):
		s := r.removal(t)
		ev.ID, ev.Kind, ev.Scope, ev.Action = s.ID, s.Kind, s.Scope, Remove
	case int(t) >= len(r.p.graph.nodes) || !r.due(t):
		return
	default:
		n := r.p.graph.nodes[t]
		ev.ID, ev.Kind, ev.Scope, ev.Phase = n.ID, n.Kind, n.Scope, n.Phase
	}
	ev.Cause, _ = r.describe(cause)
	r.res.Blocked = append(r.res.Blocked, ev.ID)
	r.res.Failed[r.failures[cause]].Blocks++
	r.e.emit(ev)
}

// removal returns the step of a task that is a removal.
func (r *run) removal(t int32) *Step {
	return r.removes[int(t)-len(r.p.graph.nodes)-len(r.observes)-len(r.p.Turns)]
}
