package localweb_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/updraft-cloud/updraft/internal/localweb"
)

// shown is a site of the cloud, https://cloud.example, on this computer.
type shown struct {
	t     *testing.T
	addr  string
	fails chan error
	end   func() error
}

const consoles = "https://cloud.example:6080"

func show(t *testing.T, site http.HandlerFunc) *shown {
	t.Helper()
	far := httptest.NewTLSServer(site)
	t.Cleanup(far.Close)
	transport := far.Client().Transport.(*http.Transport).Clone()
	transport.TLSClientConfig.ServerName = "example.com" // whom its certificate is for
	transport.DialContext = func(ctx context.Context, _, addr string) (net.Conn, error) {
		if addr != "cloud.example:443" {
			return nil, fmt.Errorf("dialled %s", addr)
		}
		return (&net.Dialer{}).DialContext(ctx, "tcp", far.Listener.Addr().String())
	}
	t.Cleanup(transport.CloseIdleConnections)
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &shown{t: t, addr: l.Addr().String(), fails: make(chan error, 10)}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	page := &localweb.Site{
		Listener: l, Remote: &url.URL{Scheme: "https", Host: "cloud.example:443"}, Transport: transport,
		Links: []localweb.Link{{Origin: consoles, Port: 4711}}, Failed: func(err error) { s.fails <- err },
	}
	go func() { done <- page.Serve(ctx); close(done) }()
	s.end = func() error { cancel(); return <-done }
	t.Cleanup(func() { s.end() })
	return s
}

// reply is what a browser gets.
type reply struct {
	status int
	header http.Header
	body   string
}

// ask asks for /page as a browser does that calls this computer so.
func (s *shown) ask(host string, header ...string) reply {
	s.t.Helper()
	r, err := http.NewRequestWithContext(s.t.Context(), http.MethodGet, "http://"+s.addr+"/page?a=b%2Fc", nil)
	if err != nil {
		s.t.Fatal(err)
	}
	r.Host = host
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	t := &http.Transport{DisableKeepAlives: true}
	answer, err := t.RoundTrip(r)
	if err != nil {
		s.t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return reply{answer.StatusCode, answer.Header, string(text)}
}

func TestTheSiteSeesABrowserThatIsThere(t *testing.T) {
	s := show(t, func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%s %s %s|%s|%s|%s", r.Method, r.Host, r.RequestURI, r.Header.Get("Origin"), r.Header.Get("Referer"), r.Header.Get("Cookie"))
	})
	local := "http://" + s.addr
	for rule, c := range map[string]struct {
		header []string
		want   string
	}{
		"its own origin":             {[]string{"Origin", local, "Referer", local + "/auth/?x=y", "Cookie", "a=b"}, "https://cloud.example|https://cloud.example/auth/?x=y|a=b"},
		"another origin stays":       {[]string{"Origin", "https://evil.example", "Referer", "https://evil.example/"}, "https://evil.example|https://evil.example/|"},
		"another port is another":    {[]string{"Origin", "http://127.0.0.1:1", "Referer", "http://127.0.0.1:1/"}, "http://127.0.0.1:1|http://127.0.0.1:1/|"},
		"a longer name is another":   {[]string{"Origin", local + ".evil.example", "Referer", local + ".evil.example/"}, local + ".evil.example|" + local + ".evil.example/|"},
		"an origin that is not told": {[]string{"Origin", "null"}, "null||"},
		"none":                       {nil, "||"},
	} {
		if got := s.ask(s.addr, c.header...).body; got != "GET cloud.example /page?a=b%2Fc|"+c.want {
			t.Errorf("%s: %s", rule, got)
		}
	}
}

func TestOnlyNamesOfThisComputerAreAnswered(t *testing.T) {
	s := show(t, func(http.ResponseWriter, *http.Request) {})
	_, port, _ := net.SplitHostPort(s.addr)
	for host, want := range map[string]int{
		s.addr: 200, "localhost:" + port: 200, "cloud1.localhost:" + port: 200, "[::1]:" + port: 200, "127.0.0.1": 200,
		"evil.example:" + port: 421, "192.0.2.1": 421, "localhost.evil.example": 421, "127.0.0.1.evil.example:" + port: 421,
	} {
		if r := s.ask(host); r.status != want {
			t.Errorf("%s: %d, want %d", host, r.status, want)
		}
	}
}

func TestRedirectsToTheSiteStayHere(t *testing.T) {
	var to string
	s := show(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Location", to)
		w.WriteHeader(http.StatusFound)
	})
	for location, want := range map[string]string{
		"https://cloud.example/auth/?next=/": "http://" + s.addr + "/auth/?next=/",
		"https://cloud.example:443/a":        "http://" + s.addr + "/a",
		"/auth/":                             "/auth/",
		"https://elsewhere.example/":         "https://elsewhere.example/",
		"http://cloud.example/":              "http://cloud.example/",
	} {
		to = location
		if got := s.ask(s.addr).header.Get("Location"); got != want {
			t.Errorf("%s became %s, want %s", location, got, want)
		}
	}
}

func TestCookiesAreOfThisComputer(t *testing.T) {
	s := show(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Strict-Transport-Security", "max-age=1")
		for _, c := range []string{
			"csrftoken=x; Path=/; SameSite=Lax; Secure", "sessionid=y; HttpOnly; Domain=cloud.example; Max-Age=60", "other=z; SameSite=None; Secure",
		} {
			w.Header().Add("Set-Cookie", c)
		}
	})
	r := s.ask(s.addr)
	want := []string{"csrftoken=x; Path=/; SameSite=Lax", "sessionid=y; Max-Age=60; HttpOnly", "other=z; SameSite=Lax"}
	if diff := cmp.Diff(want, r.header["Set-Cookie"]); diff != "" {
		t.Error(diff)
	}
	if r.header.Get("Strict-Transport-Security") != "" {
		t.Error("a site without TLS asks for TLS")
	}
}

func TestLinksToOtherSitesLeadToWhereTheyAreShown(t *testing.T) {
	kind, body := "", ""
	s := show(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", kind)
		io.WriteString(w, body)
	})
	link := `<iframe src="` + consoles + `/vnc_lite.html?path=%3Ftoken%3D1&amp;title=a"> ` + consoles + `1/ https://cloud.example:5000/v3`
	here := strings.Replace(link, consoles+"/", "http://127.0.0.1:4711/", 1)
	long := strings.Repeat(consoles+"/", (9<<20)/len(consoles))
	for rule, c := range map[string]struct{ kind, body, want string }{
		"in pages":                   {"text/html; charset=utf-8", link, here},
		"in answers to scripts":      {"application/json", link, here},
		"not in files":               {"application/octet-stream", link, link},
		"not in what is beyond size": {"text/html", long, long},
	} {
		kind, body = c.kind, c.body
		r := s.ask(s.addr)
		if r.body != c.want {
			t.Errorf("%s: %.200s", rule, r.body)
		}
		if n := r.header.Get("Content-Length"); n != "" && n != strconv.Itoa(len(c.want)) {
			t.Errorf("%s: the length is said to be %s", rule, n)
		}
	}
	kind, body = "text/html", link
	if got := s.ask("web.localhost:99").body; !strings.Contains(got, "http://web.localhost:4711/vnc") {
		t.Errorf("under another name of this computer: %s", got)
	}
}

func TestWhatHasNotChangedHasNoLength(t *testing.T) {
	s := show(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		w.WriteHeader(http.StatusNotModified)
	})
	if r := s.ask(s.addr); r.status != http.StatusNotModified || r.header.Get("Content-Length") != "" {
		t.Errorf("%d: %v", r.status, r.header)
	}
}

func TestASiteThatDoesNotAnswerIsNamed(t *testing.T) {
	s := show(t, func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	r := s.ask(s.addr)
	if r.status != http.StatusBadGateway || !strings.Contains(r.body, "cloud.example:443 does not answer: ") {
		t.Errorf("%d: %s", r.status, r.body)
	}
	if err := <-s.fails; !strings.Contains(err.Error(), "EOF") {
		t.Error(err)
	}
}

// websocket answers as if it spoke the protocol, and then in upper case.
func websocket(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Connection", "Upgrade")
	w.Header().Set("Upgrade", r.Header.Get("Upgrade"))
	w.WriteHeader(http.StatusSwitchingProtocols)
	c, buf, err := w.(http.Hijacker).Hijack()
	if err != nil {
		panic(err)
	}
	defer c.Close()
	for {
		line, err := buf.ReadString('\n')
		if err != nil {
			return
		}
		io.WriteString(c, strings.ToUpper(line))
	}
}

func TestWebsocketsPassAndEndWithTheSite(t *testing.T) {
	s := show(t, websocket)
	c, err := net.Dial("tcp", s.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprintf(c, "GET /?token=x HTTP/1.1\r\nHost: %s\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n", s.addr)
	in := bufio.NewReader(c)
	r, err := http.ReadResponse(in, nil)
	if err != nil || r.StatusCode != http.StatusSwitchingProtocols {
		t.Fatal(r, err)
	}
	defer r.Body.Close()
	for range 3 {
		io.WriteString(c, "hello\n")
		if got, err := in.ReadString('\n'); got != "HELLO\n" {
			t.Fatalf("got %q, %v", got, err)
		}
	}
	if err := s.end(); err != nil {
		t.Error(err)
	}
	if _, err := in.ReadByte(); err == nil || errors.Is(err, context.Canceled) {
		t.Errorf("the websocket is still open: %v", err)
	}
}
