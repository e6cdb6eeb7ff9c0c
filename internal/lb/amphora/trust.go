package amphora

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"time"
)

// Trust returns how a controller and an agent look at each other's certificate: it
// is of the authority, for this usage, of this common name, and has not ended.
// That it has begun is not asked: a clock that was set back must not part those
// who know each other from the time before.
func Trust(authority *x509.CertPool, usage x509.ExtKeyUsage, name string) func(tls.ConnectionState) error {
	return func(s tls.ConnectionState) error {
		leaf, others := s.PeerCertificates[0], x509.NewCertPool()
		for _, c := range s.PeerCertificates[1:] {
			others.AddCert(c)
		}
		at := time.Now()
		if at.Before(leaf.NotBefore) {
			at = leaf.NotBefore
		}
		if _, err := leaf.Verify(x509.VerifyOptions{Roots: authority, Intermediates: others, CurrentTime: at, KeyUsages: []x509.ExtKeyUsage{usage}}); err != nil {
			return err
		}
		if leaf.Subject.CommonName != name {
			return fmt.Errorf("the certificate is of %q and not of %s", leaf.Subject.CommonName, name)
		}
		return nil
	}
}
