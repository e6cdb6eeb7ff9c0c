// Package compile turns a cloud into a graph.
//
// It is pure and deterministic: the same cloud and catalogue give the same
// graph, and nothing is read from or written to the world. Everything that will
// happen is in the graph, so that a plan made of it is truthful. Faults that can
// be seen without touching the world are reported all at once, at their
// positions in the cloud file.
package compile

import (
	"github.com/updraft-cloud/updraft/internal/configset"
	"github.com/updraft-cloud/updraft/internal/diag"
	"github.com/updraft-cloud/updraft/internal/engine"
	"github.com/updraft-cloud/updraft/internal/machine"
	"github.com/updraft-cloud/updraft/internal/provision"
	"github.com/updraft-cloud/updraft/internal/resource"
	"github.com/updraft-cloud/updraft/internal/spec"
	"github.com/updraft-cloud/updraft/internal/verify"
)

// Input is what a cloud is compiled with.
type Input struct {
	Cloud    *spec.Cloud
	Sets     []configset.Set
	Kinds    *resource.Registry
	Provider machine.Provider
	// Access returns how updraft logs in to a host.
	Access func(*spec.Host) machine.Access
	// Cache is the package cache beside the cloud, or nil.
	Cache provision.Service
	// Body wraps a host resource for its executor.
	Body func(resource.Resource) engine.Body
	// OpenStack is needed where the cloud has one.
	OpenStack *OpenStack
}

// Output is a compiled cloud.
type Output struct {
	Graph    *engine.Graph
	Topology machine.Topology
	// Machines are those of the topology by name.
	Machines map[string]machine.Machine
	Checks   []Check
}

// Check is a declared check, ready to be run.
type Check struct {
	spec.Check
	Run verify.Check
	// From are the hosts to run it from; empty means the deployer.
	From []string
}

// Compile returns the graph, or faults.
func Compile(in Input) (*Output, diag.List) {
	c := &compiler{Input: in, sets: map[string]configset.Set{}, items: map[string]*item{}, byHost: map[string][]*item{}}
	for _, s := range in.Sets {
		c.sets[s.Name] = s
	}
	out := &Output{Topology: c.topology(), Machines: map[string]machine.Machine{}}
	for _, m := range out.Topology.Machines {
		out.Machines[m.Name] = m
	}
	c.provision(out.Topology)
	for _, h := range in.Cloud.Hosts {
		c.host(h)
	}
	c.openstack()
	c.link()
	out.Checks = c.checks()
	if !c.diags.HasErrors() {
		out.Graph = c.graph()
	}
	c.diags.Sort()
	return out, c.diags
}

type compiler struct {
	Input
	diags  diag.List
	sets   map[string]configset.Set
	nodes  []*engine.Node
	scopes []engine.Scope
	items  map[string]*item // by node ID
	order  []*item
	byHost map[string][]*item
}

// item is a host resource on its way into the graph.
type item struct {
	node *engine.Node
	res  resource.Resource
	from string // who asks for it, for faults
	path string // in the cloud file
	pos  diag.Pos
	// refs are explicit needs and triggers that must exist.
	needs, triggers []string
}

// graph joins what was collected. What can still be wrong is a cycle.
func (c *compiler) graph() *engine.Graph {
	g, err := engine.NewGraph(c.nodes, c.scopes)
	if err != nil {
		c.diags.Errorf(diag.Pos{File: c.Cloud.Files[0]}, "", "take out one of the needs along it", "%v", err)
		return nil
	}
	return g
}
