package pkgcache

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// clientStall is how long a client may take nothing before it is dropped, so
// that it does not hold an object for ever.
const clientStall = 2 * time.Minute

// stateHeader tells how a response came about: hit, miss, revalidated, stale or
// relayed.
const stateHeader = "X-Updraft-Cache"

// ServeHTTP answers a proxy request, or one for the cache's own pages.
func (c *Cache) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	extend(w, clientStall) // that of the request before on the same connection may have passed
	if r.Method == http.MethodConnect {
		c.refuse(w, refuse(http.StatusMethodNotAllowed, "CONNECT is not served, as TLS cannot be cached: "+
			"write the repository as http://HTTPS///%s/path in place of https://%s/path", r.URL.Hostname(), r.URL.Hostname()))
		return
	}
	if r.URL.Host == "" {
		c.ownPage(w, r)
		return
	}
	t, bad := c.admit(r)
	if bad != nil {
		c.refuse(w, bad)
		return
	}
	if r.Header.Get("Authorization") != "" {
		c.relay(w, r, t)
		return
	}
	c.serve(w, r, t)
}

// admit decides whether the request is served at all.
func (c *Cache) admit(r *http.Request) (target, *refusal) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		return target{}, refuse(http.StatusMethodNotAllowed, "method %s is not served, only GET and HEAD", r.Method)
	}
	if r.ContentLength != 0 {
		return target{}, refuse(http.StatusBadRequest, "a request for a package has no body")
	}
	if strings.Contains(strings.Join(r.Header.Values("Via"), ","), pseudonym) {
		return target{}, refuse(http.StatusLoopDetected, "the cache is its own upstream: mend http_proxy where it runs")
	}
	t, bad := parseTarget(r.URL)
	if bad != nil {
		return target{}, bad
	}
	if !c.allowed(t.url) {
		return target{}, refuse(http.StatusForbidden, "host %s is not a package mirror of this cloud: "+
			"name it under mirrors in the cloud file, or reach it without this proxy", t.url.Host)
	}
	return t, nil
}

func (c *Cache) refuse(w http.ResponseWriter, bad *refusal) {
	c.count(func(s *Stats) { s.Refused++ })
	fail(w, bad.status, bad.text)
}

// fail answers with a text. apt shows only the status line, curl and dnf both.
func fail(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	say(w, "updraft package cache: "+text+"\n")
}

// say writes the body of a short answer. A client that has gone does not mind
// its loss, and there is nobody else to tell.
func say(w io.Writer, text string) { _, _ = io.WriteString(w, text) }

// serve answers from the store where that is right, and from the upstream
// otherwise.
func (c *Cache) serve(w http.ResponseWriter, r *http.Request, t target) {
	have := c.store.open(t.key)
	if have != nil {
		defer have.release()
	}
	switch {
	case have != nil && (c.opts.Offline || c.current(t, have, r)):
		c.serveStored(w, r, have, "hit")
	case c.opts.Offline:
		c.count(func(s *Stats) { s.Misses++ })
		fail(w, http.StatusGatewayTimeout, fmt.Sprintf("%s is not in the cache, and the cache is offline: "+
			"run once with package_cache.offline: false", t.name))
	case r.Method == http.MethodHead:
		c.relay(w, r, t)
	default:
		c.serveFlight(w, r, t, have)
	}
}

// current reports whether the stored object can be served without asking.
func (c *Cache) current(t target, have *object, r *http.Request) bool {
	if directive(r.Header, "no-cache") {
		return false
	}
	return immutable(t) || time.Since(have.checked) < c.opts.Fresh
}

// serveFlight answers from the upstream, together with everybody else who asks
// for the same object.
func (c *Cache) serveFlight(w http.ResponseWriter, r *http.Request, t target, have *object) {
	validated := have
	if directive(r.Header, "no-cache") {
		validated = nil // fetch it anew: the client found fault with ours
	}
	f := c.join(t, validated)
	defer f.release()
	select {
	case <-f.ready:
	case <-r.Context().Done():
		return
	}
	extend(w, clientStall) // the wait may have been long, and was not the client's fault
	switch {
	case f.err != nil || f.outcome == answered && troubled(f.status):
		c.serveWithout(w, r, f, t, have)
	case f.outcome == notModified:
		c.serveConfirmed(w, r, t, have)
	case f.outcome == unkeepable:
		c.relay(w, r, t)
	case f.outcome == answered:
		c.serveAnswer(w, f)
	default:
		c.follow(w, r, f)
	}
}

// serveWithout answers when the upstream is out of order: with what there is,
// which the package manager may still find good enough (RFC 9111, section 4.2.4).
func (c *Cache) serveWithout(w http.ResponseWriter, r *http.Request, f *flight, t target, have *object) {
	switch {
	case have != nil:
		c.log.Warn("upstream is out of order, stored object served", "url", t.name, "why", f.err, "status", f.status)
		c.serveStored(w, r, have, "stale")
	case f.err == nil:
		c.serveAnswer(w, f)
	case c.ctx.Err() != nil:
		fail(w, http.StatusServiceUnavailable, "the cache is shutting down")
	default:
		c.log.Warn("cannot fetch", "url", t.name, "why", f.err)
		fail(w, http.StatusBadGateway, fmt.Sprintf("cannot fetch %s: %v", t.name, f.err))
	}
}

// troubled reports whether a status speaks of the upstream's state and not of
// the object.
func troubled(status int) bool {
	return status >= http.StatusInternalServerError || status == http.StatusTooManyRequests
}

func (c *Cache) serveConfirmed(w http.ResponseWriter, r *http.Request, t target, have *object) {
	if have == nil { // joined a revalidation after the object had come and gone
		if have = c.store.open(t.key); have == nil {
			c.relay(w, r, t)
			return
		}
		defer have.release()
	}
	c.serveStored(w, r, have, "revalidated")
}

func (c *Cache) serveAnswer(w http.ResponseWriter, f *flight) {
	c.count(func(s *Stats) { s.Misses++ })
	copyHeader(w.Header(), f.header)
	w.Header().Set("Content-Length", strconv.Itoa(len(f.body)))
	w.Header().Set(stateHeader, "miss")
	w.WriteHeader(f.status)
	say(w, string(f.body))
}

// serveStored sends a stored object, or the part of it that was asked for.
func (c *Cache) serveStored(w http.ResponseWriter, r *http.Request, o *object, state string) {
	c.count(func(s *Stats) { s.byState(state) })
	header(w, o.meta.Header, state)
	if state != "revalidated" {
		w.Header().Set("Age", strconv.Itoa(int(time.Since(o.current()).Seconds())))
	}
	// The kernel sends the file; the deadline supposes 16 kB/s at least.
	extend(w, clientStall+time.Duration(o.meta.Size/16000)*time.Second)
	http.ServeContent(c.counted(w), r, "", modTime(o.meta.Header), o.File)
}

// follow sends the body of a flight while it comes in.
func (c *Cache) follow(w http.ResponseWriter, r *http.Request, f *flight) {
	c.count(func(s *Stats) { s.byState("miss") })
	header(w, f.header, "miss")
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	body := &follower{ctx: ctx, f: f, tick: func() { extend(w, clientStall) }}
	if f.size >= 0 {
		// A body that breaks off leaves fewer bytes than announced, upon
		// which net/http closes the connection.
		http.ServeContent(c.counted(w), r, "", modTime(f.header), body)
		return
	}
	if _, err := io.Copy(c.counted(w), body); err != nil {
		panic(http.ErrAbortHandler) // the one way to break off a chunked body
	}
}

func copyHeader(to, from http.Header) {
	for name := range from {
		to.Set(name, from.Get(name))
	}
}

func header(w http.ResponseWriter, h http.Header, state string) {
	copyHeader(w.Header(), h)
	if h.Get("Content-Type") == "" {
		w.Header().Set("Content-Type", "application/octet-stream")
	}
	w.Header().Set(stateHeader, state)
}

// modTime returns Last-Modified, or the zero time.
func modTime(h http.Header) time.Time {
	t, err := http.ParseTime(h.Get("Last-Modified"))
	if err != nil {
		return time.Time{}
	}
	return t
}

// extend sets the client's deadline. A writer without one, as in a test that
// calls the handler, is as good.
func extend(w http.ResponseWriter, d time.Duration) {
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(d))
}
