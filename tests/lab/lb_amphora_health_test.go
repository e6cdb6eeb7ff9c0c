package lab_test

import (
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os/exec"
	"testing"

	heart "github.com/updraft-cloud/updraft/internal/lb/amphora/beat"
	"github.com/updraft-cloud/updraft/internal/lb/model"
)

func TestAmphoraSeesHealth(t *testing.T) {
	b := newBalancing(t)
	a := b.amphora(1)
	s := a.scene()
	u := newUsers(t)
	_, _, pair := u.pair("member.example")
	secure := func(h *http.Server) {
		h.TLSConfig = &tls.Config{Certificates: []tls.Certificate{pair}}
	}
	status := func(code int) func(*http.Server) {
		return func(h *http.Server) {
			next := h.Handler
			h.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/health 'x'" && r.Host == "check.example" {
					w.WriteHeader(code)
					return
				}
				next.ServeHTTP(w, r)
			})
		}
	}
	ok, ill := b.web(10, status(204)), b.web(11, status(500))
	sure := b.webAt("tls", at(12, 443), secure)
	plain := b.webAt("plain", at(13, 443), nil)
	// What is dead answers on its monitor port, and the other way round.
	b.webAt("beside", at(14, 8080), nil)
	served := b.webAt("served", at(14, 80), nil)
	nobody := at(15, 80)   // an address that nobody listens on
	nowhere := at(250, 80) // an address that nobody has

	type expectation struct {
		member *model.Member
		status string
	}
	var want []expectation
	port := 8000
	pool := func(kind string, change func(*model.HealthMonitor)) *model.Pool {
		p := s.pool(model.ProtocolHTTP, model.RoundRobin)
		if kind != "" {
			m := s.monitor(p, kind)
			m.MaxRetriesDown = 2
			if change != nil {
				change(m)
			}
		}
		port++
		s.listener(model.ProtocolHTTP, port, p)
		return p
	}
	member := func(p *model.Pool, where netip.AddrPort, status string) *model.Member {
		m := s.member(p, where)
		want = append(want, expectation{m, status})
		return m
	}
	web := pool(model.MonitorHTTP, func(m *model.HealthMonitor) {
		m.URLPath, m.HTTPMethod, m.ExpectedCodes, m.HTTPVersion, m.DomainName = "/health%20'x'", "HEAD", "200-204,301", "1.1", "check.example"
	})
	member(web, ok.at, heart.Up)
	member(web, ill.at, heart.Down)
	member(web, nobody, heart.Down)
	secured := pool(model.MonitorHTTPS, nil)
	member(secured, sure.at, heart.Up)
	member(secured, plain.at, heart.Down)
	hello := pool(model.MonitorTLSHello, nil)
	member(hello, sure.at, heart.Up)
	member(hello, plain.at, heart.Down)
	tcp := pool(model.MonitorTCP, nil)
	member(tcp, ill.at, heart.Up)
	member(tcp, nobody, heart.Down)
	elsewhere := member(tcp, nobody, heart.Up)
	elsewhere.ProtocolPort, elsewhere.MonitorAddress, elsewhere.MonitorPort = 81, "10.77.0.14", 8080
	wrong := member(tcp, served.at, heart.Down)
	wrong.MonitorPort = 8081
	ping := pool(model.MonitorPing, nil)
	member(ping, ok.at, heart.Up)
	member(ping, netip.MustParseAddrPort("[fd77::10]:80"), heart.Up)
	lost := member(ping, nowhere, heart.Down)
	none := pool("", nil)
	member(none, ok.at, heart.NoCheck)
	a.apply(s)
	all := func(x *heart.Beat) bool {
		for _, e := range want {
			if x.Pools[e.member.PoolID].Members[e.member.ID] != e.status {
				return false
			}
		}
		return x.Version == s.place.Version
	}
	seen := a.heard("every monitor sees what is so", all)
	for _, p := range s.Pools {
		if seen.Pools[p.ID].Status != heart.Up {
			t.Errorf("a pool with members that are well is %+v", seen.Pools[p.ID])
		}
	}
	// No request comes to who is down, also right after a reload, when no check
	// was made yet.
	c := b.browser(nil)
	for range 3 {
		s.Listeners[0].TimeoutClientData += 1000
		a.apply(s)
		for url, only := range map[string]string{"http://10.77.0.100:8001/": "m10", "http://10.77.0.100:8005/": "m10"} {
			if got := b.spread(c, url, 4); names(got) != only {
				t.Errorf("%s was answered by %v", url, got)
			}
		}
	}
	a.heard("after the reloads, too", all)
	t.Run("a member comes back and goes", func(t *testing.T) {
		b.webAt("late", nobody, status(204))
		want[2].status, want[8].status = heart.Up, heart.Up
		a.heard("it is up", all)
		ok.stop()
		want[0].status = heart.Down
		a.heard("the other is down", all)
		if got := b.spread(c, "http://10.77.0.100:8001/", 4); names(got) != "late" {
			t.Errorf("answered by %v", got)
		}
	})
	t.Run("a ping is answered from now on", func(t *testing.T) {
		b.ip("members", "addr add 10.77.0.250/24 dev eth0")
		a.heard("it is up", func(x *heart.Beat) bool { return x.Pools[lost.PoolID].Members[lost.ID] == heart.Up })
	})
}

// echo answers datagrams with its name.
func (b *balancing) echo(n int) (netip.AddrPort, func()) {
	b.t.Helper()
	where := at(n, 53)
	return where, b.echoAt(fmt.Sprintf("m%d", n), where)
}

func (b *balancing) echoAt(name string, where netip.AddrPort) func() {
	b.t.Helper()
	conn, err := b.members.ListenPacket(b.t.Context(), "udp", where.String())
	if err != nil {
		b.t.Fatal(err)
	}
	go func() {
		buf := make([]byte, 100)
		for {
			n, from, err := conn.ReadFrom(buf)
			if err != nil {
				return
			}
			if n > 0 {
				_, _ = conn.WriteTo([]byte(name), from)
			}
		}
	}()
	b.t.Cleanup(func() { conn.Close() })
	return func() { conn.Close() }
}

// datagram asks once over UDP.
func (b *balancing) datagram(conn net.Conn) (string, error) {
	if err := conn.SetDeadline(soon()); err != nil {
		return "", err
	}
	if _, err := conn.Write([]byte("who")); err != nil {
		return "", err
	}
	buf := make([]byte, 100)
	n, err := conn.Read(buf)
	return string(buf[:n]), err
}

// flows asks over n flows and counts who answers.
func (b *balancing) flows(to string, n int) map[string]int {
	b.t.Helper()
	out := map[string]int{}
	for range n {
		conn, err := b.client.DialContext(b.t.Context(), "udp", to)
		if err != nil {
			b.t.Fatal(err)
		}
		who, err := b.datagram(conn)
		conn.Close()
		if err != nil {
			who = "nobody"
		}
		out[who]++
	}
	return out
}

func TestAmphoraForwardsUDP(t *testing.T) {
	b := newBalancing(t)
	a := b.amphora(1)
	s := a.scene()
	one, stopOne := b.echo(10)
	two, _ := b.echo(11)
	spare, _ := b.echo(12)
	six := netip.MustParseAddrPort("[fd77::10]:53")
	b.echoAt("six", six)
	add := func(port int, algorithm model.Algorithm, persist *model.SessionPersistence, members ...netip.AddrPort) (*model.Listener, []*model.Member) {
		p := s.pool(model.ProtocolUDP, algorithm)
		p.SessionPersistence = persist
		var out []*model.Member
		for _, m := range members {
			out = append(out, s.member(p, m))
		}
		return s.listener(model.ProtocolUDP, port, p), out
	}
	even, weighted := add(53, model.RoundRobin, nil, one, two, spare, six)
	weighted[1].Weight, weighted[2].Backup = 3, true
	checked := s.monitor(s.Pools[0], model.MonitorUDPConnect)
	checked.MaxRetriesDown = 2
	hour := 3600
	sticky, stuck := add(54, model.RoundRobin, &model.SessionPersistence{Type: model.PersistSourceIP, Timeout: &hour, Granularity: "255.255.255.0"}, one, two)
	add(55, model.SourceIP, nil, one, two)
	add(56, model.SourceIPPort, nil, one, two)
	closed, _ := add(57, model.RoundRobin, nil, one)
	closed.AllowedCIDRs = []string{"192.0.2.0/24", "192.0.2.128/25"}
	// What is checked, and which checks are not of UDP.
	web, webs := add(58, model.RoundRobin, nil, one, two)
	httpd := b.web(10, nil)
	m := s.monitor(s.Pools[len(s.Pools)-1], model.MonitorHTTP)
	m.URLPath = "/"
	for _, w := range webs {
		w.MonitorPort = 80
	}
	a.apply(s)

	if got := b.flows("10.77.0.100:53", 8); got["m10"] != 2 || got["m11"] != 6 {
		t.Errorf("weights 1 and 3: %v", got)
	}
	if got := b.flows("[fd77::100]:53", 2); got["six"] != 2 {
		t.Errorf("by IPv6: %v", got)
	}
	for port, most := range map[int]int{54: 1, 55: 1, 56: 2} {
		if got := b.flows(fmt.Sprintf("10.77.0.100:%d", port), 16); len(got) != most || got["nobody"] > 0 {
			t.Errorf("port %d: %v", port, got)
		}
	}
	a.heard("only one has the web server", func(x *heart.Beat) bool {
		p := x.Pools[web.DefaultPoolID]
		return p.Members[webs[0].ID] == heart.Up && p.Members[webs[1].ID] == heart.Down
	})
	if got := b.flows("10.77.0.100:58", 4); got["m10"] != 4 {
		t.Errorf("one is down by HTTP: %v", got)
	}
	counted := a.heard("flows are counted", func(x *heart.Beat) bool { return x.Listeners[even.ID].Total == 10 })
	if l := counted.Listeners[even.ID]; l.BytesIn == 0 || l.BytesOut == 0 || l.Active == 0 || l.Status != heart.Open {
		t.Errorf("counters %+v", l)
	}
	t.Run("a client that sends on comes to another member", func(t *testing.T) {
		conn, err := b.client.DialContext(t.Context(), "udp", "10.77.0.100:54")
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		who, err := b.datagram(conn)
		if err != nil {
			t.Fatal(err)
		}
		gone := map[string]*model.Member{"m10": stuck[0], "m11": stuck[1]}[who]
		for i, x := range s.Members {
			if x == gone {
				s.Members = append(s.Members[:i], s.Members[i+1:]...)
				break
			}
		}
		a.apply(s)
		next, err := b.datagram(conn)
		if err != nil || next == who {
			t.Errorf("after %s was removed, %q answers, %v", who, next, err)
		}
		// And stays there when the first is back.
		s.Members = append(s.Members, gone)
		a.apply(s)
		if got := b.flows("10.77.0.100:54", 8); got[next] != 8 {
			t.Errorf("its persistence was %s and is %v", next, got)
		}
	})
	t.Run("a member that is down gets nothing", func(t *testing.T) {
		httpd.stop()
		stopOne()
		a.heard("it is down", func(x *heart.Beat) bool {
			return x.Pools[even.DefaultPoolID].Members[weighted[0].ID] == heart.Down
		})
		if got := b.flows("10.77.0.100:53", 4); got["m11"] != 4 {
			t.Errorf("answered by %v", got)
		}
		weighted[1].AdminStateUp = false
		a.apply(s)
		if got := b.flows("10.77.0.100:53", 4); got["m12"] != 4 {
			t.Errorf("only the backup is left: %v", got)
		}
	})
	t.Run("a listener that is gone answers nobody", func(t *testing.T) {
		sticky.AdminStateUp = false
		a.apply(s)
		if got := b.flows("10.77.0.100:54", 1); got["nobody"] != 1 {
			t.Errorf("answered by %v", got)
		}
		if out, err := exec.Command("ip", "netns", "exec", b.prefix+a.name, "nft", "list", "table", "inet", "updraft").CombinedOutput(); err != nil || containsText(out, sticky.ID) {
			t.Errorf("%v: the rules of it are still there:\n%s", err, out)
		}
	})
	if got := b.flows("10.77.0.100:57", 1); got["nobody"] != 1 {
		t.Errorf("a client that is not allowed was answered by %v", got)
	}
}
