package basebox

import (
	"strings"
	"testing"

	"github.com/updraft-cloud/updraft/internal/configset/configsettest"
	"github.com/updraft-cloud/updraft/internal/spec"
)

func TestGolden(t *testing.T) { configsettest.Golden(t, Set()) }

func TestFaults(t *testing.T) {
	const cloud = `
version: 1
cloud: shop
networks:
  front: {cidr: 10.88.0.0/24}
groups:
  web: {count: 1, configsets: {basebox: %s}}
`
	configsettest.Faults(t, Set(), cloud, []configsettest.Fault{
		{Rule: "a user has a name", Params: `{users: [{}]}`, Want: `users.0.name is missing`},
		{Rule: "a name is one that systems take", Params: `{users: [{name: "ALL=(ALL)"}]}`, Want: `is not a user name`},
		{Rule: "a user is there once", Params: `{users: [{name: ops}, {name: ops}]}`, Want: `users: ops is there twice`},
		{Rule: "a key is a whole one", Params: `{users: [{name: ops, keys: [AAAA]}]}`, Want: `users: ops has a key that is none`},
		{Rule: "a port is a port", Params: `{firewall: {tcp: [0]}}`, Want: `firewall.tcp`},
		{Rule: "sources come from a mirror", Params: `{sources: {suites: [trixie]}}`, Want: `the cloud file names no mirror of debian`},
	})
}

func cloudWith(t *testing.T, more string) *spec.Cloud {
	t.Helper()
	return configsettest.Cloud(t, `
version: 1
cloud: shop
networks:
  front: {cidr: 10.88.0.0/24}
  back: {cidr: 10.88.1.0/24}
groups:
  web: {count: 1, nics: [back, front]}
  db: {count: 1, nics: [back]}
`+more)
}

func TestWhereTheCacheIs(t *testing.T) {
	tests := []struct{ rule, more, host, want string }{
		{"none", "", "web1", ""},
		{"in the first network", "package_cache: true", "web1", "http://10.88.0.1:3142"},
		{"by the host's own network, when it is not in the first", "package_cache: true", "db1", "http://10.88.1.1:3142"},
		{"where the file says", "package_cache: {listen: \"10.88.1.1:8080\"}", "web1", "http://10.88.1.1:8080"},
		{"on all addresses", "package_cache: {listen: \"0.0.0.0:8080\"}", "db1", "http://10.88.1.1:8080"},
	}
	for _, tt := range tests {
		t.Run(tt.rule, func(t *testing.T) {
			c := cloudWith(t, tt.more)
			if got := cacheURL(c, c.Host(tt.host)); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestAptGoesThroughTheCacheOrElseTheProxy(t *testing.T) {
	tests := []struct {
		rule, more string
		proxy      bool
		want       string
	}{
		{"neither", "", true, ""},
		{"the cache has precedence: it knows the proxy itself", "package_cache: true\nproxy: {http: \"http://p:3128\"}", true,
			"Acquire::http::Proxy \"http://10.88.0.1:3142\";\n"},
		{"the proxy serves https, too", "proxy: {http: \"http://p:3128\"}", true,
			"Acquire::http::Proxy \"http://p:3128\";\nAcquire::https::Proxy \"http://p:3128\";\n"},
		{"unless it is not wanted", "proxy: {http: \"http://p:3128\"}", false, ""},
		{"a value cannot end itself", "proxy: {http: \"http://u:a;b@p:3128\"}", true,
			"Acquire::http::Proxy \"http://u:a%3Bb@p:3128\";\nAcquire::https::Proxy \"http://u:a%3Bb@p:3128\";\n"},
	}
	for _, tt := range tests {
		t.Run(tt.rule, func(t *testing.T) {
			c := cloudWith(t, tt.more)
			if got := strings.TrimPrefix(aptProxy(c, c.Host("web1"), tt.proxy), header); got != tt.want {
				t.Errorf("got\n%s\nwant\n%s", got, tt.want)
			}
		})
	}
}

func TestAnHTTPSMirrorGoesThroughTheCacheByItsRemap(t *testing.T) {
	for in, want := range map[string]string{
		"https://m.example/debian": "http://HTTPS///m.example/debian",
		"http://m.example/debian":  "http://m.example/debian",
	} {
		if got := throughCache(in, true); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
		if got := throughCache(in, false); got != in {
			t.Errorf("without a cache: got %q, want %q", got, in)
		}
	}
}

func TestAPasswordOfTheProxyIsKeptOutOfPlans(t *testing.T) {
	c := cloudWith(t, `proxy: {http: "http://ops:secret@p:3128"}`)
	for _, it := range aptItems(c, c.Host("web1"), &Params{Proxy: true}) {
		if s, ok := it.Resource.(interface{ IsSensitive() bool }); !ok || !s.IsSensitive() {
			t.Errorf("%s is shown", it.Resource.Key())
		}
	}
}
