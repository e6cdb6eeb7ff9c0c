package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/updraft-cloud/updraft/internal/netns"
)

// The network of the part traffic lies in a namespace of its own: amphorae and
// the HAProxy by hand are plugged into its bridge, members and clients are in it.
const (
	netCIDR  = "10.66.0.0/24"
	netHost  = "10.66.0.1"
	vip      = "10.66.0.250"
	byHand   = "10.66.0.251"
	netFront = "brfront"
)

// place is the namespace with members in it.
type place struct {
	name string
	ns   *netns.NS
	undo []func() error
}

func newPlace(ctx context.Context) (*place, error) {
	p := &place{name: fmt.Sprintf("lbbench%d", os.Getpid())}
	if err := netns.Create(p.name); err != nil {
		return nil, err
	}
	p.undo = append(p.undo, func() error { return netns.Delete(p.name) })
	ns, err := netns.Open(p.name)
	if err != nil {
		return nil, errors.Join(err, p.close())
	}
	p.ns = ns
	p.undo = append(p.undo, ns.Close)
	if err := ip(ctx, "-n", p.name, "link", "set", "lo", "up"); err != nil {
		return nil, errors.Join(err, p.close())
	}
	for n := range 2 {
		if err := p.member(ctx, n+1); err != nil {
			return nil, errors.Join(err, p.close())
		}
	}
	return p, nil
}

// close takes everything away in turn.
func (p *place) close() error {
	var err error
	for i := len(p.undo) - 1; i >= 0; i-- {
		err = errors.Join(err, p.undo[i]())
	}
	p.undo = nil
	return err
}

// member serves its number, and a megabyte after a megabyte.
func (p *place) member(ctx context.Context, n int) error {
	l, err := p.ns.Listen(ctx, "tcp", fmt.Sprintf("0.0.0.0:%d", 8000+n))
	if err != nil {
		return err
	}
	mb := make([]byte, 1<<20)
	mux := http.NewServeMux()
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintf(w, "%d", n) })
	mux.HandleFunc("/mb", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(mb) })
	mux.HandleFunc("/slow", func(w http.ResponseWriter, r *http.Request) { slowly(r.Context(), w) })
	srv := &http.Server{Handler: mux, ReadHeaderTimeout: time.Minute}
	go func() { _ = srv.Serve(l) }() // until it is closed
	p.undo = append(p.undo, srv.Close)
	return nil
}

// slowly answers a byte every 20 ms for four seconds.
func slowly(ctx context.Context, w http.ResponseWriter) {
	for range 200 {
		if _, err := w.Write([]byte{'.'}); err != nil {
			return
		}
		w.(http.Flusher).Flush()
		select {
		case <-ctx.Done():
			return
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func ip(ctx context.Context, args ...string) error {
	out, err := exec.CommandContext(ctx, "ip", args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("ip %s: %w: %s", strings.Join(args, " "), err, out)
	}
	return nil
}

func (p *place) dial(ctx context.Context, addr string, patience time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return p.ns.DialContext(ctx, "tcp", addr)
}

// networks writes the declaration of the network.
func (p *place) networks(dir string) (string, error) {
	file := filepath.Join(dir, "networks.yaml")
	text := fmt.Sprintf(`networks:
- name: front
  bridge: %s
  namespace: %s
  subnets:
  - id: %s
    name: front4
    cidr: %s
    host: %s
    gateway: %s
    pool: 10.66.0.10-10.66.0.200
`, netFront, p.name, subnet, netCIDR, netHost, netHost)
	return file, os.WriteFile(file, []byte(text), 0o600)
}

// measureTraffic measures what users of a load balancer see.
func measureTraffic(ctx context.Context, b *bench) (err error) {
	if os.Geteuid() != 0 {
		return errors.New("namespaces need root")
	}
	p, err := newPlace(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.close()) }()
	dir, err := os.MkdirTemp("", "lbbench")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }() // it is below the directory of temporary files
	file, err := p.networks(dir)
	if err != nil {
		return err
	}
	s, err := b.serve(ctx, "--compute", "netns", "--network", "local", "--networks", file, "--secrets", "noop")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.stop()) }()
	lb, err := b.firstAnswer(ctx, s, p)
	if lb != "" {
		defer func() { err = errors.Join(err, s.remove(context.WithoutCancel(ctx), lb)) }()
	}
	if err != nil {
		return err
	}
	if err := b.memberChanges(ctx, s, p, lb); err != nil {
		return err
	}
	return b.throughput(ctx, p, dir)
}

// firstAnswer measures from POST until a request through the VIP is answered.
func (b *bench) firstAnswer(ctx context.Context, s *service, p *place) (string, error) {
	var members []map[string]any
	for n := range 2 {
		members = append(members, map[string]any{"address": netHost, "protocol_port": 8001 + n, "name": fmt.Sprint(n + 1)})
	}
	pool := map[string]any{"name": "web", "protocol": "HTTP", "lb_algorithm": "ROUND_ROBIN", "members": members}
	body := map[string]any{"loadbalancer": map[string]any{
		"name": "bench", "project_id": project, "vip_subnet_id": subnet, "vip_address": vip,
		"listeners": []any{map[string]any{"name": "web", "protocol": "HTTP", "protocol_port": 80, "default_pool": pool}},
	}}
	var made struct {
		LoadBalancer struct {
			ID string `json:"id"`
		} `json:"loadbalancer"`
	}
	start := time.Now()
	if err := s.call(ctx, http.MethodPost, lbs, body, &made); err != nil {
		return "", err
	}
	err := until(ctx, time.Minute, "an answer of the load balancer", func() (bool, error) {
		_, err := p.ask(ctx, vip+":80", 50*time.Millisecond)
		return err == nil, nil
	})
	if err != nil {
		return made.LoadBalancer.ID, err
	}
	b.got("first answer s", time.Since(start).Seconds())
	return made.LoadBalancer.ID, s.active(ctx, made.LoadBalancer.ID)
}

// remove deletes a load balancer and waits until nothing of it is there.
func (s *service) remove(ctx context.Context, lb string) error {
	if err := s.call(ctx, http.MethodDelete, lbs+"/"+lb+"?cascade=true", nil, nil); err != nil {
		return err
	}
	return until(ctx, time.Minute, "the end of the load balancer", func() (bool, error) {
		return s.call(ctx, http.MethodGet, lbs+"/"+lb, nil, nil) != nil, nil
	})
}
