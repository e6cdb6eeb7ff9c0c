package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/updraft-cloud/updraft/internal/drift"
	"github.com/updraft-cloud/updraft/internal/retry"
)

// How often and how long a failing step is tried again. A lock that another
// program holds, or a mirror's hiccup, is over within seconds as a rule; a host
// that reboots needs up to a minute or two. Not timed: how long one try takes,
// which is the executor's business.
var (
	retryTransient   = retry.Policy{Attempts: 6, First: 500 * time.Millisecond, Most: 8 * time.Second}
	retryUnreachable = retry.Policy{Attempts: 8, First: 250 * time.Millisecond, Most: 15 * time.Second}
)

// Deadlines of one try, by kind. They bound what hangs, not what is slow: each is
// at least five times the longest time measured for the kind on a loaded
// computer of two cores.
var deadlines = map[string]time.Duration{
	"image":   30 * time.Minute, // 25 s from a near mirror; a far one may be slow
	"machine": 3 * time.Minute,  // 0.2 s
	// 35 s to build the larger one, and 5 s to send it; a far mirror, or a registry
	// far away, may be slow.
	"container-image": 30 * time.Minute,
	// Glance takes what it is sent at the speed of its disk: 0.6 s for 14 MB.
	"openstack.image": 30 * time.Minute,
	"package":         20 * time.Minute, // 40 s
	"reboot":          15 * time.Minute,
}

const defaultDeadline = 5 * time.Minute

// deadlineOf returns how long one try may take: by kind, and no less than what
// the node declares for itself.
func deadlineOf(kind string, body Body) time.Duration {
	d, ok := deadlines[kind]
	if !ok {
		d = defaultDeadline
	}
	if own, ok := body.(Timed); ok && own.Takes() > 0 {
		d = max(d, own.Takes()+ownMargin)
	}
	return d
}

// ownMargin is what comes on top of the time that a node declares: looking
// before and after, and ending in order what has run out of time.
const ownMargin = 5 * time.Minute

// Timed is a [Body] that says how long applying it may take; zero says nothing.
type Timed interface{ Takes() time.Duration }

// storeError means that the journal cannot be written: nothing more may start.
type storeError struct{ err error }

func (e *storeError) Error() string { return "cannot write the state: " + e.err.Error() }
func (e *storeError) Unwrap() error { return e.err }

func (r *run) journal(entries ...Entry) error {
	now := time.Now()
	for i := range entries {
		entries[i].Time = now
	}
	// Not under the run's context: the outcome of a step that was carried out
	// is to be recorded even when the run is being cut off.
	if err := r.e.store.Append(context.WithoutCancel(r.ctx), entries...); err != nil {
		return &storeError{err}
	}
	return nil
}

// applyNode makes one node agree: intent, work, outcome.
func (r *run) applyNode(t int32, triggered []string) (changed bool, err error) {
	return r.applyFound(t, r.p.reports[t], triggered)
}

func (r *run) applyFound(t int32, found drift.Report, triggered []string) (changed bool, err error) {
	n, action := r.p.graph.nodes[t], r.action(t, found)
	r.e.emit(Event{
		Type: EvStart, ID: n.ID, Kind: n.Kind, Scope: n.Scope, Phase: n.Phase, Action: action,
		Needs: r.waitedFor(t), Line: summary(found),
	})
	start := time.Now()
	if err = r.journal(r.intent(t, found)...); err == nil {
		changed, err = r.converge(t, found, triggered)
	}
	ev := Event{
		Type: EvDone, ID: n.ID, Kind: n.Kind, Scope: n.Scope, Phase: n.Phase, Action: action,
		Changed: changed, Took: time.Since(start), Err: errText(err),
	}
	if err != nil {
		ev.Type = EvFail
		r.e.emit(ev)
		return false, errors.Join(err, r.journal(Entry{Op: OpFail, ID: n.ID, Err: err.Error()}))
	}
	r.e.emit(ev)
	return changed, r.journal(Entry{Op: OpDone, ID: n.ID, Acted: append(slices.Clip(n.Triggers), r.p.removed(triggered)...), Idle: !changed})
}

// action is what the plan said, where it had to say something before the thing
// could be looked at: of most there is nothing on a new host.
func (r *run) action(t int32, found drift.Report) Action {
	if a := actionOf(found); a != Update || t >= int32(len(r.p.actions)) || r.p.actions[t] != Create {
		return a
	}
	return Create
}

// intent returns the entries that announce the work on a node. The first work in
// a scope also records its gate, even if updraft did not make it: without it,
// nobody would know later how to reach what is to be removed there.
func (r *run) intent(t int32, found drift.Report) []Entry {
	var entries []Entry
	n := r.p.graph.nodes[t]
	if gate := r.p.graph.scopes[n.Scope].gate; gate >= 0 {
		if _, known := r.gates.LoadOrStore(n.Scope, true); !known {
			rec := r.p.graph.record(gate)
			entries = append(entries, Entry{Op: OpIntend, ID: rec.ID, Record: &rec, Found: drift.InSync}, Entry{Op: OpDone, ID: rec.ID})
		}
	}
	rec := r.p.graph.record(t)
	return append(entries, Entry{Op: OpIntend, ID: n.ID, Record: &rec, Found: found.Status})
}

// converge applies the node until it agrees, observing again before each retry:
// it is unknown how far a failed try came.
func (r *run) converge(t int32, found drift.Report, triggered []string) (changed bool, err error) {
	n := r.p.graph.nodes[t]
	log := func(line string) {
		r.e.emit(Event{Type: EvLine, ID: n.ID, Kind: n.Kind, Scope: n.Scope, Phase: n.Phase, Line: line})
	}
	look := found.Status == drift.Unknown
	err = r.retrying(n.ID, n.Scope, deadlineOf(n.Kind, n.Body), n.Phase, func(ctx context.Context) error {
		if look {
			if found, err = r.lookAgain(ctx, t, found.Status); err != nil {
				return err
			}
			if found.Agrees() && len(triggered) == 0 {
				return nil
			}
		}
		look, changed = true, true
		return r.e.exec.Apply(ctx, n, found, Cause{Triggered: triggered, Made: r.p.made[n.ID]}, log)
	})
	return changed, err
}

// lookAgain observes one node. If it turns out not to exist, that is recorded:
// it is what tells later that updraft made it.
func (r *run) lookAgain(ctx context.Context, t int32, before drift.Status) (drift.Report, error) {
	n := r.p.graph.nodes[t]
	reports, err := r.e.exec.Observe(ctx, n.Scope, []*Node{n})
	if err != nil {
		return drift.Report{}, err
	}
	found := reports[0]
	switch {
	case found.Status == drift.Unknown:
		return found, fmt.Errorf("cannot observe: %s", found.Err)
	case found.Status == drift.Absent && before == drift.Unknown:
		return found, r.journal(r.intent(t, found)...)
	}
	return found, nil
}

// retrying calls f again as the class of its error allows.
func (r *run) retrying(id, scope string, deadline time.Duration, phase Phase, f func(context.Context) error) error {
	policies := map[retry.Class]retry.Policy{retry.Transient: retryTransient, retry.Unreachable: retryUnreachable}
	tries := map[retry.Class]int{}
	for try := 1; ; try++ {
		err := r.within(deadline, f)
		class := retry.ClassOf(err)
		policy, ok := policies[class]
		if tries[class]++; err == nil || !ok || tries[class] >= policy.Attempts || r.ctx.Err() != nil {
			return err
		}
		pause := policy.Pause(tries[class])
		r.e.emit(Event{Type: EvRetry, ID: id, Scope: scope, Phase: phase, Try: try, Pause: pause, Err: err.Error()})
		if class == retry.Unreachable {
			r.reopen(scope)
		}
		if !retry.Wait(r.ctx, pause) {
			return err
		}
	}
}

// reopening is the mending of a gate, which is done once in a run.
type reopening struct {
	mu   sync.Mutex
	done bool
}

// reopen looks at the gate of a scope that does not answer, and mends it once in a
// run: a machine that died since it was observed is started again. It is looked at
// after every failure, since one that is just dying may still seem well. All that
// wait for the scope wait for this. If it fails, they fail by themselves.
func (r *run) reopen(name string) {
	s := r.p.graph.scopes[name]
	if s == nil || s.gate < 0 {
		return
	}
	found, _ := r.reopened.LoadOrStore(name, new(reopening))
	once := found.(*reopening)
	once.mu.Lock()
	defer once.mu.Unlock()
	if once.done {
		return
	}
	gate := r.p.graph.nodes[s.gate]
	reports, err := r.e.exec.Observe(r.ctx, gate.Scope, []*Node{gate})
	if err == nil && len(reports) == 1 && reports[0].Status != drift.Unknown && !reports[0].Agrees() {
		once.done = true
		_, _ = r.applyFound(s.gate, reports[0], nil) // it tells how it ended
	}
}

// within calls f with a deadline. One that passes is a permanent error: what hung
// once would hang again.
func (r *run) within(d time.Duration, f func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(r.ctx, d)
	defer cancel()
	err := f(ctx)
	if err != nil && ctx.Err() != nil && r.ctx.Err() == nil {
		return fmt.Errorf("not done within %s: %w", d, retry.Mark(err, retry.Permanent))
	}
	return err
}

// observeDeferred observes a scope whose gate has just been opened, or which
// did not answer while planning.
func (r *run) observeDeferred(s *scope) error {
	ev := Event{Type: EvStart, ID: "host:" + s.Name, Kind: KindHost, Scope: s.Name, Phase: Prepare}
	r.e.emit(ev)
	start := time.Now()
	err := r.retrying(ev.ID, s.Name, defaultDeadline, Prepare, func(ctx context.Context) error {
		// Nodes of the scope wait for this task, so nobody else touches
		// their reports meanwhile.
		return r.e.observeScope(ctx, s, r.p.reports)
	})
	if ev.Type, ev.Took = EvDone, time.Since(start); err != nil {
		ev.Type, ev.Err = EvFail, err.Error()
	}
	r.e.emit(ev)
	return err
}

// remove takes one recorded thing back.
func (r *run) remove(step *Step) error {
	id := step.ID
	r.e.emit(Event{Type: EvStart, ID: id, Kind: step.Kind, Scope: step.Scope, Action: Remove})
	start := time.Now()
	err := r.journal(Entry{Op: OpRemove, ID: id})
	if err == nil {
		log := func(line string) {
			r.e.emit(Event{Type: EvLine, ID: id, Kind: step.Kind, Scope: step.Scope, Line: line})
		}
		err = r.retrying(id, step.Scope, deadlineOf(step.Kind, nil), "", func(ctx context.Context) error {
			return r.e.exec.Remove(ctx, step.removal, log)
		})
	}
	ev := Event{Type: EvDone, ID: id, Kind: step.Kind, Scope: step.Scope, Action: Remove, Changed: true, Took: time.Since(start), Err: errText(err)}
	if err != nil {
		ev.Type, ev.Changed = EvFail, false
		r.e.emit(ev)
		return err
	}
	entries := []Entry{{Op: OpRemoved, ID: id, Owes: r.creditors(step)}}
	for _, d := range step.drops {
		entries = append(entries, Entry{Op: OpRemoved, ID: d})
	}
	r.e.emit(ev)
	return r.journal(entries...)
}

// creditors are the nodes that have to act on a removal, or have not on a change before
// it. That is noted together with it: if this run is cut off before they do, the next one
// knows.
func (r *run) creditors(step *Step) []string {
	var out []string
	for _, id := range step.pokes() {
		if r.p.graph.Node(id) != nil {
			out = append(out, id)
		}
	}
	if step.last { // all nodes are done with, so that their states are nobody's to write
		for _, id := range step.removal.Owes {
			if i, ok := r.p.graph.edges.Lookup(id); ok && r.tasks[i].state != done {
				out = append(out, id)
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// waitedFor returns the IDs of the needs of node t that are steps of this run.
func (r *run) waitedFor(t int32) []string {
	var ids []string
	for _, i := range r.p.graph.edges.Needs(t) {
		if r.p.actions[i] != NoOp {
			ids = append(ids, r.p.graph.nodes[i].ID)
		}
	}
	return ids
}

func actionOf(r drift.Report) Action {
	switch r.Status {
	case drift.Absent:
		return Create
	case drift.Differs:
		return Update
	case drift.InSync:
		return Trigger
	default:
		return Unclear
	}
}

// summary names the attributes that differ, without their values.
func summary(r drift.Report) string {
	s := ""
	for i, c := range r.Changes {
		if i > 0 {
			s += ", "
		}
		s += c.Attr
	}
	return s
}
