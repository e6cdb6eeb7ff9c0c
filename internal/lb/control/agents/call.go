package agents

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"sync"
	"time"

	"github.com/updraft-cloud/updraft/internal/lb/agent/client"
	"github.com/updraft-cloud/updraft/internal/lb/amphora"
	"github.com/updraft-cloud/updraft/internal/lb/control"
	"github.com/updraft-cloud/updraft/internal/lb/driver"
	"github.com/updraft-cloud/updraft/internal/lb/model"
)

const (
	// comingUp is how long an agent that was just started is waited for within
	// one call, knock the pause between tries. Measured: it answers in 30 ms.
	comingUp = 5 * time.Second
	knock    = 10 * time.Millisecond
)

// Apply makes an amphora do what is wanted of it.
func (r *Remote) Apply(ctx context.Context, want control.Want) (string, error) {
	c, err := r.config(ctx, want)
	if err != nil {
		return "", err
	}
	until := time.Now()
	if want.Amphora.Status == model.AmphoraBooting {
		until = until.Add(comingUp)
	}
	for {
		err := r.call(want.Amphora, func(agent *client.Client) error {
			done, err := agent.Apply(ctx, c)
			if err == nil {
				r.opts.Beats(want.Amphora.ID, done.Boot, done.Seq)
			}
			return err
		})
		if err == nil {
			return c.Digest(), nil
		}
		if driver.Permanent(err) || !time.Now().Before(until) {
			return "", err
		}
		select {
		case <-ctx.Done():
			return "", err
		case <-time.After(knock):
		}
	}
}

// Probe asks the agent for its status.
func (r *Remote) Probe(ctx context.Context, a *model.Amphora) error {
	return r.call(a, func(agent *client.Client) error {
		s, err := agent.Status(ctx)
		if err == nil {
			r.opts.Beats(a.ID, s.Boot, s.Seq)
			r.opts.Heard(&s.Beat)
		}
		return err
	})
}

// Renew gives the agent another certificate.
func (r *Remote) Renew(ctx context.Context, a *model.Amphora, cert, key, authorities string) error {
	return r.call(a, func(agent *client.Client) error {
		return agent.Rotate(ctx, amphora.Identity{Certificate: cert, Key: key, Authority: authorities})
	})
}

// call makes a call and classifies its error.
func (r *Remote) call(a *model.Amphora, f func(*client.Client) error) error {
	agent, err := r.agents.client(a)
	if err != nil {
		return err
	}
	switch err := f(agent); {
	case err == nil:
		return nil
	case client.Refused(err):
		return fmt.Errorf("%w: its agent says: %w", driver.ErrInvalid, err)
	default:
		agent.Close() // it may be on its way to one that is no more
		return fmt.Errorf("%w: its agent: %w", driver.ErrUnavailable, err)
	}
}

// clients keeps connections to agents, for as long as what they are known by is
// the same.
type clients struct {
	management driver.Management
	authority  *control.Authority

	mu         sync.Mutex
	generation int
	byID       map[string]known
}

type known struct {
	endpoint string
	client   *client.Client
}

// maxKnown bounds the connections that are kept.
const maxKnown = 4096

func (c *clients) client(a *model.Amphora) (*client.Client, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if g := c.authority.Generation(); g != c.generation || len(c.byID) >= maxKnown {
		for _, k := range c.byID {
			k.client.Close()
		}
		c.generation, c.byID = g, map[string]known{}
	}
	if k, ok := c.byID[a.ID]; ok && k.endpoint == a.Endpoint {
		return k.client, nil
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM([]byte(c.authority.Bundle())) {
		return nil, fmt.Errorf("%w: the authority of agents has no certificate", driver.ErrUnavailable)
	}
	k := known{a.Endpoint, client.New(client.Options{Authority: roots, DialContext: c.management.DialContext, Certificate: func() (*tls.Certificate, error) {
		cert, key, err := c.authority.Client()
		if err != nil {
			return nil, err
		}
		pair, err := tls.X509KeyPair([]byte(cert), []byte(key))
		return &pair, err
	}}, a.ID, a.Endpoint)}
	c.byID[a.ID] = k
	return k.client, nil
}
