package api

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net/http"
	"testing"
	"time"

	"github.com/updraft-cloud/updraft/internal/lb/driver"
	"github.com/updraft-cloud/updraft/internal/lb/model"
	"github.com/updraft-cloud/updraft/internal/lb/store"
)

// vault is a key manager with a few secrets; certificates are those named "good".
type vault map[string][]byte

func (v vault) Certificate(_ context.Context, ref string) (*driver.Certificate, error) {
	switch ref {
	case "good":
		return &driver.Certificate{Ref: ref}, nil
	case "encrypted":
		return nil, fmt.Errorf("%w: the key needs a pass phrase", driver.ErrInvalid)
	case "silent":
		return nil, fmt.Errorf("%w: no answer", driver.ErrUnavailable)
	case "taken":
		return nil, &driver.Error{Kind: "Secret", ID: ref, Class: driver.ErrForbidden}
	}
	return nil, driver.NotFound("certificate", ref)
}

func (v vault) Secret(_ context.Context, ref string) ([]byte, error) {
	if data, ok := v[ref]; ok {
		return data, nil
	}
	if ref == "silent" {
		return nil, fmt.Errorf("%w: no answer", driver.ErrUnavailable)
	}
	return nil, driver.NotFound("secret", ref)
}

// authority makes a certificate authority and a list of its revocations, as PEM.
func authority(t *testing.T) (ca, crl []byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tpl := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "ca"}, NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign, SubjectKeyId: []byte{1}}
	der, err := x509.CreateCertificate(rand.Reader, tpl, tpl, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	list, err := x509.CreateRevocationList(rand.Reader, &x509.RevocationList{Number: big.NewInt(1), ThisUpdate: time.Now(), NextUpdate: time.Now().Add(time.Hour)}, tpl, key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: list})
}

func TestWhatTheKeyManagerHas(t *testing.T) {
	ca, crl := authority(t)
	_, foreign := authority(t)
	r := newRig(t, func(o *Options) {
		o.Secrets = vault{"ca": ca, "crl": crl, "foreign": foreign, "text": []byte("x")}
	})
	lb := r.lb()
	const rubbishCA = "Validation failure: The client authentication CA certificate is invalid. It must be a valid x509 PEM format certificate. Error: there is no PEM block"
	const rubbishCRL = "Validation failure: The client authentication certificate revocation list is invalid. It must be a valid x509 PEM format certificate revocation list. Error: there is no PEM block"
	good := m{"loadbalancer_id": lb, "protocol": "TERMINATED_HTTPS", "protocol_port": 443, "default_tls_container_ref": "good"}
	r.refuses("/listeners", "listener", good, []refusal{
		{"one that is missing", m{"default_tls_container_ref": "x", "sni_container_refs": []string{"y", "good"}}, 400, `Could not retrieve certificate: ["y","x"]`},
		{"one that is no use", m{"default_tls_container_ref": "encrypted"}, 400, "not valid: the key needs a pass phrase"},
		{"one that was taken back", m{"default_tls_container_ref": "taken"}, 400, `Could not retrieve certificate: ["taken"]`},
		{"one without an answer", m{"default_tls_container_ref": "silent"}, 500, "Provider 'amphora' reports error: not available: no answer"},
		{"an authority without an answer", m{"client_ca_tls_container_ref": "silent"}, 500, "Provider 'amphora' reports error: not available: no answer"},
		{"no authority", m{"client_ca_tls_container_ref": "x"}, 400, `Could not retrieve certificate: ["x"]`},
		{"an authority that is none", m{"client_ca_tls_container_ref": "text"}, 400, rubbishCA},
		{"revocations that are none", m{"client_ca_tls_container_ref": "ca", "client_crl_container_ref": "text"}, 400, rubbishCRL},
		{"revocations of another authority", m{"client_ca_tls_container_ref": "ca", "client_crl_container_ref": "foreign"}, 400,
			"Validation failure: The CRL specified is not valid for client certificate authority reference supplied."},
	})
	good["client_ca_tls_container_ref"], good["client_crl_container_ref"], good["client_authentication"] = "ca", "crl", "MANDATORY"
	id := r.child(lb, "/listeners", "listener", good)
	r.refuses("/listeners/"+id, "listener", nil, []refusal{
		{"PUT one that is missing", m{"sni_container_refs": []string{"x"}}, 400, `Could not retrieve certificate: ["x"]`},
		{"PUT away the authority", m{"client_ca_tls_container_ref": nil}, 400, "Validation failure: Client authentication setting MANDATORY requires a client CA container reference."},
	})
	pool := r.pool(lb)
	r.refuses("/pools/"+pool, "pool", nil, []refusal{
		{"PUT a pool's that is missing", m{"tls_container_ref": "x"}, 400, `Could not retrieve certificate: ["x"]`},
		{"PUT a pool's authority that is missing", m{"ca_tls_container_ref": "x"}, 400, `Could not retrieve certificate: ["x"]`},
	})
	tree := fullTree()
	tree["listeners"] = []m{{"protocol": "TERMINATED_HTTPS", "protocol_port": 443, "default_tls_container_ref": "x"}}
	r.do("POST", "/loadbalancers", m{"loadbalancer": tree}).want(400, `Could not retrieve certificate: ["x"]`)
}

func TestAnswersToErrors(t *testing.T) {
	for _, c := range []struct {
		err    error
		status int
		retry  string
	}{
		{&store.UnavailableError{Reason: "no leader", RetryAfter: 1500 * time.Millisecond}, http.StatusServiceUnavailable, "2"},
		{fmt.Errorf("wrapped: %w", &store.UnavailableError{Reason: "no space"}), http.StatusServiceUnavailable, "1"},
		{store.ErrClosed, http.StatusServiceUnavailable, "1"},
		{context.Canceled, http.StatusServiceUnavailable, "1"},
		{&store.NotFoundError{Kind: model.KindPool, ID: "x"}, http.StatusNotFound, "0"},
		{&store.ImmutableError{Kind: model.KindPool, ID: "x"}, http.StatusConflict, "0"},
		{&store.StateError{}, http.StatusConflict, "0"},
		{&store.DuplicateError{}, http.StatusConflict, "0"},
		{&store.InUseError{}, http.StatusConflict, "0"},
		{store.ErrExists, http.StatusConflict, "0"},
		{&store.QuotaError{}, http.StatusForbidden, "0"},
		{&store.TooLargeError{Err: errors.New("x")}, http.StatusRequestEntityTooLarge, "0"},
		{driver.ErrUnsupported, http.StatusNotImplemented, "0"},
	} {
		f := asFault(c.err)
		if f == nil || f.status != c.status || f.seconds() != c.retry {
			t.Errorf("%v: %+v", c.err, f)
		}
	}
	if f := asFault(errors.New("a mistake of ours")); f != nil {
		t.Errorf("%+v", f)
	}
}
