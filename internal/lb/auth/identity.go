package auth

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"time"
)

// Identity is who makes a request.
type Identity struct {
	UserID    string
	ProjectID string
	Roles     []string
	// Admin is the answer of the rule context_is_admin, or true without
	// authentication.
	Admin bool
	// System is the scope of a token that belongs to no project ("all"), else
	// empty.
	System string
	// Expires is when the token ends; zero when it does not.
	Expires time.Time
}

// has reports whether the identity has a role. Names of roles are compared as
// Keystone does, without regard to case only in ASCII; oslo.policy does the same.
func (id *Identity) has(role string) bool {
	return slices.ContainsFunc(id.Roles, func(r string) bool { return equalFold(r, role) })
}

// Errors of an [Authenticator]. Anything else it returns wraps one of them.
var (
	// ErrUnauthorized means that no token was given, or one that does not hold.
	ErrUnauthorized = errors.New("the request you have made requires authentication")
	// ErrUnavailable means that nobody could be asked. The request may be tried
	// again.
	ErrUnavailable = errors.New("the identity service cannot be asked")
)

// Authenticator tells who makes a request. The identity is shared and must not
// be changed. An implementation is safe for concurrent use.
type Authenticator interface {
	Identify(ctx context.Context, r *http.Request) (*Identity, error)
	// Challenge is the value of WWW-Authenticate for those that were not
	// recognised; empty for none.
	Challenge() string
}

// NoAuth takes every request for one of an administrator, of the project that the
// header X-Project-Id names. It is Octavia's auth_strategy "noauth".
type NoAuth struct{}

// Identify never fails.
func (NoAuth) Identify(_ context.Context, r *http.Request) (*Identity, error) {
	project := r.Header.Get("X-Project-Id")
	if project == "" {
		return &anybody, nil
	}
	return &Identity{ProjectID: project, Admin: true}, nil
}

// Challenge is empty: nobody is turned away.
func (NoAuth) Challenge() string { return "" }

var anybody = Identity{Admin: true}
