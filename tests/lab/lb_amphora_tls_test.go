package lab_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/updraft-cloud/updraft/internal/lb/model"
)

// users is an authority of users, with certificates that a test can revoke.
type users struct {
	t    *testing.T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	next int64
}

func newUsers(t *testing.T) *users {
	t.Helper()
	u := &users{t: t, next: 1}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	u.key = key
	u.cert = u.sign(&x509.Certificate{Subject: pkix.Name{CommonName: "users"}, IsCA: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign, BasicConstraintsValid: true}, key)
	return u
}

func (u *users) sign(c *x509.Certificate, key *ecdsa.PrivateKey) *x509.Certificate {
	u.t.Helper()
	c.SerialNumber, c.NotBefore, c.NotAfter = big.NewInt(u.next), time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	u.next++
	parent := u.cert
	if parent == nil {
		parent = c
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, key.Public(), u.key)
	if err != nil {
		u.t.Fatal(err)
	}
	out, err := x509.ParseCertificate(der)
	if err != nil {
		u.t.Fatal(err)
	}
	return out
}

func (u *users) ca() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: u.cert.Raw})
}

// pair issues a certificate and returns it, its PEM with the key, and for Go.
func (u *users) pair(name string) (*x509.Certificate, []byte, tls.Certificate) {
	u.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		u.t.Fatal(err)
	}
	c := u.sign(&x509.Certificate{
		Subject: pkix.Name{CommonName: name, Organization: []string{"Example"}}, DNSNames: []string{name},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth}, KeyUsage: x509.KeyUsageDigitalSignature,
	}, key)
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		u.t.Fatal(err)
	}
	text := append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw}), pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der})...)
	return c, text, tls.Certificate{Certificate: [][]byte{c.Raw}, PrivateKey: key, Leaf: c}
}

func (u *users) crl(revoked ...*x509.Certificate) []byte {
	u.t.Helper()
	list := &x509.RevocationList{Number: big.NewInt(1), ThisUpdate: time.Now().Add(-time.Hour), NextUpdate: time.Now().Add(time.Hour)}
	for _, c := range revoked {
		list.RevokedCertificateEntries = append(list.RevokedCertificateEntries, x509.RevocationListEntry{SerialNumber: c.SerialNumber, RevocationTime: time.Now()})
	}
	der, err := x509.CreateRevocationList(rand.Reader, list, u.cert, u.key)
	if err != nil {
		u.t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: der})
}

// over returns a client that trusts the authority, asks for a name and shows a
// certificate, if there is one.
func (b *balancing) over(u *users, name string, change func(*tls.Config)) *http.Client {
	pool := x509.NewCertPool()
	pool.AddCert(u.cert)
	return b.browser(func(tr *http.Transport) {
		tr.TLSClientConfig = &tls.Config{RootCAs: pool, ServerName: name}
		tr.ForceAttemptHTTP2 = true
		if change != nil {
			change(tr.TLSClientConfig)
		}
	})
}

func TestAmphoraEndsTLS(t *testing.T) {
	b := newBalancing(t)
	a := b.amphora(1)
	s := a.scene()
	u := newUsers(t)
	_, first, _ := u.pair("first.example")
	_, second, _ := u.pair("second.example")
	good, _, goodPair := u.pair("good")
	bad, _, badPair := u.pair("bad")
	s.place.Secrets["first"], s.place.Secrets["second"], s.place.Secrets["ca"], s.place.Secrets["crl"] = first, second, u.ca(), u.crl(bad)
	pool := s.pool(model.ProtocolHTTP, model.RoundRobin)
	s.member(pool, b.web(10, nil).at)
	tlsListener := func(port int) *model.Listener {
		l := s.listener(model.ProtocolTerminatedHTTPS, port, pool)
		l.DefaultTLSContainerRef, l.SNIContainerRefs = "first", []string{"second"}
		l.TLSVersions, l.ALPNProtocols = []string{"TLSv1.2", "TLSv1.3"}, []string{"h2", "http/1.1"}
		l.TLSCiphers = "TLS_AES_256_GCM_SHA384:ECDHE-ECDSA-AES256-GCM-SHA384"
		return l
	}
	plain := tlsListener(443)
	age := 31536000
	plain.HSTSMaxAge, plain.HSTSIncludeSubdomains, plain.HSTSPreload = &age, true, true
	plain.InsertHeaders = map[string]string{"X-Forwarded-Proto": "true"}
	auth := tlsListener(444)
	auth.ClientAuthentication, auth.ClientCATLSRef, auth.ClientCRLRef = model.ClientAuthMandatory, "ca", "crl"
	auth.InsertHeaders = map[string]string{"X-SSL-Client-CN": "true", "X-SSL-Client-Has-Cert": "true", "X-SSL-Client-Verify": "true", "X-SSL-Client-DN": "true"}
	maybe := tlsListener(445)
	maybe.ClientAuthentication, maybe.ClientCATLSRef = model.ClientAuthOptional, "ca"
	s.policy(maybe, model.ActionReject, &model.L7Rule{Type: model.RuleSSLHasCert, CompareType: model.CompareEqualTo, Value: "true", Invert: true})
	dn := s.policy(maybe, model.ActionRedirectToURL, &model.L7Rule{Type: model.RuleSSLDNField, CompareType: model.CompareEqualTo, Key: "CN", Value: "bad"})
	dn.RedirectURL = "http://example.com/bad"
	s.policy(maybe, model.ActionReject, &model.L7Rule{Type: model.RuleSSLVerify, CompareType: model.CompareEqualTo, Value: "0", Invert: true})
	old := tlsListener(446)
	old.TLSVersions, old.ALPNProtocols = []string{"TLSv1.2"}, []string{"http/1.1"}
	a.apply(s)

	const host = "https://10.77.0.100"
	res, got := b.must(b.over(u, "first.example", nil), host+"/")
	if res.TLS.PeerCertificates[0].Subject.CommonName != "first.example" || res.Proto != "HTTP/2.0" || res.TLS.Version != tls.VersionTLS13 || res.TLS.CipherSuite != tls.TLS_AES_256_GCM_SHA384 {
		t.Errorf("got %s, %s, version %x, suite %x", res.TLS.PeerCertificates[0].Subject, res.Proto, res.TLS.Version, res.TLS.CipherSuite)
	}
	if h := res.Header.Get("Strict-Transport-Security"); h != "max-age=31536000; includeSubDomains; preload;" {
		t.Errorf("HSTS %q", h)
	}
	if got.Header.Get("X-Forwarded-Proto") != "https" {
		t.Errorf("headers of the member: %v", got.Header)
	}
	if res, _ := b.must(b.over(u, "second.example", nil), host+"/"); res.TLS.PeerCertificates[0].Subject.CommonName != "second.example" {
		t.Errorf("by the other name came %s", res.TLS.PeerCertificates[0].Subject)
	}
	with := func(pair tls.Certificate) func(*tls.Config) {
		return func(c *tls.Config) { c.Certificates = []tls.Certificate{pair} }
	}
	for _, tc := range []struct {
		rule   string
		client *http.Client
		url    string
		status int // 0: no answer
	}{
		{"mandatory, without", b.over(u, "first.example", nil), host + ":444/", 0},
		{"mandatory, revoked", b.over(u, "first.example", with(badPair)), host + ":444/", 0},
		{"mandatory, good", b.over(u, "first.example", with(goodPair)), host + ":444/", 200},
		{"optional, without", b.over(u, "first.example", nil), host + ":445/", 403},
		{"optional, good", b.over(u, "first.example", with(goodPair)), host + ":445/", 200},
		{"optional, by its name", b.over(u, "first.example", with(badPair)), host + ":445/", 302},
		{"too new", b.over(u, "first.example", func(c *tls.Config) { c.MinVersion = tls.VersionTLS13 }), host + ":446/", 0},
		{"just right", b.over(u, "first.example", nil), host + ":446/", 200},
		{"too old", b.over(u, "first.example", func(c *tls.Config) { c.MinVersion, c.MaxVersion = tls.VersionTLS11, tls.VersionTLS11 }), host + "/", 0},
	} {
		res, got, err := b.get(tc.client, tc.url)
		if tc.status == 0 {
			if err == nil {
				t.Errorf("%s: answered %d", tc.rule, res.StatusCode)
			}
			continue
		}
		if err != nil || res.StatusCode != tc.status {
			t.Errorf("%s: %v, %+v", tc.rule, err, res)
			continue
		}
		if tc.rule == "mandatory, good" && (got.Header.Get("X-SSL-Client-CN") != `"good"` && got.Header.Get("X-SSL-Client-CN") != "good" || got.Header.Get("X-SSL-Client-Has-Cert") != "1" || got.Header.Get("X-SSL-Client-Verify") != "0") {
			t.Errorf("%s: headers %v of %s", tc.rule, got.Header, good.Subject)
		}
		if tc.url == host+":446/" && (res.Proto != "HTTP/1.1" || res.TLS.Version != tls.VersionTLS12) {
			t.Errorf("%s: %s, version %x", tc.rule, res.Proto, res.TLS.Version)
		}
	}
	t.Run("another certificate comes without a request lost", func(t *testing.T) {
		c := b.over(u, "first.example", nil)
		before, _ := b.must(c, host+"/")
		_, s.place.Secrets["first"], _ = u.pair("first.example")
		a.apply(s)
		after, _ := b.must(c, host+"/")
		if before.TLS.PeerCertificates[0].SerialNumber.Cmp(after.TLS.PeerCertificates[0].SerialNumber) == 0 {
			t.Error("the certificate is the old one")
		}
	})
}

func TestAmphoraSpeaksTLSToMembers(t *testing.T) {
	b := newBalancing(t)
	a := b.amphora(1)
	s := a.scene()
	u, strangers := newUsers(t), newUsers(t)
	_, front, _ := u.pair("front.example")
	_, own, _ := u.pair("the-load-balancer")
	_, _, member := u.pair("front.example")
	_, _, stranger := strangers.pair("front.example")
	s.place.Secrets["front"], s.place.Secrets["own"], s.place.Secrets["ca"], s.place.Secrets["crl"] = front, own, u.ca(), u.crl()
	secure := func(pair tls.Certificate) func(*http.Server) {
		return func(h *http.Server) {
			h.TLSConfig = &tls.Config{Certificates: []tls.Certificate{pair}, ClientAuth: tls.RequestClientCert, NextProtos: []string{"h2", "http/1.1"}}
		}
	}
	well, ill := b.web(10, secure(member)), b.web(11, secure(stranger))
	back := func(members ...backend) *model.Pool {
		p := s.pool(model.ProtocolHTTP, model.RoundRobin)
		p.TLSEnabled, p.TLSContainerRef, p.CATLSContainerRef, p.CRLContainerRef = true, "own", "ca", "crl"
		p.TLSVersions, p.ALPNProtocols, p.TLSCiphers = []string{"TLSv1.2", "TLSv1.3"}, []string{"h2", "http/1.1"}, "ECDHE-ECDSA-AES256-GCM-SHA384"
		for _, m := range members {
			s.member(p, m.at)
		}
		return p
	}
	for port, p := range map[int]*model.Pool{443: back(well), 444: back(ill)} {
		s.listener(model.ProtocolTerminatedHTTPS, port, p).DefaultTLSContainerRef = "front"
	}
	// TLS that only passes through, with what a member of its own does.
	through := s.pool(model.ProtocolHTTPS, model.RoundRobin)
	s.member(through, well.at)
	s.listener(model.ProtocolHTTPS, 445, through)
	a.apply(s)
	c := b.over(u, "front.example", nil)
	if res, got := b.must(c, "https://10.77.0.100/"); got.TLS != "front.example the-load-balancer" || got.Proto != "HTTP/2.0" {
		t.Errorf("%d: the member saw %q, %s", res.StatusCode, got.TLS, got.Proto)
	}
	if res, got := b.must(c, "https://10.77.0.100:444/"); res.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("a member of a strange authority was asked: %d, %+v", res.StatusCode, got)
	}
	if _, got := b.must(c, "https://10.77.0.100:445/"); !strings.HasPrefix(got.TLS, "front.example") || got.Member != "m10" {
		t.Errorf("through came %+v", got)
	}
}
