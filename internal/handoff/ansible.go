package handoff

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// inventory is what both forms of the inventory say.
type inventory struct {
	sshArgs string
	hosts   []string
	vars    map[string][]variable // by host
	groups  []group
}

type variable struct{ name, value string }

type group struct {
	name  string
	hosts []string
}

// inventory collects groups, and roles as further groups. Names become those
// that Ansible takes without a warning: letters, digits and underscores.
func (in Input) inventory() inventory {
	inv := inventory{sshArgs: "-F " + shellQuote(in.file("ssh_config")), vars: map[string][]variable{}}
	join := func(name, host string) {
		name = ansibleName(name)
		if name == "all" || name == "ungrouped" { // Ansible's own
			return
		}
		i := slices.IndexFunc(inv.groups, func(g group) bool { return g.name == name })
		if i < 0 {
			i = len(inv.groups)
			inv.groups = append(inv.groups, group{name: name})
		}
		if !slices.Contains(inv.groups[i].hosts, host) {
			inv.groups[i].hosts = append(inv.groups[i].hosts, host)
		}
	}
	for _, h := range in.Hosts {
		inv.hosts = append(inv.hosts, h.Name)
		inv.vars[h.Name] = hostVars(h)
		join(h.Group, h.Name)
		for _, r := range h.Roles {
			join(r, h.Name)
		}
	}
	return inv
}

func ansibleName(name string) string { return strings.ReplaceAll(name, "-", "_") }

// hostVars tells playbooks the addresses of a host. How to reach it is not said
// here but in the ssh_config, for all tools in one place.
func hostVars(h Host) []variable {
	v4, v6 := h.address()
	out := []variable{{"updraft_group", h.Group}}
	for _, a := range []struct {
		name string
		addr fmt.Stringer
		ok   bool
	}{{"updraft_address", v4, v4.IsValid()}, {"updraft_address6", v6, v6.IsValid()}} {
		if a.ok {
			out = append(out, variable{a.name, a.addr.String()})
		}
	}
	for _, n := range h.NICs {
		if n.Address.IsValid() {
			out = append(out, variable{"updraft_address_" + ansibleName(n.Network), n.Address.Addr().String()})
		}
	}
	return out
}

// inventoryINI renders the inventory as Ansible's ini plug-in reads it. Values
// are Python string literals, which JSON strings are too.
func inventoryINI(in Input) []byte {
	var b bytes.Buffer
	inv := in.inventory()
	fmt.Fprintf(&b, "# Hosts of the cloud %s. Use: ansible -i %s all -m ping\n", in.Cloud, shellQuote(in.file("hosts")))
	for _, h := range inv.hosts {
		b.WriteString(h)
		for _, v := range inv.vars[h] {
			fmt.Fprintf(&b, " %s=%s", v.name, iniWord(v.value))
		}
		b.WriteString("\n")
	}
	fmt.Fprintf(&b, "\n[all:vars]\nansible_ssh_common_args=%s\n", quote(inv.sshArgs))
	for _, g := range inv.groups {
		fmt.Fprintf(&b, "\n[%s]\n%s\n", g.name, strings.Join(g.hosts, "\n"))
	}
	return b.Bytes()
}

// iniWord writes a value on a host's line, where words are split as by a shell
// before each is read as a Python literal. The values are names and addresses.
func iniWord(s string) string { return "'" + quote(s) + "'" }

// inventoryYAML renders the inventory as Ansible's yaml plug-in reads it.
func inventoryYAML(in Input) []byte {
	var b bytes.Buffer
	inv := in.inventory()
	fmt.Fprintf(&b, "# Hosts of the cloud %s. Use: ansible -i %s all -m ping\n", in.Cloud, shellQuote(in.file("hosts.yaml")))
	fmt.Fprintf(&b, "all:\n  vars:\n    ansible_ssh_common_args: %s\n", quote(inv.sshArgs))
	if len(inv.hosts) > 0 {
		b.WriteString("  hosts:\n")
	}
	for _, h := range inv.hosts {
		fmt.Fprintf(&b, "    %s:\n", quote(h))
		for _, v := range inv.vars[h] {
			fmt.Fprintf(&b, "      %s: %s\n", v.name, quote(v.value))
		}
	}
	if len(inv.groups) > 0 {
		b.WriteString("  children:\n")
	}
	for _, g := range inv.groups {
		fmt.Fprintf(&b, "    %s:\n      hosts:\n", quote(g.name))
		for _, h := range g.hosts {
			fmt.Fprintf(&b, "        %s: {}\n", quote(h))
		}
	}
	return b.Bytes()
}

// quote renders a JSON string: also a double-quoted YAML scalar (YAML 1.2, 5.7
// and 7.3.1) and a Python literal.
func quote(s string) string {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(s) // a string always encodes, and a buffer takes it
	return strings.TrimSuffix(b.String(), "\n")
}
