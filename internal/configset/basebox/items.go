package basebox

import (
	"maps"
	"net/netip"
	"slices"

	"github.com/updraft-cloud/updraft/internal/configset"
	"github.com/updraft-cloud/updraft/internal/resource"
	"github.com/updraft-cloud/updraft/internal/resource/authkey"
	"github.com/updraft-cloud/updraft/internal/resource/file"
	"github.com/updraft-cloud/updraft/internal/resource/hostname"
	"github.com/updraft-cloud/updraft/internal/resource/hosts"
	"github.com/updraft-cloud/updraft/internal/resource/pkg"
	"github.com/updraft-cloud/updraft/internal/resource/sysctl"
	"github.com/updraft-cloud/updraft/internal/resource/unit"
	"github.com/updraft-cloud/updraft/internal/resource/user"
	"github.com/updraft-cloud/updraft/internal/spec"
)

// build is the configset's Build.
func build(in *configset.Input) []configset.Item {
	p := in.Params.(*Params)
	if !check(in, p) {
		return nil
	}
	b := &builder{Input: in, p: p, sources: BeforePackages(in.Cloud, in.Host)}
	b.items = aptItems(in.Cloud, in.Host, p)
	b.identity()
	b.proxy()
	b.packages()
	b.users()
	b.sysctls()
	b.time()
	b.firewall()
	return b.items
}

// builder collects items. Nothing but the edges says in which order they are
// applied.
type builder struct {
	*configset.Input
	p       *Params
	sources []string // references that packages wait for
	items   []configset.Item
}

func (b *builder) add(items ...configset.Item) { b.items = append(b.items, items...) }

// pkg adds a package, once, and returns its reference.
func (b *builder) pkg(name string) string {
	ref := "package:" + name
	if slices.ContainsFunc(b.items, func(it configset.Item) bool { return resource.Ref(it.Resource) == ref }) {
		return ref
	}
	b.add(configset.Item{Resource: &pkg.Resource{Name: name}, Needs: b.sources})
	return ref
}

// identity gives the host its name and tells it those of the others.
func (b *builder) identity() {
	if b.p.Hostname {
		b.add(configset.Item{Resource: &hostname.Resource{Name: b.Host.Name}})
	}
	if list := entries(b.Cloud); b.p.Hosts && len(list) > 0 {
		b.add(configset.Item{Resource: &hosts.Resource{Entries: list}})
	}
}

// entries lists the cloud's names as the hand-off does: a host by its first NIC,
// every NIC as HOST.NETWORK, and virtual addresses; each with and without the
// domain. A host that exists already and has no NICs in the cloud file is listed
// by its address.
func entries(c *spec.Cloud) []hosts.Entry {
	var out []hosts.Entry
	add := func(a netip.Addr, names []string) {
		if a.IsValid() {
			out = append(out, hosts.Entry{IP: a.String(), Names: names})
		}
	}
	for _, h := range c.Hosts {
		if a, err := netip.ParseAddr(h.Address); err == nil && len(h.NICs) == 0 {
			add(a, both(c, h.Name))
		}
		for i, nic := range h.NICs {
			names := both(c, h.Name+"."+nic.Network)
			if i == 0 {
				names = append(both(c, h.Name), names...)
			}
			add(nic.Address.Addr(), names)
			add(nic.Address6.Addr(), names)
		}
	}
	for _, v := range c.VIPs {
		add(v.Address, both(c, v.Name))
	}
	return out
}

func both(c *spec.Cloud, name string) []string { return []string{name + "." + c.Domain, name} }

// proxy tells login shells of the cloud's proxy; apt learns of it in aptItems.
func (b *builder) proxy() {
	if b.p.Proxy && hasProxy(b.Cloud) {
		f := textFile("/etc/profile.d/updraft-proxy.sh", profileProxy(b.Cloud), "0644")
		f.Sensitive = secretProxy(b.Cloud)
		b.add(configset.Item{Resource: f})
	}
}

func (b *builder) packages() {
	names := slices.Clone(b.p.Packages)
	if b.p.Etckeeper {
		names = append(names, "git", "etckeeper") // its own first commit is made as it is installed
	}
	if sudoers(b.p.Users) != header {
		names = append(names, "sudo")
	}
	for _, name := range names {
		b.pkg(name)
	}
}

// users makes users, gives them their keys, and lets them become root.
func (b *builder) users() {
	for _, u := range b.p.Users {
		b.add(configset.Item{Resource: &user.Resource{
			Name: u.Name, Shell: u.Shell, Groups: u.Groups, AppendGroups: len(u.Groups) > 0,
		}})
		for _, k := range u.Keys {
			b.add(configset.Item{Resource: &authkey.Resource{User: u.Name, PublicKey: k}})
		}
	}
	if rules := sudoers(b.p.Users); rules != header {
		b.add(configset.Item{
			Resource: checked(textFile("/etc/sudoers.d/updraft", rules, "0440"), "visudo", "-cf", "%s"),
			Needs:    []string{"package:sudo"},
		})
	}
}

func checked(f *file.Resource, command ...string) *file.Resource {
	f.Check = command
	return f
}

func (b *builder) sysctls() {
	for _, name := range slices.Sorted(maps.Keys(b.p.Sysctls)) {
		b.add(configset.Item{Resource: &sysctl.Resource{Name: name, Value: b.p.Sysctls[name]}})
	}
}

const (
	chronyConfFile = "/etc/chrony/chrony.conf"
	chronyArgsFile = "/etc/default/chrony"
)

// time runs chrony. Without leave to set the clock, its unit must not insist on
// the capability for it: in a container it would be skipped.
func (b *builder) time() {
	inLab := b.Cloud.Provider.Name == "lab"
	if !orElse(b.p.Time.Enabled, !inLab) {
		return
	}
	clock := orElse(b.p.Time.Clock, !inLab)
	enabled := true
	service := &unit.Resource{
		Name: "chrony.service", Enabled: &enabled, State: unit.Started, RestartOn: []string{chronyConfFile, chronyArgsFile},
	}
	if !clock {
		service.DropIns = map[string]string{"updraft": "[Unit]\nConditionCapability=\n"}
	}
	ref := b.pkg("chrony")
	b.add(
		configset.Item{
			Resource: checked(textFile(chronyConfFile, chronyConf(b.p.Time.Servers), "0644"), "chronyd", "-p", "-f", "%s"),
			Needs:    []string{ref},
		},
		configset.Item{Resource: textFile(chronyArgsFile, chronyDefaults(clock), "0644"), Needs: []string{ref}},
		configset.Item{
			Resource: service, Needs: []string{ref},
			Triggers: []string{"file:" + chronyConfFile, "file:" + chronyArgsFile},
		},
	)
}

func orElse(b *bool, otherwise bool) bool {
	if b == nil {
		return otherwise
	}
	return *b
}
