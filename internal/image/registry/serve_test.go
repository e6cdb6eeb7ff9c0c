package registry_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/updraft-cloud/updraft/internal/image/registry"
)

// certificate writes a self-signed certificate and its key, and returns the pool
// that believes it.
func certificate(t *testing.T, c registry.Config) *x509.CertPool {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	cert := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	for path, data := range map[string][]byte{c.Certificate: cert, c.Key: pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})} {
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(cert)
	return pool
}

func TestANewCertificateNeedsNoRestart(t *testing.T) {
	dir := t.TempDir()
	c := registry.Config{
		Dir: filepath.Join(dir, "registry"), Listen: "127.0.0.1:0", Certificate: filepath.Join(dir, "cert"), Key: filepath.Join(dir, "key"),
		PasswordFile: filepath.Join(dir, "password"),
	}
	if err := os.WriteFile(c.PasswordFile, []byte("secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	pool := certificate(t, c)
	ctx, cancel := context.WithCancel(t.Context())
	addr, done := make(chan net.Addr, 1), make(chan error, 1)
	go func() { done <- registry.Serve(ctx, c, func(a net.Addr) { addr <- a }) }()
	var at string
	select {
	case a := <-addr:
		at = a.String()
	case err := <-done:
		t.Fatal(err)
	}
	ask := func(pool *x509.CertPool) int {
		client := http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, DisableKeepAlives: true}}
		q, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://"+at+"/v2/", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		q.SetBasicAuth(registry.User, "secret")
		resp, err := client.Do(q)
		if err != nil {
			t.Error(err)
			return 0
		}
		resp.Body.Close()
		return resp.StatusCode
	}
	if got := ask(pool); got != http.StatusOK {
		t.Errorf("first certificate: %d", got)
	}
	if got := ask(certificate(t, c)); got != http.StatusOK {
		t.Errorf("second certificate: %d", got)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestWhatCannotBeServedIsSaidAtOnce(t *testing.T) {
	dir := t.TempDir()
	for rule, c := range map[string]registry.Config{
		"no certificate": {Dir: dir, Listen: "127.0.0.1:0", Certificate: filepath.Join(dir, "none")},
		"no password":    {Dir: dir, Listen: "127.0.0.1:0", PasswordFile: filepath.Join(dir, "none")},
	} {
		if err := registry.Serve(t.Context(), c, nil); err == nil {
			t.Errorf("%s: it was served", rule)
		}
	}
}
