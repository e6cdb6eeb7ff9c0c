package serve

import (
	"crypto/tls"
	"errors"
	"fmt"
	"sync/atomic"
)

// ServerTLS are the files of the API's own certificate; without any it is plain HTTP.
type ServerTLS struct{ Certificate, Key string }

// config reads the files for every connection, so that a certificate is replaced by
// replacing them. While they do not fit together the one before is used.
func (t ServerTLS) config() (*tls.Config, error) {
	if t == (ServerTLS{}) {
		return nil, nil
	}
	if t.Certificate == "" || t.Key == "" {
		return nil, errors.New("cannot serve by TLS: both a certificate and its key are needed")
	}
	var last atomic.Pointer[tls.Certificate]
	get := func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
		pair, err := tls.LoadX509KeyPair(t.Certificate, t.Key)
		if err != nil {
			if before := last.Load(); before != nil {
				return before, nil
			}
			return nil, fmt.Errorf("cannot read the certificate of the API: %w", err)
		}
		last.Store(&pair)
		return &pair, nil
	}
	if _, err := get(nil); err != nil { // a mistake shows now, not at the first connection
		return nil, err
	}
	return &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: get}, nil
}
