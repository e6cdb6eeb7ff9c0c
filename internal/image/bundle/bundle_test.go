package bundle_test

import (
	"archive/tar"
	"bytes"
	"crypto/ed25519"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/updraft-cloud/updraft/internal/image/bundle"
)

func key(t *testing.T) (ed25519.PrivateKey, ed25519.PublicKey) {
	t.Helper()
	k, err := bundle.Key(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return k, k.Public().(ed25519.PublicKey)
}

// packed returns a bundle of two files.
func packed(t *testing.T, k ed25519.PrivateKey) []byte {
	t.Helper()
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "d"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"a": "first", "d/b": "second"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	var buf bytes.Buffer
	if err := bundle.Write(&buf, dir, []string{"a", "d/b"}, []string{"two files"}, time.Unix(0, 0), k); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

// entry of an archive that is taken apart and put together otherwise.
type entry struct {
	h    *tar.Header
	data []byte
}

func take(t *testing.T, data []byte) []entry {
	t.Helper()
	var out []entry
	for r := tar.NewReader(bytes.NewReader(data)); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, entry{h, body})
	}
}

func join(t *testing.T, entries ...entry) []byte {
	t.Helper()
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	for _, e := range entries {
		h := *e.h
		h.Size = int64(len(e.data))
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(e.data); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

func TestWhatWasSignedIsRead(t *testing.T) {
	k, pub := key(t)
	dir := t.TempDir()
	m, err := bundle.Read(bytes.NewReader(packed(t, k)), dir, []ed25519.PublicKey{pub})
	if err != nil || len(m.Files) != 2 || m.Key != bundle.Fingerprint(pub) {
		t.Fatalf("%+v, %v", m, err)
	}
	if data, err := os.ReadFile(filepath.Join(dir, "d/b")); err != nil || string(data) != "second" {
		t.Errorf("%q, %v", data, err)
	}
	if !bytes.Equal(packed(t, k), packed(t, k)) {
		t.Error("the same files make another bundle")
	}
}

func TestWhatWasNotSignedIsRefused(t *testing.T) {
	k, pub := key(t)
	e := take(t, packed(t, k))
	changed := func(i int, data string) []entry {
		out := append([]entry{}, e...)
		out[i] = entry{e[i].h, []byte(data)}
		return out
	}
	renamed := func(i int, name string) []entry {
		out := append([]entry{}, e...)
		h := *e[i].h
		h.Name = name
		out[i] = entry{&h, e[i].data}
		return out
	}
	list := string(e[0].data)
	for rule, data := range map[string][]byte{
		"a file of another content": join(t, changed(2, "fjrst")...),
		"a longer file":             join(t, changed(2, "first!")...),
		"a shorter file":            join(t, changed(2, "firs")...),
		"a missing file":            join(t, e[:3]...),
		"one file more":             join(t, append(append([]entry{}, e...), e[3])...),
		"files in another order":    join(t, e[0], e[1], e[3], e[2]),
		"a changed list":            join(t, changed(0, strings.Replace(list, "two files", "two filez", 1))...),
		"a changed signature":       join(t, changed(1, strings.Repeat("x", 64))...),
		"no signature":              join(t, e[0], e[2], e[3]),
		"a short signature":         join(t, changed(1, "x")...),
		"a file under another name": join(t, renamed(2, "../a")...),
		"a signature over no list":  join(t, changed(0, "{}")...),
		"nothing":                   nil,
		"something else altogether": []byte(strings.Repeat("not a tar ", 200)),
		"an archive that was cut":   packed(t, k)[:3000],
	} {
		dir := t.TempDir()
		if m, err := bundle.Read(bytes.NewReader(data), dir, []ed25519.PublicKey{pub}); err == nil {
			t.Errorf("%s: %+v", rule, m)
		}
	}
}

func TestWhoseKeyItWasIsSaid(t *testing.T) {
	k, pub := key(t)
	_, other := key(t)
	_, err := bundle.Read(bytes.NewReader(packed(t, k)), t.TempDir(), []ed25519.PublicKey{other})
	if err == nil || !strings.Contains(err.Error(), bundle.Fingerprint(pub)) {
		t.Errorf("got %v", err)
	}
	if _, err := bundle.Read(bytes.NewReader(packed(t, k)), t.TempDir(), nil); err == nil {
		t.Error("a bundle was read without any key")
	}
}

func TestAFileDoesNotLeaveTheDirectory(t *testing.T) {
	k, pub := key(t)
	top := t.TempDir()
	dir := filepath.Join(top, "in")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(top, "x"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	var buf bytes.Buffer
	// Signed by somebody who is trusted, and still.
	if err := bundle.Write(&buf, dir, []string{"../x"}, nil, time.Unix(0, 0), k); err != nil {
		t.Fatal(err)
	}
	if _, err := bundle.Read(&buf, dir, []ed25519.PublicKey{pub}); err == nil {
		t.Error("it did")
	}
}

func TestTheKeyIsMadeOnceAndKept(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	first, err := bundle.Key(dir)
	if err != nil {
		t.Fatal(err)
	}
	again, err := bundle.Key(dir)
	if err != nil || !first.Equal(again) {
		t.Errorf("another key: %v", err)
	}
	st, err := os.Stat(filepath.Join(dir, bundle.KeyName))
	if err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", st.Mode(), err)
	}
	pub, err := bundle.PublicKey(filepath.Join(dir, bundle.KeyName+".pub"))
	if err != nil || !pub.Equal(first.Public()) {
		t.Errorf("public half: %v", err)
	}
	if _, err := bundle.PublicKey(filepath.Join(dir, bundle.KeyName)); err == nil {
		t.Error("a private key was taken for a public one")
	}
}

// TestOpenSSLAgrees checks the promise that no updraft is needed to check a bundle.
func TestOpenSSLAgrees(t *testing.T) {
	tool, err := exec.LookPath("openssl")
	if err != nil {
		t.Skip("openssl is not installed")
	}
	dir := t.TempDir()
	k, err := bundle.Key(dir)
	if err != nil {
		t.Fatal(err)
	}
	e := take(t, packed(t, k))
	for i, name := range []string{"list", "sig"} {
		if err := os.WriteFile(filepath.Join(dir, name), e[i].data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command(tool, "pkeyutl", "-verify", "-rawin", "-pubin", "-inkey", bundle.KeyName+".pub", "-in", "list", "-sigfile", "sig")
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
}
