package secret

import (
	"encoding/base64"

	"github.com/updraft-cloud/updraft/internal/secret/pki"
)

// Value is a secret, for a person who asked to see it.
type Value struct {
	Info
	// Secret is a password, a private key, bytes in base64, or the keys of a
	// key repository by index.
	Secret []string `json:"secret,omitempty"`
	// Public is the public half: a certificate, the authorities to trust, or
	// a public SSH key.
	Public string `json:"public,omitempty"`
}

// Reveal returns a secret with its value.
func (s *Store) Reveal(name string) (Value, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e, ok := s.entries[name]
	if !ok {
		return Value{}, s.unknown(name)
	}
	v := Value{Info: e.info(), Public: e.Public + e.Next + e.Older}
	switch e.Kind {
	case KindPassword:
		v.Secret = []string{e.Text}
	case KindBytes:
		v.Secret = []string{base64.StdEncoding.EncodeToString(e.Raw)}
	case KindFernet:
		v.Secret = append(v.Secret, e.Keys...)
	case KindCA:
		v.Secret = []string{e.Key + e.NextKey}
	case KindSSH, KindCertificate:
		v.Secret = []string{e.Key}
	}
	return v, nil
}

func (e *entry) info() Info {
	i := Info{Name: e.Name, Kind: e.Kind, Generation: e.Generation, Created: e.Created, SANs: append([]string(nil), e.SANs...)}
	if e.Kind == KindCA || e.Kind == KindCertificate {
		if left, err := pki.Left(e.Public, e.Created); err == nil {
			i.Expires = e.Created.Add(left)
		}
	}
	return i
}
