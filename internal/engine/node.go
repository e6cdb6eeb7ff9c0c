package engine

import (
	"context"
	"encoding/json"

	"github.com/updraft-cloud/updraft/internal/drift"
)

// Phase is a label on a node, for people and for the timeline. It orders
// nothing: only edges do.
type Phase string

// The phases in the order in which people think of them.
const (
	Provision Phase = "provision"
	Prepare   Phase = "prepare"
	Build     Phase = "build"
	Install   Phase = "install"
	Configure Phase = "configure"
	Start     Phase = "start"
)

// Body is the desired state of a node. The engine does not look inside; only
// the [Executor] of the node's scope does.
type Body interface {
	// Digest changes whenever the desired state does. It is one-way, so that
	// it may stand in a plan even for secret content.
	Digest() string
	// Removal returns what the executor needs to remove the thing when nothing
	// else is left of it but updraft's state. It holds no secret.
	Removal() json.RawMessage
}

// Node is one resource in the graph.
type Node struct {
	// ID is unique in the cloud: "web1/file:/etc/motd", "machine:web1".
	ID string
	// Kind and Key name the thing for people and for the executor.
	Kind, Key string
	// Scope is where the node is executed: a host's name, or empty for the
	// deployer (machines and networks).
	Scope string
	Phase Phase
	Body  Body
	// Needs are IDs of nodes that must be in sync before this one is applied.
	Needs []string
	// Triggers are IDs of nodes on whose change this one acts, even if it is
	// in sync itself. A trigger is also a need.
	Triggers []string
	// Sensitive keeps values of this node out of everything that is shown.
	Sensitive bool
	// Holds says that removing this node takes everything in the scopes behind
	// it along (a machine that is destroyed), so that it need not be removed
	// piece by piece.
	Holds bool
	// Claims name what only one node can have at a time, such as an address on
	// a network. What is to be removed and claims the same goes first.
	Claims []string
	// Guarded says that the thing may hold what others have put there, so that its
	// executor, a [Guard], is asked before anything is removed in a run that would
	// remove it. It is recorded as soon as it is seen, even if updraft never had to
	// do anything about it.
	Guarded bool
	// Outlives are IDs of nodes that must be removed before this one, beside those
	// that need it, if they are to be removed at all: what would make the thing
	// again as long as it is there.
	Outlives []string
}

// Scope is a place where nodes are executed.
type Scope struct {
	Name string
	// Gate is the ID of the node that must be in sync before the scope can be
	// observed (the machine). Empty means that the scope is always there.
	Gate string
	// Leads says that what is removed in it goes before anything that is removed in
	// other scopes, which stays as long as it has not gone.
	Leads bool
	// Limit bounds how many nodes are applied at once; 0 means the engine's default.
	Limit int
	// Turn names the group of scopes that must not all be disturbed at once: what works
	// is changed in one of them at a time ([Service]). Empty for none.
	Turn string
}

// Record is what the state keeps of a node that updraft has applied.
type Record struct {
	ID        string          `json:"id"`
	Kind      string          `json:"kind"`
	Key       string          `json:"key"`
	Scope     string          `json:"scope,omitempty"`
	Needs     []string        `json:"needs,omitempty"`
	Made      bool            `json:"made,omitempty"` // did not exist before
	Removal   json.RawMessage `json:"removal,omitempty"`
	Sensitive bool            `json:"sensitive,omitempty"`
	Opens     []string        `json:"opens,omitempty"`    // scopes that this node is the gate of
	Holds     bool            `json:"holds,omitempty"`    // as in Node
	Pokes     []string        `json:"pokes,omitempty"`    // nodes that this one is a trigger of
	Claims    []string        `json:"claims,omitempty"`   // as in Node
	Guarded   bool            `json:"guarded,omitempty"`  // as in Node
	Outlives  []string        `json:"outlives,omitempty"` // as in Node
	// Owes are those of Pokes that have not acted yet since this one was last
	// about to change.
	Owes []string `json:"owes,omitempty"`
	// Gone says that the thing was removed, and that this record only remains
	// until those that it owes have acted on that.
	Gone bool `json:"gone,omitempty"`
	// Pending is set when the intent was recorded and no outcome: it is
	// unknown how far the step came.
	Pending bool `json:"pending,omitempty"`
}

// Cause says why a node is applied, apart from what was found.
type Cause struct {
	// Triggered lists the node's triggers that were changed in this run.
	Triggered []string
	// Made says that the state knows the thing as made by updraft.
	Made bool
}

// Executor does the work of scopes. Errors are classified by package retry.
type Executor interface {
	// Observe compares nodes, all of one scope, with the world, in one round
	// trip where it can. It changes nothing. The result holds one report for
	// each node, in order; an error means that the scope as a whole could not
	// be observed.
	Observe(ctx context.Context, scope string, nodes []*Node) ([]drift.Report, error)
	// Apply makes the world agree with the node and returns what a new
	// observation found, which is in sync unless an error is returned.
	Apply(ctx context.Context, n *Node, found drift.Report, why Cause, log func(line string)) error
	// Remove takes back what was applied. A thing already gone is no error.
	Remove(ctx context.Context, r Record, log func(line string)) error
}

// Guard is an [Executor] of guarded nodes.
type Guard interface {
	// Object says why the recorded thing must not be removed now, and what to do
	// about it; nil if nothing is in the way. It changes nothing.
	Object(ctx context.Context, r Record) error
	// Seal keeps reasons to object from coming up, and then objects or not. It is
	// called before the first step of a run that is to remove the thing. A node
	// that is to stay after all undoes it when it is applied.
	Seal(ctx context.Context, r Record) error
}
