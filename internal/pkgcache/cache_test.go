package pkgcache

import (
	"bufio"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

const (
	deb     = "/debian/pool/main/g/g%2b%2b/g%2b%2b_12_amd64.deb"
	release = "/debian/dists/trixie/InRelease"
	date    = "Mon, 02 Jun 2025 10:00:00 GMT"
)

func TestAnImmutableObjectIsFetchedOnce(t *testing.T) {
	r := newRig(t, nil)
	r.up.put(deb, file{content: "package", etag: `"a"`, modified: date})
	r.wantBody(r.get(deb), "miss", "package")
	r.settle()
	got := r.get(deb)
	r.wantBody(got, "hit", "package")
	// The same object in another spelling.
	r.wantBody(r.get(strings.ReplaceAll(deb, "%2b", "+")), "hit", "package")
	r.wantAsked("GET " + deb + " 200")
	if got.header.Get("ETag") != `"a"` || got.header.Get("Last-Modified") != date || got.header.Get("Set-Cookie") != "" {
		t.Errorf("header of a hit: %v", got.header)
	}
}

func TestAMutableObjectIsRevalidated(t *testing.T) {
	for name, f := range map[string]file{
		"by etag": {content: "one", etag: `"1"`},
		"by date": {content: "one", modified: date},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, nil)
			r.up.put(release, f)
			r.wantBody(r.get(release), "miss", "one")
			r.settle()
			r.wantBody(r.get(release), "revalidated", "one")
			r.settle()
			r.up.put(release, file{content: "two", etag: `"2"`})
			r.wantBody(r.get(release), "miss", "two")
			r.settle()
			r.wantBody(r.get(release), "revalidated", "two")
			r.wantAsked("GET "+release+" 200", "GET "+release+" 304", "GET "+release+" 200", "GET "+release+" 304")
			if s := r.cache.Stats(); s.Objects != 1 || s.Bytes != 3 || s.Revalidated != 2 || s.Misses != 2 {
				t.Errorf("stats: %+v", s)
			}
		})
	}
}

func TestAFreshObjectIsServedUnasked(t *testing.T) {
	r := newRig(t, func(o *Options) { o.Fresh = time.Hour })
	r.up.put(release, file{content: "one", etag: `"1"`})
	r.get(release)
	r.settle()
	r.wantBody(r.get(release, "Cache-Control", "max-age=0"), "hit", "one")
	r.wantBody(r.get(release, "Cache-Control", "no-cache"), "miss", "one")
	r.wantAsked("GET "+release+" 200", "GET "+release+" 200")
}

func TestAClientsOwnCopyIsConfirmed(t *testing.T) {
	r := newRig(t, nil)
	r.up.put(release, file{content: "one", modified: date})
	for range 2 {
		if got := r.get(release, "If-Modified-Since", date); got.status != http.StatusNotModified || got.body != "" {
			t.Errorf("got %d %q, want 304", got.status, got.body)
		}
		r.settle()
	}
}

// halves serves a body in two halves and waits in between until it is let go.
func halves(content string, arrived, letGo chan struct{}) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", fmt.Sprint(len(content)))
		io.WriteString(w, content[:len(content)/2])
		http.NewResponseController(w).Flush()
		close(arrived)
		select {
		case <-letGo:
			io.WriteString(w, content[len(content)/2:])
		case <-r.Context().Done():
		}
	}
}

func TestFiftyClientsShareOneFetchWhileItIsUnderWay(t *testing.T) {
	r := newRig(t, nil)
	content := strings.Repeat("0123456789abcdef", 16384) // 256 KiB
	arrived, letGo := make(chan struct{}), make(chan struct{})
	r.up.put(deb, file{serve: halves(content, arrived, letGo)})
	var first, all sync.WaitGroup
	for i := range 50 {
		first.Add(1)
		all.Go(func() {
			resp, err := r.client.Get(r.up.url(deb))
			if err != nil {
				t.Error(err)
				first.Done()
				return
			}
			defer resp.Body.Close()
			half := make([]byte, len(content)/2)
			_, err = io.ReadFull(resp.Body, half)
			first.Done() // each has half of it before the upstream sends the rest
			rest, err2 := io.ReadAll(resp.Body)
			if err != nil || err2 != nil || string(half)+string(rest) != content {
				t.Errorf("client %d: wrong body: %v, %v", i, err, err2)
			}
		})
	}
	first.Wait()
	close(letGo)
	all.Wait()
	r.settle()
	r.wantAsked("GET " + deb + " 0")
	r.wantBody(r.get(deb), "hit", content)
}

func TestAClientThatGoesAwayDoesNotEndTheFetch(t *testing.T) {
	r := newRig(t, nil)
	content := strings.Repeat("x", 200000)
	arrived, letGo := make(chan struct{}), make(chan struct{})
	r.up.put(deb, file{serve: halves(content, arrived, letGo)})
	ctx, goAway := context.WithCancel(t.Context())
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, r.up.url(deb), nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := r.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	<-arrived
	goAway()
	io.Copy(io.Discard, resp.Body)
	resp.Body.Close()
	close(letGo)
	r.settle()
	r.wantBody(r.get(deb), "hit", content)
	r.wantAsked("GET " + deb + " 0")
}

func TestAnUpstreamThatBreaksOffLeavesNothing(t *testing.T) {
	for name, chunked := range map[string]bool{"known length": false, "chunked": true} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, nil)
			r.up.put(deb, file{serve: func(w http.ResponseWriter, _ *http.Request) {
				if !chunked {
					w.Header().Set("Content-Length", "100000")
				}
				io.WriteString(w, strings.Repeat("x", 50000))
				http.NewResponseController(w).Flush()
				panic(http.ErrAbortHandler)
			}})
			if got := r.get(deb); got.err == nil {
				t.Errorf("client saw a whole body of %d bytes", len(got.body))
			}
			r.settle()
			if files := filesIn(t, r.cache.opts.Dir); len(files) != 0 {
				t.Errorf("left behind: %v", files)
			}
			if r.cache.store.reserved != 0 {
				t.Errorf("%d bytes stay reserved", r.cache.store.reserved)
			}
			r.up.put(deb, file{content: "whole"})
			r.wantBody(r.get(deb), "miss", "whole")
		})
	}
}

func filesIn(t *testing.T, dir string) []string {
	t.Helper()
	var out []string
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() && d.Name() != "lock" {
			out = append(out, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestRanges(t *testing.T) {
	content := strings.Repeat("0123456789", 10)
	tests := []struct {
		name   string
		header []string
		status int
		body   string
	}{
		{"from the middle", []string{"Range", "bytes=95-"}, 206, "56789"},
		{"the beginning", []string{"Range", "bytes=0-2"}, 206, "012"},
		{"complete already", []string{"Range", "bytes=100-"}, 416, "invalid range: failed to overlap\n"},
		{"if the same", []string{"Range", "bytes=98-", "If-Range", date}, 206, "89"},
		{"if changed the whole", []string{"Range", "bytes=98-", "If-Range", "Mon, 02 Jun 2025 11:00:00 GMT"}, 200, content},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t, nil)
			r.up.put(deb, file{content: content, modified: date})
			for _, where := range []string{"under way", "stored"} {
				if got := r.get(deb, tt.header...); got.status != tt.status || got.body != tt.body || got.err != nil {
					t.Errorf("%s: got %d %q, %v", where, got.status, got.body, got.err)
				}
				r.settle()
			}
			r.wantAsked("GET " + deb + " 200") // the whole, once
		})
	}
}

func TestBodiesOfUnknownLength(t *testing.T) {
	content := strings.Repeat("chunk", 30000)
	r := newRig(t, nil)
	r.up.put(deb, file{serve: func(w http.ResponseWriter, _ *http.Request) {
		io.WriteString(w, content[:10])
		http.NewResponseController(w).Flush()
		io.WriteString(w, content[10:])
	}})
	r.wantBody(r.get(deb), "miss", content)
	r.settle()
	r.wantBody(r.get(deb), "hit", content)
}

func TestWhatIsNotKept(t *testing.T) {
	wrong := fmt.Sprintf("/debian/by-hash/SHA256/%x", sha256.Sum256([]byte("right")))
	endByClose := func(w http.ResponseWriter, _ *http.Request) {
		conn, buf, err := http.NewResponseController(w).Hijack()
		if err != nil {
			panic(err)
		}
		defer conn.Close()
		buf.WriteString("HTTP/1.0 200 OK\r\n\r\nbody")
		buf.Flush()
	}
	tests := []struct {
		name, path string
		f          file
		body       string
	}{
		{"a login page in place of a package", deb, file{content: "<html>", header: map[string]string{"Content-Type": "text/html"}}, "<html>"},
		{"what the upstream says not to store", deb, file{content: "x", header: map[string]string{"Cache-Control": "private, no-store"}}, "x"},
		{"content that does not match its by-hash name", wrong, file{content: "wrong"}, "wrong"},
		{"a body whose end cannot be told from a break", deb, file{serve: endByClose}, "body"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t, nil)
			r.up.put(tt.path, tt.f)
			r.wantBody(r.get(tt.path), "miss", tt.body)
			r.settle()
			if s := r.cache.Stats(); s.Objects != 0 || len(filesIn(t, r.cache.opts.Dir)) != 0 {
				t.Errorf("kept: %+v", s)
			}
		})
	}
}

func TestContentThatMatchesItsByHashNameIsKept(t *testing.T) {
	r := newRig(t, nil)
	path := fmt.Sprintf("/debian/by-hash/SHA256/%x", sha256.Sum256([]byte("right")))
	r.up.put(path, file{content: "right"})
	r.get(path)
	r.settle()
	r.wantBody(r.get(path), "hit", "right")
}

func TestAnErrorOfTheUpstreamIsPassedOn(t *testing.T) {
	r := newRig(t, nil)
	if got := r.get(deb); got.status != http.StatusNotFound || got.body != "no such file\n" {
		t.Errorf("got %d %q", got.status, got.body)
	}
	if s := r.cache.Stats(); s.Objects != 0 {
		t.Errorf("stored: %+v", s)
	}
}

func TestAStoredObjectIsServedWhenTheUpstreamIsOutOfOrder(t *testing.T) {
	r := newRig(t, nil)
	r.up.put(release, file{content: "one", etag: `"1"`})
	r.get(release)
	r.settle()
	r.up.put(release, file{content: "oops", status: http.StatusServiceUnavailable})
	r.wantBody(r.get(release), "stale", "one")
	r.up.srv.Close()
	r.wantBody(r.get(release), "stale", "one")
	if got := r.get(deb); got.status != http.StatusBadGateway || !strings.Contains(got.body, "cannot fetch http://") ||
		strings.Contains(got.body, "Get ") {
		t.Errorf("got %d %q", got.status, got.body)
	}
}

func TestOfflineServesWhatIsThere(t *testing.T) {
	dir := t.TempDir()
	r := newRig(t, func(o *Options) { o.Dir = dir })
	r.up.put(release, file{content: "one", etag: `"1"`})
	r.up.put(deb, file{content: "package"})
	r.get(release)
	r.get(deb)
	r.settle()
	if err := r.cache.store.close(); err != nil { // as if the process had died
		t.Fatal(err)
	}
	off := newRigFor(t, r.up, func(o *Options) { o.Dir, o.Offline = dir, true })
	off.wantBody(off.get(release), "hit", "one")
	off.wantBody(off.get(deb), "hit", "package")
	if got := off.do(http.MethodHead, off.up.url(deb)); got.status != 200 || got.header.Get("Content-Length") != "7" {
		t.Errorf("HEAD: %d %v", got.status, got.header)
	}
	got := off.get("/debian/other.deb")
	if got.status != http.StatusGatewayTimeout || !strings.Contains(got.body, "package_cache.offline: false") {
		t.Errorf("got %d %q", got.status, got.body)
	}
	if got := off.get(deb, "Authorization", "Basic eA=="); got.status != http.StatusGatewayTimeout {
		t.Errorf("relayed while offline: %d", got.status)
	}
	r.wantAsked("GET "+release+" 200", "GET "+deb+" 200")
	r.cache.store.lock = nopLock(t)
}

// nopLock is closed in place of a lock that is closed already.
func nopLock(t *testing.T) *os.File {
	f, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestAnHTTPSRepositoryIsReachedByRemap(t *testing.T) {
	r := newRigFor(t, newUpstream(t, true), nil)
	r.up.put("/repo/a.deb", file{content: "secure"})
	addr := "http://HTTPS///" + r.up.host() + "/repo/a.deb"
	r.wantBody(r.do(http.MethodGet, addr), "miss", "secure")
	r.settle()
	r.wantBody(r.do(http.MethodGet, addr), "hit", "secure")
	r.wantAsked("GET /repo/a.deb 200")
}

func TestRedirects(t *testing.T) {
	r := newRig(t, nil)
	to := func(where string) file {
		return file{serve: func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", where)
			w.WriteHeader(http.StatusFound)
		}}
	}
	r.up.put("/real.deb", file{content: "package"})
	r.up.put("/near.deb", to(r.up.url("/real.deb")))
	r.up.put("/far.deb", to("http://169.254.169.254/latest/meta-data"))
	r.up.put("/loop.deb", to(r.up.url("/loop.deb")))
	r.wantBody(r.get("/near.deb"), "miss", "package")
	for _, path := range []string{"/far.deb", "/loop.deb"} {
		if got := r.get(path); got.status != http.StatusFound || got.header.Get("Location") == "" {
			t.Errorf("%s: got %d", path, got.status)
		}
	}
}

func TestCredentialsAreRelayedAndNothingIsKept(t *testing.T) {
	r := newRig(t, nil)
	r.up.put(deb, file{content: "licensed"})
	r.wantBody(r.get(deb, "Authorization", "Basic eA==", "Cookie", "no"), "relayed", "licensed")
	if s := r.cache.Stats(); s.Objects != 0 || s.Relayed != 1 {
		t.Errorf("stats: %+v", s)
	}
	// A client without the credentials is not served from what another got.
	r.wantBody(r.get(deb), "miss", "licensed")
}

func TestARelayThatBreaksOffBreaksOff(t *testing.T) {
	r := newRig(t, nil)
	r.up.put(deb, file{serve: func(w http.ResponseWriter, _ *http.Request) {
		io.WriteString(w, strings.Repeat("x", 50000))
		http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}})
	if got := r.get(deb, "Authorization", "Basic eA=="); got.err == nil {
		t.Error("client saw a whole body")
	}
}

func TestRefusals(t *testing.T) {
	r := newRig(t, nil)
	host := r.up.host()
	tests := []struct {
		name, request string
		status        int
		text          string
	}{
		{"a host that is no mirror", "GET http://169.254.169.254/latest HTTP/1.1\r\nHost: x\r\n\r\n", 403, "name it under mirrors"},
		{"another port of a mirror", "GET http://127.0.0.1:22/ HTTP/1.1\r\nHost: x\r\n\r\n", 403, "not a package mirror"},
		{"a host behind the remap", "GET http://HTTPS///localhost/x HTTP/1.1\r\nHost: x\r\n\r\n", 403, "localhost is not"},
		{"CONNECT", "CONNECT mirror.example.org:443 HTTP/1.1\r\nHost: x\r\n\r\n", 405, "http://HTTPS///mirror.example.org/path"},
		{"POST", "POST http://" + host + "/ HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", 405, "only GET and HEAD"},
		{"a body", "GET http://" + host + "/ HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nx", 400, "no body"},
		{"credentials in the address", "GET http://a:b@" + host + "/ HTTP/1.1\r\nHost: x\r\n\r\n", 400, "without user"},
		{"going up", "GET http://" + host + "/a/%2e%2e/b HTTP/1.1\r\nHost: x\r\n\r\n", 400, "goes up"},
		{"a line break in the path", "GET http://" + host + "/a%0d%0ab HTTP/1.1\r\nHost: x\r\n\r\n", 400, `'\r'`},
		{"another scheme", "GET ftp://" + host + "/a HTTP/1.1\r\nHost: x\r\n\r\n", 400, `scheme "ftp"`},
		{"itself as upstream", "GET http://" + host + "/a HTTP/1.1\r\nHost: x\r\nVia: 1.1 updraft-pkgcache\r\n\r\n", 508, "its own upstream"},
		{"a path of its own that it has not", "GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n", 404, "this is a proxy"},
		{"two lengths", "GET http://" + host + "/a HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx", 400, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			status, text := r.raw(tt.request)
			if status != tt.status || !strings.Contains(text, tt.text) {
				t.Errorf("got %d %q, want %d with %q", status, text, tt.status, tt.text)
			}
		})
	}
	r.wantAsked()
}

// raw sends a request as text.
func (r *rig) raw(request string) (int, string) {
	r.t.Helper()
	proxy, err := r.client.Transport.(*http.Transport).Proxy(&http.Request{URL: &url.URL{Scheme: "http"}})
	if err != nil {
		r.t.Fatal(err)
	}
	conn, err := net.Dial("tcp", proxy.Host)
	if err != nil {
		r.t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, request); err != nil {
		r.t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		r.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

func TestAnUpstreamThatSendsNothingIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, w := io.Pipe()
		defer w.Close()
		body := &watchedBody{r: r, limit: time.Minute, cancel: func() { r.CloseWithError(context.Canceled) }}
		defer body.stop()
		go io.WriteString(w, "some")
		start, buf := time.Now(), make([]byte, 10)
		if n, err := body.Read(buf); n != 4 || err != nil {
			t.Errorf("first read: %d, %v", n, err)
		}
		time.Sleep(time.Hour) // fake time: a reader that takes long is no stall
		if _, err := body.Read(buf); !errors.Is(err, errStalled) {
			t.Errorf("second read: %v", err)
		}
		if took := time.Since(start); took != time.Hour+time.Minute {
			t.Errorf("given up after %s", took)
		}
	})
}

func TestServeEndsGracefully(t *testing.T) {
	up := newUpstream(t, false)
	arrived, letGo := make(chan struct{}), make(chan struct{})
	up.put(deb, file{serve: halves("0123456789", arrived, letGo)})
	c, err := New(Options{Dir: t.TempDir(), Hosts: []string{up.host()}})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	var listeners []net.Listener
	for range 2 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		listeners = append(listeners, l)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- c.Serve(ctx, listeners...) }()
	for path, want := range map[string]string{"/": "updraft package cache, online", "/stats": `"max_bytes":10737418240`, "/healthz": "ok"} {
		for _, l := range listeners {
			if got := fetch(t, "http://"+l.Addr().String()+path); !strings.Contains(got, want) {
				t.Errorf("%s: %q", path, got)
			}
		}
	}
	proxied := make(chan string)
	go func() {
		tr := &http.Transport{Proxy: http.ProxyURL(&url.URL{Scheme: "http", Host: listeners[0].Addr().String()})}
		defer tr.CloseIdleConnections()
		resp, err := (&http.Client{Transport: tr}).Get(up.url(deb))
		if err != nil {
			proxied <- err.Error()
			return
		}
		defer resp.Body.Close()
		body, _ := io.ReadAll(resp.Body)
		proxied <- string(body)
	}()
	<-arrived
	stop()
	close(letGo)
	if got := <-proxied; got != "0123456789" {
		t.Errorf("the download under way ended with %q", got)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
	http.DefaultClient.CloseIdleConnections()
}

func fetch(t *testing.T, url string) string {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

func TestAClosedCacheRefusesToFetch(t *testing.T) {
	c, err := New(Options{Dir: t.TempDir(), Hosts: []string{"mirror.example"}})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	c.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "http://mirror.example/a.deb", nil))
	if w.Code != http.StatusServiceUnavailable {
		t.Errorf("got %d %q", w.Code, w.Body)
	}
}
