// Package localweb shows web sites of a cloud to browsers on this computer.
//
// A [Site] answers plain HTTP on a loopback address and asks the real site over
// TLS, whose certificate is verified. So a browser that knows nothing of the
// cloud's authority has no question to ask, and what is not encrypted does not
// leave this computer. What the two sides call things is translated both ways: the
// name of the host, where a form came from, redirects, cookies, and links in pages
// to other sites that are shown in the same way. Websockets pass, too.
//
// What protects the real site from other pages in the same browser is kept: only
// requests that name this computer are answered (DNS rebinding), and an Origin
// other than the site itself is passed on as it is, for the site to refuse.
package localweb

import (
	"context"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"time"
)

// Site is one web site of the cloud and where it is shown.
type Site struct {
	// Listener is where browsers connect to.
	Listener net.Listener
	// Remote is the site's scheme and host.
	Remote *url.URL
	// Transport connects to it.
	Transport http.RoundTripper
	// Links are other sites to which pages have links.
	Links []Link
	// Failed hears of requests that the site did not answer. It may be called
	// concurrently.
	Failed func(error)
}

// Link is another site of the cloud that is shown on a port of this computer.
type Link struct {
	Origin string // as pages have it, such as https://10.0.0.10:6080
	Port   uint16
}

// headerTimeout is how long a browser may take to send a request's header.
const headerTimeout = 30 * time.Second

// Serve shows the site until the context ends, which is no error. Requests and
// websockets that are open then are cut off.
func (s *Site) Serve(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // websockets are no longer the server's, but they have this context
	server := &http.Server{
		Handler: s, ReadHeaderTimeout: headerTimeout, ErrorLog: silent(),
		BaseContext: func(net.Listener) context.Context { return ctx },
	}
	stop := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stop()
	if err := server.Serve(s.Listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// silent is for connections that break off: browsers do it all the time.
func silent() *log.Logger { return log.New(io.Discard, "", 0) }

// ServeHTTP answers one request.
func (s *Site) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !thisComputer(r.Host) {
		http.Error(w, "updraft: "+r.Host+" is not what is shown here", http.StatusMisdirectedRequest)
		return
	}
	v := visit{site: s, host: r.Host}
	proxy := httputil.ReverseProxy{
		Rewrite: v.ask, ModifyResponse: v.answer, ErrorHandler: v.failed,
		Transport: s.Transport, FlushInterval: -1, ErrorLog: silent(),
	}
	proxy.ServeHTTP(w, r)
}

// thisComputer tells names that always mean the computer itself from others, to
// which anybody could give its address.
//
// Source: RFC 6761, section 6.3.
func thisComputer(host string) bool {
	name := hostname(host)
	if ip := net.ParseIP(name); ip != nil {
		return ip.IsLoopback()
	}
	name = strings.ToLower(name)
	return name == "localhost" || strings.HasSuffix(name, ".localhost")
}

// hostname is a Host header without its port.
func hostname(host string) string { return (&url.URL{Host: host}).Hostname() }
