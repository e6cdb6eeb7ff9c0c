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
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/updraft-cloud/updraft/internal/image/oci"
	"github.com/updraft-cloud/updraft/internal/image/registry"
	"github.com/updraft-cloud/updraft/internal/machine/lab"
	"github.com/updraft-cloud/updraft/internal/netns"
)

// registryAddress is where the lab's hosts find the registry of these tests.
const registryAddress = "10.88.0.1:5000"

// selfSigned returns a certificate for the registry's address.
func selfSigned(t *testing.T) (tls.Certificate, string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "registry"}, NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.ParseIP("10.88.0.1")}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

// labRegistry runs a registry in the lab's network that can be killed and started.
type labRegistry struct {
	t    *testing.T
	ns   *netns.NS
	cert tls.Certificate
	dir  string
	// budget is how many bytes of blobs it sends before it dies; below zero it
	// does not.
	budget atomic.Int64
	died   chan struct{}
	server *http.Server
}

func (r *labRegistry) start() {
	r.t.Helper()
	handler, err := registry.New(registry.Options{Dir: r.dir, Password: "secret"})
	if err != nil {
		r.t.Fatal(err)
	}
	l, err := r.ns.Listen(r.t.Context(), "tcp", registryAddress)
	if err != nil {
		r.t.Fatal(err)
	}
	died := make(chan struct{})
	r.died = died
	var server *http.Server
	die := sync.OnceFunc(func() {
		_ = server.Close() // all connections break at once
		close(died)        // now: who waits for it listens at the same port
	})
	server = &http.Server{
		Handler:           http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) { handler.ServeHTTP(&dying{w, r, die}, q) }),
		TLSConfig:         &tls.Config{Certificates: []tls.Certificate{r.cert}},
		ReadHeaderTimeout: time.Minute,
	}
	r.server = server
	go server.ServeTLS(l, "", "") // it ends when it is closed
}

// dying is the answer of a registry that may be killed while it sends.
type dying struct {
	http.ResponseWriter
	r   *labRegistry
	die func()
}

func (d *dying) Write(p []byte) (int, error) {
	if left := d.r.budget.Load(); left >= 0 && d.r.budget.Add(-int64(len(p))) < 0 {
		d.die()
		return 0, http.ErrHandlerTimeout
	}
	return d.ResponseWriter.Write(p)
}

func TestHostsPullFromARegistryThatDiesAndLies(t *testing.T) {
	needLab(t)
	src := oci.Builder{Dir: filepath.Join(t.TempDir(), "images")}
	if err := src.Ensure(t.Context(), small(), t.Logf); err != nil {
		t.Fatal(err)
	}
	run := containerHost(t, "registry", oci.Builder{Dir: filepath.Join(t.TempDir(), "none")})
	ns, err := netns.Open(lab.Namespace(cloudName("registry")))
	if err != nil {
		t.Fatal(err)
	}
	defer ns.Close()
	cert, ca := selfSigned(t)
	r := &labRegistry{t: t, ns: ns, cert: cert, dir: t.TempDir()}
	r.budget.Store(-1)
	r.start()
	defer func() { _ = r.server.Close() }()

	to := oci.Registry{Host: registryAddress, CA: ca, User: registry.User, Password: "secret", Dial: ns.DialContext}
	if err := src.Push(t.Context(), to, small().Ref(""), t.Logf); err != nil {
		t.Fatal(err)
	}
	ref := registryAddress + strings.TrimPrefix(small().Ref(""), "localhost")
	if out, err := run("podman pull -q " + ref); err == nil {
		t.Errorf("an authority that nobody trusts: %s", out)
	}
	trust := "mkdir -p /etc/containers/certs.d/" + registryAddress + " && cat >/etc/containers/certs.d/" + registryAddress + "/ca.crt <<'E'\n" + ca + "E\n"
	if out, err := run(trust); err != nil {
		t.Fatal(out, err)
	}
	blob := largestBlob(t, r.dir)

	t.Run("a registry that was killed in the middle", func(t *testing.T) {
		r.budget.Store(5 << 20)
		pulled := make(chan error, 1)
		go func() {
			out, err := run("podman pull -q --retry 10 --retry-delay 1s " + ref)
			t.Log(out)
			pulled <- err
		}()
		select {
		case <-r.died:
		case err := <-pulled:
			t.Fatalf("it was never asked for much: %v", err)
		}
		r.budget.Store(-1)
		r.start()
		if err := <-pulled; err != nil {
			t.Error(err)
		}
		if out, err := run("podman run --rm --network=host " + ref + " id -u memcache"); err != nil || out != "612" {
			t.Errorf("container: %s, %v", out, err)
		}
	})

	t.Run("a blob that is not what it was", func(t *testing.T) {
		if out, err := run("podman rmi -f " + ref); err != nil {
			t.Fatal(out, err)
		}
		data, err := os.ReadFile(blob)
		if err != nil {
			t.Fatal(err)
		}
		data[len(data)/2] ^= 1
		if err := os.WriteFile(blob, data, 0o644); err != nil {
			t.Fatal(err)
		}
		if out, err := run("podman pull -q --retry 0 " + ref + " 2>&1"); err == nil {
			t.Errorf("it was believed: %s", out)
		}
		if out, err := run("podman image exists " + ref); err == nil {
			t.Errorf("it was kept: %s", out)
		}
	})
}

func largestBlob(t *testing.T, dir string) string {
	t.Helper()
	blobs, err := filepath.Glob(filepath.Join(dir, "blobs/sha256/*"))
	if err != nil || len(blobs) != 3 {
		t.Fatalf("blobs: %q, %v", blobs, err)
	}
	largest, size := "", int64(0)
	for _, b := range blobs {
		if st, err := os.Stat(b); err == nil && st.Size() > size {
			largest, size = b, st.Size()
		}
	}
	return largest
}
