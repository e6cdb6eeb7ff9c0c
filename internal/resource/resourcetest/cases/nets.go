package cases

import (
	"github.com/updraft-cloud/updraft/internal/resource/nftables"
	"github.com/updraft-cloud/updraft/internal/resource/repository"
	"github.com/updraft-cloud/updraft/internal/resource/resourcetest"
)

// testKey is the Debian 12 release key (ed25519), without its signatures.
const testKey = "-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nmDMEY865UxYJKwYBBAHaRw8BAQdAd7Z0srwuhlB6JKFkcf4HU4SSS/xcRfwEQWzr\n" +
	"crf6AEq0SURlYmlhbiBTdGFibGUgUmVsZWFzZSBLZXk=\n-----END PGP PUBLIC KEY BLOCK-----\n"

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
