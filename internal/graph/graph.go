// Package graph is a directed acyclic graph over numbered nodes with names.
//
// It guarantees that everything derived from it is deterministic: the same nodes
// in the same order with the same edges give the same result. Nodes are numbers
// inside, so a graph of 300,000 nodes costs a few tens of megabytes.
package graph

import (
	"fmt"
	"slices"
	"strings"
)

// Graph holds nodes 0…n-1 and, for each, what it needs.
type Graph struct {
	names      []string
	index      map[string]int32
	needs      [][]int32 // per node, sorted, without repeats
	dependents [][]int32
	order      []int32
}

// UnknownError is an edge to a node that is not there.
type UnknownError struct{ From, To string }

// Error names both ends.
func (e *UnknownError) Error() string {
	return fmt.Sprintf("%s needs %s, which does not exist", e.From, e.To)
}

// CycleError is a cycle. Path starts and ends with the same name.
type CycleError struct{ Path []string }

// Error renders the cycle.
func (e *CycleError) Error() string {
	return "dependency cycle: " + strings.Join(e.Path, " needs ")
}

// New builds a graph. needs returns the names that node i needs. All faults are
// returned at once: repeated names, unknown names ([*UnknownError]) and one
// cycle ([*CycleError]).
func New(names []string, needs func(i int) []string) (*Graph, []error) {
	g := &Graph{
		names:      names,
		index:      make(map[string]int32, len(names)),
		needs:      make([][]int32, len(names)),
		dependents: make([][]int32, len(names)),
	}
	var errs []error
	for i, n := range names {
		if _, dup := g.index[n]; dup {
			errs = append(errs, fmt.Errorf("%s is there twice", n))
		}
		g.index[n] = int32(i)
	}
	for i, n := range names {
		for _, need := range needs(i) {
			j, ok := g.index[need]
			if !ok {
				errs = append(errs, &UnknownError{n, need})
				continue
			}
			g.needs[i] = append(g.needs[i], j)
		}
		slices.Sort(g.needs[i])
		g.needs[i] = slices.Compact(g.needs[i])
		for _, j := range g.needs[i] {
			g.dependents[j] = append(g.dependents[j], int32(i))
		}
	}
	if err := g.sort(); err != nil {
		errs = append(errs, err)
	}
	if len(errs) > 0 {
		return nil, errs
	}
	return g, nil
}

// sort computes a topological order: always the lowest-numbered layer first.
func (g *Graph) sort() error {
	left := make([]int32, len(g.names))
	ready := make([]int32, 0, len(g.names))
	for i := range g.names {
		left[i] = int32(len(g.needs[i]))
		if left[i] == 0 {
			ready = append(ready, int32(i))
		}
	}
	for at := 0; at < len(ready); at++ {
		for _, d := range g.dependents[ready[at]] {
			if left[d]--; left[d] == 0 {
				ready = append(ready, d)
			}
		}
	}
	if len(ready) < len(g.names) {
		return g.cycle(left)
	}
	g.order = ready
	return nil
}

// cycle follows unsatisfied needs from the first node that has any until a node
// repeats.
func (g *Graph) cycle(left []int32) error {
	at := int32(slices.IndexFunc(left, func(n int32) bool { return n > 0 }))
	seen := map[int32]int{}
	var path []int32
	for {
		if first, ok := seen[at]; ok {
			names := make([]string, 0, len(path)-first+1)
			for _, i := range append(path[first:], at) {
				names = append(names, g.names[i])
			}
			return &CycleError{names}
		}
		seen[at] = len(path)
		path = append(path, at)
		for _, n := range g.needs[at] {
			if left[n] > 0 {
				at = n
				break
			}
		}
	}
}

// Len returns the number of nodes.
func (g *Graph) Len() int { return len(g.names) }

// Name returns the name of node i.
func (g *Graph) Name(i int32) string { return g.names[i] }

// Lookup returns the number of the named node.
func (g *Graph) Lookup(name string) (int32, bool) {
	i, ok := g.index[name]
	return i, ok
}

// Needs returns the nodes that i needs. The caller must not change it.
func (g *Graph) Needs(i int32) []int32 { return g.needs[i] }

// Dependents returns the nodes that need i. The caller must not change it.
func (g *Graph) Dependents(i int32) []int32 { return g.dependents[i] }

// Order returns all nodes so that each comes after what it needs. The caller
// must not change it.
func (g *Graph) Order() []int32 { return g.order }

// Closure returns the given nodes and all that they need, transitively, sorted.
func (g *Graph) Closure(of []int32) []int32 {
	seen := make(map[int32]bool, len(of))
	stack := slices.Clone(of)
	for len(stack) > 0 {
		i := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		if seen[i] {
			continue
		}
		seen[i] = true
		stack = append(stack, g.needs[i]...)
	}
	out := make([]int32, 0, len(seen))
	for i := range seen {
		out = append(out, i)
	}
	slices.Sort(out)
	return out
}
