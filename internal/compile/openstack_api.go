package compile

import (
	"maps"
	"slices"
	"strings"

	"github.com/updraft-cloud/updraft/internal/engine"
	"github.com/updraft-cloud/updraft/internal/openstack"
	"github.com/updraft-cloud/updraft/internal/openstack/api"
	"github.com/updraft-cloud/updraft/internal/openstack/stack"
	"github.com/updraft-cloud/updraft/internal/provision"
	"github.com/updraft-cloud/updraft/internal/spec"
)

// openstackAPI adds what is to be in the cloud's own API: what the services need
// there, and what the cloud file declares.
func (c *compiler) openstackAPI(d *stack.Deployment) {
	all := append(openstack.Registered(d), openstack.Hosts(d, provision.KindMachine)...)
	all = append(all, openstack.Zones(d)...)
	kinds := map[string]api.Kind{}
	for _, k := range api.Kinds() {
		kinds[k.Name] = k
	}
	for _, in := range d.Spec.Resources {
		kind, ok := kinds[in.Kind]
		if !ok {
			names := slices.Sorted(maps.Keys(kinds))
			c.diags.Errorf(in.Pos, in.Path, "known are "+strings.Join(names, ", "), "there is no kind %q in the API", in.Kind)
			continue
		}
		if r := c.declared(kind, in); r != nil {
			all = append(all, r)
		}
	}
	nodes, err := api.Nodes(all)
	if err != nil {
		c.diags.Errorf(d.Spec.Pos, "openstack.resources", "", "%v", err)
		return
	}
	gate := c.deployer(provision.KindAPI, api.Scope, c.OpenStack.API, openstack.Answers(d)...)
	n := c.nodes[len(c.nodes)-1]
	n.Phase, n.Holds = engine.Start, true
	c.scopes = append(c.scopes, engine.Scope{Name: api.Scope, Gate: gate, Limit: apiSteps})
	for _, n := range nodes {
		n.Phase = engine.Start
		r := n.Body.(api.Body).Resource
		if _, ok := r.(*api.Controller); !ok { // it is removed after all that is on controllers that go
			n.Needs = append(n.Needs, openstack.Serving(d, r.Services())...)
		}
		if _, ok := r.(*api.Image); ok && c.isElsewhere(proofID) {
			n.Needs = append(n.Needs, proofID)
		}
		if m, ok := r.(*api.AggregateHost); ok {
			n.Needs = append(n.Needs, openstack.Known(d, m.Host)...)
		}
		n.Needs = sorted(n.Needs)
		c.nodes = append(c.nodes, n)
	}
}

// apiSteps bounds what is asked of the API at once: each of its processes does
// one thing at a time, and clients wait for their turn with their time running.
const apiSteps = 6

// declared decodes a resource of the cloud file; nil if it has a fault.
func (c *compiler) declared(kind api.Kind, in spec.Inline) api.Resource {
	r := kind.New()
	before := len(c.diags)
	in.Body.Decode(r, in.Path+"."+in.Kind, &c.diags)
	if c.diags[before:].HasErrors() {
		return nil
	}
	if err := r.Validate(); err != nil {
		c.fault(&item{path: in.Path, pos: in.Pos}, in.Kind, err, in.Body.PosOf)
		return nil
	}
	if i, ok := r.(*api.Image); ok && !c.imageFile(i, in) {
		return nil
	}
	if u, ok := r.(*api.User); ok && u.Password != "" {
		c.OpenStack.Secrets.Password(u.Password) // is made now, to be there when it is set
	}
	return r
}

// proofPrefix begins the name of a part of the image that updraft itself makes to
// prove a cloud with: proof:kernel, proof:initrd, proof:disk.
const proofPrefix = "proof:"

// imageFile resolves the file of an image.
func (c *compiler) imageFile(i *api.Image, in spec.Inline) bool {
	part, ours := strings.CutPrefix(i.File, proofPrefix)
	if !ours {
		i.File = c.OpenStack.File(i.File)
		return true
	}
	file, ok := c.OpenStack.ProofFile(part)
	if !ok {
		c.diags.Errorf(in.Body.PosOf("file"), in.Path+"."+in.Kind+".file", "known are proof:kernel, proof:initrd and proof:disk", "%q is no part of the image", i.File)
		return false
	}
	i.File = file
	if !c.isElsewhere(proofID) {
		c.deployer(provision.KindServerImage, "proof", c.OpenStack.Proof)
		c.nodes[len(c.nodes)-1].Phase = engine.Build
	}
	return true
}

// proofID is the node of the image that updraft makes.
const proofID = provision.KindServerImage + ":proof"
