package registry

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// maxManifest is the specification's advice for the longest manifest, in bytes.
const maxManifest = 4 << 20

// tag is what a file of a tag holds.
type tag struct {
	Digest    string `json:"digest"`
	MediaType string `json:"mediaType"`
}

// TagFile is the file below a registry's directory that is there as soon as an
// image has the tag.
func TagFile(dir, name, tag string) string { return filepath.Join(dir, "tags", name, tag) }

func (r *Registry) tagFile(q *http.Request, name string) string {
	return TagFile(r.o.Dir, filepath.Join(q.PathValue("space"), q.PathValue("name")), name)
}

func (r *Registry) getManifest(w http.ResponseWriter, q *http.Request) error {
	// Manifests are tagged by their digest, too, which keeps their media type.
	data, err := os.ReadFile(r.tagFile(q, strings.ReplaceAll(q.PathValue("ref"), ":", "_")))
	if errors.Is(err, fs.ErrNotExist) {
		return fail(http.StatusNotFound, "MANIFEST_UNKNOWN", "%s is not here", q.PathValue("ref"))
	}
	if err != nil {
		return err
	}
	var t tag
	if err := json.Unmarshal(data, &t); err != nil {
		return err
	}
	return r.serve(w, q, t.Digest, t.MediaType, "MANIFEST_BLOB_UNKNOWN")
}

// putManifest takes a manifest whose parts are here.
func (r *Registry) putManifest(w http.ResponseWriter, q *http.Request) error {
	data, err := io.ReadAll(http.MaxBytesReader(w, q.Body, maxManifest))
	if err != nil {
		return fail(http.StatusRequestEntityTooLarge, "MANIFEST_INVALID", "%v", err)
	}
	sum := sha256.Sum256(data)
	digest := "sha256:" + hex.EncodeToString(sum[:])
	ref := q.PathValue("ref")
	if digestPattern.MatchString(ref) && ref != digest {
		return fail(http.StatusBadRequest, "DIGEST_INVALID", "the manifest is %s", digest)
	}
	if err := r.complete(data); err != nil {
		return err
	}
	if err := writeFile(r.blob(digest), bytes.NewReader(data)); err != nil {
		return err
	}
	text, err := json.Marshal(tag{digest, q.Header.Get("Content-Type")})
	if err != nil {
		return err
	}
	for _, name := range []string{digest, ref} {
		path := r.tagFile(q, strings.ReplaceAll(name, ":", "_"))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := writeFile(path, bytes.NewReader(text)); err != nil {
			return err
		}
	}
	w.Header().Set("Location", q.URL.Path)
	w.Header().Set("Docker-Content-Digest", digest)
	w.WriteHeader(http.StatusCreated)
	return nil
}

// complete reports what a manifest names and is not here.
func (r *Registry) complete(data []byte) error {
	type descriptor struct {
		Digest string `json:"digest"`
	}
	var m struct {
		Config    *descriptor  `json:"config"`
		Layers    []descriptor `json:"layers"`
		Manifests []descriptor `json:"manifests"`
	}
	if err := json.Unmarshal(data, &m); err != nil {
		return fail(http.StatusBadRequest, "MANIFEST_INVALID", "it is no JSON: %v", err)
	}
	parts := slices.Concat(m.Layers, m.Manifests)
	if m.Config != nil {
		parts = append(parts, *m.Config)
	}
	for _, p := range parts {
		if !digestPattern.MatchString(p.Digest) {
			return fail(http.StatusBadRequest, "MANIFEST_INVALID", "%q is no digest", p.Digest)
		}
		if _, err := os.Stat(r.blob(p.Digest)); err != nil {
			return fail(http.StatusNotFound, "MANIFEST_BLOB_UNKNOWN", "%s is not here", p.Digest)
		}
	}
	return nil
}

func (r *Registry) listTags(w http.ResponseWriter, q *http.Request) error {
	entries, err := os.ReadDir(r.tagFile(q, ""))
	if err != nil {
		return err
	}
	tags := []string{}
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), "sha256_") && !strings.HasPrefix(e.Name(), ".") {
			tags = append(tags, e.Name())
		}
	}
	w.Header().Set("Content-Type", "application/json")
	return json.NewEncoder(w).Encode(map[string]any{"name": q.PathValue("space") + "/" + q.PathValue("name"), "tags": tags})
}

// writeFile writes a file whole or not at all, and durably.
func writeFile(path string, data io.Reader) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".new-")
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(f.Name()) }() // gone already when all went well
	defer f.Close()
	if _, err := io.Copy(f, data); err != nil {
		return err
	}
	if err := errors.Join(f.Chmod(0o644), f.Sync()); err != nil {
		return err
	}
	return rename(f.Name(), path)
}

// rename moves a file whose content is on disk to its place, durably: a manifest
// must not outlive a power cut that its blobs do not.
func rename(from, to string) error {
	if err := os.Rename(from, to); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(to))
	if err != nil {
		return err
	}
	defer dir.Close()
	return dir.Sync()
}
