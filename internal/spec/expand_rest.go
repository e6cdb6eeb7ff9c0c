package spec

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/updraft-cloud/updraft/internal/diag"
)

// names checks that a name in a selection says one thing.
func (e *expander) names() {
	for _, reserved := range []string{"all", "deployer"} {
		if e.file.Groups.Get(reserved) != nil {
			e.faults.errorf(e.pos("groups."+reserved), "groups."+reserved, "choose another name", "%q has a meaning of its own in selections", reserved)
		}
		if h := e.hosts[reserved]; h != nil {
			e.faults.errorf(h.Pos, "hosts."+reserved, "choose another name", "%q has a meaning of its own in selections", reserved)
		}
	}
	for _, g := range e.cloud.Groups {
		if h := e.hosts[g.Name]; h != nil && (h.Group != g.Name || g.Count > 1) {
			e.faults.errorf(g.Pos, "groups."+g.Name, "rename one of them", "%q is both a group and a host of group %s", g.Name, h.Group)
		}
		for i, r := range g.Roles {
			path := fmt.Sprintf("groups.%s.roles.%d", g.Name, i)
			if h := e.hosts[r]; h != nil {
				e.faults.errorf(e.pos(path), path, "rename one of them", "%q is both a role and a host of group %s", r, h.Group)
			}
			if r == "all" || r == "deployer" {
				e.faults.errorf(e.pos(path), path, "choose another name", "%q has a meaning of its own in selections", r)
			}
		}
	}
}

func (e *expander) vips() {
	if len(e.file.VIPs) > maxVIPs {
		e.faults.errorf(e.pos("vips"), "vips", "", "there are %d virtual addresses; %d are the most", len(e.file.VIPs), maxVIPs)
		return
	}
	for _, entry := range e.file.VIPs {
		e.vip(entry.Key, entry.Value, "vips."+entry.Key)
	}
}

func (e *expander) vip(name string, f vipFile, path string) {
	v := VIP{Name: name, Network: f.Network, Group: f.Group, Pos: e.pos(path)}
	if e.hosts[name] != nil {
		e.faults.errorf(v.Pos, path, "rename one of them", "%q is both a virtual address and a host", name)
	}
	net := e.cloud.Network(f.Network)
	if net == nil && f.Network != "" {
		e.faults.errorf(e.pos(path+".network"), path+".network", DidYouMean(f.Network, e.file.Networks.Keys()), "there is no network %q", shorten(f.Network))
	}
	if a, err := netip.ParseAddr(f.Address); err == nil && net != nil && e.belongs(a, net, path+".address") {
		v.Address = a
		e.claim(a, "virtual address "+name, path+".address")
	}
	e.vipGroup(f, net, path+".group")
	e.cloud.VIPs = append(e.cloud.VIPs, v)
}

// vipGroup checks that there are hosts to hold the address.
func (e *expander) vipGroup(f vipFile, net *Network, path string) {
	if f.Group == "" {
		return
	}
	if e.file.Groups.Get(f.Group) == nil {
		e.faults.errorf(e.pos(path), path, DidYouMean(f.Group, e.file.Groups.Keys()), "there is no group %q", shorten(f.Group))
		return
	}
	hosts := 0
	for _, h := range e.cloud.Hosts {
		if h.Group != f.Group {
			continue
		}
		hosts++
		if net != nil && !slices.ContainsFunc(h.NICs, func(n NIC) bool { return n.Network == net.Name }) {
			e.faults.errorf(e.pos(path), path, "give it a NIC there", "host %s of group %s has no NIC in network %s, where the virtual address is", h.Name, f.Group, net.Name)
			return
		}
	}
	if hosts == 0 {
		e.faults.errorf(e.pos(path), path, "", "group %s has no hosts to hold the virtual address", f.Group)
	}
}

func (e *expander) checks() {
	if len(e.file.Verify) > maxChecks {
		e.faults.errorf(e.pos("verify"), "verify", "", "there are %d checks; %d are the most", len(e.file.Verify), maxChecks)
		return
	}
	seen := map[string]bool{}
	for i, f := range e.file.Verify {
		path := fmt.Sprintf("verify.%d", i)
		c := Check{Name: f.Name, Kind: f.Check.Name, From: f.From, Body: f.Check.Body, Timeout: time.Duration(f.Timeout), Path: path, Pos: e.pos(path)}
		if c.Kind == "" {
			continue // reported
		}
		if !slices.Contains(checkKinds, c.Kind) {
			e.faults.errorf(c.Pos, path, DidYouMean(c.Kind, checkKinds), "there is no check %q", shorten(c.Kind))
		}
		if c.Name == "" {
			c.Name = fmt.Sprintf("%s %d", c.Kind, i+1)
		}
		if seen[c.Name] {
			e.faults.errorf(e.pos(path+".name"), path+".name", "", "two checks are named %q", shorten(c.Name))
		}
		seen[c.Name] = true
		if c.From != "deployer" {
			e.selection(c.From, path+".from")
		}
		e.cloud.Checks = append(e.cloud.Checks, c)
	}
}

// selection checks that a name stands for hosts.
func (e *expander) selection(name, path string) {
	g := e.file.Groups.Get(name)
	if e.hosts[name] != nil || g != nil || e.roles[name] || name == "all" {
		if len(e.cloud.Select(name)) == 0 {
			e.faults.errorf(e.pos(path), path, "", "%s: %q stands for no host", path, name)
		}
		return
	}
	candidates := append([]string{"deployer"}, e.file.Groups.Keys()...)
	for _, h := range e.cloud.Hosts {
		candidates = append(candidates, h.Name)
	}
	for r := range e.roles {
		candidates = append(candidates, r)
	}
	slices.Sort(candidates)
	e.faults.errorf(e.pos(path), path, DidYouMean(name, candidates), "%s: there is no host, group or role %q", path, shorten(name))
}

// references checks the hosts named in needs and triggers of inline resources.
func (e *expander) references() {
	seen := map[string]bool{}
	for _, h := range e.cloud.Hosts {
		for _, r := range h.Resources {
			if seen[r.Path] || e.faults.full {
				continue // shared by the group
			}
			seen[r.Path] = true
			e.referred(r.Needs, r, "needs")
			e.referred(r.Triggers, r, "triggers")
		}
	}
}

func (e *expander) referred(refs []string, r Inline, field string) {
	for i, ref := range refs {
		host, rest, elsewhere := strings.Cut(ref, "/")
		if !elsewhere || strings.Contains(host, ":") || !strings.Contains(rest, ":") || e.hosts[host] != nil {
			continue
		}
		path := fmt.Sprintf("%s.%s.%d", r.Path, field, i)
		pos := e.pos(path)
		if pos == (diag.Pos{}) {
			pos = r.Pos
		}
		var names []string
		for _, h := range e.cloud.Hosts {
			names = append(names, h.Name)
		}
		e.faults.errorf(pos, path, DidYouMean(host, names), "%s: there is no host %q", path, shorten(host))
	}
}
