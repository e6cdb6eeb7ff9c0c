package netif

import (
	"flag"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden files")

func TestGolden(t *testing.T) {
	nic := &Resource{
		Name: "eth1", Addresses: []string{"10.88.1.5/24", "fd00:1::5/64"}, Gateway: "10.88.1.1", MTU: 9000, DNS: []string{"10.88.1.1", "fd00:1::1"},
		Routes: []Route{{To: "10.89.0.0/16", Via: "10.88.1.2"}, {To: "fd00:2::/64", Via: "fd00:1::2"}, {To: "10.90.0.0/16"}},
	}
	byMAC := &Resource{Name: "data", MAC: "52:54:00:12:34:56", Addresses: []string{"10.88.2.5/24"}}
	bridge := &Resource{Name: "br0", Type: Bridge, Addresses: []string{"10.88.3.1/24"}, Members: []string{"eth2", "eth3"}}
	vlan := &Resource{Name: "eth1.7", Type: VLAN, Parent: "eth1", VLANID: 7, Addresses: []string{"10.88.4.1/24"}}
	bond := &Resource{Name: "bond0", Type: Bond, BondMode: "802.3ad", Members: []string{"eth4", "eth5"}}
	for name, got := range map[string]string{
		"eth1.network": nic.network(), "eth1.interfaces": nic.stanzas("eth1"), "mac.network": byMAC.network(),
		"br0.network": bridge.network(), "br0.netdev": bridge.netdev(), "br0.interfaces": bridge.stanzas("br0"),
		"vlan.netdev": vlan.netdev(), "vlan.interfaces": vlan.stanzas("eth1.7"),
		"bond0.netdev": bond.netdev(), "bond0.interfaces": bond.stanzas("bond0"),
	} {
		if *update {
			if err := os.WriteFile("testdata/"+name, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile("testdata/" + name)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), got); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}
