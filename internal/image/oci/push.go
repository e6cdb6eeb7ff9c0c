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

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/remote"
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
	to, err := name.ParseReference(r.Host+"/updraft/"+strings.TrimPrefix(ref, LocalPrefix), name.StrictValidation)
	if err != nil {
		return err
	}
	transport, err := r.transport()
	if err != nil {
		return err
	}
	defer transport.CloseIdleConnections()
	opts := []remote.Option{
		remote.WithContext(ctx), remote.WithTransport(transport), remote.WithJobs(1),
		remote.WithAuth(&authn.Basic{Username: r.User, Password: r.Password}),
	}
	log("pushing %s", to)
	return remote.Write(to, image, opts...)
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

func (r Registry) transport() (*http.Transport, error) {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12}
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
