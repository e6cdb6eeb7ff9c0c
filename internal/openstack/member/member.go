// Package member is which controllers belong to the clusters that services are on:
// the database, the queue, etcd, OVN.
//
// A controller joins by itself, when its services start. Taking it out is what this
// package does, and before anything else changes on those that stay: the member
// takes leave of the others, which then need no answer from it for a majority. So it
// has to be a majority that stays, at each moment: [Executor.Object] says no, and
// why, before anything is done. A controller that is dead is forgotten by the others.
//
// Its nodes are in a scope of their own, one for each controller, and one that all
// containers with members need ([stack.Members]). They are in sync as soon as they
// are declared: what they are for is their removal.
package member

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/updraft-cloud/updraft/internal/drift"
	"github.com/updraft-cloud/updraft/internal/engine"
	"github.com/updraft-cloud/updraft/internal/openstack/stack"
)

// Scope is the scope of members.
const Scope = stack.MembersScope

// Kind is the kind of the nodes of controllers, kindAll that of the one which stands
// for all of them.
const (
	Kind    = "member"
	kindAll = "members"
)

// Controller is a controller with members of clusters. It is the body of its node.
type Controller struct {
	Name string `json:"name"`
	// Address is the one by which the other members know it.
	Address string `json:"address"`
}

// Digest implements [engine.Body].
func (c Controller) Digest() string { return c.Name + " " + c.Address }

// Removal implements [engine.Body].
func (c Controller) Removal() json.RawMessage {
	data, err := json.Marshal(c)
	if err != nil {
		panic("member: " + err.Error()) // two texts always encode
	}
	return data
}

// settled is the body of what is there once it is declared.
type settled struct{}

func (settled) Digest() string           { return "members" }
func (settled) Removal() json.RawMessage { return nil }

// Gate is the body of the gate of the scope. It is the deployer's, and holds all
// members: who destroys a whole cloud needs nobody to take leave.
type Gate struct{ settled }

// Observe finds it in place.
func (Gate) Observe(context.Context) (drift.Report, error) {
	return drift.Report{Status: drift.InSync}, nil
}

// Ensure has nothing to do.
func (Gate) Ensure(context.Context, func(string, ...any)) error { return nil }

// Nodes returns the nodes of the deployment's controllers.
func Nodes(d *stack.Deployment) []*engine.Node {
	all := &engine.Node{ID: stack.Members, Kind: kindAll, Key: "all", Scope: Scope, Phase: engine.Start, Body: settled{}}
	out := []*engine.Node{all}
	for _, c := range Controllers(d) {
		out = append(out, &engine.Node{
			ID: fmt.Sprintf("%s/%s:%s", Scope, Kind, c.Name), Kind: Kind, Key: c.Name, Scope: Scope, Phase: engine.Start,
			// It is recorded as soon as it is declared, and whether it may go is asked first.
			Body: c, Guarded: true,
		})
	}
	return out
}

// Controllers are those of the deployment.
func Controllers(d *stack.Deployment) []Controller {
	var out []Controller
	for _, h := range d.Spec.Controllers {
		out = append(out, Controller{Name: h.Name, Address: d.Address(h)})
	}
	return out
}

// Recorded are the controllers that the state knows members of, by their names.
func Recorded(records map[string]engine.Record) map[string]Controller {
	out := map[string]Controller{}
	for _, r := range records {
		if r.Scope == Scope && r.Kind == Kind {
			if c, err := decode(r); err == nil {
				out[c.Name] = c
			}
		}
	}
	return out
}

func decode(r engine.Record) (Controller, error) {
	var c Controller
	if err := json.Unmarshal(r.Removal, &c); err != nil || c.Name == "" {
		return c, fmt.Errorf("the state of %s is damaged: %q", r.ID, r.Removal)
	}
	return c, nil
}
