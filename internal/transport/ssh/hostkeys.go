package ssh

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"

	"github.com/updraft-cloud/updraft/internal/retry"
	"github.com/updraft-cloud/updraft/internal/transport"
)

// hostFiles holds the known_hosts files that were read.
type hostFiles struct {
	mu    sync.Mutex
	files map[string]*hostFile
}

// hostFile is one known_hosts file.
type hostFile struct {
	path string

	mu          sync.Mutex
	stamp       stamp
	lookup      ssh.HostKeyCallback
	authorities bool // it has @cert-authority lines
}

// open returns the file of a target. A file that is missing is empty.
func (h *hostFiles) open(t transport.Target) (*hostFile, error) {
	if t.KnownHosts == "" {
		return nil, fmt.Errorf("cannot check the host key of %s: no known_hosts file is set", describe(t))
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	f := h.files[t.KnownHosts]
	if f == nil {
		f = &hostFile{path: t.KnownHosts}
		if h.files == nil {
			h.files = map[string]*hostFile{}
		}
		h.files[t.KnownHosts] = f
	}
	return f, f.load()
}

// load reads the file if it has changed since it was last read.
func (f *hostFile) load() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	now, err := stampOf(f.path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("cannot read known hosts: %w", err)
	}
	if f.lookup != nil && f.stamp == now {
		return nil
	}
	var files []string
	f.authorities = false
	if err == nil {
		files = []string{f.path}
		data, err := os.ReadFile(f.path)
		if err != nil {
			return fmt.Errorf("cannot read known hosts: %w", err)
		}
		f.authorities = bytes.Contains(data, []byte("@cert-authority"))
	}
	lookup, err := knownhosts.New(files...)
	if err != nil {
		return fmt.Errorf("cannot read known hosts: %w", err)
	}
	f.lookup, f.stamp = lookup, now
	return nil
}

// name returns what a target is called in known_hosts, with a port that is left
// out when it is 22. An alias stands alone, as in OpenSSH.
func name(t transport.Target) string {
	if t.HostKeyAlias != "" {
		return net.JoinHostPort(t.HostKeyAlias, "22")
	}
	return address(t)
}

// find looks a key up. The file is held by this process only while it does.
func (f *hostFile) find(t transport.Target, key ssh.PublicKey) error {
	f.mu.Lock()
	lookup := f.lookup
	f.mu.Unlock()
	return lookup(name(t), &net.TCPAddr{}, key)
}

// probe is a key that no host has.
type probe struct{}

func (probe) Type() string                        { return "probe" }
func (probe) Marshal() []byte                     { return []byte("probe") }
func (probe) Verify([]byte, *ssh.Signature) error { return errors.New("not a key") }

// want returns the lines of the file that are about the target.
func (f *hostFile) want(t transport.Target) []knownhosts.KnownKey {
	var ke *knownhosts.KeyError
	if errors.As(f.find(t, probe{}), &ke) {
		return ke.Want
	}
	return nil
}

// algorithms returns what to ask the host for: the kinds of key that are known,
// so that a host with several shows one that can be checked, then the others.
func (f *hostFile) algorithms(t transport.Target) []string {
	front := []string{}
	for _, k := range f.want(t) {
		for _, algorithm := range algorithmsOf(k.Key.Type()) {
			if !slices.Contains(front, algorithm) {
				front = append(front, algorithm)
			}
		}
	}
	var plain, certs []string
	for _, a := range ssh.SupportedAlgorithms().HostKeys {
		if strings.Contains(a, "-cert-") {
			certs = append(certs, a)
		} else {
			plain = append(plain, a)
		}
	}
	if len(front) == 0 {
		front = []string{ssh.KeyAlgoED25519} // the cheapest to check
	}
	plain = first(plain, front...)
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.authorities {
		return append(certs, plain...)
	}
	return plain
}

// algorithmsOf returns the signatures that a key of a type can make (RFC 8332).
func algorithmsOf(keyType string) []string {
	if keyType == ssh.KeyAlgoRSA {
		return []string{ssh.KeyAlgoRSASHA256, ssh.KeyAlgoRSASHA512}
	}
	return []string{keyType}
}

// check says whether the key is the target's. Its errors are permanent.
func (f *hostFile) check(t transport.Target, key ssh.PublicKey) error {
	err := f.find(t, key)
	var ke *knownhosts.KeyError
	var revoked *knownhosts.RevokedError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &revoked):
		return fmt.Errorf("cannot trust %s: its host key is revoked by %s:%d", describe(t), revoked.Revoked.Filename, revoked.Revoked.Line)
	case !errors.As(err, &ke):
		return fmt.Errorf("cannot trust %s: %w", describe(t), err)
	case len(ke.Want) > 0:
		return changed(t, key, ke.Want)
	case t.AcceptNew:
		return f.accept(t, key)
	}
	return fmt.Errorf("cannot trust %s: its host key %s is not in %s; if it is the right one, add it with `updraft ssh --accept-new-key %s`",
		describe(t), fingerprint(key), t.KnownHosts, t.Name)
}

func fingerprint(key ssh.PublicKey) string { return key.Type() + " " + ssh.FingerprintSHA256(key) }

// changed says where the other key stands, and how to accept the new one.
func changed(t transport.Target, key ssh.PublicKey, want []knownhosts.KnownKey) error {
	was := want[0]
	for _, k := range want {
		if k.Key.Type() == key.Type() {
			was = k
		}
	}
	return fmt.Errorf("cannot trust %s: %w: it shows %s, but %s:%d has %s; "+
		"if the host was installed anew, accept its key with `updraft ssh --accept-new-key %s` or "+
		"`ssh-keygen -R '%s' -f %s`; otherwise somebody may be between you and the host",
		describe(t), transport.ErrHostKeyChanged, fingerprint(key), was.Filename, was.Line, fingerprint(was.Key),
		t.Name, knownhosts.Normalize(name(t)), t.KnownHosts)
}

// accept adds the key of a host that is seen for the first time.
func (f *hostFile) accept(t transport.Target, key ssh.PublicKey) error {
	err := f.edit(func(old []byte) ([]byte, error) {
		if err := f.load(); err != nil {
			return nil, err
		}
		if want := f.want(t); len(want) > 0 { // somebody else was faster
			return nil, f.check(t, key)
		}
		if len(old) > 0 && old[len(old)-1] != '\n' {
			old = append(old, '\n')
		}
		return append(old, knownhosts.Line([]string{knownhosts.Normalize(name(t))}, key)+"\n"...), nil
	})
	if err != nil && !errors.Is(err, transport.ErrHostKeyChanged) {
		return fmt.Errorf("cannot accept the host key of %s: %w", describe(t), err)
	}
	return err
}

// Forget drops the keys of a target from its known_hosts file, so that the next
// connection may accept a new one. It reports how many lines were dropped.
func (d *Dialer) Forget(t transport.Target) (int, error) {
	t = withDefaults(t)
	f, err := d.hosts.open(t)
	if err != nil {
		return 0, err
	}
	dropped := 0
	err = f.edit(func(old []byte) ([]byte, error) {
		if err := f.load(); err != nil {
			return nil, err
		}
		lines := bytes.SplitAfter(old, []byte("\n"))
		for _, k := range f.want(t) {
			lines[k.Line-1] = nil
			dropped++
		}
		if dropped == 0 {
			return nil, nil
		}
		return bytes.Join(lines, nil), nil
	})
	if err != nil {
		return 0, fmt.Errorf("cannot forget the host key of %s: %w", describe(t), err)
	}
	return dropped, nil
}

// edit replaces the file's content by what change returns, or leaves it alone
// when that is nil. Other writers are kept out by a lock file beside it; readers
// see the old file or the new one.
func (f *hostFile) edit(change func(old []byte) ([]byte, error)) error {
	if err := os.MkdirAll(filepath.Dir(f.path), 0o700); err != nil {
		return err
	}
	lock, err := os.OpenFile(f.path+".lock", os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	defer lock.Close() // unlocks
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return fmt.Errorf("cannot lock %s: %w", lock.Name(), err)
	}
	old, err := os.ReadFile(f.path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	data, err := change(old)
	if err != nil || data == nil {
		return err
	}
	if err := replace(f.path, data); err != nil {
		return retry.Mark(err, retry.Permanent)
	}
	return f.load()
}
