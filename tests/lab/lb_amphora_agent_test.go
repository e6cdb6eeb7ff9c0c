package lab_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/updraft-cloud/updraft/internal/lb/agent/client"
	"github.com/updraft-cloud/updraft/internal/lb/amphora"
	heart "github.com/updraft-cloud/updraft/internal/lb/amphora/beat"
	"github.com/updraft-cloud/updraft/internal/lb/amphora/render"
	"github.com/updraft-cloud/updraft/internal/lb/model"
	"github.com/updraft-cloud/updraft/internal/proc"
)

// traffic asks over and over, on connections that are kept and on new ones, and
// counts what is not answered.
type traffic struct {
	asked, lost atomic.Int64
	first       atomic.Pointer[string]
	stop        context.CancelFunc
	done        sync.WaitGroup
}

func (b *balancing) traffic(url string) *traffic {
	ctx, cancel := context.WithCancel(b.t.Context())
	tr := &traffic{stop: cancel}
	for i := range 4 {
		c := b.browser(func(t *http.Transport) { t.DisableKeepAlives = i%2 == 0 })
		tr.done.Go(func() {
			for ctx.Err() == nil {
				res, got, err := b.get(c, url)
				tr.asked.Add(1)
				if err != nil || res.StatusCode != http.StatusOK || got.Member == "" {
					tr.lost.Add(1)
					why := fmt.Sprintf("%v %+v", err, res)
					tr.first.CompareAndSwap(nil, &why)
				}
			}
		})
	}
	b.t.Cleanup(cancel)
	return tr
}

func (tr *traffic) end(t *testing.T) {
	t.Helper()
	tr.stop()
	tr.done.Wait()
	t.Logf("%d requests, %d lost", tr.asked.Load(), tr.lost.Load())
	if tr.lost.Load() > 0 {
		t.Errorf("%d of %d requests were lost, the first: %s", tr.lost.Load(), tr.asked.Load(), *tr.first.Load())
	}
}

func TestAmphoraChangesLoseNoRequest(t *testing.T) {
	b := newBalancing(t)
	a := b.amphora(1)
	s := a.scene()
	pool := s.pool(model.ProtocolHTTP, model.RoundRobin)
	s.monitor(pool, model.MonitorHTTP)
	s.listener(model.ProtocolHTTP, 80, pool)
	keep := s.member(pool, b.web(10, nil).at)
	var more []backend
	for i := range 4 {
		more = append(more, b.web(11+i, nil))
	}
	a.apply(s)
	tr := b.traffic("http://10.77.0.100/")
	var worst time.Duration
	want := func(what, by string) {
		t.Helper()
		done := a.apply(s)
		if done.By != by {
			t.Errorf("%s: %+v and not by %s", what, done, by)
		}
		if by == amphora.ByRuntime {
			worst = max(worst, time.Duration(done.TookMS*float64(time.Millisecond)))
		}
	}
	for round := range 5 {
		var added []*model.Member
		for _, m := range more {
			added = append(added, s.member(pool, m.at))
		}
		want("members added", amphora.ByRuntime)
		keep.Weight = 1 + round
		added[0].Weight = 0
		want("weights", amphora.ByRuntime)
		added[1].AdminStateUp = false
		want("one disabled", amphora.ByRuntime)
		s.Listeners[0].TimeoutClientData += 1000
		want("a timeout", amphora.ByReload)
		added[1].AdminStateUp = true
		want("enabled again", amphora.ByRuntime)
		s.Members = s.Members[:1]
		want("members removed", amphora.ByRuntime)
	}
	s.listener(model.ProtocolHTTP, 81, pool)
	want("a listener", amphora.ByReload)
	tr.end(t)
	t.Logf("the slowest change at run time took %s", worst)
	// Members that were removed are deleted when nothing of them is left.
	b.until("removed servers are gone", func() error {
		out, err := os.ReadFile(filepath.Join(a.dir, "haproxy.cfg"))
		if err == nil && strings.Count(string(out), "    server ") != 2 {
			err = errors.New(string(out))
		}
		return err
	})
}

func TestAmphoraAddsAMemberAtOnce(t *testing.T) {
	b := newBalancing(t)
	a := b.amphora(1)
	s := a.scene()
	pool := s.pool(model.ProtocolTCP, model.LeastConnections)
	s.listener(model.ProtocolTCP, 80, pool)
	one, two := b.web(10, nil), b.web(11, nil)
	s.member(pool, one.at)
	a.apply(s)
	c := b.browser(nil)
	for range 5 {
		s.member(pool, two.at)
		began := time.Now()
		a.apply(s)
		applied := time.Since(began)
		// The next two connections go to both.
		got := b.spread(c, "http://10.77.0.100/", 4)
		if len(got) != 2 {
			t.Errorf("a new member got none of %v", got)
		}
		t.Logf("in effect after %s", applied)
		s.Members = s.Members[:1]
		a.apply(s)
	}
}

func TestAmphoraAgentIsCareful(t *testing.T) {
	b := newBalancing(t)
	a := b.amphora(1)
	s := a.scene()
	pool := s.pool(model.ProtocolHTTP, model.RoundRobin)
	s.member(pool, b.web(10, nil).at)
	l := s.listener(model.ProtocolHTTP, 80, pool)
	a.apply(s)
	ctx := t.Context()

	t.Run("who is no controller is refused", func(t *testing.T) {
		other := client.New(b.controller(a.id), a.id, a.address.String()+":9443")
		defer other.Close()
		if _, err := other.Status(ctx); err == nil {
			t.Error("the agent's own kind of certificate was taken")
		}
		o := b.controller(amphora.ControllerName)
		wrong := client.New(o, model.NewID(), a.address.String()+":9443")
		defer wrong.Close()
		if _, err := wrong.Status(ctx); err == nil || !strings.Contains(err.Error(), "and not of ") {
			t.Errorf("another amphora was taken for the one that was meant: %v", err)
		}
		bare := b.browser(nil)
		if _, _, err := b.get(bare, "https://"+a.address.String()+":9443/v1/status"); err == nil {
			t.Error("a client without a certificate was answered")
		}
	})
	t.Run("an older version is refused", func(t *testing.T) {
		s.place.Version -= 1
		c, err := render.Config(s.Tree, s.place)
		s.place.Version += 1
		if err != nil {
			t.Fatal(err)
		}
		if _, err := a.client.Apply(ctx, c); !client.Older(err) {
			t.Errorf("answered %v", err)
		}
	})
	t.Run("what HAProxy refuses takes no effect", func(t *testing.T) {
		good := *l
		defer func() { *l = good }()
		l.Protocol, l.DefaultTLSContainerRef, s.place.Secrets["x"] = model.ProtocolTerminatedHTTPS, "x", []byte("no certificate")
		s.place.Version++
		c, err := render.Config(s.Tree, s.place)
		if err != nil {
			t.Fatal(err)
		}
		_, err = a.client.Apply(ctx, c)
		if !client.Refused(err) || !strings.Contains(err.Error(), "ALERT") {
			t.Errorf("answered %v", err)
		}
		if _, got := b.must(b.browser(nil), "http://10.77.0.100/"); got.Member != "m10" {
			t.Error("what was there is gone")
		}
	})
	t.Run("what is refused in its second half takes no effect either", func(t *testing.T) {
		s.place.Version++
		c, err := render.Config(s.Tree, s.place)
		if err != nil {
			t.Fatal(err)
		}
		be := &c.HAProxy.Backends[0]
		fine, wrong := be.Servers[0], be.Servers[0]
		fine.Name, wrong.Name, wrong.Options = "fine", "wrong", []string{"nonsense"}
		be.Servers = append(be.Servers, fine, wrong)
		if _, err := a.client.Apply(ctx, c); !client.Refused(err) {
			t.Errorf("answered %v", err)
		}
		if out := a.ask(t, "show servers state"); strings.Contains(out, "fine") || !strings.Contains(out, be.Servers[0].Name) {
			t.Errorf("HAProxy has\n%s", out)
		}
	})
	t.Run("an agent that ended in the middle of a change leaves nothing of it", func(t *testing.T) {
		if err := a.cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = a.cmd.Wait()
		if err := os.WriteFile(filepath.Join(a.dir, "changing"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if out := a.ask(t, "add server "+pool.ID+":"+l.ID+"/half 10.77.0.11:80"); !strings.Contains(out, "New server") {
			t.Fatal(out)
		}
		a.start()
		b.until("the half is gone", func() error {
			if out := a.ask(t, "show servers state"); strings.Contains(out, "half") {
				return errors.New(out)
			}
			return nil
		})
		b.until("it is noted", func() error {
			if _, err := os.Stat(filepath.Join(a.dir, "changing")); err == nil {
				return errors.New("it is being changed")
			}
			return nil
		})
	})
	t.Run("certificates rotate while requests go on", func(t *testing.T) {
		tr := b.traffic("http://10.77.0.100/")
		id := a.identity()
		if err := a.client.Rotate(ctx, id); err != nil {
			t.Fatal(err)
		}
		if _, err := a.client.Status(ctx); err != nil {
			t.Error(err)
		}
		wrong := id
		wrong.Key = a.identity().Key
		if err := a.client.Rotate(ctx, wrong); !client.Refused(err) {
			t.Errorf("a key of another certificate: %v", err)
		}
		tr.end(t)
	})
	t.Run("keys of beats rotate", func(t *testing.T) {
		a.heard("something", func(*heart.Beat) bool { return true })
		s.place.Heartbeat.Key = []byte("another key of thirty-two bytes!")
		a.apply(s)
		if data, err := os.ReadFile(filepath.Join(a.dir, "config.json")); err != nil || !json.Valid(data) {
			t.Errorf("the configuration is not kept: %v", err)
		}
		s.place.Heartbeat.Key = b.key
		a.apply(s)
		a.heard("the newest version", func(x *heart.Beat) bool { return x.Version == s.place.Version })
	})
	t.Run("the agent is killed and requests go on", func(t *testing.T) {
		tr := b.traffic("http://10.77.0.100/")
		before := haproxyOf(t, a)
		total := a.heard("counters", func(x *heart.Beat) bool { return x.Listeners[l.ID].Total > 0 })
		if err := a.cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = a.cmd.Wait()
		a.start()
		if after := haproxyOf(t, a); after != before {
			t.Errorf("HAProxy was %+v and is %+v", before, after)
		}
		next := a.heard("another start", func(x *heart.Beat) bool { return x.Boot > total.Boot })
		if next.Listeners[l.ID].Total < total.Listeners[l.ID].Total {
			t.Errorf("the counters went back from %d to %d", total.Listeners[l.ID].Total, next.Listeners[l.ID].Total)
		}
		l.TimeoutClientData += 1000
		if done := a.apply(s); done.By != amphora.ByReload {
			t.Errorf("after the restart: %+v", done)
		}
		tr.end(t)
	})
	t.Run("HAProxy is killed and comes back", func(t *testing.T) {
		before := haproxyOf(t, a)
		if err := before.Signal(9); err != nil {
			t.Fatal(err)
		}
		b.until("HAProxy runs again", func() error {
			if again := haproxyOf(t, a); again == before || !again.Alive() {
				return fmt.Errorf("%+v", again)
			}
			return nil
		})
		b.until("requests are answered again", func() error {
			_, got, err := b.get(b.browser(nil), "http://10.77.0.100/")
			if err == nil && got.Member == "" {
				err = errors.New("by nobody")
			}
			return err
		})
	})
	t.Run("fenced it holds no VIP", func(t *testing.T) {
		s.place.Fenced = true
		a.apply(s)
		a.heard("it holds nothing", func(x *heart.Beat) bool { return x.Version == s.place.Version && !x.Holds })
		b.ip(a.name, "addr add 10.77.0.100/24 dev eth0") // as a stray would
		a.heard("the stray is gone", func(x *heart.Beat) bool { return !a.has(t) })
		s.place.Fenced = false
		a.apply(s)
		a.heard("it holds them again", func(x *heart.Beat) bool { return x.Holds })
	})
}

func haproxyOf(t *testing.T, a *node) proc.ID { return processOf(t, a, "haproxy") }

func processOf(t *testing.T, a *node, name string) proc.ID {
	t.Helper()
	var id proc.ID
	data, err := os.ReadFile(filepath.Join(a.dir, name+".process"))
	if err == nil {
		err = json.Unmarshal(data, &id)
	}
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// has reports whether the VIP is on the amphora's interface.
func (a *node) has(t *testing.T) bool {
	t.Helper()
	found := false
	err := a.ns.Do(func() error {
		addrs, err := interfaceAddrs()
		for _, s := range addrs {
			found = found || strings.HasPrefix(s, vip4.String()+"/")
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// breakHAProxy ends HAProxy and keeps it from being started.
func (a *node) breakHAProxy(t *testing.T) {
	t.Helper()
	cfg := filepath.Join(a.dir, "haproxy.cfg")
	if err := os.Rename(cfg, cfg+".kept"); err != nil {
		t.Fatal(err)
	}
	if err := haproxyOf(t, a).Signal(9); err != nil {
		t.Fatal(err)
	}
}

// mendHAProxy takes that back, if it was done.
func (a *node) mendHAProxy(t *testing.T) {
	t.Helper()
	cfg := filepath.Join(a.dir, "haproxy.cfg")
	if err := os.Rename(cfg+".kept", cfg); err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
}

// ask gives HAProxy a command of its runtime API.
func (a *node) ask(t *testing.T, command string) string {
	t.Helper()
	c, err := net.Dial("unix", filepath.Join(a.dir, "haproxy.sock"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := io.WriteString(c, command+"\n"); err != nil {
		t.Fatal(err)
	}
	out, err := io.ReadAll(c)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}
