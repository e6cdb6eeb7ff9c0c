package lab

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/updraft-cloud/updraft/internal/sshkey"
	"golang.org/x/sys/unix"
)

// ensureHostKey makes the machine's host key unless it has one, and returns the
// public key as known_hosts has it.
func ensureHostKey(upper, host string) (string, error) {
	dir := filepath.Join(upper, "etc/ssh")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	line, err := sshkey.Ensure(filepath.Join(dir, "ssh_host_ed25519_key"), "root@"+host)
	if err != nil {
		return "", fmt.Errorf("make host key: %w", err)
	}
	return keyOf(line)
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
