// Package secrets is a key manager in a directory, for those who have no other:
// certificates with their keys, bundles of authorities and revocation lists.
//
// Every secret is a file of its own that age encrypts to the service's identity;
// it is replaced atomically, and keeps its ref, "local:NAME", so that a renewed
// certificate reaches the load balancers that use it. Neither lists nor errors
// quote what is secret.
package secrets

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/google/renameio/v2"

	"github.com/updraft-cloud/updraft/internal/lb/driver"
	"github.com/updraft-cloud/updraft/internal/secret"
)

var _ driver.Secrets = (*Store)(nil)

// Prefix begins the refs.
const Prefix = "local:"

const suffix = ".age"

var validName = regexp.MustCompile(`^[a-z0-9]+([._-][a-z0-9]+)*$`)

// maxName keeps a ref within what the API takes (contract §4.2: SNI refs ≤ 128).
const maxName = 100

// Store keeps secrets.
type Store struct {
	dir      string
	identity secret.Identity
}

// Open uses a directory, which is made when something is put into it.
func Open(dir string, identity secret.Identity) *Store { return &Store{dir, identity} }

// item is the plain text of a file.
type item struct {
	Certificate *driver.Certificate `json:"certificate,omitempty"`
	Data        []byte              `json:"data,omitempty"`
	Created     time.Time           `json:"created"`
}

// Entry is what may be known of a secret.
type Entry struct {
	Name    string    `json:"name"`
	Ref     string    `json:"ref"`
	Kind    string    `json:"kind"` // certificate or opaque
	Names   []string  `json:"names,omitempty"`
	Expires time.Time `json:"expires,omitzero"`
	Created time.Time `json:"created"`
}

func (s *Store) path(name string) (string, error) {
	if len(name) > maxName || !validName.MatchString(name) {
		return "", fmt.Errorf("cannot use %q as the name of a secret: use lower-case letters and digits, joined by dots, dashes and underscores", name)
	}
	return filepath.Join(s.dir, name+suffix), nil
}

// PutCertificate keeps a certificate and returns its ref. One of the same name is
// replaced.
func (s *Store) PutCertificate(name string, c *driver.Certificate) (ref string, err error) {
	return s.put(name, item{Certificate: c, Created: time.Now().UTC()})
}

// Put keeps anything else.
func (s *Store) Put(name string, data []byte) (ref string, err error) {
	if len(data) == 0 || len(data) > maxSize {
		return "", fmt.Errorf("cannot keep the secret %s: it has %d bytes, and may have 1 to %d", name, len(data), maxSize)
	}
	return s.put(name, item{Data: data, Created: time.Now().UTC()})
}

func (s *Store) put(name string, it item) (string, error) {
	path, err := s.path(name)
	if err != nil {
		return "", err
	}
	plain, err := json.Marshal(it)
	if err != nil {
		return "", err
	}
	var sealed bytes.Buffer
	w, err := s.identity.Seal(&sealed, time.Now())
	if err != nil {
		return "", err
	}
	if _, err := w.Write(plain); err != nil {
		return "", err
	}
	if err := w.Close(); err != nil {
		return "", err
	}
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return "", err
	}
	if err := renameio.WriteFile(path, sealed.Bytes(), 0o600); err != nil {
		return "", fmt.Errorf("cannot keep the secret %s: %w", name, err)
	}
	return Prefix + name, nil
}

// Remove forgets a secret.
func (s *Store) Remove(name string) error {
	path, err := s.path(name)
	if err != nil {
		return err
	}
	if err := os.Remove(path); errors.Is(err, fs.ErrNotExist) {
		return driver.NotFound("Secret", name)
	} else if err != nil {
		return err
	}
	return nil
}

// List returns what there is, by name.
func (s *Store) List() ([]Entry, error) {
	files, err := os.ReadDir(s.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var out []Entry
	for _, f := range files {
		name, ok := strings.CutSuffix(f.Name(), suffix)
		if !ok || !validName.MatchString(name) {
			continue
		}
		it, err := s.get(Prefix + name)
		if err != nil {
			return out, err
		}
		e := Entry{Name: name, Ref: Prefix + name, Kind: "opaque", Created: it.Created}
		if c := it.Certificate; c != nil {
			e.Kind, e.Names, e.Expires = "certificate", c.Names, c.NotAfter()
		}
		out = append(out, e)
	}
	return out, nil
}

func (s *Store) get(ref string) (*item, error) {
	name, ok := strings.CutPrefix(ref, Prefix)
	if !ok || !validName.MatchString(name) {
		return nil, driver.NotFound("Secret", ref)
	}
	f, err := os.Open(filepath.Join(s.dir, name+suffix))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, driver.NotFound("Secret", ref)
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	plain, err := s.identity.Unseal(f)
	if err != nil {
		return nil, fmt.Errorf("cannot read the secret %s: %w", name, err)
	}
	data, err := io.ReadAll(plain)
	if err != nil {
		return nil, fmt.Errorf("cannot read the secret %s: it is damaged", name)
	}
	var it item
	if json.Unmarshal(data, &it) != nil { // its error might quote the content
		return nil, fmt.Errorf("cannot read the secret %s: its content was not written by updraft", name)
	}
	return &it, nil
}

// Certificate fetches a certificate. A bundle that was kept as it is, is read now.
func (s *Store) Certificate(_ context.Context, ref string) (*driver.Certificate, error) {
	it, err := s.get(ref)
	if err != nil {
		return nil, err
	}
	if it.Certificate == nil {
		it.Certificate, err = Parse(it.Data, "")
		if err != nil {
			return nil, err
		}
	}
	it.Certificate.Ref = ref
	return it.Certificate, nil
}

// Secret fetches a plain secret; of a certificate it is the public part.
func (s *Store) Secret(_ context.Context, ref string) ([]byte, error) {
	it, err := s.get(ref)
	if err != nil {
		return nil, err
	}
	if c := it.Certificate; c != nil {
		return append(bytes.Clone(c.Certificate), c.Intermediates...), nil
	}
	return it.Data, nil
}
