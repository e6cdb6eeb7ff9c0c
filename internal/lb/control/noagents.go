package control

import (
	"context"

	"github.com/updraft-cloud/updraft/internal/lb/model"
)

// NoAgents is the side of the amphorae where the compute is driver.Light:
// nothing runs that could be told anything.
type NoAgents struct{}

// Apply does nothing.
func (NoAgents) Apply(context.Context, Want) (string, error) { return "", nil }

// Digest is that of nothing.
func (NoAgents) Digest(context.Context, Want) (string, error) { return "", nil }

// Probe answers.
func (NoAgents) Probe(context.Context, *model.Amphora) error { return nil }

// Renew does nothing.
func (NoAgents) Renew(context.Context, *model.Amphora, string, string, string) error { return nil }
