package lab_test

import (
	"fmt"
	"io"
	"math/rand/v2"
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

// web serves its name on the namespace's own address.
func (b *lbService) web(port int, name string) {
	b.t.Helper()
	l, err := b.ns.Listen(b.t.Context(), "tcp", fmt.Sprintf("10.20.0.1:%d", port))
	if err != nil {
		b.t.Fatal(err)
	}
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, name) })}
	go func() { _ = srv.Serve(l) }()
	b.t.Cleanup(func() { _ = srv.Close() })
}

// get asks through a VIP, by a connection of its own.
func (b *lbService) get(address string) (string, error) {
	c := &http.Client{Timeout: time.Second, Transport: &http.Transport{DialContext: b.ns.DialContext, DisableKeepAlives: true}}
	resp, err := c.Get("http://" + address + "/")
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("status %d", resp.StatusCode)
	}
	return string(data), err
}

func (b *lbService) answers(vip string) {
	b.t.Helper()
	b.until(30*time.Second, "the load balancer at "+vip+" answers", func() bool {
		_, err := b.get(vip)
		return err == nil
	})
}

// tree is a load balancer with a listener, a pool and members, in one call.
func (b *lbService) tree(name, topology string, ports ...int) item {
	subnet := b.subnets()["subnets"].([]any)[0].(item)["id"]
	members := []item{}
	for _, p := range ports {
		members = append(members, item{"address": "10.20.0.1", "protocol_port": p})
	}
	lb := item{"name": name, "project_id": "project", "vip_subnet_id": subnet, "listeners": []item{{"name": "l", "protocol": "HTTP", "protocol_port": 80,
		"default_pool": item{"name": "p", "protocol": "HTTP", "lb_algorithm": "ROUND_ROBIN", "members": members}}}}
	if topology != "" {
		lb["flavor_id"] = topology
	}
	return item{"loadbalancer": lb}
}

// create makes one and waits until it answers.
func (b *lbService) create(name string, ports ...int) (id, vip string) {
	b.t.Helper()
	lb := b.must(http.MethodPost, "loadbalancers", b.tree(name, "", ports...))["loadbalancer"].(item)
	id, vip = lb["id"].(string), lb["vip_address"].(string)
	b.awaitStatus(id, "ACTIVE")
	b.answers(vip)
	return id, vip
}

// amphorae returns the amphorae of a load balancer by role.
func (b *lbService) amphorae(lb string) map[string]string {
	b.t.Helper()
	resp, err := b.http.Get("http://127.0.0.1:9876/v2/octavia/amphorae?loadbalancer_id=" + lb)
	if err != nil {
		b.t.Fatal(err)
	}
	defer resp.Body.Close()
	out := map[string]string{}
	for _, a := range decode(b.t, resp.Body)["amphorae"].([]any) {
		if a := a.(item); a["status"] == "ALLOCATED" {
			out[a["role"].(string)] = a["id"].(string)
		}
	}
	return out
}

// spaceOf returns the namespace of an amphora.
func (b *lbService) spaceOf(amphora string) string {
	b.t.Helper()
	for _, s := range b.spaces() {
		if strings.HasSuffix(s, amphora) {
			return s
		}
	}
	b.t.Fatalf("amphora %s has no namespace among %q", amphora, b.spaces())
	return ""
}

// replaced waits until another amphora has the role, and nothing of the former is
// left.
func (b *lbService) replaced(lb, role, old, vip string) {
	b.t.Helper()
	b.until(40*time.Second, "amphora "+old+" was replaced", func() bool {
		a := b.amphorae(lb)[role]
		return a != "" && a != old && !strings.Contains(strings.Join(b.spaces(), " "), old)
	})
	b.awaitStatus(lb, "ACTIVE")
	b.answers(vip)
}

// nothingLeft checks that no namespace, no directory and no port is there, but
// that in which amphorae are managed.
func (b *lbService) nothingLeft() {
	b.t.Helper()
	b.until(20*time.Second, "nothing is left", func() bool {
		dirs, _ := filepath.Glob(filepath.Join(b.data, "amphorae", "*-*"))
		ports, _ := os.ReadFile(filepath.Join(b.data, "network", "ports.json"))
		return len(b.spaces()) <= 1 && len(dirs) == 0 && (len(ports) == 0 || string(ports) == "[]")
	})
}

// TestAmphoraeInNamespacesOnBadDays kills, freezes and cuts off amphorae of a
// service that has real ones, and sees traffic go on.
func TestAmphoraeInNamespacesOnBadDays(t *testing.T) {
	b := newLBService(t)
	b.args = append(b.local(), "--heartbeat", "300ms", "--silence", "1500ms")
	b.serve() // which makes the network
	b.web(8001, "one")
	b.web(8002, "two")
	id, vip := b.create("a", 8001)

	pool := b.must(http.MethodGet, "pools", nil)["pools"].([]any)[0].(item)["id"].(string)
	began := time.Now()
	b.must(http.MethodPost, "pools/"+pool+"/members", item{"member": item{"address": "10.20.0.1", "protocol_port": 8002}})
	b.until(10*time.Second, "the new member is used", func() bool { s, err := b.get(vip); return err == nil && s == "two" })
	t.Logf("a new member was used after %s", time.Since(began).Round(time.Millisecond))
	b.awaitStatus(id, "ACTIVE")
	b.until(10*time.Second, "the statuses come", func() bool {
		return b.must(http.MethodGet, "loadbalancers/"+id, nil)["loadbalancer"].(item)["operating_status"] == "ONLINE"
	})

	for _, c := range []struct {
		rule string
		harm func(space string)
	}{
		{"killed", func(space string) {
			for _, pid := range processesIn(space) {
				_ = syscall.Kill(pid, syscall.SIGKILL)
			}
		}},
		{"frozen", func(space string) {
			for _, pid := range processesIn(space) {
				_ = syscall.Kill(pid, syscall.SIGSTOP)
			}
		}},
		{"partitioned", func(space string) {
			// Not by its links: who makes them sets them up again.
			rules := "add table inet cut\n"
			for _, hook := range []string{"input", "output"} {
				rules += fmt.Sprintf("add chain inet cut %s { type filter hook %[1]s priority -300; policy drop; }\n", hook)
			}
			cmd := exec.Command("ip", "netns", "exec", space, "nft", "-f", "-")
			cmd.Stdin = strings.NewReader(rules)
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
		}},
		{"without its namespace", func(space string) {
			for _, pid := range processesIn(space) {
				_ = syscall.Kill(pid, syscall.SIGKILL)
			}
			if err := netns.Delete(space); err != nil {
				t.Fatal(err)
			}
		}},
	} {
		old := b.amphorae(id)["STANDALONE"]
		began := time.Now()
		c.harm(b.spaceOf(old))
		b.replaced(id, "STANDALONE", old, vip)
		t.Logf("an amphora that was %s was replaced after %s", c.rule, time.Since(began).Round(10*time.Millisecond))
	}
	b.http.CloseIdleConnections()
	b.must(http.MethodDelete, "loadbalancers/"+id+"?cascade=true", nil)
	b.nothingLeft()
	b.stop("serve")
	if left := b.spaces(); len(left) > 0 {
		t.Errorf("after the service ended there are %q", left)
	}
}

// TestAServiceThatIsKilledGoesOnWithAmphorae kills the whole service while real
// amphorae are made, replaced and removed.
func TestAServiceThatIsKilledGoesOnWithAmphorae(t *testing.T) {
	b := newLBService(t)
	b.args = b.local()
	b.serve() // which makes the network
	b.web(8001, "one")
	const n = 4
	ids := map[string]string{}
	for i := range n {
		go func() { _, _, _ = b.call(http.MethodPost, "loadbalancers", b.tree(fmt.Sprint("k", i), "", 8001)) }()
	}
	crash := func(after time.Duration) {
		t.Helper()
		time.Sleep(after) // where in the work it is hit is a matter of chance
		b.kill("serve")
		b.serve()
		b.settled()
	}
	crash(time.Duration(60+rand.IntN(80)) * time.Millisecond)
	for _, l := range b.loadBalancers() {
		if l["provisioning_status"] != "ACTIVE" {
			t.Errorf("%s is %s", l["id"], l["provisioning_status"])
		}
		ids[l["id"].(string)] = l["vip_address"].(string)
		b.answers(l["vip_address"].(string))
	}
	for id := range ids {
		b.must(http.MethodPut, "loadbalancers/"+id+"/failover", nil)
	}
	crash(time.Duration(20+rand.IntN(150)) * time.Millisecond)
	for id, vip := range ids {
		b.awaitStatus(id, "ACTIVE")
		b.answers(vip)
		if a := b.amphorae(id); len(a) != 1 {
			t.Errorf("after its failover %s has the amphorae %v", id, a)
		}
	}
	for id := range ids {
		b.must(http.MethodDelete, "loadbalancers/"+id+"?cascade=true", nil)
	}
	crash(time.Duration(5+rand.IntN(50)) * time.Millisecond)
	if left := b.loadBalancers(); len(left) > 0 {
		t.Errorf("not deleted are %v", left)
	}
	if out := b.command("check"); !strings.Contains(out, "all invariants hold") {
		t.Error(out)
	}
	b.nothingLeft()
}

// TestWhoeverIsKilledNothingStaysPending kills the API, a controller and the
// process that has the store, with a hundred changes in flight.
func TestWhoeverIsKilledNothingStaysPending(t *testing.T) {
	const inFlight = 100
	b := newLBService(t)
	b.serve()
	etcd := "unix://" + filepath.Join(b.data, "store", "etcd.sock")
	others := func() {
		b.start("api", "api", "--listen", "127.0.0.1:9877", "--etcd", etcd)
		b.start("controller", "controller", "--name", "second", "--etcd", etcd)
		b.awaitAPI("127.0.0.1:9877")
	}
	others()
	network := "11111111-1111-1111-1111-111111111111"
	ids := []string{}
	acknowledged := sync.Map{}
	for _, op := range []struct {
		name string
		do   func(i int)
	}{
		{"create", func(i int) {
			status, out, err := b.call(http.MethodPost, "loadbalancers", item{"loadbalancer": item{"name": fmt.Sprint("n", i), "project_id": "p", "vip_network_id": network}})
			if err == nil && status == http.StatusCreated {
				acknowledged.Store(out["loadbalancer"].(item)["id"], true)
			}
		}},
		{"update", func(i int) {
			_, _, _ = b.call(http.MethodPost, "listeners", item{"listener": item{"loadbalancer_id": ids[i], "protocol": "HTTP", "protocol_port": 80}})
		}},
		{"failover", func(i int) { _, _, _ = b.call(http.MethodPut, "loadbalancers/"+ids[i]+"/failover", nil) }},
		{"delete", func(i int) { _, _, _ = b.call(http.MethodDelete, "loadbalancers/"+ids[i]+"?cascade=true", nil) }},
	} {
		var wg sync.WaitGroup
		n := inFlight
		if op.name != "create" {
			n = min(n, len(ids))
		}
		for i := range n {
			wg.Go(func() { op.do(i) })
		}
		time.Sleep(time.Duration(rand.IntN(80)) * time.Millisecond) // where they are hit is a matter of chance
		b.kill("controller")
		b.kill("api")
		b.kill("serve")
		wg.Wait()
		b.serve()
		others()
		b.settled()
		counts := map[any]int{}
		ids = ids[:0]
		for _, l := range b.loadBalancers() {
			counts[l["provisioning_status"]]++
			ids = append(ids, l["id"].(string))
			acknowledged.Delete(l["id"])
		}
		t.Logf("after %s: %v", op.name, counts)
		if counts["ERROR"] > 0 {
			t.Errorf("after %s: %v", op.name, counts)
		}
		if op.name == "create" {
			acknowledged.Range(func(id, _ any) bool {
				t.Errorf("%v was acknowledged, and is lost", id)
				return true
			})
		}
	}
	if out := b.command("check"); !strings.Contains(out, "all invariants hold") {
		t.Error(out)
	}
	b.stop("controller")
	b.stop("api")
	b.stop("serve")
}
