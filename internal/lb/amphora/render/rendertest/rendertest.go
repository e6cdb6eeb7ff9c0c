// Package rendertest has load balancers for tests of what is rendered, and has a
// real HAProxy look at it.
//
// It guarantees that Everything is the same each time, and uses every setting of
// the API at least once.
package rendertest

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/updraft-cloud/updraft/internal/lb/amphora"
	"github.com/updraft-cloud/updraft/internal/lb/amphora/render"
	"github.com/updraft-cloud/updraft/internal/lb/model"
)

// Text are the values that users write freely.
type Text struct {
	Key, Value, URL, Prefix, Cookie, Path, Domain, Ciphers, Codes, Method string
}

// Plain is what users write on ordinary days.
func Plain() Text {
	return Text{
		Key: "X-Key", Value: "a value", URL: "https://example.com/a?b=c", Prefix: "https://example.com/p", Cookie: "JSESSIONID",
		Path: "/health", Domain: "member.example", Ciphers: "TLS_AES_256_GCM_SHA384:ECDHE-RSA-AES256-GCM-SHA384", Codes: "200,202-204", Method: "HEAD",
	}
}

// builder numbers what it makes.
type builder struct {
	render.Tree
	n int
}

func (b *builder) base(kind string) model.Base {
	b.n++
	return model.Base{ID: fmt.Sprintf("%s-%03d", kind, b.n), AdminStateUp: true}
}

// Everything is a load balancer with everything, on one of two amphorae.
func Everything(text Text) (render.Tree, render.Place) {
	b := &builder{}
	b.LoadBalancer = &model.LoadBalancer{Base: b.base("lb")}
	place := render.Place{
		AmphoraID: "amphora-1", Version: 7,
		VIPs: []amphora.VIP{
			{Address: netip.MustParseAddr("192.0.2.10"), Bits: 24, Interface: "eth0"},
			{Address: netip.MustParseAddr("2001:db8::10"), Bits: 64, Interface: "eth0"},
		},
		Secrets: secrets(),
		VRRP: &render.VRRP{
			Interface: "eth0", RouterID: 17, Priority: 100, Self: render.Peer{AmphoraID: "amphora-1", Address: netip.MustParseAddr("192.0.2.11")},
			Others: []render.Peer{{AmphoraID: "amphora-2", Address: netip.MustParseAddr("192.0.2.12")}},
		},
	}
	b.listeners(text)
	b.datagrams()
	return b.Tree, place
}

func (b *builder) listener(p model.Protocol, pool *model.Pool) *model.Listener {
	l := &model.Listener{
		Base: b.base("listener"), Protocol: p, ProtocolPort: 1000 + b.n, ConnectionLimit: -1, TimeoutClientData: 50000, TimeoutMemberConnect: 5000, TimeoutMemberData: 50000,
	}
	if pool != nil {
		l.DefaultPoolID = pool.ID
	}
	b.Listeners = append(b.Listeners, l)
	return l
}

// pool has two members, the second of which is a backup with a monitor of its own.
func (b *builder) pool(p model.Protocol, a model.Algorithm, monitor string, text Text) *model.Pool {
	pool := &model.Pool{Base: b.base("pool"), Protocol: p, LBAlgorithm: a}
	b.Pools = append(b.Pools, pool)
	for i := range 2 {
		m := &model.Member{Base: b.base("member"), PoolID: pool.ID, Address: "198.51.100.1", ProtocolPort: 8000 + b.n, Weight: 1 + 255*i}
		if i == 1 {
			m.Backup, m.MonitorAddress, m.MonitorPort, m.Address = true, "2001:db8::99", 9, "2001:db8::2"
		}
		b.Members = append(b.Members, m)
	}
	if monitor == "" {
		return pool
	}
	h := &model.HealthMonitor{Base: b.base("monitor"), PoolID: pool.ID, Type: monitor, Delay: 5, Timeout: 3, MaxRetries: 2, MaxRetriesDown: 4}
	if monitor == model.MonitorHTTP || monitor == model.MonitorHTTPS {
		h.HTTPMethod, h.URLPath, h.ExpectedCodes, h.HTTPVersion, h.DomainName = text.Method, text.Path, text.Codes, "1.1", text.Domain
	}
	b.Monitors = append(b.Monitors, h)
	return pool
}

func (b *builder) listeners(text Text) {
	cookie := b.pool(model.ProtocolHTTP, model.RoundRobin, model.MonitorHTTP, text)
	cookie.SessionPersistence = &model.SessionPersistence{Type: model.PersistHTTPCookie}
	app := b.pool(model.ProtocolProxy, model.LeastConnections, model.MonitorPing, text)
	app.SessionPersistence = &model.SessionPersistence{Type: model.PersistAppCookie, CookieName: text.Cookie}
	source := b.pool(model.ProtocolProxyV2, model.SourceIP, model.MonitorTLSHello, text)
	source.SessionPersistence = &model.SessionPersistence{Type: model.PersistSourceIP}
	again := b.pool(model.ProtocolHTTP, model.SourceIPPort, model.MonitorHTTPS, text)
	again.TLSEnabled, again.TLSContainerRef, again.CATLSContainerRef, again.CRLContainerRef = true, "cert", "ca", "crl"
	again.TLSCiphers, again.TLSVersions, again.ALPNProtocols = text.Ciphers, []string{"TLSv1.2"}, []string{"h2", "http/1.1"}

	web := b.listener(model.ProtocolHTTP, cookie)
	web.ConnectionLimit, web.AllowedCIDRs = 100, []string{"192.0.2.0/24", "2001:db8::/32"}
	web.InsertHeaders = map[string]string{"X-Forwarded-For": "true", "X-Forwarded-Port": "true", "X-Forwarded-Proto": "true", "X-Real-IP": "true"}
	b.policies(web, app, text)
	sure := b.listener(model.ProtocolTerminatedHTTPS, again)
	sure.DefaultTLSContainerRef, sure.SNIContainerRefs, sure.ClientCATLSRef, sure.ClientCRLRef = "cert", []string{"other"}, "ca", "crl"
	sure.ClientAuthentication, sure.TLSCiphers, sure.ALPNProtocols = model.ClientAuthMandatory, text.Ciphers, []string{"h2", "http/1.1", "http/1.0"}
	sure.TLSVersions = []string{"TLSv1.1", "TLSv1.2", "TLSv1.3"}
	age := 31536000
	sure.HSTSMaxAge, sure.HSTSIncludeSubdomains = &age, true
	sure.InsertHeaders = map[string]string{}
	for _, h := range []string{"Client-Verify", "Client-Has-Cert", "Client-DN", "Client-CN", "Issuer", "Client-SHA1", "Client-Not-Before", "Client-Not-After"} {
		sure.InsertHeaders["X-SSL-"+h] = "true"
	}
	for _, r := range []*model.L7Rule{
		{Type: model.RuleSSLHasCert, CompareType: model.CompareEqualTo, Value: "true"},
		{Type: model.RuleSSLVerify, CompareType: model.CompareEqualTo, Value: "0"},
		{Type: model.RuleSSLDNField, CompareType: model.CompareContains, Key: "CN", Value: text.Value},
	} {
		b.rule(b.policy(sure, model.ActionReject), r)
	}
	holes := b.listener(model.ProtocolTerminatedHTTPS, nil)
	holes.DefaultTLSContainerRef, holes.ClientCATLSRef, holes.ClientAuthentication, holes.TLSVersions = "cert", "ca", model.ClientAuthOptional, []string{"TLSv1.1", "TLSv1.3"}
	b.listener(model.ProtocolHTTPS, source)
	inspected := b.listener(model.ProtocolTCP, b.pool(model.ProtocolTCP, model.RoundRobin, model.MonitorTCP, text))
	inspected.TimeoutTCPInspect, inspected.TimeoutClientData, inspected.TimeoutMemberData = 1000, 2073600000, 0
	b.listener(model.ProtocolPrometheus, nil)
}

func (b *builder) policy(l *model.Listener, action string) *model.L7Policy {
	p := &model.L7Policy{Base: b.base("policy"), ListenerID: l.ID, Action: action, Position: b.n}
	b.Policies = append(b.Policies, p)
	return p
}

func (b *builder) rule(p *model.L7Policy, r *model.L7Rule) {
	r.Base, r.L7PolicyID = b.base("rule"), p.ID
	b.Rules = append(b.Rules, r)
}

// policies has each action, type and comparison.
func (b *builder) policies(l *model.Listener, pool *model.Pool, text Text) {
	to := b.policy(l, model.ActionRedirectToPool)
	to.RedirectPoolID = pool.ID
	url := b.policy(l, model.ActionRedirectToURL)
	url.RedirectURL, url.RedirectHTTPCode = text.URL, 308
	prefix := b.policy(l, model.ActionRedirectPrefix)
	prefix.RedirectPrefix = text.Prefix
	reject := b.policy(l, model.ActionReject)
	for _, p := range []*model.L7Policy{to, url, prefix, reject} {
		for _, kind := range []string{model.RuleHostName, model.RulePath, model.RuleHeader, model.RuleCookie} {
			for _, compare := range []string{model.CompareStartsWith, model.CompareEndsWith, model.CompareContains, model.CompareEqualTo} {
				b.rule(p, &model.L7Rule{Type: kind, CompareType: compare, Key: text.Key, Value: text.Value, Invert: compare == model.CompareContains})
			}
			b.rule(p, &model.L7Rule{Type: kind, CompareType: model.CompareRegex, Key: text.Key, Value: "^[a-z]+\\.(x|y)$"})
		}
		b.rule(p, &model.L7Rule{Type: model.RuleFileType, CompareType: model.CompareEqualTo, Value: text.Value})
		b.rule(p, &model.L7Rule{Type: model.RuleFileType, CompareType: model.CompareRegex, Value: "gif|jpe?g"})
	}
}

// datagrams are the listeners that the kernel forwards.
func (b *builder) datagrams() {
	hour := 3600
	pool := b.pool(model.ProtocolUDP, model.SourceIP, model.MonitorUDPConnect, Text{})
	pool.SessionPersistence = &model.SessionPersistence{Type: model.PersistSourceIP, Timeout: &hour, Granularity: "255.255.255.0"}
	l := b.listener(model.ProtocolUDP, pool)
	l.ConnectionLimit, l.AllowedCIDRs = 10, []string{"10.0.0.0/8", "10.1.0.0/16", "2001:db8::/32"}
	b.listener(model.ProtocolSCTP, b.pool(model.ProtocolSCTP, model.SourceIPPort, model.MonitorSCTP, Text{}))
	b.listener(model.ProtocolUDP, b.pool(model.ProtocolUDP, model.LeastConnections, model.MonitorHTTP, Text{}))
	b.listener(model.ProtocolUDP, nil)
}

// secrets are as good as their names for those who do not read them; Real has
// such that a HAProxy takes.
func secrets() map[string][]byte {
	return map[string][]byte{"cert": []byte("cert"), "other": []byte("other"), "ca": []byte("ca"), "crl": []byte("crl")}
}

// Real replaces the secrets by certificates.
func Real(t testing.TB, p *render.Place) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		Subject: pkix.Name{CommonName: "example.com"}, SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign | x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	ca, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	list, err := x509.CreateRevocationList(rand.Reader, &x509.RevocationList{Number: big.NewInt(1), ThisUpdate: time.Now(), NextUpdate: time.Now().Add(time.Hour)}, ca, key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	cert := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	pair := append(bytes.Clone(cert), pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: private})...)
	p.Secrets = map[string][]byte{"cert": pair, "other": pair, "ca": cert, "crl": pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: list})}
}

// Accept has HAProxy check a configuration in a directory, by the command line
// given; with one that changes the root, dir is what it is inside.
func Accept(c *amphora.Config, dir string, command ...string) error {
	if err := os.MkdirAll(filepath.Join(dir, "certs"), 0o755); err != nil {
		return err
	}
	for _, f := range c.Files {
		if err := os.WriteFile(filepath.Join(dir, "certs", f.Name), f.Data, 0o600); err != nil {
			return err
		}
	}
	for name, text := range map[string]string{"haproxy.cfg": c.HAProxy.Text(), "server-state": "1\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			return err
		}
	}
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	return nil
}
