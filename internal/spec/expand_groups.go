package spec

import (
	"fmt"
	"reflect"
	"slices"
	"strconv"

	"github.com/updraft-cloud/updraft/internal/diag"
)

// layer is one place in the file that says something about a host.
type layer struct {
	path   string
	n      *node
	common *common
	own    bool // it is about one host alone
}

// settings are what the layers of a host say together.
type settings struct {
	at        *node // the merged tree, for positions
	host      hostFile
	ownNICs   bool // the NICs are written for this one host
	uses      []Use
	resources []Inline
	provider  Raw
}

// groups expands groups into hosts.
func (e *expander) groups() {
	for i := range e.file.Hosts {
		e.over[e.file.Hosts[i].Key] = &e.file.Hosts[i].Value
	}
	if len(e.file.Groups) > maxGroups {
		e.faults.errorf(e.pos("groups"), "groups", "", "there are %d groups; %d are the most", len(e.file.Groups), maxGroups)
		return
	}
	for i := range e.file.Groups {
		e.group(i, e.file.Groups[i].Key, &e.file.Groups[i].Value)
	}
	e.strayHosts()
}

func (e *expander) group(index int, name string, f *groupFile) {
	path := "groups." + name
	g := Group{Name: name, Roles: f.Roles, Pos: e.pos(path), Hosts: e.hostNames(name, f, path)}
	g.Count = len(g.Hosts)
	for _, r := range g.Roles {
		e.roles[r] = true
	}
	e.cloud.Groups = append(e.cloud.Groups, g)
	if len(e.cloud.Hosts)+g.Count > maxHosts {
		e.faults.errorf(g.Pos, path, "", "with group %s there are more than %d hosts", name, maxHosts)
		return
	}
	shared := e.merged(layer{path, e.groupNode(path), &f.common, false})
	for i, host := range g.Hosts {
		s := shared
		if layers := e.ownLayers(name, host, f); len(layers) > 0 {
			if e.budget < 0 {
				e.faults.errorf(g.Pos, path, "make the parameters smaller", "%s: its hosts change parameters that are too large", path)
				return
			}
			s = e.merged(append([]layer{{path, e.groupNode(path), &f.common, false}}, layers...)...)
		}
		e.host(index, i, &g, host, s)
	}
}

// hostNames returns the names of a group's hosts in order.
func (e *expander) hostNames(name string, f *groupFile, path string) []string {
	if f.Hosts.given {
		if f.Count != nil {
			e.faults.errorf(e.pos(path+".count"), path+".count", "remove one of them", "%s has both count and hosts", path)
		}
		if len(f.Hosts.names) > maxGroupSize {
			e.faults.errorf(e.pos(path+".hosts"), path+".hosts", "make several groups of it", "%s has more than %d hosts", path, maxGroupSize)
			return nil
		}
		return f.Hosts.names
	}
	count := 1
	if f.Count != nil {
		count = max(0, min(*f.Count, maxGroupSize)) // what is beyond was reported
	}
	names := make([]string, count)
	for i := range names {
		names[i] = name + strconv.Itoa(i+1)
	}
	if count > 0 && len(names[count-1]) > 63 {
		e.faults.errorf(e.pos(path), path, "choose a shorter name", "%s: host %s would have a name of more than 63 characters", path, names[count-1])
	}
	return names
}

// groupNode returns the group's tree without what is not about single hosts.
func (e *expander) groupNode(path string) *node {
	n := e.root.get("groups").get(path[len("groups."):])
	if n == nil || n.kind != mapKind {
		return &node{kind: mapKind, pos: e.pos(path)}
	}
	out := *n
	out.entries = slices.DeleteFunc(slices.Clone(n.entries), func(e entry) bool {
		return e.key == "count" || e.key == "hosts" || e.key == "roles"
	})
	return &out
}

// ownLayers returns what is written for the host alone.
func (e *expander) ownLayers(group, host string, f *groupFile) []layer {
	var out []layer
	if own := f.Hosts.hosts.Get(host); own != nil && own.At.n != nil {
		out = append(out, layer{"groups." + group + ".hosts." + host, own.At.n, &own.common, true})
	}
	if own := e.over[host]; own != nil && own.At.n != nil {
		out = append(out, layer{"hosts." + host, own.At.n, &own.common, true})
	}
	return out
}

// merged lays the layers over what the cloud says for all.
func (e *expander) merged(layers ...layer) *settings {
	base := &node{kind: mapKind}
	for _, key := range []string{"access", "configsets"} {
		if n := e.root.get(key); n != nil {
			base.entries = append(base.entries, entry{key, n.pos, n})
		}
	}
	if t := e.cloud.Provider.Settings.tree; t != nil {
		base.entries = append(base.entries, entry{"provider", t.pos, t})
	}
	s := &settings{at: base}
	for _, l := range layers {
		s.at = merge(s.at, l.n)
		s.resources = append(s.resources, inlines(l)...)
		if l.n.get("nics") != nil {
			s.ownNICs = l.own
		}
	}
	silent := decoder{report: func(diag.Diagnostic) {}, raws: e.raws, budget: &e.budget} // each layer was reported on its own
	silent.decode(s.at, reflect.ValueOf(&s.host).Elem(), "")
	s.host.At = Where{s.at}
	s.provider = s.host.Provider
	s.uses = uses(s.host.Configsets, layers)
	return s
}

func inlines(l layer) []Inline {
	var out []Inline
	for i, r := range l.common.Resources {
		path := fmt.Sprintf("%s.resources.%d", l.path, i)
		if r.Resource.Name == "" {
			continue // reported
		}
		out = append(out, Inline{Kind: r.Resource.Name, Body: r.Resource.Body, Needs: r.Needs, Triggers: r.Triggers,
			Path: path, Pos: l.n.at(fmt.Sprintf("resources.%d", i))})
	}
	return out
}

// uses lists configsets; each has the path of the innermost layer that names it.
func uses(sets Map[Raw], layers []layer) []Use {
	if len(sets) == 0 {
		return nil
	}
	in := map[string]string{}
	for _, l := range layers {
		for _, s := range l.common.Configsets {
			in[s.Key] = l.path + "."
		}
	}
	out := make([]Use, len(sets))
	for i, s := range sets {
		path := in[s.Key] + "configsets." + s.Key
		out[i] = Use{Set: s.Key, Params: s.Value, Path: path, Pos: s.Where.n.pos}
	}
	return out
}

// strayHosts reports entries under hosts that no group has.
func (e *expander) strayHosts() {
	for _, entry := range e.file.Hosts {
		if e.hosts[entry.Key] != nil || e.faults.full {
			continue
		}
		names := make([]string, len(e.cloud.Hosts))
		for i, h := range e.cloud.Hosts {
			names[i] = h.Name
		}
		e.faults.errorf(entry.Where.n.pos, "hosts."+entry.Key, DidYouMean(entry.Key, names), "hosts.%s: no group has a host of this name", shorten(entry.Key))
	}
}
