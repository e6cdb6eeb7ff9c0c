package lab_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// below returns an authority that another has signed.
func (u *users) below(name string) *users {
	u.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		u.t.Fatal(err)
	}
	cert := u.sign(&x509.Certificate{Subject: pkix.Name{CommonName: name}, IsCA: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign, BasicConstraintsValid: true}, key)
	return &users{t: u.t, cert: cert, key: key, next: 1000}
}

// halves takes a certificate and its key apart.
func halves(text []byte) (cert, key []byte) {
	_, key = pem.Decode(text)
	return text[:len(text)-len(key)], key
}

// bundle is PKCS #12 as Octavia's cookbook makes it.
func (s *keeper) bundle(text, chain []byte) []byte {
	s.t.Helper()
	in, ca := s.k.b.write("pair.pem", string(text)), s.k.b.write("chain.pem", string(chain))
	out := filepath.Join(s.k.b.data, "pair.p12")
	if said, err := exec.Command("openssl", "pkcs12", "-export", "-in", in, "-certfile", ca, "-passout", "pass:", "-out", out).CombinedOutput(); err != nil {
		s.t.Fatalf("%v: %s", err, said)
	}
	return mustRead(s.t, out)
}

// secure asks through a VIP for a name, and returns who answered, what the member
// said, and how many certificates came.
func (b *lbService) secure(u *users, address, name string, own ...tls.Certificate) (leaf *x509.Certificate, said string, chain int, err error) {
	pool := x509.NewCertPool()
	pool.AddCert(u.cert)
	c := &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DialContext: b.ns.DialContext, DisableKeepAlives: true,
		TLSClientConfig: &tls.Config{RootCAs: pool, ServerName: name, Certificates: own}}}
	resp, err := c.Get("https://" + address + "/")
	if err != nil {
		return nil, "", 0, err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	certs := resp.TLS.PeerCertificates
	return certs[0], fmt.Sprintf("%d %s", resp.StatusCode, data), len(certs), err
}

// shop is what a tenant has in Barbican and in front of it.
type shop struct {
	*keeper
	mia, odo string // tokens
	root     *users
	between  *users // an authority that clients do not know
	kept     map[string]string
	parts    map[string]string // of the container www
	lb, vip  string
	ids      map[string]string // of listeners and pools, by name
}

// TestCertificatesOfARealBarbican has a tenant keep certificates in Barbican and end
// TLS with them, without a word to Barbican about who may read them, as with
// Octavia.
func TestCertificatesOfARealBarbican(t *testing.T) {
	b := newLBService(t)
	k := newIdentity(b)
	k.tenants()
	s := &shop{keeper: newKeeper(k), root: newUsers(t), kept: map[string]string{}, ids: map[string]string{}}
	s.mia, s.odo, s.between = k.login("mia", "demo"), k.login("odo", "other"), s.root.below("between")
	b.args = []string{"--auth", "keystone", "--os-auth-url", k.url, "--compute", "netns", "--network", "local", "--networks", b.data + "/networks.yaml",
		"--secrets", "barbican", "--patience", "3s", "--os-region", "here"}
	b.serve()
	b.token = s.mia
	s.store()
	s.open()
	s.traffic("www.example", "shop.example")
	s.access()
	s.refused()
	s.unreachable()
	s.renewed()
	s.removed()
	s.failedOver()
	s.ended()
	b.stop("serve")
	if !strings.Contains(s.said(), "Retrieved secret payload for project: "+k.ids["project service"]) {
		t.Error("Barbican does not know that the service read anything")
	}
}

// store has what mia keeps.
func (s *shop) store() {
	s.t.Helper()
	_, text, _ := s.between.pair("www.example")
	cert, key := halves(text)
	s.kept["www"], s.parts = s.container(s.mia, "www", map[string][]byte{"certificate": cert, "private_key": key, "intermediates": s.between.ca()})
	_, text, _ = s.between.pair("shop.example")
	s.kept["shop"] = s.opaque(s.mia, "shop", s.bundle(text, s.between.ca()))
	s.kept["ca"], s.kept["crl"] = s.text(s.mia, "ca", s.root.ca()), s.text(s.mia, "crl", s.root.crl())
	// Somebody else may read one of the secrets, and the project may not.
	s.must(s.mia, http.MethodPut, s.parts["private_key"]+"/acl", item{"read": item{"users": []string{s.k.ids["user vic"]}, "project-access": false}})
}

// open makes the load balancer in one call, as clients do.
func (s *shop) open() {
	s.t.Helper()
	b := s.k.b
	b.web(8001, "one")
	members := []item{{"address": "10.20.0.1", "protocol_port": 8001}}
	listener := func(name string, port int, more item) item {
		out := item{"name": name, "protocol": "TERMINATED_HTTPS", "protocol_port": port, "default_tls_container_ref": s.kept["www"], "sni_container_refs": []string{s.kept["shop"]},
			"default_pool": item{"name": name, "protocol": "HTTP", "lb_algorithm": "ROUND_ROBIN", "members": members}}
		for k, v := range more {
			out[k] = v
		}
		return out
	}
	lb := b.must(http.MethodPost, "loadbalancers", item{"loadbalancer": item{"name": "shop", "vip_subnet_id": s.k.subnetOf(s.mia), "listeners": []item{
		listener("open", 443, nil),
		listener("members", 444, item{"client_authentication": "MANDATORY", "client_ca_tls_container_ref": s.kept["ca"], "client_crl_container_ref": s.kept["crl"]}),
	}}})["loadbalancer"].(item)
	s.lb, s.vip = lb["id"].(string), lb["vip_address"].(string)
	for _, l := range lb["listeners"].([]any) {
		s.ids[l.(item)["name"].(string)] = l.(item)["id"].(string)
	}
	b.awaitStatus(s.lb, "ACTIVE")
}

func (k *identity) subnetOf(token string) string {
	k.t.Helper()
	k.b.token = token
	return k.b.subnets()["subnets"].([]any)[0].(item)["id"].(string)
}

// shown returns the certificate that is shown for a name.
func (s *shop) shown(name string) *x509.Certificate {
	s.t.Helper()
	var leaf *x509.Certificate
	s.k.b.until(20*time.Second, name+" is served", func() bool {
		l, said, chain, err := s.k.b.secure(s.root, s.vip, name)
		leaf = l
		return err == nil && strings.HasPrefix(said, "200") && chain == 2
	})
	return leaf
}

func (s *shop) traffic(names ...string) {
	s.t.Helper()
	for _, name := range names {
		if leaf := s.shown(name); !slices.Contains(leaf.DNSNames, name) {
			s.t.Errorf("for %s came the certificate of %v", name, leaf.DNSNames)
		}
	}
	_, _, good := s.root.pair("good")
	_, _, stranger := newUsers(s.t).pair("good")
	if _, said, _, err := s.k.b.secure(s.root, s.vip+":444", "www.example", good); err != nil || said != "200 one" {
		s.t.Errorf("a client with a certificate of the authority: %v, %q", err, said)
	}
	for who, own := range map[string][]tls.Certificate{"a client without a certificate": nil, "a client of another authority": {stranger}} {
		if _, said, _, err := s.k.b.secure(s.root, s.vip+":444", "www.example", own...); err == nil {
			s.t.Errorf("%s was served: %q", who, said)
		}
	}
}

// access looks at what Barbican says of who may read, and who uses what.
func (s *shop) access() {
	s.t.Helper()
	service := s.k.ids["user octavia"]
	for _, ref := range []string{s.kept["www"], s.parts["certificate"], s.parts["intermediates"], s.kept["shop"], s.kept["ca"], s.kept["crl"]} {
		if users, project := s.readers(s.mia, ref); !slices.Equal(users, []any{service}) || !project {
			s.t.Errorf("%s may be read by %v, and by the project: %v", ref, users, project)
		}
	}
	if users, project := s.readers(s.mia, s.parts["private_key"]); len(users) != 2 || !slices.Contains(users, any(service)) || project {
		s.t.Errorf("the key may be read by %v, and by the project: %v", users, project)
	}
	if got := s.consumers(s.mia, s.kept["www"]); !slices.Equal(got, []string{"lbaas://" + s.lb}) {
		s.t.Errorf("the container is used by %v", got)
	}
}

// refused are certificates that cannot be used, and by whom.
func (s *shop) refused() {
	s.t.Helper()
	b := s.k.b
	_, text, _ := s.between.pair("other.example")
	cert, key := halves(text)
	_, other, _ := s.between.pair("else.example")
	_, wrong := halves(other)
	theirs, _ := s.container(s.odo, "theirs", map[string][]byte{"certificate": cert, "private_key": key})
	lent := s.opaque(s.odo, "lent", s.bundle(text, s.between.ca())) // to the service, and not to mia
	s.must(s.odo, http.MethodPut, lent+"/acl", item{"read": item{"users": []string{s.k.ids["user octavia"]}}})
	keyless, _ := s.container(s.mia, "keyless", map[string][]byte{"certificate": cert})
	mixed, _ := s.container(s.mia, "mixed", map[string][]byte{"certificate": cert, "private_key": wrong})
	rubbish, none := s.opaque(s.mia, "rubbish", []byte("rubbish")), keeperURL+"/v1/secrets/00000000-0000-4000-8000-000000000000"
	for _, c := range []struct{ what, ref, want string }{
		{"of another project", theirs, `Could not retrieve certificate: ["` + theirs + `"]`},
		{"that another project lent to the service alone", lent, `Could not retrieve certificate: ["` + lent + `"]`},
		{"that is not there", none, `Could not retrieve certificate: ["` + none + `"]`},
		{"without a key", keyless, "not valid: there is no private key in it"},
		{"with the key of another", mixed, "not valid: the private key does not belong to any certificate in it"},
		{"that is no bundle", rubbish, "The PKCS12 bundle is unreadable."},
	} {
		status, out, err := b.call(http.MethodPost, "listeners", item{"listener": item{"protocol": "TERMINATED_HTTPS", "protocol_port": 445, "loadbalancer_id": s.lb, "default_tls_container_ref": c.ref}})
		if said, _ := out["faultstring"].(string); err != nil || status != http.StatusBadRequest || !strings.Contains(said, c.want) {
			s.t.Errorf("a certificate %s: %d %v %v, want 400 %s", c.what, status, out, err, c.want)
		}
	}
	b.awaitStatus(s.lb, "ACTIVE")
}

// change makes a change that has nothing to do with certificates, and waits until it
// is in effect.
func (s *shop) change(path, kind string, o item) {
	s.t.Helper()
	method := http.MethodPut
	if kind == "member" {
		method = http.MethodPost
	}
	s.k.b.must(method, path, item{kind: o})
	s.k.b.awaitStatus(s.lb, "ACTIVE")
}

// member adds a member to the pool of the listener that is open, and wants to hear
// of it.
func (s *shop) member(port int, name string) {
	s.t.Helper()
	b := s.k.b
	b.web(port, name)
	pool := b.must(http.MethodGet, "listeners/"+s.ids["open"], nil)["listener"].(item)["default_pool_id"].(string)
	s.change("pools/"+pool+"/members", "member", item{"address": "10.20.0.1", "protocol_port": port})
	b.until(20*time.Second, name+" answers", func() bool {
		_, said, _, err := b.secure(s.root, s.vip, "shop.example")
		return err == nil && said == "200 "+name
	})
}

func (s *shop) reason() string { return s.k.b.command("why", s.lb) }

// unreachable is Barbican that does not answer: what is new is refused, what is there
// goes on and can be changed.
func (s *shop) unreachable() {
	s.t.Helper()
	b := s.k.b
	s.stop()
	status, out, err := b.call(http.MethodPost, "listeners", item{"listener": item{"protocol": "TERMINATED_HTTPS", "protocol_port": 446, "loadbalancer_id": s.lb, "default_tls_container_ref": s.kept["www"]}})
	if said, _ := out["faultstring"].(string); err != nil || status != http.StatusInternalServerError || !strings.Contains(said, "not available: Secret "+s.kept["www"]) {
		s.t.Errorf("without Barbican: %d %v %v", status, out, err)
	}
	s.member(8002, "two")
	if why := s.reason(); !strings.Contains(why, "connection refused") {
		s.t.Errorf("that Barbican does not answer is not told:\n%s", why)
	}
	s.start()
	s.change("listeners/"+s.ids["open"], "listener", item{"description": "again"})
	if why := s.reason(); strings.Contains(why, "cannot use") {
		s.t.Errorf("Barbican answers again, and it is said:\n%s", why)
	}
}

// renewed is a certificate that replaces another: Barbican's secrets never change.
func (s *shop) renewed() {
	s.t.Helper()
	old := s.shown("www.example")
	_, text, _ := s.between.pair("www.example")
	cert, key := halves(text)
	before := s.kept["www"]
	s.kept["www"], _ = s.container(s.mia, "www", map[string][]byte{"certificate": cert, "private_key": key, "intermediates": s.between.ca()})
	a := asking(func() error { _, _, _, err := s.k.b.secure(s.root, s.vip, "www.example"); return err })
	for _, l := range []string{"open", "members"} {
		s.change("listeners/"+s.ids[l], "listener", item{"default_tls_container_ref": s.kept["www"]})
	}
	s.k.b.until(20*time.Second, "the new certificate is shown", func() bool {
		leaf, _, _, err := s.k.b.secure(s.root, s.vip, "www.example")
		return err == nil && leaf.SerialNumber.Cmp(old.SerialNumber) != 0
	})
	if lost, _ := a.end(); lost > 0 {
		s.t.Errorf("%d of %d requests were lost: %v", lost, a.total.Load(), *a.last.Load())
	}
	if was, is := s.consumers(s.mia, before), s.consumers(s.mia, s.kept["www"]); len(was) > 0 || len(is) != 1 {
		s.t.Errorf("the old certificate is used by %v, the new by %v", was, is)
	}
}

// removed is a secret that is taken away while a listener uses it.
func (s *shop) removed() {
	s.t.Helper()
	s.must(s.mia, http.MethodDelete, s.kept["shop"], nil)
	s.member(8003, "three") // by the name whose certificate is gone
	if why := s.reason(); !strings.Contains(why, "Secret "+s.kept["shop"]+" not found.") {
		s.t.Errorf("that a secret is gone is not told:\n%s", why)
	}
}

// failedOver replaces the amphora, the only one that had the secret.
func (s *shop) failedOver() {
	s.t.Helper()
	b := s.k.b
	b.token = s.k.admin
	b.must(http.MethodPut, "loadbalancers/"+s.lb+"/failover", nil)
	b.token = s.mia
	b.awaitStatus(s.lb, "ACTIVE")
	for name, id := range s.ids {
		b.until(20*time.Second, "the listener "+name+" is missed", func() bool {
			return b.must(http.MethodGet, "listeners/"+id, nil)["listener"].(item)["operating_status"] == "ERROR"
		})
		s.change("listeners/"+id, "listener", item{"sni_container_refs": []string{}})
	}
	s.traffic("www.example")
}

// ended is the end of the load balancer, of which nothing stays.
func (s *shop) ended() {
	s.t.Helper()
	s.k.b.must(http.MethodDelete, "loadbalancers/"+s.lb+"?cascade=true", nil)
	s.k.b.nothingLeft()
	s.k.b.until(20*time.Second, "the container is used by nobody", func() bool { return len(s.consumers(s.mia, s.kept["www"])) == 0 })
}
