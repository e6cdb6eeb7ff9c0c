package answer_test

import (
	"bytes"
	"encoding/pem"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/updraft-cloud/updraft/internal/drift"
	"github.com/updraft-cloud/updraft/internal/openstack/answer"
)

func server(t *testing.T, handler http.HandlerFunc) answer.API {
	t.Helper()
	s := httptest.NewTLSServer(handler)
	t.Cleanup(s.Close)
	var ca bytes.Buffer
	if err := pem.Encode(&ca, &pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}); err != nil {
		t.Fatal(err)
	}
	return answer.API{URL: s.URL + "/v3", CA: ca.String(), Dial: (&net.Dialer{}).DialContext}
}

func TestItIsThereWhenItAnswers(t *testing.T) {
	a := server(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/v3" {
			http.NotFound(w, r)
		}
	})
	if r, err := a.Observe(t.Context()); err != nil || r.Status != drift.InSync {
		t.Errorf("got %+v, %v", r, err)
	}
	if err := a.Ensure(t.Context(), nil); err != nil {
		t.Error(err)
	}
}

func TestItIsNotThereWhenAProxyAnswersForIt(t *testing.T) {
	a := server(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) })
	if r, err := a.Observe(t.Context()); err != nil || r.Status != drift.Absent {
		t.Errorf("got %+v, %v", r, err)
	}
	a.Patience = 100 * time.Millisecond
	if err := a.Ensure(t.Context(), nil); err == nil || !strings.Contains(err.Error(), "503") {
		t.Errorf("got %v", err)
	}
}

func TestAnotherAuthorityIsNotBelieved(t *testing.T) {
	a := server(t, func(http.ResponseWriter, *http.Request) {})
	a.CA = "no certificate"
	if r, err := a.Observe(t.Context()); err != nil || r.Status != drift.Absent {
		t.Errorf("got %+v, %v", r, err)
	}
}

func TestEnsureWaits(t *testing.T) {
	var asked atomic.Int32
	a := server(t, func(w http.ResponseWriter, _ *http.Request) {
		if asked.Add(1) < 3 {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})
	if err := a.Ensure(t.Context(), nil); err != nil || asked.Load() != 3 {
		t.Errorf("asked %d times: %v", asked.Load(), err)
	}
}
