package oci

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"github.com/updraft-cloud/updraft/internal/drift"
)

// Registry says where images are pushed to.
type Registry struct {
	// Host is HOST:PORT.
	Host string
	// CA are the certificates, in PEM, that the registry's must go back to; those
	// of this computer when empty.
	CA string
	// User and Password let in who pushes.
	User, Password string
	// Dial makes connections, for registries that are not reached from here; nil
	// is the ordinary way.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// Push sends an image of the store to a registry. What the registry has already
// is not sent again.
func (b Builder) Push(ctx context.Context, r Registry, ref string, log Log) error {
	if err := b.EnsureLayout(ctx, ref, log); err != nil {
		return err
	}
	if err := b.push(ctx, r, ref, log); err != nil {
		return fmt.Errorf("cannot push %s to %s: %w", strings.TrimPrefix(ref, LocalPrefix), r.Host, err)
	}
	return nil
}

func (b Builder) push(ctx context.Context, r Registry, ref string, log Log) error {
	image, err := b.layoutImage(ref)
	if err != nil {
		return err
	}
	to, way, err := r.open(ref)
	if err != nil {
		return err
	}
	defer way.CloseIdleConnections()
	log("pushing %s", to)
	return remote.Write(to, image, remote.WithContext(ctx), remote.WithTransport(way), remote.WithJobs(1),
		remote.WithAuth(&authn.Basic{Username: r.User, Password: r.Password}))
}

// Pushed compares an image with what the registry has under its name. One that was
// not built here counts as pushed when it is there at all, and so does one that is
// older than what is there: a cloud does not go back because another computer has
// an old build.
func (b Builder) Pushed(ctx context.Context, r Registry, ref string) (drift.Report, error) {
	report, err := b.pushed(ctx, r, ref)
	if err != nil {
		return report, fmt.Errorf("cannot look for %s at %s: %w", strings.TrimPrefix(ref, LocalPrefix), r.Host, err)
	}
	return report, nil
}

func (b Builder) pushed(ctx context.Context, r Registry, ref string) (drift.Report, error) {
	at, way, err := r.open(ref)
	if err != nil {
		return drift.Report{}, err
	}
	defer way.CloseIdleConnections()
	once := remote.WithRetryBackoff(remote.Backoff{Steps: 1}) // who asks does so again
	there, err := remote.Get(at, remote.WithContext(ctx), remote.WithTransport(way), once)
	if isUnknown(err) {
		return drift.Missing(), nil
	}
	if err != nil {
		return drift.Report{}, err
	}
	here, ok, err := b.findLayout(ref)
	if err != nil || !ok || here.blobs[0] == there.Digest {
		return drift.Report{Status: drift.InSync}, err
	}
	image, err := there.Image()
	if err != nil {
		return drift.Report{}, err
	}
	newer, err := b.isNewer(here, image)
	if err != nil || !newer {
		return drift.Report{Status: drift.InSync}, err
	}
	return drift.Report{Status: drift.Differs, Changes: []drift.Change{{Attr: "digest", From: there.Digest.String(), To: here.blobs[0].String()}}}, nil
}

// isUnknown reports whether a registry said that it has no such image.
func isUnknown(err error) bool {
	var answer *transport.Error
	return errors.As(err, &answer) && answer.StatusCode == http.StatusNotFound
}

// isNewer compares the times of the youngest package.
func (b Builder) isNewer(here packed, there v1.Image) (bool, error) {
	mine, err := layout.Path(b.LayoutDir()).Image(here.blobs[0])
	if err != nil {
		return false, err
	}
	a, err := mine.ConfigFile()
	if err != nil {
		return false, err
	}
	c, err := there.ConfigFile()
	if err != nil {
		return false, err
	}
	return a.Created.After(c.Created.Time), nil
}

func (b Builder) layoutImage(ref string) (v1.Image, error) {
	i, ok, err := b.findLayout(ref)
	if err == nil && !ok {
		err = errors.New("it is not in the layout")
	}
	if err != nil {
		return nil, err
	}
	return layout.Path(b.LayoutDir()).Image(i.blobs[0])
}

// open returns what the registry calls an image, and a way to ask for it.
func (r Registry) open(ref string) (name.Reference, *overTLS, error) {
	at, err := name.ParseReference(r.Host+"/updraft/"+strings.TrimPrefix(ref, LocalPrefix), name.StrictValidation)
	if err != nil {
		return nil, nil, err
	}
	t, err := r.transport()
	return at, t, err
}

// overTLS refuses to speak without TLS: the client would try that at a private
// address, and then tell the password to whoever answers.
type overTLS struct{ http.Transport }

// RoundTrip implements [http.RoundTripper].
func (t *overTLS) RoundTrip(q *http.Request) (*http.Response, error) {
	if q.URL.Scheme != "https" {
		return nil, errors.New("images are not pushed without TLS")
	}
	return t.Transport.RoundTrip(q)
}

func (r Registry) transport() (*overTLS, error) {
	t := &overTLS{http.Transport{
		Proxy: http.ProxyFromEnvironment, TLSHandshakeTimeout: handshakeTimeout, TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12},
	}}
	if r.CA != "" {
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM([]byte(r.CA)) {
			return nil, errors.New("the registry's authority is no certificate in PEM")
		}
		t.TLSClientConfig.RootCAs = pool
	}
	if r.Dial != nil {
		t.DialContext, t.Proxy = r.Dial, nil
	}
	return t, nil
}

// handshakeTimeout is what a loaded computer takes many times over.
const handshakeTimeout = 10 * time.Second
