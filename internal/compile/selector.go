package compile

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/updraft-cloud/updraft/internal/engine"
	"github.com/updraft-cloud/updraft/internal/provision"
	"github.com/updraft-cloud/updraft/internal/spec"
)

// selectorHelp says how a part of a cloud is named.
const selectorHelp = "write host=NAME, group=NAME, role=NAME or kind=KIND, joined by commas where all of them are meant at once"

// Select returns which nodes the selectors stand for, together. A selector is
// either KEY=VALUE, several of which are joined by commas when all of them have to
// hold, with the keys host, group, role (OpenStack's controller and compute are
// roles, too) and kind; or a word: a host, a group, a
// role, "all", or the ID of a resource. A host stands for all on it and for its
// machine.
//
// A selector that stands for nothing is an error, which names what there is.
func Select(c *spec.Cloud, g *engine.Graph, selectors []string) (func(*engine.Node) bool, error) {
	var some []func(*engine.Node) bool
	for _, sel := range selectors {
		match, err := selector(c, g, sel)
		if err != nil {
			return nil, fmt.Errorf("--only %s: %w", sel, err)
		}
		if !slices.ContainsFunc(g.Nodes(), match) {
			return nil, fmt.Errorf("--only %s: there is nothing to which all of that applies", sel)
		}
		some = append(some, match)
	}
	return func(n *engine.Node) bool {
		return slices.ContainsFunc(some, func(match func(*engine.Node) bool) bool { return match(n) })
	}, nil
}

func selector(c *spec.Cloud, g *engine.Graph, sel string) (func(*engine.Node) bool, error) {
	if g.Node(sel) != nil {
		return func(n *engine.Node) bool { return n.ID == sel }, nil
	}
	if !strings.Contains(sel, "=") {
		hosts := c.Select(sel)
		if len(hosts) == 0 {
			return nil, fmt.Errorf("there is no such host, group, role or resource; %s", selectorHelp)
		}
		return on(hosts), nil
	}
	var all []func(*engine.Node) bool
	for text := range strings.SplitSeq(sel, ",") {
		match, err := term(c, g, text)
		if err != nil {
			return nil, err
		}
		all = append(all, match)
	}
	return func(n *engine.Node) bool {
		return !slices.ContainsFunc(all, func(match func(*engine.Node) bool) bool { return !match(n) })
	}, nil
}

// on matches what is on the hosts, and their machines.
func on(hosts []*spec.Host) func(*engine.Node) bool {
	scopes, machines := map[string]bool{}, map[string]bool{}
	for _, h := range hosts {
		scopes[h.Name], machines[provision.KindMachine+":"+h.Name] = true, true
	}
	return func(n *engine.Node) bool { return scopes[n.Scope] || machines[n.ID] }
}

// term reads one KEY=VALUE.
func term(c *spec.Cloud, g *engine.Graph, text string) (func(*engine.Node) bool, error) {
	key, value, _ := strings.Cut(strings.TrimSpace(text), "=")
	names, known := map[string]bool{}, map[string]bool{}
	var hosts []*spec.Host
	for _, h := range c.Hosts {
		of := map[string][]string{"host": {h.Name}, "group": {h.Group}, "role": roles(c, h)}[key]
		for _, name := range of {
			names[name] = true
		}
		if slices.Contains(of, value) {
			hosts = append(hosts, h)
		}
	}
	switch key {
	case "host", "group", "role":
		if len(hosts) == 0 {
			return nil, fmt.Errorf("there is no %s %q; there %s", key, value, list(names))
		}
		return on(hosts), nil
	case "kind":
		for _, n := range g.Nodes() {
			known[n.Kind] = true
		}
		if !known[value] {
			return nil, fmt.Errorf("nothing is of kind %q; there %s", value, list(known))
		}
		return func(n *engine.Node) bool { return n.Kind == value }, nil
	}
	return nil, fmt.Errorf("%q is nothing to select by; %s", key, selectorHelp)
}

// roles are a host's own, and those that it has in OpenStack.
func roles(c *spec.Cloud, h *spec.Host) []string {
	out := slices.Clone(h.Roles)
	if o := c.OpenStack; o != nil && slices.Contains(o.Controllers, h) {
		out = append(out, "controller")
	}
	if o := c.OpenStack; o != nil && slices.Contains(o.Computes, h) {
		out = append(out, "compute")
	}
	return out
}

// list says which names there are.
func list(names map[string]bool) string {
	if len(names) == 0 {
		return "is none"
	}
	return "are " + strings.Join(slices.Sorted(maps.Keys(names)), ", ")
}
