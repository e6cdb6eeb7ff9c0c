package driver

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"time"
)

// Secrets fetches what users keep in a key manager. A ref is what the API was
// given, such as https://host/v1/containers/ID; implementations accept those of
// their own only, and answer ErrNotFound for others.
//
// Nothing that is returned is ever logged or put into an error.
type Secrets interface {
	// Certificate fetches a certificate with its key and chain: a container or a
	// PKCS #12 bundle. What is there and not usable is ErrInvalid, with a text
	// that can be shown to the user.
	Certificate(ctx context.Context, ref string) (*Certificate, error)
	// Secret fetches a plain secret, such as a bundle of authorities or a CRL.
	Secret(ctx context.Context, ref string) ([]byte, error)
}

// Consumers is implemented by a key manager that wants to know who uses a
// secret. Both methods are idempotent.
type Consumers interface {
	Register(ctx context.Context, ref, loadBalancerID string) error
	Unregister(ctx context.Context, ref, loadBalancerID string) error
}

// Certificate is a leaf, its unencrypted key and the chain above it, each PEM.
type Certificate struct {
	Ref                             string
	Certificate, Key, Intermediates []byte
	// Names are the common name and the DNS names of the leaf, in lower case.
	Names []string
}

// NotAfter returns when the leaf ends, or the zero time if it cannot be read.
func (c *Certificate) NotAfter() time.Time {
	b, _ := pem.Decode(c.Certificate)
	if b == nil {
		return time.Time{}
	}
	leaf, err := x509.ParseCertificate(b.Bytes)
	if err != nil {
		return time.Time{}
	}
	return leaf.NotAfter
}
