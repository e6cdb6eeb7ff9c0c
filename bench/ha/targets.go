package main

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"go.yaml.in/yaml/v4"

	"github.com/updraft-cloud/updraft/bench/outage"
	"github.com/updraft-cloud/updraft/internal/netns"
	"github.com/updraft-cloud/updraft/internal/openstack/stack"
)

// work is a request for each type of service that is answered from its database, to
// somebody whose token Keystone or memcached vouches for. It is asked for every
// second: ten times as often would keep two cores busy with nothing else, and measure
// that.
var work = map[string]string{
	"compute":       "/flavors?limit=1",
	"identity":      "/regions",
	"image":         "/v2/images?limit=1",
	"instance-ha":   "/segments",
	"network":       "/v2.0/networks?limit=1&fields=id",
	"orchestration": "/stacks?limit=1",
	"placement":     "/resource_providers",
}

// atWork is what follows a service's name where it is asked for work, and each how
// often that is.
const (
	atWork = " at work"
	each   = time.Second
)

// renewal is how often a token is asked for; one is good for an hour.
const renewal = 10 * time.Minute

// client reaches the cloud from its networks and trusts its authority. Each request
// has a connection of its own.
func (b *bench) client(ns *netns.NS) (*http.Client, error) {
	ca, err := os.ReadFile(b.handoff("ca.pem"))
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(ca) {
		return nil, errors.New("cannot read the authority that was handed over")
	}
	return &http.Client{Timeout: b.timeout, Transport: &http.Transport{
		DialContext: ns.DialContext, DisableKeepAlives: true, TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12},
	}}, nil
}

func (b *bench) handoff(file string) string {
	return filepath.Join(b.cloud.StateDir(), "handoff", file)
}

// targets are the endpoints that are handed over: asked who they are, and for work with
// the token of the time.
func (b *bench) targets(ns *netns.NS, token *atomic.Value) ([]outage.Target, error) {
	data, err := os.ReadFile(b.handoff("endpoints.json"))
	if err != nil {
		return nil, err
	}
	var doc struct {
		Endpoints []struct{ Service, Type, URL string }
	}
	if err := json.Unmarshal(data, &doc); err != nil {
		return nil, err
	}
	out := []outage.Target{b.address(ns)}
	for _, e := range doc.Endpoints {
		path, known := work[e.Type]
		if !known {
			continue
		}
		root, err := url.JoinPath(e.URL, "/../../../")
		if err != nil {
			return nil, err
		}
		out = append(out,
			outage.Target{Name: e.Service, URL: root, Accept: func(code int) bool { return code == http.StatusOK || code == http.StatusMultipleChoices }},
			outage.Target{
				Name: e.Service + atWork, URL: e.URL + path, Every: each,
				Header: func() http.Header { return http.Header{"X-Auth-Token": {token.Load().(string)}} }, //nolint:forcetypeassert // nothing else is stored
				Accept: func(code int) bool { return code == http.StatusOK },
			})
	}
	if len(out) == 1 {
		return nil, errors.New("no API of those handed over is known")
	}
	return out, nil
}

// address is the virtual address itself: somebody takes connections there.
func (b *bench) address(ns *netns.NS) outage.Target {
	at := netip.AddrPortFrom(b.spec.OpenStack.UserAddress(), stack.KeystonePort).String()
	return outage.Target{Name: "address", Ask: func(ctx context.Context) error {
		conn, err := ns.DialContext(ctx, "tcp", at)
		if err != nil {
			return err
		}
		return conn.Close()
	}}
}

// renewed keeps a token that is good, until the context ends.
func (b *bench) renewed(ctx context.Context, client *http.Client, token *atomic.Value) error {
	first, err := b.token(ctx, client)
	if err != nil {
		return err
	}
	token.Store(first)
	go func() {
		next := renewal
		for {
			select {
			case <-ctx.Done():
				return
			case <-time.After(next):
			}
			// Keystone may be what is away just now.
			next = 5 * time.Second
			if t, err := b.token(ctx, client); err == nil {
				token.Store(t)
				next = renewal
			}
		}
	}()
	return nil
}

// token asks Keystone for one as the administrator.
func (b *bench) token(ctx context.Context, client *http.Client) (string, error) {
	file, err := os.ReadFile(b.handoff("clouds.yaml"))
	if err != nil {
		return "", err
	}
	var doc struct {
		Clouds map[string]struct{ Auth map[string]string }
	}
	if err := yaml.Unmarshal(file, &doc); err != nil {
		return "", err
	}
	auth := doc.Clouds[name].Auth
	body, err := json.Marshal(map[string]any{"auth": map[string]any{
		"identity": map[string]any{"methods": []string{"password"}, "password": map[string]any{"user": map[string]any{
			"name": auth["username"], "password": auth["password"], "domain": map[string]string{"name": cmp.Or(auth["user_domain_name"], "Default")},
		}}},
		"scope": map[string]any{"project": map[string]any{"name": auth["project_name"], "domain": map[string]string{"name": cmp.Or(auth["project_domain_name"], "Default")}}},
	}})
	if err != nil {
		return "", err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, auth["auth_url"]+"/auth/tokens", bytes.NewReader(body))
	if err != nil {
		return "", err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := client.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusCreated {
		return "", fmt.Errorf("cannot get a token: %s", resp.Status)
	}
	return resp.Header.Get("X-Subject-Token"), nil
}
