package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/updraft-cloud/updraft/bench/cloud"
	"github.com/updraft-cloud/updraft/bench/outage"
	"github.com/updraft-cloud/updraft/bench/record"
	"github.com/updraft-cloud/updraft/internal/machine/lab"
	"github.com/updraft-cloud/updraft/internal/netns"
	"github.com/updraft-cloud/updraft/internal/openstack"
	"github.com/updraft-cloud/updraft/internal/spec"
	"github.com/updraft-cloud/updraft/internal/status"
)

// How long a cloud may take to be whole again, and for how long all must have
// answered before the next thing is broken.
const (
	patience = 10 * time.Minute
	calm     = 5 * time.Second
)

type bench struct {
	*flags
	cloud *cloud.Cloud
	spec  *spec.Cloud
	watch *outage.Watch
	log   func(format string, args ...any)
	res   results
}

// measure raises the cloud and has it live through all events.
func (b *bench) measure(ctx context.Context) error {
	b.log("raising %s", name)
	began := time.Now()
	if _, err := b.cloud.Run(ctx, "up"); err != nil {
		return err
	}
	b.res = results{Computer: record.ThisComputer(), At: began, Up: time.Since(began).Seconds(), Every: b.every, Timeout: b.timeout}
	var err error
	if b.spec, err = b.cloud.Spec(); err != nil {
		return err
	}
	ns, err := netns.Open(lab.Namespace(name))
	if err != nil {
		return err
	}
	defer ns.Close()
	if err := b.start(ctx, ns); err != nil {
		return err
	}
	defer b.watch.Stop()
	for _, e := range b.all() {
		if !b.events.MatchString(e.name) {
			continue
		}
		if err := b.event(ctx, e); err != nil {
			return errors.Join(fmt.Errorf("%s: %w", e.name, err), b.res.write(b.out))
		}
	}
	return b.res.write(b.out)
}

// start begins to ask every API through the virtual address what HAProxy asks it.
func (b *bench) start(ctx context.Context, ns *netns.NS) error {
	ca, err := os.ReadFile(filepath.Join(b.cloud.StateDir(), "handoff", "ca.pem"))
	if err != nil {
		return err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(ca) {
		return errors.New("cannot read the authority that was handed over")
	}
	var targets []outage.Target
	for _, s := range openstack.Services() {
		for _, e := range s.Endpoints {
			if e.Type == "" {
				continue // pages and metadata have other clients
			}
			address := net.JoinHostPort(b.spec.OpenStack.VIP.Address.String(), strconv.Itoa(e.Port))
			targets = append(targets, outage.Target{
				Name: s.Name, URL: "https://" + address + e.Check,
				Accept: func(code int) bool { return code < http.StatusInternalServerError },
			})
		}
	}
	client := &http.Client{Timeout: b.timeout, Transport: &http.Transport{
		DialContext: ns.DialContext, DisableKeepAlives: true, TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12},
	}}
	b.watch = outage.Start(ctx, client, b.every, targets)
	return nil
}

// event breaks something, waits until all answer, mends it, and waits until the
// cloud is whole.
func (b *bench) event(ctx context.Context, e event) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	st, err := b.whole(ctx)
	if err != nil {
		return err
	}
	host, note := e.host(st)
	title := fmt.Sprintf(e.name, host) + note
	b.log("%s", title)
	for _, half := range []struct {
		what string
		do   func(context.Context, *bench, string) error
	}{{title, e.breaks}, {"… and back", e.mends}} {
		if half.do == nil {
			continue
		}
		from := time.Now()
		if err := half.do(ctx, b, host); err != nil {
			return err
		}
		if _, err := b.watch.Quiet(ctx, calm); err != nil {
			return err
		}
		if half.what != title {
			if _, err := b.whole(ctx); err != nil {
				return err
			}
		}
		b.res.add(half.what, time.Since(from), b.watch.Between(from, time.Now()))
	}
	return nil
}

// whole waits until updraft's status has nothing to say against the cloud.
func (b *bench) whole(ctx context.Context) (*status.Report, error) {
	tick := time.NewTicker(2 * time.Second)
	defer tick.Stop()
	for {
		st, err := b.status(ctx)
		if err == nil && st.OK {
			_, err = b.watch.Quiet(ctx, calm)
			return st, err
		}
		select {
		case <-ctx.Done():
			if err == nil {
				err = fmt.Errorf("%+v", st.Problems)
			}
			return nil, fmt.Errorf("the cloud is not whole: %w", err)
		case <-tick.C:
		}
	}
}

// status asks updraft how the cloud is; that something is wrong is no error.
func (b *bench) status(ctx context.Context) (*status.Report, error) {
	out, err := b.cloud.Run(ctx, "status", "-o", "json")
	if err != nil && cloud.ExitCode(err) != 1 {
		return nil, err
	}
	var st status.Report
	if bad := json.Unmarshal([]byte(out), &st); bad != nil {
		return nil, errors.Join(err, bad)
	}
	return &st, nil
}
