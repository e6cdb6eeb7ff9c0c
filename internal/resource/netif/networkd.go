package netif

import (
	"context"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/updraft-cloud/updraft/internal/drift"
	"github.com/updraft-cloud/updraft/internal/resource"
	"github.com/updraft-cloud/updraft/internal/resource/conffile"
	"github.com/updraft-cloud/updraft/internal/retry"
)

// networkd is systemd-networkd (systemd.network(5), systemd.netdev(5)).
type networkd struct{}

const (
	networkDir = "/etc/systemd/network"
	linksDir   = "/run/systemd/netif/links"
)

// section is a section of a networkd file.
type section struct {
	name  string
	lines []string
}

func render(sections ...section) string {
	var b strings.Builder
	b.WriteString(conffile.Header)
	for _, s := range sections {
		if len(s.lines) > 0 {
			fmt.Fprintf(&b, "\n[%s]\n%s\n", s.name, strings.Join(s.lines, "\n"))
		}
	}
	return b.String()
}

// memberMark begins the names of the files for members. No interface has a
// colon in its name.
func memberMark(name string) string { return "00-" + name + ":" }

// files are the .network of the interface, its .netdev if it is made, and the
// .network of each member or a drop-in for the parent of a VLAN. Members come
// first in networkd's order, as the first file that matches an interface is its.
func (networkd) files(h resource.Host, r *Resource) ([]conffile.File, error) {
	at := func(name string) string { return path.Join(networkDir, "50-updraft-"+name) }
	out := []conffile.File{{Path: at(r.Name + ".network"), Text: r.network()}}
	if r.typ() != Physical {
		out = append(out, conffile.File{Path: at(r.Name + ".netdev"), Text: r.netdev()})
	}
	word := map[string]string{Bridge: "Bridge", Bond: "Bond"}[r.typ()]
	for _, m := range r.Members {
		out = append(out, conffile.File{
			Path: at(memberMark(r.Name) + m + ".network"),
			Text: render(section{"Match", []string{"Name=" + m}}, section{"Network", []string{word + "=" + r.Name}}),
		})
	}
	if r.typ() != VLAN {
		return out, nil
	}
	parent, err := parentDropIn(h, r)
	return append(out, parent...), err
}

// network renders the .network file.
func (r *Resource) network() string {
	match := []string{"Name=" + r.Name}
	if r.MAC != "" {
		match = []string{"MACAddress=" + r.MAC}
	}
	var link []string
	if r.MTU != 0 {
		link = append(link, fmt.Sprintf("MTUBytes=%d", r.MTU))
	}
	// An interface whose cable is out, or a bridge without members, is
	// configured all the same. Addresses of others, such as the virtual one of a
	// keepalived, are kept: networkd would drop them whenever it configures the
	// interface (systemd.network(5)). Its own are dropped when they leave the file.
	network := []string{"ConfigureWithoutCarrier=yes", "KeepConfiguration=static"}
	for _, a := range r.Addresses {
		network = append(network, "Address="+a)
	}
	for _, d := range r.DNS {
		network = append(network, "DNS="+d)
	}
	sections := []section{{"Match", match}, {"Link", link}, {"Network", network}}
	for _, rt := range r.routes() {
		lines := []string{}
		if rt.To != "default" {
			lines = append(lines, "Destination="+rt.To)
		}
		if rt.Via != "" {
			lines = append(lines, "Gateway="+rt.Via)
		}
		sections = append(sections, section{"Route", lines})
	}
	return render(sections...)
}

// netdev renders the .netdev file.
func (r *Resource) netdev() string {
	sections := []section{{"NetDev", []string{"Name=" + r.Name, "Kind=" + r.typ()}}}
	switch r.typ() {
	case VLAN:
		sections = append(sections, section{"VLAN", []string{fmt.Sprintf("Id=%d", r.VLANID)}})
	case Bond:
		sections = append(sections, section{"Bond", []string{"Mode=" + r.bondMode()}})
	}
	return render(sections...)
}

// parentDropIn lets the parent carry the VLAN. networkd wants that said in the
// parent's own file, so it is a drop-in to whatever file applies to it.
func parentDropIn(h resource.Host, r *Resource) ([]conffile.File, error) {
	of, err := networkFile(h, r.Parent)
	if err != nil {
		return nil, err
	}
	if of == "" { // not yet: it is a resource of its own
		of = path.Join(networkDir, "50-updraft-"+r.Parent+".network")
	}
	dropIn := conffile.File{
		Path: path.Join(networkDir, path.Base(of)+".d", "updraft-"+r.Name+".conf"),
		Text: render(section{"Network", []string{"VLAN=" + r.Name}}),
	}
	return []conffile.File{dropIn}, nil
}

// networkFile returns the file that networkd has applied to an interface, ""
// if there is none.
func networkFile(h resource.Host, name string) (string, error) {
	index, err := conffile.Read(h, path.Join("/sys/class/net", name, "ifindex"))
	if err != nil || index == "" {
		return "", err
	}
	text, err := conffile.Read(h, path.Join(linksDir, strings.TrimSpace(index)))
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(text) {
		if v, ok := strings.CutPrefix(strings.TrimSpace(line), "NETWORK_FILE="); ok {
			return v, nil
		}
	}
	return "", nil
}

// left returns files for interfaces that are no longer members.
func (networkd) left(h resource.Host, r *Resource) ([]string, error) {
	names, err := conffile.List(h, networkDir)
	var out []string
	for _, n := range names {
		member, ours := strings.CutPrefix(n, "50-updraft-"+memberMark(r.Name))
		if ours && !slices.Contains(r.Members, strings.TrimSuffix(member, ".network")) {
			out = append(out, path.Join(networkDir, n))
		}
	}
	return out, err
}

func (d networkd) check(h resource.Host, r *Resource, b *drift.Builder) error {
	left, err := d.left(h, r)
	for _, p := range left {
		b.Want("file "+path.Base(p), "present", "absent")
	}
	return err
}

func (d networkd) prepare(h resource.Host, r *Resource) (bool, error) {
	left, err := d.left(h, r)
	if err != nil {
		return false, err
	}
	return conffile.Remove(h, left...)
}

// How long networkd may take from the reload until the kernel shows the result:
// it answers at once and works afterwards, some tens of milliseconds for an
// address, and seconds where it waits for a carrier or another interface.
const (
	settleWithin = 10 * time.Second
	settleEvery  = 50 * time.Millisecond
)

// bring lets networkd reload. That reconfigures the interfaces whose files have
// changed, without taking down what stays the same; where only the interface
// has drifted, it is reconfigured by name.
func (networkd) bring(ctx context.Context, h resource.Host, r *Resource, changed bool, _ string) error {
	commands := [][]string{{"reload"}}
	if !changed {
		live, err := look(ctx, h)
		if err != nil {
			return err
		}
		names := r.Members
		if l := live.find(r); l != nil {
			names = append([]string{l.Name}, names...)
		}
		if len(names) > 0 {
			commands = append(commands, append([]string{"reconfigure"}, names...))
		}
	}
	for _, args := range commands {
		if _, err := h.Run(ctx, resource.Command{Name: "networkctl", Args: args}); err != nil {
			return err
		}
	}
	return settle(ctx, h, r)
}

// settle waits until the live interface agrees.
func settle(ctx context.Context, h resource.Host, r *Resource) error {
	for waited := time.Duration(0); ; waited += settleEvery {
		live, err := look(ctx, h)
		if err != nil {
			return err
		}
		var b drift.Builder
		live.compare(r, &b)
		rep := b.Report()
		if rep.Agrees() {
			return nil
		}
		if waited >= settleWithin {
			return notSettled(h, r, live, rep)
		}
		if !retry.Wait(ctx, settleEvery) {
			return context.Cause(ctx)
		}
		h.Forget()
	}
}

// notSettled says what is still missing, and why as far as that can be seen.
func notSettled(h resource.Host, r *Resource, live *network, rep drift.Report) error {
	var missing []string
	for _, c := range rep.Changes {
		missing = append(missing, fmt.Sprintf("%s is %s instead of %s", c.Attr, c.From, c.To))
	}
	what := strings.Join(missing, ", ")
	l := live.find(r)
	if l == nil && r.typ() == VLAN {
		return fmt.Errorf("%s; its parent %s must be configured by systemd-networkd: declare it as an interface, too", what, r.Parent)
	} else if l == nil && r.typ() == Physical {
		return fmt.Errorf("%s; this host has no such interface", what)
	} else if l == nil {
		return fmt.Errorf("%s; systemd-networkd could not make it, perhaps because this kernel has no %ss: see journalctl -u systemd-networkd", what, r.typ())
	}
	own := path.Join(networkDir, "50-updraft-"+r.Name+".network")
	if of, err := networkFile(h, l.Name); err == nil && of != own && of != "" {
		return fmt.Errorf("%s; systemd-networkd configures it by %s, whose name comes before %s", what, of, path.Base(own))
	}
	return fmt.Errorf("%s; see: networkctl status %s", what, l.Name)
}

// stop reloads, removes an interface that was made, and the addresses of one
// that nobody configures any more.
func (networkd) stop(ctx context.Context, h resource.Host, r *Resource) error {
	if _, err := h.Run(ctx, resource.Command{Name: "networkctl", Args: []string{"reload"}}); err != nil {
		return err
	}
	return takeBack(ctx, h, r)
}
