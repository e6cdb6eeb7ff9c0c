package lab

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/updraft-cloud/updraft/internal/diag"
	"github.com/updraft-cloud/updraft/internal/drift"
	"github.com/updraft-cloud/updraft/internal/machine"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// A cloud's way out, for networks that ask for it: a veth pair between the
// cloud's namespace and that of the computer. Addresses are translated twice,
// to the pair's own in the cloud's namespace and to the computer's behind it, so
// that the computer has no route to a lab address, and clouds with the same
// addresses can be up at once.
//
// What may use it is decided by routing: the way out is in a table of its own,
// which is looked up only for packets that come in through the bridge of a
// network with an uplink. That rule is also what remembers which these are.
const (
	uplinkEnd      = "uplink" // the cloud's end of the pair
	uplinkTable    = 7570     // of routes, in the cloud's namespace
	uplinkPriority = 7570     // of rules; before main (32766)
	lastResort     = 1 << 31  // metric of routes that hold when the bridge is not there
)

// cloudRules let nothing in through the uplink but answers. What the computer
// has on its links (such as the metadata service of the cloud that it is a
// server in, with credentials) is none of the hosts' business.
const cloudRules = `table ip updraft
delete table ip updraft
table ip updraft {
	chain nat {
		type nat hook postrouting priority srcnat; policy accept;
		oifname "uplink" masquerade
	}
	chain forward {
		type filter hook forward priority filter; policy accept;
		oifname "uplink" ip daddr 169.254.0.0/16 drop
		iifname "uplink" ct state established,related accept
		iifname "uplink" drop
	}
	chain input {
		type filter hook input priority filter; policy accept;
		iifname "uplink" ct state established,related accept
		iifname "uplink" drop
	}
}
`

// uplinkRule sends what comes in through the network's bridge to the table.
func uplinkRule(network string) *netlink.Rule {
	r := netlink.NewRule()
	r.Family, r.IifName, r.Table, r.Priority = unix.AF_INET, bridgeName(network), uplinkTable, uplinkPriority
	return r
}

// uplinked returns the bridges of the networks that have an uplink.
func (l *links) uplinked() ([]string, error) {
	rules, err := l.RuleList(unix.AF_INET)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, r := range rules {
		if r.Table == uplinkTable && r.Priority == uplinkPriority {
			out = append(out, r.IifName)
		}
	}
	return out, nil
}

// ensureUplink gives the network its way out. In the computer's namespace comes
// first what keeps others from using it.
func (p *Provider) ensureUplink(ctx context.Context, l *links, cloud string, n machine.Network) error {
	c, err := openComputer()
	if err != nil {
		return err
	}
	defer c.close()
	w, err := c.pair(l, cloud)
	if err != nil {
		return err
	}
	if err := l.ns.Do(func() error {
		return errors.Join(nft(ctx, cloudRules), forwarding(uplinkEnd, true), forwarding(bridgeName(n.Name), true))
	}); err != nil {
		return err
	}
	if err := p.lockUplinks(func() error { return c.let(ctx, w) }); err != nil {
		return err
	}
	if err := l.uplinkRoutes(w); err != nil {
		return err
	}
	return ignore(l.RuleAdd(uplinkRule(n.Name)), unix.EEXIST)
}

// uplinkRoutes leads from the table to the computer, and nowhere for addresses
// of the cloud itself: networks do not reach each other through the deployer.
func (l *links) uplinkRoutes(w way) error {
	link, err := l.LinkByName(uplinkEnd)
	if err != nil {
		return err
	}
	far := w.computer.Addr()
	if err := l.RouteReplace(&netlink.Route{LinkIndex: link.Attrs().Index, Table: uplinkTable, Gw: far.AsSlice(), Dst: anywhere(far)}); err != nil {
		return fmt.Errorf("route through the uplink: %w", err)
	}
	lab, err := l.routes(&netlink.Route{Type: unix.RTN_UNREACHABLE, Table: unix.RT_TABLE_MAIN}, netlink.RT_FILTER_TYPE|netlink.RT_FILTER_TABLE)
	if err != nil {
		return err
	}
	for _, r := range lab {
		if err := l.RouteReplace(&netlink.Route{Type: unix.RTN_UNREACHABLE, Table: uplinkTable, Dst: r.Dst}); err != nil {
			return fmt.Errorf("keep %s inside: %w", r.Dst, err)
		}
	}
	return nil
}

// keepInside makes the network's addresses unreachable where its bridge does not
// reach them: they must not be looked for outside while it is not there.
func (l *links) keepInside(n machine.Network) error {
	if !n.CIDR.IsValid() {
		return nil
	}
	err := l.RouteReplace(&netlink.Route{Type: unix.RTN_UNREACHABLE, Dst: ipNet(n.CIDR.Masked()), Priority: lastResort})
	if err != nil {
		return err
	}
	if bridges, err := l.uplinked(); err != nil || len(bridges) == 0 {
		return err
	}
	return l.RouteReplace(&netlink.Route{Type: unix.RTN_UNREACHABLE, Table: uplinkTable, Dst: ipNet(n.CIDR.Masked())})
}

// dropUplink takes the network's way out, and with the last one the cloud's.
func (p *Provider) dropUplink(ctx context.Context, l *links, cloud, network string) error {
	bridges, err := l.uplinked()
	if err != nil || !slices.Contains(bridges, bridgeName(network)) {
		return err
	}
	if len(bridges) == 1 {
		if err := p.removeUplink(ctx, cloud); err != nil {
			return err
		}
		if err := l.ns.Do(func() error { return nftDelete(ctx, "updraft") }); err != nil {
			return err
		}
	}
	if err := l.ns.Do(func() error { return forwarding(bridgeName(network), false) }); err != nil {
		return err
	}
	return ignore(l.RuleDel(uplinkRule(network)), unix.ENOENT)
}

// removeUplink takes away what the cloud has in the computer's namespace,
// whatever part of it exists. The other end of the pair goes along.
func (p *Provider) removeUplink(ctx context.Context, cloud string) error {
	c, err := openComputer()
	if err != nil {
		return err
	}
	defer c.close()
	if !c.touched(ctx, cloud) {
		return nil
	}
	if err := p.lockUplinks(func() error { return c.forbid(ctx, cloud) }); err != nil {
		return fmt.Errorf("cannot remove the uplink of %s: %w", cloud, err)
	}
	return nil
}

// lockUplinks orders what changes settings that clouds share.
func (p *Provider) lockUplinks(f func() error) error {
	dir, err := os.Open(p.opts.DataDir)
	if errors.Is(err, os.ErrNotExist) {
		return f() // no cloud has anything
	}
	if err != nil {
		return err
	}
	defer dir.Close()
	if err := unix.Flock(int(dir.Fd()), unix.LOCK_EX); err != nil {
		return fmt.Errorf("lock %s: %w", dir.Name(), err)
	}
	return f()
}

// observeUplink notes an uplink that is missing, broken or not wanted.
func observeUplink(ctx context.Context, b *drift.Builder, l *links, cloud string, n machine.Network) error {
	bridges, err := l.uplinked()
	if err != nil {
		return err
	}
	has := slices.Contains(bridges, bridgeName(n.Name))
	switch {
	case !n.Uplink && has:
		b.Want("uplink", "on", "off")
	case n.Uplink && !has:
		b.Want("uplink", "off", "on")
	case n.Uplink:
		broken, err := brokenUplink(ctx, l, cloud, n)
		if err != nil {
			return err
		}
		if broken != "" {
			b.Want("uplink", broken, "on")
		}
	}
	return nil
}

// brokenUplink names the first part of an uplink that is not as it was made.
func brokenUplink(ctx context.Context, l *links, cloud string, n machine.Network) (string, error) {
	c, err := openComputer()
	if err != nil {
		return "", err
	}
	defer c.close()
	near, err := l.find(uplinkEnd)
	if err != nil {
		return "", err
	}
	far, err := c.find(uplinkName(cloud))
	if err != nil {
		return "", err
	}
	if near == nil || far == nil || near.Attrs().Flags&far.Attrs().Flags&net.FlagUp == 0 {
		return "no link", nil
	}
	filtered := false
	if err := l.ns.Do(func() error {
		filtered = nftHas(ctx, "updraft") && forwards(uplinkEnd) && forwards(bridgeName(n.Name))
		return nil
	}); err != nil {
		return "", err
	}
	if !filtered {
		return "not forwarded in the lab", nil
	}
	return c.stopped(ctx, cloud)
}

// forwarding switches the forwarding of packets that come in through an
// interface of the namespace that the thread is in. It concerns nothing else.
func forwarding(link string, on bool) error {
	value := "0"
	if on {
		value = "1"
	}
	if forwards(link) == on {
		return nil
	}
	err := os.WriteFile(forwardingOf(link), []byte(value), 0)
	if errors.Is(err, os.ErrNotExist) && !on {
		return nil // the interface is gone
	}
	return err
}

func forwards(link string) bool {
	b, err := os.ReadFile(forwardingOf(link))
	return err == nil && strings.TrimSpace(string(b)) == "1"
}

func forwardingOf(link string) string {
	return filepath.Join("/proc/sys/net/ipv4/conf", link, "forwarding")
}

// checkUplink says what the computer lacks for an uplink, or would stop it.
func checkUplink(out *diag.List, t machine.Topology) {
	i := slices.IndexFunc(t.Networks, func(n machine.Network) bool { return n.Uplink })
	if i < 0 {
		return
	}
	path := "networks." + t.Networks[i].Name + ".uplink"
	if _, err := exec.LookPath("nft"); err != nil {
		out.Errorf(diag.Pos{}, path, "install the package nftables, or leave uplink out", "an uplink needs nft")
		return
	}
	list, err := exec.Command("nft", "-j", "list", "chains").Output()
	if err != nil {
		return // without rights; said already
	}
	if name := dropsForwarded(list); name != "" {
		out.Warnf(diag.Pos{}, path, fmt.Sprintf("let %s through in both directions there", uplinkName(t.Cloud)),
			"this computer's firewall (chain %s) drops what it forwards and no rule allows: the uplink may not work", name)
	}
}

// dropsForwarded names the first chain that drops forwarded packets by policy.
func dropsForwarded(list []byte) string {
	var doc struct {
		Nftables []struct {
			Chain *struct{ Family, Table, Name, Hook, Policy string }
		}
	}
	if json.Unmarshal(list, &doc) != nil {
		return ""
	}
	for _, e := range doc.Nftables {
		if c := e.Chain; c != nil && c.Hook == "forward" && c.Policy == "drop" && (c.Family == "ip" || c.Family == "inet") {
			return c.Family + " " + c.Table + " " + c.Name
		}
	}
	return ""
}
