package auth

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"
)

// DefaultCacheFor is for how long a validated token holds without Keystone being
// asked again, when nothing else is said. It bounds how long a revoked token works.
const DefaultCacheFor = 60 * time.Second

// KeystoneOptions say how to ask Keystone.
type KeystoneOptions struct {
	// URL is Keystone's, with or without "/v3".
	URL string
	// Public is what clients are told in WWW-Authenticate; URL when empty.
	Public string
	// The account by which tokens are validated; it needs the role service or
	// admin in Project.
	Username, Password, UserDomain, Project, ProjectDomain string
	// CacheFor bounds how long a token holds unasked; DefaultCacheFor when zero.
	CacheFor time.Duration
	// Policy answers context_is_admin.
	Policy *Policy
	// HTTP is the way to Keystone; one with a timeout of 10 s when nil.
	HTTP *http.Client
}

// Keystone validates tokens with a Keystone server (API v3). Answers are kept:
// good ones for CacheFor and at most until the token expires, refusals for a few
// seconds. Requests with the same token wait for one validation. Close it after use.
type Keystone struct {
	opts  KeystoneOptions
	cache *cache

	ctx    context.Context
	cancel context.CancelFunc

	mu      sync.Mutex
	own     string // the service's token
	renewAt time.Time
}

// NewKeystone returns an authenticator; it asks nothing yet.
func NewKeystone(opts KeystoneOptions) (*Keystone, error) {
	opts.URL = strings.TrimSuffix(strings.TrimRight(opts.URL, "/"), "/v3")
	if opts.URL == "" || opts.Policy == nil {
		return nil, errors.New("cannot validate tokens: an URL of Keystone and a policy are needed")
	}
	if opts.CacheFor == 0 {
		opts.CacheFor = DefaultCacheFor
	}
	if opts.Public == "" {
		opts.Public = opts.URL
	}
	if opts.HTTP == nil {
		opts.HTTP = &http.Client{Timeout: 10 * time.Second}
	}
	k := &Keystone{opts: opts}
	k.ctx, k.cancel = context.WithCancel(context.Background())
	k.cache = newCache(opts.CacheFor, k.ask)
	return k, nil
}

// Close ends validations that run in the background.
func (k *Keystone) Close() error {
	k.cancel()
	k.cache.wait()
	k.opts.HTTP.CloseIdleConnections()
	return nil
}

// Challenge is what keystonemiddleware answers.
func (k *Keystone) Challenge() string { return fmt.Sprintf("Keystone uri=%q", k.opts.Public) }

// Identify validates the token in X-Auth-Token.
func (k *Keystone) Identify(ctx context.Context, r *http.Request) (*Identity, error) {
	token := r.Header.Get("X-Auth-Token")
	if token == "" {
		return nil, ErrUnauthorized
	}
	return k.cache.get(ctx, token)
}

// ask validates a token. The context is the authenticator's own: several
// requests wait for the answer, and the first of them may go away.
func (k *Keystone) ask(token string) (*Identity, error) {
	own := "" // that was refused
	for attempt := 0; ; attempt++ {
		var err error
		if own, err = k.token(own); err != nil {
			return nil, err
		}
		id, status, err := k.validate(own, token)
		switch {
		case err != nil:
			return nil, fmt.Errorf("%w: %w", ErrUnavailable, err)
		case status == http.StatusOK:
			return id, nil
		case status == http.StatusNotFound || status == http.StatusBadRequest:
			return nil, ErrUnauthorized
		case status == http.StatusUnauthorized && attempt == 0:
			continue // our own token does not hold any more
		}
		return nil, fmt.Errorf("%w: it answered a validation with status %d", ErrUnavailable, status)
	}
}

func (k *Keystone) validate(own, token string) (*Identity, int, error) {
	req, err := http.NewRequestWithContext(k.ctx, http.MethodGet, k.opts.URL+"/v3/auth/tokens?nocatalog", nil)
	if err != nil {
		return nil, 0, err
	}
	req.Header.Set("X-Auth-Token", own)
	req.Header.Set("X-Subject-Token", token)
	req.Header.Set("Accept", "application/json")
	var doc tokenDocument
	status, _, err := k.do(req, &doc)
	if err != nil || status != http.StatusOK {
		return nil, status, err
	}
	id := doc.identity()
	if id.Expires.IsZero() || id.UserID == "" {
		return nil, 0, errors.New("its answer names no user or no expiry")
	}
	id.Admin = k.opts.Policy.IsAdmin(id)
	return id, status, nil
}

// token returns the service's own token, a new one when the old one ends soon or
// is the one that was refused: of many validations that were, one logs in again.
func (k *Keystone) token(refused string) (string, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.own != refused && time.Now().Before(k.renewAt) {
		return k.own, nil
	}
	body, err := json.Marshal(k.opts.login())
	if err != nil {
		return "", err
	}
	req, err := http.NewRequestWithContext(k.ctx, http.MethodPost, k.opts.URL+"/v3/auth/tokens?nocatalog", bytes.NewReader(body))
	if err != nil {
		return "", err
	}
	req.Header.Set("Content-Type", "application/json")
	var doc tokenDocument
	status, header, err := k.do(req, &doc)
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	if status != http.StatusCreated {
		return "", fmt.Errorf("%w: it refuses the service's own account (status %d)", ErrUnavailable, status)
	}
	k.own = header.Get("X-Subject-Token")
	// Half of its life, so that it never ends during a validation.
	k.renewAt = time.Now().Add(time.Until(doc.identity().Expires) / 2)
	return k.own, nil
}

func (k *Keystone) do(req *http.Request, into any) (int, http.Header, error) {
	resp, err := k.opts.HTTP.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return 0, nil, err
	}
	if resp.StatusCode < 300 {
		err = json.Unmarshal(data, into)
	}
	return resp.StatusCode, resp.Header, err
}

// tokenDocument is the part of Keystone's answer that matters here
// (Identity API v3, "Validate and show information for token").
type tokenDocument struct {
	Token struct {
		Expires time.Time `json:"expires_at"`
		User    struct {
			ID string `json:"id"`
		} `json:"user"`
		Project struct {
			ID string `json:"id"`
		} `json:"project"`
		Roles []struct {
			Name string `json:"name"`
		} `json:"roles"`
		System struct {
			All bool `json:"all"`
		} `json:"system"`
	} `json:"token"`
}

func (d *tokenDocument) identity() *Identity {
	t := d.Token
	id := &Identity{UserID: t.User.ID, ProjectID: t.Project.ID, Expires: t.Expires}
	for _, r := range t.Roles {
		id.Roles = append(id.Roles, r.Name)
	}
	if t.System.All {
		id.System = "all"
	}
	return id
}

// login is the body that asks for a token by password.
func (o KeystoneOptions) login() any {
	domain := func(name string) map[string]string {
		if name == "" {
			name = "Default"
		}
		return map[string]string{"name": name}
	}
	type m = map[string]any
	return m{"auth": m{
		"identity": m{"methods": []string{"password"}, "password": m{
			"user": m{"name": o.Username, "password": o.Password, "domain": domain(o.UserDomain)}}},
		"scope": m{"project": m{"name": o.Project, "domain": domain(o.ProjectDomain)}},
	}}
}
