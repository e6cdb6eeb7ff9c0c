package api

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/updraft-cloud/updraft/internal/lb/auth"
	"github.com/updraft-cloud/updraft/internal/lb/driver"
	"github.com/updraft-cloud/updraft/internal/lb/model"
	"github.com/updraft-cloud/updraft/internal/lb/store"
)

// call is one request on its way.
type call struct {
	s       *Server
	w       http.ResponseWriter
	r       *http.Request
	id      string // of the request, "req-…"
	started time.Time

	who    *auth.Identity
	route  *route
	values [2]string // of the path
	snap   *store.Snapshot

	allowed bool // the policy was asked, and agreed
	queued  bool // it is one of the large requests
	status  int  // what was answered; 0: nothing yet
	bytes   int
}

func requestID() string { return "req-" + model.NewID() }

// authorize asks the policy about the route's action on an object of a project.
func (c *call) authorize(project string) *fault { return c.authorizeFor(c.route.action, project) }

func (c *call) authorizeFor(action, project string) *fault {
	if !c.s.policy.Allows(action, c.who, project) {
		return errForbidden
	}
	c.allowed = true
	return nil
}

// scope decides of which project a list may show objects: of all (""), if the
// policy allows that, else of the caller's own.
func (c *call) scope(q *query) (string, *fault) {
	project := q.project
	if c.s.policy.Allows(c.route.global, c.who, project) {
		c.allowed = true
		return project, nil
	}
	if !q.hasProject {
		project = c.who.ProjectID
	}
	if project == "" {
		return "", errForbidden
	}
	return project, c.authorize(project)
}

// body reads {"wrapper": {…}} into the fields that the route takes. Faults call the
// body by the name of the parameter in Octavia's Python.
func (c *call) body(fields []field) *fault {
	value, err := c.json()
	if err != nil {
		return err
	}
	inner, err := unwrap(value, c.route.argument, c.route.wrapper)
	if err != nil {
		return err
	}
	return readObject(c.route.argument+"."+c.route.wrapper, fields, inner)
}

// commit runs f as one transaction; afterwards the call sees what it wrote.
func (c *call) commit(f func(tx *store.Tx) error) error {
	err := c.s.store.Update(c.r.Context(), f)
	c.snap = c.s.store.View()
	return err
}

// buffers are where answers are written before they are sent.
var buffers = sync.Pool{New: func() any { b := make([]byte, 0, 4096); return &b }}

// send answers with what write appends.
func (c *call) send(status int, write func(b []byte) []byte) {
	p := buffers.Get().(*[]byte)
	b := write((*p)[:0])
	c.raw(status, b)
	if cap(b) <= 1<<20 { // a huge one is not kept
		*p = b
		buffers.Put(p)
	}
}

var contentJSON = []string{"application/json"}

// raw answers with a body that is JSON. A handler that did not ask the policy
// does not get its answer out.
func (c *call) raw(status int, body []byte) {
	if c.route != nil && !c.allowed && status < http.StatusBadRequest {
		c.s.log.Error("a handler answered without asking the policy", "route", c.route.path, "method", c.route.method)
		c.fail(errForbidden)
		return
	}
	c.w.Header()["Content-Type"] = contentJSON
	c.write(status, body)
}

// empty answers without a body.
func (c *call) empty(status int) {
	if c.route != nil && !c.allowed {
		c.raw(status, nil)
		return
	}
	c.write(status, nil)
}

func (c *call) write(status int, body []byte) {
	if c.status != 0 {
		return
	}
	c.status, c.bytes = status, len(body)
	c.unqueue() // the client may take its time
	if status != http.StatusNoContent {
		c.w.Header()["Content-Length"] = []string{strconv.Itoa(len(body))}
	}
	c.w.WriteHeader(status)
	if len(body) > 0 && c.r.Method != http.MethodHead {
		_, _ = c.w.Write(body) // the client went away: there is nobody to tell
	}
}

// fail answers with a fault.
func (c *call) fail(err error) {
	f := asFault(err)
	if f == nil {
		c.s.log.Error("a request failed", "request_id", c.id, "method", c.r.Method, "path", c.r.URL.Path, "error", err)
		f = newFault(http.StatusInternalServerError, "The request could not be answered; the log of the service says why (%s).", c.id)
	}
	if f.retry > 0 {
		c.w.Header().Set("Retry-After", f.seconds())
	}
	c.w.Header()["Content-Type"] = contentJSON
	c.write(f.status, encode(f.document()))
}

// asFault finds the answer to an error; nil when it is a mistake of ours.
func asFault(err error) *fault {
	var (
		f           *fault
		notThere    *store.NotFoundError
		immutable   *store.ImmutableError
		state       *store.StateError
		quota       *store.QuotaError
		dup         *store.DuplicateError
		used        *store.InUseError
		unavailable *store.UnavailableError
		large       *store.TooLargeError
	)
	switch {
	case errors.As(err, &f):
		return f
	case errors.As(err, &notThere):
		return newFault(http.StatusNotFound, "%s", err)
	case errors.As(err, &immutable), errors.As(err, &state), errors.As(err, &dup), errors.As(err, &used), errors.Is(err, store.ErrExists):
		return newFault(http.StatusConflict, "%s", err)
	case errors.As(err, &quota):
		return newFault(http.StatusForbidden, "%s", err)
	case errors.As(err, &large):
		return newFault(http.StatusRequestEntityTooLarge, "Request is too large: %s", err)
	case errors.As(err, &unavailable):
		return &fault{status: http.StatusServiceUnavailable, text: err.Error(), retry: max(unavailable.RetryAfter, time.Second)}
	case errors.Is(err, store.ErrClosed), errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return &fault{status: http.StatusServiceUnavailable, text: err.Error(), retry: time.Second}
	}
	return driverFault(err)
}

// driverFault is the answer to an error of a driver.
func driverFault(err error) *fault {
	var d *driver.Error
	kind := ""
	if errors.As(err, &d) {
		kind = d.Kind
	}
	switch {
	case errors.Is(err, driver.ErrNotFound):
		if d == nil {
			return badRequest("%s", err)
		}
		return missing(kind, d.ID)
	case errors.Is(err, driver.ErrInUse):
		return newFault(http.StatusConflict, "The VIP IP address is already in use: %s", err)
	case errors.Is(err, driver.ErrExhausted):
		return invalid("Subnet(s) in the supplied network do not contain enough available IPs.")
	case errors.Is(err, driver.ErrInvalid), errors.Is(err, driver.ErrForbidden):
		return invalid("%s", err)
	case errors.Is(err, driver.ErrUnsupported):
		return unsupported(defaultProvider, "%s", err)
	case errors.Is(err, driver.ErrUnavailable), d != nil:
		return newFault(http.StatusInternalServerError, "Provider '%s' reports error: %s", defaultProvider, err)
	}
	return nil
}

// refuse answers a request whose sender is not known.
func (c *call) refuse(err error) {
	if !errors.Is(err, auth.ErrUnauthorized) {
		c.s.log.Error("nobody can say who asks", "request_id", c.id, "error", err)
		c.w.Header().Set("Retry-After", "5")
		c.fail(newFault(http.StatusServiceUnavailable, "The Keystone service is temporarily unavailable."))
		return
	}
	if ch := c.s.auth.Challenge(); ch != "" {
		c.w.Header().Set("WWW-Authenticate", ch)
	}
	c.raw(http.StatusUnauthorized, []byte(`{"error":{"code":401,"title":"Unauthorized","message":"The request you have made requires authentication."}}`))
}

// rescue turns a panic into an answer.
func (c *call) rescue() {
	v := recover()
	if v == nil {
		return
	}
	if v == http.ErrAbortHandler { //nolint:errorlint // as net/http compares it
		panic(v)
	}
	c.s.log.Error("a request broke the server", "request_id", c.id, "method", c.r.Method, "path", c.r.URL.Path, "panic", v, "stack", string(debug.Stack()))
	c.fail(newFault(http.StatusInternalServerError, "The request could not be answered; the log of the service says why (%s).", c.id))
}

// finish logs and counts.
func (c *call) finish() {
	took := time.Since(c.started)
	path := "none"
	if c.route != nil {
		path = c.route.path
	}
	c.s.metrics.observe(c.r.Method, path, c.status, took)
	if !c.s.log.Enabled(c.r.Context(), slog.LevelInfo) {
		return
	}
	attrs := []slog.Attr{
		slog.String("request_id", c.id), slog.String("method", c.r.Method), slog.String("path", c.r.URL.RequestURI()),
		slog.Int("status", c.status), slog.Int("bytes", c.bytes), slog.Duration("took", took), slog.String("from", c.r.RemoteAddr),
	}
	if global := c.r.Header.Get("X-Openstack-Request-Id"); strings.HasPrefix(global, "req-") && len(global) == len(c.id) {
		attrs = append(attrs, slog.String("global_request_id", global))
	}
	if c.who != nil {
		attrs = append(attrs, slog.String("user", c.who.UserID), slog.String("project", c.who.ProjectID))
	}
	c.s.log.LogAttrs(c.r.Context(), slog.LevelInfo, "request", attrs...)
}
