package agent

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/updraft-cloud/updraft/internal/lb/amphora"
	"github.com/updraft-cloud/updraft/internal/lb/amphora/beat"
	"github.com/updraft-cloud/updraft/internal/secret/pki"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestTheNextProcessKnowsHealthAndNothingElse(t *testing.T) {
	const head = "1\n# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_uweight srv_iweight srv_time\n"
	dump := head +
		"3 p:l 1 up 192.0.2.1 2 0 5 1 9\n" + // its weight was set at run time
		"3 p:l 2 down 192.0.2.2 0 0 1 1 9\n" +
		"3 p:l 3 maint 192.0.2.3 0 1 1 1 9\n" + // it is enabled now
		"3 p:l 4 disabled 192.0.2.4 2 0 1 1 9\n" + // and this one disabled
		"3 p:l 5 gone 192.0.2.5 2 0 1 1 9\n" +
		"3 p:l 6 probed 192.0.2.6 0 0 1 1 9\n" // by the agent
	check := []string{"check"}
	to := &amphora.HAProxy{Backends: []amphora.Backend{{Name: "p:l", Servers: []amphora.Server{
		{Name: "up", Weight: 7, Options: check}, {Name: "down", Weight: 1, Options: check}, {Name: "maint", Weight: 1, Options: check},
		{Name: "disabled", Weight: 1, Options: check, Disabled: true}, {Name: "probed", Weight: 1},
	}}}}
	want := head + "3 p:l 1 up 192.0.2.1 2 0 7 7 9\n3 p:l 2 down 192.0.2.2 0 0 1 1 9\n"
	if diff := cmp.Diff(want, serverState(dump, to)); diff != "" {
		t.Error(diff)
	}
}

func TestCountersAddUpOverProcesses(t *testing.T) {
	var all totals
	all.add("1", "l", count{in: 10, out: 20, total: 2, errors: 1})
	all.add("1", "l", count{in: 15, out: 30, total: 3, errors: 1})
	all.add("2", "l", count{in: 1, out: 1, total: 1}) // after a reload
	all.add("1", "l", count{in: 16, out: 31, total: 3, errors: 1})
	all.add("2", "l", count{in: 0, out: 5, total: 1}) // another process that got the number
	if got, want := all.Sum["l"], (beat.Counters{BytesIn: 17, BytesOut: 37, Total: 5, Errors: 1}); got != want {
		t.Errorf("%+v and not %+v", got, want)
	}
	data, err := json.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}
	var back totals
	if err := json.Unmarshal(data, &back); err != nil || !cmp.Equal(all, back) {
		t.Errorf("%s became %+v, %v", data, back, err)
	}
	all.keep(map[string]bool{"2": true}, map[string]bool{"l": true})
	if len(all.Last) != 1 || len(all.Sum) != 1 {
		t.Errorf("kept: %+v", all)
	}
	all.keep(nil, nil)
	if len(all.Last)+len(all.Sum) != 0 {
		t.Errorf("kept: %+v", all)
	}
}

func TestStatusesOfServers(t *testing.T) {
	answer := "# pxname,svname,scur,status,\np:l,a,1,UP 1/3,\np:l,b,,DOWN 2/2,\np:l,c,,no check,\np:l,d,,MAINT (via x),\np:l,e,,DRAIN,\n\n"
	seen := map[string]row{}
	for _, r := range rows(answer) {
		seen[r["svname"]] = r
	}
	if seen["a"].number("scur") != 1 || seen["b"].number("scur") != 0 || len(rows("nonsense")) != 0 {
		t.Errorf("rows %v", seen)
	}
	a := &Agent{health: newHealth(t.Context(), nil, nil)}
	for name, want := range map[string]string{"a": beat.Up, "b": beat.Down, "c": beat.NoCheck, "d": beat.Maint, "e": beat.Drain} {
		if got := a.member(amphora.Backend{Name: "p:l"}, amphora.Server{Name: name, Weight: 1}, seen[name]); got != want {
			t.Errorf("%s is %s and not %s", name, got, want)
		}
	}
	if got := a.member(amphora.Backend{}, amphora.Server{Weight: 0}, row{"status": "UP"}); got != beat.Drain {
		t.Errorf("without a weight it is %s", got)
	}
}

func TestExpectedCodes(t *testing.T) {
	for list, want := range map[string]bool{"200": false, "204": true, "200,204": true, "200-299": true, "300-399": false, "205-210,204": true, "x": false, "": false} {
		if expected(204, list) != want {
			t.Errorf("204 in %q", list)
		}
	}
}

func TestChecks(t *testing.T) {
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Host != "name.example" || r.Proto != "HTTP/1.1" || r.Method != http.MethodHead || r.URL.Path != "/well" {
			w.WriteHeader(http.StatusTeapot)
		}
	}))
	defer web.Close()
	udp, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	at := netip.MustParseAddrPort(udp.LocalAddr().String())
	check := amphora.Check{Type: "HTTP", TimeoutMS: 5000, Method: http.MethodHead, Path: "/well", Host: "name.example", Expect: "200"}
	where := netip.MustParseAddrPort(web.Listener.Addr().String())
	if err := look(t.Context(), where, check); err != nil {
		t.Error(err)
	}
	check.HTTP10 = true
	if err := look(t.Context(), where, check); err == nil || !strings.Contains(err.Error(), "418") {
		t.Errorf("another version: %v", err)
	}
	if err := look(t.Context(), where, amphora.Check{Type: "TCP", TimeoutMS: 5000}); err != nil {
		t.Error(err)
	}
	if err := look(t.Context(), at, amphora.Check{Type: "UDP-CONNECT", TimeoutMS: 50}); err != nil {
		t.Errorf("who is silent is well, not %v", err)
	}
	udp.Close()
	if err := look(t.Context(), at, amphora.Check{Type: "UDP-CONNECT", TimeoutMS: 5000}); err == nil {
		t.Error("who is not there is well")
	}
}

func TestHealthTakesSomeInARow(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	at := netip.MustParseAddrPort(l.Addr().String())
	changes := make(chan bool, 10)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var h *health
	acting := make(chan bool)
	told := make(chan bool, 10)
	h = newHealth(ctx, func(_ watched, up bool) { changes <- up; <-acting }, func() { told <- h.inEffect("l", "m") })
	w := watched{"l", "m", at, amphora.Check{Type: "TCP", DelayMS: 1, TimeoutMS: 5000, Rise: 2, Fall: 3}}
	h.watch([]watched{w})
	if !h.up("l", "m") || !h.up("l", "other") || !h.watches("l", "m") || h.watches("l", "other") {
		t.Error("until it was seen it is well")
	}
	l.Close()
	if up := <-changes; up || h.up("l", "m") {
		t.Error("it is not seen to be down")
	}
	if !h.inEffect("l", "m") {
		t.Error("it is told before it was acted on")
	}
	acting <- true
	if <-told {
		t.Error("it was acted on and is not told")
	}
	if l, err = net.Listen("tcp", at.String()); err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if up := <-changes; !up {
		t.Error("it is not seen to be up")
	}
	acting <- true
	if !<-told {
		t.Error("it is not told to be up")
	}
	h.watch(nil)
	if h.watches("l", "m") {
		t.Error("it is still watched")
	}
}

func boot(t *testing.T) (Boot, pki.Authority) {
	t.Helper()
	ca, err := pki.NewAuthority("ca", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	cert, key, err := ca.Issue("a", []string{"a"}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return Boot{AmphoraID: "a", Certificate: cert, Key: key, Authority: ca.Cert, Dir: t.TempDir(), HAProxy: "/bin/true"}, ca
}

func TestWhatTheAgentIsStartedWith(t *testing.T) {
	b, _ := boot(t)
	b.Dir = ""
	path := filepath.Join(t.TempDir(), "boot.json")
	write := func() {
		data, err := json.Marshal(b)
		if err == nil {
			err = os.WriteFile(path, data, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	write()
	got, err := Load(path)
	if err != nil || got.Dir != filepath.Dir(path) || got.Listen != ":9443" || got.NFT == "" {
		t.Errorf("%+v, %v", got, err)
	}
	b.Key = ""
	write()
	if _, err := Load(path); err == nil || !strings.Contains(err.Error(), "must be given") {
		t.Errorf("without a key: %v", err)
	}
	if _, err := Load(path + "x"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("without a file: %v", err)
	}
}

func TestIdentityIsTheLatest(t *testing.T) {
	b, ca := boot(t)
	i, err := newIdentity(b)
	if err != nil {
		t.Fatal(err)
	}
	cert, key, err := ca.Issue("a", []string{"a"}, time.Now().Add(-time.Hour)) // the clock was set back since the start
	if err != nil {
		t.Fatal(err)
	}
	if err := i.rotate(amphora.Identity{Certificate: cert, Key: key, Authority: ca.Cert}); err != nil {
		t.Fatal(err)
	}
	again, err := newIdentity(b)
	if err != nil || !again.now.Load().certificate.Leaf.Equal(i.now.Load().certificate.Leaf) {
		t.Errorf("the next agent has not what was handed over: %v", err)
	}
	started := b
	if started.Certificate, started.Key, err = ca.Issue("a", []string{"a"}, time.Now()); err != nil {
		t.Fatal(err)
	}
	if anew, err := newIdentity(started); err != nil || anew.now.Load().certificate.Leaf.Equal(i.now.Load().certificate.Leaf) {
		t.Errorf("an agent that was started with another identity has what was handed over before: %v", err)
	}
	other, otherKey, err := ca.Issue("b", []string{"b"}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	for want, id := range map[string]amphora.Identity{
		`certificate of "b"`:    {Certificate: other, Key: otherKey, Authority: ca.Cert},
		"authority":             {Certificate: cert, Key: key, Authority: "none"},
		"the agent's certifica": {Certificate: cert, Key: otherKey, Authority: ca.Cert},
	} {
		if err := i.rotate(id); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q was expected, not %v", want, err)
		}
	}
}

func TestStartsAreCounted(t *testing.T) {
	b, _ := boot(t)
	var last uint64
	for range 3 {
		a, err := New(b, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		if a.bootCount <= last {
			t.Errorf("start %d after %d", a.bootCount, last)
		}
		last = a.bootCount
	}
	a, err := New(b, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.Apply(t.Context(), &amphora.Config{Amphora: "b"}); err == nil {
		t.Error("it took a configuration of another")
	}
}

func TestFramesThatTellWhereAnAddressIs(t *testing.T) {
	mac := net.HardwareAddr{2, 0, 0, 0, 0, 1}
	if f := arp(netip.MustParseAddr("192.0.2.1"), mac); len(f) != 42 || !cmp.Equal(f[28:32], f[38:42]) {
		t.Errorf("ARP % x", f)
	}
	f := advertisement(netip.MustParseAddr("2001:db8::1"), mac)
	pseudo := append(append([]byte{}, f[22:54]...), 0, 0, 0, 32, 0, 0, 0, 58)
	if len(f) != 86 || checksum(append(pseudo, f[54:]...)) != 0 {
		t.Errorf("advertisement % x", f)
	}
	if checksum([]byte{1, 2, 3}) != ^uint16(0x0102+0x0300) {
		t.Error("the checksum of an odd number of bytes is wrong")
	}
}

func TestASecretWithoutContentMustBeThere(t *testing.T) {
	h := newHAProxy(t.TempDir(), "haproxy", slog.New(slog.DiscardHandler), func() {})
	if err := os.Mkdir(h.path(certsDir), 0o700); err != nil {
		t.Fatal(err)
	}
	whole := amphora.Content([]byte("key"), ".pem")
	kept := amphora.File{Name: whole.Name}
	if err := h.put(kept); err == nil {
		t.Error("nothing was written as a secret")
	}
	if err := errors.Join(h.put(whole), h.put(kept)); err != nil {
		t.Error(err)
	}
	if data, err := os.ReadFile(filepath.Join(h.path(certsDir), whole.Name)); err != nil || string(data) != "key" {
		t.Errorf("it is %q, %v", data, err)
	}
}
