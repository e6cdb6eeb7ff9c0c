package basebox

import (
	"cmp"
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"github.com/updraft-cloud/updraft/internal/configset"
	"github.com/updraft-cloud/updraft/internal/diag"
	"github.com/updraft-cloud/updraft/internal/resource"
	"github.com/updraft-cloud/updraft/internal/resource/file"
	"github.com/updraft-cloud/updraft/internal/spec"
)

const aptProxyFile = "/etc/apt/apt.conf.d/90updraft-proxy"

// BeforePackages returns references to what basebox does on the host before packages
// can be fetched: the way of apt to repositories, and the repositories. It is
// empty for a host without basebox. Configsets give it as the needs of their
// packages.
func BeforePackages(c *spec.Cloud, h *spec.Host) []string {
	at := slices.IndexFunc(h.Sets, func(u spec.Use) bool { return u.Set == Name })
	if at < 0 {
		return nil
	}
	p := configset.Defaults(&Params{}).(*Params)
	if raw := h.Sets[at].Params; len(raw.JSON) > 0 {
		var faults diag.List // reported when basebox itself is built
		raw.Decode(p, "", &faults)
	}
	var refs []string
	for _, it := range aptItems(c, h, p) {
		refs = append(refs, resource.Ref(it.Resource))
	}
	return refs
}

// aptItems returns the files that tell apt where packages are.
func aptItems(c *spec.Cloud, h *spec.Host, p *Params) []configset.Item {
	var items []configset.Item
	if text := aptProxy(c, h, p.Proxy); text != "" {
		f := textFile(aptProxyFile, text, "0644")
		if f.Sensitive = !usesCache(c, h) && secretProxy(c); f.Sensitive {
			f.Mode = "0600" // apt reads it as root
		}
		items = append(items, configset.Item{Resource: f})
	}
	if p.Sources == nil {
		return items
	}
	if mirror := c.Mirrors[p.Sources.Distribution]; mirror != "" {
		items = append(items,
			configset.Item{Resource: textFile("/etc/apt/sources.list", header+"# See sources.list.d.\n", "0644")},
			configset.Item{Resource: textFile("/etc/apt/sources.list.d/"+p.Sources.Distribution+".sources",
				aptSources(p.Sources, throughCache(mirror, usesCache(c, h))), "0644")})
	}
	return items
}

func textFile(path, text, mode string) *file.Resource {
	return &file.Resource{Path: path, Content: text, Mode: mode, Owner: "root", Group: "root"}
}

// aptSources renders sources in the format of deb822 (sources.list(5)), in the
// file that the distribution's own installer makes.
func aptSources(s *Sources, mirror string) string {
	components := s.Components
	if len(components) == 0 {
		components = []string{"main"}
	}
	return header + fmt.Sprintf("Types: deb\nURIs: %s\nSuites: %s\nComponents: %s\nSigned-By: /usr/share/keyrings/%s-archive-keyring.gpg\n",
		mirror, strings.Join(s.Suites, " "), strings.Join(components, " "), s.Distribution)
}

// throughCache rewrites an https mirror to the form in which the package cache
// takes it; see package pkgcache.
func throughCache(mirror string, cached bool) string {
	if rest, ok := strings.CutPrefix(mirror, "https://"); ok && cached {
		return "http://HTTPS///" + rest
	}
	return mirror
}

func usesCache(c *spec.Cloud, h *spec.Host) bool { return cacheURL(c, h) != "" }

// cachePort is where the package cache listens unless the cloud file says
// otherwise; it is the usual port of such proxies.
const cachePort = 3142

// cacheURL returns the address of the package cache as the host sees it, or ""
// if there is none. The cache listens in the first network; a host that is not
// there finds it by way of its own first network.
func cacheURL(c *spec.Cloud, h *spec.Host) string {
	if c.PackageCache == nil {
		return ""
	}
	at := netip.AddrPortFrom(deployer(c, h), cachePort)
	if listen, err := netip.ParseAddrPort(c.PackageCache.Listen); err == nil {
		at = netip.AddrPortFrom(at.Addr(), listen.Port())
		if !listen.Addr().IsUnspecified() {
			at = listen
		}
	}
	if !at.Addr().IsValid() {
		return ""
	}
	return "http://" + at.String()
}

// deployer returns an address of the deploy host that the host can reach.
func deployer(c *spec.Cloud, h *spec.Host) netip.Addr {
	if len(c.Networks) > 0 && h.AddressOn(c.Networks[0].Name).IsValid() {
		return c.Networks[0].Deployer
	}
	for _, nic := range h.NICs {
		if n := c.Network(nic.Network); n != nil {
			return n.Deployer
		}
	}
	return netip.Addr{}
}

// aptProxy renders the way that apt takes to repositories: the package cache,
// or else the proxy of the cloud file; nothing when there is neither.
func aptProxy(c *spec.Cloud, h *spec.Host, useProxy bool) string {
	if cache := cacheURL(c, h); cache != "" {
		return header + fmt.Sprintf("Acquire::http::Proxy %s;\n", aptQuote(cache))
	}
	if !useProxy || !hasProxy(c) {
		return ""
	}
	var b strings.Builder
	b.WriteString(header)
	for _, p := range []struct{ scheme, proxy string }{{"http", c.Proxy.HTTP}, {"https", c.Proxy.HTTPS}} {
		if p.proxy == "" {
			continue
		}
		fmt.Fprintf(&b, "Acquire::%s::Proxy %s;\n", p.scheme, aptQuote(p.proxy))
		for _, host := range c.Proxy.NoProxy {
			if !strings.ContainsAny(host, "*/") && !strings.HasPrefix(host, ".") { // apt knows single hosts only
				fmt.Fprintf(&b, "Acquire::%s::Proxy::%s \"DIRECT\";\n", p.scheme, host)
			}
		}
	}
	return b.String()
}

// aptQuote quotes a value of apt.conf(5), which has no escapes: what would end
// the value is percent-encoded, as addresses allow.
func aptQuote(s string) string {
	return `"` + strings.NewReplacer(`"`, "%22", "\n", "%0A", ";", "%3B").Replace(s) + `"`
}

func hasProxy(c *spec.Cloud) bool { return cmp.Or(c.Proxy.HTTP, c.Proxy.HTTPS) != "" }

// secretProxy reports whether the address of a proxy holds a password, or may.
func secretProxy(c *spec.Cloud) bool {
	return slices.ContainsFunc([]string{c.Proxy.HTTP, c.Proxy.HTTPS}, func(s string) bool {
		u, err := url.Parse(s)
		if err != nil {
			return true
		}
		_, has := u.User.Password()
		return has
	})
}
