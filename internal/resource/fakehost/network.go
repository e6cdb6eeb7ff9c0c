package fakehost

import (
	"context"
	"encoding/json"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/updraft-cloud/updraft/internal/resource"
)

// Network is the kernel's interfaces with ip, and systemd-networkd with
// networkctl. networkd runs while /run/systemd/netif/state exists.
type Network struct {
	links  []*fakeLink
	routes []fakeRoute
	serial int
}

type fakeLink struct {
	index                      int
	name, kind, parent, master string
	mtu, id                    int
	mode                       string
	up                         bool
	addrs                      []string
}

type fakeRoute struct{ family, dst, via, dev string }

// Install lays down lo and eth0, which networkd configures.
func (n *Network) Install(h *Host, f *FS) {
	must(f.MkdirAll("/run/systemd/netif/links"))
	must(f.WriteFile("/run/systemd/netif/state", []byte("OPER_STATE=routable\n"), resource.Access{Mode: 0o644}))
	must(f.MkdirAll("/etc/systemd/network"))
	must(f.WriteFile("/etc/systemd/network/10-eth0.network", []byte("[Match]\nName=eth0\n[Network]\nAddress=10.88.0.10/24\n"), resource.Access{Mode: 0o644}))
	n.add(f, &fakeLink{name: "lo", up: true, addrs: []string{"127.0.0.1/8"}})
	n.add(f, &fakeLink{name: "eth0", up: true})
	n.reload(f)
	h.Handle("ip", n.ip)
	h.Handle("networkctl", n.networkctl)
}

// Render lists interfaces and routes.
func (n *Network) Render(*FS) string {
	var b strings.Builder
	for _, l := range n.links {
		fmt.Fprintf(&b, "link %s kind=%s mtu=%d up=%v parent=%s master=%s id=%d mode=%s\n", l.name, l.kind, l.mtu, l.up, l.parent, l.master, l.id, l.mode)
		for _, a := range l.addrs {
			b.WriteString("    " + a + "\n")
		}
	}
	for _, r := range n.routes {
		fmt.Fprintf(&b, "route %s via %s dev %s\n", r.dst, r.via, r.dev)
	}
	return b.String()
}

func (n *Network) link(name string) *fakeLink {
	for _, l := range n.links {
		if l.name == name {
			return l
		}
	}
	return nil
}

func (n *Network) add(f *FS, l *fakeLink) {
	n.serial++
	l.index = n.serial
	if l.mtu == 0 {
		l.mtu = 1500
	}
	n.links = append(n.links, l)
	f.SetKernel("/sys/class/net/"+l.name+"/ifindex", strconv.Itoa(l.index)+"\n")
	f.SetKernel("/sys/class/net/"+l.name+"/address", l.mac()+"\n")
}

func (l *fakeLink) mac() string { return fmt.Sprintf("02:00:00:00:00:%02x", l.index) }

func (n *Network) remove(f *FS, name string) {
	n.links = slices.DeleteFunc(n.links, func(l *fakeLink) bool { return l.name == name })
	n.routes = slices.DeleteFunc(n.routes, func(r fakeRoute) bool { return r.dev == name })
	for _, l := range n.links {
		if l.master == name {
			l.master = ""
		}
	}
	f.RemoveAll("/sys/class/net/" + name)
}

// settings are the settings of a networkd file as section.name.
func settings(f *FS, p string) map[string][]string {
	out := map[string][]string{}
	text, err := f.ReadFile(p)
	must(err)
	names, _ := f.ReadDir(p + ".d")
	for _, name := range names {
		more, err := f.ReadFile(p + ".d/" + name)
		must(err)
		text = append(append(text, '\n'), more...)
	}
	section := ""
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		if name, ok := strings.CutPrefix(line, "["); ok {
			section = strings.TrimSuffix(name, "]")
			out[section+"."] = append(out[section+"."], "")
			continue
		}
		if k, v, ok := strings.Cut(line, "="); ok {
			key := section + "." + k
			for len(out[key]) < len(out[section+"."])-1 { // keep routes apart
				out[key] = append(out[key], "")
			}
			out[key] = append(out[key], v)
		}
	}
	return out
}

func first(s []string) string {
	if len(s) == 0 {
		return ""
	}
	return s[0]
}

// reload makes what .netdev files ask for and configures each interface by the
// first .network file that matches it. What no file matches is left alone.
func (n *Network) reload(f *FS) {
	names, _ := f.ReadDir("/etc/systemd/network")
	for _, name := range names {
		if path.Ext(name) == ".netdev" {
			s := settings(f, "/etc/systemd/network/"+name)
			l := &fakeLink{name: first(s["NetDev.Name"]), kind: first(s["NetDev.Kind"]), mode: first(s["Bond.Mode"])}
			l.id, _ = strconv.Atoi(first(s["VLAN.Id"]))
			if n.link(l.name) == nil && l.kind != "vlan" {
				n.add(f, l)
			}
		}
	}
	for range 2 { // a VLAN appears with its parent's configuration
		for _, l := range slices.Clone(n.links) {
			n.configure(f, l, names)
		}
	}
}

func (n *Network) configure(f *FS, l *fakeLink, names []string) {
	state := "/run/systemd/netif/links/" + strconv.Itoa(l.index)
	for _, name := range names {
		if path.Ext(name) != ".network" {
			continue
		}
		file := "/etc/systemd/network/" + name
		s := settings(f, file)
		if first(s["Match.Name"]) != l.name && first(s["Match.MACAddress"]) != l.mac() {
			continue
		}
		n.set(f, l, s)
		must(f.WriteFile(state, []byte("NETWORK_FILE="+file+"\n"), resource.Access{Mode: 0o644}))
		return
	}
	_ = f.Remove(state)
}

func (n *Network) set(f *FS, l *fakeLink, s map[string][]string) {
	l.up, l.addrs = true, slices.DeleteFunc(slices.Clone(s["Network.Address"]), func(a string) bool { return a == "" })
	if mtu, err := strconv.Atoi(first(s["Link.MTUBytes"])); err == nil {
		l.mtu = mtu
	}
	l.master = first(s["Network.Bridge"]) + first(s["Network.Bond"])
	n.routes = slices.DeleteFunc(n.routes, func(r fakeRoute) bool { return r.dev == l.name })
	for i := range s["Route."] {
		r := fakeRoute{family: "-4", dst: "default", dev: l.name}
		if d := s["Route.Destination"]; i < len(d) && d[i] != "" {
			r.dst = d[i]
		}
		if v := s["Route.Gateway"]; i < len(v) {
			r.via = v[i]
		}
		n.routes = append(n.routes, r.sorted())
	}
	for _, vlan := range s["Network.VLAN"] {
		if vlan != "" && n.link(vlan) == nil {
			dev := settings(f, "/etc/systemd/network/50-updraft-"+vlan+".netdev")
			id, _ := strconv.Atoi(first(dev["VLAN.Id"]))
			n.add(f, &fakeLink{name: vlan, kind: "vlan", parent: l.name, id: id})
		}
	}
}

func (r fakeRoute) sorted() fakeRoute {
	if strings.Contains(r.dst+r.via, ":") {
		r.family = "-6"
	}
	return r
}

func (n *Network) networkctl(_ context.Context, h *Host, c resource.Command) (resource.Output, error) {
	if _, err := h.Stat("/run/systemd/netif/state"); err != nil {
		return Exit(c, 1, "systemd-networkd is not running")
	}
	if len(c.Args) == 0 || c.Args[0] != "reload" && c.Args[0] != "reconfigure" {
		return resource.Output{}, Refuse(c, "not understood")
	}
	for _, name := range c.Args[1:] {
		if n.link(name) == nil {
			return Exit(c, 1, "Failed to reconfigure network interface %s: No such device", name)
		}
	}
	return resource.Output{}, h.Change(func(f *FS) error { n.reload(f); return nil })
}

func (n *Network) ip(_ context.Context, h *Host, c resource.Command) (out resource.Output, err error) {
	line := strings.Join(c.Args, " ")
	if strings.HasPrefix(line, "-j ") {
		err = h.View(func(*FS) error {
			var v any
			switch line {
			case "-j -d address show":
				v = n.addresses()
			case "-j -4 route show", "-j -6 route show":
				v = n.list(c.Args[1])
			default:
				return Refuse(c, "not understood")
			}
			out.Stdout, err = json.Marshal(v)
			return err
		})
		return out, err
	}
	var reason string
	err = h.Change(func(f *FS) error {
		var known bool
		if reason, known = n.change(f, strings.Fields(line)); !known {
			return Refuse(c, "not understood")
		}
		return nil
	})
	if err == nil && reason != "" {
		return Exit(c, 2, "%s", reason)
	}
	return resource.Output{}, err
}

func (n *Network) addresses() []map[string]any {
	out := []map[string]any{}
	for _, l := range n.links {
		flags := []string{"BROADCAST"}
		if l.up {
			flags = append(flags, "UP")
		}
		info := []map[string]any{}
		for _, a := range l.addrs {
			ip, bits, _ := strings.Cut(a, "/")
			prefix, _ := strconv.Atoi(bits)
			info = append(info, map[string]any{"local": ip, "prefixlen": prefix})
		}
		m := map[string]any{"ifindex": l.index, "ifname": l.name, "address": l.mac(), "mtu": l.mtu, "flags": flags, "addr_info": info}
		if l.kind != "" {
			m["linkinfo"] = map[string]any{"info_kind": l.kind, "info_data": map[string]any{"id": l.id, "mode": l.mode}}
		}
		if l.parent != "" {
			m["link"] = l.parent
		}
		if l.master != "" {
			m["master"] = l.master
		}
		out = append(out, m)
	}
	return out
}

func (n *Network) list(family string) []map[string]any {
	out := []map[string]any{}
	for _, r := range n.routes {
		m := map[string]any{"dst": r.dst, "dev": r.dev}
		if r.via != "" {
			m["gateway"] = r.via
		}
		if r.family == family {
			out = append(out, m)
		}
	}
	return out
}
