// Package openstack has the drivers for clouds: Neutron's ports for addresses, and
// Barbican's containers for certificates.
//
// What it makes in Neutron bears a mark of the service it belongs to, and only
// what bears the mark is ever listed or removed: another service, or a real
// Octavia, may be in the same cloud. Ports are found by what they are for, so a
// call that was cut off is completed by the next.
package openstack

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack"
	"github.com/gophercloud/gophercloud/v2/openstack/identity/v3/tokens"

	"github.com/updraft-cloud/updraft/internal/lb/driver"
)

// Account is the service's own in the cloud.
type Account struct {
	AuthURL, Region, Username, Password, UserDomain, Project, ProjectDomain string
}

// timeout bounds one request; Neutron has taken 20 s on busy clouds.
const timeout = 30 * time.Second

// Cloud is a connection, which is made when it is first used, and again after its
// token has ended.
type Cloud struct {
	account  Account
	way      http.RoundTripper
	mu       sync.Mutex
	provider *gophercloud.ProviderClient
	services map[string]*gophercloud.ServiceClient // by type
}

// New returns a connection by a way, the usual one when it is nil. It asks nothing yet.
func New(a Account, way http.RoundTripper) (*Cloud, error) {
	if a.AuthURL == "" || a.Username == "" || a.Password == "" {
		return nil, errors.New("the cloud's services need an account: --os-auth-url, --os-username, and its password in OS_PASSWORD")
	}
	return &Cloud{account: a, way: way}, nil
}

func (c *Cloud) connect(ctx context.Context) (*gophercloud.ProviderClient, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.provider != nil {
		return c.provider, nil
	}
	p, err := openstack.NewClient(c.account.AuthURL)
	if err != nil {
		return nil, err
	}
	p.HTTPClient = http.Client{Timeout: timeout, Transport: c.way}
	opts := gophercloud.AuthOptions{IdentityEndpoint: c.account.AuthURL, Username: c.account.Username, Password: c.account.Password,
		DomainName: c.account.UserDomain, AllowReauth: true,
		Scope: &gophercloud.AuthScope{ProjectName: c.account.Project, DomainName: c.account.ProjectDomain}}
	if err := openstack.Authenticate(ctx, p, opts); err != nil {
		return nil, fmt.Errorf("%w: Keystone: %w", driver.ErrUnavailable, err)
	}
	c.provider = p
	return p, nil
}

// maker makes the client of one kind of service.
type maker func(*gophercloud.ProviderClient, gophercloud.EndpointOpts) (*gophercloud.ServiceClient, error)

// service returns the client of a service. It is found once, as that takes a request
// of its own. One that the catalogue does not name may be there in the next.
func (c *Cloud) service(ctx context.Context, kind string, f maker) (*gophercloud.ServiceClient, error) {
	p, err := c.connect(ctx)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	s := c.services[kind]
	c.mu.Unlock()
	if s != nil {
		return s, nil
	}
	s, err = f(p, gophercloud.EndpointOpts{Region: c.account.Region})
	c.mu.Lock()
	defer c.mu.Unlock()
	if err != nil {
		if c.provider == p {
			c.provider = nil
		}
		return nil, fmt.Errorf("%w: %s: %w", driver.ErrUnavailable, kind, err)
	}
	if c.services == nil {
		c.services = map[string]*gophercloud.ServiceClient{}
	}
	c.services[kind] = s
	return s, nil
}

// userID returns the id of the service's account.
func (c *Cloud) userID(ctx context.Context) (string, error) {
	p, err := c.connect(ctx)
	if err != nil {
		return "", err
	}
	of, ok := p.GetAuthResult().(interface{ ExtractUser() (*tokens.User, error) })
	if !ok {
		return "", fmt.Errorf("%w: Keystone does not say who the service is", driver.ErrUnavailable)
	}
	u, err := of.ExtractUser()
	if err != nil {
		return "", fmt.Errorf("%w: Keystone does not say who the service is: %w", driver.ErrUnavailable, err)
	}
	return u.ID, nil
}

// seen gets an object with a token that is not the service's own.
func (c *Cloud) seen(ctx context.Context, token, address, kind, id string, into any) error {
	return c.as(ctx, token, http.MethodGet, address, kind, id, nil, into)
}

// as makes a request with a token that is not the service's own. What its holder may
// not do is [driver.ErrNotFound].
func (c *Cloud) as(ctx context.Context, token, method, address, kind, id string, body, into any) error {
	req, err := request(ctx, method, address, body, into)
	if err != nil {
		return driver.NotFound(kind, id)
	}
	req.Header.Set("X-Auth-Token", token)
	resp, err := (&http.Client{Timeout: timeout, Transport: c.way}).Do(req)
	if err != nil {
		return fmt.Errorf("%w: %s %s: %w", driver.ErrUnavailable, kind, id, err)
	}
	defer resp.Body.Close()
	switch resp.StatusCode {
	case http.StatusOK:
		if into == nil {
			return nil
		}
		if err := json.NewDecoder(io.LimitReader(resp.Body, maxPayload)).Decode(into); err != nil {
			return fmt.Errorf("%w: %s %s: %w", driver.ErrUnavailable, kind, id, err)
		}
		return nil
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound:
		return driver.NotFound(kind, id)
	}
	return fmt.Errorf("%w: %s %s: status %d", driver.ErrUnavailable, kind, id, resp.StatusCode)
}

// request is one of JSON; where nobody looks into the answer, that may be anything.
func request(ctx context.Context, method, address string, body, into any) (*http.Request, error) {
	var in io.Reader
	if body != nil {
		data, err := json.Marshal(body)
		if err != nil {
			return nil, err
		}
		in = bytes.NewReader(data)
	}
	req, err := http.NewRequestWithContext(ctx, method, address, in)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", "*/*")
	if into != nil {
		req.Header.Set("Accept", "application/json")
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	return req, nil
}

// class turns the error of a request about an object into one of the driver's.
func class(err error, kind, id string) error {
	var code gophercloud.ErrUnexpectedResponseCode
	switch {
	case err == nil:
		return nil
	case gophercloud.ResponseCodeIs(err, http.StatusNotFound):
		return driver.NotFound(kind, id)
	case !errors.As(err, &code):
		return fmt.Errorf("%w: %s %s: %w", driver.ErrUnavailable, kind, id, err)
	}
	e := &driver.Error{Kind: kind, ID: id, Class: driver.ErrUnavailable, Detail: string(code.Body)}
	switch code.Actual {
	case http.StatusBadRequest:
		e.Class = driver.ErrInvalid
	case http.StatusForbidden:
		e.Class = driver.ErrForbidden
	case http.StatusConflict:
		e.Class = driver.ErrInUse
	}
	return e
}
