package bundle

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/google/renameio/v2"
)

// KeyName is the file of the key that signs, in updraft's state directory; the
// public half lies beside it with the suffix .pub. Both are PEM (PKCS #8, PKIX).
const KeyName = "bundle.key"

const publicSuffix = ".pub"

// Key returns the key of a state directory, which is made if there is none.
func Key(stateDir string) (ed25519.PrivateKey, error) {
	path := filepath.Join(stateDir, KeyName)
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return makeKey(path)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read the key for bundles: %w", err)
	}
	block, _ := pem.Decode(data)
	if block == nil {
		return nil, fmt.Errorf("cannot read the key for bundles: %s is no PEM file", path)
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("cannot read the key for bundles in %s: %w", path, err)
	}
	key, ok := parsed.(ed25519.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("cannot use the key for bundles in %s: it is no Ed25519 key", path)
	}
	return key, nil
}

func makeKey(path string) (ed25519.PrivateKey, error) {
	public, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	pub, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("cannot make the key for bundles: %w", err)
	}
	for _, f := range []struct {
		path, kind string
		der        []byte
		mode       fs.FileMode
	}{{path + publicSuffix, "PUBLIC KEY", pub, 0o644}, {path, "PRIVATE KEY", private, 0o600}} {
		text := pem.EncodeToMemory(&pem.Block{Type: f.kind, Bytes: f.der})
		if err := renameio.WriteFile(f.path, text, f.mode); err != nil {
			return nil, fmt.Errorf("cannot make the key for bundles: %w", err)
		}
	}
	return key, nil
}

// PublicKey reads a public key, as [Key] writes it.
func PublicKey(path string) (ed25519.PublicKey, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("cannot read the public key: %w", err)
	}
	block, _ := pem.Decode(data)
	if block == nil || block.Type != "PUBLIC KEY" {
		return nil, fmt.Errorf("cannot read the public key: %s is not PEM of type PUBLIC KEY", path)
	}
	parsed, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("cannot read the public key in %s: %w", path, err)
	}
	key, ok := parsed.(ed25519.PublicKey)
	if !ok {
		return nil, fmt.Errorf("cannot use the public key in %s: it is no Ed25519 key", path)
	}
	return key, nil
}
