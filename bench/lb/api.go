package main

import (
	"context"
	"errors"
	"fmt"
	"time"
)

const (
	project = "0123456789abcdef0123456789abcdef"
	subnet  = "5c0d2f6e-2a8e-4a57-9f5b-1f1d6f0a7b11"
	lbs     = "/v2.0/lbaas/loadbalancers"
	clients = 8
)

// noop are the drivers that do nothing at once, as those that upstream was
// measured with.
var noop = []string{"--compute", "noop", "--network", "noop", "--secrets", "noop"}

func create(n int) []byte {
	return post(lbs, fmt.Sprintf(`{"loadbalancer":{"name":"lb-%d","vip_subnet_id":"%s","project_id":"%s"}}`, n, subnet, project))
}

// measureAPI measures requests of a service with 1,000 load balancers, then more
// creations.
func measureAPI(ctx context.Context, b *bench) (err error) {
	s, err := b.serve(ctx, noop...)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.stop()) }()
	if _, err := (requests{s.dial, clients, 1000, create, 201}).run(); err != nil {
		return err
	}
	if err := s.allActive(ctx); err != nil {
		return err
	}
	if err := b.reads(ctx, s); err != nil {
		return err
	}
	m, err := s.rss()
	if err != nil {
		return err
	}
	b.got("rss 1000", m)
	return b.creations(ctx, s, 4000)
}

func (b *bench) reads(ctx context.Context, s *service) error {
	id, err := s.first(ctx)
	if err != nil {
		return err
	}
	pool, err := s.poolOf200(ctx, id)
	if err != nil {
		return err
	}
	one := get(lbs + "/" + id)
	for _, c := range []struct {
		name string
		req  []byte
		n    int
	}{
		{"get", one, 40_000},
		{"pool200", get("/v2.0/lbaas/pools/" + pool), 8000},
		{"members200", get("/v2.0/lbaas/pools/" + pool + "/members"), 3000},
		{"tree200", get(lbs + "/" + id + "/status"), 3000},
		{"list1000", get(lbs), 200},
	} {
		if err := b.repeat(s, c.name, c.req, c.n); err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
	}
	return nil
}

// repeat measures a request at eight connections, and how long it takes alone.
func (b *bench) repeat(s *service, name string, req []byte, n int) error {
	same := func(int) []byte { return req }
	alone, err := requests{s.dial, 1, n / 10, same, 200}.run()
	if err != nil {
		return err
	}
	before, err := s.cpu()
	if err != nil {
		return err
	}
	o, err := requests{s.dial, clients, n, same, 200}.run()
	if err != nil {
		return err
	}
	after, err := s.cpu()
	if err != nil {
		return err
	}
	b.got(name+" alone ms", alone.quantile(0.5))
	b.got(name+" cpu ms", (after-before).Seconds()*1000/float64(n))
	b.got(name+" req/s", o.rate())
	b.got(name+" p50 ms", o.quantile(0.5))
	b.got(name+" p99 ms", o.quantile(0.99))
	return nil
}

// creations measures POST, and how long it takes until all that was created is
// ACTIVE.
func (b *bench) creations(ctx context.Context, s *service, n int) error {
	start := time.Now()
	o, err := requests{s.dial, clients, n, create, 201}.run()
	if err != nil {
		return err
	}
	if err := s.allActive(ctx); err != nil {
		return err
	}
	b.got("post req/s", o.rate())
	b.got("post p50 ms", o.quantile(0.5))
	b.got("post p99 ms", o.quantile(0.99))
	b.got("active LB/s", float64(n)/time.Since(start).Seconds())
	return nil
}

type listed struct {
	LoadBalancers []struct {
		ID     string `json:"id"`
		Status string `json:"provisioning_status"`
	} `json:"loadbalancers"`
}

func (s *service) first(ctx context.Context) (string, error) {
	var l listed
	if err := s.call(ctx, "GET", lbs+"?limit=1", nil, &l); err != nil {
		return "", err
	}
	if len(l.LoadBalancers) == 0 {
		return "", errors.New("there is no load balancer")
	}
	return l.LoadBalancers[0].ID, nil
}

// allActive waits until nothing is being created any more and nothing failed. It
// asks for one load balancer that is not ACTIVE, which is cheap for both.
func (s *service) allActive(ctx context.Context) error {
	return until(ctx, 10*time.Minute, "that all are ACTIVE", func() (bool, error) {
		for _, status := range []string{"ERROR", "PENDING_CREATE", "PENDING_UPDATE"} {
			var l listed
			if err := s.call(ctx, "GET", lbs+"?limit=1&fields=id&fields=provisioning_status&provisioning_status="+status, nil, &l); err != nil {
				return false, err
			}
			if len(l.LoadBalancers) > 0 && status == "ERROR" {
				return false, fmt.Errorf("load balancer %s is in ERROR", l.LoadBalancers[0].ID)
			}
			if len(l.LoadBalancers) > 0 {
				return false, nil
			}
		}
		return true, nil
	})
}

// poolOf200 makes a listener and a pool of 200 members.
func (s *service) poolOf200(ctx context.Context, lb string) (string, error) {
	var p struct {
		Pool struct {
			ID string `json:"id"`
		} `json:"pool"`
	}
	body := map[string]any{"listener": map[string]any{"loadbalancer_id": lb, "protocol": "HTTP", "protocol_port": 80}}
	var l struct {
		Listener struct {
			ID string `json:"id"`
		} `json:"listener"`
	}
	if err := s.change(ctx, lb, "POST", "/v2.0/lbaas/listeners", body, &l); err != nil {
		return "", err
	}
	body = map[string]any{"pool": map[string]any{"listener_id": l.Listener.ID, "protocol": "HTTP", "lb_algorithm": "ROUND_ROBIN"}}
	if err := s.change(ctx, lb, "POST", "/v2.0/lbaas/pools", body, &p); err != nil {
		return "", err
	}
	var members []map[string]any
	for n := range 200 {
		members = append(members, map[string]any{"address": fmt.Sprintf("192.0.2.%d", n+1), "protocol_port": 80, "name": fmt.Sprintf("web-%d", n)})
	}
	return p.Pool.ID, s.change(ctx, lb, "PUT", "/v2.0/lbaas/pools/"+p.Pool.ID+"/members", map[string]any{"members": members}, nil)
}

// change makes a request and waits until the load balancer is ACTIVE again.
func (s *service) change(ctx context.Context, lb, method, path string, body, out any) error {
	if err := s.call(ctx, method, path, body, out); err != nil {
		return err
	}
	return s.active(ctx, lb)
}

func (s *service) active(ctx context.Context, lb string) error {
	return until(ctx, time.Minute, "load balancer "+lb, func() (bool, error) {
		var got struct {
			LoadBalancer struct {
				Status string `json:"provisioning_status"`
			} `json:"loadbalancer"`
		}
		err := s.call(ctx, "GET", lbs+"/"+lb, nil, &got)
		if err == nil && got.LoadBalancer.Status == "ERROR" {
			err = errors.New("the load balancer is in ERROR")
		}
		return got.LoadBalancer.Status == "ACTIVE", err
	})
}

// measureScale measures memory and reads with very many load balancers.
func measureScale(ctx context.Context, b *bench) (err error) {
	s, err := b.serve(ctx, noop...)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.stop()) }()
	start := time.Now()
	o, err := requests{s.dial, 4 * clients, b.many, create, 201}.run()
	if err != nil {
		return err
	}
	if err := s.allActive(ctx); err != nil {
		return err
	}
	b.got("scale post req/s", o.rate())
	b.got("scale active LB/s", float64(b.many)/time.Since(start).Seconds())
	m, err := s.rss()
	if err != nil {
		return err
	}
	b.got("rss 100000", m)
	id, err := s.first(ctx)
	if err != nil {
		return err
	}
	if err := b.repeat(s, "scale get", get(lbs+"/"+id), 40_000); err != nil {
		return err
	}
	return b.repeat(s, "scale list1000", get(lbs), 200)
}
