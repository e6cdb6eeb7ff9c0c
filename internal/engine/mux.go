package engine

import (
	"context"

	"github.com/updraft-cloud/updraft/internal/drift"
)

// Mux is an [Executor] that hands the deployer's own nodes to one executor and
// those on hosts to another.
type Mux struct{ Deployer, Hosts Executor }

func (m Mux) pick(scope string) Executor {
	if scope == "" {
		return m.Deployer
	}
	return m.Hosts
}

// Observe implements [Executor].
func (m Mux) Observe(ctx context.Context, scope string, nodes []*Node) ([]drift.Report, error) {
	return m.pick(scope).Observe(ctx, scope, nodes)
}

// Apply implements [Executor].
func (m Mux) Apply(ctx context.Context, n *Node, found drift.Report, why Cause, log func(string)) error {
	return m.pick(n.Scope).Apply(ctx, n, found, why, log)
}

// Remove implements [Executor].
func (m Mux) Remove(ctx context.Context, r Record, log func(string)) error {
	return m.pick(r.Scope).Remove(ctx, r, log)
}
