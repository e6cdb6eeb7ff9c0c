// Package client speaks to the agent on an amphora, for controllers.
//
// It guarantees that the other side is the amphora that was meant: its
// certificate is of the service's authority and its common name is the amphora's
// id, wherever the address leads. All calls may be repeated.
package client

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"time"

	"github.com/updraft-cloud/updraft/internal/lb/amphora"
)

// Options say how agents are reached.
type Options struct {
	// Certificate is the controller's, of the common name amphora.ControllerName.
	Certificate func() (*tls.Certificate, error)
	Authority   *x509.CertPool
	// DialContext connects to agents; directly when nil.
	DialContext func(ctx context.Context, network, address string) (net.Conn, error)
}

// Client speaks to one agent. Close it when it is no longer needed.
type Client struct {
	http *http.Client
	base string
}

// New returns a client for the amphora at the address (host:port).
func New(o Options, amphoraID, address string) *Client {
	t := &http.Transport{
		DialContext: o.DialContext, TLSHandshakeTimeout: 10 * time.Second, IdleConnTimeout: time.Minute, MaxIdleConnsPerHost: 2,
		TLSClientConfig: &tls.Config{
			MinVersion:           tls.VersionTLS13,
			GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return o.Certificate() },
			InsecureSkipVerify:   true, // verified below, by the id instead of a host name
			VerifyConnection:     amphora.Trust(o.Authority, x509.ExtKeyUsageServerAuth, amphoraID),
		},
	}
	return &Client{http: &http.Client{Transport: t}, base: "https://" + address}
}

// Close ends idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Error is what an agent answers to what it cannot do.
type Error struct {
	Status int
	amphora.Fault
}

func (e *Error) Error() string {
	if e.Output != "" {
		return e.Fault.Error + ": " + e.Output
	}
	return e.Fault.Error
}

// Refused reports whether the agent, or its HAProxy, cannot ever use what was
// sent: sending it again is of no use.
func Refused(err error) bool {
	var e *Error
	return errors.As(err, &e) && (e.Status == http.StatusBadRequest || e.Status == http.StatusUnprocessableEntity)
}

// Older reports whether the agent has a newer configuration.
func Older(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.Status == http.StatusConflict
}

// Apply sends a configuration and returns when it has taken effect.
func (c *Client) Apply(ctx context.Context, config *amphora.Config) (amphora.Applied, error) {
	var a amphora.Applied
	return a, c.do(ctx, http.MethodPut, amphora.PathConfig, config, &a)
}

// Release stops everything that the amphora does.
func (c *Client) Release(ctx context.Context) error {
	return c.do(ctx, http.MethodDelete, amphora.PathConfig, nil, nil)
}

// Rotate gives the agent another certificate.
func (c *Client) Rotate(ctx context.Context, id amphora.Identity) error {
	defer c.Close() // the next call sees the new one
	return c.do(ctx, http.MethodPut, amphora.PathIdentity, id, nil)
}

// Status asks the agent what it sees.
func (c *Client) Status(ctx context.Context) (amphora.Status, error) {
	var s amphora.Status
	return s, c.do(ctx, http.MethodGet, amphora.PathStatus, nil, &s)
}

func (c *Client) do(ctx context.Context, method, path string, in, out any) error {
	var body bytes.Buffer
	if in != nil {
		if err := json.NewEncoder(&body).Encode(in); err != nil {
			return err
		}
	}
	r, err := http.NewRequestWithContext(ctx, method, c.base+path, &body)
	if err != nil {
		return err
	}
	answer, err := c.http.Do(r)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode >= http.StatusBadRequest {
		e := &Error{Status: answer.StatusCode}
		if err := json.NewDecoder(answer.Body).Decode(&e.Fault); err != nil {
			e.Fault.Error = answer.Status
		}
		return e
	}
	if out == nil {
		return nil
	}
	return json.NewDecoder(answer.Body).Decode(out)
}
