package lab_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	amp "github.com/updraft-cloud/updraft/internal/lb/amphora"
	"github.com/updraft-cloud/updraft/internal/netns"
)

// asked asks through a VIP over and over, each time by a connection of its own, and
// notes the longest time without an answer.
type asked struct {
	total, lost atomic.Int64
	longest     time.Duration
	last        atomic.Pointer[error]
	stop        chan struct{}
	done        sync.WaitGroup
}

func (b *lbService) ask(vip string) *asked {
	return asking(func() error { _, err := b.get(vip); return err })
}

func asking(once func() error) *asked {
	a := &asked{stop: make(chan struct{})}
	a.done.Go(func() {
		good := time.Now()
		for {
			select {
			case <-a.stop:
				a.longest = max(a.longest, time.Since(good))
				return
			default:
			}
			a.total.Add(1)
			if err := once(); err != nil {
				a.lost.Add(1)
				a.last.Store(&err)
				continue
			}
			a.longest, good = max(a.longest, time.Since(good)), time.Now()
		}
	})
	return a
}

// end returns what was lost and the longest time without an answer.
func (a *asked) end() (lost int64, longest time.Duration) {
	close(a.stop)
	a.done.Wait()
	return a.lost.Load(), a.longest
}

// holder returns the amphora that has the VIP.
func (b *lbService) holder(lb, vip string) (role, id string) {
	b.t.Helper()
	b.until(20*time.Second, "one of the pair holds "+vip, func() bool {
		role, id = "", ""
		for r, a := range b.amphorae(lb) {
			out, _ := exec.Command("ip", "-n", b.spaceOf(a), "-o", "addr", "show", "dev", "eth0").CombinedOutput()
			if strings.Contains(string(out), vip+"/") {
				role, id = r, a
			}
		}
		return id != ""
	})
	return role, id
}

// TestAPairThroughTheService makes a pair by the API, has traffic through its VIP,
// and takes away the one that holds it: once by force, once as planned.
func TestAPairThroughTheService(t *testing.T) {
	b := newLBService(t)
	b.args = append(b.local(), "--heartbeat", "300ms", "--silence", "1500ms", "--topology", "ACTIVE_STANDBY")
	b.serve()
	b.web(8001, "one")
	id, vip := b.create("pair", 8001)
	if a := b.amphorae(id); len(a) != 2 || a["MASTER"] == "" || a["BACKUP"] == "" {
		t.Fatalf("its amphorae are %v", a)
	}
	role, old := b.holder(id, vip)
	a := b.ask(vip)
	space := b.spaceOf(old)
	for _, pid := range processesIn(space) {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	if err := netns.Delete(space); err != nil { // the computer that it was is gone, with its addresses
		t.Fatal(err)
	}
	b.replaced(id, role, old, vip)
	lost, longest := a.end()
	t.Logf("without the one that held the VIP: %d of %d lost, the longest without an answer %s", lost, a.total.Load(), longest.Round(time.Millisecond))
	if longest > 10*time.Second {
		t.Errorf("for %s nobody answered", longest)
	}
	before := b.amphorae(id)
	a = b.ask(vip)
	b.must(http.MethodPut, "loadbalancers/"+id+"/failover", nil)
	for _, role := range []string{"BACKUP", "MASTER"} {
		b.replaced(id, role, before[role], vip)
	}
	lost, longest = a.end()
	t.Logf("a planned failover of both: %d of %d lost, the longest without an answer %s", lost, a.total.Load(), longest.Round(time.Millisecond))
	if longest > 10*time.Second {
		t.Errorf("for %s nobody answered", longest)
	}
	if n := len(b.amphorae(id)); n != 2 {
		t.Errorf("it has %d amphorae", n)
	}
	b.http.CloseIdleConnections()
	b.must(http.MethodDelete, "loadbalancers/"+id+"?cascade=true", nil)
	b.nothingLeft()
	b.stop("serve")
}

// works returns which controller works on a load balancer.
func (b *lbService) works(id string) string {
	b.t.Helper()
	for line := range strings.Lines(b.command("why", id)) {
		if _, who, ok := strings.Cut(line, "belongs to controller"); ok {
			return strings.Fields(who)[0]
		}
	}
	return ""
}

// kept reads what an agent keeps.
func (b *lbService) kept(amphora, name string, into any) {
	b.t.Helper()
	data, err := os.ReadFile(filepath.Join(b.data, "amphorae", amphora, name))
	if err == nil {
		err = json.Unmarshal(data, into)
	}
	if err != nil && !os.IsNotExist(err) {
		b.t.Fatal(err)
	}
}

// authority returns whom an agent trusts, by what it was started with or was told.
func (b *lbService) authority(amphora, name string) string {
	b.t.Helper()
	var id amp.Identity
	b.kept(amphora, name, &id)
	return id.Authority
}

// told returns the configuration of an agent.
func (b *lbService) told(amphora string) *amp.Config {
	b.t.Helper()
	c := &amp.Config{}
	b.kept(amphora, "config.json", c)
	return c
}

// TestControllersSideBySideOnBadDays has two controllers with real amphorae: the
// authority of all is replaced under traffic, and one of them is killed.
func TestControllersSideBySideOnBadDays(t *testing.T) {
	b := newLBService(t)
	b.args = append(b.local(), "--name", "first", "--heartbeat", "300ms", "--silence", "1500ms")
	b.serve()
	second := append([]string{"controller", "--name", "second", "--etcd", "unix://" + filepath.Join(b.data, "store", "etcd.sock"),
		"--heartbeat", "300ms", "--silence", "1500ms"}, b.local()...)
	b.start("second", second...)
	b.web(8001, "one")
	b.until(20*time.Second, "both controllers are there", func() bool {
		out := b.command("status")
		return strings.Contains(out, "first") && strings.Contains(out, "second")
	})
	vips, of := map[string]string{}, map[string]int{}
	for i := 0; len(of) < 2 || i < 4; i++ { // on whose shard one falls is a matter of chance
		id, vip := b.create(fmt.Sprint("s", i), 8001)
		vips[id] = vip
		b.until(10*time.Second, "somebody works on it", func() bool { return b.works(id) == "first" || b.works(id) == "second" })
		of[b.works(id)]++
	}
	t.Logf("the first has %d, the second %d", of["first"], of["second"])
	t.Run("the authority is replaced under traffic", func(t *testing.T) { b.replaceAuthority(t, vips) })
	t.Run("one is killed and the other takes over", func(t *testing.T) { b.loseSecond(t, vips) })
	b.http.CloseIdleConnections()
	for id := range vips {
		b.must(http.MethodDelete, "loadbalancers/"+id+"?cascade=true", nil)
	}
	b.nothingLeft()
	b.stop("serve")
}

func (b *lbService) replaceAuthority(t *testing.T, vips map[string]string) {
	before := map[string]string{}
	keys := map[string][]byte{}
	var traffic []*asked
	for id, vip := range vips {
		before[id] = b.amphorae(id)["STANDALONE"]
		keys[id] = b.told(before[id]).Heartbeat.Key
		traffic = append(traffic, b.ask(vip))
	}
	for phase := range 3 {
		began := time.Now()
		b.until(20*time.Second, fmt.Sprintf("phase %d begins", phase), func() bool {
			out, err := exec.Command(b.bin, "lb", "--data", b.data, "rotate-ca").CombinedOutput()
			if err != nil && !strings.Contains(string(out), "have not heard") {
				t.Fatalf("%v: %s", err, out)
			}
			return err == nil
		})
		t.Logf("phase %d began after %s", phase, time.Since(began).Round(time.Millisecond))
	}
	b.until(20*time.Second, "all agents have heard of it", func() bool {
		for id, a := range before {
			if strings.Count(b.authority(a, "identity.json"), "BEGIN CERTIFICATE") != 1 || bytes.Equal(b.told(a).Heartbeat.Key, keys[id]) {
				return false
			}
		}
		return true
	})
	for id, a := range before {
		if b.authority(a, "boot.json") == b.authority(a, "identity.json") {
			t.Errorf("the agent of %s trusts whom it trusted", id)
		}
		if b.amphorae(id)["STANDALONE"] != a {
			t.Errorf("the amphora of %s was replaced", id)
		}
	}
	for _, a := range traffic {
		if lost, _ := a.end(); lost > 0 {
			t.Errorf("%d of %d requests were lost, such as: %v", lost, a.total.Load(), *a.last.Load())
		}
	}
	b.changeAll(t, vips, "after the authority")
}

// changeAll has every agent do something, and its beats believed.
func (b *lbService) changeAll(t *testing.T, vips map[string]string, name string) {
	t.Helper()
	for _, l := range b.must(http.MethodGet, "listeners", nil)["listeners"].([]any) {
		b.must(http.MethodPut, "listeners/"+l.(item)["id"].(string), item{"listener": item{"description": name, "connection_limit": 1000 + len(name)}})
	}
	for id := range vips {
		b.awaitStatus(id, "ACTIVE")
		b.until(20*time.Second, "beats say that it is in operation", func() bool {
			return b.must(http.MethodGet, "loadbalancers/"+id, nil)["loadbalancer"].(item)["operating_status"] == "ONLINE"
		})
	}
}

func (b *lbService) loseSecond(t *testing.T, vips map[string]string) {
	var mine, other string
	for id := range vips {
		if b.works(id) == "second" {
			mine = id
		} else {
			other = id
		}
	}
	if mine == "" || other == "" {
		t.Fatalf("of the second is %q, of the first %q", mine, other)
	}
	a := b.ask(vips[mine])
	b.kill("second")
	began := time.Now()
	b.until(20*time.Second, "the first has its shards", func() bool { return b.works(mine) == "first" })
	t.Logf("taken over after %s", time.Since(began).Round(time.Millisecond))
	if lost, _ := a.end(); lost > 0 {
		t.Errorf("%d of %d requests were lost", lost, a.total.Load())
	}
	b.changeAll(t, vips, "by the first")
	old := b.amphorae(mine)["STANDALONE"]
	for _, pid := range processesIn(b.spaceOf(old)) {
		_ = syscall.Kill(pid, syscall.SIGSTOP) // only its silence tells
	}
	b.replaced(mine, "STANDALONE", old, vips[mine])
}
