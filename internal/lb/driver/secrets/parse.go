package secrets

import (
	"bytes"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"

	pkcs12 "software.sslmate.com/src/go-pkcs12"

	"github.com/updraft-cloud/updraft/internal/lb/driver"
)

// maxSize bounds what is taken as a certificate: a chain of ten RSA 4096
// certificates with their key has about 25 kB, and a CRL may have more.
const maxSize = 1 << 20

// Faults of certificates, in the API's words where it has some (contract §2).
var (
	errPKCS12 = errors.New("The PKCS12 bundle is unreadable. Please check the PKCS12 bundle validity. In addition, make sure it does not require a pass phrase.") //nolint:staticcheck // the API's words
	errNames  = errors.New("No CN or DNSName(s) found in certificate. The certificate is invalid.")                                                               //nolint:staticcheck // the API's words
)

func invalid(err error) error { return fmt.Errorf("%w: %w", driver.ErrInvalid, err) }

// Parse reads a certificate with its key: a PKCS #12 bundle, or PEM in any
// order. An encrypted PKCS #12 bundle is read with the pass phrase.
func Parse(data []byte, passphrase string) (*driver.Certificate, error) {
	if len(data) > maxSize {
		return nil, invalid(fmt.Errorf("it has %d bytes, more than %d", len(data), maxSize))
	}
	if bytes.Contains(data, []byte("-----BEGIN ")) {
		return FromPEM(data)
	}
	if !bounded(data, 0) {
		return nil, invalid(fmt.Errorf("its pass phrase is to be hashed more than %d times", maxIterations))
	}
	key, leaf, chain, err := pkcs12.DecodeChain(data, passphrase)
	if err != nil {
		return nil, invalid(errPKCS12)
	}
	return assemble(key, append([]*x509.Certificate{leaf}, chain...))
}

const (
	// maxIterations bounds how often a pass phrase is hashed. Whoever makes a
	// bundle chooses the number, and two thousand million keep a processor busy
	// for an hour. OpenSSL takes 2048.
	maxIterations = 1_000_000
	maxDepth      = 32
)

// bounded reports whether the numbers of iterations that can be seen in a bundle are
// sane: each is an INTEGER after the OCTET STRING of its salt (RFC 7292, section 4;
// RFC 8018, appendix A).
func bounded(der []byte, depth int) bool {
	salted := false
	for len(der) > 0 {
		var v asn1.RawValue
		rest, err := asn1.Unmarshal(der, &v)
		if err != nil {
			return true // these bytes are something else
		}
		universal := v.Class == asn1.ClassUniversal
		if universal && v.Tag == asn1.TagInteger && salted {
			n := new(big.Int).SetBytes(v.Bytes)
			if n.Cmp(big.NewInt(maxIterations)) > 0 {
				return false
			}
		}
		salted = universal && v.Tag == asn1.TagOctetString
		if (v.IsCompound || salted) && (depth == maxDepth || !bounded(v.Bytes, depth+1)) {
			return false
		}
		der = rest
	}
	return true
}

// FromPEM reads certificates and one unencrypted key.
func FromPEM(data []byte) (*driver.Certificate, error) {
	var key any
	var certs []*x509.Certificate
	for rest := data; ; {
		var b *pem.Block
		if b, rest = pem.Decode(rest); b == nil {
			break
		}
		switch {
		case strings.Contains(b.Headers["Proc-Type"], "ENCRYPTED") || b.Type == "ENCRYPTED PRIVATE KEY":
			return nil, invalid(errors.New("its key is encrypted; store it without a pass phrase: the store encrypts it"))
		case b.Type == "CERTIFICATE" || b.Type == "TRUSTED CERTIFICATE":
			c, err := x509.ParseCertificate(b.Bytes)
			if err != nil {
				return nil, invalid(fmt.Errorf("certificate %d cannot be read: %w", len(certs)+1, err))
			}
			certs = append(certs, c)
		case strings.HasSuffix(b.Type, "PRIVATE KEY"):
			k, err := parseKey(b.Bytes)
			if err != nil {
				return nil, err
			}
			key = k
		}
	}
	if key == nil {
		return nil, invalid(errors.New("there is no private key in it"))
	}
	return assemble(key, certs)
}

// parseKey reads PKCS #8, PKCS #1 and SEC 1. The errors of x509 do not quote it.
func parseKey(der []byte) (any, error) {
	if k, err := x509.ParsePKCS8PrivateKey(der); err == nil {
		return k, nil
	}
	if k, err := x509.ParsePKCS1PrivateKey(der); err == nil {
		return k, nil
	}
	k, err := x509.ParseECPrivateKey(der)
	if err != nil {
		return nil, invalid(errors.New("its private key cannot be read"))
	}
	return k, nil
}

// assemble puts the certificate of the key first and its issuers behind it.
func assemble(key any, certs []*x509.Certificate) (*driver.Certificate, error) {
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, invalid(errors.New("its private key is of a kind that cannot sign"))
	}
	public, ok := signer.Public().(interface{ Equal(crypto.PublicKey) bool })
	if !ok {
		return nil, invalid(errors.New("its private key is of a kind that cannot be compared"))
	}
	i := slices.IndexFunc(certs, func(c *x509.Certificate) bool { return public.Equal(c.PublicKey) })
	if i < 0 {
		return nil, invalid(errors.New("the private key does not belong to any certificate in it"))
	}
	leaf := certs[i]
	names := namesOf(leaf)
	if len(names) == 0 {
		return nil, invalid(errNames)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, invalid(errors.New("its private key cannot be written"))
	}
	out := &driver.Certificate{Names: names, Certificate: encode("CERTIFICATE", leaf.Raw), Key: encode("PRIVATE KEY", der)}
	for _, c := range order(leaf, slices.Delete(slices.Clone(certs), i, i+1)) {
		out.Intermediates = append(out.Intermediates, encode("CERTIFICATE", c.Raw)...)
	}
	if _, err := tls.X509KeyPair(out.Certificate, out.Key); err != nil {
		return nil, invalid(errors.New("the certificate and its key do not belong together"))
	}
	return out, nil
}

// order sorts a chain from the leaf upwards: not every client puts it right by
// itself (RFC 5246, 7.4.2). What belongs to no chain follows.
func order(leaf *x509.Certificate, rest []*x509.Certificate) []*x509.Certificate {
	var out []*x509.Certificate
	for at := leaf; ; {
		i := slices.IndexFunc(rest, func(c *x509.Certificate) bool { return bytes.Equal(c.RawSubject, at.RawIssuer) })
		if i < 0 {
			return append(out, rest...)
		}
		at = rest[i]
		out = append(out, at)
		rest = slices.Delete(slices.Clone(rest), i, i+1)
	}
}

func encode(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

// namesOf returns the common name and the DNS names, each once.
func namesOf(c *x509.Certificate) []string {
	var out []string
	for _, n := range append([]string{c.Subject.CommonName}, c.DNSNames...) {
		if n = strings.ToLower(n); n != "" && !slices.Contains(out, n) {
			out = append(out, n)
		}
	}
	return out
}
