package lab_test

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/updraft-cloud/updraft/internal/configset"
	"github.com/updraft-cloud/updraft/internal/configset/basebox"
	"github.com/updraft-cloud/updraft/internal/configset/configsettest"
	"github.com/updraft-cloud/updraft/internal/configset/edge"
	"github.com/updraft-cloud/updraft/internal/configset/web"
	"github.com/updraft-cloud/updraft/internal/netns"
	"github.com/updraft-cloud/updraft/internal/resource/directory"
	"github.com/updraft-cloud/updraft/internal/resource/file"
	"github.com/updraft-cloud/updraft/internal/spec"
)

// wire is a bridge in a network namespace, to which stand-ins for hosts are
// plugged: a namespace with the addresses, and file trees of their own.
type wire struct {
	t    *testing.T
	name string
}

func newWire(t *testing.T) *wire {
	t.Helper()
	w := &wire{t, fmt.Sprintf("cs%d", os.Getpid())}
	w.namespace(w.name)
	w.ip(w.name, "link add br0 type bridge forward_delay 0")
	w.ip(w.name, "link set br0 up")
	return w
}

func (w *wire) namespace(name string) {
	w.t.Helper()
	if err := netns.Create(name); err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() {
		if err := netns.Delete(name); err != nil {
			w.t.Error(err)
		}
	})
	w.ip(name, "link set lo up")
}

func (w *wire) ip(ns, args string) {
	w.t.Helper()
	if out, err := exec.Command("ip", append([]string{"-n", ns}, strings.Fields(args)...)...).CombinedOutput(); err != nil {
		w.t.Fatalf("ip -n %s %s: %v\n%s", ns, args, err, out)
	}
}

// plug makes the namespace of a host with its NICs.
func (w *wire) plug(h *spec.Host) *standIn {
	w.t.Helper()
	s := &standIn{t: w.t, ns: w.name + "-" + h.Name, root: w.t.TempDir()}
	w.namespace(s.ns)
	for i, nic := range h.NICs {
		port := fmt.Sprintf("%s-%d", h.Name, i)
		w.ip(w.name, fmt.Sprintf("link add %s type veth peer name %s netns %s", port, nic.Name, s.ns))
		w.ip(w.name, fmt.Sprintf("link set %s master br0 up", port))
		for _, a := range []netip.Prefix{nic.Address, nic.Address6} {
			if a.IsValid() {
				w.ip(s.ns, fmt.Sprintf("addr add %s dev %s nodad", a, nic.Name))
			}
		}
		w.ip(s.ns, fmt.Sprintf("link set %s up", nic.Name))
	}
	return s
}

// standIn runs programs as if it were a host: with its network and its files.
type standIn struct {
	t        *testing.T
	ns, root string
}

// private are the directories that a stand-in has for itself.
var private = []string{"/etc/haproxy", "/etc/keepalived", "/etc/default", "/var/www", "/var/log/nginx", "/run"}

// lay writes the files of items into the stand-in's tree.
func (s *standIn) lay(items []configset.Item) {
	s.t.Helper()
	for _, d := range append([]string{"/run/haproxy"}, private...) {
		s.mkdir(d)
	}
	for _, it := range items {
		switch r := it.Resource.(type) {
		case *directory.Resource:
			s.mkdir(r.Path)
		case *file.Resource:
			mode, err := strconv.ParseUint(r.Mode, 8, 32)
			if err != nil {
				s.t.Fatal(err)
			}
			s.mkdir(filepath.Dir(r.Path))
			if err := os.WriteFile(filepath.Join(s.root, r.Path), []byte(r.Content), os.FileMode(mode)); err != nil {
				s.t.Fatal(err)
			}
		}
	}
}

func (s *standIn) mkdir(path string) {
	s.t.Helper()
	for _, d := range []string{path, filepath.Dir(path)} {
		full := filepath.Join(s.root, d)
		if err := os.MkdirAll(full, 0o755); err != nil {
			s.t.Fatal(err)
		}
	}
}

// command returns a command in the stand-in's network with its private
// directories, and a directory for new configuration at /run/new.
func (s *standIn) command(args ...string) *exec.Cmd {
	var script strings.Builder
	for _, d := range private {
		fmt.Fprintf(&script, "mkdir -p %s && mount --bind %s %s && ", d, s.root+d, d)
	}
	script.WriteString(`exec "$@"`)
	full := append([]string{"netns", "exec", s.ns, "unshare", "--mount", "sh", "-c", script.String(), "sh"}, args...)
	return exec.CommandContext(s.t.Context(), "ip", full...)
}

// start runs a daemon that stays in the foreground. The function returned kills
// it and all of its children.
func (s *standIn) start(args ...string) (kill func()) {
	s.t.Helper()
	log, err := os.Create(filepath.Join(s.t.TempDir(), "log"))
	if err != nil {
		s.t.Fatal(err)
	}
	cmd := s.command(args...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	killed := false
	kill = func() {
		if !killed {
			killed = true
			_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // it may have ended by itself
			_ = cmd.Wait()
		}
	}
	s.t.Cleanup(func() {
		kill()
		if text, err := os.ReadFile(log.Name()); s.t.Failed() && err == nil {
			s.t.Logf("%s of %s said:\n%s", args[0], s.ns, text)
		}
		log.Close()
	})
	return kill
}

// examples returns the cloud files that a set has for its golden tests.
func examples(t *testing.T, set string) map[string]*spec.Cloud {
	t.Helper()
	paths, err := filepath.Glob("../../internal/configset/" + set + "/testdata/*.yaml")
	if err != nil || len(paths) == 0 {
		t.Fatalf("no examples of %s: %v", set, err)
	}
	out := map[string]*spec.Cloud{}
	for _, p := range paths {
		data, err := os.ReadFile(p)
		if err != nil {
			t.Fatal(err)
		}
		out[filepath.Base(p)] = configsettest.Cloud(t, string(data))
	}
	return out
}

func TestRealProgramsAcceptTheFilesOfConfigsets(t *testing.T) {
	requireTools(t, "ip", "unshare", "haproxy", "keepalived", "nginx", "chronyd", "visudo", "nft", "apt-config")
	checked := map[string]int{}
	for _, set := range []configset.Set{basebox.Set(), edge.Set(), web.Set()} {
		for name, cloud := range examples(t, set.Name) {
			t.Run(set.Name+"/"+name, func(t *testing.T) {
				w := newWire(t)
				for _, h := range cloud.Hosts {
					if len(h.Sets) == 0 {
						continue
					}
					s := w.plug(h)
					items, faults := configsettest.Build(t, set, cloud, h)
					if faults.HasErrors() {
						t.Fatal(faults)
					}
					s.lay(items)
					for _, it := range items {
						if f, ok := it.Resource.(*file.Resource); ok && len(judge(f)) > 0 {
							s.accept(f)
							checked[judge(f)[0]]++
						}
					}
				}
			})
		}
	}
	for _, program := range []string{"haproxy", "keepalived", "nginx", "chronyd", "visudo", "nft", "apt-config"} {
		if checked[program] == 0 {
			t.Errorf("nothing was shown to %s", program)
		}
	}
}

// judge returns the command that judges the file: its own, or one that a host
// may not have.
func judge(f *file.Resource) []string {
	switch {
	case strings.HasPrefix(f.Path, "/etc/apt/apt.conf.d/"):
		return []string{"apt-config", "-c", "%s", "dump"}
	case strings.HasPrefix(f.Path, "/etc/profile.d/"):
		return []string{"sh", "-n", "%s"}
	}
	return f.Check
}

// accept shows the file to its judge, and again with a file that is
// broken, which must be refused.
func (s *standIn) accept(f *file.Resource) {
	s.t.Helper()
	for _, broken := range []bool{false, true} {
		content := f.Content
		if broken {
			content += "\n}{ nonsense ( \"\n"
		}
		path := filepath.Join(s.root, "run", "new")
		if err := os.WriteFile(path, []byte(content), 0o440); err != nil {
			s.t.Fatal(err)
		}
		args := make([]string, len(judge(f)))
		for i, a := range judge(f) {
			args[i] = strings.ReplaceAll(a, "%s", "/run/new")
		}
		out, err := s.command(args...).CombinedOutput()
		if broken == (err == nil) {
			s.t.Errorf("%s: broken %v, and %v says: %v\n%s\n%s", f.Path, broken, judge(f), err, out, content)
		}
		if err := os.Remove(path); err != nil {
			s.t.Fatal(err)
		}
	}
}

func TestTheFirewallLetsInWhatIsAllowed(t *testing.T) {
	requireTools(t, "ip", "unshare", "nft")
	cloud := configsettest.Cloud(t, `
version: 1
cloud: shop
networks:
  front: {cidr: 10.88.0.0/24}
groups:
  web: {count: 1, configsets: {basebox: {firewall: {enabled: true, closed: true, tcp: [80]}}}}
`)
	h := cloud.Hosts[0]
	w := newWire(t)
	w.ip(w.name, "addr add 10.88.0.1/24 dev br0")
	s := w.plug(h)
	items, _ := configsettest.Build(t, basebox.Set(), cloud, h)
	s.lay(items)
	const rules = "/etc/nftables-updraft.conf"
	load := exec.Command("ip", "netns", "exec", s.ns, "nft", "-f", s.root+rules)
	for range 2 { // a second load replaces the first
		if out, err := exec.Command(load.Path, load.Args[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	there, err := netns.Open(s.ns)
	if err != nil {
		t.Fatal(err)
	}
	defer there.Close()
	here, err := netns.Open(w.name)
	if err != nil {
		t.Fatal(err)
	}
	defer here.Close()
	address := h.NICs[0].Address.Addr().String()
	for port, allowed := range map[string]bool{"22": true, "80": true, "81": false} {
		l, err := there.Listen(t.Context(), "tcp", ":"+port)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		conn, err := here.DialContext(ctx, "tcp", address+":"+port)
		cancel()
		if err == nil {
			conn.Close()
		}
		if allowed != (err == nil) {
			t.Errorf("port %s: allowed %v, and dialling says %v", port, allowed, err)
		}
		l.Close()
	}
}

const edgeCloud = `
version: 1
cloud: shop
networks:
  front: {cidr: 10.88.0.0/24}
groups:
  edge:
    count: 2
    configsets:
      edge: {vip: www, backends: web, weights: {web1: 2}, advert: 200ms}
  web:
    count: 3
    configsets: {web: {}}
vips:
  www: {network: front, address: 10.88.0.100, group: edge}
`

func TestTheVirtualAddressMovesWhenHAProxyDies(t *testing.T) {
	requireTools(t, "ip", "unshare", "haproxy", "keepalived", "nginx")
	cloud := configsettest.Cloud(t, edgeCloud)
	w := newWire(t)
	w.ip(w.name, "addr add 10.88.0.1/24 dev br0")
	kills := map[string]func(){}
	for _, h := range cloud.Hosts {
		s := w.plug(h)
		if h.Group == "web" {
			items, _ := configsettest.Build(t, web.Set(), cloud, h)
			s.lay(items)
			conf := contentOf(t, items, "/etc/nginx/nginx.conf") + "daemon off;\n"
			if err := os.WriteFile(s.root+"/run/nginx.conf", []byte(conf), 0o644); err != nil {
				t.Fatal(err)
			}
			s.start("nginx", "-c", "/run/nginx.conf")
			continue
		}
		items, _ := configsettest.Build(t, edge.Set(), cloud, h)
		s.lay(items)
		if out, err := exec.Command("ip", "netns", "exec", s.ns, "sysctl", "-w", "net.ipv4.ip_nonlocal_bind=1").CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		kills[s.ns] = s.start("haproxy", "-W", "-db", "-f", "/etc/haproxy/haproxy.cfg")
		s.start("keepalived", "--dont-fork", "--log-console", "--vrrp", "-f", "/etc/keepalived/keepalived.conf")
	}
	client := w.client()
	w.await(client, 3)
	want := map[string]int{"web1": 20, "web2": 10, "web3": 10}
	// A first check that came too early takes a server out until two more pass.
	for start := time.Now(); ; {
		counts := map[string]int{}
		for range 40 {
			counts[w.get(client)]++
		}
		if maps.Equal(counts, want) {
			break
		}
		if time.Since(start) > 20*time.Second {
			t.Fatalf("40 requests at weights 2:1:1 went to %v", counts)
		}
	}
	first := w.holder(kills)
	kills[first]()
	start := time.Now()
	for w.holder(kills) == first || w.get(client) == "" {
		if time.Since(start) > 10*time.Second {
			t.Fatalf("%s keeps the address without HAProxy", first)
		}
	}
	t.Logf("served again after %s", time.Since(start).Round(10*time.Millisecond))
}

func contentOf(t *testing.T, items []configset.Item, path string) string {
	t.Helper()
	for _, it := range items {
		if f, ok := it.Resource.(*file.Resource); ok && f.Path == path {
			return f.Content
		}
	}
	t.Fatalf("no %s", path)
	return ""
}

// client returns an HTTP client in the wire's own namespace.
func (w *wire) client() *http.Client {
	w.t.Helper()
	ns, err := netns.Open(w.name)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { ns.Close() })
	return &http.Client{Timeout: time.Second, Transport: &http.Transport{DialContext: ns.DialContext, DisableKeepAlives: true}}
}

// get returns who answered at the virtual address, or "".
func (w *wire) get(c *http.Client) string {
	resp, err := c.Get("http://10.88.0.100/")
	if err != nil {
		return ""
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if name := resp.Header.Get("X-Served-By"); err == nil && string(body) == name+"\n" {
		return name
	}
	return ""
}

// await asks until n different backends have answered.
func (w *wire) await(c *http.Client, n int) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), 20*time.Second)
	defer cancel()
	for seen := map[string]bool{}; len(seen) < n; {
		if who := w.get(c); who != "" {
			seen[who] = true
		}
		if ctx.Err() != nil {
			w.t.Fatalf("only %v answered", seen)
		}
	}
}

// holder returns the namespace that has the virtual address, or "".
func (w *wire) holder(edges map[string]func()) string {
	for ns := range edges {
		out, err := exec.Command("ip", "-n", ns, "-brief", "addr").Output()
		if err != nil {
			w.t.Fatal(err)
		}
		if strings.Contains(string(out), "10.88.0.100/32") {
			return ns
		}
	}
	return ""
}
