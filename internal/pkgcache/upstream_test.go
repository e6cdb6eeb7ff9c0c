package pkgcache

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// upstream is a package mirror that knows exactly the files it was given. Any
// request for something else, or with a header field that the cache has no
// reason to send, fails the test.
type upstream struct {
	t   *testing.T
	srv *httptest.Server

	mu    sync.Mutex
	files map[string]*file
	asked []string // "GET /path 200", in order
}

type file struct {
	content, etag, modified string
	header                  map[string]string
	status                  int
	serve                   http.HandlerFunc // in place of all of the above
}

func newUpstream(t *testing.T, tls bool) *upstream {
	u := &upstream{t: t, files: map[string]*file{}}
	if tls {
		u.srv = httptest.NewTLSServer(u)
	} else {
		u.srv = httptest.NewServer(u)
	}
	t.Cleanup(u.srv.Close)
	return u
}

func (u *upstream) host() string { return u.srv.Listener.Addr().String() }

func (u *upstream) url(path string) string { return "http://" + u.host() + path }

func (u *upstream) put(path string, f file) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.files[path] = &f
}

func (u *upstream) log() []string {
	u.mu.Lock()
	defer u.mu.Unlock()
	return slices.Clone(u.asked)
}

func (u *upstream) note(r *http.Request, status int) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.asked = append(u.asked, fmt.Sprintf("%s %s %d", r.Method, r.URL.RequestURI(), status))
}

var expected = []string{"User-Agent", "Via", "If-None-Match", "If-Modified-Since", "Range", "If-Range", "Authorization"}

func (u *upstream) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	for name := range r.Header {
		if !slices.Contains(expected, name) {
			u.t.Errorf("upstream got header %s: %q", name, r.Header.Get(name))
		}
	}
	u.mu.Lock()
	f := u.files[r.URL.RequestURI()]
	u.mu.Unlock()
	switch {
	case f == nil:
		u.note(r, 404)
		http.Error(w, "no such file", http.StatusNotFound)
	case f.serve != nil:
		u.note(r, 0)
		f.serve(w, r)
	default:
		u.serve(w, r, f)
	}
}

func (u *upstream) serve(w http.ResponseWriter, r *http.Request, f *file) {
	for k, v := range f.header {
		w.Header().Set(k, v)
	}
	w.Header().Set("Set-Cookie", "track=1")
	if f.etag != "" {
		w.Header().Set("ETag", f.etag)
	}
	if f.modified != "" {
		w.Header().Set("Last-Modified", f.modified)
	}
	same := f.etag != "" && r.Header.Get("If-None-Match") == f.etag ||
		f.etag == "" && f.modified != "" && r.Header.Get("If-Modified-Since") == f.modified
	status := f.status
	if status == 0 {
		status = http.StatusOK
	}
	if same {
		status = http.StatusNotModified
	}
	u.note(r, status)
	if status != http.StatusNotModified {
		w.Header().Set("Content-Length", fmt.Sprint(len(f.content)))
	}
	w.WriteHeader(status)
	if status != http.StatusNotModified && r.Method != http.MethodHead {
		io.WriteString(w, f.content)
	}
}

// rig is a cache in front of an upstream, and a client that uses it as its proxy.
type rig struct {
	t      *testing.T
	up     *upstream
	cache  *Cache
	client *http.Client
}

func newRig(t *testing.T, change func(*Options)) *rig {
	t.Helper()
	return newRigFor(t, newUpstream(t, false), change)
}

func newRigFor(t *testing.T, up *upstream, change func(*Options)) *rig {
	t.Helper()
	tr := http.DefaultTransport.(*http.Transport).Clone()
	tr.Proxy, tr.DisableCompression = nil, true
	if up.srv.TLS != nil {
		tr = up.srv.Client().Transport.(*http.Transport)
		tr.DisableCompression = true
	}
	opts := Options{Dir: t.TempDir(), MaxBytes: 1 << 20, Hosts: []string{up.host()}, Fresh: -1, Transport: tr}
	if change != nil {
		change(&opts)
	}
	c, err := New(opts)
	if err != nil {
		t.Fatal(err)
	}
	front := httptest.NewServer(c)
	proxy, err := url.Parse(front.URL)
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{
		Transport: &http.Transport{Proxy: http.ProxyURL(proxy), DisableCompression: true},
		CheckRedirect: func(*http.Request, []*http.Request) error {
			return http.ErrUseLastResponse
		},
	}
	t.Cleanup(func() {
		client.CloseIdleConnections()
		front.Close()
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return &rig{t, up, c, client}
}

// reply is a response as a test compares it.
type reply struct {
	status int
	state  string
	body   string
	header http.Header
	err    error // of reading the body
}

func (r *rig) do(method, url string, header ...string) reply {
	r.t.Helper()
	req, err := http.NewRequest(method, url, nil)
	if err != nil {
		r.t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := r.client.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return reply{resp.StatusCode, resp.Header.Get(stateHeader), string(body), resp.Header, err}
}

func (r *rig) get(path string, header ...string) reply {
	r.t.Helper()
	return r.do(http.MethodGet, r.up.url(path), header...)
}

// settle waits until what was fetched is stored.
func (r *rig) settle() { r.cache.fetchers.Wait() }

func (r *rig) wantAsked(want ...string) {
	r.t.Helper()
	if got := r.up.log(); !slices.Equal(got, want) {
		r.t.Errorf("upstream was asked\n  %s\nwant\n  %s", strings.Join(got, "\n  "), strings.Join(want, "\n  "))
	}
}

func (r *rig) wantBody(got reply, state, body string) {
	r.t.Helper()
	if got.err != nil || got.status != http.StatusOK || got.state != state || got.body != body {
		r.t.Errorf("got %d %s %.60q, %v; want 200 %s %.60q", got.status, got.state, got.body, got.err, state, body)
	}
}
