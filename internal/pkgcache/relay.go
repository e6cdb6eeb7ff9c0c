package pkgcache

import (
	"context"
	"fmt"
	"io"
	"net/http"
)

// relayed are the request header fields that a relayed request keeps.
var relayed = []string{"Authorization", "Range", "If-Range", "If-Modified-Since", "If-None-Match"}

// relay passes one request on and stores nothing.
func (c *Cache) relay(w http.ResponseWriter, r *http.Request, t target) {
	if c.opts.Offline {
		fail(w, http.StatusGatewayTimeout, "the cache is offline, and "+t.name+" is not kept in it")
		return
	}
	c.count(func(s *Stats) { s.Relayed++ })
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	req, err := c.upstreamRequest(ctx, r.Method, t)
	if err != nil {
		fail(w, http.StatusBadRequest, err.Error())
		return
	}
	copyHeader(req.Header, pick(r.Header, relayed))
	resp, err := c.do(req)
	if err != nil {
		fail(w, http.StatusBadGateway, fmt.Sprintf("cannot fetch %s: %v", t.name, err))
		return
	}
	defer resp.Body.Close()
	copyHeader(w.Header(), pick(resp.Header, append([]string{"Content-Length", "Content-Range", "Accept-Ranges",
		"Location", "Www-Authenticate", "Retry-After"}, keptHeader...)))
	w.Header().Set(stateHeader, "relayed")
	w.WriteHeader(resp.StatusCode)
	body := &watchedBody{r: resp.Body, limit: stallAfter, cancel: cancel}
	defer body.stop()
	if _, err := io.Copy(c.counted(w), tickReader{body, func() { extend(w, clientStall) }}); err != nil {
		panic(http.ErrAbortHandler)
	}
}

// tickReader calls tick before each read.
type tickReader struct {
	io.Reader
	tick func()
}

// Read implements io.Reader.
func (r tickReader) Read(p []byte) (int, error) {
	r.tick()
	return r.Reader.Read(p)
}
