package api

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/updraft-cloud/updraft/internal/lb/auth"
	"github.com/updraft-cloud/updraft/internal/lb/driver"
	"github.com/updraft-cloud/updraft/internal/lb/store"
)

// Options are what a server needs.
type Options struct {
	Store   *store.Store
	Network driver.Network
	// Secrets are asked whether certificates that requests name are there; not
	// when nil.
	Secrets driver.Secrets
	Auth    auth.Authenticator
	Policy  *auth.Policy
	// Log takes one line per request; nothing is logged when nil.
	Log *slog.Logger
	// Metrics takes the server's metrics; they are not registered when nil.
	Metrics  prometheus.Registerer
	Settings Settings
}

// Server is the API. It is an http.Handler; [NewHTTPServer] has the limits that a
// public listener needs.
type Server struct {
	store    *store.Store
	network  driver.Network
	secrets  driver.Secrets
	auth     auth.Authenticator
	policy   *auth.Policy
	log      *slog.Logger
	metrics  *metrics
	settings Settings

	kinds    *kinds
	operator *operatorKinds
	router   *node
	openAPI  func() []byte
	// large holds a place for each large request that is worked on: what they
	// take in memory is tens of times their size.
	large chan struct{}
}

// New returns a server.
func New(opts Options) (*Server, error) {
	if opts.Store == nil || opts.Network == nil || opts.Auth == nil || opts.Policy == nil {
		return nil, errors.New("cannot serve the load-balancing API: a store, a network, an authenticator and a policy are needed")
	}
	s := &Server{
		store: opts.Store, network: opts.Network, secrets: opts.Secrets, auth: opts.Auth, policy: opts.Policy,
		log: opts.Log, settings: opts.Settings.withDefaults(), kinds: newKinds(), operator: newOperatorKinds(),
		large: make(chan struct{}, 4),
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	var err error
	if s.metrics, err = newMetrics(opts.Metrics); err != nil {
		return nil, err
	}
	s.router = newRouter(s.routes())
	s.openAPI = s.newOpenAPI()
	return s, nil
}

// NewHTTPServer is a server with the limits of one that strangers can reach.
func NewHTTPServer(h http.Handler) *http.Server {
	return &http.Server{
		Handler: h, ReadHeaderTimeout: 10 * time.Second, ReadTimeout: time.Minute, WriteTimeout: 2 * time.Minute,
		IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 64 << 10,
	}
}

// prefixes under which everything is served, the longer ones first.
var prefixes = []string{"/v2.0/lbaas", "/v2/lbaas", "/v2.0/octavia", "/v2/octavia", "/v2.0", "/v2"}

// inner returns the path of a resource without the prefix, and without what may
// stand at its end: a slash, or ".json". Amphorae have a prefix of their own.
func inner(path string) (rest string, ok bool) {
	path = strings.TrimPrefix(path, "/load-balancer")
	for _, p := range prefixes {
		rest, ok := strings.CutPrefix(path, p)
		if !ok || rest != "" && rest[0] != '/' {
			continue
		}
		if len(rest) > 1 {
			rest = strings.TrimSuffix(strings.TrimSuffix(rest, "/"), ".json")
		}
		amphorae := rest == "/amphorae" || strings.HasPrefix(rest, "/amphorae/")
		if amphorae != strings.HasSuffix(p, "/octavia") && len(rest) > 1 {
			return "", false
		}
		return rest, true
	}
	return "", false
}

// ServeHTTP answers one request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c := &call{s: s, w: w, r: r, started: time.Now(), id: requestID()}
	w.Header()["X-Openstack-Request-Id"] = []string{c.id}
	defer c.finish()
	defer c.unqueue()
	defer c.rescue()
	if s.public(c) {
		return
	}
	who, err := s.auth.Identify(r.Context(), r)
	if err != nil {
		c.refuse(err)
		return
	}
	c.who = who
	if err := s.dispatch(c); err != nil {
		c.fail(err)
	}
}

// public answers what needs no token.
func (s *Server) public(c *call) bool {
	switch c.r.URL.Path {
	case "/", "/load-balancer", "/load-balancer/":
		if c.r.Method == http.MethodGet {
			c.raw(http.StatusOK, s.versionsDocument(c))
		} else {
			c.fail(methodFault())
		}
	case "/healthcheck", "/load-balancer/healthcheck":
		if !s.settings.HealthCheck {
			c.fail(pathFault())
			break
		}
		s.healthcheck(c)
	case "/openapi.json":
		c.raw(http.StatusOK, s.OpenAPI())
	default:
		if c.r.Method != http.MethodOptions {
			return false
		}
		c.w.Header().Set("Allow", "GET, POST, PUT, DELETE, OPTIONS")
		c.write(http.StatusOK, nil)
	}
	return true
}

func pathFault() *fault { return &fault{status: http.StatusNotFound, title: "Not Found"} }

func methodFault() *fault {
	return &fault{status: http.StatusMethodNotAllowed, title: "Method Not Allowed"}
}

// dispatch finds the route and calls its handler.
func (s *Server) dispatch(c *call) error {
	if !acceptsJSON(c.r.Header.Get("Accept")) {
		return &fault{status: http.StatusNotAcceptable, title: "Not Acceptable", text: "Only content type application/json is accepted."}
	}
	path, ok := inner(c.r.URL.EscapedPath())
	if !ok {
		return pathFault()
	}
	if path == "" || path == "/" {
		c.allowed = true
		c.raw(http.StatusOK, []byte(`"v2"`))
		return nil
	}
	n, values := s.router.find(path)
	if n == nil {
		return pathFault()
	}
	c.route, c.values = n.methods[c.r.Method], values
	if c.route == nil {
		return n.wrongMethod(c.r.Method)
	}
	c.snap = s.store.View()
	return c.route.handle(c)
}

// wrongMethod is what Octavia answers to a method that a path does not have: on a
// collection, changes miss the identifier.
func (n *node) wrongMethod(method string) *fault {
	changes := method == http.MethodPut || method == http.MethodDelete
	if changes && n.methods[http.MethodPost] != nil {
		return badRequest(`Missing argument: "id"`)
	}
	return methodFault()
}

// acceptsJSON reports whether an Accept header lets JSON through.
func acceptsJSON(accept string) bool {
	if accept == "" || accept == "*/*" || accept == "application/json" {
		return true
	}
	for part := range strings.SplitSeq(accept, ",") {
		media, _, _ := strings.Cut(part, ";")
		switch strings.ToLower(strings.TrimSpace(media)) {
		case "", "*/*", "application/*", "application/json":
			return true
		}
	}
	return false
}

// healthcheck says whether the store answers.
func (s *Server) healthcheck(c *call) {
	if c.r.Method != http.MethodGet && c.r.Method != http.MethodHead {
		c.fail(methodFault())
		return
	}
	ctx, cancel := context.WithTimeout(c.r.Context(), 5*time.Second)
	defer cancel()
	status, text := http.StatusOK, "OK"
	if err := s.store.Sync(ctx); err != nil {
		status, text = http.StatusServiceUnavailable, "UNAVAILABLE: "+err.Error()
	}
	if strings.Contains(c.r.Header.Get("Accept"), "application/json") {
		c.raw(status, encode(map[string]any{"detailed": false, "reasons": []string{text}}))
		return
	}
	c.w.Header().Set("Content-Type", "text/plain; charset=UTF-8")
	c.write(status, []byte(text))
}
