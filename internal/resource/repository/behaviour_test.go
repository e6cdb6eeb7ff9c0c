package repository_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/updraft-cloud/updraft/internal/resource"
	"github.com/updraft-cloud/updraft/internal/resource/repository"
)

var full = &repository.Resource{
	Name: "full", URIs: []string{"https://example.org/debian", "http://mirror.example.org/debian"}, Suites: []string{"trixie", "trixie-updates"},
	Components: []string{"main", "contrib"}, Architectures: []string{"amd64", "arm64"}, Disabled: true,
}

func TestGolden(t *testing.T) {
	for name, got := range map[string]string{
		"full.sources": full.Deb822("/etc/apt/keyrings/updraft-full.asc"),
		"full.repo":    full.Repo("/etc/pki/rpm-gpg/RPM-GPG-KEY-updraft-full"),
	} {
		want, err := os.ReadFile("testdata/" + name)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), got); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

// apt itself tells what it would fetch from the source.
func TestAptReadsTheSource(t *testing.T) {
	if _, err := exec.LookPath("apt-get"); err != nil {
		if strings.Contains(os.Getenv("REQUIRE"), "lab") {
			t.Fatal("REQUIRE=lab, and there is no apt-get")
		}
		t.Skip("no apt-get")
	}
	dir := t.TempDir()
	enabled := *full
	enabled.Disabled = false
	for _, d := range []string{"parts", "lists/partial", "cache/archives/partial"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	text := strings.ReplaceAll(enabled.Deb822("/etc/apt/keyrings/updraft-full.asc"), "Signed-By: /etc/apt/keyrings/updraft-full.asc\n", "")
	if err := os.WriteFile(filepath.Join(dir, "parts", "full.sources"), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("apt-get", "-o", "Dir::Etc::sourcelist=/dev/null", "-o", "Dir::Etc::sourceparts="+dir+"/parts",
		"-o", "Dir::State::lists="+dir+"/lists", "-o", "Dir::Cache="+dir+"/cache", "-o", "Debug::NoLocking=1",
		"update", "--print-uris")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for _, want := range []string{"'https://example.org/debian/dists/trixie/InRelease'", "'http://mirror.example.org/debian/dists/trixie-updates/InRelease'"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("apt would not fetch %s:\n%s", want, out)
		}
	}
}

func TestFaultsOfFields(t *testing.T) {
	ok := repository.Resource{Name: "x", URIs: []string{"http://example.org"}, Trusted: true}
	for _, c := range []struct {
		reason, field string
		change        func(*repository.Resource)
	}{
		{"a name is a file's", "name", func(r *repository.Resource) { r.Name = "../x" }},
		{"a URI is one line", "uris", func(r *repository.Resource) { r.URIs = []string{"http://a\nTrusted: yes"} }},
		{"a URI has a scheme", "uris", func(r *repository.Resource) { r.URIs = []string{"example.org"} }},
		{"a URI has no password", "uris", func(r *repository.Resource) { r.URIs = []string{"https://me:secret@example.org"} }},
		{"there is a URI", "uris", func(r *repository.Resource) { r.URIs = nil }},
		{"a suite is a word", "suites", func(r *repository.Resource) { r.Suites = []string{"a b"} }},
		{"something verifies packages", "key", func(r *repository.Resource) { r.Trusted = false }},
		{"a key is public", "key", func(r *repository.Resource) {
			r.Trusted, r.SigningKey = false, "-----BEGIN PGP PRIVATE KEY BLOCK-----\nx\n-----END PGP PRIVATE KEY BLOCK-----"
		}},
		{"a key is a key", "key", func(r *repository.Resource) { r.Trusted, r.SigningKey = false, "aGVsbG8=" }},
		{"a key makes trust needless", "trusted", func(r *repository.Resource) { r.SigningKey = "mDMEY865UxYJKwYBBAHaRw8B" }},
	} {
		t.Run(c.reason, func(t *testing.T) {
			r := ok
			c.change(&r)
			var f *resource.FieldError
			err := r.Validate()
			if !errors.As(err, &f) || f.Field != c.field {
				t.Errorf("got %v", err)
			}
			if err != nil && strings.Contains(err.Error(), "secret") {
				t.Errorf("the password is told: %v", err)
			}
		})
	}
}
