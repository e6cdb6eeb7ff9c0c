package engine

import (
	"cmp"
	"maps"
	"slices"

	"github.com/updraft-cloud/updraft/internal/drift"
	"github.com/updraft-cloud/updraft/internal/graph"
)

// gone are the records of what is not in the graph.
func (p *Plan) gone(records map[string]Record) map[string]Record {
	out := map[string]Record{}
	for id, r := range records {
		if p.graph.Node(id) == nil {
			out[id] = r
		}
	}
	return out
}

// prune adds steps that remove what is gone.
func (p *Plan) prune(gone map[string]Record) {
	steps := removals(gone)
	slices.SortStableFunc(steps, func(a, b Step) int { return cmp.Compare(p.rank(a), p.rank(b)) })
	p.Steps = append(p.Steps, steps...)
	p.spare()
	p.timeRemovals()
}

// pokeAll pokes the nodes of which something was a trigger that goes away, or went in a
// run that was cut off before they acted.
func (p *Plan) pokeAll(gone map[string]Record) {
	because := map[string][]string{} // by node
	for i := range p.Steps {
		for _, id := range p.Steps[i].pokes() {
			because[id] = append(because[id], p.Steps[i].ID)
		}
	}
	for _, r := range gone {
		for _, id := range r.Owes {
			because[id] = append(because[id], r.ID)
		}
	}
	for _, id := range slices.Sorted(maps.Keys(because)) {
		p.poke(id, slices.Min(because[id]))
	}
}

// rank is less for what is removed before all else.
func (p *Plan) rank(s Step) int {
	if scope := p.graph.scopes[s.Scope]; scope != nil && scope.Leads {
		return 0
	}
	return 1
}

// removed returns those of the IDs that are of things removed before this run.
func (p *Plan) removed(ids []string) []string {
	var out []string
	for _, id := range ids {
		if p.graph.Node(id) == nil && id != Requested {
			out = append(out, id)
		}
	}
	return out
}

// owed returns, by node, the triggers on which it has still to act.
func owed(records map[string]Record) map[string][]string {
	out := map[string][]string{}
	for _, id := range slices.Sorted(maps.Keys(records)) {
		for _, to := range records[id].Owes {
			out[to] = append(out[to], id)
		}
	}
	return out
}

// poke makes an otherwise unchanged node act because a trigger of it goes away, and
// those act that it is a trigger of.
func (p *Plan) poke(id, because string) {
	i, ok := p.graph.edges.Lookup(id)
	if !ok || p.alone[i] || p.actions[i] != NoOp || p.reports[i].Status != drift.InSync {
		return
	}
	n := p.graph.nodes[i]
	p.actions[i] = Trigger
	step := Step{ID: id, Kind: n.Kind, Scope: n.Scope, Phase: n.Phase, Action: Trigger, Because: []string{because}}
	if !n.Sensitive {
		step.Digest = n.Body.Digest()
	}
	p.Steps = append(p.Steps, step)
	for _, id := range p.graph.pokes(n.ID) {
		p.poke(id, n.ID)
	}
}

// removals orders the removal of records: what needs something goes before it,
// and so does what it outlives; what lies behind a gate goes before the gate,
// unless the gate takes it along.
func removals(gone map[string]Record) []Step {
	ids := slices.Sorted(maps.Keys(gone))
	gate, outliving := map[string]Record{}, map[string][]string{}
	for _, r := range gone {
		for _, s := range r.Opens {
			gate[s] = r
		}
		for _, id := range r.Outlives {
			outliving[id] = append(outliving[id], r.ID)
		}
	}
	g, faults := graph.New(ids, func(i int) []string {
		r := gone[ids[i]]
		var needs []string
		for _, n := range slices.Concat(r.Needs, outliving[r.ID]) {
			if _, ok := gone[n]; ok {
				needs = append(needs, n)
			}
		}
		if g, ok := gate[r.Scope]; ok && g.ID != r.ID {
			needs = append(needs, g.ID)
		}
		return needs
	})
	order := ids
	if len(faults) == 0 { // a cycle can come about over several runs; any order will do then
		order = order[:0:0]
		for _, i := range slices.Backward(g.Order()) {
			order = append(order, g.Name(i))
		}
	}
	return removalSteps(order, gone, gate)
}

// lastCreditor returns the removal with which a debt is forgotten, when all that
// it is owed to are removed.
func lastCreditor(r Record, gone, gate map[string]Record) string {
	if !r.Gone || len(r.Owes) == 0 || slices.ContainsFunc(r.Owes, func(id string) bool { _, ok := gone[id]; return !ok }) {
		return ""
	}
	last := gone[r.Owes[len(r.Owes)-1]]
	if g, ok := gate[last.Scope]; ok && g.Holds {
		return g.ID
	}
	return last.ID
}

func removalSteps(order []string, gone, gate map[string]Record) []Step {
	var steps []Step
	drops, also := map[string][]string{}, map[string][]string{}
	for _, id := range order {
		r := gone[id]
		if r.Gone {
			continue
		}
		if g, ok := gate[r.Scope]; ok && g.Holds && g.ID != id {
			drops[g.ID] = append(drops[g.ID], id)
			also[g.ID] = append(also[g.ID], r.Pokes...)
			continue
		}
		steps = append(steps, Step{ID: id, Kind: r.Kind, Scope: r.Scope, Action: Remove, removal: r})
	}
	for _, id := range order {
		if creditor := lastCreditor(gone[id], gone, gate); creditor != "" {
			drops[creditor] = append(drops[creditor], id)
		}
	}
	for i := range steps {
		steps[i].drops, steps[i].also = drops[steps[i].ID], also[steps[i].ID]
	}
	return steps
}
