// Package netif is the resource kind interface: a network interface with its
// addresses and routes, now and after a reboot.
//
// Who configures the host's network is observed, not chosen: systemd-networkd
// where it runs, ifupdown where its files are. Changes are made so that a
// connection through the interface lives on: nothing is taken down that is to
// stay. What others add at run time, such as the virtual address of a
// keepalived, is left alone.
package netif

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/updraft-cloud/updraft/internal/drift"
	"github.com/updraft-cloud/updraft/internal/resource"
	"github.com/updraft-cloud/updraft/internal/resource/conffile"
)

// The types of interfaces. The empty one means physical.
const (
	Physical = "physical"
	Bridge   = "bridge"
	VLAN     = "vlan"
	Bond     = "bond"
)

// Resource is a network interface.
type Resource struct {
	Name      string   `json:"name" required:"true" doc:"Name of the interface. With mac, a physical interface is found by that, whatever its name is."`
	MAC       string   `json:"mac,omitempty" doc:"Hardware address by which a physical interface is found."`
	Type      string   `json:"type,omitempty" default:"physical" enum:"physical,bridge,vlan,bond" doc:"What the interface is. All but physical ones are made."`
	Addresses []string `json:"addresses,omitempty" doc:"Addresses with prefix length, such as 10.0.0.5/24. Others that the interface has are left alone."`
	Gateway   string   `json:"gateway,omitempty" doc:"Address of the default router."`
	Routes    []Route  `json:"routes,omitempty" doc:"Further routes through this interface."`
	MTU       int      `json:"mtu,omitempty" doc:"Largest packet in bytes; left alone when not given."`
	DNS       []string `json:"dns,omitempty" doc:"Addresses of name servers to be reached through this interface."`
	Members   []string `json:"members,omitempty" doc:"Interfaces that belong to a bridge or bond. They must not be resources of their own."`
	Parent    string   `json:"parent,omitempty" doc:"Interface that carries a VLAN."`
	VLANID    int      `json:"vlan_id,omitempty" doc:"Number of a VLAN, 1 to 4094."`
	BondMode  string   `json:"bond_mode,omitempty" enum:"active-backup,802.3ad,balance-rr,balance-xor,broadcast,balance-tlb,balance-alb" doc:"How a bond uses its members; active-backup when left out."`
}

// Route is a route through the interface.
type Route struct {
	To  string `json:"to" required:"true" doc:"Destination with prefix length, or default."`
	Via string `json:"via,omitempty" doc:"Address of the router; none for a network that is on the link."`
}

// Kind describes the kind.
func Kind() resource.Kind {
	return resource.Kind{
		Name: "interface",
		Doc: "A network interface with addresses and routes, persistent by systemd-networkd or ifupdown, whichever the host uses. " +
			"Changes keep connections alive where that is possible.",
		New:     func() resource.Resource { return &Resource{} },
		Example: "name: eth1\naddresses: [10.88.1.5/24]\nmtu: 1450\nroutes:\n  - {to: 10.89.0.0/16, via: 10.88.1.1}\n",
	}
}

// Kind returns "interface".
func (*Resource) Kind() string { return "interface" }

// Key returns the interface's name.
func (r *Resource) Key() string { return r.Name }

// Needs names the VLAN's parent.
func (r *Resource) Needs() []string {
	if r.Parent == "" {
		return nil
	}
	return []string{"interface:" + r.Parent}
}

// nameRE is what the kernel takes (at most 15 bytes, no slash), without what
// has a meaning in configuration files.
var nameRE = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.-]{0,14}$`)

// macRE is how the kernel writes a hardware address. Package net would take
// other ways of writing, which match nothing, and a megabyte of the host agent.
var macRE = regexp.MustCompile(`^[0-9A-Fa-f]{2}(:[0-9A-Fa-f]{2}){5}$`)

type faultFunc = func(field, mend, format string, args ...any)

// Validate checks addresses and what belongs to each type.
func (r *Resource) Validate() error {
	var errs []error
	fault := func(field, mend, format string, args ...any) {
		errs = append(errs, resource.Fieldf(field, mend, format, args...))
	}
	for field, names := range map[string][]string{"name": {r.Name}, "members": r.Members} {
		for _, n := range names {
			if !nameRE.MatchString(n) {
				fault(field, "use at most 15 letters, digits and _.-", "%q is not the name of an interface", n)
			}
		}
	}
	if r.MAC != "" && !macRE.MatchString(r.MAC) {
		fault("mac", "write it like 52:54:00:12:34:56", "%q is not a hardware address", r.MAC)
	}
	const leastMTU, mostMTU = 68, 65535
	if r.MTU != 0 && (r.MTU < leastMTU || r.MTU > mostMTU) {
		fault("mtu", "68 to 65535", "%d is not an MTU", r.MTU)
	}
	r.validateType(fault)
	r.validateAddresses(fault)
	slices.SortFunc(errs, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return errors.Join(errs...)
}

func (r *Resource) validateType(fault faultFunc) {
	t := r.typ()
	if !slices.Contains([]string{Physical, Bridge, VLAN, Bond}, t) {
		fault("type", "one of physical, bridge, vlan, bond", "%q is not a type of interface", t)
	}
	if t != Physical && r.MAC != "" {
		fault("mac", "leave it out", "only physical interfaces are found by it")
	}
	if len(r.Members) > 0 && t != Bridge && t != Bond {
		fault("members", "leave it out, or make it a bridge or bond", "a %s interface has no members", t)
	}
	const mostVLAN = 4094
	switch isVLAN := t == VLAN; {
	case isVLAN && !nameRE.MatchString(r.Parent):
		fault("parent", "name the interface that carries the VLAN", "%q is not the name of an interface", r.Parent)
	case isVLAN && (r.VLANID < 1 || r.VLANID > mostVLAN):
		fault("vlan_id", "1 to 4094", "%d is not the number of a VLAN", r.VLANID)
	case !isVLAN && (r.Parent != "" || r.VLANID != 0):
		fault("parent", "set type: vlan", "only a VLAN has a parent and a number")
	}
	modes := []string{"", "active-backup", "802.3ad", "balance-rr", "balance-xor", "broadcast", "balance-tlb", "balance-alb"}
	if !slices.Contains(modes, r.BondMode) || r.BondMode != "" && t != Bond {
		fault("bond_mode", "give it to a bond, and one of "+strings.Join(modes[1:], ", "), "%q does not fit", r.BondMode)
	}
}

func (r *Resource) validateAddresses(fault faultFunc) {
	for _, a := range r.Addresses {
		if _, err := netip.ParsePrefix(a); err != nil {
			fault("addresses", "write it like 10.0.0.5/24", "%q is not an address with prefix length", a)
		}
	}
	for field, addrs := range map[string][]string{"gateway": {r.Gateway}, "dns": r.DNS} {
		for _, a := range addrs {
			if ip, err := netip.ParseAddr(a); a != "" && (err != nil || ip.Zone() != "") {
				fault(field, "write it like 10.0.0.1", "%q is not an address", a)
			}
		}
	}
	for _, rt := range r.Routes {
		p, err := netip.ParsePrefix(rt.To)
		if rt.To != "default" && (err != nil || p != p.Masked()) {
			fault("routes", "write it like 10.0.0.0/8, or default", "%q is not a destination", rt.To)
		}
		if _, err := netip.ParseAddr(rt.Via); rt.Via != "" && err != nil || rt.Via == "" && rt.To == "default" {
			fault("routes", "write it like 10.0.0.1", "%q is not the address of a router", rt.Via)
		}
	}
}

func (r *Resource) typ() string {
	if r.Type == "" {
		return Physical
	}
	return r.Type
}

func (r *Resource) bondMode() string {
	if r.BondMode == "" {
		return "active-backup"
	}
	return r.BondMode
}

// routes are all routes, the default one first.
func (r *Resource) routes() []Route {
	if r.Gateway == "" {
		return r.Routes
	}
	return append([]Route{{To: "default", Via: r.Gateway}}, r.Routes...)
}

// manager is what configures the network of a host.
type manager interface {
	// files are the files for the interface; the first is about itself.
	files(h resource.Host, r *Resource) ([]conffile.File, error)
	// check notes what else must be right for the files to be read.
	check(h resource.Host, r *Resource, b *drift.Builder) error
	// prepare makes that so, refusing what would contradict the files.
	prepare(h resource.Host, r *Resource) (changed bool, err error)
	// bring brings the interface to what the files say. changed tells that the
	// files have changed; old is the text that the first one had.
	bring(ctx context.Context, h resource.Host, r *Resource, changed bool, old string) error
	// stop takes back what the files, which are gone, had brought about.
	stop(ctx context.Context, h resource.Host, r *Resource) error
}

// managerOf tells who configures the network.
func managerOf(h resource.Host) (manager, error) {
	if running, err := conffile.Exists(h, "/run/systemd/netif/state"); running || err != nil {
		return networkd{}, err
	}
	if uses, err := conffile.Exists(h, "/etc/network/interfaces"); uses || err != nil {
		return ifupdown{}, err
	}
	return nil, errors.New("cannot manage network interfaces: neither does systemd-networkd run on this host, nor has it /etc/network/interfaces")
}

// Observe compares the files and the live interface.
func (r *Resource) Observe(ctx context.Context, h resource.Host) (drift.Report, error) {
	m, err := managerOf(h)
	if err != nil {
		return drift.Report{}, err
	}
	files, err := m.files(h, r)
	if err != nil {
		return drift.Report{}, err
	}
	var b drift.Builder
	for i, f := range files {
		there, err := f.Compare(h, &b, "file "+path.Base(f.Path))
		if err != nil {
			return drift.Report{}, err
		}
		if i == 0 && !there {
			return drift.Missing(), nil
		}
	}
	if err := m.check(h, r, &b); err != nil {
		return drift.Report{}, err
	}
	net, err := look(ctx, h)
	if err != nil {
		return drift.Report{}, err
	}
	net.compare(r, &b)
	return b.Report(), nil
}

// Prepare asks once for all interfaces.
func (*Resource) Prepare(ctx context.Context, h resource.Host, _ []resource.Resource) error {
	_, err := look(ctx, h)
	return err
}

// Apply writes the files and brings the interface up to them.
func (r *Resource) Apply(ctx context.Context, h resource.Host, _ drift.Report, _ resource.Cause) error {
	// One at a time: reloading a network manager while another file is written
	// would bring up half of it.
	defer h.Lock("interface")()
	found, err := r.Observe(ctx, h)
	if err != nil || found.Agrees() {
		return err
	}
	m, err := managerOf(h)
	if err != nil {
		return err
	}
	files, err := m.files(h, r)
	if err != nil {
		return err
	}
	old, err := conffile.Read(h, files[0].Path)
	if err != nil {
		return err
	}
	changed, err := m.prepare(h, r)
	if err != nil {
		return err
	}
	for _, f := range slices.Backward(files) { // its own last: it says that all is there
		wrote, err := f.Write(h)
		if err != nil {
			return err
		}
		changed = changed || wrote
	}
	if err := m.bring(ctx, h, r, changed, old); err != nil {
		return fmt.Errorf("cannot configure interface %s: %w", r.Name, err)
	}
	return nil
}

// Remove takes back the files and what they brought about.
func (r *Resource) Remove(ctx context.Context, h resource.Host, _ bool) error {
	defer h.Lock("interface")()
	m, err := managerOf(h)
	if err != nil {
		return err
	}
	files, err := m.files(h, r)
	if err != nil {
		return err
	}
	for _, f := range files {
		if _, err := conffile.Remove(h, f.Path); err != nil {
			return err
		}
		if dir := path.Dir(f.Path); strings.HasSuffix(dir, ".network.d") {
			if err := conffile.Tidy(h, dir); err != nil {
				return err
			}
		}
	}
	return m.stop(ctx, h, r)
}
