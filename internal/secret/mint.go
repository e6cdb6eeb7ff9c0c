package secret

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"strings"
	"time"

	"github.com/updraft-cloud/updraft/internal/secret/pki"
	"github.com/updraft-cloud/updraft/internal/sshkey"
)

const (
	// fernetKeys is how many keys a repository has: one staged, one primary
	// and the primary before it (max_active_keys = 3, Keystone's default).
	fernetKeys = 3
	fernetSize = 32 // bytes: 128 bits to sign, 128 to encrypt
)

// mint makes the values of secrets.
type mint interface {
	password(name string) string
	bytes(name string, n int) []byte
	fernetKey(name string) string
	sshKey(name string) (private, public string, err error)
	authority(commonName string, now time.Time) (pki.Authority, error)
	certificate(ca pki.Authority, name string, sans []string, now time.Time) (cert, key string, err error)
}

// random makes real secrets.
type random struct{}

func (random) password(string) string { return rand.Text() }

func (random) bytes(_ string, n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b) // it never fails: crypto/rand
	return b
}

func (r random) fernetKey(name string) string {
	return base64.URLEncoding.EncodeToString(r.bytes(name, fernetSize))
}

func (random) sshKey(name string) (private, public string, err error) {
	return sshkey.New("updraft " + name)
}

func (random) authority(commonName string, now time.Time) (pki.Authority, error) {
	return pki.NewAuthority(commonName, now)
}

func (random) certificate(ca pki.Authority, name string, sans []string, now time.Time) (cert, key string, err error) {
	return ca.Issue(name, sans, now)
}

// placeholder begins every placeholder that is a text.
const placeholder = "PLACEHOLDER"

// stand makes placeholders. They follow from the name alone.
type stand struct{}

// IsPlaceholder reports whether a text holds a placeholder of a [Planned]: what
// is about to be written to a host must not.
func IsPlaceholder(text string) bool { return strings.Contains(text, placeholder) }

func (s stand) password(name string) string {
	const size = 15 // with the mark in front as long as a real one
	return placeholder + base32.StdEncoding.EncodeToString(s.bytes(name, size))[:size]
}

func (stand) bytes(name string, n int) []byte {
	var out []byte
	for i := 0; len(out) < n; i++ {
		sum := sha256.Sum256(fmt.Appendf(nil, "%s %s %d", placeholder, name, i))
		out = append(out, sum[:]...)
	}
	return out[:n]
}

func (s stand) fernetKey(name string) string {
	const size = 24 // with the mark in front as long as a real one
	return placeholder + base64.URLEncoding.EncodeToString(s.bytes(name, size)) + "="
}

func (s stand) sshKey(name string) (private, public string, err error) {
	return s.pem(name + " key"), "ssh-ed25519 " + s.password(name), nil
}

func (s stand) authority(commonName string, _ time.Time) (pki.Authority, error) {
	return pki.Public(s.pem(commonName)), nil
}

func (s stand) certificate(_ pki.Authority, name string, sans []string, _ time.Time) (cert, key string, err error) {
	return s.pem(name + " " + strings.Join(sans, " ")), s.pem(name + " key"), nil
}

// pem is a block that no parser of certificates or keys takes.
func (s stand) pem(name string) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: placeholder, Bytes: s.bytes(name, 32)}))
}
