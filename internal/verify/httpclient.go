package verify

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"time"

	"github.com/updraft-cloud/updraft/internal/resource"
)

// maxBody is how much of a response's body is looked at, in bytes.
const maxBody = 1 << 20

// TLS says how a server's certificate is judged.
type TLS struct {
	CAFile     string `json:"ca_file,omitempty" doc:"File of PEM certificates that are trusted in place of the system's, on the deploy host; relative to where updraft is run."`
	ServerName string `json:"server_name,omitempty" doc:"Name that the certificate is to carry; by default the host in the URL."`
	Insecure   bool   `json:"insecure,omitempty" default:"false" doc:"Whether any certificate will do."`
}

func (t TLS) config() (*tls.Config, error) {
	c := &tls.Config{
		MinVersion:         tls.VersionTLS12,
		ServerName:         t.ServerName,
		InsecureSkipVerify: t.Insecure, // the user's word, for clusters with certificates of their own
	}
	if t.CAFile == "" {
		return c, nil
	}
	pem, err := os.ReadFile(t.CAFile)
	if err != nil {
		return nil, fmt.Errorf("cannot read trusted certificates: %w", err)
	}
	c.RootCAs = x509.NewCertPool()
	if !c.RootCAs.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("cannot read trusted certificates: %s holds no PEM certificate", t.CAFile)
	}
	return c, nil
}

// parseURL checks and splits a URL.
func parseURL(field, raw string) (*url.URL, error) {
	if raw == "" {
		return nil, resource.Fieldf(field, "give a URL such as http://web/", "is required")
	}
	u, err := url.Parse(raw)
	switch {
	case err != nil:
		return nil, resource.Fieldf(field, "give a URL such as http://web/", "%q is not a URL", raw)
	case u.Scheme != "http" && u.Scheme != "https":
		return nil, resource.Fieldf(field, "begin it with http:// or https://", "%q is not an HTTP URL", raw)
	case u.Hostname() == "":
		return nil, resource.Fieldf(field, "name a host, group, role, VIP or address in it", "%q names no host", raw)
	case u.User != nil:
		return nil, resource.Fieldf(field, "use a header for credentials", "a user name or password in a URL would show in reports")
	}
	return u, nil
}

// client is an HTTP client that looks from a vantage point. Connections that
// are meant for the URL's host go to the endpoint; Host header and TLS server
// name stay those of the URL.
type client struct {
	http.Client
	transport *http.Transport
}

// clientSpec is what tells one client from another.
type clientSpec struct {
	url      *url.URL
	endpoint Endpoint
	tls      TLS
	follow   bool
	keep     int // connections kept for further requests, and opened at most; 0: one for each request
}

func newClient(v Vantage, s clientSpec) (*client, error) {
	conf, err := s.tls.config()
	if err != nil {
		return nil, err
	}
	t := &http.Transport{
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			host, port, err := net.SplitHostPort(addr)
			if err == nil && host == s.url.Hostname() {
				addr = net.JoinHostPort(s.endpoint.Addr, port)
			}
			return v.Dial(ctx, network, addr)
		},
		TLSClientConfig:     conf,
		DisableKeepAlives:   s.keep == 0,
		DisableCompression:  true,
		MaxIdleConnsPerHost: s.keep,
		MaxConnsPerHost:     s.keep,
	}
	c := &client{transport: t, Client: http.Client{Transport: t}}
	if !s.follow {
		c.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	}
	return c, nil
}

func (c *client) close() { c.transport.CloseIdleConnections() }

// response is what is looked at of an HTTP response.
type response struct {
	status int
	header http.Header
	body   []byte
	took   time.Duration
}

func (c *client) get(ctx context.Context, method, rawURL, host string, headers map[string]string) (response, error) {
	start := time.Now()
	req, err := http.NewRequestWithContext(ctx, method, rawURL, nil)
	if err != nil {
		return response{}, err
	}
	req.Header.Set("User-Agent", "updraft-verify")
	for k, v := range headers {
		req.Header.Set(k, v)
	}
	if host != "" {
		req.Host = host
	}
	resp, err := c.Do(req)
	if err != nil {
		return response{}, withoutURL(ctx, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxBody))
	if err != nil {
		return response{}, ctxError(ctx, err)
	}
	return response{resp.StatusCode, resp.Header, body, time.Since(start)}, nil
}

// withoutURL drops the method and URL that net/http puts in front: they may
// hold what is not to be shown, and the check's own words name the target.
func withoutURL(ctx context.Context, err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err
	}
	if errors.Is(err, ErrVantage) {
		return err
	}
	return ctxError(ctx, err)
}
