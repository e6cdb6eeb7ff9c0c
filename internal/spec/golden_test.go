package spec

import (
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"
)

var update = flag.Bool("update", false, "write what was got into the golden files")

// TestGolden reads testdata/*.txt: a comment that states the rule, the files of
// a cloud (cloud.yaml and what it includes), settings (one a line), and what is
// wanted: the faults, or the expanded cloud.
func TestGolden(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no golden files: %v", err)
	}
	for _, path := range files {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".txt"), func(t *testing.T) { golden(t, path) })
	}
}

func golden(t *testing.T, path string) {
	ar, err := txtar.ParseFile(path)
	if err != nil {
		t.Fatal(err)
	}
	got := render(ar)
	want := -1
	for i, f := range ar.Files {
		if f.Name == "want" {
			want = i
		}
	}
	if *update {
		if want < 0 {
			ar.Files = append(ar.Files, txtar.File{Name: "want"})
			want = len(ar.Files) - 1
		}
		ar.Files[want].Data = []byte(got)
		if err := os.WriteFile(path, txtar.Format(ar), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if want < 0 {
		t.Fatal("no part named want; go test -update writes it")
	}
	if diff := cmp.Diff(string(ar.Files[want].Data), got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// render loads the archive's cloud and renders the outcome.
func render(ar *txtar.Archive) string {
	parts := map[string][]byte{}
	for _, f := range ar.Files {
		parts[f.Name] = f.Data
	}
	c, faults := Parse("cloud.yaml", parts["cloud.yaml"], Options{
		Set: strings.Fields(string(parts["set"])),
		Read: func(name string) ([]byte, error) {
			if data, ok := parts[filepath.ToSlash(name)]; ok {
				return data, nil
			}
			return nil, fs.ErrNotExist
		},
	})
	var b strings.Builder
	if len(faults) > 0 {
		fmt.Fprintln(&b, faults.Error())
	}
	if c != nil {
		renderCloud(&b, c)
	}
	return b.String()
}

func renderCloud(b *strings.Builder, c *Cloud) {
	fmt.Fprintf(b, "cloud %s domain %s provider %s %s\nfiles %s\n", c.Name, c.Domain, c.Provider.Name, c.Provider.Settings.JSON, strings.Join(c.Files, " "))
	if c.Proxy.HTTP != "" {
		fmt.Fprintf(b, "proxy %+v\n", c.Proxy)
	}
	if c.PackageCache != nil {
		fmt.Fprintf(b, "package cache %+v\n", *c.PackageCache)
	}
	if len(c.Mirrors) > 0 {
		fmt.Fprintf(b, "mirrors %v\n", c.Mirrors)
	}
	for _, n := range c.Networks {
		fmt.Fprintf(b, "network %s %s %s mtu %d gateway %s deployer %s uplink %v dns %v\n", n.Name, n.CIDR, n.CIDR6, n.MTU, n.Gateway, n.Deployer, n.Uplink, n.DNS)
	}
	for _, g := range c.Groups {
		fmt.Fprintf(b, "group %s roles %v hosts %v\n", g.Name, g.Roles, g.Hosts)
	}
	for _, h := range c.Hosts {
		renderHost(b, h)
	}
	renderOpenStack(b, c.OpenStack)
	for _, v := range c.VIPs {
		fmt.Fprintf(b, "vip %s %s on %s by %s\n", v.Name, v.Address, v.Network, v.Group)
	}
	for _, k := range c.Checks {
		fmt.Fprintf(b, "check %q %s from %s within %s %s\n", k.Name, k.Kind, k.From, k.Timeout, k.Body.JSON)
	}
}

func renderOpenStack(b *strings.Builder, o *OpenStack) {
	if o == nil {
		return
	}
	name := func(hosts []*Host) (out []string) {
		for _, h := range hosts {
			out = append(out, h.Name)
		}
		return out
	}
	fmt.Fprintf(b, "openstack %s %s at %s, controllers %v computes %v tunnel %s external %v images %s workers %d %s storage %+v overrides %s\n", o.Release, o.Region,
		o.VIP.Address, name(o.Controllers), name(o.Computes), o.Tunnel, o.External, o.Images, o.Workers, o.VirtType, o.Storage, o.Overrides.JSON)
}

func renderHost(b *strings.Builder, h *Host) {
	fmt.Fprintf(b, "host %s group %s #%d cpus %v memory %d disk %d address %q at %s\n", h.Name, h.Group, h.Index, h.CPUs, h.Memory, h.Disk, h.Address, h.Pos)
	fmt.Fprintf(b, "  access %+v\n", h.Access)
	if len(h.Provider.JSON) > 0 {
		fmt.Fprintf(b, "  provider %s\n", h.Provider.JSON)
	}
	for _, n := range h.NICs {
		fmt.Fprintf(b, "  nic %s %s %s %s %s mtu %d gateway %s\n", n.Name, n.Network, n.MAC, n.Address, n.Address6, n.MTU, n.Gateway)
	}
	for _, u := range h.Sets {
		fmt.Fprintf(b, "  set %s %s %s %s\n", u.Set, u.Params.JSON, u.Path, u.Pos)
	}
	for _, r := range h.Resources {
		fmt.Fprintf(b, "  resource %s %s needs %v triggers %v %s %s\n", r.Kind, r.Body.JSON, r.Needs, r.Triggers, r.Path, r.Pos)
	}
}
