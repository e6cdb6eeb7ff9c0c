// Package pki is the certificate authority of one cloud: it makes an authority,
// issues certificates with it, and says when one must be replaced.
//
// It guarantees that what it issues passes a strict verifier (crypto/x509,
// OpenSSL): ECDSA P-256 keys, random serial numbers, an authority that may sign
// certificates only and nothing below it, and certificates that may serve and
// call but not sign, named by their subject alternative names and never alive
// longer than the authority. Private keys leave it in PKCS #8 PEM, which all
// services of a cloud can read.
package pki

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"time"
)

const (
	// AuthorityLife is how long an authority lives. Replacing it reaches
	// everybody who was given it, so it should outlive the hardware.
	AuthorityLife = 10 * 365 * day
	// LeafLife is how long a certificate lives. Some clients refuse more than
	// 398 days, and a year is often enough that renewing is no rare event.
	LeafLife = 365 * day
	// backdate lets hosts whose clock is behind accept a new certificate.
	backdate = time.Hour

	day = 24 * time.Hour

	typeCertificate = "CERTIFICATE"
	typeKey         = "PRIVATE KEY" // PKCS #8

	// maxCommonName is ub-common-name of RFC 5280, appendix A.
	maxCommonName = 64
)

// Authority is a certificate authority. Its private key is part of it; a copy
// made by [Public] cannot issue.
type Authority struct {
	// Cert is the authority's certificate as PEM.
	Cert string
	// Next is the certificate of the authority that will follow, and Older are
	// those of earlier ones, as PEM. They are trusted, too: while an authority is
	// replaced, hosts hear of the next before anything shows its certificates, and
	// of the end of an older one when nothing does any longer.
	Next, Older string

	key string
}

// Public returns an authority that is known by its certificate alone.
func Public(cert string) Authority { return Authority{Cert: cert} }

// WithKey returns an authority from what its Cert and Key gave. Others that are
// trusted beside it may be added.
func WithKey(cert, key string) Authority { return Authority{Cert: cert, key: key} }

// Key returns the private key as PEM, or "" if the authority is known by its
// certificate alone.
func (a Authority) Key() string { return a.key }

// Bundle returns what clients shall trust: the authority, the one that follows, and
// its predecessors.
func (a Authority) Bundle() string { return a.Cert + a.Next + a.Older }

// String keeps the key out of what is printed.
func (a Authority) String() string { return "certificate authority" }

// GoString keeps the key out of what is printed by %#v.
func (a Authority) GoString() string { return a.String() }

// NewAuthority makes an authority, called by the given common name.
func NewAuthority(commonName string, now time.Time) (Authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return Authority{}, err
	}
	// The serial number is left to CreateCertificate: random, RFC 5280.
	template := &x509.Certificate{
		Subject:               pkix.Name{CommonName: shorten(commonName)},
		NotBefore:             now.Add(-backdate).UTC(),
		NotAfter:              now.Add(AuthorityLife).UTC(),
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
		MaxPathLenZero:        true, // nothing that it signs may sign
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return Authority{}, fmt.Errorf("cannot make a certificate authority: %w", err)
	}
	private, err := encodeKey(key)
	return Authority{Cert: encodeCert(cert), key: private}, err
}

// Left returns how long a certificate, given as PEM, lives on.
func Left(cert string, now time.Time) (time.Duration, error) {
	c, err := parse(cert)
	if err != nil {
		return 0, err
	}
	return c.NotAfter.Sub(now), nil
}

// Issue makes a key and a certificate for it. The certificate names the
// subject alternative names, which are IP addresses or DNS names, and serves
// both ends of a connection: most services of a cloud call each other.
func (a Authority) Issue(commonName string, sans []string, now time.Time) (cert, key string, err error) {
	names, err := parseSANs(sans)
	if err != nil {
		return "", "", fmt.Errorf("cannot issue a certificate for %s: %w", commonName, err)
	}
	pair, err := a.pair()
	if err != nil {
		return "", "", fmt.Errorf("cannot issue a certificate for %s: %w", commonName, err)
	}
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return "", "", err
	}
	end := now.Add(LeafLife)
	if end.After(pair.Leaf.NotAfter) {
		end = pair.Leaf.NotAfter
	}
	template := &x509.Certificate{
		Subject:               pkix.Name{CommonName: shorten(commonName)},
		NotBefore:             now.Add(-backdate).UTC(),
		NotAfter:              end.UTC(),
		KeyUsage:              x509.KeyUsageDigitalSignature, // all that ECDSA is used for in TLS
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		BasicConstraintsValid: true,
		DNSNames:              names.dns,
		IPAddresses:           names.ips,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, pair.Leaf, private.Public(), pair.PrivateKey)
	if err != nil {
		return "", "", fmt.Errorf("cannot issue a certificate for %s: %w", commonName, err)
	}
	key, err = encodeKey(private)
	return encodeCert(der), key, err
}

// Fresh reports whether a certificate can stay: it is the authority's, names
// just the given subject alternative names, and has at least a third of its
// life before it.
func (a Authority) Fresh(cert string, sans []string, now time.Time) bool {
	leaf, err := parse(cert)
	if err != nil {
		return false
	}
	authority, err := parse(a.Cert)
	if err != nil || leaf.CheckSignatureFrom(authority) != nil {
		return false
	}
	names, err := parseSANs(sans)
	if err != nil || !names.equal(leaf) {
		return false
	}
	return !nearEnd(leaf, now)
}

// NearEnd reports whether a certificate has less than a third of its life before
// it, and when it ends.
func NearEnd(cert string, now time.Time) (end time.Time, near bool) {
	leaf, err := parse(cert)
	if err != nil {
		return time.Time{}, false
	}
	return leaf.NotAfter, nearEnd(leaf, now)
}

func nearEnd(leaf *x509.Certificate, now time.Time) bool {
	return leaf.NotAfter.Sub(now) < leaf.NotAfter.Sub(leaf.NotBefore)/3
}

// Check reports whether a certificate and a private key are well formed and
// belong together. The error quotes neither.
func Check(cert, key string) error {
	if _, err := tls.X509KeyPair([]byte(cert), []byte(key)); err != nil {
		return errors.New("the certificate and the key are damaged or do not belong together")
	}
	return nil
}

func (a Authority) pair() (tls.Certificate, error) {
	if a.key == "" {
		return tls.Certificate{}, errors.New("the private key of the authority is not known here")
	}
	if err := Check(a.Cert, a.key); err != nil {
		return tls.Certificate{}, err
	}
	return tls.X509KeyPair([]byte(a.Cert), []byte(a.key))
}

func parse(cert string) (*x509.Certificate, error) {
	block, _ := pem.Decode([]byte(cert))
	if block == nil || block.Type != typeCertificate {
		return nil, errors.New("this is no certificate in PEM")
	}
	return x509.ParseCertificate(block.Bytes)
}

func encodeCert(der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: typeCertificate, Bytes: der}))
}

func encodeKey(key *ecdsa.PrivateKey) (string, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return "", err
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: typeKey, Bytes: der})), nil
}

func shorten(commonName string) string {
	return commonName[:min(len(commonName), maxCommonName)]
}
