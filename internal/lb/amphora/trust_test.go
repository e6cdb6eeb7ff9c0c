package amphora_test

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"testing"
	"time"

	"github.com/updraft-cloud/updraft/internal/lb/amphora"
	"github.com/updraft-cloud/updraft/internal/secret/pki"
)

func TestWhoIsTrusted(t *testing.T) {
	now := time.Now()
	authority := func(at time.Time) pki.Authority {
		a, err := pki.NewAuthority("amphorae", at)
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	// The clock was a day ahead when the authority was made.
	ca, other := authority(now.AddDate(0, 0, 1)), authority(now)
	old := authority(now.AddDate(-2, 0, 0))
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM([]byte(ca.Cert + old.Cert))
	for _, c := range []struct {
		rule   string
		of     pki.Authority
		name   string
		at     time.Time
		usage  x509.ExtKeyUsage
		refuse bool
	}{
		{"issued before the clock was set back", ca, "a", now.AddDate(0, 0, 1), x509.ExtKeyUsageServerAuth, false},
		{"it has ended", old, "a", now.AddDate(-2, 0, 0), x509.ExtKeyUsageServerAuth, true},
		{"of another name", ca, "b", now.AddDate(0, 0, 1), x509.ExtKeyUsageServerAuth, true},
		{"of another authority", other, "a", now, x509.ExtKeyUsageServerAuth, true},
		{"for another use", ca, "a", now.AddDate(0, 0, 1), x509.ExtKeyUsageCodeSigning, true},
	} {
		cert, _, err := c.of.Issue(c.name, []string{c.name}, c.at)
		if err != nil {
			t.Fatal(err)
		}
		block, _ := pem.Decode([]byte(cert))
		leaf, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		err = amphora.Trust(roots, c.usage, "a")(tls.ConnectionState{PeerCertificates: []*x509.Certificate{leaf}})
		if (err != nil) != c.refuse {
			t.Errorf("%s: %v", c.rule, err)
		}
	}
}
