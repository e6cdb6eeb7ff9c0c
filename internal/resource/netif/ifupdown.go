package netif

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/updraft-cloud/updraft/internal/drift"
	"github.com/updraft-cloud/updraft/internal/resource"
	"github.com/updraft-cloud/updraft/internal/resource/conffile"
)

// ifupdown is Debian's ifupdown (interfaces(5)). Its file is for the next boot:
// the live interface is brought there by single steps of ip(8), as ifdown would
// cut the connection. Interfaces are made by ip as well, so that none of the
// packages bridge-utils, vlan and ifenslave is needed.
type ifupdown struct{}

const (
	interfaces    = "/etc/network/interfaces"
	interfacesDir = "/etc/network/interfaces.d"
	sourceLine    = "source " + interfacesDir + "/*"
)

// files is one file. Its name has none of the characters for which
// source-directory passes over a file.
func (ifupdown) files(h resource.Host, r *Resource) ([]conffile.File, error) {
	name := r.Name
	if r.MAC != "" {
		name = nameOfMAC(h, r)
	}
	p := path.Join(interfacesDir, "updraft-"+strings.ReplaceAll(r.Name, ".", "_"))
	return []conffile.File{{Path: p, Text: r.stanzas(name)}}, nil
}

// nameOfMAC returns the present name of the interface: ifupdown knows no others.
func nameOfMAC(h resource.Host, r *Resource) string {
	names, _ := conffile.List(h, "/sys/class/net")
	for _, n := range names {
		if mac, _ := conffile.Read(h, path.Join("/sys/class/net", n, "address")); strings.EqualFold(strings.TrimSpace(mac), r.MAC) {
			return n
		}
	}
	return r.Name
}

// stanzas renders the file: one stanza for each address. ifup takes them in
// order, so the interface is made in the first, and routes come with the last,
// when all addresses are there by which their routers are reached.
func (r *Resource) stanzas(name string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%sauto %s\n", conffile.Header, name)
	if len(r.Addresses) == 0 {
		fmt.Fprintf(&b, "iface %s inet manual\n", name)
		r.before(&b, name)
		fmt.Fprintf(&b, "\tup ip link set dev %s up\n", name)
	}
	for i, a := range r.Addresses {
		family := "inet"
		if p, _ := netip.ParsePrefix(a); p.Addr().Is6() {
			family = "inet6"
		}
		fmt.Fprintf(&b, "iface %s %s static\n\taddress %s\n", name, family, a)
		if i == 0 {
			r.before(&b, name)
		}
	}
	r.after(&b, name)
	return b.String()
}

func (r *Resource) before(b *strings.Builder, name string) {
	for _, c := range r.making() {
		fmt.Fprintf(b, "\tpre-up %s || true\n", strings.Join(c, " "))
	}
	if r.MTU != 0 {
		fmt.Fprintf(b, "\tpre-up ip link set dev %s mtu %d\n", name, r.MTU)
	}
}

func (r *Resource) after(b *strings.Builder, name string) {
	for _, rt := range r.routes() {
		fmt.Fprintf(b, "\tup %s\n", strings.Join(rt.command(name), " "))
	}
	if len(r.DNS) > 0 {
		fmt.Fprintf(b, "\tdns-nameservers %s\n", strings.Join(r.DNS, " "))
	}
	if r.typ() != Physical {
		fmt.Fprintf(b, "\tpost-down ip link delete dev %s || true\n", name)
	}
}

// making are the commands that make an interface that is not physical. They
// may fail because what they make is there.
func (r *Resource) making() [][]string {
	words := func(s string, args ...any) []string { return strings.Fields(fmt.Sprintf(s, args...)) }
	var out [][]string
	switch r.typ() {
	case Bridge:
		out = append(out, words("ip link add name %s type bridge", r.Name))
	case VLAN:
		out = append(out, words("ip link add link %s name %s type vlan id %d", r.Parent, r.Name, r.VLANID))
	case Bond:
		out = append(out, words("ip link add name %s type bond mode %s", r.Name, r.bondMode()))
	}
	for _, m := range r.Members {
		if r.typ() == Bond { // a bond takes only what is down
			out = append(out, words("ip link set dev %s down", m))
		}
		out = append(out, words("ip link set dev %s master %s", m, r.Name), words("ip link set dev %s up", m))
	}
	return out
}

func (rt Route) command(dev string) []string {
	c := []string{"ip", "route", "replace", rt.To}
	if strings.Contains(rt.Via, ":") || strings.Contains(rt.To, ":") {
		c = []string{"ip", "-6", "route", "replace", rt.To}
	}
	if rt.Via != "" {
		c = append(c, "via", rt.Via)
	}
	return append(c, "dev", dev)
}

var sourceRE = regexp.MustCompile(`(?m)^\s*source(-directory)?\s+(/etc/network/)?interfaces\.d(/\*)?\s*$`)

// check notes whether the main file reads ours.
func (ifupdown) check(h resource.Host, r *Resource, b *drift.Builder) error {
	text, err := conffile.Read(h, interfaces)
	if err != nil {
		return err
	}
	if !sourceRE.MatchString(text) {
		b.Want("source", "absent", sourceLine)
	}
	return nil
}

func (ifupdown) prepare(h resource.Host, r *Resource) (bool, error) {
	text, err := conffile.Read(h, interfaces)
	if err != nil {
		return false, err
	}
	if regexp.MustCompile(`(?m)^\s*iface\s+` + regexp.QuoteMeta(r.Name) + `\s`).MatchString(text) {
		return false, fmt.Errorf("cannot configure interface %s: %s does so already; remove it there", r.Name, interfaces)
	}
	if sourceRE.MatchString(text) {
		return false, nil
	}
	info, err := h.Stat(interfaces)
	if err != nil {
		return false, err
	}
	if text != "" && !strings.HasSuffix(text, "\n") {
		text += "\n"
	}
	return true, h.WriteFile(interfaces, []byte(text+sourceLine+"\n"), resource.Access{Mode: info.Mode, UID: info.UID, GID: info.GID})
}

// bring takes the steps from the live interface to what is wanted, new
// addresses first, then drops the addresses that only the old file had.
func (ifupdown) bring(ctx context.Context, h resource.Host, r *Resource, _ bool, old string) error {
	live, err := look(ctx, h)
	if err != nil {
		return err
	}
	name := r.Name
	if l := live.find(r); l != nil {
		name = l.Name
	} else if r.typ() == Physical {
		return errors.New("there is no such interface")
	}
	for _, c := range r.steps(live, name, old) {
		if _, err := h.Run(ctx, resource.Command{Name: c[0], Args: c[1:]}); err != nil {
			return err
		}
	}
	return settle(ctx, h, r)
}

// steps are the commands that are needed; none that would do nothing.
func (r *Resource) steps(live *network, name, old string) [][]string {
	l := live.find(r)
	var out [][]string
	for _, c := range r.making() {
		if !done(live, c) {
			out = append(out, c)
		}
	}
	if r.MTU != 0 && (l == nil || l.MTU != r.MTU) {
		out = append(out, []string{"ip", "link", "set", "dev", name, "mtu", strconv.Itoa(r.MTU)})
	}
	if l == nil || !slices.Contains(l.Flags, "UP") {
		out = append(out, []string{"ip", "link", "set", "dev", name, "up"})
	}
	for _, a := range r.Addresses {
		if l == nil || !l.has(a) {
			out = append(out, []string{"ip", "address", "replace", a, "dev", name})
		}
	}
	for _, rt := range r.routes() {
		if !live.routed(name, rt) {
			out = append(out, rt.command(name))
		}
	}
	for line := range strings.Lines(old) {
		a, was := strings.CutPrefix(strings.TrimSpace(line), "address ")
		if was && l != nil && l.has(a) && !slices.Contains(r.Addresses, a) {
			out = append(out, []string{"ip", "address", "delete", a, "dev", name})
		}
	}
	return out
}

// done reports whether a making command has nothing to do: the interface is
// there, or the member is where it belongs.
func done(live *network, c []string) bool {
	if c[2] == "add" {
		return live.named(c[slices.Index(c, "name")+1]) != nil
	}
	m := live.named(c[4])
	switch c[5] {
	case "master":
		return m != nil && m.Master == c[6]
	case "down":
		return m != nil && m.Master != ""
	default:
		return m != nil && slices.Contains(m.Flags, "UP")
	}
}

func (ifupdown) stop(ctx context.Context, h resource.Host, r *Resource) error {
	return takeBack(ctx, h, r)
}

// takeBack removes an interface that was made, or the addresses of one that was
// not, which takes their routes along.
func takeBack(ctx context.Context, h resource.Host, r *Resource) error {
	live, err := look(ctx, h)
	if err != nil {
		return err
	}
	l := live.find(r)
	if l == nil {
		return nil
	}
	var steps [][]string
	if r.typ() != Physical {
		steps = append(steps, []string{"link", "delete", "dev", l.Name})
	} else {
		for _, a := range r.Addresses {
			if l.has(a) {
				steps = append(steps, []string{"address", "delete", a, "dev", l.Name})
			}
		}
	}
	for _, args := range steps {
		if _, err := h.Run(ctx, resource.Command{Name: "ip", Args: args}); err != nil {
			return err
		}
	}
	return nil
}
