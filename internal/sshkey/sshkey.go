// Package sshkey makes Ed25519 key pairs in the formats of OpenSSH, with the
// standard library alone, so that providers can put keys in place without
// speaking SSH themselves.
package sshkey

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

const keyType = "ssh-ed25519"

// New returns a private key without a passphrase as a file of OpenSSH
// (PROTOCOL.key in its sources) and the public key as "ssh-ed25519 BASE64".
func New(comment string) (private, public string, err error) {
	pub, priv, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return "", "", err
	}
	var check [4]byte // twice the same: how a reader knows that it decrypted well
	if _, err := rand.Read(check[:]); err != nil {
		return "", "", err
	}
	blob := slices.Concat(text([]byte(keyType)), text(pub))
	secret := slices.Concat(check[:], check[:], blob, text(priv), text([]byte(comment)))
	for pad := byte(1); len(secret)%8 != 0; pad++ {
		secret = append(secret, pad)
	}
	none := text([]byte("none")) // cipher, key derivation
	one := binary.BigEndian.AppendUint32(nil, 1)
	file := slices.Concat([]byte("openssh-key-v1\x00"), none, none, text(nil), one, text(blob), text(secret))
	private = string(pem.EncodeToMemory(&pem.Block{Type: "OPENSSH PRIVATE KEY", Bytes: file}))
	return private, keyType + " " + base64.StdEncoding.EncodeToString(blob), nil
}

// text is a string of RFC 4251, section 5.
func text(b []byte) []byte {
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(b))), b...)
}

// Ensure returns the public key, as a line of authorized_keys, of the private
// key at path, which is made (mode 0600, with PATH.pub beside it) if neither is
// there. It never replaces a private key.
func Ensure(path, comment string) (public string, err error) {
	_, err = os.Lstat(path)
	if err == nil {
		data, err := os.ReadFile(path + ".pub")
		if errors.Is(err, fs.ErrNotExist) {
			return "", fmt.Errorf("%s has no %s.pub beside it; ssh-keygen -y makes one", path, filepath.Base(path))
		}
		return strings.TrimSpace(string(data)), err
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	private, public, err := New(comment)
	if err != nil {
		return "", err
	}
	public += " " + comment
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return "", err
	}
	// The private half goes last: without it, both are made anew.
	if err := replace(path+".pub", public+"\n", 0o644); err != nil {
		return "", err
	}
	return public, replace(path, private, 0o600)
}

// replace writes a file under another name and renames it into place.
func replace(path, content string, mode fs.FileMode) error {
	f, err := os.OpenFile(path+".new", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, mode)
	if err != nil {
		return err
	}
	_, err = f.WriteString(content)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
