package netif_test

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"github.com/updraft-cloud/updraft/internal/drift"
	"github.com/updraft-cloud/updraft/internal/resource"
	"github.com/updraft-cloud/updraft/internal/resource/fakehost"
	"github.com/updraft-cloud/updraft/internal/resource/netif"
)

func apply(t *testing.T, h resource.Host, r *netif.Resource) error {
	t.Helper()
	rep, err := r.Observe(t.Context(), h)
	if err != nil {
		t.Fatal(err)
	}
	return r.Apply(t.Context(), h, rep, resource.Cause{})
}

// changes returns the commands that were run to change something.
func changes(h *fakehost.Host, since int) (out []string) {
	for _, line := range h.Ran()[since:] {
		if !strings.HasPrefix(line, "ip -j") {
			out = append(out, line)
		}
	}
	return out
}

func onIfupdown(t *testing.T) *fakehost.Host {
	t.Helper()
	h := fakehost.New()
	if err := h.Remove("/run/systemd/netif/state"); err != nil {
		t.Fatal(err)
	}
	if err := h.WriteFile("/etc/network/interfaces", []byte("auto lo\niface lo inet loopback"), resource.Access{Mode: 0o644}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for _, err := range h.Refused() {
			t.Errorf("refused: %v", err)
		}
	})
	return h
}

func TestIfupdownTakesOnlyTheStepsThatAreNeeded(t *testing.T) {
	h := onIfupdown(t)
	if err := apply(t, h, &netif.Resource{Name: "eth0", Addresses: []string{"10.88.0.10/24", "10.88.0.11/24"}}); err != nil {
		t.Fatal(err)
	}
	ran := len(h.Ran())
	if err := apply(t, h, &netif.Resource{Name: "eth0", Addresses: []string{"10.88.0.10/24", "10.88.0.12/24"}, MTU: 1400}); err != nil {
		t.Fatal(err)
	}
	want := []string{
		"ip link set dev eth0 mtu 1400", "ip address replace 10.88.0.12/24 dev eth0", "ip address delete 10.88.0.11/24 dev eth0",
	}
	if diff := cmp.Diff(want, changes(h, ran)); diff != "" {
		t.Error(diff)
	}
	text, err := h.ReadFile("/etc/network/interfaces")
	if want := "auto lo\niface lo inet loopback\nsource /etc/network/interfaces.d/*\n"; err != nil || string(text) != want {
		t.Errorf("the main file is %q, %v", text, err)
	}
}

func TestErrorsSayWhatIsWrong(t *testing.T) {
	eth0 := &netif.Resource{Name: "eth0", Addresses: []string{"10.88.9.9/24"}}
	for _, c := range []struct {
		reason string
		given  func(t *testing.T) *fakehost.Host
		r      *netif.Resource
		want   string
	}{
		{
			"another file of networkd's comes first", func(*testing.T) *fakehost.Host { return fakehost.New() }, eth0,
			"systemd-networkd configures it by /etc/systemd/network/10-eth0.network, whose name comes before 50-updraft-eth0.network",
		},
		{
			"there is no such interface", func(*testing.T) *fakehost.Host { return fakehost.New() },
			&netif.Resource{Name: "eth9"}, "cannot configure interface eth9: link is absent instead of eth9; this host has no such interface",
		},
		{
			"the main file of ifupdown configures it", func(t *testing.T) *fakehost.Host {
				h := onIfupdown(t)
				if err := h.WriteFile("/etc/network/interfaces", []byte("iface eth0 inet dhcp\n"), resource.Access{Mode: 0o644}); err != nil {
					t.Fatal(err)
				}
				return h
			}, eth0, "/etc/network/interfaces does so already; remove it there",
		},
	} {
		t.Run(c.reason, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				err := apply(t, c.given(t), c.r)
				if err == nil || !strings.Contains(err.Error(), c.want) {
					t.Errorf("error is %v", err)
				}
			})
		})
	}
}

func TestAHostWithNeitherIsToldSo(t *testing.T) {
	h := fakehost.New()
	if err := h.Remove("/run/systemd/netif/state"); err != nil {
		t.Fatal(err)
	}
	_, err := (&netif.Resource{Name: "eth0"}).Observe(t.Context(), h)
	if err == nil || !strings.Contains(err.Error(), "neither does systemd-networkd run") {
		t.Errorf("error is %v", err)
	}
}

func TestAnAddressOfOthersIsLeftAlone(t *testing.T) {
	h := onIfupdown(t)
	r := &netif.Resource{Name: "eth0", Addresses: []string{"10.88.0.10/24"}}
	if err := apply(t, h, r); err != nil {
		t.Fatal(err)
	}
	vip := resource.Command{Name: "ip", Args: []string{"address", "replace", "10.88.0.100/32", "dev", "eth0"}}
	if _, err := h.Run(t.Context(), vip); err != nil {
		t.Fatal(err)
	}
	if rep, err := r.Observe(t.Context(), h); err != nil || rep.Status != drift.InSync {
		t.Errorf("report is %+v, %v", rep, err)
	}
}

func TestFaultsOfFields(t *testing.T) {
	for _, c := range []struct {
		reason, field string
		r             netif.Resource
	}{
		{"a name is short", "name", netif.Resource{Name: "averyveryverylongname"}},
		{"a name is no path", "name", netif.Resource{Name: "a/b"}},
		{"an address has a length", "addresses", netif.Resource{Name: "a", Addresses: []string{"10.0.0.1"}}},
		{"an address is one line", "addresses", netif.Resource{Name: "a", Addresses: []string{"10.0.0.1/24\nDHCP=yes"}}},
		{"a router is an address", "gateway", netif.Resource{Name: "a", Gateway: "router"}},
		{"a destination is a network", "routes", netif.Resource{Name: "a", Routes: []netif.Route{{To: "10.0.0.1/8", Via: "10.0.0.1"}}}},
		{"a default route has a router", "routes", netif.Resource{Name: "a", Routes: []netif.Route{{To: "default"}}}},
		{"an MTU is possible", "mtu", netif.Resource{Name: "a", MTU: 9}},
		{"a hardware address is one", "mac", netif.Resource{Name: "a", MAC: "x"}},
		{"a type is known", "type", netif.Resource{Name: "a", Type: "tunnel"}},
		{"only some have members", "members", netif.Resource{Name: "a", Members: []string{"b"}}},
		{"a VLAN has a parent", "parent", netif.Resource{Name: "a", Type: netif.VLAN, VLANID: 5}},
		{"a VLAN has a number", "vlan_id", netif.Resource{Name: "a", Type: netif.VLAN, Parent: "b", VLANID: 4095}},
		{"only a VLAN has a number", "parent", netif.Resource{Name: "a", VLANID: 7}},
		{"only a bond has a mode", "bond_mode", netif.Resource{Name: "a", BondMode: "802.3ad"}},
	} {
		t.Run(c.reason, func(t *testing.T) {
			var f *resource.FieldError
			if err := c.r.Validate(); !errors.As(err, &f) || f.Field != c.field {
				t.Errorf("got %v", err)
			}
		})
	}
}
