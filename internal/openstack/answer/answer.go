// Package answer is the node of the graph that stands for the cloud's API: in
// sync as soon as Keystone answers over TLS on the virtual address, with a
// certificate of the cloud's own authority.
//
// What is in the API (package api) is a scope behind it.
package answer

import (
	"cmp"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/updraft-cloud/updraft/internal/drift"
	"github.com/updraft-cloud/updraft/internal/retry"
)

// API is where the cloud's API answers.
type API struct {
	// URL is asked for; anything but 200 is no answer.
	URL string
	// CA is the authority's certificate in PEM.
	CA string
	// Dial connects from the deployer's place in the cloud's networks.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)
	// Patience is how long Ensure waits; 0 means [DefaultPatience].
	Patience time.Duration
}

// DefaultPatience bounds the wait for the API after all that it needs runs.
// Keystone takes 2 s to start, and HAProxy notices within another 2 s; a
// computer that starts everything at once takes ten times as long.
const DefaultPatience = 2 * time.Minute

// probeTimeout bounds one request. uWSGI accepts connections long before it
// answers them.
const probeTimeout = 3 * time.Second

// Digest implements engine.Body.
func (a API) Digest() string {
	sum := sha256.Sum256([]byte(a.URL))
	return hex.EncodeToString(sum[:])
}

// Removal implements engine.Body: there is nothing of its own to remove.
func (API) Removal() json.RawMessage { return nil }

// Observe asks once.
func (a API) Observe(ctx context.Context) (drift.Report, error) {
	if answers := a.ask(ctx) == nil; !answers {
		return drift.Missing(), nil
	}
	return drift.Report{Status: drift.InSync}, nil
}

// Ensure waits until the API answers.
func (a API) Ensure(ctx context.Context, _ func(string, ...any)) error {
	ctx, cancel := context.WithTimeout(ctx, cmp.Or(a.Patience, DefaultPatience))
	defer cancel()
	policy := retry.Policy{First: 50 * time.Millisecond, Most: 500 * time.Millisecond}
	err := policy.Do(ctx, nil, func(ctx context.Context) error {
		return retry.Mark(a.ask(ctx), retry.Transient)
	})
	if err != nil {
		// It was asked often enough.
		return retry.Mark(fmt.Errorf("the API does not answer at %s: %w", a.URL, err), retry.Permanent)
	}
	return nil
}

func (a API) ask(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM([]byte(a.CA)) {
		return errors.New("the cloud's authority has no certificate")
	}
	t := &http.Transport{DialContext: a.Dial, TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}, DisableKeepAlives: true}
	defer t.CloseIdleConnections()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, a.URL, nil)
	if err != nil {
		return err
	}
	resp, err := (&http.Client{Transport: t}).Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("it says %s", resp.Status)
	}
	return nil
}
