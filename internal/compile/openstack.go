package compile

import (
	"fmt"
	"slices"

	"github.com/updraft-cloud/updraft/internal/diag"
	"github.com/updraft-cloud/updraft/internal/engine"
	"github.com/updraft-cloud/updraft/internal/machine"
	"github.com/updraft-cloud/updraft/internal/openstack"
	"github.com/updraft-cloud/updraft/internal/openstack/stack"
	"github.com/updraft-cloud/updraft/internal/provision"
	"github.com/updraft-cloud/updraft/internal/spec"
	"github.com/updraft-cloud/updraft/internal/verify"
)

// OpenStack is what an OpenStack is compiled with.
type OpenStack struct {
	Release stack.Release
	Secrets stack.Secrets
	// Image returns the container image of that name as the deployer sees to it.
	Image func(name string) (provision.Service, error)
	// API waits for the API to answer.
	API provision.Service
	// File returns the path of a file that the cloud file names.
	File func(path string) string
	// Proof is the server image that clouds are proven with, ProofFile the path
	// of its part (kernel, initrd, disk).
	Proof     provision.Service
	ProofFile func(part string) (path string, ok bool)
	// Checks are the kinds of checks that need the API.
	Checks []verify.Kind
	// Store is where this computer keeps container images for hosts to share.
	Store string
}

// openstack adds everything that the section openstack asks for.
func (c *compiler) openstack() {
	o := c.Cloud.OpenStack
	if o == nil {
		return
	}
	d := &stack.Deployment{
		Cloud: c.Cloud, Spec: o, Release: c.OpenStack.Release, Secrets: c.OpenStack.Secrets, Diags: &c.diags,
		Services: openstack.Services(),
	}
	stack.CheckOverrides(d)
	images, _ := openstack.Images()
	for _, name := range images {
		image, err := c.OpenStack.Image(name)
		if err != nil {
			c.diags.Errorf(o.Pos, "openstack.release", "", "%v", err)
			continue
		}
		c.deployer(provision.KindContainerImage, name, image)
		c.nodes[len(c.nodes)-1].Phase = engine.Build
	}
	for _, it := range openstack.Build(d) {
		c.add(c.Cloud.Host(it.Host), &item{
			res: it.Resource, from: "openstack", path: "openstack", pos: o.Pos, needs: it.Needs, triggers: it.Triggers,
		}, it.Phase, func(string) diag.Pos { return o.Pos })
	}
	c.openstackAPI(d)
}

// forOpenStack adds to a machine what makes it a host of containers: packages
// that it is going to want, and the store of images where that is shared.
func (c *compiler) forOpenStack(h *spec.Host, m *machine.Machine) {
	o := c.Cloud.OpenStack
	if o == nil || !slices.Contains(o.Controllers, h) && !slices.Contains(o.Computes, h) {
		return
	}
	m.Preinstall = openstack.Packages()
	m.Room.Memory, m.Room.Disk = openstack.Room(o, h)
	if m.Memory > 0 && m.Memory < m.Room.Memory {
		c.diags.Errorf(h.Pos, "hosts."+h.Name+".memory", fmt.Sprintf("give it %d GiB or more", m.Room.Memory>>30),
			"%s may use %d MiB of memory, and its services take %d", h.Name, m.Memory>>20, m.Room.Memory>>20)
	}
	for i, nic := range m.NICs {
		// Open vSwitch takes them over.
		m.NICs[i].Yields = slices.Contains(o.Computes, h) && (nic.Network == o.Tunnel || slices.Contains(o.External, nic.Network))
	}
	if o.Images == spec.ImagesShared {
		m.Shares = []machine.Share{{Source: c.OpenStack.Store, Target: openstack.SharedImages}}
	}
}
