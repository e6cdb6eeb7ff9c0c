package verify

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// balancer answers like a load balancer would: next says which member, counted
// from one, or 0 for an error.
func balancer(t *testing.T, next func() int) (url string, conns *atomic.Int64) {
	t.Helper()
	var mu sync.Mutex
	conns = new(atomic.Int64)
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		mu.Lock()
		n := next()
		mu.Unlock()
		if n == 0 {
			http.Error(w, "no server is available", http.StatusServiceUnavailable)
			return
		}
		w.Header().Set("X-Served-By", fmt.Sprintf("web%d", n))
		fmt.Fprintf(w, "<h1>web%d</h1>\n", n)
	}))
	srv.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			conns.Add(1)
		}
	}
	srv.Start()
	t.Cleanup(srv.Close)
	return srv.URL, conns
}

// random draws members with the given weights from a seeded generator.
func random(weights ...int) func() int {
	rng := rand.New(rand.NewPCG(7, 11))
	sum := 0
	for _, w := range weights {
		sum += w
	}
	return func() int {
		x := rng.IntN(sum)
		for i, w := range weights {
			if x -= w; x < 0 {
				return i + 1
			}
		}
		return 0
	}
}

func roundRobin(n int) func() int {
	i := 0
	return func() int { i++; return i%n + 1 }
}

const byHeader = `"identity":{"header":"X-Served-By"}`

func TestSpread(t *testing.T) {
	three := `"members":["web1","web2","web3"],` + byHeader
	tests := []struct {
		name   string
		next   func() int
		extra  string
		status Status
		reason string
	}{
		{"a random fair balancer passes", random(1, 1, 1), three, Passed, "not rejected: the spread is as declared"},
		{"a round-robin is not too even", roundRobin(3), three, Passed, "chi-square 0, 2 degrees of freedom, p = 1.000 ≥ alpha = 0.001"},
		{"8:1:1 fails against uniform with its p-value", random(8, 1, 1), three, Failed, "e-"},
		{"8:1:1 passes as declared", random(8, 1, 1), three + `,"weights":{"web1":8}`, Passed, "requests go to web1, web2 and web3 as 8:1:1"},
		{"even shares fail against 8:1:1", random(1, 1, 1), three + `,"weights":{"web1":8}`, Failed, "rejected: the spread is not as declared. Hypothesis"},
		{"a silent member fails by name", random(1, 1, 0), three, Failed, "web3 answered none of 300 requests"},
		{"a stranger fails by name", random(1, 1, 1, 1), three, Failed, "answers came from web4, who is not declared as members"},
		{"undeclared members are those seen", random(1, 1, 1), byHeader, Passed, "web1, web2 and web3 with equal chance"},
		{"two seen members are too few", random(1, 1), byHeader, Failed, "answers came from web1 and web2: two members are too few"},
		{"two seen members will do when told", roundRobin(2), byHeader + `,"allow_fewer":true`, Passed, "1 degree of freedom"},
		{"one seen member never will", random(1), byHeader + `,"allow_fewer":true`, Failed, "with one member there is no spread to judge"},
		{"the body tells who answered by default", roundRobin(3), `"members":["<h1>web1</h1>","<h1>web2</h1>","<h1>web3</h1>"]`, Passed, ""},
		{"a regular expression finds the identity", roundRobin(3), `"members":["web1","web2","web3"],"identity":{"match":"<h1>(.*)</h1>"}`, Passed, ""},
		{"a response without identity is an error", roundRobin(3), `"identity":{"match":"nothing"}`, Failed, "300 of 300 requests failed (body does not match nothing), at most 0 may"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			url, _ := balancer(t, tt.next)
			got := runOnce(t, ready(t, "spread", `{"url":"`+url+`",`+tt.extra+`}`))
			wantResult(t, got, tt.status, tt.reason)
			if d := got.Detail.(SpreadDetail); d.Requests != 300 || d.Answers+d.Errors != 300 || d.Verdict != got.Reason {
				t.Errorf("detail %+v", d)
			}
		})
	}
}

func TestSpreadCountsErrors(t *testing.T) {
	third := 0
	url, _ := balancer(t, func() int {
		if third++; third <= 3 {
			return 0
		}
		return third%3 + 1
	})
	body := `{"url":"` + url + `",` + byHeader
	wantResult(t, runOnce(t, ready(t, "spread", body+`}`)), Failed, "3 of 300 requests failed (status 503), at most 0 may")
	third = 0
	got := runOnce(t, ready(t, "spread", body+`,"max_errors":3}`))
	wantResult(t, got, Passed, "")
	if d := got.Detail.(SpreadDetail); d.Errors != 3 || d.Answers != 297 || d.FirstErrors[0] != "status 503" {
		t.Errorf("detail %+v", d)
	}
}

func TestSpreadOpensAConnectionPerRequestUnlessToldOtherwise(t *testing.T) {
	url, conns := balancer(t, roundRobin(3))
	body := `{"url":"` + url + `","requests":90,"concurrency":3,` + byHeader
	wantResult(t, runOnce(t, ready(t, "spread", body+`}`)), Passed, "")
	if n := conns.Swap(0); n != 90 {
		t.Errorf("%d connections for 90 requests", n)
	}
	wantResult(t, runOnce(t, ready(t, "spread", body+`,"keep_alive":true}`)), Passed, "")
	if n := conns.Load(); n > 3 {
		t.Errorf("%d connections of 3 clients that keep theirs", n)
	}
}

func TestSpreadWithoutABalancer(t *testing.T) {
	c := ready(t, "spread", `{"url":"http://127.0.0.1:`+shutPort(t)+`/"}`)
	wantResult(t, runOnce(t, c), Failed, "300 of 300 requests failed (connection refused)")
	jobs := []Job{{Check: c, Vantage: FromHost(brokenFleet{ErrVantage}, "web1")}}
	wantResult(t, (&Runner{}).Run(t.Context(), "", jobs).Results[0], Errored, "cannot look from there")
}

func TestSpreadOfNoiseIsShortAndPrintable(t *testing.T) {
	i := 0
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		i++
		fmt.Fprintf(w, "\x1b[31mrequest %d\n", i)
	}))
	defer srv.Close()
	got := runOnce(t, ready(t, "spread", `{"url":"`+srv.URL+`","concurrency":1}`))
	wantResult(t, got, Failed, "300 answers of 300 members are too few for a verdict")
	text, _ := json.Marshal(got.Detail)
	if strings.Contains(string(text), "\x1b") || strings.Contains(string(text), `\u001b[31m`) || len(got.Reason) > 200 {
		t.Errorf("not printable, or too long: %s", got.Reason)
	}
}
