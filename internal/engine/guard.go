package engine

import (
	"context"
	"errors"
	"fmt"

	"github.com/updraft-cloud/updraft/internal/drift"
)

// ObjectionError means that a plan would remove what must not be removed. Nothing
// was done.
type ObjectionError struct {
	ID  string
	Err string
}

// Error says what is in the way.
func (e *ObjectionError) Error() string { return fmt.Sprintf("cannot remove %s: %s", e.ID, e.Err) }

// Objections returns, joined, what keeps the plan from being carried out, each as
// an [*ObjectionError]; nil if nothing does.
func (p *Plan) Objections() error {
	var errs []error
	for i := range p.Steps {
		if s := &p.Steps[i]; s.Action == Remove && s.Err != "" {
			errs = append(errs, &ObjectionError{s.ID, s.Err})
		}
	}
	return errors.Join(errs...)
}

// object asks about guarded things that are to be removed. One of a scope that
// could not be observed cannot be asked about, which is an objection, too.
func (e *Engine) object(ctx context.Context, p *Plan) {
	guard, ok := e.exec.(Guard)
	if !ok {
		return
	}
	for i := range p.Steps {
		s := &p.Steps[i]
		if s.Action != Remove || !s.removal.Guarded {
			continue
		}
		if p.deferred[s.Scope] {
			s.Err = "it cannot be seen what would be lost, as " + s.Scope + " does not answer; put it back into the cloud file until a run has brought that up"
			continue
		}
		s.Err = errText(guard.Object(ctx, s.removal))
	}
}

// seal keeps the plan's guarded removals free from objections while it is carried
// out.
func (e *Engine) seal(ctx context.Context, p *Plan) error {
	if p.forced {
		return nil
	}
	errs := []error{p.Objections()}
	guard, ok := e.exec.(Guard)
	for i := range p.Steps {
		if s := &p.Steps[i]; ok && errs[0] == nil && s.Action == Remove && s.removal.Guarded {
			if err := guard.Seal(ctx, s.removal); err != nil {
				errs = append(errs, &ObjectionError{s.ID, err.Error()})
			}
		}
	}
	return errors.Join(errs...)
}

// note records a guarded node that needs no work.
func (r *run) note(t int32) error {
	n := r.p.graph.nodes[t]
	if _, known := r.p.made[n.ID]; known || !n.Guarded {
		return nil
	}
	rec := r.p.graph.record(t)
	return r.journal(Entry{Op: OpIntend, ID: n.ID, Record: &rec, Found: drift.InSync}, Entry{Op: OpDone, ID: n.ID})
}
