package compile

import (
	"cmp"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"

	"github.com/updraft-cloud/updraft/internal/configset"
	"github.com/updraft-cloud/updraft/internal/diag"
	"github.com/updraft-cloud/updraft/internal/engine"
	"github.com/updraft-cloud/updraft/internal/openstack/api"
	"github.com/updraft-cloud/updraft/internal/openstack/registry"
	"github.com/updraft-cloud/updraft/internal/openstack/stack"
	"github.com/updraft-cloud/updraft/internal/provision"
	"github.com/updraft-cloud/updraft/internal/resource"
	"github.com/updraft-cloud/updraft/internal/spec"
)

// phases are the usual phases of the kinds whose resources do not say.
var phases = map[string]engine.Phase{
	"package": engine.Install, "repository": engine.Install, "unit": engine.Start, "reboot": engine.Start,
	"user": engine.Prepare, "group": engine.Prepare, "hostname": engine.Prepare, "interface": engine.Prepare,
}

// host adds everything that is asked for on one host.
func (c *compiler) host(h *spec.Host) {
	for _, use := range h.Sets {
		c.use(h, use)
	}
	for _, in := range h.Resources {
		c.inline(h, in)
	}
}

func (c *compiler) use(h *spec.Host, use spec.Use) {
	set, ok := c.sets[use.Set]
	if !ok {
		names := slices.Sorted(maps.Keys(c.sets))
		c.diags.Errorf(use.Pos, use.Path, "known are "+strings.Join(names, ", "), "there is no configset %q", use.Set)
		return
	}
	params := set.Params()
	before := len(c.diags)
	if len(use.Params.JSON) > 0 {
		use.Params.Decode(params, use.Path, &c.diags)
	}
	if len(c.diags) > before && c.diags[before:].HasErrors() {
		return
	}
	in := &configset.Input{Cloud: c.Cloud, Host: h, Params: params, Diags: &c.diags, Use: use}
	for _, it := range set.Build(in) {
		c.add(h, &item{
			res: it.Resource, from: "configset " + set.Name, path: use.Path, pos: use.Pos,
			needs: it.Needs, triggers: it.Triggers,
		}, it.Phase, func(field string) diag.Pos { return use.Pos })
	}
}

func (c *compiler) inline(h *spec.Host, in spec.Inline) {
	kind, ok := c.Kinds.Lookup(in.Kind)
	if !ok {
		var names []string
		for _, k := range c.Kinds.Kinds() {
			names = append(names, k.Name)
		}
		c.diags.Errorf(in.Pos, in.Path, "known are "+strings.Join(names, ", "), "there is no resource kind %q", in.Kind)
		return
	}
	res := kind.New()
	before := len(c.diags)
	in.Body.Decode(res, in.Path+"."+in.Kind, &c.diags)
	if len(c.diags) > before && c.diags[before:].HasErrors() {
		return
	}
	c.add(h, &item{res: res, from: "resources", path: in.Path, pos: in.Pos, needs: in.Needs, triggers: in.Triggers}, "", in.Body.PosOf)
}

// add validates a resource and gives it a node. Two that are the same in every
// respect become one; two that differ and have the same name are a fault.
func (c *compiler) add(h *spec.Host, it *item, phase engine.Phase, pos func(field string) diag.Pos) {
	kind := it.res.Kind()
	res, err := c.render(h, it.res)
	if err == nil {
		it.res = res
		err = res.Validate()
	}
	if err != nil {
		c.fault(it, kind, err, pos)
		return
	}
	id := h.Name + "/" + resource.Ref(it.res)
	if old := c.items[id]; old != nil {
		c.merge(old, it, id)
		return
	}
	it.node = &engine.Node{
		ID: id, Kind: kind, Key: it.res.Key(), Scope: h.Name,
		Phase: cmp.Or(phase, phases[kind], engine.Configure),
		Body:  c.Body(it.res), Sensitive: resource.IsSensitive(it.res),
	}
	c.items[id] = it
	c.order = append(c.order, it)
	c.byHost[h.Name] = append(c.byHost[h.Name], it)
	c.nodes = append(c.nodes, it.node)
}

func (c *compiler) merge(old, it *item, id string) {
	a, errA := json.Marshal(old.res)
	b, errB := json.Marshal(it.res)
	if errA != nil || errB != nil || string(a) != string(b) {
		c.diags.Errorf(it.pos, it.path, "take out one, or make them the same",
			"%s is declared twice and differently: by %s and by %s", id, old.from, it.from)
		return
	}
	old.needs = append(old.needs, it.needs...)
	old.triggers = append(old.triggers, it.triggers...)
}

// fault reports what Validate found, field by field where it says which.
func (c *compiler) fault(it *item, kind string, err error, pos func(string) diag.Pos) {
	var joined interface{ Unwrap() []error }
	if errors.As(err, &joined) {
		for _, e := range joined.Unwrap() {
			c.fault(it, kind, e, pos)
		}
		return
	}
	var field *resource.FieldError
	if errors.As(err, &field) {
		c.diags.Errorf(pos(field.Field), it.path+"."+kind+"."+field.Field, field.Mend, "%s", field.Error())
		return
	}
	c.diags.Errorf(it.pos, it.path, "", "%s: %v", kind, err)
}

// link resolves needs and triggers into node IDs.
func (c *compiler) link() {
	for _, it := range c.order {
		n := it.node
		n.Needs = c.refs(it, it.needs)
		n.Triggers = c.refs(it, it.triggers)
		if needer, ok := it.res.(resource.Needer); ok {
			for _, ref := range needer.Needs() {
				if id := n.Scope + "/" + ref; c.items[id] != nil && id != n.ID {
					n.Needs = append(n.Needs, id)
				}
			}
		}
		n.Needs = append(n.Needs, c.packageSources(n)...)
		if c.Cache != nil && (n.Kind == "package" || n.Kind == "repository") {
			n.Needs = append(n.Needs, provision.KindCache+":packages")
		}
		n.Needs = sorted(n.Needs)
		n.Triggers = sorted(n.Triggers)
	}
}

// packageSources returns what decides where a package comes from: repositories
// and the package manager's configuration on the same host.
func (c *compiler) packageSources(n *engine.Node) []string {
	if n.Kind != "package" {
		return nil
	}
	var ids []string
	for _, it := range c.byHost[n.Scope] {
		conf := it.node.Kind == "file" && (strings.HasPrefix(it.node.Key, "/etc/apt/") || strings.HasPrefix(it.node.Key, "/etc/yum.repos.d/") || strings.HasPrefix(it.node.Key, "/etc/dnf/"))
		first := !slices.ContainsFunc(it.needs, func(ref string) bool { return strings.HasPrefix(ref, "package:") })
		if first && (conf || it.node.Kind == "repository") {
			ids = append(ids, it.node.ID)
		}
	}
	return ids
}

func (c *compiler) refs(it *item, refs []string) []string {
	var ids []string
	for _, ref := range refs {
		id := c.resolve(it.node.Scope, ref)
		if c.items[id] == nil && !c.isElsewhere(id) {
			c.diags.Errorf(it.pos, it.path, c.closest(it.node.Scope, ref),
				"%s needs %q, which is not declared on %s", resource.Ref(it.res), ref, it.node.Scope)
			continue
		}
		ids = append(ids, id)
	}
	return ids
}

// isElsewhere reports whether the ID is of a node that is on no host.
func (c *compiler) isElsewhere(id string) bool {
	return slices.ContainsFunc(c.nodes, func(n *engine.Node) bool { return n.ID == id })
}

// resolve returns the ID that a reference stands for: "kind:key" on the same
// host, "HOST/kind:key" on another, "deployer/kind:key" on the deployer,
// "openstack/kind:key" in the cloud's own API, "registry/kind:key" in its registry.
func (c *compiler) resolve(scope, ref string) string {
	if id, ok := strings.CutPrefix(ref, "deployer/"); ok {
		return id
	}
	host, _, ok := strings.Cut(ref, "/")
	if c.Cloud.OpenStack != nil && (host == api.Scope || host == registry.Scope || host == stack.MembersScope) {
		return ref
	}
	if ok && !strings.Contains(host, ":") && c.Cloud.Host(host) != nil {
		return ref
	}
	return scope + "/" + ref
}

// closest names what is declared of the same kind, as a help.
func (c *compiler) closest(scope, ref string) string {
	kind, _, ok := resource.SplitRef(ref)
	if !ok {
		return "write KIND:KEY, such as package:nginx"
	}
	var have []string
	for _, it := range c.order {
		if it.node.Scope == scope && it.node.Kind == kind {
			have = append(have, resource.Ref(it.res))
		}
	}
	if len(have) == 0 {
		return "no " + kind + " is declared there"
	}
	return "declared are " + strings.Join(have, ", ")
}

func sorted(ids []string) []string {
	slices.Sort(ids)
	return slices.Compact(ids)
}
