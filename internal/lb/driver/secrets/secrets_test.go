package secrets_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	pkcs12 "software.sslmate.com/src/go-pkcs12"

	"github.com/updraft-cloud/updraft/internal/lb/driver"
	"github.com/updraft-cloud/updraft/internal/lb/driver/secrets"
	"github.com/updraft-cloud/updraft/internal/secret"
	"github.com/updraft-cloud/updraft/internal/secret/pki"
)

func issue(t *testing.T) (cert, key, ca string) {
	t.Helper()
	a, err := pki.NewAuthority("test", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	cert, key, err = a.Issue("www.example.com", []string{"www.example.com", "example.com"}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return cert, key, a.Cert
}

func open(t *testing.T) (*secrets.Store, string) {
	dir := t.TempDir()
	return secrets.Open(filepath.Join(dir, "secrets"), secret.Identity{Path: filepath.Join(dir, "identity.age")}), dir
}

func TestACertificateIsKeptEncryptedAndComesBackWithItsChain(t *testing.T) {
	cert, key, ca := issue(t)
	s, dir := open(t)
	c, err := secrets.Parse([]byte(ca+key+cert), "")
	if err != nil {
		t.Fatal(err)
	}
	ref, err := s.PutCertificate("web", c)
	if err != nil {
		t.Fatal(err)
	}
	back, err := s.Certificate(t.Context(), ref)
	if err != nil || string(back.Certificate) != cert || string(back.Intermediates) != ca || string(back.Key) != key || back.Ref != "local:web" {
		t.Errorf("it came back as %+v, %v", back, err)
	}
	if len(back.Names) != 2 || back.Names[0] != "www.example.com" {
		t.Errorf("its names are %q", back.Names)
	}
	sealed, err := os.ReadFile(filepath.Join(dir, "secrets", "web.age"))
	if err != nil || strings.Contains(string(sealed), "PRIVATE") || !strings.HasPrefix(string(sealed), "age-encryption.org/v1") {
		t.Errorf("the file is not encrypted: %v", err)
	}
}

func TestRenewalKeepsTheRefAndRemovalForgetsIt(t *testing.T) {
	s, _ := open(t)
	for range 2 {
		cert, key, _ := issue(t)
		c, err := secrets.Parse([]byte(cert+key), "")
		if err != nil {
			t.Fatal(err)
		}
		if ref, err := s.PutCertificate("web", c); err != nil || ref != "local:web" {
			t.Fatal(ref, err)
		}
		if back, err := s.Certificate(t.Context(), "local:web"); err != nil || string(back.Certificate) != cert {
			t.Errorf("it is not the one that was put last: %v", err)
		}
	}
	if list, err := s.List(); err != nil || len(list) != 1 || list[0].Kind != "certificate" || list[0].Expires.IsZero() {
		t.Errorf("list: %+v, %v", list, err)
	}
	if err := s.Remove("web"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Certificate(t.Context(), "local:web"); !errors.Is(err, driver.ErrNotFound) {
		t.Errorf("after its removal: %v", err)
	}
}

func bundle(t *testing.T, password string, with ...*pkcs12.Encoder) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "P12.example"}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	data, err := append(with, pkcs12.Modern)[0].Encode(key, leaf, nil, password)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// TestABundleThatTakesForEverIsRefused has numbers of iterations, of the whole and
// of its parts, that were made larger.
func TestABundleThatTakesForEverIsRefused(t *testing.T) {
	few, many := []byte{2, 3, 1, 0x11, 0x70}, []byte{2, 3, 0x7f, 0xff, 0xff} // 70,000 and eight million
	for name, encoder := range map[string]*pkcs12.Encoder{"modern": pkcs12.Modern2023, "old": pkcs12.LegacyDES} {
		data := bundle(t, "", encoder.WithIterations(70_000))
		if _, err := secrets.Parse(data, ""); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		n := bytes.Count(data, few)
		if n < 3 {
			t.Fatalf("%s: %d numbers were found", name, n)
		}
		for i := range n {
			parts := bytes.SplitAfterN(data, few, i+2)
			bad := slices.Clone(bytes.Join(parts[:i+1], nil))
			copy(bad[len(bad)-len(many):], many)
			bad = append(bad, parts[i+1]...)
			if _, err := secrets.Parse(bad, ""); !errors.Is(err, driver.ErrInvalid) || !strings.Contains(err.Error(), "more than 1000000 times") {
				t.Errorf("%s: number %d: %v", name, i, err)
			}
		}
	}
}

func TestAPKCS12BundleIsRead(t *testing.T) {
	for _, password := range []string{"", "hunter2"} {
		c, err := secrets.Parse(bundle(t, password), password)
		if err != nil || len(c.Names) != 1 || c.Names[0] != "p12.example" {
			t.Errorf("with the pass phrase %q: %+v, %v", password, c, err)
		}
	}
}

func TestABundleIsAlsoReadWhenItWasKeptAsItIs(t *testing.T) {
	s, _ := open(t)
	ref, err := s.Put("bundle", bundle(t, ""))
	if err != nil {
		t.Fatal(err)
	}
	if c, err := s.Certificate(t.Context(), ref); err != nil || c.Names[0] != "p12.example" {
		t.Errorf("%+v, %v", c, err)
	}
}

func TestCertificatesThatCannotBeUsedAreRefusedWithTheReason(t *testing.T) {
	cert, key, ca := issue(t)
	other, otherKey, _ := issue(t)
	block, _ := pem.Decode([]byte(key))
	encrypted := pem.EncodeToMemory(&pem.Block{Type: "ENCRYPTED PRIVATE KEY", Bytes: block.Bytes})
	for _, c := range []struct {
		rule string
		data []byte
		want string
	}{
		{"no key", []byte(cert), "no private key"},
		{"the key of another", []byte(cert + otherKey), "does not belong"},
		{"an encrypted key", append([]byte(cert), encrypted...), "encrypted"},
		{"an encrypted bundle", bundle(t, "hunter2"), "PKCS12 bundle is unreadable"},
		{"no certificate", []byte(key), "does not belong"},
		{"a damaged certificate", []byte(strings.Replace(cert, "M", "N", 3) + key), ""},
		{"something else", []byte("hello"), "PKCS12 bundle is unreadable"},
		{"too large", make([]byte, 2<<20), "bytes, more than"},
		{"nothing", nil, "PKCS12"},
	} {
		t.Run(c.rule, func(t *testing.T) {
			_, err := secrets.Parse(c.data, "")
			if !errors.Is(err, driver.ErrInvalid) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
	if c, err := secrets.Parse([]byte(other+ca+cert+key), ""); err != nil || string(c.Certificate) != cert {
		t.Errorf("among others the right certificate is not found: %v", err)
	}
}

func TestNamesThatLeadElsewhereAreRefused(t *testing.T) {
	s, _ := open(t)
	for _, name := range []string{"", "../x", "a/b", "A", ".hidden", strings.Repeat("a", 101)} {
		if _, err := s.Put(name, []byte("x")); err == nil {
			t.Errorf("%q was taken", name)
		}
		if _, err := s.Secret(t.Context(), "local:"+name); !errors.Is(err, driver.ErrNotFound) && name != strings.Repeat("a", 101) {
			t.Errorf("%q: %v", name, err)
		}
	}
	if _, err := s.Certificate(t.Context(), "https://elsewhere/v1/containers/1"); !errors.Is(err, driver.ErrNotFound) {
		t.Error(err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"))
	f.Add([]byte{0x30, 0x82, 0, 0})
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := secrets.Parse(data, "")
		if (c == nil) == (err == nil) {
			t.Errorf("%v with %v", c, err)
		}
	})
}
