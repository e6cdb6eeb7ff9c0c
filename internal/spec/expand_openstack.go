package spec

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"

	"github.com/updraft-cloud/updraft/internal/diag"
)

// OpenStack is what the section openstack asks for.
type OpenStack struct {
	Release, Region string
	VIP             VIP
	Public          []VIP // for users; none means that they come to VIP
	// Controllers and Computes are in the order of the file; no host is both.
	Controllers, Computes []*Host
	Tunnel                string   // network
	External              []string // networks
	Images                string   // shared or registry
	Build                 string   // deployer or controller
	Workers               int
	VirtType              string // auto, kvm or qemu
	Storage               Storage
	Services              []string // optional ones
	Overrides             Raw      // service → section → key → value
	Resources             []Inline
	Pos                   diag.Pos
}

// UserAddress is the address that users are told.
func (o *OpenStack) UserAddress() netip.Addr {
	if len(o.Public) > 0 {
		return o.Public[0].Address
	}
	return o.VIP.Address
}

// The ways by which hosts get container images.
const (
	ImagesShared   = "shared"
	ImagesRegistry = "registry"
)

// ServiceCinder is the optional service that has volumes.
const ServiceCinder = "cinder"

// BuildController says that the first controller builds container images.
const BuildController = "controller"

// openstack resolves the section's names. It comes last: it refers to
// everything else.
func (e *expander) openstack() {
	f := e.file.OpenStack
	if f == nil {
		return
	}
	o := &OpenStack{
		Release: f.Release, Region: f.Region, Workers: f.Workers, VirtType: f.VirtType, Services: f.Services, Overrides: f.Overrides,
		Images: f.Images, Build: f.Build, Pos: e.pos("openstack"),
	}
	if o.Images == "" {
		o.Images = ImagesRegistry
		if e.cloud.Provider.Name == "lab" {
			o.Images = ImagesShared
		}
	}
	if o.Images == ImagesShared && e.cloud.Provider.Name != "lab" {
		e.faults.errorf(e.pos("openstack.images"), "openstack.images", "write registry", "only lab hosts can share a store of images with this computer")
	}
	if o.Build == BuildController && o.Images == ImagesShared {
		e.faults.errorf(e.pos("openstack.build"), "openstack.build", "write images: registry", "a shared store has what this computer builds")
	}
	for name, what := range map[string]string{"openstack": "API", "registry": "registry of images", "members": "clusters of controllers"} {
		if h := e.hosts[name]; h != nil && (name != "registry" || o.Images == ImagesRegistry) {
			e.faults.errorf(h.Pos, "hosts."+name, "choose another name", "%q is the name of the cloud's %s in plans", h.Name, what)
		}
	}
	o.Controllers = e.openstackHosts(f.Controllers, "controllers")
	o.Computes = e.openstackHosts(f.Computes, "computes")
	for _, h := range o.Controllers {
		if slices.Contains(o.Computes, h) {
			e.faults.errorf(e.pos("openstack.computes"), "openstack.computes", "give it one of the roles", "%s is both a controller and a compute", h.Name)
		}
	}
	if len(o.Controllers) == 2 {
		e.faults.warnf(e.pos("openstack"), "openstack.controllers", "have three, or one",
			"with 2 controllers the loss of either stops databases, queues and networks: it takes both for a majority")
	}
	e.openstackVIP(o, f)
	e.openstackPublic(o, f)
	e.openstackNetworks(o, f)
	e.openstackStorage(o, f.Storage)
	for i, r := range f.Resources {
		path := fmt.Sprintf("openstack.resources.%d", i)
		if r.Resource.Name != "" {
			o.Resources = append(o.Resources, Inline{Kind: r.Resource.Name, Body: r.Resource.Body, Path: path, Pos: e.pos(path)})
		}
	}
	e.cloud.OpenStack = o
}

// openstackHosts returns the hosts of a role, of which there must be one.
func (e *expander) openstackHosts(name, field string) []*Host {
	path := "openstack." + field
	e.selection(name, path)
	return e.cloud.Select(name)
}

// openstackVIP checks that the controllers can hold the address.
func (e *expander) openstackVIP(o *OpenStack, f *openstackFile) {
	if f.VIP == "" {
		return // reported
	}
	v := e.cloud.VIP(f.VIP)
	if v == nil {
		e.faults.errorf(e.pos("openstack.vip"), "openstack.vip", DidYouMean(f.VIP, e.file.VIPs.Keys()), "there is no virtual address %q", shorten(f.VIP))
		return
	}
	o.VIP = *v
	e.held(o, v, "openstack.vip")
	for _, h := range o.Computes {
		if !h.AddressOn(v.Network).IsValid() {
			e.faults.errorf(e.pos("openstack.vip"), "openstack.vip", "give it a NIC there", "compute %s has no NIC in network %s, where the APIs are", h.Name, v.Network)
		}
	}
}

// held checks that all controllers can hold an address.
func (e *expander) held(o *OpenStack, v *VIP, path string) {
	for _, h := range o.Controllers {
		if !h.AddressOn(v.Network).IsValid() {
			e.faults.errorf(e.pos(path), path, "give it a NIC there", "controller %s has no NIC in network %s, where the virtual address is", h.Name, v.Network)
		}
	}
}

// openstackPublic resolves the addresses for users. The APIs' ports are taken at each
// of them, so none may be there twice.
func (e *expander) openstackPublic(o *OpenStack, f *openstackFile) {
	seen := map[string]bool{f.VIP: true}
	for i, name := range f.Public {
		path := fmt.Sprintf("openstack.public.%d", i)
		v := e.cloud.VIP(name)
		switch {
		case v == nil:
			e.faults.errorf(e.pos(path), path, DidYouMean(name, e.file.VIPs.Keys()), "there is no virtual address %q", shorten(name))
		case seen[name]:
			e.faults.errorf(e.pos(path), path, "leave it out", "the APIs answer at %q already", name)
		default:
			e.held(o, v, path)
			o.Public = append(o.Public, *v)
		}
		seen[name] = true
	}
}

// openstackNetworks checks that hosts are on the networks that servers use.
func (e *expander) openstackNetworks(o *OpenStack, f *openstackFile) {
	second := ""
	if len(e.cloud.Networks) > 1 {
		second = e.cloud.Networks[1].Name
	}
	o.Tunnel = cmp.Or(f.Tunnel, second)
	path := "openstack.tunnel"
	switch o.Tunnel {
	case "", o.VIP.Network:
		e.faults.errorf(e.pos(path), path, "add one to networks, and a NIC there to the hosts", "the tenants' networks need a network apart from that of the APIs")
	default:
		e.openstackNetwork(o.Tunnel, path, o.Computes)
	}
	for i, name := range f.External {
		path := fmt.Sprintf("openstack.external.%d", i)
		if name == o.Tunnel || name == o.VIP.Network {
			e.faults.errorf(e.pos(path), path, "take another one", "network %s cannot be external as well: its NICs are used for other things", name)
			continue
		}
		e.openstackNetwork(name, path, o.Computes)
		o.External = append(o.External, name)
	}
}

func (e *expander) openstackNetwork(name, path string, hosts []*Host) {
	if e.cloud.Network(name) == nil {
		e.faults.errorf(e.pos(path), path, DidYouMean(name, e.file.Networks.Keys()), "there is no network %q", shorten(name))
		return
	}
	for _, h := range hosts {
		if !h.AddressOn(name).IsValid() {
			e.faults.errorf(e.pos(path), path, "give it a NIC there", "%s has no NIC in network %s", h.Name, name)
		}
	}
}
