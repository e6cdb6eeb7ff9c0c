package lab

import (
	"bytes"
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

	"golang.org/x/sys/unix"
)

const keyType = "ssh-ed25519"

// newHostKey returns a private key as a file of OpenSSH (PROTOCOL.key in its
// sources) and the public key as "ssh-ed25519 BASE64".
func newHostKey(comment string) (private, public string, err error) {
	pub, priv, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return "", "", err
	}
	var check [4]byte
	if _, err := rand.Read(check[:]); err != nil {
		return "", "", err
	}
	blob := slices.Concat(sshString([]byte(keyType)), sshString(pub))
	secret := slices.Concat(check[:], check[:], blob, sshString(priv), sshString([]byte(comment)))
	for pad := byte(1); len(secret)%8 != 0; pad++ {
		secret = append(secret, pad)
	}
	none := sshString([]byte("none"))
	one := binary.BigEndian.AppendUint32(nil, 1)
	file := slices.Concat([]byte("openssh-key-v1\x00"), none, none, sshString(nil), one, sshString(blob), sshString(secret))
	private = string(pem.EncodeToMemory(&pem.Block{Type: "OPENSSH PRIVATE KEY", Bytes: file}))
	return private, keyType + " " + base64.StdEncoding.EncodeToString(blob), nil
}

// sshString is a string of RFC 4251, section 5.
func sshString(b []byte) []byte {
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(b))), b...)
}

// ensureHostKey makes the machine's host key unless it has one, and returns the
// public key. The public half is written last: without it both are made anew.
func ensureHostKey(upper, host string) (string, error) {
	path := filepath.Join(upper, "etc/ssh/ssh_host_ed25519_key")
	if b, err := os.ReadFile(path + ".pub"); err == nil {
		return keyOf(string(b))
	}
	private, public, err := newHostKey("root@" + host)
	if err != nil {
		return "", fmt.Errorf("make host key: %w", err)
	}
	if err := writeFile(path, private, 0o600); err != nil {
		return "", err
	}
	return public, writeFile(path+".pub", public+" root@"+host+"\n", 0o644)
}

// keyOf returns type and key of a public key line, without its comment.
func keyOf(line string) (string, error) {
	f := strings.Fields(line)
	if len(f) < 2 {
		return "", errors.New("host key file is not a public key")
	}
	return f[0] + " " + f[1], nil
}

// setKnownHost makes the line of the name in a known_hosts file the given key;
// an empty key removes it. Other lines stay as they are.
func setKnownHost(path, name, key string) error {
	unlock, err := lockFile(path)
	if err != nil {
		return fmt.Errorf("cannot write %s: %w", path, err)
	}
	defer unlock()
	old, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("cannot write %s: %w", path, err)
	}
	var b bytes.Buffer
	for line := range strings.Lines(string(old)) {
		if first, _, _ := strings.Cut(line, " "); first != name {
			b.WriteString(strings.TrimSuffix(line, "\n") + "\n")
		}
	}
	if key != "" {
		fmt.Fprintf(&b, "%s %s\n", name, key)
	}
	if bytes.Equal(b.Bytes(), old) {
		return nil
	}
	if err := os.WriteFile(path+".new", b.Bytes(), 0o600); err != nil {
		return fmt.Errorf("cannot write %s: %w", path, err)
	}
	return os.Rename(path+".new", path)
}

// lockFile locks the directory of a file against other processes.
func lockFile(path string) (func(), error) {
	f, err := os.Open(filepath.Dir(path))
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX); err != nil {
		f.Close()
		return nil, err
	}
	return func() { f.Close() }, nil
}
