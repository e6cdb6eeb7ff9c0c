package engine

// Requested stands among the triggers of a node that acts because it was asked to
// ([Options].Again).
const Requested = "request:restart"

// again reports whether node i is asked to act.
func (p *Plan) again(i int32) bool {
	return p.asked != nil && !p.alone[i] && p.asked(p.graph.nodes[i])
}
