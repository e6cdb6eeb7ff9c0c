package agent

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"github.com/updraft-cloud/updraft/internal/lb/amphora"
)

// identity is the certificate that the agent shows and the authority that it
// trusts. Both can be changed while it serves.
type identity struct {
	path string
	id   string
	boot string // the certificate that the agent was started with
	now  atomic.Pointer[credentials]
}

// handed is an identity that was handed over, and the one that the agent had been
// started with.
type handed struct {
	amphora.Identity
	Boot string `json:"boot"`
}

type credentials struct {
	certificate tls.Certificate
	authority   *x509.CertPool
}

// newIdentity prefers what was handed to an earlier agent that was started with the
// same. Which of two ends later says nothing: clocks are set.
func newIdentity(b Boot) (*identity, error) {
	i := &identity{path: filepath.Join(b.Dir, "identity.json"), id: b.AmphoraID, boot: b.Certificate}
	boot, err := i.parse(amphora.Identity{Certificate: b.Certificate, Key: b.Key, Authority: b.Authority})
	if err != nil {
		return nil, err
	}
	i.now.Store(boot)
	var kept handed
	data, err := os.ReadFile(i.path)
	if err != nil || json.Unmarshal(data, &kept) != nil || kept.Boot != b.Certificate {
		return i, nil //nolint:nilerr // none was handed over
	}
	if c, err := i.parse(kept.Identity); err == nil {
		i.now.Store(c)
	}
	return i, nil
}

func (i *identity) parse(id amphora.Identity) (*credentials, error) {
	pair, err := tls.X509KeyPair([]byte(id.Certificate), []byte(id.Key))
	if err != nil {
		return nil, fmt.Errorf("cannot use the agent's certificate: %w", err)
	}
	if cn := pair.Leaf.Subject.CommonName; cn != i.id {
		return nil, fmt.Errorf("cannot use a certificate of %q: this is %s", cn, i.id)
	}
	c := &credentials{certificate: pair, authority: x509.NewCertPool()}
	if block, _ := pem.Decode([]byte(id.Authority)); block == nil || !c.authority.AppendCertsFromPEM([]byte(id.Authority)) {
		return nil, errors.New("cannot use the authority of the controllers: it is no certificate")
	}
	return c, nil
}

// rotate uses another certificate from the next connection on.
func (i *identity) rotate(id amphora.Identity) error {
	c, err := i.parse(id)
	if err != nil {
		return err
	}
	data, err := json.Marshal(handed{id, i.boot})
	if err != nil {
		return err
	}
	if err := replace(i.path, data); err != nil {
		return err
	}
	i.now.Store(c)
	return nil
}

// config is for one connection.
func (i *identity) config(*tls.ClientHelloInfo) (*tls.Config, error) {
	c := i.now.Load()
	return &tls.Config{
		MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{c.certificate},
		ClientAuth: tls.RequireAnyClientCert, ClientCAs: c.authority, // named to the client, and verified here:
		VerifyConnection: amphora.Trust(c.authority, x509.ExtKeyUsageClientAuth, amphora.ControllerName),
	}, nil
}

// maxBody bounds a configuration: thousands of members and certificates.
const maxBody = 64 << 20

func (a *Agent) serve(ctx context.Context) error {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", a.boot.Listen)
	if err != nil {
		return err
	}
	a.log.Info("serving", "address", l.Addr().String(), "amphora", a.boot.AmphoraID)
	s := &http.Server{
		Handler: a.routes(), ReadHeaderTimeout: 10 * time.Second, ReadTimeout: time.Minute, IdleTimeout: 2 * time.Minute,
		ErrorLog: slog.NewLogLogger(a.log.Handler(), slog.LevelDebug),
	}
	ended := make(chan error, 1)
	go func() {
		ended <- s.Serve(tls.NewListener(l, &tls.Config{MinVersion: tls.VersionTLS13, GetConfigForClient: a.identity.config}))
	}()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	soon, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	return s.Shutdown(soon)
}

func (a *Agent) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("PUT "+amphora.PathConfig, a.putConfig)
	mux.HandleFunc("DELETE "+amphora.PathConfig, func(w http.ResponseWriter, r *http.Request) {
		respond(w, nil, a.release(context.WithoutCancel(r.Context())))
	})
	mux.HandleFunc("PUT "+amphora.PathIdentity, a.putIdentity)
	mux.HandleFunc("GET "+amphora.PathStatus, a.getStatus)
	return mux
}

func (a *Agent) putConfig(w http.ResponseWriter, r *http.Request) {
	data, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		fault(w, http.StatusBadRequest, err)
		return
	}
	c, err := amphora.Decode(data)
	if err != nil {
		fault(w, http.StatusBadRequest, err)
		return
	}
	// Who hangs up must not leave half of it.
	done, err := a.Apply(context.WithoutCancel(r.Context()), c)
	if err == nil {
		a.log.Info("configuration in effect", "version", done.Version, "by", done.By, "why", done.Why, "ms", done.TookMS, "vips", addresses(c.VIPs))
	}
	respond(w, done, err)
}

func (a *Agent) putIdentity(w http.ResponseWriter, r *http.Request) {
	var id amphora.Identity
	err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<20)).Decode(&id)
	if err == nil {
		err = a.identity.rotate(id)
	}
	if err != nil {
		fault(w, http.StatusBadRequest, err)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

func (a *Agent) getStatus(w http.ResponseWriter, r *http.Request) {
	b := a.status(r.Context())
	b.Seq = a.seq.Load()
	s := amphora.Status{Beat: b, NotAfter: a.identity.now.Load().certificate.Leaf.NotAfter.UTC().Format(time.RFC3339)}
	out, err := exec.CommandContext(r.Context(), a.boot.HAProxy, "-v").Output()
	first, _, _ := strings.Cut(string(out), "\n")
	s.HAProxy = first
	respond(w, s, err)
}

// respond answers with a document, or with what went wrong.
func respond(w http.ResponseWriter, doc any, err error) {
	switch refused := (*Refused)(nil); {
	case errors.As(err, &refused):
		fault(w, http.StatusUnprocessableEntity, err)
	case errors.Is(err, errOlder):
		fault(w, http.StatusConflict, err)
	case err != nil:
		fault(w, http.StatusInternalServerError, err)
	case doc == nil:
		w.WriteHeader(http.StatusNoContent)
	default:
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(doc) // who asked is gone
	}
}

func fault(w http.ResponseWriter, status int, err error) {
	f := amphora.Fault{Error: err.Error()}
	if refused := (*Refused)(nil); errors.As(err, &refused) {
		f.Output = refused.Output
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(f) // who asked is gone
}
