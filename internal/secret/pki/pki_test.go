package pki_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/updraft-cloud/updraft/internal/secret/pki"
)

func authority(t *testing.T, now time.Time) pki.Authority {
	t.Helper()
	a, err := pki.NewAuthority("updraft web CA 1", now)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func certificate(t *testing.T, text string) *x509.Certificate {
	t.Helper()
	block, _ := pem.Decode([]byte(text))
	c, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestAuthorityMaySignCertificatesOnly(t *testing.T) {
	now := time.Now()
	c := certificate(t, authority(t, now).Cert)
	if !c.IsCA || !c.BasicConstraintsValid || c.MaxPathLen != 0 || !c.MaxPathLenZero {
		t.Error("it is no authority, or one that may make others")
	}
	if c.KeyUsage != x509.KeyUsageCertSign|x509.KeyUsageCRLSign || c.ExtKeyUsage != nil {
		t.Errorf("its usage is %b %v", c.KeyUsage, c.ExtKeyUsage)
	}
	if k := c.PublicKey.(*ecdsa.PublicKey); k.Curve != elliptic.P256() {
		t.Error("its key is not P-256")
	}
	if life := c.NotAfter.Sub(now).Round(time.Minute); life != pki.AuthorityLife {
		t.Errorf("it lives %v", life)
	}
	if len(c.SubjectKeyId) == 0 {
		t.Error("it has no subject key identifier")
	}
}

func TestCertificateServesAndCallsForItsNames(t *testing.T) {
	now := time.Now()
	a := authority(t, now)
	text, key, err := a.Issue("keystone", []string{"keystone.internal", "10.88.0.10", "fd00::10", "*.apps.internal"}, now)
	if err != nil {
		t.Fatal(err)
	}
	if err := pki.Check(text, key); err != nil {
		t.Error(err)
	}
	c := certificate(t, text)
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM([]byte(a.Cert))
	for _, usage := range []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth} {
		for _, name := range []string{"keystone.internal", "10.88.0.10", "fd00::10", "x.apps.internal"} {
			if _, err := c.Verify(x509.VerifyOptions{Roots: pool, DNSName: name, KeyUsages: []x509.ExtKeyUsage{usage}}); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	if c.IsCA || c.KeyUsage != x509.KeyUsageDigitalSignature {
		t.Error("it may do more than it needs")
	}
	if c.SerialNumber.BitLen() < 64 || c.SerialNumber.Sign() <= 0 {
		t.Errorf("its serial number has %d bits", c.SerialNumber.BitLen())
	}
	if life := c.NotAfter.Sub(now).Round(time.Minute); life != pki.LeafLife {
		t.Errorf("it lives %v", life)
	}
	if !c.NotBefore.Before(now) {
		t.Error("a host whose clock is behind refuses it")
	}
	if !slices.EqualFunc(c.IPAddresses, []net.IP{net.ParseIP("10.88.0.10"), net.ParseIP("fd00::10")}, net.IP.Equal) {
		t.Errorf("its addresses are %v", c.IPAddresses)
	}
}

func TestCertificateDoesNotOutliveItsAuthority(t *testing.T) {
	now := time.Now()
	a := authority(t, now.Add(-pki.AuthorityLife+time.Hour))
	text, _, err := a.Issue("x", []string{"x"}, now)
	if err != nil {
		t.Fatal(err)
	}
	if certificate(t, text).NotAfter.After(certificate(t, a.Cert).NotAfter) {
		t.Error("it does")
	}
}

func TestNamesThatCannotBeNamesAreRefused(t *testing.T) {
	a := authority(t, time.Now())
	for _, name := range []string{"", "a b", "A.internal", "-a", "a..b", "a\x00b", "https://a", "10.0.0.0/8", "fe80::1%eth0", "a.*.b", strings.Repeat("a.", 127) + "a"} {
		if _, _, err := a.Issue("x", []string{"good", name}, time.Now()); err == nil || !strings.Contains(err.Error(), "cannot issue") {
			t.Errorf("%q: %v", name, err)
		}
	}
	if _, _, err := a.Issue("x", nil, time.Now()); err == nil {
		t.Error("no name at all was taken")
	}
}

func TestAuthorityKnownByItsCertificateCannotIssue(t *testing.T) {
	a := authority(t, time.Now())
	if _, _, err := pki.Public(a.Cert).Issue("x", []string{"x"}, time.Now()); err == nil || !strings.Contains(err.Error(), "private key") {
		t.Errorf("got %v", err)
	}
	other := authority(t, time.Now())
	if _, _, err := pki.WithKey(a.Cert, other.Key()).Issue("x", []string{"x"}, time.Now()); err == nil {
		t.Error("issued with another authority's key")
	}
}

func TestKeyIsNotPrinted(t *testing.T) {
	a := authority(t, time.Now())
	key := strings.Split(a.Key(), "\n")[1]
	for _, format := range []string{"%v", "%+v", "%#v", "%s"} {
		if strings.Contains(fmt.Sprintf(format, a), key) {
			t.Errorf("%s prints the key", format)
		}
	}
}

func TestOpenSSLVerifies(t *testing.T) {
	openssl, err := exec.LookPath("openssl")
	if err != nil {
		if strings.Contains(os.Getenv("REQUIRE"), "lab") {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	now := time.Now()
	first := authority(t, now)
	old, _, err := first.Issue("old", []string{"old.internal"}, now)
	if err != nil {
		t.Fatal(err)
	}
	a, err := pki.NewAuthority("updraft web CA 2", now)
	if err != nil {
		t.Fatal(err)
	}
	a.Older = first.Cert
	cert, key, err := a.Issue("haproxy", []string{"api.internal", "10.88.0.10"}, now)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for name, text := range map[string]string{"ca": a.Cert, "bundle": a.Bundle(), "old": old, "cert": cert, "key": key} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		rule string
		args []string
		want string // "" means refused
	}{
		{"the current authority's", []string{"verify", "-x509_strict", "-CAfile", "ca", "cert"}, "cert: OK"},
		{"as a server by name", []string{"verify", "-x509_strict", "-purpose", "sslserver", "-verify_hostname", "api.internal", "-CAfile", "ca", "cert"}, "cert: OK"},
		{"as a client by address", []string{"verify", "-x509_strict", "-purpose", "sslclient", "-verify_ip", "10.88.0.10", "-CAfile", "ca", "cert"}, "cert: OK"},
		{"both by the bundle", []string{"verify", "-x509_strict", "-CAfile", "bundle", "cert", "old"}, "cert: OK\nold: OK"},
		{"not the old one's by the current", []string{"verify", "-CAfile", "ca", "old"}, ""},
		{"not another name", []string{"verify", "-verify_hostname", "other.internal", "-CAfile", "ca", "cert"}, ""},
		{"the key", []string{"pkey", "-in", "key", "-check", "-noout"}, "Key is valid"},
	} {
		t.Run(c.rule, func(t *testing.T) {
			cmd := exec.Command(openssl, c.args...)
			cmd.Dir = dir
			out, err := cmd.CombinedOutput()
			if (err == nil) != (c.want != "") || !bytes.Contains(out, []byte(c.want)) {
				t.Errorf("%v: %s", err, out)
			}
		})
	}
}

func FuzzCertificate(f *testing.F) {
	a, err := pki.NewAuthority("CA", time.Now())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(a.Cert, "a")
	f.Add("-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n", "10.0.0.1")
	f.Fuzz(func(t *testing.T, cert, name string) {
		if a.Fresh(cert, []string{name}, time.Now()) {
			t.Error("what the authority did not issue is taken for its own")
		}
		_, _ = pki.Left(cert, time.Now())
	})
}
