package registry_test

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/updraft-cloud/updraft/internal/image/registry"
)

const password = "let-me-in"

func serve(t *testing.T, dir string) *httptest.Server {
	t.Helper()
	r, err := registry.New(registry.Options{Dir: dir, Password: password})
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewServer(r)
	t.Cleanup(s.Close)
	return s
}

func digest(text string) string {
	sum := sha256.Sum256([]byte(text))
	return "sha256:" + hex.EncodeToString(sum[:])
}

// answer is what a request got.
type answer struct {
	StatusCode int
	Status     string
	Header     http.Header
}

// do sends a request and returns the answer and its body.
func do(t *testing.T, method, url, body string, header ...string) (answer, string) {
	t.Helper()
	q, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	q.SetBasicAuth(registry.User, password)
	for i := 0; i < len(header); i += 2 {
		q.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultClient.Do(q)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{resp.StatusCode, resp.Status, resp.Header}, string(data)
}

func TestAStockClientPushesAndPullsAcrossARestart(t *testing.T) {
	dir := t.TempDir()
	s := serve(t, dir)
	image, err := random.Image(3000, 2)
	if err != nil {
		t.Fatal(err)
	}
	ref, err := name.ParseReference(strings.TrimPrefix(s.URL, "http://") + "/updraft/x:1")
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(ref, image); err == nil {
		t.Error("it was pushed without the password")
	}
	auth := remote.WithAuth(&authn.Basic{Username: registry.User, Password: password})
	if err := remote.Write(ref, image, auth); err != nil {
		t.Fatal(err)
	}
	s.Close()
	again := serve(t, dir)
	ref, err = name.ParseReference(strings.TrimPrefix(again.URL, "http://") + "/updraft/x:1")
	if err != nil {
		t.Fatal(err)
	}
	got, err := remote.Image(ref)
	if err != nil {
		t.Fatal(err)
	}
	want, _ := image.Digest()
	if d, err := got.Digest(); err != nil || d != want {
		t.Errorf("%v, %v", d, err)
	}
	layers, err := got.Layers()
	if err != nil || len(layers) != 2 {
		t.Fatal(layers, err)
	}
	rc, err := layers[1].Compressed()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, rc); err != nil { // it checks the digest
		t.Error(err)
	}
	if tags, err := remote.List(ref.Context()); err != nil || fmt.Sprint(tags) != "[1]" {
		t.Errorf("%v, %v", tags, err)
	}
}

func TestAnUploadGoesOnWhereItEnded(t *testing.T) {
	dir := t.TempDir()
	s := serve(t, dir)
	base := s.URL + "/v2/updraft/x/blobs/"
	resp, _ := do(t, http.MethodPost, base+"uploads/", "")
	place := resp.Header.Get("Location")
	if resp.StatusCode != http.StatusAccepted || place == "" {
		t.Fatal(resp.Status, place)
	}
	if resp, _ := do(t, http.MethodPatch, s.URL+place, "hello "); resp.StatusCode != http.StatusAccepted || resp.Header.Get("Range") != "0-5" {
		t.Errorf("first part: %s, %s", resp.Status, resp.Header.Get("Range"))
	}
	s.Close()
	s = serve(t, dir)
	if resp, _ := do(t, http.MethodGet, s.URL+place, ""); resp.StatusCode != http.StatusNoContent || resp.Header.Get("Range") != "0-5" {
		t.Errorf("after a restart: %s, %s", resp.Status, resp.Header.Get("Range"))
	}
	if resp, _ := do(t, http.MethodPatch, s.URL+place, "x", "Content-Range", "9-9"); resp.StatusCode != http.StatusRequestedRangeNotSatisfiable {
		t.Errorf("a gap: %s", resp.Status)
	}
	if resp, body := do(t, http.MethodPut, s.URL+place+"?digest="+digest("hello world"), "world", "Content-Range", "6-10"); resp.StatusCode != http.StatusCreated {
		t.Errorf("last part: %s %s", resp.Status, body)
	}
	for _, tc := range []struct{ of, want string }{{"", "hello world"}, {"bytes=6-", "world"}, {"bytes=0-4", "hello"}} {
		if _, body := do(t, http.MethodGet, s.URL+"/v2/updraft/x/blobs/"+digest("hello world"), "", "Range", tc.of); body != tc.want {
			t.Errorf("range %q: %q", tc.of, body)
		}
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "uploads/*")); len(left) > 0 {
		t.Errorf("left: %q", left)
	}
}

func TestAnUploadThatNobodyGoesOnWithIsSwept(t *testing.T) {
	dir := t.TempDir()
	s := serve(t, dir)
	start := func() string {
		resp, _ := do(t, http.MethodPost, s.URL+"/v2/updraft/x/blobs/uploads/", "")
		return filepath.Base(resp.Header.Get("Location"))
	}
	old, young := start(), start()
	then := time.Now().Add(-25 * time.Hour)
	if err := os.Chtimes(filepath.Join(dir, "uploads", old), then, then); err != nil {
		t.Fatal(err)
	}
	newest := start()
	left, _ := filepath.Glob(filepath.Join(dir, "uploads/*"))
	want := []string{filepath.Join(dir, "uploads", young), filepath.Join(dir, "uploads", newest)}
	slices.Sort(want)
	if !slices.Equal(left, want) {
		t.Errorf("left: %q, want %q", left, want)
	}
}

func TestWhatIsNotItsDigestIsNotKept(t *testing.T) {
	dir := t.TempDir()
	s := serve(t, dir)
	base := s.URL + "/v2/updraft/x/"
	resp, _ := do(t, http.MethodPost, base+"blobs/uploads/", "")
	place := s.URL + resp.Header.Get("Location")
	if resp, _ := do(t, http.MethodPut, place+"?digest="+digest("one"), "another"); resp.StatusCode != http.StatusBadRequest {
		t.Errorf("a wrong blob: %s", resp.Status)
	}
	if resp, _ := do(t, http.MethodGet, place, ""); resp.StatusCode != http.StatusNotFound {
		t.Errorf("its upload: %s", resp.Status)
	}
	if resp, _ := do(t, http.MethodPut, base+"manifests/"+digest("x"), "{}"); resp.StatusCode != http.StatusBadRequest {
		t.Errorf("a wrong manifest: %s", resp.Status)
	}
	missing := `{"config":{"digest":"` + digest("gone") + `"},"layers":[]}`
	if resp, body := do(t, http.MethodPut, base+"manifests/1", missing); resp.StatusCode != http.StatusNotFound || !strings.Contains(body, "MANIFEST_BLOB_UNKNOWN") {
		t.Errorf("a manifest without its parts: %s %s", resp.Status, body)
	}
	if blobs, _ := filepath.Glob(filepath.Join(dir, "blobs/sha256/*")); len(blobs) > 0 {
		t.Errorf("kept: %q", blobs)
	}
}

func TestNoRequestNamesAPath(t *testing.T) {
	dir := t.TempDir()
	s := serve(t, dir)
	if err := os.WriteFile(filepath.Join(dir, "secret"), []byte("secret"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{
		"/v2/updraft/x/blobs/sha256:..%2F..%2Fsecret", "/v2/updraft/x/manifests/..%2F..%2F..%2Fsecret", "/v2/..%2F..%2F/x/tags/list",
		"/v2/updraft/..%2f/manifests/x", "/v2/updraft/x/blobs/uploads/..%2F..%2Fsecret",
	} {
		if resp, body := do(t, http.MethodGet, s.URL+path, ""); resp.StatusCode/100 != 4 || strings.Contains(body, "secret\n") {
			t.Errorf("%s: %s %s", path, resp.Status, body)
		}
	}
}

func TestOnlyPushingNeedsThePassword(t *testing.T) {
	s := serve(t, t.TempDir())
	for _, tc := range []struct {
		method, path, user, password string
		want                         int
	}{
		{http.MethodGet, "/v2/", "", "", http.StatusOK},
		{http.MethodGet, "/v2/", registry.User, password, http.StatusOK},
		{http.MethodGet, "/v2/", registry.User, "wrong", http.StatusUnauthorized},
		{http.MethodGet, "/v2/updraft/x/manifests/1", "", "", http.StatusNotFound},
		{http.MethodPost, "/v2/updraft/x/blobs/uploads/", "", "", http.StatusUnauthorized},
		{http.MethodPost, "/v2/updraft/x/blobs/uploads/", "root", password, http.StatusUnauthorized},
		{http.MethodPut, "/v2/updraft/x/manifests/1", registry.User, "", http.StatusUnauthorized},
		{http.MethodDelete, "/v2/updraft/x/manifests/1", registry.User, password, http.StatusMethodNotAllowed},
	} {
		q, err := http.NewRequestWithContext(t.Context(), tc.method, s.URL+tc.path, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		if tc.user != "" {
			q.SetBasicAuth(tc.user, tc.password)
		}
		resp, err := http.DefaultClient.Do(q)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != tc.want {
			t.Errorf("%s %s as %q: %s", tc.method, tc.path, tc.user, resp.Status)
		}
	}
	open, err := registry.New(registry.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	q := httptest.NewRequest(http.MethodPost, "/v2/updraft/x/blobs/uploads/", http.NoBody)
	q.SetBasicAuth(registry.User, "")
	w := httptest.NewRecorder()
	if open.ServeHTTP(w, q); w.Code != http.StatusUnauthorized {
		t.Errorf("a registry without a password let in who has none: %d", w.Code)
	}
}
