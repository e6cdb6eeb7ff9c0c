package compile

import (
	"fmt"
	"slices"

	"github.com/updraft-cloud/updraft/internal/diag"
	"github.com/updraft-cloud/updraft/internal/engine"
	"github.com/updraft-cloud/updraft/internal/machine"
	"github.com/updraft-cloud/updraft/internal/openstack"
	"github.com/updraft-cloud/updraft/internal/openstack/member"
	"github.com/updraft-cloud/updraft/internal/openstack/registry"
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
	// Keys is the program that keeps Keystone's keys on controllers.
	Keys []byte
	// Guard is the program that watches members of Galera.
	Guard []byte
	// Recovery is the program that watches over computes.
	Recovery []byte
	// Registry is needed where hosts pull images from a registry of the cloud.
	Registry *Registry
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

// Registry is the cloud's own registry as the deployer sees to it.
type Registry struct {
	// Program serves images, on hosts of this computer's architecture.
	Program []byte
	// Answer waits for it to answer.
	Answer provision.Service
	// Pushed returns the container image of that name in the registry.
	Pushed func(name string) (provision.Service, error)
	// Recipe returns what the image of that name is made of, as JSON.
	Recipe func(name string) (string, error)
}

// openstack adds everything that the section openstack asks for.
func (c *compiler) openstack() {
	o := c.Cloud.OpenStack
	if o == nil {
		return
	}
	d := &stack.Deployment{
		Cloud: c.Cloud, Spec: o, Release: c.OpenStack.Release, Secrets: c.OpenStack.Secrets, Diags: &c.diags,
		Services: openstack.Services(o), KeysProgram: c.OpenStack.Keys, GuardProgram: c.OpenStack.Guard,
		RecoveryProgram: c.OpenStack.Recovery,
	}
	stack.CheckOverrides(d)
	c.containerImages(d)
	c.members(d)
	for _, it := range openstack.Build(d) {
		c.add(c.Cloud.Host(it.Host), &item{
			res: it.Resource, from: "openstack", path: "openstack", pos: o.Pos, needs: it.Needs, triggers: it.Triggers,
		}, it.Phase, func(string) diag.Pos { return o.Pos })
	}
	c.openstackAPI(d)
}

// members adds the controllers' membership in clusters. Its gate is recorded as soon
// as it is seen, and so taken along when all is destroyed.
func (c *compiler) members(d *stack.Deployment) {
	gate := c.deployer(provision.KindMembers, "controllers", member.Gate{})
	n := c.nodes[len(c.nodes)-1]
	n.Holds, n.Guarded = true, true
	c.scopes = append(c.scopes, engine.Scope{Name: member.Scope, Gate: gate, Limit: 1, Leads: true})
	c.nodes = append(c.nodes, member.Nodes(d)...)
}

// containerImages adds the images that hosts run containers from: built by the
// deployer and, where there is a registry, pushed as soon as that answers. Where the
// first controller builds them, all of it is on that host.
func (c *compiler) containerImages(d *stack.Deployment) {
	images, _ := openstack.Images(d.Services)
	if d.FromRegistry() {
		d.RegistryProgram = c.OpenStack.Registry.Program
	}
	if d.Spec.Build == spec.BuildController {
		c.recipes(d, images)
		return
	}
	for _, name := range images {
		c.image(d, c.OpenStack.Image, engine.Node{ID: provision.KindContainerImage + ":" + name, Key: name, Phase: engine.Build})
	}
	if !d.FromRegistry() {
		return
	}
	gate := c.deployer(provision.KindRegistry, "images", c.OpenStack.Registry.Answer, registry.Answers(d))
	n := c.nodes[len(c.nodes)-1]
	n.Phase, n.Holds = engine.Install, true
	c.scopes = append(c.scopes, engine.Scope{Name: registry.Scope, Gate: gate})
	for _, name := range images {
		c.image(d, c.OpenStack.Registry.Pushed, engine.Node{
			ID: registry.Pushed(name), Key: name, Scope: registry.Scope, Phase: engine.Install,
			Needs: []string{provision.KindContainerImage + ":" + name},
		})
	}
}

// image adds a container image as one of the two sees to it.
func (c *compiler) image(d *stack.Deployment, of func(name string) (provision.Service, error), n engine.Node) {
	body, err := of(n.Key)
	if err != nil {
		c.diags.Errorf(d.Spec.Pos, "openstack.release", "", "%v", err)
		return
	}
	n.Kind, n.Body = provision.KindContainerImage, body
	c.nodes = append(c.nodes, &n)
}

// recipes gives those of the images to a controller that builds them.
func (c *compiler) recipes(d *stack.Deployment, images []string) {
	d.Recipes = map[string]string{}
	for _, name := range images {
		recipe, err := c.OpenStack.Registry.Recipe(name)
		if err != nil {
			c.diags.Errorf(d.Spec.Pos, "openstack.release", "", "%v", err)
			continue
		}
		d.Recipes[name] = recipe
	}
}

// forOpenStack adds to a machine what makes it a host of containers: packages
// that it is going to want, and the store of images where that is shared.
func (c *compiler) forOpenStack(h *spec.Host, m *machine.Machine) {
	o := c.Cloud.OpenStack
	if o == nil || !slices.Contains(o.Controllers, h) && !slices.Contains(o.Computes, h) {
		return
	}
	m.Preinstall = openstack.Packages(o, h)
	m.FUSE = true // for storage, also when it is asked for later
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
