package api

import (
	"context"
	"fmt"

	"github.com/updraft-cloud/updraft/internal/engine"
)

// guarded is a resource that others may have put something into, which would be lost
// with it.
type guarded interface {
	// outlives are IDs of nodes that are to be removed before.
	outlives() []string
	// object says what would be lost; it changes nothing.
	object(ctx context.Context, v *view) error
	// seal keeps more from coming, and then objects or not.
	seal(ctx context.Context, v *view) error
}

// Object implements [engine.Guard].
func (x *Executor) Object(ctx context.Context, rec engine.Record) error {
	return x.guard(ctx, rec, guarded.object)
}

// Seal implements [engine.Guard].
func (x *Executor) Seal(ctx context.Context, rec engine.Record) error {
	return x.guard(ctx, rec, guarded.seal)
}

func (x *Executor) guard(ctx context.Context, rec engine.Record, ask func(guarded, context.Context, *view) error) error {
	r, err := decode(rec.Kind, rec.Removal)
	if err != nil {
		return err
	}
	g, ok := r.(guarded)
	if !ok {
		return nil
	}
	v, err := x.view(ctx, false, nil)
	if err != nil {
		return fmt.Errorf("it cannot be seen what would be lost: %w", err)
	}
	return ask(g, ctx, v)
}
