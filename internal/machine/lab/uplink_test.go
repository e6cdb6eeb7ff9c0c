package lab

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/updraft-cloud/updraft/internal/machine"
)

func TestPairsAvoidWhatIsInUse(t *testing.T) {
	r := netip.MustParsePrefix("169.254.200.0/29")
	for _, tc := range []struct {
		rule string
		seed uint32
		used []string
		want string
	}{
		{"the seed gives the place", 2, nil, "169.254.200.4/31"},
		{"the place is the same modulo the range", 6, nil, "169.254.200.4/31"},
		{"a used address moves it on", 2, []string{"169.254.200.5/32"}, "169.254.200.6/31"},
		{"from the end to the beginning", 3, []string{"169.254.200.6/31"}, "169.254.200.0/31"},
		{"a network over all leaves none", 0, []string{"169.254.0.0/16"}, "invalid Prefix"},
	} {
		var used []netip.Prefix
		for _, u := range tc.used {
			used = append(used, netip.MustParsePrefix(u))
		}
		if got, ok := freePair(r, tc.seed, used); got.String() != tc.want || ok != got.IsValid() {
			t.Errorf("%s: %s, %t; want %s", tc.rule, got, ok, tc.want)
		}
	}
}

func TestGuardsAreReadFromOurTablesOnly(t *testing.T) {
	const list = `{"nftables": [{"metainfo": {"version": "1.0.6"}},
		{"set": {"family": "ip", "name": "turned", "table": "updraft-web", "type": "ifname", "elem": ["eth0", "wlan0"]}},
		{"set": {"family": "ip", "name": "turned", "table": "updraft-lb", "type": "ifname", "elem": ["eth0"]}},
		{"set": {"family": "ip", "name": "turned", "table": "updraft-none", "type": "ifname"}},
		{"set": {"family": "ip", "name": "turned", "table": "other", "type": "ifname", "elem": ["eth9"]}},
		{"set": {"family": "ip", "name": "ports", "table": "updraft-x", "type": "inet_service", "elem": [22, {"range": [80, 90]}]}}]}`
	got, err := parseGuards([]byte(list))
	want := map[string][]string{"eth0": {"updraft-web", "updraft-lb"}, "wlan0": {"updraft-web"}}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("%v\n%s", err, diff)
	}
}

func TestCheckWarnsOfAFirewallThatDropsWhatIsForwarded(t *testing.T) {
	const list = `{"nftables": [{"chain": {"family": "ip", "table": "filter", "name": "INPUT", "hook": "input", "policy": "drop"}},
		{"chain": {"family": "ip6", "table": "filter", "name": "FORWARD", "hook": "forward", "policy": "drop"}},
		{"chain": {"family": "ip", "table": "filter", "name": "FORWARD", "hook": "forward", "policy": "%s"}}]}`
	if got := dropsForwarded([]byte(strings.ReplaceAll(list, "%s", "drop"))); got != "ip filter FORWARD" {
		t.Errorf("dropping: %q", got)
	}
	if got := dropsForwarded([]byte(strings.ReplaceAll(list, "%s", "accept"))); got != "" {
		t.Errorf("accepting: %q", got)
	}
}

func TestNameServersAreExchangedUnlessSomethingElseTookOver(t *testing.T) {
	dns := func(all ...string) (m machine.Machine) {
		for _, a := range all {
			m.DNS = append(m.DNS, netip.MustParseAddr(a))
		}
		return m
	}
	for _, tc := range []struct {
		rule, have string
		old, now   machine.Machine
		want       string
	}{
		{"others", "nameserver 10.0.0.1\n", dns("10.0.0.1"), dns("10.0.0.2", "10.0.0.3"), "nameserver 10.0.0.2\nnameserver 10.0.0.3\n"},
		{"none any more", "nameserver 10.0.0.1\n", dns("10.0.0.1"), dns(), ""},
		{"of somebody else", "nameserver 127.0.0.53\n", dns("10.0.0.1"), dns("10.0.0.2"), "nameserver 127.0.0.53\n"},
	} {
		tr := tree{top: t.TempDir()}
		if err := tr.write("etc/resolv.conf", tc.have, 0o644); err != nil {
			t.Fatal(err)
		}
		if err := resolve(tr, tc.now, tc.old); err != nil {
			t.Fatal(err)
		}
		if got, err := tr.read("etc/resolv.conf"); got != tc.want || err != nil {
			t.Errorf("%s: %q, %v; want %q", tc.rule, got, err, tc.want)
		}
	}
}
