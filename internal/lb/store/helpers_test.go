package store

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.etcd.io/etcd/server/v3/embed"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3rpc"
	"go.uber.org/zap"
	"google.golang.org/grpc"

	"github.com/updraft-cloud/updraft/internal/lb/model"
)

// patience is how long anything may take on a busy computer.
const patience = time.Minute

func open(t *testing.T, o Options) *Store {
	t.Helper()
	if len(o.Endpoints) == 0 && o.Dir == "" {
		o.Dir = t.TempDir()
	}
	if o.WriteTimeout == 0 {
		o.WriteTimeout = patience
	}
	s, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func newLB(project string) *model.LoadBalancer {
	return &model.LoadBalancer{Base: model.Base{ID: model.NewID(), ProjectID: project, Name: "lb", AdminStateUp: true,
		ProvisioningStatus: model.Active, OperatingStatus: model.OpOnline, CreatedAt: model.Now()}, VIP: model.VIP{Address: "192.0.2.1"}}
}

func update(t *testing.T, s *Store, fn func(*Tx) error) {
	t.Helper()
	if err := s.Update(t.Context(), fn); err != nil {
		t.Fatal(err)
	}
}

// cluster is three real members of etcd in this process.
type cluster struct {
	t       *testing.T
	members [3]*embed.Etcd
	configs [3]*embed.Config
	// servers answer clients, in place of etcd's own, which waits for clients
	// when it ends: a member that dies does not.
	servers [3]*grpc.Server
}

// startCluster starts members that take their leader for lost after a time: short
// where that is what is tested, long where a busy computer must not look like it.
func startCluster(t *testing.T, election time.Duration) *cluster {
	t.Helper()
	c := &cluster{t: t}
	urls := freeURLs(t, 6)
	initial := ""
	for i := range 3 {
		initial += fmt.Sprintf(",m%d=%s", i, urls[i].String())
	}
	for i := range 3 {
		cfg := embed.NewConfig()
		cfg.Name, cfg.Dir = fmt.Sprintf("m%d", i), filepath.Join(t.TempDir(), "etcd")
		cfg.ListenPeerUrls, cfg.AdvertisePeerUrls = []url.URL{urls[i]}, []url.URL{urls[i]}
		cfg.ListenClientUrls, cfg.AdvertiseClientUrls = nil, []url.URL{urls[3+i]}
		cfg.InitialCluster = initial[1:]
		cfg.TickMs, cfg.ElectionMs = uint(election.Milliseconds()/10), uint(election.Milliseconds())
		cfg.ZapLoggerBuilder = embed.NewZapLoggerBuilder(zap.NewNop())
		cfg.LogLevel = "error"
		c.configs[i] = cfg
	}
	c.start(0, 1, 2)
	t.Cleanup(func() { c.stop(0, 1, 2) })
	return c
}

func freeURLs(t *testing.T, n int) []url.URL {
	t.Helper()
	var out []url.URL
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		out = append(out, url.URL{Scheme: "http", Host: l.Addr().String()})
	}
	return out
}

func (c *cluster) start(which ...int) {
	c.t.Helper()
	for _, i := range which {
		cfg := *c.configs[i]
		e, err := embed.StartEtcd(&cfg)
		if err != nil {
			c.t.Fatal(err)
		}
		c.members[i] = e
		l, err := net.Listen("tcp", cfg.AdvertiseClientUrls[0].Host)
		if err != nil {
			c.t.Fatal(err)
		}
		c.servers[i] = v3rpc.Server(e.Server, nil, nil)
		go func() { _ = c.servers[i].Serve(l) }()
	}
	for _, i := range which {
		select {
		case <-c.members[i].Server.ReadyNotify():
		case <-time.After(patience):
			c.t.Fatalf("member %d does not become ready", i)
		}
	}
}

// stop ends members at once, their clients' connections included.
func (c *cluster) stop(which ...int) {
	for _, i := range which {
		if e := c.members[i]; e != nil {
			c.servers[i].Stop()
			e.Server.HardStop()
			e.Close()
			c.members[i] = nil
		}
	}
}

// follower is a member that is not the leader.
func (c *cluster) follower() int {
	for i, m := range c.members {
		if m.Server.Leader() != m.Server.MemberID() {
			return i
		}
	}
	return 0
}

func (c *cluster) endpoints() []string {
	var out []string
	for _, cfg := range c.configs {
		out = append(out, cfg.AdvertiseClientUrls[0].String())
	}
	return out
}

// await waits for a condition, for as long as a busy machine may take.
func await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !ok(); {
		if time.Now().After(deadline) {
			t.Fatalf("%s does not come about", what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func mustCheck(t *testing.T, s *Store) {
	t.Helper()
	found, err := s.Check(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range found {
		t.Error(p)
	}
}

func dirOf(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "lb")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}
