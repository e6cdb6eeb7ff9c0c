package cases

import (
	"context"
	"errors"

	"github.com/updraft-cloud/updraft/internal/resource"
	"github.com/updraft-cloud/updraft/internal/resource/netif"
	"github.com/updraft-cloud/updraft/internal/resource/nftables"
	"github.com/updraft-cloud/updraft/internal/resource/repository"
	"github.com/updraft-cloud/updraft/internal/resource/resourcetest"
)

// testKey is the public key of Debian 12's releases, without name and signatures.
const testKey = "-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nmDMEY865UxYJKwYBBAHaRw8BAQdAd7Z0srwuhlB6JKFkcf4HU4SSS/xcRfwEQWzr\ncrf6AEo=\n" +
	"-----END PGP PUBLIC KEY BLOCK-----\n"

func repositoryCases() []resourcetest.Case {
	const source, key = "/etc/apt/sources.list.d/updraft-test.sources", "/etc/apt/keyrings/updraft-test.asc"
	onApt := resourcetest.Real{Commands: []string{"apt-get"}}
	return []resourcetest.Case{
		{
			Name: "a signed repository",
			Resource: &repository.Resource{
				Name: "test", URIs: []string{"https://example.org/debian"}, Suites: []string{"trixie"}, Components: []string{"main"},
				Architectures: []string{"amd64"}, SigningKey: testKey,
			},
			Real: onApt,
			Drifts: []resourcetest.Drift{
				{Name: "edited", Do: resourcetest.WriteText(source, "Types: deb\n", 0o644), Attrs: []string{"source"}},
				{Name: "another key", Do: resourcetest.WriteText(key, "x\n", 0o644), Attrs: []string{"key"}},
				{Name: "the key is gone", Do: remove(key), Attrs: []string{"key"}},
				{Name: "all is gone", Do: resourcetest.Steps(remove(key), remove(source))},
			},
		},
		{
			Name: "a flat repository that is trusted and disabled",
			Resource: &repository.Resource{
				Name: "test", URIs: []string{"file:///srv/packages"}, Suites: []string{"./"}, Trusted: true, Disabled: true,
			},
			Real:   onApt,
			Drifts: []resourcetest.Drift{{Name: "a key is left", Do: resourcetest.WriteText(key, "x\n", 0o644), Attrs: []string{"key"}}},
		},
	}
}

func nftablesCases() []resourcetest.Case {
	const name, file = "updraft_test", "/etc/nftables.d/updraft-test.nft"
	return []resourcetest.Case{{
		Name: "a ruleset",
		Resource: &nftables.Resource{Name: "test", Content: `set banned {
	type ipv4_addr
	flags dynamic,timeout
	timeout 1h
}
chain input {
	type filter hook input priority filter; policy accept;
	ip saddr @banned counter drop
	tcp dport { 80, 443 } counter accept comment "{ web"
}
`},
		Real: resourcetest.Real{Commands: []string{"nft"}, Systemd: true},
		Drifts: []resourcetest.Drift{
			{Name: "a rule was added by hand", Do: resourcetest.RunCommand("nft", "add", "rule", "inet", name, "input", "tcp", "dport", "9", "drop"), Attrs: []string{"rules"}},
			{Name: "all rules were flushed", Do: resourcetest.RunCommand("nft", "flush", "ruleset"), Attrs: []string{"rules"}},
			{Name: "the file was edited", Do: resourcetest.WriteText(file, "# nothing\n", 0o600), Attrs: []string{"content"}},
			{Name: "it is not loaded at boot", Do: remove("/etc/systemd/system/sysinit.target.wants/updraft-nftables@test.service"), Attrs: []string{"boot link"}},
			{Name: "the unit that loads it is gone", Do: remove("/etc/systemd/system/updraft-nftables@.service"), Attrs: []string{"boot"}},
			{Name: "nobody knows what was loaded", Do: remove("/var/lib/updraft/nftables/test.json"), Attrs: []string{"rules"}},
			{Name: "file and table are gone", Do: resourcetest.Steps(remove(file), resourcetest.RunCommand("nft", "delete", "table", "inet", name))},
		},
	}}
}

// cable makes an interface to play with, one end of a virtual cable: up and
// without addresses.
func cable(name string) step {
	return func(ctx context.Context, h resource.Host) error {
		_, err := h.Run(ctx, resource.Command{Name: "ip", Args: []string{"link", "add", "name", name, "type", "veth", "peer", "name", name + "p"}})
		var exit *resource.ExitError
		if err != nil && !errors.As(err, &exit) { // it may be there from the last time
			return err
		}
		return ip("link", "set", "dev", name, "up")(ctx, h)
	}
}

func ip(args ...string) step { return resourcetest.RunCommand("ip", args...) }

// onIfupdown makes the host one that ifupdown configures.
func onIfupdown(then ...step) step {
	steps := []step{
		removeIfThere("/run/systemd/netif/state"),
		resourcetest.WriteText("/etc/network/interfaces", "auto lo\niface lo inet loopback\nsource /etc/network/interfaces.d/*\n", 0o644),
	}
	return resourcetest.Steps(append(steps, then...)...)
}

// interfaceDrifts are those of the interface updt0 with 10.89.77.5/24.
func interfaceDrifts(file string) []resourcetest.Drift {
	return []resourcetest.Drift{
		{Name: "an address is gone", Do: ip("address", "delete", "fd00:77::5/64", "dev", "updt0"), Attrs: []string{"address fd00:77::5/64"}},
		{Name: "another MTU", Do: ip("link", "set", "dev", "updt0", "mtu", "1400"), Attrs: []string{"mtu"}},
		{Name: "the file was edited", Do: resourcetest.WriteText("/etc/"+file, "# nothing\n", 0o644), Attrs: []string{"file " + baseName(file)}},
	}
}

func baseName(p string) string {
	for i := len(p) - 1; i >= 0; i-- {
		if p[i] == '/' {
			return p[i+1:]
		}
	}
	return p
}

func interfaceCases() []resourcetest.Case {
	networkd := resourcetest.Real{Commands: []string{"ip", "networkctl"}, Systemd: true}
	byIfupdown := resourcetest.Real{Skip: "systemd-networkd would have to be stopped"}
	physical := &netif.Resource{
		Name: "updt0", Addresses: []string{"10.89.77.5/24", "fd00:77::5/64"}, MTU: 1500, DNS: []string{"10.89.77.1"},
		Routes: []netif.Route{{To: "10.89.78.0/24", Via: "10.89.77.1"}, {To: "fd00:78::/64", Via: "fd00:77::1"}},
	}
	bridge := &netif.Resource{Name: "updbr0", Type: netif.Bridge, Addresses: []string{"10.89.79.1/24"}, Members: []string{"updt0"}}
	vlan := &netif.Resource{Name: "updv7", Type: netif.VLAN, Parent: "eth0", VLANID: 7, Addresses: []string{"10.89.80.1/24"}}
	bond := &netif.Resource{Name: "updbond0", Type: netif.Bond, Members: []string{"updt0"}}
	return []resourcetest.Case{
		{
			Name: "addresses and routes by networkd", Resource: physical, Given: cable("updt0"), Real: networkd,
			Drifts: interfaceDrifts("systemd/network/50-updraft-updt0.network"),
		},
		{
			Name: "a bridge by networkd", Resource: bridge, Given: cable("updt0"), Real: networkd,
			Drifts: []resourcetest.Drift{
				// A member that leaves is no case: networkd itself may take it back at once.
				{Name: "an address is gone", Do: ip("address", "delete", "10.89.79.1/24", "dev", "updbr0"), Attrs: []string{"address 10.89.79.1/24"}},
				{
					Name: "a former member's file is left", Attrs: []string{"file 50-updraft-00-updbr0:old0.network"},
					Do: resourcetest.WriteText("/etc/systemd/network/50-updraft-00-updbr0:old0.network", "[Match]\nName=old0\n[Network]\nBridge=updbr0\n", 0o644),
				},
			},
		},
		{Name: "a VLAN by networkd", Resource: vlan, Real: resourcetest.Real{Skip: "eth0 is the way in"}},
		{Name: "a bond by networkd", Resource: bond, Given: cable("updt0"), Real: resourcetest.Real{Skip: "not every kernel has bonds"}},
		{
			Name: "addresses and routes by ifupdown", Resource: physical, Given: onIfupdown(cable("updt0")), Real: byIfupdown,
			Drifts: append(interfaceDrifts("network/interfaces.d/updraft-updt0"), resourcetest.Drift{
				Name: "it is down", Do: ip("link", "set", "dev", "updt0", "down"),
				Attrs: []string{"address fd00:77::5/64", "route 10.89.78.0/24", "route fd00:78::/64", "up"},
			}),
		},
		{Name: "a bridge by ifupdown", Resource: bridge, Given: onIfupdown(cable("updt0")), Real: byIfupdown},
		{Name: "a VLAN by ifupdown", Resource: vlan, Given: onIfupdown(), Real: resourcetest.Real{Skip: "eth0 is the way in"}},
	}
}
