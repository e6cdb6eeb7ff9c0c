package basebox

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/updraft-cloud/updraft/internal/configset"
	"github.com/updraft-cloud/updraft/internal/resource/unit"
	"github.com/updraft-cloud/updraft/internal/spec"
)

const (
	rulesFile    = "/etc/nftables-updraft.conf"
	firewallUnit = "updraft-firewall.service"
)

// firewallService loads the rules before the network comes up. The
// distribution's own nftables.service is left to its owner.
const firewallService = `# Written by updraft. Changes made by hand are lost.
[Unit]
Description=Packet filter of updraft
DefaultDependencies=no
Wants=network-pre.target
Before=network-pre.target shutdown.target
Conflicts=shutdown.target

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/sbin/nft -f ` + rulesFile + `
ExecReload=/usr/sbin/nft -f ` + rulesFile + `
ExecStop=/usr/sbin/nft delete table inet updraft

[Install]
WantedBy=sysinit.target
`

// firewall loads the packet filter.
func (b *builder) firewall() {
	if !b.p.Firewall.Enabled {
		return
	}
	ref, enabled := b.pkg("nftables"), true
	b.add(
		configset.Item{
			Resource: checked(textFile(rulesFile, ruleset(b.Cloud, b.Host, b.p.Firewall), "0644"), "nft", "-c", "-f", "%s"),
			Needs:    []string{ref},
		},
		configset.Item{
			Resource: &unit.Resource{
				Name: firewallUnit, Content: firewallService, Enabled: &enabled, State: unit.Started, ReloadOn: []string{rulesFile},
			},
			Needs:    []string{ref},
			Triggers: []string{"file:" + rulesFile},
		},
	)
}

// ruleset renders the packet filter: a table of its own, so that rules of
// others stay as they are. The table is made, deleted and made again in one
// transaction, by which nft replaces it whole.
func ruleset(c *spec.Cloud, h *spec.Host, f Firewall) string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	b.WriteString(header)
	line("table inet updraft")
	line("delete table inet updraft")
	line("table inet updraft {")
	line("\tchain input {")
	line("\t\ttype filter hook input priority filter; policy drop;")
	line("\t\tct state established,related accept")
	line("\t\tct state invalid drop")
	line("\t\tiifname \"lo\" accept")
	line("\t\tmeta l4proto { icmp, ipv6-icmp } accept")
	line("\t\ttcp dport %d accept", cmp.Or(h.Access.Port, 22))
	what := "accept"
	if f.Closed {
		what = "meta l4proto 112 accept" // VRRP: who has a virtual address
	}
	v4, v6 := networks(c)
	if len(v4) > 0 {
		line("\t\tip saddr { %s } %s", strings.Join(v4, ", "), what)
	}
	if len(v6) > 0 {
		line("\t\tip6 saddr { %s } %s", strings.Join(v6, ", "), what)
	}
	if len(f.TCP) > 0 {
		line("\t\ttcp dport { %s } accept", ports(f.TCP))
	}
	if len(f.UDP) > 0 {
		line("\t\tudp dport { %s } accept", ports(f.UDP))
	}
	line("\t}")
	line("}")
	return b.String()
}

// networks returns the prefixes of the cloud's networks by family.
func networks(c *spec.Cloud) (v4, v6 []string) {
	for _, n := range c.Networks {
		if n.CIDR.IsValid() {
			v4 = append(v4, n.CIDR.Masked().String())
		}
		if n.CIDR6.IsValid() {
			v6 = append(v6, n.CIDR6.Masked().String())
		}
	}
	return v4, v6
}

func ports(list []int) string {
	list = slices.Compact(slices.Sorted(slices.Values(list)))
	out := make([]string, len(list))
	for i, p := range list {
		out[i] = strconv.Itoa(p)
	}
	return strings.Join(out, ", ")
}
