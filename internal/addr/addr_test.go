package addr

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
)

func TestPositionsInAPrefix(t *testing.T) {
	for _, tc := range []struct {
		prefix string
		n      uint64
		want   string
	}{
		{"10.88.0.0/24", 0, "10.88.0.0"},
		{"10.88.0.0/24", 255, "10.88.0.255"},
		{"10.88.0.0/24", 256, "invalid IP"},
		{"10.88.0.77/24", 1, "10.88.0.1"},
		{"0.0.0.0/0", 1<<32 - 1, "255.255.255.255"},
		{"fd00:88::/64", 21, "fd00:88::15"},
		{"fd00:88::/126", 4, "invalid IP"},
	} {
		p := netip.MustParsePrefix(tc.prefix)
		got := Nth(p, tc.n)
		if got.String() != tc.want {
			t.Errorf("Nth(%s, %d) = %s, want %s", p, tc.n, got, tc.want)
		}
		if got.IsValid() && Offset(p, got) != tc.n {
			t.Errorf("Offset(%s, %s) = %d, want %d", p, got, Offset(p, got), tc.n)
		}
	}
}

func TestEdgesAreNoHostsAddress(t *testing.T) {
	for in, want := range map[string]bool{
		"10.88.0.0/24 10.88.0.0": true, "10.88.0.0/24 10.88.0.255": true, "10.88.0.0/23 10.88.0.255": false,
		"fd00::/64 fd00::": true, "fd00::/120 fd00::ff": false,
	} {
		p, a, _ := strings.Cut(in, " ")
		if got := IsEdge(netip.MustParsePrefix(p), netip.MustParseAddr(a)); got != want {
			t.Errorf("IsEdge(%s) = %v", in, got)
		}
	}
}

func TestParseRange(t *testing.T) {
	for _, tc := range []struct{ in, want string }{
		{"192.0.2.5", "192.0.2.5 (1)"},
		{"192.0.2.5-192.0.2.9", "192.0.2.5-192.0.2.9 (5)"},
		{"192.0.2.5 - 192.0.2.5", "192.0.2.5 (1)"},
		{"10.0.0.250-10.0.1.5", "10.0.0.250-10.0.1.5 (12)"},
		{"fd00::1-fd00::a", "fd00::1-fd00::a (10)"},
		{"192.0.2.9-192.0.2.5", "192.0.2.9 comes after 192.0.2.5"},
		{"192.0.2.9-fd00::1", "192.0.2.9 and fd00::1 are not of the same family"},
		{"10.0.0.0-10.255.0.0", "10.0.0.0-10.255.0.0 holds more than 65536 addresses"},
		{"fd00::1-fd01::1", "fd00::1-fd01::1 holds more than 65536 addresses"},
		{"web", `"web" is not an IP address`},
		{"192.0.2.1-", `"" is not an IP address`},
		{"fe80::1%eth0", `"fe80::1%eth0" is not an IP address`},
	} {
		var got string
		if r, err := ParseRange(tc.in); err != nil {
			got = err.Error()
		} else {
			got = fmt.Sprintf("%s (%d)", r, r.Len())
		}
		if got != tc.want {
			t.Errorf("ParseRange(%q) = %s, want %s", tc.in, got, tc.want)
		}
	}
}

func TestRangeEndsWithItsLastAddress(t *testing.T) {
	r, err := ParseRange("10.0.0.254-10.0.1.0")
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(r.At(0), r.At(2), r.At(3), r.At(-1)); got != "10.0.0.254 10.0.1.0 invalid IP invalid IP" {
		t.Error(got)
	}
}

// take returns the first n addresses of a group's block.
func take(t *testing.T, net string, index int, users []int, n int, taken map[string]bool) []string {
	t.Helper()
	b := NewBlock(netip.MustParsePrefix(net), index, users)
	var out []string
	for range n {
		a := b.Next(func(a netip.Addr) bool { return taken[a.String()] })
		if !a.IsValid() {
			break
		}
		out = append(out, a.String())
	}
	return out
}

func TestBlocksNeverOverlapAndFillTheNetwork(t *testing.T) {
	for _, bits := range []int{30, 29, 28, 27, 26, 25, 24, 22} {
		net := fmt.Sprintf("10.88.0.0/%d", bits)
		for groups := 1; groups <= 20; groups++ {
			var users []int
			for g := range groups {
				users = append(users, g)
			}
			seen := map[string]int{}
			for g := range groups {
				for _, a := range take(t, net, g, users, 1<<12, nil) {
					if other, dup := seen[a]; dup {
						t.Fatalf("%s with %d groups: %s belongs to groups %d and %d", net, groups, a, other, g)
					}
					seen[a] = g
				}
			}
			if want := 1<<(32-bits) - 2; len(seen) != want {
				t.Errorf("%s with %d groups: %d addresses used, want %d", net, groups, len(seen), want)
			}
		}
	}
}

func TestGrowthKeepsTheAddressesThereAre(t *testing.T) {
	few := take(t, "10.88.0.0/24", 2, []int{0, 1, 2}, 3, nil)
	more := take(t, "10.88.0.0/24", 2, []int{0, 1, 2}, 40, nil)
	after := take(t, "10.88.0.0/24", 2, []int{0, 1, 2, 3, 4, 5}, 3, nil)
	if fmt.Sprint(few) != fmt.Sprint(more[:3]) || fmt.Sprint(few) != fmt.Sprint(after) {
		t.Errorf("%v, with more hosts %v, with more groups %v", few, more[:3], after)
	}
}

func TestTakenAddressesAreLeftOut(t *testing.T) {
	got := take(t, "10.88.0.0/24", 0, []int{0}, 3, map[string]bool{"10.88.0.12": true})
	if fmt.Sprint(got) != "[10.88.0.11 10.88.0.13 10.88.0.14]" {
		t.Error(got)
	}
}

func TestMACIsStableLocalAndUnicast(t *testing.T) {
	mac := MAC("web", "web1", "eth0")
	if mac != MAC("web", "web1", "eth0") || mac == MAC("web", "web1", "eth1") || mac == MAC("web", "web1eth0") {
		t.Error("the MAC does not follow from the names alone")
	}
	for i := range 200 {
		var first byte
		if _, err := fmt.Sscanf(MAC(fmt.Sprint(i)), "%02x", &first); err != nil {
			t.Fatal(err)
		}
		if first&1 != 0 || first&2 == 0 {
			t.Fatalf("%02x is not a local unicast MAC", first)
		}
	}
}
