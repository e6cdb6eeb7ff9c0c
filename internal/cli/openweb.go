package cli

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/updraft-cloud/updraft/internal/localweb"
	"github.com/updraft-cloud/updraft/internal/openstack/stack"
	"github.com/updraft-cloud/updraft/internal/secret"
)

// shownHere are what open shows as web sites of this computer.
func shownHere() []string { return []string{"horizon", "console"} }

// openWeb shows the target on the listener until the context ends. Pages of other
// sites than consoles may have links to consoles: these are shown on another port.
func (s *session) openWeb(ctx context.Context, target *url.URL, l net.Listener) error {
	transport, err := s.webTransport()
	if err != nil {
		return err
	}
	defer transport.CloseIdleConnections()
	site := func(l net.Listener, remote *url.URL, links ...localweb.Link) *localweb.Site {
		return &localweb.Site{Listener: l, Remote: remote, Transport: transport, Links: links, Failed: s.webFailed}
	}
	sites := []*localweb.Site{site(l, target)}
	if consoles := consolesOf(s.cloud.OpenStack.UserAddress()); target.Host != consoles.Host {
		other, err := listenHere(ctx, 0)
		if err != nil {
			return err
		}
		defer func() { _ = other.Close() }() // as the first
		link := localweb.Link{Origin: consoles.String(), Port: netip.MustParseAddrPort(other.Addr().String()).Port()}
		sites = []*localweb.Site{site(l, target, link), site(other, consoles)}
	}
	shown := *target
	shown.Scheme = "http"
	if err := s.a.showForward(localURL(&shown, l.Addr())); err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	for _, site := range sites {
		g.Go(func() error { return site.Serve(ctx) })
	}
	return g.Wait()
}

func (s *session) webFailed(err error) { fmt.Fprintf(s.a.err, "updraft: %v\n", err) }

// consolesOf is where servers' consoles are.
func consolesOf(vip netip.Addr) *url.URL {
	return &url.URL{Scheme: "https", Host: netip.AddrPortFrom(vip, stack.ConsolePort).String()}
}

// webTimeout bounds a TLS handshake, and how long a connection is kept that nothing
// uses.
const webTimeout = 30 * time.Second

// webTransport speaks to sites in the cloud's networks, whose certificates are of
// the cloud's authority, or of one that this computer trusts. Websockets are not
// in the HTTP/2 that servers speak: HTTP/1.1 it is.
func (s *session) webTransport() (*http.Transport, error) {
	store, err := secret.Open(s.a.secretOptions(s.cloud.Name))
	if err != nil {
		return nil, err
	}
	ca, err := store.Reveal(secret.CAName)
	if err != nil {
		return nil, errNotMade
	}
	roots, err := x509.SystemCertPool()
	if err != nil {
		roots = x509.NewCertPool()
	}
	if !roots.AppendCertsFromPEM([]byte(ca.Public)) {
		return nil, errors.New("cannot verify who answers: the cloud's authority has no certificate")
	}
	return &http.Transport{
		TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots},
		DialContext: func(ctx context.Context, _, addr string) (net.Conn, error) {
			return s.dial(ctx, "tcp", s.address(addr))
		},
		TLSHandshakeTimeout: webTimeout, IdleConnTimeout: webTimeout,
		DisableCompression: true, // what browsers ask for is passed on
	}, nil
}
