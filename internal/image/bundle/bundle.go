// Package bundle packs files into one signed archive, to be carried to where no
// network leads.
//
// It guarantees that [Read] hands over nothing that was not in the archive when
// it was signed by a key that the caller trusts: the first entry lists every file
// with its length and SHA-256 sum, the second is an Ed25519 signature (RFC 8032)
// of the first, and every file is held against the list while it is unpacked.
// What is missing, changed, doubled or not listed is an error, and so is anything
// after the end.
//
// The archive is a tar (pax). Its two first entries and the files can be looked at
// and checked with tar, sha256sum and openssl alone.
package bundle

import (
	"archive/tar"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"
)

const (
	manifestName  = "updraft-bundle.json"
	signatureName = "updraft-bundle.sig"
	version       = 1
	// maxManifest bounds what is read before the signature is checked, in bytes.
	maxManifest = 16 << 20
)

// Manifest is what is signed.
type Manifest struct {
	Version int       `json:"version"`
	Created time.Time `json:"created"`
	// Key is the fingerprint of the key that signed, to name it in messages.
	Key string `json:"key"`
	// Titles say what is in the archive, for people.
	Titles []string `json:"titles"`
	Files  []File   `json:"files"`
}

// File is one that the archive holds.
type File struct {
	// Name is relative, with slashes.
	Name   string `json:"name"`
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"`
}

// Fingerprint names a key: the first 16 bytes of the SHA-256 sum of it.
func Fingerprint(key ed25519.PublicKey) string {
	sum := sha256.Sum256(key)
	return hex.EncodeToString(sum[:16])
}

// Write packs the named files of dir into an archive that key signs.
func Write(w io.Writer, dir string, names, titles []string, created time.Time, key ed25519.PrivateKey) error {
	m := Manifest{Version: version, Created: created.UTC().Truncate(time.Second), Titles: titles, Key: Fingerprint(key.Public().(ed25519.PublicKey))}
	for _, name := range names {
		f, err := describe(dir, name)
		if err != nil {
			return fmt.Errorf("cannot pack %s: %w", name, err)
		}
		m.Files = append(m.Files, f)
	}
	data, err := json.MarshalIndent(m, "", " ")
	if err != nil {
		return err
	}
	t := tar.NewWriter(w)
	for _, e := range []struct {
		name string
		data []byte
	}{{manifestName, data}, {signatureName, ed25519.Sign(key, data)}} {
		if err := t.WriteHeader(header(e.name, int64(len(e.data)), m.Created)); err != nil {
			return err
		}
		if _, err := t.Write(e.data); err != nil {
			return err
		}
	}
	for _, f := range m.Files {
		if err := pack(t, dir, f, m.Created); err != nil {
			return fmt.Errorf("cannot pack %s: %w", f.Name, err)
		}
	}
	return t.Close()
}

func header(name string, size int64, at time.Time) *tar.Header {
	return &tar.Header{Typeflag: tar.TypeReg, Name: name, Size: size, Mode: 0o644, ModTime: at, Format: tar.FormatPAX}
}

func describe(dir, name string) (File, error) {
	f, err := os.Open(filepath.Join(dir, filepath.FromSlash(name)))
	if err != nil {
		return File{}, err
	}
	defer f.Close()
	h := sha256.New()
	n, err := io.Copy(h, f)
	return File{Name: name, Size: n, SHA256: hex.EncodeToString(h.Sum(nil))}, err
}

func pack(t *tar.Writer, dir string, f File, at time.Time) error {
	src, err := os.Open(filepath.Join(dir, filepath.FromSlash(f.Name)))
	if err != nil {
		return err
	}
	defer src.Close()
	if err := t.WriteHeader(header(f.Name, f.Size, at)); err != nil {
		return err
	}
	_, err = io.Copy(t, src)
	return err
}

// Read unpacks an archive into the empty directory dir if one of the keys signed
// it, and returns its list.
func Read(r io.Reader, dir string, keys []ed25519.PublicKey) (Manifest, error) {
	m, err := read(r, dir, keys)
	if err != nil {
		return m, fmt.Errorf("cannot read the bundle: %w", err)
	}
	return m, nil
}

func read(r io.Reader, dir string, keys []ed25519.PublicKey) (Manifest, error) {
	t := tar.NewReader(r)
	data, err := entry(t, manifestName)
	if err != nil {
		return Manifest{}, err
	}
	sig, err := entry(t, signatureName)
	if err != nil {
		return Manifest{}, err
	}
	m, err := verify(data, sig, keys)
	if err != nil {
		return m, err
	}
	return m, unpack(t, dir, m)
}

// entry returns the next entry, which must have that name.
func entry(t *tar.Reader, name string) ([]byte, error) {
	h, err := t.Next()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if h.Name != name || h.Size > maxManifest {
		return nil, fmt.Errorf("it begins with %q (%d bytes) in place of %s", h.Name, h.Size, name)
	}
	return io.ReadAll(t)
}

// verify checks the signature before it looks at what was signed.
func verify(data, sig []byte, keys []ed25519.PublicKey) (Manifest, error) {
	var m Manifest
	good := slices.ContainsFunc(keys, func(k ed25519.PublicKey) bool { return ed25519.Verify(k, data, sig) })
	err := json.Unmarshal(data, &m)
	switch {
	case !good && err == nil && !slices.ContainsFunc(keys, func(k ed25519.PublicKey) bool { return Fingerprint(k) == m.Key }):
		return Manifest{}, fmt.Errorf("it says that key %s signed it, which is not trusted here: give that key's public half with --key", printable(m.Key))
	case !good:
		return Manifest{}, errors.New("its signature is wrong: it was changed after it was signed")
	case err != nil:
		return Manifest{}, err
	case m.Version != version:
		return Manifest{}, fmt.Errorf("it is of version %d, and this updraft knows %d", m.Version, version)
	}
	return m, nil
}

// printable takes a fingerprint from a list that nobody has vouched for.
func printable(s string) string {
	if _, err := hex.DecodeString(s); err != nil || len(s) != 32 {
		return "(unreadable)"
	}
	return s
}

// unpack takes the files in the order of the list.
func unpack(t *tar.Reader, dir string, m Manifest) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	for _, f := range m.Files {
		h, err := t.Next()
		if err != nil {
			return fmt.Errorf("%s is missing: %w", f.Name, err)
		}
		if h.Name != f.Name || h.Typeflag != tar.TypeReg {
			return fmt.Errorf("it has %q where %s should be", h.Name, f.Name)
		}
		if err := take(root, t, f); err != nil {
			return err
		}
	}
	if _, err := t.Next(); !errors.Is(err, io.EOF) {
		return errors.New("there is something after its end")
	}
	return nil
}

func take(root *os.Root, r io.Reader, f File) error {
	name := filepath.FromSlash(f.Name)
	if err := root.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		return err
	}
	dst, err := root.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	h := sha256.New()
	n, err := io.Copy(io.MultiWriter(dst, h), r)
	if err := errors.Join(err, dst.Close()); err != nil {
		return err
	}
	if n != f.Size || hex.EncodeToString(h.Sum(nil)) != f.SHA256 {
		return fmt.Errorf("%s is not what was signed", f.Name)
	}
	return nil
}
