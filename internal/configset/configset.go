// Package configset is the contract of configsets: named, parameterised sets of
// resources that make a host into something.
//
// A configset is one directory below this one: a package with a function that
// returns a [Set]. Its only other mention is a line in package catalogue.
// Building is pure: the same input gives the same items, and nothing is read
// from or written to the world.
package configset

import (
	"github.com/updraft-cloud/updraft/internal/diag"
	"github.com/updraft-cloud/updraft/internal/engine"
	"github.com/updraft-cloud/updraft/internal/resource"
	"github.com/updraft-cloud/updraft/internal/spec"
)

// Set is a configset.
type Set struct {
	Name string
	// Doc is the text of the reference: the first sentence is the summary.
	Doc string
	// Params returns a pointer to the parameters with their defaults filled
	// in. The fields carry json and doc tags, from which decoding, the schema
	// and the reference are made.
	Params func() any
	// Build returns what the set asks for on one host. Faults that can only
	// be seen here are reported with in.Fault.
	Build func(in *Input) []Item
}

// Input is what a set may look at.
type Input struct {
	Cloud  *spec.Cloud
	Host   *spec.Host
	Params any // what Params returned, with the user's values decoded into it
	// Diags takes faults; use Fault.
	Diags *diag.List
	Use   spec.Use
}

// Fault reports a fault of the named parameter at its position in the cloud file,
// or at that of the whole use where no parameters are written.
func (in *Input) Fault(param, mend, format string, args ...any) {
	pos := in.Use.Params.PosOf(param)
	if pos.IsZero() {
		pos = in.Use.Pos
	}
	in.Diags.Errorf(pos, in.Use.Path+"."+param, mend, format, args...)
}

// Item is a resource that a set asks for.
type Item struct {
	Resource resource.Resource
	Phase    engine.Phase // Configure when empty
	// Needs and Triggers are references "kind:key" on the same host, or
	// "HOST/kind:key" on another.
	Needs, Triggers []string
}
