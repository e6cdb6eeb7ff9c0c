package outage

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestGapsAreFromTheFirstFailureToTheNextAnswer(t *testing.T) {
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	down := errors.New("down")
	for _, tc := range []struct {
		rule   string
		asks   string // one for each 100 ms: . is answered, x is not
		failed int
		gap    time.Duration
	}{
		{"nothing failed", "....", 0, 0},
		{"one failed", "..x..", 1, 100 * time.Millisecond},
		{"the longest of several counts", ".x.xxx.", 4, 300 * time.Millisecond},
		{"one that does not end lasts to the last request", "..xxx", 3, 200 * time.Millisecond},
		{"from the beginning", "xx.", 2, 200 * time.Millisecond},
		{"nothing was asked", "", 0, 0},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			var asks []Ask
			for i, c := range tc.asks {
				a := Ask{At: start.Add(time.Duration(i) * 100 * time.Millisecond)}
				if c == 'x' {
					a.Err = down
				}
				asks = append(asks, a)
			}
			r := sum("api", asks)
			if r.Asked != len(tc.asks) || r.Failed != tc.failed || r.Gap != tc.gap || (r.First != nil) != (tc.failed > 0) {
				t.Errorf("%+v, want %d failed and a gap of %s", r, tc.failed, tc.gap)
			}
		})
	}
}

func TestAnOutageIsSeenAndItsEnd(t *testing.T) {
	var down atomic.Bool
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if down.Load() || r.Header.Get("X-Auth-Token") != "token" {
			http.Error(w, "no", http.StatusServiceUnavailable)
		}
	}))
	defer srv.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	client := &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	w := Start(ctx, client, 5*time.Millisecond, []Target{{
		Name: "api", URL: srv.URL, Header: func() http.Header { return http.Header{"X-Auth-Token": {"token"}} }, Accept: func(s int) bool { return s == http.StatusOK },
	}})
	defer w.Stop()
	began := time.Now()
	if _, err := w.Quiet(ctx, 50*time.Millisecond); err != nil {
		t.Fatal(err)
	}
	if r := w.Between(began, time.Now())[0]; r.Failed != 0 || r.Asked == 0 {
		t.Fatalf("before: %+v", r)
	}
	down.Store(true)
	short, stop := context.WithTimeout(ctx, 200*time.Millisecond)
	defer stop()
	if _, err := w.Quiet(short, 100*time.Millisecond); err == nil || !strings.Contains(err.Error(), "api: 503") {
		t.Fatalf("while it is down: %v", err)
	}
	down.Store(false)
	if _, err := w.Quiet(ctx, 50*time.Millisecond); err != nil {
		t.Fatal(err)
	}
	if r := w.Between(began, time.Now())[0]; r.Failed == 0 || r.Gap < 100*time.Millisecond {
		t.Errorf("after: %+v", r)
	}
}
