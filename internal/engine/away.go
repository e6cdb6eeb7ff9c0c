package engine

import (
	"slices"

	"github.com/updraft-cloud/updraft/internal/drift"
)

// setAside notes which nodes are left alone, as their scopes are away. Names of
// scopes that the graph does not have are of no concern.
func (p *Plan) setAside(scopes []string) {
	p.alone = make([]bool, len(p.graph.nodes))
	for _, name := range p.graph.names {
		if name == "" || !slices.Contains(scopes, name) {
			continue
		}
		p.Away = append(p.Away, name)
		s := p.graph.scopes[name]
		for _, i := range s.nodes {
			p.alone[i] = true
		}
		if s.gate >= 0 {
			p.alone[s.gate] = true
		}
	}
}

// passOver takes what is left alone for being in order, so that what needs it goes
// on.
func (p *Plan) passOver() {
	for i, alone := range p.alone {
		if alone {
			p.reports[i] = drift.Report{Status: drift.InSync}
		}
	}
}

// spare takes the removals out of a plan that are in scopes which are away. They stay
// recorded, and due.
func (p *Plan) spare() {
	p.Steps = slices.DeleteFunc(p.Steps, func(s Step) bool { return s.Action == Remove && slices.Contains(p.Away, s.Scope) })
}

// held returns a scope of the turn's group that is away, "" if there is none.
func (p *Plan) held(t *Turn) string {
	for _, name := range p.Away {
		if p.graph.scopes[name].Turn == t.Group {
			return name
		}
	}
	return ""
}
