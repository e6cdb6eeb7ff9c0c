package spec

import (
	"cmp"
	"net/netip"
	"reflect"
	"slices"

	"github.com/updraft-cloud/updraft/internal/diag"
)

// Bounds on what one file may ask for.
const (
	maxNetworks  = 1000
	maxGroups    = 1000
	maxGroupSize = 1000
	maxHosts     = 10_000
	maxVIPs      = 1000
	maxChecks    = 1000
	maxCopied    = 2_000_000 // values, of parameters that hosts change
)

// expander turns a decoded file into a Cloud and reports what is wrong with it.
// Its steps are called in order; each leaves out what was reported before.
type expander struct {
	file   file
	root   *node
	faults *faults
	cloud  *Cloud

	claims  map[netip.Addr]claim
	macs    map[string]string
	hosts   map[string]*Host
	roles   map[string]bool
	pending map[string][]pendingNIC // by network: those that want an address
	raws    map[*node]Raw
	budget  int                  // how many more values the overrides of hosts may copy
	over    map[string]*hostFile // host → its entry under hosts
}

// expand decodes the tree and builds the Cloud.
func expand(root *node, f *faults) *Cloud {
	e := &expander{
		root: root, faults: f, cloud: &Cloud{},
		claims: map[netip.Addr]claim{}, macs: map[string]string{}, hosts: map[string]*Host{},
		raws: map[*node]Raw{}, budget: maxCopied, roles: map[string]bool{}, pending: map[string][]pendingNIC{}, over: map[string]*hostFile{},
	}
	d := decoder{report: f.add, raws: e.raws}
	d.decode(root, reflect.ValueOf(&e.file).Elem(), "")
	e.general()
	e.networks()
	e.cacheAddress()
	e.groups()
	e.names()
	e.vips()
	e.addresses()
	e.checks()
	e.references()
	e.openstack()
	return e.cloud
}

// pos returns the position of a path in the file.
func (e *expander) pos(path string) diag.Pos { return e.root.at(path) }

// general fills in what is not about networks and hosts.
func (e *expander) general() {
	c := e.cloud
	c.Name = e.file.Cloud
	c.Domain = cmp.Or(e.file.Domain, e.file.Cloud+".internal")
	c.Access = e.file.Access.value()
	c.Mirrors = e.file.Mirrors
	c.Proxy = Proxy{HTTP: e.file.Proxy.HTTP, HTTPS: cmp.Or(e.file.Proxy.HTTPS, e.file.Proxy.HTTP), NoProxy: e.file.Proxy.NoProxy}
	if len(c.Proxy.NoProxy) > 0 && c.Proxy.HTTP == "" && c.Proxy.HTTPS == "" {
		e.faults.warnf(e.pos("proxy.no_proxy"), "proxy.no_proxy", "give http or https, or remove it", "no_proxy without a proxy does nothing")
	}
	if s := e.file.PackageCache; s.on {
		c.PackageCache = &PackageCache{Listen: s.settings.Listen, Size: int64(s.settings.Size), Offline: s.settings.Offline}
	}
	e.provider()
}

// cacheAddress checks that hosts can be told where the package cache is.
func (e *expander) cacheAddress() {
	c := e.cloud
	if c.PackageCache == nil || c.PackageCache.Listen != "" || c.Provider.Name != "static" {
		return
	}
	if len(c.Networks) == 0 || !c.Networks[0].Deployer.IsValid() {
		e.faults.errorf(e.pos("package_cache"), "package_cache", "give the first network a deployer, or package_cache a listen",
			"package_cache: the deploy host's address is not known")
	}
}

func (e *expander) provider() {
	part := e.file.Provider.Part
	p := &e.cloud.Provider
	p.Name, p.Settings, p.Pos = cmp.Or(part.Name, "lab"), part.Body, e.pos("provider")
	if !slices.Contains(providerNames, p.Name) {
		e.faults.errorf(p.Pos, "provider", DidYouMean(p.Name, providerNames), "there is no provider %q", shorten(p.Name))
	}
}

func (a accessFile) value() Access { return Access(a) }
