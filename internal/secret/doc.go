// Package secret keeps the secrets of one cloud: passwords, keys, the cloud's
// certificate authority and what that has issued.
//
// It guarantees that a secret is made once, on first demand, at random, and
// stays the same to the byte until it is rotated, or, for a certificate, until
// it must be issued anew. At rest secrets lie in one file that age encrypts
// (https://age-encryption.org/v1) to an identity in another place; the file is
// replaced atomically and durably, and never over what another process wrote
// meanwhile. Nothing is ever overwritten that could not be read. Errors and
// lists name secrets and never quote them.
//
// A [Store] makes what is missing and can be saved. A [Planned] answers the same
// questions for a plan: what exists is real, what does not is a placeholder
// that is the same every time. It has no way to be saved, and every parser of
// keys and certificates refuses its placeholders.
package secret

import "github.com/updraft-cloud/updraft/internal/secret/pki"

// Source gives secrets by name. The first call for a name decides its kind.
//
// Names are words of lower-case letters and digits, joined by one of "/", ".",
// "_" and "-", such as "keystone/admin".
//
// The methods return no errors, so that configuration can be written as one
// expression. The first fault is kept: from then on results may be empty, Err
// returns the fault, and a Store refuses to be saved.
type Source interface {
	// Password returns a password: 26 characters of A–Z and 2–7, at least
	// 128 bits of entropy. It needs no quoting in URLs, INI files or shells.
	Password(name string) string
	// Bytes returns n random bytes, the same n for a name every time.
	Bytes(name string, n int) []byte
	// FernetKeys returns a key repository as Keystone has them for tokens and
	// for credentials: the element at index i is the content of file i. The
	// highest is the primary key, 0 is the one staged to follow it.
	FernetKeys(name string) []string
	// SSHKey returns an Ed25519 key pair: the private key as a file of
	// OpenSSH, the public one as "ssh-ed25519 BASE64".
	SSHKey(name string) (private, public string)
	// CA returns the cloud's certificate authority.
	CA() pki.Authority
	// Certificate returns a certificate of the cloud's authority for the given
	// IP addresses and DNS names, and its key, both as PEM. Both are new when
	// the names or the authority change and when less than a third of the
	// certificate's life is left.
	Certificate(name string, sans ...string) (cert, key string)
	// Phase is how far the replacement of the authority is.
	Phase() Phase
	// Renewals are the certificates that were replaced so far because their end
	// was near, in the order of names: in a Planned, those that the next run
	// replaces.
	Renewals() []Renewal
	// Err returns the first fault.
	Err() error
}

var (
	_ Source = (*Store)(nil)
	_ Source = (*Planned)(nil)
)
