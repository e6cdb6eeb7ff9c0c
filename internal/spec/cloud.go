package spec

import (
	"encoding/json"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/updraft-cloud/updraft/internal/diag"
)

// Cloud is a cloud file after decoding, defaults, expansion of groups into
// hosts and validation. All slices are in a deterministic order: networks,
// groups and VIPs in the order of the file, hosts by group and number.
type Cloud struct {
	Name     string
	Files    []string // the files it was read from, the main one first
	Digest   string   // of all that was read, and of --set
	Provider Provider
	Networks []Network
	Groups   []Group
	Hosts    []*Host
	VIPs     []VIP
	Access   Access
	Proxy    Proxy
	// PackageCache is set when hosts are to fetch packages through updraft's
	// caching proxy.
	PackageCache *PackageCache
	// Mirrors are package mirrors by distribution ("debian", "ubuntu", …);
	// empty means that the deploy host's own is used where it fits.
	Mirrors map[string]string
	Checks  []Check
	// OpenStack is nil when the file asks for none.
	OpenStack *OpenStack
	Domain    string // DNS domain of the hosts, "CLOUD.internal" by default
}

// Provider is where machines come from.
type Provider struct {
	Name     string // "lab" or "static"
	Settings Raw
	Pos      diag.Pos
}

// Network is a network of the cloud.
type Network struct {
	Name     string
	CIDR     netip.Prefix
	CIDR6    netip.Prefix
	MTU      int
	Gateway  netip.Addr // where hosts send what is not local; zero for none
	Deployer netip.Addr // the deploy host's own address: the first of the network by default; zero when not known (static)
	Uplink   bool
	DNS      []netip.Addr
	Pos      diag.Pos
}

// Group is a set of like hosts.
type Group struct {
	Name  string
	Count int
	Roles []string
	Hosts []string
	Pos   diag.Pos
}

// Host is one host of the cloud, with the group's settings and its own merged.
type Host struct {
	Name         string
	Group        string
	Index        int // from 1 in its group
	Roles        []string
	NICs         []NIC
	CPUs         float64
	Memory, Disk int64 // bytes; 0 means no limit
	// Zone is the availability zone of servers on the host; "" means none of its own.
	Zone string
	// Address is where a host that exists already is reached (provider static).
	Address   string
	Provider  Raw // provider settings of the host
	Access    Access
	Sets      []Use
	Resources []Inline
	Pos       diag.Pos
}

// NIC is one network interface of a host.
type NIC struct {
	Name     string // eth0, eth1, … by default
	Network  string
	MAC      string // empty when not known (static)
	Address  netip.Prefix
	Address6 netip.Prefix
	MTU      int
	Gateway  netip.Addr
}

// Use is a configset used on a host with parameters.
type Use struct {
	Set    string
	Params Raw
	Path   string // in the cloud file, such as groups.web.configsets.web
	Pos    diag.Pos
}

// Inline is a resource written in the cloud file itself.
type Inline struct {
	Kind  string
	Body  Raw
	Needs []string
	// Triggers are references on whose change the resource acts.
	Triggers []string
	Path     string
	Pos      diag.Pos
}

// VIP is a virtual address that one host of a group holds at a time.
type VIP struct {
	Name    string
	Network string
	Address netip.Addr
	Group   string
	Pos     diag.Pos
}

// Access is how updraft logs in to hosts.
type Access struct {
	User       string
	Port       int
	Identity   string // path of a private key; empty: one is made per cloud
	Agent      bool
	KnownHosts string
	Jump       string
	// SudoPasswordFile is read when sudo asks; empty means sudo needs none.
	SudoPasswordFile string
}

// Proxy is an HTTP proxy that hosts use for what is outside of the cloud.
type Proxy struct {
	HTTP, HTTPS string
	NoProxy     []string
}

// PackageCache configures the caching package proxy.
type PackageCache struct {
	Listen  string // address:port; empty: the deployer's address of the first network, port 3142
	Size    int64  // bytes
	Offline bool
}

// Check is a verify check that the user declared.
type Check struct {
	Name    string
	Kind    string // icmp, tcp, banner, http, dns, spread
	From    string // deployer, a host, a group, or a role
	Body    Raw
	Timeout time.Duration
	Path    string
	Pos     diag.Pos
}

// Raw is a part of the cloud file whose shape is known elsewhere (a resource's
// body, a configset's parameters), with the positions of everything in it.
type Raw struct {
	JSON json.RawMessage
	// Where maps a path inside ("content", "users.0.name") to its position;
	// the empty path is the whole.
	Where map[string]diag.Pos

	tree *node // what was read, when it was read from a file
}

// PosOf returns the position of the path, or of the nearest thing around it.
func (r Raw) PosOf(path string) diag.Pos {
	for {
		if p, ok := r.Where[path]; ok {
			return p
		}
		if path == "" {
			return diag.Pos{}
		}
		i := strings.LastIndexByte(path, '.')
		path = path[:max(i, 0)]
	}
}

// Host returns the host of that name, or nil.
func (c *Cloud) Host(name string) *Host {
	for _, h := range c.Hosts {
		if h.Name == name {
			return h
		}
	}
	return nil
}

// Network returns the network of that name, or nil.
func (c *Cloud) Network(name string) *Network {
	for i := range c.Networks {
		if c.Networks[i].Name == name {
			return &c.Networks[i]
		}
	}
	return nil
}

// VIP returns the virtual address of that name, or nil.
func (c *Cloud) VIP(name string) *VIP {
	for i := range c.VIPs {
		if c.VIPs[i].Name == name {
			return &c.VIPs[i]
		}
	}
	return nil
}

// Select returns the hosts that the name stands for: a host, a group, a role, or
// "all". The result is empty when it stands for none.
func (c *Cloud) Select(name string) []*Host {
	var out []*Host
	for _, h := range c.Hosts {
		if name == "all" || h.Name == name || h.Group == name || slices.Contains(h.Roles, name) {
			out = append(out, h)
		}
	}
	return out
}

// AddressOn returns the host's address on the network, or the zero address.
func (h *Host) AddressOn(network string) netip.Addr {
	for _, n := range h.NICs {
		if n.Network == network {
			return n.Address.Addr()
		}
	}
	return netip.Addr{}
}
