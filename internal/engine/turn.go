package engine

import (
	"cmp"
	"context"
	"slices"

	"github.com/updraft-cloud/updraft/internal/drift"
)

// Service is a [Body] of something that works all the time and is missed while it
// does not, such as a member of a cluster. In scopes that take turns ([Scope].Turn)
// those that work are changed in one scope at a time.
type Service interface {
	Body
	// Works reports whether the thing, as it was found, does its work, be it by an
	// older configuration.
	Works(found drift.Report) bool
	// Disturbs reports whether applying the node would touch a thing that works: end
	// it, restart it, have it read another configuration. triggers are the nodes that
	// change before.
	Disturbs(found drift.Report, triggers []string) bool
}

// Turn is a part of a plan that must not happen in two scopes of a group at once.
type Turn struct {
	Group string `json:"group"`
	Scope string `json:"scope"`
	Steps int    `json:"steps"`
	// Held is a scope of the group that is away, on account of which the turn does not
	// begin.
	Held string `json:"held,omitempty"`

	nodes []int32
	watch []int32 // services of other scopes of the group that have to work when it begins
}

// turns works out who changes what works, and when.
//
// What it guarantees of the services of a group of scopes:
//
//   - Those that work are disturbed in one scope at a time. What triggers them there
//     (their configuration) changes in the same turn, so that a scope whose turn has
//     not come is untouched and stays so when an earlier turn fails.
//   - Those that updraft knows and that do not work come first, as far as they need
//     nothing that changes in a turn; then a turn begins only when all services of the
//     other scopes work (again).
//   - Services that are new, and graphs without groups, are as parallel as ever.
//   - It cannot deadlock. Turns are numbered, and numbers never fall along an edge of
//     the graph: a turn takes, of all that one scope has left, what needs nothing that
//     has no number yet. As edges are added from lower to higher numbers only, there
//     is no cycle; and as the graph has none, some scope always has something to take.
//
// A scope may have several turns, where the graph wants it so.
type turns struct {
	p     *Plan
	known map[string]Record
	// in are the nodes that belong into a turn; first are the services that are brought
	// back before any turn; number is the turn of each node, 0 for none.
	in, first []bool
	number    []int32
	urgent    map[string]bool // scopes whose turns come early: what is down is there
	members   map[string][]string
}

// takeTurns adds turns to a plan that is complete otherwise. last, if not nil, says
// which scopes of a group had better come last.
func (p *Plan) takeTurns(ctx context.Context, records map[string]Record, last func(ctx context.Context, scopes []string) []string) {
	t := &turns{p: p, known: records, urgent: map[string]bool{}, members: p.graph.groups()}
	if len(t.members) == 0 {
		return
	}
	n := len(p.graph.nodes)
	t.in, t.first, t.number = make([]bool, n), make([]bool, n), make([]int32, n)
	if !t.disturbed() {
		return
	}
	t.mend()
	t.order(t.ranked(ctx, last))
	t.tell()
}

// groups returns the scopes that take turns with others, by group.
func (g *Graph) groups() map[string][]string {
	out := map[string][]string{}
	for _, name := range g.names {
		if group := g.scopes[name].Turn; group != "" {
			out[group] = append(out[group], name)
		}
	}
	for group, scopes := range out {
		if len(scopes) < 2 {
			delete(out, group)
		}
	}
	return out
}

// service returns the service of a scope that takes turns, or nil.
func (t *turns) service(i int32) Service {
	n := t.p.graph.nodes[i]
	if t.p.alone[i] || len(t.members[t.p.graph.scopes[n.Scope].Turn]) == 0 {
		return nil
	}
	s, _ := n.Body.(Service)
	return s
}

// shut reports whether a scope lies behind a gate that is closed, so that nothing
// works there; blind whether it should answer and does not, so that anything may.
func (t *turns) shut(scope string) bool {
	s := t.p.graph.scopes[scope]
	return t.p.deferred[scope] && s.gate >= 0 && !t.p.open(s.gate)
}

func (t *turns) blind(scope string) bool { return t.p.deferred[scope] && !t.shut(scope) }

// works reports whether a service was seen to work.
func (t *turns) works(i int32, s Service) bool {
	r := t.p.reports[i]
	return !t.p.deferred[t.p.graph.nodes[i].Scope] && r.Status != drift.Unknown && s.Works(r)
}

// disturbed finds the services that work and would be disturbed, with what triggers
// them, and reports whether there are any. Of what cannot be seen and was there
// before, it is taken that it works.
func (t *turns) disturbed() bool {
	because := map[string][]string{}
	for i := range t.p.Steps {
		because[t.p.Steps[i].ID] = t.p.Steps[i].Because
	}
	any := false
	for i, n := range t.p.graph.nodes {
		s := t.service(int32(i))
		if s == nil || t.p.actions[i] == NoOp || t.shut(n.Scope) {
			continue
		}
		_, known := t.known[n.ID]
		unseen := t.blind(n.Scope) || t.p.reports[i].Status == drift.Unknown
		if unseen && known || !unseen && s.Works(t.p.reports[i]) && s.Disturbs(t.p.reports[i], because[n.ID]) {
			t.take(int32(i))
			t.urgent[n.Scope] = t.urgent[n.Scope] || unseen
			any = true
		}
	}
	return any
}

// take takes a node into its scope's turn, with what changes and triggers it there.
func (t *turns) take(i int32) {
	if t.in[i] {
		return
	}
	t.in[i] = true
	n := t.p.graph.nodes[i]
	for _, id := range n.Triggers {
		if j, ok := t.p.graph.edges.Lookup(id); ok && t.p.actions[j] != NoOp && t.p.graph.nodes[j].Scope == n.Scope {
			t.take(j)
		}
	}
}

// mend sorts out the services that updraft knows and that do not work: those that
// need something of a turn are part of one themselves, and the others come first.
func (t *turns) mend() {
	behind := make([]bool, len(t.in))
	for _, i := range t.p.graph.edges.Order() {
		for _, need := range t.p.graph.edges.Needs(i) {
			behind[i] = behind[i] || behind[need] || t.in[need]
		}
		n := t.p.graph.nodes[i]
		s := t.service(i)
		if _, known := t.known[n.ID]; s == nil || !known || t.in[i] || t.works(i, s) {
			continue
		}
		if t.in[i] = behind[i]; t.in[i] {
			t.urgent[n.Scope] = true
		} else {
			t.first[i] = true
		}
	}
}

// ranked returns the scopes that have a turn, in the order in which they had better
// come: those first in which something is down.
func (t *turns) ranked(ctx context.Context, last func(context.Context, []string) []string) []string {
	var scopes []string
	for i, n := range t.p.graph.nodes {
		if t.in[i] {
			scopes = append(scopes, n.Scope)
		}
	}
	slices.Sort(scopes)
	scopes = slices.Compact(scopes)
	var late []string
	if last != nil && len(scopes) > 1 {
		late = last(ctx, slices.Clone(scopes))
	}
	rank := func(scope string) int {
		switch {
		case t.urgent[scope]:
			return -1
		case slices.Contains(late, scope):
			return 1
		}
		return 0
	}
	slices.SortStableFunc(scopes, func(a, b string) int { return cmp.Compare(rank(a), rank(b)) })
	return scopes
}

// order numbers the turns. The next one is that of the first scope which can take
// all that it has left, or else of the one which can take most.
func (t *turns) order(scopes []string) {
	for {
		var best []int32
		in := ""
		for _, scope := range scopes {
			nodes, whole := t.takeable(scope)
			if len(nodes) > len(best) || whole && len(nodes) > 0 {
				best, in = nodes, scope
			}
			if whole && len(nodes) > 0 {
				break
			}
		}
		if len(best) == 0 {
			return
		}
		t.p.Turns = append(t.p.Turns, Turn{Group: t.p.graph.scopes[in].Turn, Scope: in, nodes: best})
		for _, i := range best {
			t.number[i] = int32(len(t.p.Turns)) //nolint:gosec // no more than nodes
		}
	}
}

// takeable returns what a scope could do in the next turn, and whether that is all
// that it has left.
func (t *turns) takeable(scope string) (nodes []int32, whole bool) {
	later := make([]bool, len(t.in)) // not before another turn
	whole = true
	for _, i := range t.p.graph.edges.Order() {
		for _, need := range t.p.graph.edges.Needs(i) {
			later[i] = later[i] || later[need]
		}
		if !t.in[i] || t.number[i] > 0 {
			continue
		}
		mine := t.p.graph.nodes[i].Scope == scope
		switch {
		case mine && !later[i]:
			nodes = append(nodes, i)
		case mine:
			whole = false
		default:
			later[i] = true
		}
	}
	return nodes, whole
}

// tell notes turns in the plan's steps, and in each turn which services elsewhere have
// to work when it begins: those that did when the plan was made, and those that are
// brought back or changed before it.
func (t *turns) tell() {
	p := t.p
	for i := range p.Steps {
		if j, ok := p.graph.edges.Lookup(p.Steps[i].ID); ok && t.in[j] {
			p.Steps[i].Turn = int(t.number[j])
			p.Turns[t.number[j]-1].Steps++
		}
	}
	for k := range p.Turns {
		p.Turns[k].Held = p.held(&p.Turns[k])
	}
	for i := range p.graph.nodes {
		s := t.service(int32(i))
		if s == nil {
			continue
		}
		works, n := t.works(int32(i), s), t.number[i]
		if t.first[i] {
			p.first = append(p.first, int32(i))
		}
		for k := range p.Turns {
			turn := &p.Turns[k]
			other := p.graph.scopes[p.graph.nodes[i].Scope]
			if other.Turn == turn.Group && other.Name != turn.Scope && (works || t.first[i] || n > 0 && int(n) <= k) {
				turn.watch = append(turn.watch, int32(i))
			}
		}
	}
}
