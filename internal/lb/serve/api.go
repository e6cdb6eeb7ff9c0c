package serve

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/updraft-cloud/updraft/internal/lb/api"
	"github.com/updraft-cloud/updraft/internal/lb/auth"
	"github.com/updraft-cloud/updraft/internal/lb/store"
)

// API is what an operator can choose about it.
type API = api.Settings

// quota is what the store counts against. Without authentication there are no
// projects, and quotas are not enforced (contract §4.9).
func (c Config) quota() store.QuotaPolicy {
	return store.QuotaPolicy{Defaults: c.API.Quotas, Enforce: c.Auth != authNone}
}

// prepareAPI opens the listener, so that a port that is taken is known at once. What
// it returns last is to be called when nobody is answered any more.
func (s *service) prepareAPI(ctx context.Context) (net.Listener, *http.Server, func() error, error) {
	policy, err := s.policy()
	if err != nil {
		return nil, nil, nil, err
	}
	who, done, err := s.authenticator(policy)
	if err != nil {
		return nil, nil, nil, err
	}
	server, err := api.New(api.Options{Store: s.store, Network: s.drivers.network, Secrets: s.drivers.secrets, Auth: who, Policy: policy,
		Log: s.Log, Metrics: s.registry, Settings: s.API})
	if err != nil {
		return nil, nil, nil, err
	}
	secure, err := s.TLS.config()
	if err != nil {
		return nil, nil, nil, err
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", s.Listen)
	if err != nil {
		return nil, nil, nil, fmt.Errorf("cannot serve the API: %w", err)
	}
	if a, ok := l.Addr().(*net.TCPAddr); ok && s.Auth == authNone && !a.IP.IsLoopback() {
		s.Log.Warn("everybody who reaches the API is an administrator", "address", a.String())
	}
	srv := api.NewHTTPServer(s.withNetworks(server, who))
	srv.TLSConfig = secure
	return l, srv, done, nil
}

func (s *service) policy() (*auth.Policy, error) {
	var overrides []map[string]string
	switch s.Roles {
	case "", "default":
	case "advanced":
		overrides = append(overrides, auth.AdvancedRoles())
	case "legacy":
		overrides = append(overrides, auth.AdminOrOwner())
	default:
		return nil, fmt.Errorf("there is no set of rules %q: use default, advanced or legacy", s.Roles)
	}
	for _, f := range s.PolicyFiles {
		rules, err := auth.ReadPolicyFile(f)
		if err != nil {
			return nil, err
		}
		overrides = append(overrides, rules)
	}
	return auth.NewPolicy(overrides...)
}

// keystoneTimeout bounds one question to Keystone.
const keystoneTimeout = 10 * time.Second

func (s *service) authenticator(policy *auth.Policy) (who auth.Authenticator, done func() error, err error) {
	switch s.Auth {
	case authNone:
		return auth.NoAuth{}, func() error { return nil }, nil
	case authKeystone:
		o := s.Keystone
		o.URL, o.Username, o.Password, o.UserDomain = s.Cloud.AuthURL, s.Cloud.Username, s.Cloud.Password, s.Cloud.UserDomain
		o.Project, o.ProjectDomain, o.Policy = s.Cloud.Project, s.Cloud.ProjectDomain, policy
		way, err := s.Cloud.transport()
		if err != nil {
			return nil, nil, err
		}
		o.HTTP = &http.Client{Timeout: keystoneTimeout, Transport: way}
		k, err := auth.NewKeystone(o)
		if err != nil {
			return nil, nil, err
		}
		return k, k.Close, nil
	}
	return nil, nil, fmt.Errorf("there is no way of authentication %q: use noauth or keystone", s.Auth)
}
