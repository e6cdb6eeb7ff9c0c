// Package provision executes the deployer's own part of the graph: images,
// networks, machines and the package cache, through a [machine.Provider], and
// waits for the cloud's API.
//
// It only translates between the engine's contract and the provider's; the
// promises of both hold.
package provision

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/updraft-cloud/updraft/internal/drift"
	"github.com/updraft-cloud/updraft/internal/engine"
	"github.com/updraft-cloud/updraft/internal/machine"
)

// The kinds of nodes that this package executes.
const (
	KindImage   = "image"
	KindNetwork = "network"
	KindMachine = "machine"
	KindCache   = "cache"
	// KindContainerImage is a container image, KindServerImage one for servers in
	// the cloud, KindAPI the place where the cloud's own API answers, KindRegistry
	// that where its registry of images does. All are a [Service].
	KindContainerImage = "container-image"
	KindServerImage    = "server-image"
	KindAPI            = "api"
	KindRegistry       = "registry"
	// KindMembers stands for the controllers' membership in clusters. It is a [Service].
	KindMembers = "members"
)

// Image, Network and Machine are the bodies of nodes.
type (
	// Image is something the provider needs before it makes machines.
	Image struct{ machine.Image }
	// Network is a network of the cloud.
	Network struct {
		Cloud string `json:"cloud"`
		machine.Network
	}
	// Machine is a machine of the cloud.
	Machine struct{ machine.Machine }
)

// Digest implements [engine.Body].
func (i Image) Digest() string { return i.ID }

// Removal implements [engine.Body]. Images are shared between clouds.
func (Image) Removal() json.RawMessage { return nil }

// Digest implements [engine.Body].
func (n Network) Digest() string { return digest(n) }

// Removal implements [engine.Body].
func (n Network) Removal() json.RawMessage { return encode(n) }

// Digest implements [engine.Body].
func (m Machine) Digest() string { return digest(m.Machine) }

// Removal implements [engine.Body]: the whole description, since it also says
// how to reach what is to be removed on the machine.
func (m Machine) Removal() json.RawMessage { return encode(m.Machine) }

func encode(v any) json.RawMessage {
	b, err := json.Marshal(v)
	if err != nil {
		panic("provision: " + err.Error()) // plain structs always encode
	}
	return b
}

func digest(v any) string {
	sum := sha256.Sum256(encode(v))
	return hex.EncodeToString(sum[:])
}

// Service is something long-lived that updraft runs beside a cloud, such as the
// package cache. It is its own body.
type Service interface {
	engine.Body
	Observe(ctx context.Context) (drift.Report, error)
	Ensure(ctx context.Context, log func(format string, args ...any)) error
}

// Executor is the [engine.Executor] of the deployer's scope.
type Executor struct {
	Provider machine.Provider
	// Cloud is the name of the cloud.
	Cloud string
	// RemoveService removes a service by what its Removal returned.
	RemoveService func(ctx context.Context, removal json.RawMessage) error
	// Ensured is told of a machine that was made or started, Removing of one
	// that is about to go.
	Ensured, Removing func(name string)
	// Leave takes updraft's own traces off a machine that stays.
	Leave func(ctx context.Context, name string) error
}

// observers bounds how many things are observed at once: machines elsewhere take
// a round trip each.
const observers = 64

// Observe implements [engine.Executor].
func (x *Executor) Observe(ctx context.Context, _ string, nodes []*engine.Node) ([]drift.Report, error) {
	out := make([]drift.Report, len(nodes))
	var g errgroup.Group
	g.SetLimit(observers)
	for i, n := range nodes {
		g.Go(func() error {
			r, err := x.observe(ctx, n)
			if err != nil {
				r = drift.Report{Err: err.Error()}
			}
			out[i] = r
			return nil
		})
	}
	_ = g.Wait() // errors are in the reports
	return out, ctx.Err()
}

func (x *Executor) observe(ctx context.Context, n *engine.Node) (drift.Report, error) {
	switch b := n.Body.(type) {
	case Image:
		return x.Provider.ObserveImage(ctx, b.Image)
	case Network:
		return x.Provider.ObserveNetwork(ctx, x.Cloud, b.Network)
	case Machine:
		return x.Provider.ObserveMachine(ctx, withKey(b.Machine))
	case Service:
		return b.Observe(ctx)
	}
	return drift.Report{}, fmt.Errorf("the deployer has no resources of kind %s", n.Kind)
}

// Apply implements [engine.Executor].
func (x *Executor) Apply(ctx context.Context, n *engine.Node, found drift.Report, _ engine.Cause, log func(string)) error {
	logf := func(format string, args ...any) { log(fmt.Sprintf(format, args...)) }
	switch b := n.Body.(type) {
	case Image:
		return x.Provider.EnsureImage(ctx, b.Image, logf)
	case Network:
		return x.Provider.EnsureNetwork(ctx, x.Cloud, b.Network, logf)
	case Machine:
		if found.Status == drift.Differs && found.Has("rebuild") {
			return fmt.Errorf("machine %s was made from another image and must be rebuilt: take it away with `updraft destroy --only %s`, then run up again", b.Name, b.Name)
		}
		if err := x.Provider.EnsureMachine(ctx, withKey(b.Machine), logf); err != nil {
			return err
		}
		x.Ensured(b.Name)
		return nil
	case Service:
		return b.Ensure(ctx, logf)
	}
	return fmt.Errorf("the deployer has no resources of kind %s", n.Kind)
}

// withKey adds the public half of the key that updraft logs in with. It is no
// part of the graph: before the first apply there is none, and a plan must not
// change because a key was made.
func withKey(m machine.Machine) machine.Machine {
	if data, err := os.ReadFile(m.Access.Identity + ".pub"); err == nil {
		m.Access.PublicKey = strings.TrimSpace(string(data))
	}
	return m
}

// Remove implements [engine.Executor].
func (x *Executor) Remove(ctx context.Context, r engine.Record, _ func(string)) error {
	switch r.Kind {
	case KindImage, KindContainerImage, KindServerImage:
		return nil // a shared cache, pruned by `updraft lab prune` and `updraft image prune`
	case KindAPI, KindRegistry, KindMembers:
		return nil // it goes with what answers there
	case KindNetwork:
		return x.Provider.RemoveNetwork(ctx, x.Cloud, r.Key)
	case KindMachine:
		if b, ok := x.Provider.(machine.Borrower); ok && b.Borrows() {
			return x.Leave(ctx, r.Key)
		}
		x.Removing(r.Key)
		return x.Provider.RemoveMachine(ctx, x.Cloud, r.Key)
	case KindCache:
		return x.RemoveService(ctx, r.Removal)
	}
	return fmt.Errorf("cannot remove %s: the deployer has no resources of kind %s", r.ID, r.Kind)
}

// MachineOf returns the description of a machine that the state remembers, to
// reach what is to be removed on it.
func MachineOf(r engine.Record) (machine.Machine, error) {
	var m machine.Machine
	if err := json.Unmarshal(r.Removal, &m); err != nil {
		return m, fmt.Errorf("the state of %s is damaged: %w", r.ID, err)
	}
	return m, nil
}
