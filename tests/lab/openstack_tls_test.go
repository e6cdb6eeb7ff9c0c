package lab_test

import (
	"encoding/base64"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/updraft-cloud/updraft/internal/openstack/mariadb"
	"github.com/updraft-cloud/updraft/internal/openstack/ovn"
	"github.com/updraft-cloud/updraft/internal/openstack/rabbitmq"
	"github.com/updraft-cloud/updraft/internal/openstack/stack"
	"github.com/updraft-cloud/updraft/internal/openstack/stack/stacktest"
	"github.com/updraft-cloud/updraft/internal/resource/container"
	"github.com/updraft-cloud/updraft/internal/secret/pki"
	"github.com/updraft-cloud/updraft/internal/transport"
	"github.com/updraft-cloud/updraft/internal/transport/transporttest"
)

// foreign puts a certificate of another authority into the box, and returns its
// path in the containers.
func (b *box) foreign() string {
	b.t.Helper()
	ca, err := pki.NewAuthority("another", time.Now())
	if err != nil {
		b.t.Fatal(err)
	}
	cert, key, err := ca.Issue("foreign", []string{"controller1", "10.88.0.11"}, time.Now())
	if err != nil {
		b.t.Fatal(err)
	}
	b.write(stack.ConfigRoot+"/foreign.pem", cert+key)
	return stack.ConfigRoot + "/foreign.pem"
}

// handshake connects by openssl's client, which verifies the server against the
// cloud's authority and the controller's address. It succeeds if both sides take
// it: with TLS 1.3, a server that does not says so afterwards.
func (b *box) handshake(port int, options string) error {
	b.t.Helper()
	return b.trusting(stack.CAFile, port, options)
}

// trusting is handshake with authorities of its own.
func (b *box) trusting(authorities string, port int, options string) error {
	b.t.Helper()
	text := fmt.Sprintf("{ sleep 1; echo; } | timeout 10 openssl s_client -brief -verify_return_error -CAfile %s -verify_ip 10.88.0.11 -connect 10.88.0.11:%d %s",
		authorities, port, options)
	out, err := b.run("-c", "podman run box/infra:x bash -o pipefail -c "+transport.Quote(text))
	if err == nil && (strings.Contains(out, "alert") || !strings.Contains(out, "Verification: OK")) {
		err = fmt.Errorf("%s", lastLines(out))
	}
	return err
}

// as is how openssl's client shows a certificate.
func as(leaf string) string { return "-cert " + leaf + " -key " + leaf }

// plain reports whether a server answers a client that does not speak TLS.
func (b *box) plain(port int, hello, answer string) bool {
	b.t.Helper()
	out, _ := b.run("-c", fmt.Sprintf("timeout 10 bash -c %s", transport.Quote(fmt.Sprintf(
		"exec 3<>/dev/tcp/10.88.0.11/%d; printf %s >&3; timeout 2 head -c 64 <&3 | tr -dc '[:print:]'", port, transport.Quote(hello)))))
	return strings.Contains(out, answer)
}

// judge holds a port to what it owes: TLS by the cloud's authority, and where both
// have to show a certificate, none and a foreign one are not enough.
func (b *box) judge(what string, port int, leaf string, mutual bool, hello, answer string) {
	b.t.Helper()
	transporttest.Eventually(b.t, what+" answers", func() bool { return b.handshake(port, as(leaf)) == nil })
	for with, options := range map[string]string{"no certificate": "", "a foreign certificate": as(b.foreign())} {
		if err := b.handshake(port, options); (err == nil) == mutual {
			b.t.Errorf("%s: a client with %s: %v", what, with, err)
		}
	}
	if b.plain(port, hello, answer) {
		b.t.Errorf("%s: it speaks to a client without TLS", what)
	}
}

func TestRabbitMQSpeaksTLSToClientsAndToOthersOfItsKind(t *testing.T) {
	b := newBox(t, "infra")
	c := b.rabbitmq()
	leaf := stack.LeafFile("rabbitmq")
	b.judge("AMQP", stack.RabbitPort, leaf, false, `AMQP\0\0\11\1`, "RabbitMQ")
	b.judge("Erlang's distribution", 25672, leaf, true, `\0\25N\0\0\0\1\3\337\377\277\0\0\0\1\0\6a@b.cc`, "s")
	// Its own tools come the same way.
	out, err := b.run("-c", "podman run --user=rabbitmq box/infra:x env"+environment(c)+" /usr/lib/rabbitmq/bin/rabbitmqctl --timeout 60 await_startup")
	if err != nil {
		t.Errorf("rabbitmqctl: %v: %s", err, lastLines(out))
	}
	job := b.job(rabbitmq.Service(), "rabbitmq certificates")
	b.believes("Erlang's distribution", 25672, leaf, func() {
		t.Helper()
		if _, err := b.outside("-c", job.Unless); err == nil {
			t.Error("nobody misses the new authorities")
		}
		inside := "podman run --user=rabbitmq box/infra:x env" + environment(c)
		if out, err := b.outside("-euc", strings.Replace(job.Script, "podman exec rabbitmq", inside, 1)); err != nil {
			t.Fatalf("%v: %s", err, lastLines(out))
		}
		if _, err := b.outside("-c", job.Unless); err != nil {
			t.Errorf("after it has read them: %v", err)
		}
	})
}

// rabbitmq starts a real RabbitMQ in the box.
func (b *box) rabbitmq() *container.Resource {
	b.t.Helper()
	items := b.lay(stacktest.Small, "controller1", rabbitmq.Service())
	c := find[*container.Resource](b.t, items, "rabbitmq")
	start := "cd /; mkdir -p /var/lib/rabbitmq; printf '%s' " + base64.RawURLEncoding.EncodeToString([]byte(b.t.Name())) +
		" >/var/lib/rabbitmq/.erlang.cookie; chmod 400 /var/lib/rabbitmq/.erlang.cookie; chown -R rabbitmq: /var/lib/rabbitmq; " +
		"exec setpriv --reuid=rabbitmq --regid=rabbitmq --init-groups env" + environment(c)
	b.background("rabbitmq", "exec podman run box/infra:x sh -euc "+transport.Quote(start+" "+transport.Quote(c.Exec...)))
	return c
}

// environment is the container's, as words for env(1).
func environment(c *container.Resource) string {
	text := ""
	for k, v := range c.Env {
		text += " " + transport.Quote(k+"="+v)
	}
	return text
}

func TestOVNsDatabasesWantACertificate(t *testing.T) {
	b := newBox(t, "infra", "openstack")
	items := b.lay(stacktest.Small, "controller1", ovn.Service())
	server := find[*container.Resource](t, items, "ovn-nb")
	job := b.job(ovn.Service(), "ovn nb database")
	mk(t, b.dir, "var", "ovn")
	// Directories need not be mounted: the box has them.
	run := slices.DeleteFunc(slices.Clone(job.Run), func(word string) bool { return strings.HasPrefix(word, "--volume=") })
	if out, err := b.run("-euc", transport.Quote(run...)); err != nil {
		t.Fatalf("%v: %s", err, lastLines(out))
	}
	b.background("ovn-nb", "exec podman run box/openstack:x sh -euc "+transport.Quote("mkdir -p /run/ovn; exec "+transport.Quote(server.Exec...)))
	leaf := stack.LeafFile("ovn")
	const hello = `{"method":"echo","id":1,"params":[]}`
	b.judge("OVN's northbound database", stack.OVNNorthPort, leaf, true, hello, "result")
	b.judge("RAFT between its members", 6643, leaf, true, hello, "result")
	ask := func(with string) error {
		out, err := b.run("-c", fmt.Sprintf("podman run box/openstack:x timeout 10 ovn-nbctl --timeout=5 --no-leader-only --db=%s --private-key=%[2]s --certificate=%[2]s --ca-cert=%[3]s show",
			stack.OVNNorth(b.d), with, stack.CAFile))
		if err != nil {
			return fmt.Errorf("%w: %s", err, lastLines(out))
		}
		return nil
	}
	if err := ask(leaf); err != nil {
		t.Errorf("its own client: %v", err)
	}
	if ask(b.foreign()) == nil {
		t.Error("a client with a foreign certificate is served")
	}
	b.believes("RAFT between its members", 6643, leaf, func() {})
}

func TestMariaDBReadsANewCertificateWithoutARestart(t *testing.T) {
	b := newBox(t, "infra")
	b.mariadb("other", "other")
	job := b.job(mariadb.Service(), "mariadb certificate")
	shows := func() error {
		_, err := b.outside("-c", strings.ReplaceAll(job.Unless, stack.LeafFile("mariadb"), stack.ConfigRoot+"/db.pem"))
		return err
	}
	if err := shows(); err != nil {
		t.Fatalf("it does not show the certificate that it was given: %v", err)
	}
	// One that ends at another time.
	cert, key, err := b.authority().Issue("mariadb", []string{b.d.VIP().String()}, time.Now().Add(-time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	b.write(stack.ConfigRoot+"/db.pem", cert)
	b.write(stack.ConfigRoot+"/db.key", key)
	if shows() == nil {
		t.Error("nobody misses the new certificate")
	}
	if out, err := b.outside("-euc", job.Script); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if err := shows(); err != nil {
		t.Errorf("it still shows the old one: %v", err)
	}
}

// authority is the cloud's.
func (b *box) authority() pki.Authority { return b.d.Secrets.(vault).CA() }

// believes leads a running server through the replacement of the authority, and
// holds it to whom it believes in between, without a restart. reread is what updraft
// runs when authorities change.
func (b *box) believes(what string, port int, leaf string, reread func()) {
	b.t.Helper()
	first := b.authority()
	next, err := pki.NewAuthority("the next", time.Now())
	if err != nil {
		b.t.Fatal(err)
	}
	cert, key, err := next.Issue("next", []string{"controller1", "10.88.0.11"}, time.Now())
	if err != nil {
		b.t.Fatal(err)
	}
	old, err := os.ReadFile(b.etc(leaf))
	if err != nil {
		b.t.Fatal(err)
	}
	all, oldLeaf, newLeaf := stack.ConfigRoot+"/all.pem", stack.ConfigRoot+"/old.pem", stack.ConfigRoot+"/young.pem"
	b.write(all, first.Cert+next.Cert)
	b.write(oldLeaf, string(old))
	b.write(newLeaf, cert+key)
	b.replace(stack.CAFile, first.Cert+next.Cert)
	reread()
	for _, shown := range []string{oldLeaf, newLeaf} {
		if err := b.trusting(all, port, as(shown)); err != nil {
			b.t.Errorf("%s: while both are believed, a client that shows %s: %v", what, shown, err)
		}
	}
	b.replace(leaf, cert+key)
	reread()
	b.replace(stack.CAFile, next.Cert)
	reread()
	if err := b.trusting(all, port, as(newLeaf)); err != nil {
		b.t.Errorf("%s: a client with a certificate of the new authority: %v", what, err)
	}
	if b.trusting(all, port, as(oldLeaf)) == nil {
		b.t.Errorf("%s: the old authority is believed still", what)
	}
}

// replace writes a file as updraft does: beside it, and under its name then.
func (b *box) replace(path, content string) {
	b.t.Helper()
	b.write(path+".new", content)
	if err := os.Rename(b.etc(path+".new"), b.etc(path)); err != nil {
		b.t.Fatal(err)
	}
}
