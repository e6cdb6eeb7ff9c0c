package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os/exec"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/updraft-cloud/updraft/internal/lb/amphora"
)

// forward makes the kernel forward packets as the virtuals say.
func (a *Agent) forward(ctx context.Context, from, to []amphora.Virtual) error {
	if len(from) == 0 && len(to) == 0 {
		return nil
	}
	if len(from) > 0 {
		if err := a.nft(ctx, amphora.Ruleset(from, to, a.health.up)); err == nil {
			return a.disconnect(from, to)
		}
		// The table is not as it was left: it is made anew.
	}
	if err := a.nft(ctx, amphora.Ruleset(nil, to, a.health.up)); err != nil {
		return err
	}
	return a.disconnect(from, to)
}

func (a *Agent) nft(ctx context.Context, script string) error {
	cmd := exec.CommandContext(ctx, a.boot.NFT, "-f", "-")
	cmd.Stdin = strings.NewReader(script)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("cannot set the rules of nftables: %w: %s", err, strings.TrimSpace(string(out)))
	}
	return nil
}

// flows are entries of the kernel's connection tracking by listener and member.
type flow struct {
	vip      netip.AddrPort
	member   netip.AddrPort
	protocol uint8
}

func protocolNumber(v amphora.Virtual) uint8 {
	if v.Protocol == "sctp" {
		return unix.IPPROTO_SCTP
	}
	return unix.IPPROTO_UDP
}

func flowOf(f *netlink.ConntrackFlow) flow {
	vip, _ := netip.AddrFromSlice(f.Forward.DstIP)
	member, _ := netip.AddrFromSlice(f.Reverse.SrcIP)
	return flow{
		vip:      netip.AddrPortFrom(vip.Unmap(), f.Forward.DstPort),
		member:   netip.AddrPortFrom(member.Unmap(), f.Reverse.SrcPort),
		protocol: f.Forward.Protocol,
	}
}

// MatchConntrackFlow reports whether an entry leads to where nothing shall go.
func (d deadFlows) MatchConntrackFlow(f *netlink.ConntrackFlow) bool {
	w := flowOf(f)
	serves, ours := d[flow{vip: w.vip, protocol: w.protocol}]
	return ours && !serves[w.member]
}

// deadFlows has, for each address and port of listeners, the members that may
// keep their flows.
type deadFlows map[flow]map[netip.AddrPort]bool

// disconnect ends flows to members that are gone or down: a client that sends on
// and on would otherwise never reach another. Those to members that drain, or are
// disabled, end by themselves.
func (a *Agent) disconnect(from, to []amphora.Virtual) error {
	dead := deadFlows{}
	for _, v := range from {
		for _, addr := range v.Addresses {
			dead[flow{vip: netip.AddrPortFrom(addr, v.Port), protocol: protocolNumber(v)}] = nil
		}
	}
	for _, v := range to {
		serves := map[netip.AddrPort]bool{}
		for _, t := range v.Targets {
			if a.health.up(v.Listener, t.Member) {
				serves[t.Address] = true
			}
		}
		for _, addr := range v.Addresses {
			dead[flow{vip: netip.AddrPortFrom(addr, v.Port), protocol: protocolNumber(v)}] = serves
		}
	}
	var errs []error
	for _, family := range []netlink.InetFamily{unix.AF_INET, unix.AF_INET6} {
		_, err := netlink.ConntrackDeleteFilters(netlink.ConntrackTable, family, dead)
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// packets reads the counters of virtuals.
func (a *Agent) packets(ctx context.Context) (map[string]count, error) {
	out, err := exec.CommandContext(ctx, a.boot.NFT, "-j", "list", "counters", "table", "inet", amphora.Table).Output()
	if err != nil {
		return nil, err
	}
	var doc struct {
		NFTables []struct {
			Counter *struct {
				Name           string
				Packets, Bytes uint64
			}
		}
	}
	if err := json.Unmarshal(out, &doc); err != nil {
		return nil, err
	}
	all := map[string]count{}
	for _, o := range doc.NFTables {
		if o.Counter == nil {
			continue
		}
		kind, listener, _ := strings.Cut(o.Counter.Name, "-")
		c := all[listener]
		switch kind {
		case "in":
			c.in = o.Counter.Bytes
		case "out":
			c.out = o.Counter.Bytes
		case "new":
			c.total = o.Counter.Packets
		}
		all[listener] = c
	}
	return all, nil
}

// active counts the flows of each virtual.
func active(virtuals []amphora.Virtual) map[string]uint64 {
	of := map[flow]string{}
	for _, v := range virtuals {
		for _, addr := range v.Addresses {
			of[flow{vip: netip.AddrPortFrom(addr, v.Port), protocol: protocolNumber(v)}] = v.Listener
		}
	}
	out := map[string]uint64{}
	for _, family := range []netlink.InetFamily{unix.AF_INET, unix.AF_INET6} {
		flows, err := netlink.ConntrackTableList(netlink.ConntrackTable, family)
		if err != nil {
			continue // a kernel without the family
		}
		for _, f := range flows {
			w := flowOf(f)
			if l, ours := of[flow{vip: w.vip, protocol: w.protocol}]; ours {
				out[l]++
			}
		}
	}
	return out
}
