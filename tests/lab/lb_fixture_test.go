package lab_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/updraft-cloud/updraft/internal/lb/agent"
	"github.com/updraft-cloud/updraft/internal/lb/agent/client"
	"github.com/updraft-cloud/updraft/internal/lb/amphora"
	heart "github.com/updraft-cloud/updraft/internal/lb/amphora/beat"
	"github.com/updraft-cloud/updraft/internal/lb/amphora/render"
	"github.com/updraft-cloud/updraft/internal/lb/model"
	"github.com/updraft-cloud/updraft/internal/netns"
	"github.com/updraft-cloud/updraft/internal/secret/pki"
)

// needAmphora is needLab for the data plane of load balancers.
func needAmphora(t testing.TB) {
	t.Helper()
	needLab(t)
	for _, tool := range []string{"haproxy", "keepalived", "nft", "ip"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Fatalf("the lab tier needs %s", tool)
		}
	}
}

// balancing is a place for amphorae: a bridge in a namespace of its own, a
// namespace for clients (front) and one for members (back).
//
//	client 10.77.0.200 ─┐                          ┌─ 10.77.0.1, .2 amphorae
//	  fd77::200         ├── bridge of hub ─────────┤    VIPs 10.77.0.100, fd77::100
//	members 10.77.0.10… ┘                          └─
type balancing struct {
	t       *testing.T
	prefix  string
	bin     string
	ca      pki.Authority
	client  *netns.NS
	members *netns.NS
	key     []byte
	// root is another system whose programs amphorae run, this one's when empty.
	root string
}

var (
	vip4 = netip.MustParseAddr("10.77.0.100")
	vip6 = netip.MustParseAddr("fd77::100")
)

// agentDir is where the agent of all tests is built. TestMain removes it.
func agentDir() string {
	return filepath.Join(os.TempDir(), fmt.Sprintf("amphora-agent-%d", os.Getpid()))
}

// agentBuild builds the agent once for all tests.
var agentBuild = sync.OnceValues(func() (string, error) {
	path := filepath.Join(agentDir(), "updraft-amphora")
	cmd := exec.Command("go", "build", "-o", path, "github.com/updraft-cloud/updraft/cmd/updraft-amphora")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w: %s", err, out)
	}
	return path, nil
})

func newBalancing(t *testing.T) *balancing {
	t.Helper()
	needAmphora(t)
	b := &balancing{t: t, prefix: fmt.Sprintf("lbt%d-", os.Getpid()), key: []byte("0123456789abcdef0123456789abcdef")}
	var err error
	if b.bin, err = agentBuild(); err != nil {
		t.Fatal(err)
	}
	if b.ca, err = pki.NewAuthority("amphorae", time.Now()); err != nil {
		t.Fatal(err)
	}
	b.space("hub")
	b.ip("hub", "link add br0 type bridge forward_delay 0", "link set br0 up")
	b.client = b.space("client")
	b.plug("client", "10.77.0.200/24", "fd77::200/64")
	b.members = b.space("members")
	addrs := []string{}
	for i := 10; i < 30; i++ {
		addrs = append(addrs, fmt.Sprintf("10.77.0.%d/24", i), fmt.Sprintf("fd77::%d/64", i))
	}
	b.plug("members", addrs...)
	return b
}

// space makes a namespace that goes with the test.
func (b *balancing) space(name string) *netns.NS {
	b.t.Helper()
	full := b.prefix + name
	if err := netns.Create(full); err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { _ = netns.Delete(full) })
	ns, err := netns.Open(full)
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { ns.Close() })
	b.ip(name, "link set lo up")
	return ns
}

// ip runs ip(8) in a namespace.
func (b *balancing) ip(name string, lines ...string) {
	b.t.Helper()
	cmd := exec.Command("ip", "-n", b.prefix+name, "-batch", "-")
	cmd.Stdin = strings.NewReader(strings.Join(lines, "\n"))
	if out, err := cmd.CombinedOutput(); err != nil {
		b.t.Fatalf("ip in %s: %v: %s\n%s", name, err, out, strings.Join(lines, "\n"))
	}
}

// plug connects a namespace with the bridge by an interface eth0.
func (b *balancing) plug(name string, addrs ...string) {
	b.t.Helper()
	b.ip("hub", fmt.Sprintf("link add p-%s type veth peer name eth0 netns %s", name, b.prefix+name), "link set p-"+name+" master br0 up")
	lines := []string{"link set eth0 up"}
	for _, a := range addrs {
		lines = append(lines, "addr add "+a+" dev eth0 nodad")
	}
	b.ip(name, lines...)
}

// node is an amphora with its agent running.
type node struct {
	b        *balancing
	id, name string
	address  netip.Addr
	dir      string
	ns       *netns.NS
	cmd      *exec.Cmd
	client   *client.Client
	beats    chan *heart.Beat
	receiver net.PacketConn
}

// amphora makes a namespace with an agent, at 10.77.0.N.
func (b *balancing) amphora(n int) *node {
	b.t.Helper()
	a := &node{b: b, id: model.NewID(), name: fmt.Sprintf("amp%d", n), address: netip.AddrFrom4([4]byte{10, 77, 0, byte(n)}), beats: make(chan *heart.Beat, 1000)}
	a.ns = b.space(a.name)
	b.plug(a.name, a.address.String()+"/24", fmt.Sprintf("fd77::%d/64", n))
	var err error
	if a.dir, err = os.MkdirTemp(b.root, "lbt"); err != nil { // short, for sockets
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { _ = os.RemoveAll(a.dir) })
	a.receive()
	a.boot()
	a.client = client.New(b.controller(amphora.ControllerName), a.id, netip.AddrPortFrom(a.address, amphora.AgentPort).String())
	b.t.Cleanup(a.client.Close)
	b.t.Cleanup(a.end)
	a.start()
	return a
}

// controller returns what a controller with a certificate of that name has.
func (b *balancing) controller(name string) client.Options {
	b.t.Helper()
	cert, key, err := b.ca.Issue(name, []string{"controller"}, time.Now())
	if err != nil {
		b.t.Fatal(err)
	}
	pair, err := tls.X509KeyPair([]byte(cert), []byte(key))
	if err != nil {
		b.t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM([]byte(b.ca.Cert))
	return client.Options{Certificate: func() (*tls.Certificate, error) { return &pair, nil }, Authority: pool, DialContext: b.client.DialContext}
}

func (a *node) identity() amphora.Identity {
	a.b.t.Helper()
	cert, key, err := a.b.ca.Issue(a.id, []string{a.id}, time.Now())
	if err != nil {
		a.b.t.Fatal(err)
	}
	return amphora.Identity{Certificate: cert, Key: key, Authority: a.b.ca.Cert}
}

func (a *node) boot() {
	a.b.t.Helper()
	id := a.identity()
	data, err := json.Marshal(agent.Boot{AmphoraID: a.id, Certificate: id.Certificate, Key: id.Key, Authority: id.Authority})
	if err == nil {
		err = os.WriteFile(filepath.Join(a.dir, "boot.json"), data, 0o600)
	}
	if err != nil {
		a.b.t.Fatal(err)
	}
}

// receive takes heartbeats in the clients' namespace.
func (a *node) receive() {
	conn, err := a.b.client.ListenPacket(a.b.t.Context(), "udp", "10.77.0.200:0")
	if err != nil {
		a.b.t.Fatal(err)
	}
	a.receiver = conn
	a.b.t.Cleanup(func() { conn.Close() })
	r := heart.NewReceiver(func(string) [][]byte { return [][]byte{a.b.key} }, func(string) {})
	r.Seed(a.id, 0, 0)
	go func() {
		buf := make([]byte, heart.MaxDatagram)
		for {
			n, _, err := conn.ReadFrom(buf)
			if err != nil {
				return
			}
			if one, err := r.Open(buf[:n]); err == nil {
				select {
				case a.beats <- one:
				default: // nobody looks
				}
			}
		}
	}()
}

func (a *node) start() {
	a.b.t.Helper()
	log, err := os.OpenFile(filepath.Join(a.dir, "agent.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		a.b.t.Fatal(err)
	}
	defer log.Close()
	a.cmd = a.command()
	a.cmd.Stdout, a.cmd.Stderr = log, log
	if err := a.ns.Do(a.cmd.Start); err != nil {
		a.b.t.Fatal(err)
	}
	a.b.until("the agent answers", func() error {
		_, err := a.client.Status(a.b.t.Context())
		return err
	})
}

// command is the agent, below another root if there is one.
func (a *node) command() *exec.Cmd {
	boot := filepath.Join(a.dir, "boot.json")
	if a.b.root == "" {
		return exec.Command(a.b.bin, "--config", boot, "--debug")
	}
	return exec.Command("unshare", "--mount", "--propagation", "private", "sh", "-c",
		`mount --rbind /proc "$0/proc" && mount --rbind /dev "$0/dev" && exec chroot "$0" /updraft-amphora --config "$1" --debug`,
		a.b.root, strings.TrimPrefix(boot, a.b.root))
}

// end ends everything in the namespace, and shows what was said if it failed.
func (a *node) end() {
	_ = a.client.Release(context.Background())
	_ = a.cmd.Process.Kill()
	_ = a.cmd.Wait()
	for _, note := range []string{"haproxy", "keepalived"} {
		var id struct{ PID int }
		if data, err := os.ReadFile(filepath.Join(a.dir, note+".process")); err == nil && json.Unmarshal(data, &id) == nil {
			if p, err := os.FindProcess(id.PID); err == nil {
				_ = p.Kill()
			}
		}
	}
	if !a.b.t.Failed() && os.Getenv("KEEP") == "" {
		return
	}
	for _, name := range []string{"agent.log", "haproxy.log", "keepalived.log", "haproxy.cfg"} {
		if data, err := os.ReadFile(filepath.Join(a.dir, name)); err == nil {
			a.b.t.Logf("%s of %s:\n%s", name, a.name, data[max(0, len(data)-6000):])
		}
	}
}

// until waits for something to be so, at most 20 s.
func (b *balancing) until(what string, ok func() error) {
	b.t.Helper()
	end := time.Now().Add(20 * time.Second)
	for {
		err := ok()
		if err == nil {
			return
		}
		if time.Now().After(end) {
			b.t.Fatalf("not so: %s: %v", what, err)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// heard waits for a beat of which it is so.
func (a *node) heard(what string, ok func(*heart.Beat) bool) *heart.Beat {
	a.b.t.Helper()
	timeout := time.After(20 * time.Second)
	var last *heart.Beat
	for {
		select {
		case one := <-a.beats:
			if last = one; ok(one) {
				return one
			}
		case <-timeout:
			a.b.t.Fatalf("no beat says: %s; the last: %+v", what, last)
		}
	}
}

// scene is a load balancer as a test changes it.
type scene struct {
	render.Tree
	place render.Place
}

// scene returns a load balancer of the amphora without listeners.
func (a *node) scene() *scene {
	return &scene{
		Tree: render.Tree{LoadBalancer: &model.LoadBalancer{Base: base()}},
		place: render.Place{
			AmphoraID: a.id, Secrets: map[string][]byte{},
			VIPs:      []amphora.VIP{{Address: vip4, Bits: 24, Interface: "eth0"}, {Address: vip6, Bits: 64, Interface: "eth0"}},
			Heartbeat: amphora.Heartbeat{Receivers: []string{a.receiver.LocalAddr().String()}, IntervalMS: 100, Key: a.b.key},
		},
	}
}

func base() model.Base { return model.Base{ID: model.NewID(), AdminStateUp: true} }

func (s *scene) listener(p model.Protocol, port int, pool *model.Pool) *model.Listener {
	l := &model.Listener{
		Base: base(), Protocol: p, ProtocolPort: port, ConnectionLimit: -1,
		TimeoutClientData: 50000, TimeoutMemberConnect: 5000, TimeoutMemberData: 50000,
	}
	if pool != nil {
		l.DefaultPoolID = pool.ID
	}
	s.Listeners = append(s.Listeners, l)
	return l
}

func (s *scene) pool(p model.Protocol, algorithm model.Algorithm) *model.Pool {
	pool := &model.Pool{Base: base(), Protocol: p, LBAlgorithm: algorithm}
	s.Pools = append(s.Pools, pool)
	return pool
}

func (s *scene) member(p *model.Pool, at netip.AddrPort) *model.Member {
	m := &model.Member{Base: base(), PoolID: p.ID, Address: at.Addr().String(), ProtocolPort: int(at.Port()), Weight: 1}
	s.Members = append(s.Members, m)
	return m
}

func (s *scene) monitor(p *model.Pool, kind string) *model.HealthMonitor {
	m := &model.HealthMonitor{Base: base(), PoolID: p.ID, Type: kind, Delay: 1, Timeout: 1, MaxRetries: 1, MaxRetriesDown: 1}
	s.Monitors = append(s.Monitors, m)
	return m
}

func (s *scene) policy(l *model.Listener, action string, rules ...*model.L7Rule) *model.L7Policy {
	p := &model.L7Policy{Base: base(), ListenerID: l.ID, Action: action, Position: len(s.Policies) + 1}
	s.Policies = append(s.Policies, p)
	for _, r := range rules {
		r.Base, r.L7PolicyID = base(), p.ID
		s.Rules = append(s.Rules, r)
	}
	return p
}

// apply renders it with the next version and has the agent do it.
func (a *node) apply(s *scene) amphora.Applied {
	a.b.t.Helper()
	s.place.Version++
	c, err := render.Config(s.Tree, s.place)
	if err != nil {
		a.b.t.Fatal(err)
	}
	done, err := a.client.Apply(a.b.t.Context(), c)
	if err != nil {
		a.b.t.Fatal(err)
	}
	return done
}

// backend is a web server in the members' namespace that says who it is and what
// it was asked.
type backend struct {
	name string
	at   netip.AddrPort
	stop func()
}

// seen is what a member says of a request.
type seen struct {
	Member string
	Method string
	Path   string
	Host   string
	Proto  string
	Remote string
	TLS    string
	Header http.Header
}

func (b *balancing) web(n int, change func(*http.Server)) backend {
	b.t.Helper()
	return b.webAt(fmt.Sprintf("m%d", n), netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 77, 0, byte(n)}), 80), change)
}

func (b *balancing) webAt(name string, at netip.AddrPort, change func(*http.Server)) backend {
	b.t.Helper()
	var l net.Listener
	b.until("the address is free", func() (err error) {
		l, err = b.members.Listen(b.t.Context(), "tcp", at.String())
		return err
	})
	s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if c := r.URL.Query().Get("cookie"); c != "" {
			http.SetCookie(w, &http.Cookie{Name: c, Value: name + "-session"})
		}
		state := ""
		if r.TLS != nil {
			state = r.TLS.ServerName
			for _, c := range r.TLS.PeerCertificates {
				state += " " + c.Subject.CommonName
			}
		}
		_ = json.NewEncoder(w).Encode(seen{name, r.Method, r.URL.Path, r.Host, r.Proto, r.RemoteAddr, state, r.Header})
	}), ReadHeaderTimeout: 10 * time.Second, ErrorLog: discard()}
	if change != nil {
		change(s)
	}
	go func() {
		if s.TLSConfig != nil {
			_ = s.ServeTLS(l, "", "")
		} else {
			_ = s.Serve(l)
		}
	}()
	stop := func() { _ = s.Close() }
	b.t.Cleanup(stop)
	return backend{name: name, at: at, stop: stop}
}

// browser is a client that keeps nothing: no connection, no cookie.
func (b *balancing) browser(change func(*http.Transport)) *http.Client {
	tr := &http.Transport{DialContext: b.client.DialContext, DisableKeepAlives: true}
	if change != nil {
		change(tr)
	}
	b.t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, Timeout: 15 * time.Second, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// answer is a response whose body has been read.
type answer struct {
	StatusCode    int
	Status, Proto string
	Header        http.Header
	TLS           *tls.ConnectionState
}

// get asks, with headers as "Name: value", and returns the answer and what the
// member saw.
func (b *balancing) get(c *http.Client, url string, headers ...string) (*answer, seen, error) {
	r, err := http.NewRequestWithContext(b.t.Context(), http.MethodGet, url, nil)
	if err != nil {
		return nil, seen{}, err
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		if name == "Host" {
			r.Host = value
			continue
		}
		r.Header.Add(name, value)
	}
	res, err := c.Do(r)
	if err != nil {
		return nil, seen{}, err
	}
	defer res.Body.Close()
	data, err := io.ReadAll(res.Body)
	var s seen
	_ = json.Unmarshal(data, &s) // an answer of HAProxy's own is none of a member
	return &answer{res.StatusCode, res.Status, res.Proto, res.Header, res.TLS}, s, err
}

// must is get without an error.
func (b *balancing) must(c *http.Client, url string, headers ...string) (*answer, seen) {
	b.t.Helper()
	res, s, err := b.get(c, url, headers...)
	if err != nil {
		b.t.Fatalf("GET %s: %v", url, err)
	}
	return res, s
}

// spread counts who answers n requests.
func (b *balancing) spread(c *http.Client, url string, n int, headers ...string) map[string]int {
	b.t.Helper()
	out := map[string]int{}
	for range n {
		_, s := b.must(c, url, headers...)
		out[s.Member]++
	}
	return out
}

func names(m map[string]int) string {
	var out []string
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return strings.Join(out, " ")
}

func discard() *log.Logger { return log.New(io.Discard, "", 0) }

// interfaceAddrs lists the addresses of this thread's namespace.
func interfaceAddrs() ([]string, error) {
	addrs, err := net.InterfaceAddrs()
	var out []string
	for _, a := range addrs {
		out = append(out, a.String())
	}
	return out, err
}

// soon is when an answer within a bridge is late.
func soon() time.Time { return time.Now().Add(2 * time.Second) }

func containsText(data []byte, s string) bool { return strings.Contains(string(data), s) }
