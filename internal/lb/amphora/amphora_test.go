package amphora_test

import (
	"encoding/json"
	"net/netip"
	"strings"
	"testing"

	"github.com/updraft-cloud/updraft/internal/lb/amphora"
)

func config() *amphora.Config {
	return &amphora.Config{
		Amphora: "a", LoadBalancer: "lb", Version: 1,
		VIPs: []amphora.VIP{{Address: netip.MustParseAddr("192.0.2.1"), Bits: 24, Interface: "eth0"}},
		HAProxy: &amphora.HAProxy{Head: "global\n", Listeners: []string{"l"}, Backends: []amphora.Backend{
			{Name: "p:l", Pool: "p", Text: "    mode tcp\n", Servers: []amphora.Server{
				{Name: "m", Address: netip.MustParseAddrPort("[2001:db8::1]:80"), Weight: 1, Options: []string{"check", "sni", "str(it's)"}},
				{Name: "n", Address: netip.MustParseAddrPort("192.0.2.9:80"), Weight: 0, Disabled: true},
			}},
		}},
		Files:    []amphora.File{amphora.Content([]byte("x"), ".pem")},
		Virtuals: []amphora.Virtual{{Listener: "v", Protocol: "udp", Port: 53, Addresses: []netip.Addr{netip.MustParseAddr("192.0.2.1")}}},
	}
}

func TestAConfigurationIsReadAsItWasWritten(t *testing.T) {
	data, err := json.Marshal(config())
	if err != nil {
		t.Fatal(err)
	}
	c, err := amphora.Decode(data)
	if err != nil || c.Digest() != config().Digest() {
		t.Errorf("%v: %s became %+v", err, data, c)
	}
	c.Version++
	if c.Digest() != config().Digest() {
		t.Error("the version is part of the digest")
	}
	c.Fenced = true
	if c.Digest() == config().Digest() {
		t.Error("the digest has not changed with the content")
	}
	if _, err := amphora.Decode([]byte(`{"amphora": "a", "shape": 1}`)); err == nil {
		t.Error("an unknown field was taken")
	}
}

func TestNothingBreaksOutOfWhatIsNoText(t *testing.T) {
	evil := netip.MustParseAddr("fe80::1%x; flush ruleset")
	for what, change := range map[string]func(*amphora.Config){
		"the zone of a VIP":      func(c *amphora.Config) { c.VIPs[0].Address, c.VIPs[0].Bits = evil, 64 },
		"the zone of a netmask":  func(c *amphora.Config) { c.Virtuals[0].Granularity = evil },
		"the zone of an address": func(c *amphora.Config) { c.Virtuals[0].Addresses[0] = evil },
		"the path of a check":    func(c *amphora.Config) { c.Virtuals[0].Check = &amphora.Check{Path: "/ HTTP/1.1\r\nX: y"} },
		"the host of a check":    func(c *amphora.Config) { c.Virtuals[0].Check = &amphora.Check{Host: "a\nb"} },
		"the method of a check":  func(c *amphora.Config) { c.Virtuals[0].Check = &amphora.Check{Method: "GET\n"} },
		"the path of a ping check": func(c *amphora.Config) {
			c.Probes = []amphora.Probe{{Backend: "b", Server: "s", Monitor: netip.MustParseAddrPort("192.0.2.1:1"), Check: amphora.Check{Path: "\n"}}}
		},
	} {
		c := config()
		change(c)
		if c.Validate() == nil {
			t.Errorf("%s was taken", what)
		}
	}
}

func TestTheWholeFile(t *testing.T) {
	const want = `global

backend p:l
    mode tcp
    server m [2001:db8::1]:80 weight 1 check sni 'str(it'\''s)'
    server n 192.0.2.9:80 weight 0 disabled
`
	if got := config().HAProxy.Text(); got != want {
		t.Errorf("got\n%s", got)
	}
}

func TestWhatCouldTouchOtherThingsIsRefused(t *testing.T) {
	for want, change := range map[string]func(*amphora.Config){
		"amphora id":   func(c *amphora.Config) { c.Amphora = "../a" },
		"file name":    func(c *amphora.Config) { c.Files[0].Name = "../../etc/passwd" },
		"interface":    func(c *amphora.Config) { c.VIPs[0].Interface = "eth0 }" },
		"/33":          func(c *amphora.Config) { c.VIPs[0].Bits = 33 },
		"backend name": func(c *amphora.Config) { c.HAProxy.Backends[0].Name = "a\nb" },
		"server":       func(c *amphora.Config) { c.HAProxy.Backends[0].Servers[0].Name = "a; quit" },
		"control":      func(c *amphora.Config) { c.HAProxy.Backends[0].Servers[0].Options[0] = "a\nb" },
		"protocol":     func(c *amphora.Config) { c.Virtuals[0].Protocol = "udp drop" },
		"name of":      func(c *amphora.Config) { c.Virtuals[0].Listener = "v }" },
		"port 0":       func(c *amphora.Config) { c.Virtuals[0].Port = 0 },
		"address fe80": func(c *amphora.Config) { c.Virtuals[0].Addresses[0] = netip.MustParseAddr("fe80::1%eth0") },
		"the probe":    func(c *amphora.Config) { c.Probes = []amphora.Probe{{Backend: "b", Server: "s"}} },
		`member "m m"`: func(c *amphora.Config) { c.Virtuals[0].Targets = []amphora.Target{{Member: "m m"}} },
	} {
		c := config()
		change(c)
		if err := c.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q was expected, not %v", want, err)
		}
	}
	if err := config().Validate(); err != nil {
		t.Error(err)
	}
}

func TestQuotes(t *testing.T) {
	for in, want := range map[string]string{
		"": "''", "plain-1.2:3/4": "plain-1.2:3/4", "two words": "'two words'", "it's": `'it'\''s'`, `back\slash`: `'back\slash'`, "$HOME": "'$HOME'", "# no": "'# no'", "a;b": "'a;b'", `"`: `'"'`,
	} {
		if got := amphora.Quote(in); got != want {
			t.Errorf("%q became %s and not %s", in, got, want)
		}
	}
	for in, want := range map[string]string{"X-Name_1.2": "X-Name_1.2", "a,b": `"a,b"`, `a"\`: `"a\"\\"`} {
		if got := amphora.QuoteArg(in); got != want {
			t.Errorf("argument %q became %s and not %s", in, got, want)
		}
	}
	if got := amphora.LogFormat("%[src] 5%"); got != "%%[src] 5%%" {
		t.Errorf("format %s", got)
	}
}

func virtuals(persist int, members ...string) []amphora.Virtual {
	v := amphora.Virtual{Listener: "l", Protocol: "udp", Port: 53, Addresses: []netip.Addr{netip.MustParseAddr("192.0.2.1")}, Persist: persist, Algorithm: "ROUND_ROBIN"}
	for i, m := range members {
		v.Targets = append(v.Targets, amphora.Target{Member: m, Address: netip.AddrPortFrom(netip.AddrFrom4([4]byte{198, 51, 100, byte(i + 1)}), 53), Weight: 1})
	}
	return []amphora.Virtual{v}
}

func TestRulesChangeInPlace(t *testing.T) {
	well := func(string, string) bool { return true }
	for _, tc := range []struct {
		rule     string
		from, to []amphora.Virtual
		has, not string
	}{
		{"at first the table is made anew", nil, virtuals(0, "a"), "delete table inet updraft", "flush"},
		{"then it stays", virtuals(60, "a"), virtuals(60, "a", "b"), "flush table inet updraft\ntable", "delete map"},
		{"a member that is gone", virtuals(0, "a", "b"), virtuals(0, "a"), "delete chain inet updraft m-", "delete table"},
		{"another time of persistence", virtuals(60, "a"), virtuals(61, "a"), "delete map inet updraft p-ip-l", "delete chain"},
		{"a virtual that is gone", virtuals(60, "a"), nil, "delete counter inet updraft in-l", "dport"},
		{"none is left", nil, virtuals(0), "        drop\n", "numgen"},
	} {
		got := amphora.Ruleset(tc.from, tc.to, well)
		if !strings.Contains(got, tc.has) || strings.Contains(got, tc.not) {
			t.Errorf("%s: %q but not %q in\n%s", tc.rule, tc.has, tc.not, got)
		}
	}
}

func TestBackupsServeOnlyWhenNobodyElseDoes(t *testing.T) {
	v := virtuals(0, "a", "b", "c", "d")[0]
	v.Targets[1].Backup, v.Targets[2].Disabled, v.Targets[3].Weight = true, true, 0
	four := func(a netip.Addr) bool { return a.Is4() }
	for down, want := range map[string]string{"": "a", "a": "b", "a b": ""} {
		var got []string
		for _, x := range v.Active(four, func(_, m string) bool { return !strings.Contains(down, m) }) {
			got = append(got, x.Member)
		}
		if strings.Join(got, " ") != want {
			t.Errorf("with %q down: %q and not %q", down, got, want)
		}
	}
}

func FuzzDecode(f *testing.F) {
	data, err := json.Marshal(config())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := amphora.Decode(data)
		if err != nil {
			return
		}
		again, err := json.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := amphora.Decode(again); err != nil {
			t.Errorf("%s was taken, and then not: %v", data, err)
		}
		for line := range strings.Lines(amphora.Ruleset(nil, c.Virtuals, func(string, string) bool { return true })) {
			if strings.ContainsAny(line, ";#\"") && !strings.Contains(line, "policy accept;") && !strings.Contains(line, "size 65536;") {
				t.Errorf("%q came into the rules", line)
			}
		}
	})
}
