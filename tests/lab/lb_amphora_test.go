package lab_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/netip"
	"strings"
	"testing"

	"github.com/updraft-cloud/updraft/internal/lb/amphora"
	heart "github.com/updraft-cloud/updraft/internal/lb/amphora/beat"
	"github.com/updraft-cloud/updraft/internal/lb/model"
)

func TestAmphoraSpreadsRequests(t *testing.T) {
	b := newBalancing(t)
	a := b.amphora(1)
	s := a.scene()
	one, two, spare := b.web(10, nil), b.web(11, nil), b.web(12, nil)
	pool := s.pool(model.ProtocolHTTP, model.RoundRobin)
	s.listener(model.ProtocolHTTP, 80, pool)
	first, second := s.member(pool, one.at), s.member(pool, two.at)
	reserve := s.member(pool, spare.at)
	reserve.Backup = true
	if done := a.apply(s); done.By != amphora.ByStart {
		t.Errorf("first configuration: %+v", done)
	}
	c := b.browser(nil)
	if got := b.spread(c, "http://10.77.0.100/", 8); got["m10"] != 4 || got["m11"] != 4 {
		t.Errorf("round robin: %v", got)
	}
	if got := b.spread(c, "http://[fd77::100]/", 4); got["m10"] != 2 || got["m11"] != 2 {
		t.Errorf("by IPv6: %v", got)
	}
	second.Weight = 3
	if done := a.apply(s); done.By != amphora.ByRuntime {
		t.Errorf("another weight: %+v", done)
	}
	if got := b.spread(c, "http://10.77.0.100/", 8); got["m10"] != 2 || got["m11"] != 6 {
		t.Errorf("weights 1 and 3: %v", got)
	}
	second.Weight = 0
	a.apply(s)
	if got := b.spread(c, "http://10.77.0.100/", 4); names(got) != "m10" {
		t.Errorf("one drains: %v", got)
	}
	first.AdminStateUp = false
	if done := a.apply(s); done.By != amphora.ByRuntime {
		t.Errorf("a member disabled: %+v", done)
	}
	if got := b.spread(c, "http://10.77.0.100/", 4); names(got) != "m12" {
		t.Errorf("only the backup is left: %v", got)
	}
	heard := a.heard("all requests were counted", func(x *heart.Beat) bool {
		return x.Version == s.place.Version && x.Listeners[s.Listeners[0].ID].Total == 28
	})
	if m := heard.Pools[pool.ID].Members; m[first.ID] != heart.Maint || m[second.ID] != heart.Drain || m[reserve.ID] != heart.NoCheck || !heard.Holds {
		t.Errorf("a beat says %+v", heard)
	}
	if l := heard.Listeners[s.Listeners[0].ID]; l.Status != heart.Open || l.BytesIn == 0 || l.BytesOut == 0 {
		t.Errorf("counters: %+v", l)
	}
}

func TestAmphoraKeepsClientsWithTheirMember(t *testing.T) {
	b := newBalancing(t)
	a := b.amphora(1)
	s := a.scene()
	var members []backend
	for i := range 3 {
		members = append(members, b.web(10+i, nil))
	}
	port := 8000
	listen := func(kind model.Algorithm, persist *model.SessionPersistence) string {
		port++
		pool := s.pool(model.ProtocolHTTP, kind)
		pool.SessionPersistence = persist
		for _, m := range members {
			s.member(pool, m.at)
		}
		s.listener(model.ProtocolHTTP, port, pool)
		return fmt.Sprintf("http://10.77.0.100:%d/", port)
	}
	bySource := listen(model.SourceIP, nil)
	bySourcePort := listen(model.SourceIPPort, nil)
	byLeast := listen(model.LeastConnections, nil)
	sticky := listen(model.RoundRobin, &model.SessionPersistence{Type: model.PersistSourceIP})
	cookie := listen(model.RoundRobin, &model.SessionPersistence{Type: model.PersistHTTPCookie})
	app := listen(model.RoundRobin, &model.SessionPersistence{Type: model.PersistAppCookie, CookieName: "JSESSION'x"})
	a.apply(s)
	c := b.browser(nil)
	for _, tc := range []struct {
		rule, url string
		most      int
	}{{"SOURCE_IP", bySource, 1}, {"persistence by source IP", sticky, 1}, {"LEAST_CONNECTIONS", byLeast, 3}, {"SOURCE_IP_PORT", bySourcePort, 3}} {
		if got := b.spread(c, tc.url, 12); len(got) > tc.most || tc.most == 3 && len(got) < 2 {
			t.Errorf("%s: %v", tc.rule, got)
		}
	}
	if got := b.spread(c, cookie, 6); len(got) != 3 {
		t.Errorf("without the cookie: %v", got)
	}
	jar, _ := cookiejar.New(nil)
	c.Jar = jar
	if got := b.spread(c, cookie, 9); len(got) != 1 {
		t.Errorf("with HAProxy's cookie: %v", got)
	}
	c.Jar = nil
	_, first := b.must(c, app+"?cookie=JSESSION'x")
	for range 6 {
		if _, again := b.must(c, app, "Cookie: JSESSION'x="+first.Member+"-session"); again.Member != first.Member {
			t.Errorf("the session of %s came to %s", first.Member, again.Member)
		}
	}
}

func TestAmphoraFollowsL7Policies(t *testing.T) {
	b := newBalancing(t)
	a := b.amphora(1)
	s := a.scene()
	fallback := s.pool(model.ProtocolHTTP, model.RoundRobin)
	s.member(fallback, b.web(10, nil).at)
	l := s.listener(model.ProtocolHTTP, 80, fallback)
	other := s.pool(model.ProtocolHTTP, model.RoundRobin)
	s.member(other, b.web(11, nil).at)
	rule := func(kind, compare, key, value string) *model.L7Rule {
		return &model.L7Rule{Type: kind, CompareType: compare, Key: key, Value: value}
	}
	not := func(r *model.L7Rule) *model.L7Rule { r.Invert = true; return r }
	toPool := func(rules ...*model.L7Rule) {
		s.policy(l, model.ActionRedirectToPool, rules...).RedirectPoolID = other.ID
	}
	s.policy(l, model.ActionReject, rule(model.RulePath, model.CompareStartsWith, "", "/forbidden"))
	url := s.policy(l, model.ActionRedirectToURL, rule(model.RulePath, model.CompareEqualTo, "", "/old"))
	url.RedirectURL, url.RedirectHTTPCode = "http://example.com/%5Bsrc%5D?a=1&b='x'", 301
	prefix := s.policy(l, model.ActionRedirectPrefix, rule(model.RuleHostName, model.CompareEndsWith, "", ".moved.example"))
	prefix.RedirectPrefix = "https://new.example"
	toPool(rule(model.RuleHostName, model.CompareEqualTo, "", "api.example"))
	toPool(rule(model.RulePath, model.CompareRegex, "", "^/v[0-9]+/.*$"))
	toPool(rule(model.RuleFileType, model.CompareEqualTo, "", "jpg"))
	toPool(rule(model.RuleFileType, model.CompareRegex, "", "gif|png"))
	toPool(rule(model.RuleHeader, model.CompareContains, "X-Kind", "two words"), rule(model.RuleHeader, model.CompareStartsWith, "X-Other", "-m"))
	toPool(rule(model.RuleCookie, model.CompareEqualTo, "who", `a"b'c\d`))
	toPool(rule(model.RulePath, model.CompareStartsWith, "", "/inverted"), not(rule(model.RuleHeader, model.CompareEqualTo, "X-No", "yes")))
	a.apply(s)
	c := b.browser(nil)
	const at = "http://10.77.0.100"
	for _, tc := range []struct {
		rule, path string
		headers    []string
		status     int
		member     string
		location   string
	}{
		{"nothing matches", "/", nil, 200, "m10", ""},
		{"reject", "/forbidden/x", nil, 403, "", ""},
		{"redirect to URL", "/old", nil, 301, "", "http://example.com/%5Bsrc%5D?a=1&b='x'"},
		{"redirect prefix", "/path?q=1", []string{"Host: a.moved.example"}, 302, "", "https://new.example/path?q=1"},
		{"host name in other case, with a port", "/", []string{"Host: API.example:80"}, 200, "m11", ""},
		{"path by regular expression", "/v2/x", nil, 200, "m11", ""},
		{"file type", "/a.jpg?x=.gif", nil, 200, "m11", ""},
		{"file type by regular expression", "/a.png", nil, 200, "m11", ""},
		{"no file type", "/png", nil, 200, "m10", ""},
		{"two rules, both", "/", []string{"X-Kind: has two words in", "X-Other: -m is no flag"}, 200, "m11", ""},
		{"two rules, one", "/", []string{"X-Kind: has two words in"}, 200, "m10", ""},
		{"cookie with special characters", "/", []string{`Cookie: who=a"b'c\d`}, 200, "m11", ""},
		{"inverted", "/inverted", nil, 200, "m11", ""},
		{"inverted, not matching", "/inverted", []string{"X-No: yes"}, 200, "m10", ""},
	} {
		res, got := b.must(c, at+tc.path, tc.headers...)
		if res.StatusCode != tc.status || got.Member != tc.member || res.Header.Get("Location") != tc.location {
			t.Errorf("%s: %d from %q to %q", tc.rule, res.StatusCode, got.Member, res.Header.Get("Location"))
		}
	}
}

func TestAmphoraInsertsHeadersAndKeepsOthersOut(t *testing.T) {
	b := newBalancing(t)
	a := b.amphora(1)
	s := a.scene()
	pool := s.pool(model.ProtocolHTTP, model.RoundRobin)
	s.member(pool, b.web(10, nil).at)
	l := s.listener(model.ProtocolHTTP, 80, pool)
	l.InsertHeaders = map[string]string{
		"X-Forwarded-For": "true", "X-Forwarded-Port": "true", "X-Forwarded-Proto": "true", "X-Forwarded-IP": "true", "X-Client-IP": "true", "X-Real-IP": "false",
	}
	closed := s.listener(model.ProtocolHTTP, 81, pool)
	closed.AllowedCIDRs = []string{"192.0.2.0/24", "2001:db8::/32"}
	open := s.listener(model.ProtocolTCP, 82, pool)
	open.AllowedCIDRs = []string{"192.0.2.0/24", "10.77.0.0/16"}
	s.listener(model.ProtocolPrometheus, 83, nil)
	a.apply(s)
	c := b.browser(nil)
	_, got := b.must(c, "http://10.77.0.100/")
	for name, want := range map[string]string{
		"X-Forwarded-For": "10.77.0.200", "X-Forwarded-Port": "80", "X-Forwarded-Proto": "http", "X-Forwarded-Ip": "10.77.0.200", "X-Client-Ip": "10.77.0.200", "X-Real-Ip": "",
	} {
		if got.Header.Get(name) != want {
			t.Errorf("%s is %q and not %q", name, got.Header.Get(name), want)
		}
	}
	if _, _, err := b.get(c, "http://10.77.0.100:81/"); err == nil {
		t.Error("a client that is not allowed was answered")
	}
	if _, got := b.must(c, "http://10.77.0.100:82/"); got.Member != "m10" {
		t.Error("a client that is allowed was not answered")
	}
	if res, _ := b.must(c, "http://10.77.0.100:83/metrics"); res.StatusCode != http.StatusOK {
		t.Errorf("metrics: %d", res.StatusCode)
	}
	if res, _ := b.must(c, "http://10.77.0.100:83/"); res.StatusCode != http.StatusNotFound {
		t.Errorf("beside the metrics: %d", res.StatusCode)
	}
}

func TestAmphoraTellsMembersWhoAsks(t *testing.T) {
	b := newBalancing(t)
	a := b.amphora(1)
	s := a.scene()
	for port, protocol := range map[int]model.Protocol{10: model.ProtocolProxy, 11: model.ProtocolProxyV2, 12: model.ProtocolTCP} {
		pool := s.pool(protocol, model.RoundRobin)
		s.member(pool, at(10, port))
		s.listener(model.ProtocolTCP, port, pool)
	}
	silent := s.pool(model.ProtocolTCP, model.RoundRobin)
	s.member(silent, at(10, 14))
	limited := s.listener(model.ProtocolTCP, 13, silent)
	limited.ConnectionLimit = 1
	a.apply(s)
	first := func(port int) (string, net.Conn) {
		t.Helper()
		l, err := b.members.Listen(t.Context(), "tcp", at(10, port).String())
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		conn, err := b.client.DialContext(t.Context(), "tcp", fmt.Sprintf("10.77.0.100:%d", port))
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprint(conn, "hello")
		got, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer got.Close()
		buf := make([]byte, 1000)
		_ = got.SetDeadline(soon())
		n, _ := io.ReadAtLeast(got, buf, 5)
		return string(buf[:n]), conn
	}
	for port, want := range map[int]string{10: "PROXY TCP4 10.77.0.200 10.77.0.100 ", 11: "\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c\x0a\x4d\x00\xc8\x0a\x4d\x00\x64", 12: "hello"} {
		got, conn := first(port)
		conn.Close()
		if !strings.HasPrefix(got, want) {
			t.Errorf("port %d: %q does not begin with %q", port, got, want)
		}
	}
	sink, err := b.members.Listen(t.Context(), "tcp", at(10, 14).String())
	if err != nil {
		t.Fatal(err)
	}
	defer sink.Close()
	conn, err := b.client.DialContext(t.Context(), "tcp", "10.77.0.100:13")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	a.heard("the listener is full", func(x *heart.Beat) bool { return x.Listeners[limited.ID].Status == heart.Full })
}

func at(n, port int) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 77, 0, byte(n)}), uint16(port))
}
