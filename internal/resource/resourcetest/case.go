// Package resourcetest is the suite that every kind of resource passes.
//
// It holds the kinds to the contract of [resource.Resource]: observing changes
// nothing; what is applied is in sync; each drift is told by itself; a power cut
// after any change is made good by the next run, and can be removed as well;
// removing leaves the host as it was; nothing secret is told. [Suite] runs on
// the strict host in memory, [OnHost] a part of it on any host, such as a real
// one in a lab. The cases themselves are in package cases.
package resourcetest

import (
	"context"

	"github.com/updraft-cloud/updraft/internal/resource"
)

// Case is one resource in one situation.
type Case struct {
	Name     string
	Resource resource.Resource
	// Given prepares the host: what the resource needs or changes. It must also
	// work on a real host, and twice.
	Given func(ctx context.Context, h resource.Host) error
	// Drifts are ways in which the world moves after the resource was applied.
	Drifts []Drift
	// Secrets are values that must not be seen anywhere.
	Secrets []string
	// Stays says that Remove, where the thing was there before, leaves it as
	// updraft made it, because its nature allows nothing else.
	Stays bool
	// Real says what a real host must have for the case to be run on it.
	Real Real
}

// Real is what a real host must have.
type Real struct {
	// Skip says why the case makes no sense on a real host; empty if it does.
	Skip string
	// Commands must be installed.
	Commands []string
	// Systemd must be running.
	Systemd bool
}

// Drift is one way to move the world.
type Drift struct {
	Name string
	Do   func(ctx context.Context, h resource.Host) error
	// Attrs are the attributes that a report must show, and no other; nil
	// means that the thing is absent.
	Attrs []string
	// Traces says that mending rightly leaves something of the drift behind.
	Traces bool
}

// WriteText returns a step that writes a file of root's.
func WriteText(path, text string, mode uint32) func(context.Context, resource.Host) error {
	return func(_ context.Context, h resource.Host) error {
		return h.WriteFile(path, []byte(text), resource.Access{Mode: mode})
	}
}

// RunCommand returns a step that runs a command.
func RunCommand(name string, args ...string) func(context.Context, resource.Host) error {
	return func(ctx context.Context, h resource.Host) error {
		_, err := h.Run(ctx, resource.Command{Name: name, Args: args})
		return err
	}
}

// Steps returns one step that does all.
func Steps(steps ...func(context.Context, resource.Host) error) func(context.Context, resource.Host) error {
	return func(ctx context.Context, h resource.Host) error {
		for _, step := range steps {
			if err := step(ctx, h); err != nil {
				return err
			}
		}
		return nil
	}
}
