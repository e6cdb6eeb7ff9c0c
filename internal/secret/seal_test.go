package secret_test

import (
	"bytes"
	"io"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/updraft-cloud/updraft/internal/secret"
)

func seal(t *testing.T, id secret.Identity, text string) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := id.Seal(&b, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(w, text); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func unseal(id secret.Identity, data []byte) (string, error) {
	r, err := id.Unseal(bytes.NewReader(data))
	if err != nil {
		return "", err
	}
	text, err := io.ReadAll(r)
	return string(text), err
}

func TestWhatIsSealedIsReadWithTheIdentityAlone(t *testing.T) {
	dir := t.TempDir()
	own, other := secret.Identity{Path: filepath.Join(dir, "own")}, secret.Identity{Path: filepath.Join(dir, "other")}
	text := strings.Repeat("not for everybody ", 10_000)
	data := seal(t, own, text)
	if got, err := unseal(own, data); err != nil || got != text {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	if bytes.Contains(data, []byte("everybody")) {
		t.Error("it is not encrypted")
	}
	if _, err := unseal(other, data); err == nil {
		t.Error("it was read without an identity")
	}
	seal(t, other, "") // makes it
	if _, err := unseal(other, data); err == nil || !strings.Contains(err.Error(), "encrypted to another key") {
		t.Errorf("with another identity: %v", err)
	}
}

func TestWhatWasSealedAndIsNotWholeIsRefused(t *testing.T) {
	id := secret.Identity{Path: filepath.Join(t.TempDir(), "own")}
	data := seal(t, id, strings.Repeat("x", 200_000))
	for _, n := range []int{0, 10, len(data) / 2, len(data) - 1} {
		if _, err := unseal(id, data[:n]); err == nil {
			t.Errorf("%d of %d bytes were taken", n, len(data))
		}
	}
	data[len(data)/2] ^= 1
	if _, err := unseal(id, data); err == nil {
		t.Error("a changed byte was taken")
	}
}
