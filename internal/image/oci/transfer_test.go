package oci

import (
	"bytes"
	"crypto/ed25519"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/updraft-cloud/updraft/internal/drift"
	"github.com/updraft-cloud/updraft/internal/image/bundle"
)

func aRecipe() Recipe { return Recipe{Name: "x", Suite: "trixie", Packages: []string{"aa"}} }

// exported returns a bundle with the prebuilt image, and the key that signed it.
func exported(t *testing.T) ([]byte, ed25519.PublicKey) {
	t.Helper()
	key, err := bundle.Key(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	var buf bytes.Buffer
	if err := prebuilt(t, aRecipe()).Export(t.Context(), &buf, []string{aRecipe().Ref("")}, key, t.Logf); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes(), key.Public().(ed25519.PublicKey)
}

func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root may give files away")
	}
}

func TestAnImageIsTheSameAfterItWasCarriedElsewhere(t *testing.T) {
	needRoot(t)
	data, key := exported(t)
	there := Builder{Dir: filepath.Join(t.TempDir(), "images")}
	refs, err := there.Import(t.Context(), bytes.NewReader(data), []ed25519.PublicKey{key}, t.Logf)
	if err != nil || !slices.Equal(refs, []string{aRecipe().Ref("")}) {
		t.Fatalf("%q, %v", refs, err)
	}
	if r, err := there.Observe(t.Context(), aRecipe()); err != nil || r.Status != drift.InSync {
		t.Errorf("%v, %v", r, err)
	}
	images, err := there.List()
	if err != nil || len(images) != 1 || images[0].Recipe != aRecipe().Digest() || images[0].Suite != "trixie" {
		t.Errorf("list: %+v, %v", images, err)
	}
	if _, err := os.Stat(images[0].SBOM); err != nil {
		t.Error(err)
	}
	again, _ := exported(t)
	var buf bytes.Buffer
	if err := there.Export(t.Context(), &buf, refs, mustKey(t), t.Logf); err != nil {
		t.Fatal(err)
	}
	if len(again) != buf.Len() {
		t.Errorf("exported again it has %d bytes, and had %d", buf.Len(), len(again))
	}
	if left, _ := filepath.Glob(filepath.Join(there.Dir, ".build-*[^k]")); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}

func mustKey(t *testing.T) ed25519.PrivateKey {
	t.Helper()
	key, err := bundle.Key(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func TestABundleThatWasChangedIsRefused(t *testing.T) {
	needRoot(t)
	data, key := exported(t)
	for at := 0; at < len(data); at += 97 {
		bad := bytes.Clone(data)
		bad[at] ^= 0x20
		there := Builder{Dir: filepath.Join(t.TempDir(), "images")}
		refs, err := there.Import(t.Context(), bytes.NewReader(bad), []ed25519.PublicKey{key}, t.Logf)
		if err == nil && !harmless(data, at) {
			t.Fatalf("byte %d was changed, and %q imported", at, refs)
		}
		if images, _ := there.List(); err != nil && len(images) > 0 {
			t.Fatalf("byte %d was changed: %v, but %+v are there", at, err, images)
		}
	}
}

// harmless says that the byte is padding, or in a header (times, modes, checksum
// aside) of which nothing is used: then what was imported is what was signed.
func harmless(data []byte, at int) bool {
	block := data[at/512*512:][:512]
	return bytes.Count(block, []byte{0}) > 100 && (block[at%512] == 0 || bytes.HasPrefix(block[257:], []byte("ustar")))
}

func TestOnlyTrustedKeysCount(t *testing.T) {
	data, _ := exported(t)
	there := Builder{Dir: filepath.Join(t.TempDir(), "images")}
	other := mustKey(t).Public().(ed25519.PublicKey)
	_, err := there.Import(t.Context(), bytes.NewReader(data), []ed25519.PublicKey{other}, t.Logf)
	if err == nil || !strings.Contains(err.Error(), "--key") {
		t.Errorf("got %v", err)
	}
	if images, err := there.List(); err != nil || len(images) > 0 {
		t.Errorf("%+v, %v", images, err)
	}
}

func TestWhatIsNotBuiltIsNotExported(t *testing.T) {
	b := Builder{Dir: t.TempDir()}
	err := b.Export(t.Context(), &bytes.Buffer{}, []string{aRecipe().Ref("")}, mustKey(t), t.Logf)
	if err == nil || !strings.Contains(err.Error(), "updraft image build") {
		t.Errorf("got %v", err)
	}
}

func TestPruneKeepsWhatItIsToldTo(t *testing.T) {
	keep, drop := aRecipe(), aRecipe()
	drop.Packages = []string{"bb"}
	b := prebuilt(t, keep)
	put(t, b, drop, "another text")
	b.Layouts = true
	for _, r := range []Recipe{keep, drop} {
		if err := b.Ensure(t.Context(), r, t.Logf); err != nil {
			t.Fatal(err)
		}
	}
	gone, err := b.Prune(t.Context(), func(ref string) bool { return ref == keep.Ref("") }, t.Logf)
	if err != nil || !slices.Equal(gone, []string{drop.Ref("")}) {
		t.Fatalf("%q, %v", gone, err)
	}
	if r, err := b.Observe(t.Context(), keep); err != nil || r.Status != drift.InSync {
		t.Errorf("what was to be kept: %v, %v", r, err)
	}
	for pattern, want := range map[string]int{
		"store/overlay/*/diff": 1, "store/overlay/l/*": 1, "store/overlay-images/*/manifest": 1, "layout/blobs/sha256/*": 3, "sbom/*": 1,
	} {
		if found, _ := filepath.Glob(filepath.Join(b.Dir, pattern)); len(found) != want {
			t.Errorf("%s: %q", pattern, found)
		}
	}
	if gone, err := b.Prune(t.Context(), func(string) bool { return true }, t.Logf); err != nil || len(gone) > 0 {
		t.Errorf("a second time: %q, %v", gone, err)
	}
	if gone, err := (Builder{Dir: filepath.Join(t.TempDir(), "none")}).Prune(t.Context(), nil, t.Logf); err != nil || len(gone) > 0 {
		t.Errorf("nothing was ever built: %q, %v", gone, err)
	}
}
