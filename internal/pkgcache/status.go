package pkgcache

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
)

// Stats are counts since the cache was opened, and its present size.
type Stats struct {
	Hits         int64 `json:"hits"`        // served from the store unasked
	Revalidated  int64 `json:"revalidated"` // served from the store, confirmed by the upstream
	Stale        int64 `json:"stale"`       // served from the store, the upstream being out of order
	Misses       int64 `json:"misses"`      // served from the upstream, or not at all
	Relayed      int64 `json:"relayed"`     // passed through, not kept
	Refused      int64 `json:"refused"`
	Failures     int64 `json:"failures"` // fetches that broke off or never began
	Evicted      int64 `json:"evicted"`
	BytesServed  int64 `json:"bytes_served"`
	BytesFetched int64 `json:"bytes_fetched"`
	Fetching     int   `json:"fetching"` // fetches under way
	Objects      int   `json:"objects"`
	Bytes        int64 `json:"bytes"`
	MaxBytes     int64 `json:"max_bytes"`
	Offline      bool  `json:"offline"`
}

func (s *Stats) byState(state string) {
	switch state {
	case "hit":
		s.Hits++
	case "revalidated":
		s.Revalidated++
	case "stale":
		s.Stale++
	default:
		s.Misses++
	}
}

// Stats returns the statistics.
func (c *Cache) Stats() Stats {
	c.mu.Lock()
	out := c.stats
	out.Fetching = len(c.flights)
	c.mu.Unlock()
	s := c.store
	s.mu.Lock()
	defer s.mu.Unlock()
	out.Objects, out.Bytes, out.MaxBytes, out.Evicted = len(s.entries), s.used, s.max, s.evicted
	out.Offline = c.opts.Offline
	return out
}

// ownPage serves / (a text for people), /stats (JSON) and /healthz (200 while
// the store can be reached).
func (c *Cache) ownPage(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		c.refuse(w, refuse(http.StatusMethodNotAllowed, "only GET and HEAD are served here"))
		return
	}
	switch r.URL.Path {
	case "/":
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		c.writeText(w)
	case "/stats":
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(c.Stats()) // a client that has gone does not mind
	case "/healthz":
		if _, err := os.Stat(c.store.dir); err != nil {
			fail(w, http.StatusServiceUnavailable, fmt.Sprintf("the store is gone: %v", err))
			return
		}
		say(w, "ok\n")
	default:
		fail(w, http.StatusNotFound, "this is a proxy: name it in Acquire::http::Proxy (apt) or proxy= (dnf). "+
			"Its own pages are /, /stats and /healthz")
	}
}

func (c *Cache) writeText(w io.Writer) {
	s := c.Stats()
	mode := "online"
	if s.Offline {
		mode = "offline"
	}
	fmt.Fprintf(w, "updraft package cache, %s\n\n", mode)
	fmt.Fprintf(w, "store    %d objects, %d of %d bytes, %d evicted\n", s.Objects, s.Bytes, s.MaxBytes, s.Evicted)
	fmt.Fprintf(w, "served   %d hits, %d revalidated, %d stale, %d misses, %d relayed, %d refused; %d bytes\n",
		s.Hits, s.Revalidated, s.Stale, s.Misses, s.Relayed, s.Refused, s.BytesServed)
	fmt.Fprintf(w, "fetched  %d bytes, %d failures, %d under way\n", s.BytesFetched, s.Failures, s.Fetching)
}

// counted adds what is written to the statistics.
func (c *Cache) counted(w http.ResponseWriter) http.ResponseWriter { return &countingWriter{w, c} }

type countingWriter struct {
	http.ResponseWriter
	c *Cache
}

// Write implements io.Writer.
func (w *countingWriter) Write(p []byte) (int, error) {
	n, err := w.ResponseWriter.Write(p)
	w.add(int64(n))
	return n, err
}

// ReadFrom keeps the way open on which the kernel sends a file.
func (w *countingWriter) ReadFrom(r io.Reader) (int64, error) {
	n, err := io.Copy(w.ResponseWriter, r)
	w.add(n)
	return n, err
}

// Unwrap serves http.ResponseController.
func (w *countingWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *countingWriter) add(n int64) { w.c.count(func(s *Stats) { s.BytesServed += n }) }
