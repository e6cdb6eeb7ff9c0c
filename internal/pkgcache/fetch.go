package pkgcache

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"
)

const (
	// stallAfter is how long an upstream may send nothing before the fetch
	// is given up. apt's own default is 30 s per attempt.
	stallAfter = 30 * time.Second
	// answerLimit bounds the body that is passed on with an error status.
	answerLimit  = 64 << 10
	maxRedirects = 5
	// pseudonym names the cache in Via, by which it recognises itself.
	pseudonym = "updraft-pkgcache"
)

// errClosed is why a fetch does not begin.
var errClosed = errors.New("the cache is shutting down")

// errStalled is the cause when an upstream stopped sending.
var errStalled = fmt.Errorf("the upstream sent nothing for %s", stallAfter)

// join returns the flight that fetches t, starting one if there is none. The
// caller releases it. have is the stored object to be revalidated, or nil.
func (c *Cache) join(t target, have *object) *flight {
	c.mu.Lock()
	defer c.mu.Unlock()
	if f := c.flights[t.key]; f != nil {
		f.hold()
		return f
	}
	f := newFlight()
	if c.ctx.Err() != nil {
		f.err = errClosed
		close(f.ready)
		return f
	}
	f.hold()
	c.flights[t.key] = f
	var validators http.Header
	if have != nil {
		validators = have.meta.Header
	}
	c.fetchers.Go(func() { c.fly(f, t, validators) })
	return f
}

// fly runs a flight to its end. It is independent of the clients.
func (c *Cache) fly(f *flight, t target, validators http.Header) {
	defer f.release()
	defer func() {
		c.mu.Lock()
		delete(c.flights, t.key)
		c.mu.Unlock()
	}()
	ctx, cancel := context.WithCancel(c.ctx)
	defer cancel()
	resp, err := c.ask(ctx, t, validators)
	if err != nil {
		c.count(func(s *Stats) { s.Failures++ })
		f.err = err
		close(f.ready)
		return
	}
	defer resp.Body.Close()
	body := &watchedBody{r: resp.Body, limit: stallAfter, cancel: cancel}
	defer body.stop()
	if resp.StatusCode != http.StatusOK {
		c.settle(f, t, resp, body)
		return
	}
	c.land(f, t, resp, body)
}

// ask sends the request for t, conditional when there are validators.
func (c *Cache) ask(ctx context.Context, t target, validators http.Header) (*http.Response, error) {
	req, err := c.upstreamRequest(ctx, http.MethodGet, t)
	if err != nil {
		return nil, err
	}
	if tag := validators.Get("Etag"); tag != "" {
		req.Header.Set("If-None-Match", tag)
	}
	if date := validators.Get("Last-Modified"); date != "" {
		req.Header.Set("If-Modified-Since", date)
	}
	return c.do(req)
}

// do sends a request. Its error leaves out the address, which the caller names.
func (c *Cache) do(req *http.Request) (*http.Response, error) {
	resp, err := c.client.Do(req)
	if wrapped, ok := errors.AsType[*url.Error](err); ok {
		err = wrapped.Err
	}
	return resp, err
}

func (c *Cache) upstreamRequest(ctx context.Context, method string, t target) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, method, t.url.String(), nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("User-Agent", "updraft")
	req.Header.Set("Via", "1.1 "+pseudonym)
	return req, nil
}

// followAllowed follows redirects to allowed hosts; any other is passed on to
// the client as it came.
func (c *Cache) followAllowed(req *http.Request, via []*http.Request) error {
	if len(via) > maxRedirects || !c.allowed(req.URL) {
		return http.ErrUseLastResponse
	}
	req.Header.Del("Referer") // nobody's business
	return nil
}

func (c *Cache) allowed(u *url.URL) bool { return allows(c.opts.Hosts, u) }

// settle ends a flight that brought no object.
func (c *Cache) settle(f *flight, t target, resp *http.Response, body io.Reader) {
	defer close(f.ready)
	if resp.StatusCode == http.StatusNotModified {
		c.store.confirm(t.key)
		f.outcome = notModified
		return
	}
	f.outcome, f.status = answered, resp.StatusCode
	f.header = pick(resp.Header, append([]string{"Location", "Retry-After", "Www-Authenticate"}, keptHeader...))
	text, err := io.ReadAll(io.LimitReader(body, answerLimit))
	if err != nil {
		c.log.Debug("error page of upstream broke off", "url", t.name, "why", err)
	}
	f.body = text
}

// land receives the body of a flight and stores it.
func (c *Cache) land(f *flight, t target, resp *http.Response, body io.Reader) {
	d := &download{c: c, f: f, t: t, keep: worthKeeping(t, resp), size: resp.ContentLength}
	defer d.cleanUp()
	if err := d.open(); err != nil {
		c.log.Warn("object is relayed, not cached", "url", t.name, "why", err)
		f.outcome = unkeepable
		close(f.ready)
		return
	}
	f.outcome, f.size = streaming, resp.ContentLength
	f.header = pick(resp.Header, keptHeader)
	close(f.ready)
	err := d.receive(body)
	f.end(err)
	if err != nil {
		c.count(func(s *Stats) { s.Failures++ })
		c.log.Warn("fetch broke off", "url", t.name, "bytes", f.written, "why", err)
		return
	}
	d.finish()
}

// download is the way of one body into the store.
type download struct {
	c        *Cache
	f        *flight
	t        target
	keep     bool
	size     int64 // from Content-Length, or -1
	reserved int64
	sum      hash.Hash
	want     []byte
}

// open reserves room and makes the temporary file.
func (d *download) open() error {
	if n := max(d.size, 0); d.c.store.reserve(n) {
		d.reserved = n
	} else {
		return fmt.Errorf("there is no room for %d bytes", n)
	}
	file, err := os.CreateTemp(filepath.Join(d.c.store.dir, "tmp"), "fetch-")
	if err != nil {
		return err
	}
	d.f.file = file
	d.sum, d.want = checksum(d.t)
	return nil
}

// receive writes the body to the file and publishes it piece by piece.
func (d *download) receive(body io.Reader) error {
	buf := make([]byte, 64<<10)
	for {
		n, err := body.Read(buf)
		if n > 0 {
			if err := d.write(buf[:n]); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
	}
	if d.size >= 0 && d.f.written != d.size {
		return io.ErrUnexpectedEOF
	}
	return nil
}

func (d *download) write(p []byte) error {
	if over := d.f.written + int64(len(p)) - d.reserved; over > 0 {
		if !d.c.store.reserve(over) {
			return errors.New("there is no room for more")
		}
		d.reserved += over
	}
	if _, err := d.f.file.Write(p); err != nil {
		return fmt.Errorf("cannot write to the cache: %w", err)
	}
	if d.sum != nil {
		d.sum.Write(p)
	}
	d.f.progress(len(p))
	d.c.count(func(s *Stats) { s.BytesFetched += int64(len(p)) })
	return nil
}

// finish stores a complete body.
func (d *download) finish() {
	if d.sum != nil && !bytes.Equal(d.sum.Sum(nil), d.want) {
		d.c.log.Warn("object not kept: it is not what its name says", "url", d.t.name)
		return
	}
	if !d.keep {
		return
	}
	m := meta{URL: d.t.name, Header: d.f.header, Size: d.f.written, Fetched: time.Now()}
	d.reserved -= m.Size
	if err := d.c.store.put(d.t.key, m, d.f.file); err != nil {
		d.c.log.Error("cannot store object", "url", d.t.name, "why", err)
	}
}

// cleanUp removes the temporary file, unless it became an object, and gives
// back what is left of the reservation. Followers keep the open file.
func (d *download) cleanUp() {
	d.c.store.release(d.reserved)
	if d.f.file == nil {
		return
	}
	if err := os.Remove(d.f.file.Name()); err != nil && !errors.Is(err, os.ErrNotExist) {
		d.c.log.Error("cannot remove temporary file", "why", err)
	}
}

// watchedBody cancels the request when a read takes longer than the limit.
type watchedBody struct {
	r      io.Reader
	limit  time.Duration
	cancel context.CancelFunc
	timer  *time.Timer
	late   atomic.Bool
}

// Read implements io.Reader.
func (b *watchedBody) Read(p []byte) (int, error) {
	if b.timer == nil {
		b.timer = time.AfterFunc(b.limit, func() {
			b.late.Store(true)
			b.cancel()
		})
	} else {
		b.timer.Reset(b.limit)
	}
	n, err := b.r.Read(p)
	b.timer.Stop()
	if err != nil && b.late.Load() {
		err = errStalled
	}
	return n, err
}

func (b *watchedBody) stop() {
	if b.timer != nil {
		b.timer.Stop()
	}
}
