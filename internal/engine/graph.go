package engine

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"

	"github.com/updraft-cloud/updraft/internal/graph"
)

// Graph is what a cloud is to be: all nodes with their edges, and the scopes in
// which they are executed.
type Graph struct {
	nodes  []*Node
	edges  *graph.Graph
	scopes map[string]*scope
	names  []string // of scopes, sorted
	gates  map[int32][]string
	// whole is what this graph is a part of, or nil: a record tells of all the
	// nodes that a change concerns, also of those left out of a run.
	whole *Graph
	// chosen are the nodes that this part was made for, the others being needed by
	// them; nil in a whole graph.
	chosen map[string]bool
}

type scope struct {
	Scope
	gate  int32 // index of the gate node, or -1
	nodes []int32
}

// NewGraph checks nodes and scopes and joins them. Every node implicitly needs
// the gate of its scope and its own triggers. All faults are returned, joined.
func NewGraph(nodes []*Node, scopes []Scope) (*Graph, error) {
	g := &Graph{nodes: nodes, scopes: map[string]*scope{"": {gate: -1}}, gates: map[int32][]string{}}
	for _, s := range scopes {
		g.scopes[s.Name] = &scope{Scope: s, gate: -1}
	}
	names := make([]string, len(nodes))
	var errs []error
	for i, n := range nodes {
		names[i] = n.ID
		if g.scopes[n.Scope] == nil {
			errs = append(errs, fmt.Errorf("%s is in scope %q, which does not exist", n.ID, n.Scope))
			g.scopes[n.Scope] = &scope{gate: -1}
		}
		g.scopes[n.Scope].nodes = append(g.scopes[n.Scope].nodes, int32(i))
	}
	edges, faults := graph.New(names, func(i int) []string { return g.allNeeds(nodes[i]) })
	if errs = append(errs, faults...); len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	g.edges = edges
	for name, s := range g.scopes {
		g.names = append(g.names, name)
		if s.Gate != "" {
			i, ok := edges.Lookup(s.Gate)
			if !ok {
				return nil, fmt.Errorf("scope %s is behind %s, which does not exist", name, s.Gate)
			}
			s.gate = i
			g.gates[i] = append(g.gates[i], name)
		}
	}
	slices.Sort(g.names)
	return g, nil
}

func (g *Graph) allNeeds(n *Node) []string {
	gate := g.scopes[n.Scope].Gate
	if gate == "" && len(n.Triggers) == 0 {
		return n.Needs
	}
	all := make([]string, 0, len(n.Needs)+len(n.Triggers)+1)
	all = append(append(all, n.Needs...), n.Triggers...)
	if gate != "" {
		all = append(all, gate)
	}
	return all
}

// Nodes returns all nodes in the order in which they were given.
func (g *Graph) Nodes() []*Node { return g.nodes }

// Node returns the node of that ID, or nil.
func (g *Graph) Node(id string) *Node {
	if i, ok := g.edges.Lookup(id); ok {
		return g.nodes[i]
	}
	return nil
}

// Scopes returns the names of all scopes, sorted.
func (g *Graph) Scopes() []string { return g.names }

// Only returns the part of the graph that the chosen nodes need, with the nodes
// themselves. A plan of it tells the ones from the others ([Step].Needed).
func (g *Graph) Only(keep func(*Node) bool) (*Graph, error) {
	var chosen []int32
	names := map[string]bool{}
	for i, n := range g.nodes {
		if keep(n) {
			chosen = append(chosen, int32(i))
			names[n.ID] = true
		}
	}
	var nodes []*Node
	for _, i := range g.edges.Closure(chosen) {
		nodes = append(nodes, g.nodes[i])
	}
	in := make(map[string]bool, len(nodes))
	for _, n := range nodes {
		in[n.ID] = true
	}
	var scopes []Scope
	for _, name := range g.names {
		if s := g.scopes[name]; name != "" && (s.Gate == "" || in[s.Gate]) {
			scopes = append(scopes, s.Scope)
		}
	}
	part, err := NewGraph(nodes, scopes)
	if err != nil {
		return nil, err
	}
	part.whole, part.chosen = g, names
	return part, nil
}

// Digest changes whenever any node's desired state or edges do.
func (g *Graph) Digest() string {
	h := sha256.New()
	for _, n := range g.nodes {
		fmt.Fprintf(h, "%s\x00%s\x00%q\x00%q\n", n.ID, n.Body.Digest(), n.Needs, n.Triggers)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// claimants returns the nodes by what they claim.
func (g *Graph) claimants() map[string][]int32 {
	by := map[string][]int32{}
	for i, n := range g.nodes {
		for _, c := range n.Claims {
			by[c] = append(by[c], int32(i))
		}
	}
	return by
}

// record returns what the state keeps of node i.
func (g *Graph) record(i int32) Record {
	n := g.nodes[i]
	r := Record{
		ID: n.ID, Kind: n.Kind, Key: n.Key, Scope: n.Scope, Needs: n.Needs,
		Removal: n.Body.Removal(), Sensitive: n.Sensitive, Opens: g.gates[i], Holds: n.Holds, Claims: n.Claims,
		Guarded: n.Guarded, Outlives: n.Outlives,
	}
	r.Pokes = g.pokes(n.ID)
	return r
}

// pokes returns the nodes that the named one is a trigger of.
func (g *Graph) pokes(id string) []string {
	if g.whole != nil {
		return g.whole.pokes(id)
	}
	i, _ := g.edges.Lookup(id)
	var out []string
	for _, d := range g.edges.Dependents(i) {
		if slices.Contains(g.nodes[d].Triggers, id) {
			out = append(out, g.nodes[d].ID)
		}
	}
	return out
}

// Order returns all nodes so that each comes after what it needs.
func (g *Graph) Order() []*Node {
	out := make([]*Node, 0, len(g.nodes))
	for _, i := range g.edges.Order() {
		out = append(out, g.nodes[i])
	}
	return out
}
