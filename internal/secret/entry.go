package secret

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/updraft-cloud/updraft/internal/secret/pki"
)

// Kind is what a secret is.
type Kind string

// The kinds of secrets.
const (
	KindPassword    Kind = "password"
	KindBytes       Kind = "bytes"
	KindFernet      Kind = "fernet"
	KindSSH         Kind = "ssh"
	KindCA          Kind = "ca"
	KindCertificate Kind = "certificate"
)

const (
	// version 2 came with authorities that are replaced in phases.
	version, oldest = 2, 1

	// CAName is the name under which the cloud's certificate authority is kept.
	CAName = "ca"

	maxName = 128
)

var validName = regexp.MustCompile(`^[a-z0-9]+([/._-][a-z0-9]+)*$`)

// entry is a secret. Which fields hold it depends on its kind.
type entry struct {
	Name       string    `json:"name"`
	Kind       Kind      `json:"kind"`
	Generation int       `json:"generation"` // from 1, one more with each new value
	Created    time.Time `json:"created"`    // this generation

	Text   string   `json:"text,omitempty"`   // password
	Raw    []byte   `json:"raw,omitempty"`    // bytes
	Keys   []string `json:"keys,omitempty"`   // fernet, by index
	Key    string   `json:"key,omitempty"`    // ssh, ca, certificate: the private half
	Public string   `json:"public,omitempty"` // ssh, ca, certificate: the public half
	Older  string   `json:"older,omitempty"`  // ca: earlier authorities that are still trusted
	// ca: the authority that is to follow, and how far that is (Phase).
	Next    string   `json:"next,omitempty"`
	NextKey string   `json:"next_key,omitempty"`
	Phase   Phase    `json:"phase,omitempty"`
	SANs    []string `json:"sans,omitempty"` // certificate
}

// check reports whether the entry could have been made by this package. The
// error names the entry at most.
func (e *entry) check() error {
	if len(e.Name) > maxName || !validName.MatchString(e.Name) {
		return errors.New("a secret has no proper name")
	}
	ok := e.Generation > 0 && !strings.Contains(e.Text+e.Key+e.Public+e.Next+e.NextKey+strings.Join(e.Keys, ""), placeholder)
	switch e.Kind {
	case KindPassword:
		ok = ok && e.Text != ""
	case KindBytes:
		ok = ok && len(e.Raw) > 0
	case KindFernet:
		ok = ok && len(e.Keys) == fernetKeys && !slices.Contains(e.Keys, "")
	case KindSSH:
		ok = ok && e.Key != "" && e.Public != ""
	case KindCA:
		ok = ok && e.Name == CAName && pki.Check(e.Public, e.Key) == nil && e.checkPhase()
	case KindCertificate:
		ok = ok && len(e.SANs) > 0 && pki.Check(e.Public, e.Key) == nil
	default:
		return fmt.Errorf("the secret %s is of a kind that this updraft does not know", e.Name)
	}
	if !ok {
		return fmt.Errorf("the secret %s is not complete", e.Name)
	}
	return nil
}

// values returns what of the entry must stay secret.
func (e *entry) values() [][]byte {
	var out [][]byte
	for _, s := range append([]string{e.Text, e.Key, e.NextKey, string(e.Raw)}, e.Keys...) {
		if s != "" {
			out = append(out, []byte(s))
		}
	}
	return out
}

// file is the plain text of secrets.age.
type file struct {
	Version int      `json:"version"`
	Entries []*entry `json:"entries"`
}

// encode is deterministic: entries are in the order of their names.
func encode(entries map[string]*entry) ([]byte, error) {
	f := file{Version: version, Entries: make([]*entry, 0, len(entries))}
	for _, name := range slices.Sorted(maps.Keys(entries)) {
		if err := entries[name].check(); err != nil {
			return nil, err
		}
		f.Entries = append(f.Entries, entries[name])
	}
	return json.Marshal(f)
}

// errForeign stands for the errors of encoding/json, which may quote values.
var errForeign = errors.New("its content was not written by updraft")

func decode(data []byte) (map[string]*entry, error) {
	var head struct {
		Version int `json:"version"`
	}
	if err := json.Unmarshal(data, &head); err != nil {
		return nil, errForeign
	}
	if head.Version < oldest || head.Version > version {
		return nil, fmt.Errorf("it has format %d and this updraft knows %d: use the updraft that wrote it", head.Version, version)
	}
	var f file
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&f); err != nil {
		return nil, errForeign
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, errForeign
	}
	entries := map[string]*entry{}
	for _, e := range f.Entries {
		if e == nil {
			return nil, errForeign
		}
		if err := e.check(); err != nil {
			return nil, err
		}
		if entries[e.Name] != nil {
			return nil, fmt.Errorf("it holds the secret %s twice", e.Name)
		}
		entries[e.Name] = e
	}
	return entries, nil
}
