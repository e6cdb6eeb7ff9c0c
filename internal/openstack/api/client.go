package api

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack"
	"github.com/gophercloud/gophercloud/v2/openstack/identity/v3/tokens"

	"github.com/updraft-cloud/updraft/internal/retry"
)

// DefaultTimeout bounds one request. Behind HAProxy one ends after 60 s; the
// slowest that was measured, on two busy cores, took 4 s.
const DefaultTimeout = 65 * time.Second

// computeVersion is the microversion of Nova that is spoken: from 2.61 on, lists
// of flavors hold their extra specs. All releases since Rocky know it.
const computeVersion = "2.61"

// ErrNoService means that the catalogue has no such service.
var ErrNoService = errors.New("the catalogue has no such service")

// Access is how the cloud's API is reached, and as whom.
type Access struct {
	// AuthURL is Keystone's, such as https://10.0.0.10:5000/v3.
	AuthURL string
	// CA is the authority's certificate in PEM; empty means the system's.
	CA string
	// Region and Interface choose among the catalogue's endpoints. The interface
	// is "public" unless said otherwise; no region means any.
	Region, Interface string
	// User and Project are in Domain; empty means admin, admin and Default.
	User, Project, Domain string
	// Password is asked when a token is wanted.
	Password func() (string, error)
	// Dial connects from the deployer's place in the cloud's networks; nil
	// means the plain dialler.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)
	// Timeout bounds one request; 0 means [DefaultTimeout].
	Timeout time.Duration
}

func (a Access) withDefaults() Access {
	a.User, a.Project, a.Domain = cmp.Or(a.User, "admin"), cmp.Or(a.Project, "admin"), cmp.Or(a.Domain, "Default")
	a.Interface, a.Timeout = cmp.Or(a.Interface, "public"), cmp.Or(a.Timeout, DefaultTimeout)
	return a
}

// Client speaks to the API with a token, which it renews. It may be used
// concurrently.
type Client struct {
	access    Access
	provider  *gophercloud.ProviderClient
	transport *http.Transport

	renewing sync.Mutex // held while a new token is asked for

	mu     sync.Mutex
	hidden []string // passwords that were used, to keep out of errors
	missed string   // the token in whose catalogue a service was not
	// entries are the catalogue that came with the token entriesOf.
	entries   []tokens.CatalogEntry
	entriesOf string
}

// Connect gets a token. Errors are classified by package retry.
func Connect(ctx context.Context, a Access) (*Client, error) {
	a = a.withDefaults()
	transport, err := a.Transport()
	if err != nil {
		return nil, err
	}
	provider, err := openstack.NewClient(strings.TrimSuffix(a.AuthURL, "/") + "/")
	if err != nil {
		return nil, fmt.Errorf("cannot use the API at %s: %w", a.AuthURL, err)
	}
	provider.UserAgent.Prepend("updraft")
	provider.UseTokenLock()
	provider.HTTPClient = http.Client{Transport: newWire(transport)}
	c := &Client{access: a, provider: provider, transport: transport}
	if err := c.authenticate(ctx); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// Transport connects to what the cloud serves over TLS, and trusts its authority.
// The caller closes idle connections.
func (a Access) Transport() (*http.Transport, error) {
	a = a.withDefaults()
	conf := &tls.Config{MinVersion: tls.VersionTLS12}
	if a.CA != "" {
		conf.RootCAs = x509.NewCertPool()
		if !conf.RootCAs.AppendCertsFromPEM([]byte(a.CA)) {
			return nil, errors.New("cannot use the API: the cloud's authority has no certificate")
		}
	}
	return &http.Transport{
		DialContext: a.Dial, TLSClientConfig: conf, TLSHandshakeTimeout: a.Timeout,
		// uWSGI accepts connections long before it answers them.
		ResponseHeaderTimeout: a.Timeout,
		MaxIdleConnsPerHost:   parallel, IdleConnTimeout: time.Minute,
	}, nil
}

// wire sends requests. Those that change something get a connection of their
// own: one that is kept may have been closed meanwhile by the other side, as
// uWSGI does after each answer, and such a request cannot be sent again without
// knowing what became of it. Bodies whose length is in the header are sent as
// such and not in chunks, which uWSGI hands on only if it is told to.
type wire struct{ kept, single *http.Transport }

func newWire(t *http.Transport) wire {
	w := wire{t, t.Clone()}
	w.single.DisableKeepAlives = true
	return w
}

// RoundTrip implements [http.RoundTripper].
func (w wire) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Method == http.MethodGet {
		return w.kept.RoundTrip(r)
	}
	if n, err := strconv.ParseInt(r.Header.Get("Content-Length"), 10, 64); err == nil {
		r = r.Clone(r.Context())
		r.Header.Del("Content-Length")
		r.ContentLength = n
	}
	return w.single.RoundTrip(r)
}

// Close lets go of idle connections.
func (c *Client) Close() { c.transport.CloseIdleConnections() }

func (c *Client) authenticate(ctx context.Context) error {
	password, err := c.access.Password()
	if err != nil {
		return fmt.Errorf("cannot get a token as %s: %w", c.access.User, err)
	}
	c.hide(password)
	ctx, cancel := context.WithTimeout(ctx, c.access.Timeout)
	defer cancel()
	err = openstack.AuthenticateV3(ctx, c.provider, &gophercloud.AuthOptions{
		Username: c.access.User, DomainName: c.access.Domain, Password: password, AllowReauth: true,
		Scope: &gophercloud.AuthScope{ProjectName: c.access.Project, DomainName: c.access.Domain},
	}, gophercloud.EndpointOpts{})
	return c.wrap(ctx, fmt.Sprintf("get a token as %s in project %s", c.access.User, c.access.Project), err)
}

// hide keeps a password out of errors from now on.
func (c *Client) hide(password string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if password != "" {
		c.hidden = append(c.hidden, password)
	}
}

// ProjectID returns the ID of the project that the token is for.
func (c *Client) ProjectID() (string, error) {
	if r, ok := c.provider.GetAuthResult().(tokens.CreateResult); ok {
		if p, err := r.ExtractProject(); err == nil && p != nil {
			return p.ID, nil
		}
	}
	return "", errors.New("the token is not for a project")
}

// Services returns the types of the services in the catalogue.
func (c *Client) Services() []string {
	var out []string
	for _, entry := range c.catalogue() {
		out = append(out, entry.Type)
	}
	return out
}

// catalogue returns the catalogue that came with the token.
func (c *Client) catalogue() []tokens.CatalogEntry {
	token := c.provider.Token()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.entriesOf == token {
		return c.entries
	}
	r, ok := c.provider.GetAuthResult().(tokens.CreateResult)
	if !ok {
		return nil
	}
	catalog, err := r.ExtractServiceCatalog()
	if err != nil || catalog == nil {
		return nil
	}
	c.entries, c.entriesOf = catalog.Entries, token
	return c.entries
}

// refresh gets a new token if a service was missing in the catalogue that came
// with the last: it may have been registered since.
func (c *Client) refresh(ctx context.Context) error {
	// One gets it, and those that missed a service in the same one wait for that.
	c.renewing.Lock()
	defer c.renewing.Unlock()
	c.mu.Lock()
	missed := c.missed
	c.mu.Unlock()
	if missed == "" || missed != c.provider.Token() {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, c.access.Timeout)
	defer cancel()
	return c.wrap(ctx, "renew the token", c.provider.Reauthenticate(ctx, ""))
}

// suffixes are what is added to the catalogue's URLs to reach the version of the
// API that is spoken. Nova's and Keystone's hold it already.
func suffix(service, endpoint string) string {
	versions := map[string]string{"image": "v2/", "network": "v2.0/", "identity": "v3/"}
	v := versions[service]
	if strings.HasSuffix(endpoint, "/"+v) {
		return ""
	}
	return v
}

// Service returns a client of the service of that type, such as "compute".
// Unlike those of gophercloud's constructors, it is taken from the catalogue as
// it is, without asking the service which versions it speaks. The error wraps
// [ErrNoService] if there is none.
func (c *Client) Service(kind string) (*gophercloud.ServiceClient, error) {
	if kind == "identity" {
		return &gophercloud.ServiceClient{ProviderClient: c.provider, Endpoint: c.provider.IdentityBase + "v3/", Type: kind}, nil
	}
	for _, entry := range c.catalogue() {
		for _, e := range entry.Endpoints {
			if entry.Type != kind || e.Interface != c.access.Interface || c.access.Region != "" && e.RegionID != c.access.Region {
				continue
			}
			sc := &gophercloud.ServiceClient{ProviderClient: c.provider, Endpoint: gophercloud.NormalizeURL(e.URL), Type: kind}
			sc.ResourceBase = sc.Endpoint + suffix(kind, sc.Endpoint)
			if kind == "compute" {
				sc.Microversion = computeVersion
			}
			return sc, nil
		}
	}
	c.mu.Lock()
	c.missed = c.entriesOf
	c.mu.Unlock()
	return nil, fmt.Errorf("%w: %s (%s, region %s)", ErrNoService, kind, c.access.Interface, cmp.Or(c.access.Region, "any"))
}

// request is one call of a service.
type request struct {
	service, method, path string
	body, out             any
	header                map[string]string
	// doing completes "cannot …" in errors.
	doing string
	// unbounded leaves the time of the whole to the caller; the answer still has
	// to begin in time once the request is sent.
	unbounded bool
}

// call sends a request and decodes what comes back.
func (c *Client) call(ctx context.Context, r request) error {
	sc, err := c.Service(r.service)
	if err != nil {
		return fmt.Errorf("cannot %s: %w", r.doing, err)
	}
	if !r.unbounded {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.access.Timeout)
		defer cancel()
	}
	target, err := resolveURL(sc.ResourceBaseURL(), r.path)
	if err != nil {
		return err
	}
	resp, err := sc.Request(ctx, cmp.Or(r.method, http.MethodGet), target, r.options())
	if resp != nil {
		_ = resp.Body.Close() // it has been read, or says no more than err
	}
	return c.wrap(ctx, r.doing, err)
}

func (r request) options() *gophercloud.RequestOpts {
	opts := &gophercloud.RequestOpts{
		OkCodes: []int{http.StatusOK, http.StatusCreated, http.StatusAccepted, http.StatusNoContent}, MoreHeaders: r.header,
	}
	if r.out != nil { // a nil in an interface would be decoded into
		opts.JSONResponse = r.out
	}
	if reader, ok := r.body.(io.Reader); ok {
		opts.RawBody = reader
	} else if r.body != nil {
		opts.JSONBody = r.body
	}
	return opts
}

// Call sends a request to a service and decodes the answer into out, if there
// is to be one. doing completes "cannot …" in errors, which are classified by
// package retry.
func (c *Client) Call(ctx context.Context, service, method, path string, body, out any, doing string) error {
	return c.call(ctx, request{service: service, method: method, path: path, body: body, out: out, doing: doing})
}

// All reads a list, all pages of it, into out, a pointer to a slice. plural is
// the key under which bodies hold it.
func (c *Client) All(ctx context.Context, service, path, plural string, out any) error {
	things, err := c.list(ctx, collection{service: service, path: path, plural: plural, exact: true})
	if err != nil {
		return err
	}
	data, err := json.Marshal(things)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(data, out); err != nil {
		return fmt.Errorf("cannot list %s: %w", plural, err)
	}
	return nil
}

// Gone reports whether err says that a thing does not exist.
func Gone(err error) bool { return statusOf(err) == http.StatusNotFound }

// Busy reports whether err says that a thing cannot be changed while something else is
// done with it.
func Busy(err error) bool { return statusOf(err) == http.StatusConflict }

// resolveURL joins a path to the base of a service. A path that begins with a
// slash, as in links to the next page, replaces the base's.
func resolveURL(base, path string) (string, error) {
	b, err := url.Parse(base)
	if err != nil {
		return "", retry.Mark(fmt.Errorf("the catalogue's %q is no URL", base), retry.Permanent)
	}
	u, err := b.Parse(path)
	if err != nil {
		return "", fmt.Errorf("%q is no path", path)
	}
	return u.String(), nil
}

// bare posts a body without a token and returns the status of the answer.
func (c *Client) bare(ctx context.Context, target string, body any) (int, error) {
	data, err := json.Marshal(body)
	if err != nil {
		return 0, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, target, bytes.NewReader(data))
	if err != nil {
		return 0, err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := c.provider.HTTPClient.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body) // so that the connection can be used again
	return resp.StatusCode, err
}
