package local_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/updraft-cloud/updraft/internal/lb/driver"
	"github.com/updraft-cloud/updraft/internal/lb/driver/local"
)

const declaration = `
networks:
- name: front
  bridge: br-front
  subnets:
  - {name: front4, cidr: 10.20.0.0/24, gateway: 10.20.0.1, host: 10.20.0.2, pool: 10.20.0.1-10.20.0.14}
  - {name: front6, cidr: "fd20::/64"}
- name: back
  namespace: there
  subnets:
  - {cidr: 10.30.0.0/29}
`

func open(t *testing.T, text string) (*local.Network, string) {
	t.Helper()
	dir := t.TempDir()
	file := filepath.Join(dir, "networks.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	n, err := local.Open(local.Options{File: file, Dir: filepath.Join(dir, "ports")})
	if err != nil {
		t.Fatal(err)
	}
	return n, dir
}

func TestAVIPIsReservedOnceAndGivenBack(t *testing.T) {
	n, _ := open(t, declaration)
	front4, front6 := n.Subnets()[0], n.Subnets()[1]
	want := driver.VIPRequest{LoadBalancerID: "lb1", NetworkID: front4.NetworkID, SubnetID: front4.ID, Additional: []driver.AdditionalVIP{{SubnetID: front6.ID}}}
	v, err := n.EnsureVIP(t.Context(), want)
	if err != nil || v.Address != "10.20.0.3" || len(v.Additional) != 1 || v.Additional[0].Address != "fd20::1" || v.NetworkID != front4.NetworkID {
		t.Fatalf("%+v, %v", v, err)
	}
	if again, err := n.EnsureVIP(t.Context(), want); err != nil || again.Address != v.Address || again.PortID != v.PortID {
		t.Errorf("the second time: %+v, %v", again, err)
	}
	p, err := n.Port(t.Context(), v.PortID)
	if err != nil || p.LoadBalancerID != "lb1" || p.DeviceID == "" || p.Binding == nil || p.Binding.Bridge != "br-front" {
		t.Errorf("its port: %+v, %v", p, err)
	}
	for range 2 {
		if err := n.ReleaseVIP(t.Context(), *v); err != nil {
			t.Fatal(err)
		}
	}
	if all, err := n.Ports(t.Context(), ""); err != nil || len(all) > 0 {
		t.Errorf("left are %v, %v", all, err)
	}
}

func TestAmphoraePortsGrowAndSayWhereTheyArePluggedIn(t *testing.T) {
	n, _ := open(t, declaration)
	front4, front6, back := n.Subnets()[0], n.Subnets()[1], n.Subnets()[2]
	req := driver.PortRequest{LoadBalancerID: "lb1", AmphoraID: "a1", NetworkID: front4.NetworkID, Subnets: []string{front4.ID}}
	p, err := n.EnsurePort(t.Context(), req)
	if err != nil || len(p.FixedIPs) != 1 || p.MAC == "" {
		t.Fatalf("%+v, %v", p, err)
	}
	req.Subnets = append(req.Subnets, front6.ID)
	wide, err := n.EnsurePort(t.Context(), req)
	if err != nil || wide.ID != p.ID || wide.MAC != p.MAC || len(wide.FixedIPs) != 2 || wide.FixedIPs[0] != p.FixedIPs[0] {
		t.Errorf("it became %+v, %v", wide, err)
	}
	other, err := n.EnsurePort(t.Context(), driver.PortRequest{LoadBalancerID: "lb1", AmphoraID: "a1", NetworkID: back.NetworkID, Subnets: []string{back.ID}})
	if err != nil || other.Binding == nil || other.Binding.Namespace != "there" || other.Binding.Bridge != "lb-back" {
		t.Errorf("%+v, %v", other, err)
	}
	if mine, err := n.Ports(t.Context(), "lb1"); err != nil || len(mine) != 2 {
		t.Errorf("%v, %v", mine, err)
	}
}

func TestWhatCannotBeHadIsRefusedByItsClass(t *testing.T) {
	n, _ := open(t, declaration)
	front4 := n.Subnets()[0]
	ask := func(lb, address string) error {
		_, err := n.EnsureVIP(t.Context(), driver.VIPRequest{LoadBalancerID: lb, NetworkID: front4.NetworkID, SubnetID: front4.ID, Address: address})
		return err
	}
	if err := ask("a", "10.20.0.200"); err != nil {
		t.Errorf("an address beside the pool: %v", err)
	}
	for address, class := range map[string]error{"10.20.0.200": driver.ErrInUse, "10.20.0.1": driver.ErrInUse, "10.99.0.1": driver.ErrInvalid, "x": driver.ErrInvalid} {
		if err := ask("b", address); !errors.Is(err, class) {
			t.Errorf("%s: %v", address, err)
		}
	}
	if _, err := n.Subnet(t.Context(), "none"); !errors.Is(err, driver.ErrNotFound) || err.Error() != "Subnet none not found." {
		t.Errorf("%v", err)
	}
	if err := n.QoSPolicy(t.Context(), "q"); !errors.Is(err, driver.ErrUnsupported) {
		t.Errorf("%v", err)
	}
}

// TestNoAddressIsGivenTwice has several processes' worth of networks on one
// directory.
func TestNoAddressIsGivenTwice(t *testing.T) {
	n, dir := open(t, declaration)
	other, err := local.Open(local.Options{File: filepath.Join(dir, "networks.yaml"), Dir: filepath.Join(dir, "ports")})
	if err != nil {
		t.Fatal(err)
	}
	front4 := n.Subnets()[0]
	var mu sync.Mutex
	got, full := map[string]int{}, 0
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			v, err := []*local.Network{n, other}[i%2].EnsureVIP(t.Context(), driver.VIPRequest{LoadBalancerID: fmt.Sprint(i), NetworkID: front4.NetworkID, SubnetID: front4.ID})
			mu.Lock()
			defer mu.Unlock()
			switch {
			case errors.Is(err, driver.ErrExhausted):
				full++
			case err != nil:
				t.Error(err)
			default:
				got[v.Address]++
			}
		})
	}
	wg.Wait()
	if len(got) != 12 || full != 8 { // 14 in the pool, two of which are the gateway's and the host's
		t.Errorf("given were %v, refused %d", got, full)
	}
}

func TestAFileThatSaysNonsenseIsRefusedWithAllItsFaults(t *testing.T) {
	for _, c := range []struct{ rule, text, want string }{
		{"an unknown key", "networks:\n- nam: x\n", "nam"},
		{"no network", "networks: []\n", "no network"},
		{"no subnet", "networks:\n- name: a\n", "at least one subnet"},
		{"a gateway elsewhere", "networks:\n- name: a\n  subnets: [{cidr: 10.0.0.0/24, gateway: 10.1.0.1}]\n", "10.1.0.1 is not in"},
		{"a pool elsewhere", "networks:\n- name: a\n  subnets: [{cidr: 10.0.0.0/24, pool: 10.1.0.1-10.1.0.2}]\n", "pool"},
		{"a name twice", "networks:\n- name: a\n  subnets: [{cidr: 10.0.0.0/24}]\n- name: a\n  subnets: [{cidr: 10.1.0.0/24}]\n", "twice"},
		{"a bridge that cannot be", "networks:\n- name: a\n  bridge: abcdefghijklmnop\n  subnets: [{cidr: 10.0.0.0/24}]\n", "bridge"},
	} {
		t.Run(c.rule, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "n.yaml")
			if err := os.WriteFile(file, []byte(c.text), 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := local.Open(local.Options{File: file, Dir: t.TempDir()}); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}
