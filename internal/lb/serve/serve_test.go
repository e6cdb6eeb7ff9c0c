package serve

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/updraft-cloud/updraft/internal/lb/driver/openstack"
	"github.com/updraft-cloud/updraft/internal/secret/pki"
)

// slowKeystone knows every token, and answers validations when it is told to.
type slowKeystone struct{ asked, answer chan struct{} }

func (k *slowKeystone) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodPost {
		w.Header().Set("X-Subject-Token", "own")
		w.WriteHeader(http.StatusCreated)
	} else {
		k.asked <- struct{}{}
		<-k.answer
	}
	fmt.Fprintf(w, `{"token": {"expires_at": %q, "user": {"id": "u"}, "project": {"id": "p"}, "roles": [{"name": "reader"}]}}`,
		time.Now().Add(time.Hour).Format(time.RFC3339))
}

// TestWhoIsAnsweredAtTheEndIsAnswered ends the service while it has a token
// validated, by a Keystone whose certificate is of an authority of its own.
func TestWhoIsAnsweredAtTheEndIsAnswered(t *testing.T) {
	k := &slowKeystone{make(chan struct{}), make(chan struct{})}
	srv := httptest.NewTLSServer(k)
	t.Cleanup(srv.Close)
	ctx, end := context.WithCancel(t.Context())
	ready := make(chan string, 1)
	ended := make(chan error, 1)
	c := Config{Data: t.TempDir(), Listen: "127.0.0.1:0", Auth: authKeystone, Compute: driverNoop, Network: driverNoop, Secrets: driverNoop, WithAPI: true,
		Cloud: Cloud{Account: openstack.Account{AuthURL: srv.URL, Username: "octavia", Password: "x", Project: "service"}, CA: authority(t, srv)},
		Ready: func(url string) { ready <- strings.TrimPrefix(url, "http://") }}
	go func() { ended <- Run(ctx, c) }()
	var address string
	select {
	case address = <-ready:
	case err := <-ended:
		t.Fatal(err)
	}
	status := make(chan string, 1)
	go func() {
		req, _ := http.NewRequest(http.MethodGet, "http://"+address+"/v2.0/lbaas/loadbalancers", nil)
		req.Header.Set("X-Auth-Token", "unseen")
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			status <- err.Error()
			return
		}
		resp.Body.Close()
		status <- resp.Status
	}()
	<-k.asked
	end()
	awaitRefused(t, address)
	close(k.answer)
	if got := <-status; got != "200 OK" {
		t.Errorf("the answer was %s", got)
	}
	if err := <-ended; err != nil {
		t.Errorf("it ended with %v", err)
	}
}

// awaitRefused waits until the end has begun: nobody new is let in.
func awaitRefused(t *testing.T, address string) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); {
		c := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
		resp, err := c.Get("http://" + address + "/")
		if err != nil {
			return
		}
		resp.Body.Close()
	}
	t.Fatal("it goes on to take requests")
}

func authority(t *testing.T, srv *httptest.Server) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "ca.pem")
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw})
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestTheCloudsCertificatesAreVerified(t *testing.T) {
	srv := httptest.NewTLSServer(http.NotFoundHandler())
	t.Cleanup(srv.Close)
	get := func(c Cloud) error {
		way, err := c.transport()
		if err != nil {
			return err
		}
		resp, err := (&http.Client{Transport: way}).Get(srv.URL)
		if err == nil {
			resp.Body.Close()
		}
		return err
	}
	if err := get(Cloud{CA: authority(t, srv)}); err != nil {
		t.Error(err)
	}
	if get(Cloud{}) == nil {
		t.Error("an authority that nobody named is trusted")
	}
	empty := filepath.Join(t.TempDir(), "empty")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if get(Cloud{CA: empty}) == nil || get(Cloud{CA: "/nowhere"}) == nil {
		t.Error("a file without certificates will do")
	}
}

// certificate writes a new certificate of 127.0.0.1 and its key.
func certificate(t *testing.T, ca pki.Authority, name string, to ServerTLS) {
	t.Helper()
	cert, key, err := ca.Issue(name, []string{"127.0.0.1"}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	for path, text := range map[string]string{to.Certificate: cert, to.Key: key} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func TestTheCertificateOfTheAPIIsReplaced(t *testing.T) {
	ca, err := pki.NewAuthority("ca", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	files := ServerTLS{filepath.Join(t.TempDir(), "cert"), filepath.Join(t.TempDir(), "key")}
	if _, err := files.config(); err == nil {
		t.Error("it is served without a certificate")
	}
	certificate(t, ca, "first", files)
	ctx, end := context.WithCancel(t.Context())
	ready, ended := make(chan string, 1), make(chan error, 1)
	c := Config{Data: t.TempDir(), Listen: "127.0.0.1:0", TLS: files, Auth: authNone, Compute: driverNoop, Network: driverNoop, Secrets: driverNoop, WithAPI: true,
		Ready: func(url string) { ready <- url }}
	go func() { ended <- Run(ctx, c) }()
	var url string
	select {
	case url = <-ready:
	case err := <-ended:
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM([]byte(ca.Cert))
	shows := func() string {
		c := http.Client{Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{RootCAs: pool}}}
		resp, err := c.Get(url + "/")
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		return resp.TLS.PeerCertificates[0].Subject.CommonName
	}
	if got := shows(); got != "first" {
		t.Errorf("it shows the certificate %s", got)
	}
	certificate(t, ca, "second", files)
	if got := shows(); got != "second" {
		t.Errorf("after it was replaced it shows the certificate %s", got)
	}
	if err := os.WriteFile(files.Key, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if got := shows(); got != "second" {
		t.Errorf("while half of it is replaced it shows the certificate %s", got)
	}
	end()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
