package lab_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/updraft-cloud/updraft/internal/netns"
)

// updraftBuild builds updraft with the agent beside it, once for all tests.
var updraftBuild = sync.OnceValues(func() (string, error) {
	dir := filepath.Join(agentDir(), "service") // which TestMain removes
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	for _, program := range []string{"updraft", "updraft-amphora"} {
		cmd := exec.Command("go", "build", "-o", filepath.Join(dir, program), "github.com/updraft-cloud/updraft/cmd/"+program)
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			return "", fmt.Errorf("%w: %s", err, out)
		}
	}
	return filepath.Join(dir, "updraft"), nil
})

// lbService is a load-balancing service in a network namespace of its own.
type lbService struct {
	t         *testing.T
	bin, data string
	space     string
	ns        *netns.NS
	http      *http.Client
	args      []string // of lb serve
	token     string   // of call, where Keystone is asked
	processes map[string]*exec.Cmd
	logs      map[string]*os.File
}

const frontSubnet = "10.20.0.0/24"

// newLBService makes the place for a service with a network 10.20.0.0/24, on which
// the namespace itself has 10.20.0.1. It starts nothing.
func newLBService(t *testing.T, args ...string) *lbService {
	t.Helper()
	needAmphora(t)
	bin, err := updraftBuild()
	if err != nil {
		t.Fatal(err)
	}
	b := &lbService{t: t, bin: bin, data: t.TempDir(), space: fmt.Sprintf("lbs%d-%d", os.Getpid(), time.Now().UnixNano()%1e9), args: args, token: "token-of-admin",
		processes: map[string]*exec.Cmd{}, logs: map[string]*os.File{}}
	if err := netns.Create(b.space); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = netns.Delete(b.space) })
	if b.ns, err = netns.Open(b.space); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.ns.Close() })
	if out, err := exec.Command("ip", "-n", b.space, "link", "set", "lo", "up").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	b.http = &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{DialContext: b.ns.DialContext, MaxIdleConnsPerHost: 128}}
	t.Cleanup(b.end)
	b.write("networks.yaml", "networks:\n- name: front\n  subnets:\n  - name: front4\n    cidr: "+frontSubnet+"\n    host: 10.20.0.1\n    gateway: 10.20.0.1\n    pool: 10.20.0.10-10.20.0.250\n")
	return b
}

func (b *lbService) write(name, text string) string {
	b.t.Helper()
	path := filepath.Join(b.data, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		b.t.Fatal(err)
	}
	return path
}

// local are the arguments for amphorae in namespaces.
func (b *lbService) local() []string {
	return []string{"--compute", "netns", "--network", "local", "--networks", filepath.Join(b.data, "networks.yaml"), "--secrets", "local"}
}

// start starts a process of the service, and waits until it says that it serves.
func (b *lbService) start(name string, args ...string) {
	b.t.Helper()
	log, err := os.OpenFile(filepath.Join(b.data, name+".log"), os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		b.t.Fatal(err)
	}
	cmd := exec.Command(b.bin, append([]string{"lb", "--data", b.data}, args...)...)
	cmd.Stderr = log
	cmd.Env = append(os.Environ(), "OS_PASSWORD=secret")
	if err := b.ns.Do(cmd.Start); err != nil {
		b.t.Fatal(err)
	}
	b.processes[name], b.logs[name] = cmd, log
}

// serve starts "lb serve" and waits for its API.
func (b *lbService) serve() {
	b.t.Helper()
	b.start("serve", append([]string{"serve", "--listen", "127.0.0.1:9876"}, b.args...)...)
	b.awaitAPI("127.0.0.1:9876")
}

func (b *lbService) awaitAPI(address string) {
	b.t.Helper()
	b.until(30*time.Second, "the API answers at "+address, func() bool {
		resp, err := b.http.Get("http://" + address + "/")
		if err != nil {
			return false
		}
		resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	})
}

// kill ends a process at once.
func (b *lbService) kill(name string) {
	b.t.Helper()
	cmd := b.processes[name]
	if cmd == nil {
		return
	}
	delete(b.processes, name)
	_ = cmd.Process.Kill()
	_ = cmd.Wait() // it was killed
	b.logs[name].Close()
	b.http.CloseIdleConnections()
}

// stop ends a process in order.
func (b *lbService) stop(name string) {
	b.t.Helper()
	cmd := b.processes[name]
	delete(b.processes, name)
	_ = cmd.Process.Signal(syscall.SIGTERM)
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	select {
	case err := <-done:
		if err != nil {
			b.t.Errorf("%s ended with %v\n%s", name, err, b.log(name))
		}
	case <-time.After(20 * time.Second):
		_ = cmd.Process.Kill()
		b.t.Errorf("%s did not end\n%s", name, b.log(name))
	}
}

func (b *lbService) log(name string) string {
	data, _ := os.ReadFile(filepath.Join(b.data, name+".log"))
	var kept []string
	for line := range strings.Lines(string(data)) {
		if !strings.Contains(line, "msg=request") {
			kept = append(kept, line)
		}
	}
	if n := len(kept); n > 60 {
		kept = kept[n-60:]
	}
	return strings.Join(kept, "")
}

// end takes away what a test left, even one that failed.
func (b *lbService) end() {
	if b.t.Failed() {
		for name := range b.logs {
			b.t.Logf("%s:\n%s", name, b.log(name))
		}
	}
	for name := range b.processes {
		b.kill(name)
	}
	for _, s := range b.spaces() {
		for _, pid := range processesIn(s) {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
		_ = netns.Delete(s)
	}
}

// spaces returns the namespaces of the service's amphorae, and that in which they
// are managed. Those of other services have other names.
func (b *lbService) spaces() []string {
	b.t.Helper()
	prefix, err := os.ReadFile(filepath.Join(b.data, "amphorae", "prefix"))
	if err != nil {
		return nil
	}
	list, err := netns.List(string(prefix))
	if err != nil {
		b.t.Fatal(err)
	}
	return list
}

func processesIn(space string) []int {
	out, _ := exec.Command("ip", "netns", "pids", space).Output()
	var pids []int
	for _, f := range strings.Fields(string(out)) {
		var pid int
		if _, err := fmt.Sscan(f, &pid); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids
}

// until waits for something that happens soon.
func (b *lbService) until(patience time.Duration, what string, is func() bool) {
	b.t.Helper()
	deadline := time.Now().Add(patience)
	for !is() {
		if time.Now().After(deadline) {
			b.t.Fatalf("after %s it is not so that %s", patience, what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// call makes a request of the API.
func (b *lbService) call(method, path string, body any) (int, map[string]any, error) {
	var in io.Reader
	if body != nil {
		data, err := json.Marshal(body)
		if err != nil {
			return 0, nil, err
		}
		in = bytes.NewReader(data)
	}
	req, err := http.NewRequestWithContext(context.WithoutCancel(b.t.Context()), method, "http://127.0.0.1:9876/v2/lbaas/"+path, in)
	if err != nil {
		return 0, nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("X-Project-Id", "project")
	req.Header.Set("X-Auth-Token", b.token)
	resp, err := b.http.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	var out map[string]any
	if err := json.NewDecoder(resp.Body).Decode(&out); err != nil && !errors.Is(err, io.EOF) {
		return resp.StatusCode, nil, err
	}
	return resp.StatusCode, out, nil
}

// must makes a request that succeeds.
func (b *lbService) must(method, path string, body any) map[string]any {
	b.t.Helper()
	status, out, err := b.call(method, path, body)
	if err != nil || status >= 300 {
		b.t.Fatalf("%s %s: %d %v %v", method, path, status, out, err)
	}
	return out
}

// loadBalancers returns all that the API shows.
func (b *lbService) loadBalancers() []map[string]any {
	b.t.Helper()
	var out []map[string]any
	for _, l := range b.must(http.MethodGet, "loadbalancers", nil)["loadbalancers"].([]any) {
		out = append(out, l.(map[string]any))
	}
	return out
}

func (b *lbService) awaitStatus(id, want string) map[string]any {
	b.t.Helper()
	var lb map[string]any
	b.until(30*time.Second, "the load balancer "+id+" is "+want, func() bool {
		status, out, err := b.call(http.MethodGet, "loadbalancers/"+id, nil)
		if err != nil || status != http.StatusOK {
			return false
		}
		lb = out["loadbalancer"].(map[string]any)
		return lb["provisioning_status"] == want
	})
	return lb
}

// settled waits until none is PENDING.
func (b *lbService) settled() {
	b.t.Helper()
	var pending []string
	b.until(45*time.Second, "no load balancer is PENDING", func() bool {
		pending = nil
		for _, l := range b.loadBalancers() {
			if s := l["provisioning_status"].(string); strings.HasPrefix(s, "PENDING") {
				pending = append(pending, s)
			}
		}
		return len(pending) == 0
	})
}

// command runs a command of updraft lb that ends by itself.
func (b *lbService) command(args ...string) string {
	b.t.Helper()
	out, err := exec.Command(b.bin, append([]string{"lb", "--data", b.data}, args...)...).CombinedOutput()
	if err != nil {
		b.t.Fatalf("lb %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

func decode(t *testing.T, r io.Reader) map[string]any {
	t.Helper()
	var out map[string]any
	if err := json.NewDecoder(r).Decode(&out); err != nil {
		t.Fatal(err)
	}
	return out
}

// subnets asks as clients ask Neutron.
func (b *lbService) subnets() map[string]any {
	b.t.Helper()
	req, err := http.NewRequestWithContext(b.t.Context(), http.MethodGet, "http://127.0.0.1:9876/v2.0/subnets", nil)
	if err != nil {
		b.t.Fatal(err)
	}
	req.Header.Set("X-Auth-Token", b.token)
	resp, err := b.http.Do(req)
	if err != nil {
		b.t.Fatal(err)
	}
	defer resp.Body.Close()
	return decode(b.t, resp.Body)
}
