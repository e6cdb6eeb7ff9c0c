package lab_test

import (
	"errors"
	"fmt"
	"net/http"
	"testing"

	heart "github.com/updraft-cloud/updraft/internal/lb/amphora/beat"
	"github.com/updraft-cloud/updraft/internal/lb/amphora/render"
	"github.com/updraft-cloud/updraft/internal/lb/model"
)

// pair is two amphorae of one load balancer.
type pair struct {
	b     *balancing
	nodes [2]*node
	scene *scene
}

// apply gives both their part.
func (p *pair) apply() {
	p.b.t.Helper()
	version := p.scene.place.Version + 1
	for i, a := range p.nodes {
		other := p.nodes[1-i]
		s := *p.scene
		s.place.Version = version - 1
		s.place.AmphoraID, s.place.Heartbeat.Receivers = a.id, []string{a.receiver.LocalAddr().String()}
		s.place.VRRP = &render.VRRP{
			Interface: "eth0", RouterID: 1, Priority: 100 - 10*i,
			Self:   render.Peer{AmphoraID: a.id, Address: a.address},
			Others: []render.Peer{{AmphoraID: other.id, Address: other.address}},
		}
		a.apply(&s)
	}
	p.scene.place.Version = version
}

// holder waits until exactly one holds the VIPs, and it is not the one given.
func (p *pair) holder(not *node) *node {
	p.b.t.Helper()
	var out *node
	p.b.until("another holds the VIPs", func() error {
		one, two := p.nodes[0].has(p.b.t), p.nodes[1].has(p.b.t)
		out = p.nodes[0]
		if two {
			out = p.nodes[1]
		}
		if one == two || out == not {
			return fmt.Errorf("held by the first: %v, by the second: %v", one, two)
		}
		return nil
	})
	return out
}

func TestAmphoraeStandInForEachOther(t *testing.T) {
	b := newBalancing(t)
	p := &pair{b: b, nodes: [2]*node{b.amphora(1), b.amphora(2)}}
	p.scene = p.nodes[0].scene()
	pool := p.scene.pool(model.ProtocolHTTP, model.RoundRobin)
	pool.SessionPersistence = &model.SessionPersistence{Type: model.PersistSourceIP}
	for i := range 3 {
		p.scene.member(pool, b.web(10+i, nil).at)
	}
	p.scene.listener(model.ProtocolHTTP, 80, pool)
	p.apply()
	master := p.holder(nil)
	c := b.browser(nil)
	answered := func(what string, headers ...string) seen {
		t.Helper()
		var got seen
		b.until("requests are answered "+what, func() (err error) {
			var res *answer
			res, got, err = b.get(c, "http://10.77.0.100/", headers...)
			if err == nil && (res.StatusCode != http.StatusOK || got.Member == "") {
				err = errors.New(res.Status)
			}
			return err
		})
		return got
	}
	first := answered("at first")
	if _, six := b.must(c, "http://[fd77::100]/"); six.Member == "" {
		t.Error("not by IPv6")
	}
	master.heard("it holds the VIPs", func(x *heart.Beat) bool { return x.Holds })
	t.Run("keepalived is killed: the VIPs do not stay behind", func(t *testing.T) {
		id := processOf(t, master, "keepalived")
		if err := id.Signal(9); err != nil {
			t.Fatal(err)
		}
		b.until("keepalived runs again", func() error {
			if again := processOf(t, master, "keepalived"); again == id || !again.Alive() {
				return fmt.Errorf("%+v", again)
			}
			return nil
		})
		answered("by whoever it is")
		master = p.holder(nil)
	})
	t.Run("an amphora is fenced: the other takes over, and knows the clients", func(t *testing.T) {
		// Keep what the peers tell each other from being overtaken.
		for range 3 {
			answered("while the peers learn")
		}
		was := master
		s := *p.scene
		s.place.AmphoraID, s.place.Fenced = was.id, true
		s.place.Heartbeat.Receivers = []string{was.receiver.LocalAddr().String()}
		was.apply(&s)
		p.scene.place.Version = s.place.Version
		master = p.holder(was)
		if got := answered("by the other"); got.Member != first.Member {
			t.Errorf("the client of %s came to %s", first.Member, got.Member)
		}
		p.apply()
	})
	t.Run("HAProxy cannot start: the other takes over", func(t *testing.T) {
		was := master
		was.breakHAProxy(t)
		master = p.holder(was)
		answered("by the other")
		was.heard("it says what is wrong", func(x *heart.Beat) bool { return x.Fault != "" && !x.Holds })
	})
	t.Run("the whole amphora is gone", func(t *testing.T) {
		p.nodes[0].mendHAProxy(t)
		p.nodes[1].mendHAProxy(t)
		for _, n := range p.nodes {
			n.heard("both are well", func(x *heart.Beat) bool { return x.Fault == "" })
		}
		master = p.holder(nil)
		b.ip("hub", "link set p-"+master.name+" nomaster") // silence, as keepalived's own packets pass every filter
		answered("by the other")
		b.ip("hub", "link set p-"+master.name+" master br0")
	})
}
