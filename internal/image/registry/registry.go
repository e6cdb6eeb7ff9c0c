// Package registry serves container images to a cloud's hosts, by the pull and
// push parts of the OCI distribution specification, version 1.1.
//
// It guarantees:
//
//   - A blob is served only if it was what its digest says when it was stored, and
//     is there whole or not at all. A manifest is taken only when everything that
//     it names is there.
//   - Everything survives a restart and a crash: there is no state but the files.
//     An upload that was cut off goes on where it ended, and so does a download
//     (RFC 9110, section 14, range requests).
//   - Whoever reaches it may pull. Nobody may push without the password.
//
// It needs the standard library only, so that any of updraft's programs can carry it.
//
// Below the directory:
//
//	blobs/sha256/HEX      blobs and manifests
//	tags/NAME/TAG         digest and media type of a manifest
//	uploads/ID            uploads under way
package registry

import (
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
)

// User is the name that goes with the password.
const User = "updraft"

// Options says how a registry is run.
type Options struct {
	// Dir holds everything.
	Dir string
	// Password lets in who pushes; when empty, nobody can.
	Password string
}

// Registry is an [http.Handler].
type Registry struct {
	o   Options
	mux *http.ServeMux
	// busy are the uploads that a request writes to.
	mu   sync.Mutex
	busy map[string]bool
}

// access says who may use a route.
type access int

const (
	anybody access = iota
	pusher
)

// New returns a registry over a directory, which is made if there is none.
func New(o Options) (*Registry, error) {
	for _, dir := range []string{"blobs/sha256", "tags", "uploads"} {
		if err := os.MkdirAll(filepath.Join(o.Dir, dir), 0o755); err != nil {
			return nil, fmt.Errorf("cannot make the registry: %w", err)
		}
	}
	r := &Registry{o: o, mux: http.NewServeMux(), busy: map[string]bool{}}
	// Names have two parts, as all of ours have (updraft/NAME). GET serves HEAD, too.
	const name = "/v2/{space}/{name}"
	for _, route := range []struct {
		pattern string
		access  access
		handle  func(http.ResponseWriter, *http.Request) error
	}{
		{"GET /v2/{$}", anybody, r.version},
		{"GET " + name + "/blobs/{digest}", anybody, r.getBlob},
		{"GET " + name + "/manifests/{ref}", anybody, r.getManifest},
		{"GET " + name + "/tags/list", anybody, r.listTags},
		{"POST " + name + "/blobs/uploads/{$}", pusher, r.startUpload},
		{"GET " + name + "/blobs/uploads/{id}", pusher, r.uploadStatus},
		{"PATCH " + name + "/blobs/uploads/{id}", pusher, r.appendUpload},
		{"PUT " + name + "/blobs/uploads/{id}", pusher, r.finishUpload},
		{"DELETE " + name + "/blobs/uploads/{id}", pusher, r.cancelUpload},
		{"PUT " + name + "/manifests/{ref}", pusher, r.putManifest},
	} {
		r.mux.HandleFunc(route.pattern, r.guarded(route.access, route.handle))
	}
	return r, nil
}

// ServeHTTP implements [http.Handler].
func (r *Registry) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	w.Header().Set("Docker-Distribution-API-Version", "registry/2.0")
	r.mux.ServeHTTP(w, q)
}

// failure is an error of the specification.
type failure struct {
	status       int
	code, detail string
}

func (f *failure) Error() string { return f.detail }

func fail(status int, code, format string, args ...any) error {
	return &failure{status, code, fmt.Sprintf(format, args...)}
}

// guarded checks access and names, and turns errors into answers.
func (r *Registry) guarded(a access, handle func(http.ResponseWriter, *http.Request) error) http.HandlerFunc {
	return func(w http.ResponseWriter, q *http.Request) {
		err := r.admit(a, q)
		if err == nil {
			err = handle(w, q)
		}
		if err == nil {
			return
		}
		var f *failure
		if !errors.As(err, &f) {
			f = &failure{http.StatusInternalServerError, "UNKNOWN", err.Error()}
		}
		if errors.Is(err, fs.ErrNotExist) {
			f = &failure{http.StatusNotFound, "NAME_UNKNOWN", "there is no such thing"}
		}
		if f.status == http.StatusUnauthorized {
			w.Header().Set("WWW-Authenticate", `Basic realm="updraft"`)
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(f.status)
		_ = json.NewEncoder(w).Encode(map[string]any{"errors": []map[string]string{{"code": f.code, "message": f.detail}}}) // the client is gone
	}
}

var (
	namePattern   = regexp.MustCompile(`^[a-z0-9]+(?:[._-][a-z0-9]+)*$`)
	tagPattern    = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$`)
	digestPattern = regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)
	idPattern     = regexp.MustCompile(`^[A-Z2-7]{26}$`)
)

// admit refuses who has no business here, and everything that is not what it says
// before it is made part of a path.
func (r *Registry) admit(a access, q *http.Request) error {
	for _, v := range []struct {
		value   string
		pattern *regexp.Regexp
		code    string
	}{
		{q.PathValue("space"), namePattern, "NAME_INVALID"},
		{q.PathValue("name"), namePattern, "NAME_INVALID"},
		{q.PathValue("digest"), digestPattern, "DIGEST_INVALID"},
		{q.PathValue("id"), idPattern, "BLOB_UPLOAD_UNKNOWN"},
	} {
		if v.value != "" && !v.pattern.MatchString(v.value) {
			return fail(http.StatusBadRequest, v.code, "%q is not valid", v.value)
		}
	}
	if ref := q.PathValue("ref"); ref != "" && !tagPattern.MatchString(ref) && !digestPattern.MatchString(ref) {
		return fail(http.StatusBadRequest, "MANIFEST_INVALID", "%q is neither a tag nor a digest", ref)
	}
	if a == anybody {
		return nil
	}
	user, password, ok := q.BasicAuth()
	if !ok || r.o.Password == "" || user != User || subtle.ConstantTimeCompare([]byte(password), []byte(r.o.Password)) != 1 {
		return fail(http.StatusUnauthorized, "UNAUTHORIZED", "pushing needs the password")
	}
	return nil
}

// version tells clients that this is a registry. One that sends a password, since
// it is going to push, learns here whether it is right.
func (r *Registry) version(w http.ResponseWriter, q *http.Request) error {
	if _, _, ok := q.BasicAuth(); ok {
		if err := r.admit(pusher, q); err != nil {
			return err
		}
	}
	w.Header().Set("Content-Type", "application/json")
	_, err := w.Write([]byte("{}\n"))
	return err
}

func (r *Registry) blob(digest string) string {
	return filepath.Join(r.o.Dir, "blobs", "sha256", strings.TrimPrefix(digest, "sha256:"))
}

// getBlob answers range requests, too.
func (r *Registry) getBlob(w http.ResponseWriter, q *http.Request) error {
	digest := q.PathValue("digest")
	return r.serve(w, q, digest, "application/octet-stream", "BLOB_UNKNOWN")
}

func (r *Registry) serve(w http.ResponseWriter, q *http.Request, digest, mediaType, unknown string) error {
	f, err := os.Open(r.blob(digest))
	if errors.Is(err, fs.ErrNotExist) {
		return fail(http.StatusNotFound, unknown, "%s is not here", digest)
	}
	if err != nil {
		return err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", mediaType)
	w.Header().Set("Docker-Content-Digest", digest)
	w.Header().Set("ETag", `"`+digest+`"`)
	http.ServeContent(w, q, "", st.ModTime(), f)
	return nil
}
