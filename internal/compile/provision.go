package compile

import (
	"net/netip"
	"slices"

	"github.com/updraft-cloud/updraft/internal/engine"
	"github.com/updraft-cloud/updraft/internal/machine"
	"github.com/updraft-cloud/updraft/internal/provision"
	"github.com/updraft-cloud/updraft/internal/spec"
)

// topology returns what the cloud asks of its provider.
func (c *compiler) topology() machine.Topology {
	t := machine.Topology{Cloud: c.Cloud.Name}
	for _, n := range c.Cloud.Networks {
		t.Networks = append(t.Networks, machine.Network{
			Name: n.Name, CIDR: n.CIDR, CIDR6: n.CIDR6, MTU: n.MTU, Deployer: n.Deployer, Uplink: n.Uplink,
		})
	}
	global := c.settings(c.Cloud.Provider.Settings, "provider")
	for _, h := range c.Cloud.Hosts {
		t.Machines = append(t.Machines, c.machine(h, global))
	}
	t.Images = c.Provider.Images(t)
	return t
}

func (c *compiler) machine(h *spec.Host, global map[string]string) machine.Machine {
	m := machine.Machine{
		Cloud: c.Cloud.Name, Name: h.Name, CPUs: h.CPUs, Memory: h.Memory, Disk: h.Disk,
		Access: c.Access(h), Settings: map[string]string{},
	}
	for k, v := range global {
		m.Settings[k] = v
	}
	for k, v := range c.settings(h.Provider, "hosts."+h.Name+".provider") {
		m.Settings[k] = v
	}
	for _, n := range h.NICs {
		m.NICs = append(m.NICs, machine.NIC{
			Name: n.Name, Network: n.Network, MAC: n.MAC, Address: n.Address, Address6: n.Address6, MTU: n.MTU, Gateway: n.Gateway,
		})
		m.DNS = append(m.DNS, c.nameServers(n.Network, m.DNS)...)
	}
	c.forOpenStack(h, &m)
	return m
}

// nameServers returns those of a network that are not known yet.
func (c *compiler) nameServers(network string, known []netip.Addr) []netip.Addr {
	n := c.Cloud.Network(network)
	if n == nil {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(n.DNS), func(a netip.Addr) bool { return slices.Contains(known, a) })
}

// settings decodes provider settings, which are plain texts by name.
func (c *compiler) settings(raw spec.Raw, path string) map[string]string {
	if len(raw.JSON) == 0 {
		return nil
	}
	var m map[string]string
	raw.Decode(&m, path, &c.diags)
	known, ok := c.Provider.(interface{ Settings() []string })
	for k := range m {
		if ok && !slices.Contains(known.Settings(), k) {
			c.diags.Errorf(raw.PosOf(k), path+"."+k, "", "provider %s has no setting %q", c.Provider.Name(), k)
		}
	}
	return m
}

// provision adds the nodes of the deployer's scope, and a scope for each machine.
func (c *compiler) provision(t machine.Topology) {
	var images, networks []string
	for _, i := range t.Images {
		images = append(images, c.deployer(provision.KindImage, i.ID, provision.Image{Image: i}))
	}
	for _, n := range t.Networks {
		networks = append(networks, c.deployer(provision.KindNetwork, n.Name, provision.Network{Cloud: t.Cloud, Network: n}))
	}
	if c.Cache != nil {
		c.deployer(provision.KindCache, "packages", c.Cache, networks...)
	}
	borrows := false
	if b, ok := c.Provider.(machine.Borrower); ok {
		borrows = b.Borrows()
	}
	for _, m := range t.Machines {
		needs := slices.Clone(images)
		for _, nic := range m.NICs {
			needs = append(needs, provision.KindNetwork+":"+nic.Network)
		}
		id := c.deployer(provision.KindMachine, m.Name, provision.Machine{Machine: m}, needs...)
		if !borrows {
			n := c.nodes[len(c.nodes)-1]
			n.Holds, n.Claims = true, claims(m)
		}
		c.scopes = append(c.scopes, engine.Scope{Name: m.Name, Gate: id, Turn: c.turn(m.Name)})
	}
}

// turn is the group of hosts whose services are changed on one of them at a time:
// that of controllers, of which a cloud must always have more than half.
func (c *compiler) turn(host string) string {
	o := c.Cloud.OpenStack
	if o != nil && slices.ContainsFunc(o.Controllers, func(h *spec.Host) bool { return h.Name == host }) {
		return "controllers"
	}
	return ""
}

// claims are the addresses of a machine: two that have the same at once, as when
// a group is renamed, would answer for each other.
func claims(m machine.Machine) []string {
	var out []string
	for _, n := range m.NICs {
		for _, a := range []netip.Prefix{n.Address, n.Address6} {
			if a.IsValid() {
				out = append(out, n.Network+" "+a.Addr().String())
			}
		}
	}
	return out
}

func (c *compiler) deployer(kind, key string, body engine.Body, needs ...string) string {
	slices.Sort(needs)
	id := kind + ":" + key
	c.nodes = append(c.nodes, &engine.Node{
		ID: id, Kind: kind, Key: key, Phase: engine.Provision, Body: body, Needs: slices.Compact(needs),
	})
	return id
}
