package store

import (
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func TestWhyAClusterIsNotReachedIsTold(t *testing.T) {
	srv := httptest.NewUnstartedServer(http.NotFoundHandler())
	srv.TLS = &tls.Config{ClientAuth: tls.RequireAnyClientCert}
	srv.EnableHTTP2 = true
	srv.StartTLS()
	t.Cleanup(srv.Close)
	pool := x509.NewCertPool()
	pool.AddCert(srv.Certificate())
	for _, c := range []struct {
		at     string
		secure *tls.Config
		want   string
	}{
		{"http://127.0.0.1:1", nil, "connection refused"},
		{srv.URL, nil, "certificate signed by unknown authority"},
		{srv.URL, &tls.Config{RootCAs: pool}, "certificate required"},
		{srv.URL, &tls.Config{RootCAs: pool, Certificates: srv.TLS.Certificates}, ""},
	} {
		err := reach(t.Context(), c.at, c.secure)
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v, want %q", c.at, err, c.want)
		}
	}
	const away = "http://127.0.0.1:1"
	_, err := Open(t.Context(), Options{Endpoints: []string{away}, WriteTimeout: 200 * time.Millisecond})
	if err == nil || !strings.Contains(err.Error(), away+": dial tcp 127.0.0.1:1: connect: connection refused") {
		t.Errorf("opened: %v", err)
	}
}
