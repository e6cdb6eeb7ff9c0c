package openstack

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack"

	"github.com/updraft-cloud/updraft/internal/lb/driver"
	"github.com/updraft-cloud/updraft/internal/lb/driver/secrets"
)

var (
	_ driver.Secrets   = (*Secrets)(nil)
	_ driver.Consumers = (*Secrets)(nil)
	_ driver.Tenancy   = (*Secrets)(nil)
	_ driver.Lender    = (*Secrets)(nil)
)

// Secrets is Barbican. The service's account reads what users keep by an entry in
// Barbican's ACLs, which it makes with the token of who names a secret.
type Secrets struct{ cloud *Cloud }

// NewSecrets returns Barbican's driver.
func NewSecrets(c *Cloud) *Secrets { return &Secrets{c} }

// parts of a ref: https://host/v1/containers/ID or …/secrets/ID. Its host is not
// asked: the catalog says where Barbican is.
func split(ref string) (kind, id string, err error) {
	u, err := url.Parse(ref)
	if err == nil {
		words := strings.Split(strings.Trim(u.Path, "/"), "/")
		if n := len(words); n >= 2 && (words[n-2] == "containers" || words[n-2] == "secrets") && words[n-1] != "" {
			return words[n-2], words[n-1], nil
		}
	}
	return "", "", driver.NotFound("Secret", ref)
}

func (s *Secrets) client(ctx context.Context) (*gophercloud.ServiceClient, error) {
	return s.cloud.service(ctx, "key-manager", openstack.NewKeyManagerV1)
}

// MaySee asks Barbican with the token of whoever wants to use a secret: it must be
// able to read what is secret of it, which who audits cannot.
func (s *Secrets) MaySee(ctx context.Context, token, kind, ref string) error {
	return s.each(ctx, token, ref, func(place, address string) error {
		if place == "containers" {
			return nil // who could not see it would not be here
		}
		return s.cloud.seen(ctx, token, address+"/payload", kind, ref, nil)
	})
}

// each does something for a secret, or for a container and for all that is in it as
// the holder of a token sees it.
func (s *Secrets) each(ctx context.Context, token, ref string, f func(place, address string) error) error {
	place, id, err := split(ref)
	if err != nil {
		return err
	}
	c, err := s.client(ctx)
	if err != nil {
		return err
	}
	address := c.ServiceURL(place, url.PathEscape(id))
	if place == "secrets" {
		return f(place, address)
	}
	var found container
	if err := s.cloud.seen(ctx, token, address, "Secret", ref, &found); err != nil {
		return err
	}
	if err := f(place, address); err != nil {
		return err
	}
	for _, r := range found.SecretRefs {
		place, id, err := split(r.Ref)
		if err != nil || place != "secrets" {
			return driver.NotFound("Secret", ref)
		}
		if err := f(place, c.ServiceURL(place, url.PathEscape(id))); err != nil {
			return err
		}
	}
	return nil
}

// access is who may do something with a secret, in Barbican's words.
type access struct {
	Users         []string `json:"users"`
	ProjectAccess *bool    `json:"project-access,omitempty"`
}

// Lend adds the service to those who may read, as Octavia does. Whoever is not
// allowed to say so has not lent anything.
func (s *Secrets) Lend(ctx context.Context, token, ref string) error {
	me, err := s.cloud.userID(ctx)
	if err != nil {
		return err
	}
	err = s.each(ctx, token, ref, func(_, address string) error { return s.lend(ctx, token, me, address, ref) })
	if errors.Is(err, driver.ErrNotFound) {
		return nil
	}
	return err
}

func (s *Secrets) lend(ctx context.Context, token, me, address, ref string) error {
	var acl map[string]access
	if err := s.cloud.seen(ctx, token, address+"/acl", "Secret", ref, &acl); err != nil {
		return err
	}
	read := acl["read"]
	if slices.Contains(read.Users, me) {
		return nil
	}
	read.Users = append(read.Users, me)
	acl["read"] = read
	return s.cloud.as(ctx, token, http.MethodPut, address+"/acl", "Secret", ref, acl, nil)
}

// maxPayload bounds what is read of a secret.
const maxPayload = 1 << 20

// Secret fetches a payload.
func (s *Secrets) Secret(ctx context.Context, ref string) ([]byte, error) {
	kind, id, err := split(ref)
	if err != nil || kind != "secrets" {
		return nil, driver.NotFound("Secret", ref)
	}
	c, err := s.client(ctx)
	if err != nil {
		return nil, err
	}
	resp, err := c.Get(ctx, c.ServiceURL("secrets", url.PathEscape(id), "payload"), nil,
		&gophercloud.RequestOpts{MoreHeaders: map[string]string{"Accept": "*/*"}, KeepResponseBody: true})
	if err != nil {
		return nil, class(err, "Secret", ref)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxPayload))
	if err != nil {
		return nil, fmt.Errorf("%w: Barbican: %w", driver.ErrUnavailable, err)
	}
	return data, nil
}

// container is Barbican's.
type container struct {
	Type       string `json:"type"`
	SecretRefs []struct {
		Name string `json:"name"`
		Ref  string `json:"secret_ref"`
	} `json:"secret_refs"`
}

// Certificate fetches a container, or a PKCS #12 bundle that is a secret, as it is
// or in base64.
func (s *Secrets) Certificate(ctx context.Context, ref string) (*driver.Certificate, error) {
	kind, id, err := split(ref)
	if err != nil {
		return nil, err
	}
	var data []byte
	if kind == "containers" {
		data, err = s.collect(ctx, id, ref)
	} else if data, err = s.Secret(ctx, ref); err == nil {
		data = plain(data)
	}
	if err != nil {
		return nil, err
	}
	c, err := secrets.Parse(data, "")
	if err != nil {
		return nil, err
	}
	c.Ref = ref
	return c, nil
}

func plain(data []byte) []byte {
	if out, err := base64.StdEncoding.DecodeString(string(bytes.TrimSpace(data))); err == nil {
		return out
	}
	return data
}

// collect reads the secrets of a container one after the other.
func (s *Secrets) collect(ctx context.Context, id, ref string) ([]byte, error) {
	c, err := s.client(ctx)
	if err != nil {
		return nil, err
	}
	var found container
	if _, err := c.Get(ctx, c.ServiceURL("containers", url.PathEscape(id)), &found, nil); err != nil { //nolint:bodyclose // gophercloud reads it to its end
		return nil, class(err, "Container", ref)
	}
	if found.Type != "certificate" && found.Type != "generic" {
		return nil, &driver.Error{Kind: "Container", ID: ref, Class: driver.ErrInvalid, Detail: "it is of type " + found.Type + " and not certificate"}
	}
	var out []byte
	for _, r := range found.SecretRefs {
		switch r.Name {
		case "certificate", "private_key", "intermediates":
		case "private_key_passphrase":
			return nil, &driver.Error{Kind: "Container", ID: ref, Class: driver.ErrInvalid, Detail: "its key has a pass phrase"}
		default:
			continue
		}
		part, err := s.Secret(ctx, r.Ref)
		if err != nil {
			return nil, err
		}
		out = append(append(out, part...), '\n')
	}
	return out, nil
}

// consumer is how Barbican knows who uses a container.
func (s *Secrets) consumer(ctx context.Context, method, ref, lb string) error {
	kind, id, err := split(ref)
	if err != nil || kind != "containers" {
		return nil //nolint:nilerr // only containers have consumers
	}
	c, err := s.client(ctx)
	if err != nil {
		return err
	}
	body := map[string]string{"name": "Octavia", "URL": "lbaas://" + lb}
	_, err = c.Request(ctx, method, c.ServiceURL("containers", url.PathEscape(id), "consumers"), //nolint:bodyclose // gophercloud reads it to its end
		&gophercloud.RequestOpts{JSONBody: body, OkCodes: []int{http.StatusOK, http.StatusCreated, http.StatusNoContent, http.StatusConflict}})
	return class(err, "Container", ref)
}

// Register says that a load balancer uses a container.
func (s *Secrets) Register(ctx context.Context, ref, lb string) error {
	return s.consumer(ctx, http.MethodPost, ref, lb)
}

// Unregister says that it no longer does.
func (s *Secrets) Unregister(ctx context.Context, ref, lb string) error {
	return s.consumer(ctx, http.MethodDelete, ref, lb)
}
