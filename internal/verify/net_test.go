package verify

import (
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// speak listens on loopback and greets every connection, then hangs up unless
// told to stay.
func speak(t *testing.T, greeting string, stay bool) (port string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			fmt.Fprint(conn, greeting)
			if stay {
				t.Cleanup(func() { conn.Close() })
				continue
			}
			conn.Close()
		}
	}()
	_, port = splitAddr(t, l.Addr())
	return port
}

// shutPort returns a port on loopback that nobody listens on.
func shutPort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port := splitAddr(t, l.Addr())
	return port
}

func TestTCP(t *testing.T) {
	open, shut := speak(t, "", false), shutPort(t)
	tests := []struct {
		name, port, expect string
		status             Status
		reason             string
	}{
		{"an open port is open", open, "open", Passed, "is open"},
		{"a closed port is not open", shut, "open", Failed, "is not open: connection refused"},
		{"a closed port is closed", shut, "closed", Passed, "is closed"},
		{"an open port is not closed", open, "closed", Failed, "is open and is to be closed"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := ready(t, "tcp", fmt.Sprintf(`{"target":"127.0.0.1","port":%s,"expect":%q}`, tt.port, tt.expect))
			wantResult(t, runOnce(t, c), tt.status, tt.reason)
		})
	}
}

func TestBanner(t *testing.T) {
	tests := []struct {
		name, greeting, match string
		stay                  bool
		status                Status
		reason                string
	}{
		{"a match passes at once though the server stays", "SSH-2.0-OpenSSH_9.2\r\n", "^SSH-2", true, Passed, `says "SSH-2.0-OpenSSH_9.2"`},
		{"another greeting fails and is shown", "220 mail ESMTP\r\n", "^SSH", false, Failed, `says "220 mail ESMTP", which does not match ^SSH`},
		{"control characters are not shown raw", "\x1b[2Jboo", "x", false, Failed, `says "\x1b[2Jboo"`},
		{"silence fails", "", "x", false, Failed, "closes the connection without a word"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			match, _ := json.Marshal(tt.match)
			c := ready(t, "banner", fmt.Sprintf(`{"target":"127.0.0.1","port":%s,"match":%s}`, speak(t, tt.greeting, tt.stay), match))
			wantResult(t, runOnce(t, c), tt.status, tt.reason)
		})
	}
}

func TestBannerOfASilentServerEndsWithTheTimeout(t *testing.T) {
	c := ready(t, "banner", `{"target":"127.0.0.1","port":`+speak(t, "", true)+`,"match":"x"}`)
	rep := (&Runner{}).Run(t.Context(), "", []Job{{Check: c, Vantage: &Local{}, Timeout: 50 * time.Millisecond}})
	wantResult(t, rep.Results[0], Failed, "says nothing: no answer in time")
}

func TestHTTP(t *testing.T) {
	mux := http.NewServeMux()
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Method", r.Method)
		fmt.Fprintf(w, "host %s token %s", r.Host, r.Header.Get("X-Token"))
	})
	mux.Handle("/moved", http.RedirectHandler("/", http.StatusFound))
	mux.HandleFunc("/broken", func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "out of order", http.StatusServiceUnavailable)
	})
	srv := httptest.NewServer(mux)
	defer srv.Close()
	tests := []struct {
		name, path, extra string
		status            Status
		reason            string
	}{
		{"status 200 passes by default", "/", ``, Passed, "status 200"},
		{"another status fails", "/broken", ``, Failed, "answers with status 503, expected 200"},
		{"a declared status passes", "/broken", `,"status":["2xx",503]`, Passed, "status 503"},
		{"redirects are not followed by default", "/moved", ``, Failed, "status 302"},
		{"redirects are followed when told", "/moved", `,"follow":true`, Passed, ""},
		{"headers and host are sent", "/", `,"host":"www.example.org","headers":{"X-Token":"s3"},"contains":"host www.example.org token s3"`, Passed, ""},
		{"a body that lacks the text fails and is shown", "/", `,"contains":"welcome"`, Failed, `does not contain "welcome": "host 127.0.0.1`},
		{"a body is matched", "/", `,"match":"^host \\S+ token $"`, Passed, ""},
		{"a body that does not match fails", "/", `,"match":"^$"`, Failed, "does not match ^$"},
		{"response headers are matched", "/", `,"method":"HEAD","expect_headers":{"x-method":"^HEAD$"}`, Passed, ""},
		{"a response header that does not match fails", "/", `,"expect_headers":{"X-Method":"PUT"}`, Failed, `header X-Method: "GET", expected a match of PUT`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			wantResult(t, runOnce(t, ready(t, "http", `{"url":"`+srv.URL+tt.path+`"`+tt.extra+`}`)), tt.status, tt.reason)
		})
	}
}

func TestHTTPDialsTheEndpointAndKeepsTheNameInTheURL(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.Host) }))
	defer srv.Close()
	_, port := splitAddr(t, srv.Listener.Addr())
	c := decoded(t, "http", `{"url":"http://web:`+port+`/","match":"^web:"}`)
	err := c.Resolve(func(name, _ string) []Endpoint {
		return []Endpoint{{name + "1", "127.0.0.1"}, {name + "2", "127.0.0.2"}}
	})
	if err != nil {
		t.Fatal(err)
	}
	got := runOnce(t, c)
	if d := got.Detail.(HTTPDetails); len(d) != 2 || d[0].Status != 200 {
		t.Errorf("detail %+v", d)
	}
	wantResult(t, got, Failed, "web2 (127.0.0.2) does not answer: connection refused")
}

func TestHTTPJudgesCertificates(t *testing.T) {
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	srv.Config.ErrorLog = log.New(io.Discard, "", 0) // it complains of clients that refuse its certificate
	srv.StartTLS()
	defer srv.Close()
	ca := filepath.Join(t.TempDir(), "ca.pem")
	block := &pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw}
	if err := os.WriteFile(ca, pem.EncodeToMemory(block), 0o600); err != nil {
		t.Fatal(err)
	}
	quoted, _ := json.Marshal(ca)
	tests := []struct {
		name, tls string
		status    Status
		reason    string
	}{
		{"an unknown authority fails", `{}`, Failed, "certificate signed by unknown authority"},
		{"a trusted file passes", `{"ca_file":` + string(quoted) + `}`, Passed, ""},
		{"another name fails", `{"server_name":"www.example.net","ca_file":` + string(quoted) + `}`, Failed, "certificate is valid for"},
		{"any certificate will do when told", `{"insecure":true}`, Passed, ""},
		{"a file that is not there is an error of the check", `{"ca_file":"/nonexistent"}`, Errored, "cannot read trusted certificates"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			wantResult(t, runOnce(t, ready(t, "http", `{"url":"`+srv.URL+`","tls":`+tt.tls+`}`)), tt.status, tt.reason)
		})
	}
}

func TestHTTPErrorsDoNotShowTheURL(t *testing.T) {
	c := ready(t, "http", `{"url":"http://127.0.0.1:`+shutPort(t)+`/?token=s3cret"}`)
	got := runOnce(t, c)
	if text, _ := json.Marshal(got); strings.Contains(string(text), "s3cret") {
		t.Errorf("the result shows the query: %s", text)
	}
}

func TestICMPOnLoopback(t *testing.T) {
	conn, err := ListenICMP(t.Context(), false)
	if err != nil {
		if strings.Contains(os.Getenv("REQUIRE"), "lab") {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	conn.Close()
	wantResult(t, runOnce(t, ready(t, "icmp", `{"target":"127.0.0.1","count":2,"interval":"1ms"}`)), Passed, "answered, slowest in")
	// 0.0.0.0/8 beyond this host is never answered (RFC 1122, 3.2.1.3).
	wantResult(t, runOnce(t, ready(t, "icmp", `{"target":"0.0.0.1","count":1,"wait":"20ms"}`)), Failed, "0.0.0.1 does not answer to pings")
}

func TestICMPJudgesLossAndTime(t *testing.T) {
	fault := errors.New("lost")
	tests := []struct {
		name, extra string
		d           PingDetail
		reason      string
	}{
		{"no reply", ``, PingDetail{Sent: 3, Error: fault.Error()}, "does not answer"},
		{"loss beyond the bound", `,"max_loss":20`, PingDetail{Sent: 3, Received: 2}, "lost 33.3 % of 3 pings, at most 20 % may be"},
		{"loss within the bound", `,"max_loss":50`, PingDetail{Sent: 3, Received: 2}, ""},
		{"too slow", `,"max_rtt":"10ms"`, PingDetail{Sent: 1, Received: 1, AvgRTT: 12345 * time.Microsecond}, "answers in 12.3ms on average, at most 10ms"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := ready(t, "icmp", `{"target":"127.0.0.1"`+tt.extra+`}`).(*ICMP).judge(tt.d)
			if (err == nil) != (tt.reason == "") || err != nil && !strings.Contains(err.Error(), tt.reason) {
				t.Errorf("judged %v, want %q", err, tt.reason)
			}
		})
	}
}
