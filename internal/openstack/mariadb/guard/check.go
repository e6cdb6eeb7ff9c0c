package guard

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"sync"
	"time"

	etcdclient "github.com/updraft-cloud/updraft/internal/openstack/etcd/client"
)

// CheckPath is what HAProxy asks for.
const CheckPath = "/serves"

// CheckFall is how many checks in a row have to fail until HAProxy sends nobody any
// more.
const CheckFall = 2

// leftPath is what a server that leaves asks for: whether each HAProxy knows.
const leftPath = "/left"

// Check answers whether the server takes statements: 200, or 503 and why not. While
// the file leaving is there, it does not.
func Check(ask func(context.Context) (Status, error), leaving string) http.Handler {
	d := &door{leaving: leaving, askers: map[string]asker{}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+CheckPath, func(w http.ResponseWriter, r *http.Request) {
		if d.closed(r) {
			http.Error(w, "it is about to end", http.StatusServiceUnavailable)
			return
		}
		s, err := ask(r.Context())
		switch {
		case err != nil:
			http.Error(w, "it does not answer: "+err.Error(), http.StatusServiceUnavailable)
		case !s.Serves:
			http.Error(w, s.Text, http.StatusServiceUnavailable)
		default:
			fmt.Fprintln(w, s.Text)
		}
	})
	mux.HandleFunc("GET "+leftPath, func(w http.ResponseWriter, _ *http.Request) {
		if n := d.unaware(); n > 0 {
			http.Error(w, fmt.Sprintf("%d do not know yet", n), http.StatusServiceUnavailable)
		}
	})
	return mux
}

// door knows who asks for the server, and who has been told that it leaves.
type door struct {
	leaving string
	mu      sync.Mutex
	askers  map[string]asker // by address
}

type asker struct {
	last    time.Time
	refused int // times in a row
}

// askersTime is for how long somebody who asked is taken to do so still: HAProxy asks
// every two seconds.
const askersTime = 5 * time.Second

// closed reports whether the server leaves, and notes that who asks was told.
func (d *door) closed(r *http.Request) bool {
	_, err := os.Stat(d.leaving)
	host, _, _ := net.SplitHostPort(r.RemoteAddr)
	d.mu.Lock()
	defer d.mu.Unlock()
	a := asker{last: time.Now()}
	if err == nil {
		a.refused = d.askers[host].refused + 1
	}
	d.askers[host] = a
	return err == nil
}

// unaware is how many of those who ask have not been refused often enough.
func (d *door) unaware() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	n := 0
	for host, a := range d.askers {
		switch {
		case time.Since(a.last) > askersTime:
			delete(d.askers, host)
		case a.refused < CheckFall:
			n++
		}
	}
	return n
}

// Serve answers checks over TLS until the context ends. Who asks has to show a
// certificate of the authority. Both files are read again for each connection.
func Serve(ctx context.Context, address, leaf, ca string, h http.Handler) error {
	if _, err := etcdclient.Roots(ca); err != nil {
		return err
	}
	config := &tls.Config{
		MinVersion: tls.VersionTLS12,
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
			pair, err := tls.LoadX509KeyPair(leaf, leaf)
			if err != nil {
				return nil, err
			}
			roots, err := etcdclient.Roots(ca)
			return &tls.Config{
				MinVersion: tls.VersionTLS12, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: roots,
				Certificates: []tls.Certificate{pair},
			}, err
		},
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err != nil {
		return err
	}
	s := &http.Server{Handler: h, ReadHeaderTimeout: answerTime, IdleTimeout: time.Minute}
	stop := context.AfterFunc(ctx, func() { _ = s.Close() })
	defer stop()
	if err := s.Serve(tls.NewListener(l, config)); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
