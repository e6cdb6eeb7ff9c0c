package engine

import (
	"context"

	"github.com/updraft-cloud/updraft/internal/drift"
)

// Mux is an [Executor] that hands the deployer's own nodes to one executor,
// those on hosts to another, and those of further scopes to theirs.
type Mux struct {
	Deployer, Hosts Executor
	// Scopes are the executors of scopes that are no hosts, by name.
	Scopes map[string]Executor
}

func (m Mux) pick(scope string) Executor {
	if scope == "" {
		return m.Deployer
	}
	if x, ok := m.Scopes[scope]; ok {
		return x
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

// Object implements [Guard], by the scope's executor if that is one.
func (m Mux) Object(ctx context.Context, r Record) error {
	if g, ok := m.pick(r.Scope).(Guard); ok {
		return g.Object(ctx, r)
	}
	return nil
}

// Seal implements [Guard], by the scope's executor if that is one.
func (m Mux) Seal(ctx context.Context, r Record) error {
	if g, ok := m.pick(r.Scope).(Guard); ok {
		return g.Seal(ctx, r)
	}
	return nil
}
