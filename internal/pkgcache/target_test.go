package pkgcache

import (
	"net/url"
	"reflect"
	"regexp"
	"strings"
	"testing"
)

func mustTarget(t *testing.T, s string) target {
	t.Helper()
	u, err := url.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	out, bad := parseTarget(u)
	if bad != nil {
		t.Fatalf("%s: %s", s, bad.text)
	}
	return out
}

func TestTargets(t *testing.T) {
	tests := []struct{ rule, in, name string }{
		{"as it is", "http://mirror.example.org/debian/a.deb", "http://mirror.example.org/debian/a.deb"},
		{"host without case, dot and own port", "http://MIRROR.example.org.:80/a", "http://mirror.example.org/a"},
		{"another port stays", "http://m.example:8080/a", "http://m.example:8080/a"},
		{"needless escapes go", "http://m.example/g%2b%2B%7e", "http://m.example/g++~"},
		{"an escaped slash is no separator", "http://m.example/a%2fb", "http://m.example/a%2fb"},
		{"a query counts", "http://m.example/m?repo=a&arch=b", "http://m.example/m?repo=a&arch=b"},
		{"flat repositories ask by a dot", "http://m.example/./InRelease", "http://m.example/./InRelease"},
		{"remap", "http://HTTPS///m.example/a%2bb?q", "https://m.example/a+b?q"},
		{"remap with one slash and a port", "http://https/m.example:444/a", "https://m.example:444/a"},
		{"remap with own port", "http://HTTPS///m.example:443/a", "https://m.example/a"},
		{"IPv6", "http://[2001:DB8::1]:80/a", "http://[2001:db8::1]/a"},
		{"no path", "http://m.example", "http://m.example/"},
	}
	for _, tt := range tests {
		t.Run(tt.rule, func(t *testing.T) {
			if got := mustTarget(t, tt.in).name; got != tt.name {
				t.Errorf("got %s, want %s", got, tt.name)
			}
		})
	}
}

func TestAllowedHosts(t *testing.T) {
	hosts := []string{"deb.example", "port.example:8080", "*.wild.example", "[2001:db8::1]", "tls.example:443"}
	for in, want := range map[string]bool{
		"http://deb.example/":           true,
		"https://deb.example/":          true,
		"http://DEB.example.:80/":       true,
		"http://deb.example:443/":       true,
		"http://deb.example:22/":        false,
		"http://xdeb.example/":          false,
		"http://deb.example.evil/":      false,
		"http://port.example:8080/":     true,
		"http://port.example/":          false,
		"http://a.wild.example/":        true,
		"http://a.b.wild.example/":      true,
		"http://wild.example/":          false,
		"http://evilwild.example/":      false,
		"http://[2001:db8::1]/":         true,
		"http://[2001:db8::2]/":         false,
		"http://HTTPS///tls.example/x":  true,
		"http://tls.example/":           false,
		"http://HTTPS///evil.example/x": false,
	} {
		if got := allows(hosts, mustTarget(t, in).url); got != want {
			t.Errorf("%s: %v, want %v", in, got, want)
		}
	}
}

func TestHostsOf(t *testing.T) {
	got := HostsOf("http://mirror.example.org/debian", "https://b.example:8443/x", "http://mirror.example.org/security", "file:///srv", "%")
	if want := []string{"b.example:8443", "mirror.example.org"}; !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestImmutable(t *testing.T) {
	for in, want := range map[string]bool{
		"/debian/pool/main/a/a_1.deb":                            true,
		"/debian/pool/main/a/a_1.dsc":                            true,
		"/x/a.udeb":                                              true,
		"/x/a-1.x86_64.rpm":                                      true,
		"/x/drpms/a.drpm":                                        true,
		"/d/dists/t/main/binary-amd64/by-hash/SHA256/aa":         true,
		"/r/repodata/" + strings.Repeat("a", 64) + "-pri.xml.gz": true,
		"/r/repodata/repomd.xml":                                 false,
		"/r/repodata/primary.xml.gz":                             false,
		"/d/dists/t/InRelease":                                   false,
		"/d/dists/t/main/binary-amd64/Packages.xz":               false,
		"/a.deb?version=2":                                       false,
	} {
		if got := immutable(mustTarget(t, "http://m.example"+in)); got != want {
			t.Errorf("%s: %v, want %v", in, got, want)
		}
	}
}

var hexKey = regexp.MustCompile(`^[0-9a-f]{64}$`)

func FuzzParseTarget(f *testing.F) {
	for _, s := range []string{
		"http://mirror.example.org/debian/pool/a%2bb.deb?x=1", "http://HTTPS///host:443//a/./b", "http://a@b/", "http://[::1%25eth0]/",
		"http://HTTPS///a@b/c", "http://HTTPS///a?b#c", "http://h/%2e%2e/%00", "http://h:99999/", "http:opaque", "http://https/%68ost/x",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		u, err := url.ParseRequestURI(s)
		if err != nil {
			return
		}
		got, bad := parseTarget(u)
		if bad != nil {
			if bad.status < 400 || bad.text == "" {
				t.Errorf("refused with %d %q", bad.status, bad.text)
			}
			return
		}
		if !hexKey.MatchString(got.key) {
			t.Errorf("key %q", got.key)
		}
		if got.url.User != nil || got.url.Host == "" || strings.ContainsAny(got.url.Host, "/@?#\\ %") {
			t.Errorf("host %q of %q", got.url.Host, s)
		}
		// The canonical name means the same object, also to another reader.
		again, err := url.Parse(got.name)
		if err != nil {
			t.Fatalf("name %q: %v", got.name, err)
		}
		if same, bad := parseTarget(again); bad != nil || same.name != got.name {
			t.Errorf("%q: name %q reads as %q, %v", s, got.name, same.name, bad)
		}
	})
}
