package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/updraft-cloud/updraft/internal/netns"
)

// throughput compares the amphora's HAProxy with one that was started by hand in
// a namespace on the same bridge: in turn, so that both meet the same computer.
func (b *bench) throughput(ctx context.Context, p *place, dir string) (err error) {
	stop, err := p.haproxy(ctx, dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stop()) }()
	for _, what := range []struct {
		name, path string
		total      int
	}{{"", "/", 20_000}, {" mb", "/mb", 1500}} {
		var own, other []float64
		for range 5 {
			for _, t := range []struct {
				addr string
				to   *[]float64
			}{{vip + ":80", &own}, {byHand + ":80", &other}} {
				rate, err := p.rate(ctx, t.addr, what.path, what.total)
				if err != nil {
					return err
				}
				*t.to = append(*t.to, rate)
			}
		}
		b.log("throughput%s: %.0f req/s, by hand %.0f", what.name, median(own), median(other))
		b.got("throughput"+what.name+" %", 100*median(own)/median(other))
		b.got("throughput"+what.name+" req/s", median(own))
	}
	return nil
}

func (p *place) rate(ctx context.Context, addr, path string, total int) (float64, error) {
	req := get(path)
	o, err := requests{
		dial:    func() (net.Conn, error) { return p.dial(ctx, addr, 5*time.Second) },
		clients: 16, total: total, want: 200, bytes: func(int) []byte { return req },
	}.run()
	if err != nil {
		return 0, err
	}
	return o.rate(), nil
}

const handConfig = `global
    maxconn 5000
defaults
    mode http
    timeout connect 5s
    timeout client 50s
    timeout server 50s
frontend web
    bind %s:80
    default_backend web
backend web
    balance roundrobin
    server a %s:8001 weight 1
    server b %s:8002 weight 1
`

// haproxy starts one by hand.
func (p *place) haproxy(ctx context.Context, dir string) (stop func() error, err error) {
	name := p.name + "h"
	if err := netns.Create(name); err != nil {
		return nil, err
	}
	undo := func() error { return netns.Delete(name) }
	for _, args := range [][]string{
		{"-n", p.name, "link", "add", "byhand", "type", "veth", "peer", "name", "eth0", "netns", name},
		{"-n", p.name, "link", "set", "byhand", "master", netFront, "up"},
		{"-n", name, "link", "set", "lo", "up"},
		{"-n", name, "link", "set", "eth0", "up"},
		{"-n", name, "addr", "add", byHand + "/24", "dev", "eth0"},
	} {
		if err := ip(ctx, args...); err != nil {
			return nil, errors.Join(err, undo())
		}
	}
	file := filepath.Join(dir, "haproxy.cfg")
	if err := os.WriteFile(file, fmt.Appendf(nil, handConfig, byHand, netHost, netHost), 0o600); err != nil {
		return nil, errors.Join(err, undo())
	}
	cmd := exec.Command("ip", "netns", "exec", name, "haproxy", "-db", "-f", file) //nolint:gosec // our own file
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		return nil, errors.Join(err, undo())
	}
	stop = func() error {
		killed := cmd.Process.Kill()
		_ = cmd.Wait() // it was killed
		return errors.Join(killed, undo())
	}
	err = until(ctx, 10*time.Second, "the HAProxy by hand", func() (bool, error) {
		_, err := p.ask(ctx, byHand+":80", 100*time.Millisecond)
		return err == nil, nil
	})
	if err != nil {
		return nil, errors.Join(err, stop(), errors.New(said.String()))
	}
	return stop, nil
}
