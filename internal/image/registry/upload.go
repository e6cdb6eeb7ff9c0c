package registry

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"
)

func (r *Registry) uploadFile(id string) string { return filepath.Join(r.o.Dir, "uploads", id) }

// startUpload begins an upload, unless the blob is here already and the client
// says so (mount). An upload in one request (?digest=) is not taken as such, which
// the specification allows: clients then go on as if they had not tried.
func (r *Registry) startUpload(w http.ResponseWriter, q *http.Request) error {
	if digest := q.URL.Query().Get("mount"); digestPattern.MatchString(digest) {
		if _, err := os.Stat(r.blob(digest)); err == nil {
			created(w, q, digest)
			return nil
		}
	}
	r.sweep(time.Now().Add(-staleAfter))
	id := rand.Text()
	f, err := os.OpenFile(r.uploadFile(id), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	f.Close()
	accepted(w, q, id, 0, http.StatusAccepted)
	return nil
}

// staleAfter is how long an upload that was cut off waits for its client.
const staleAfter = 24 * time.Hour

// sweep removes uploads that nobody has written to since. It is only tidying:
// what cannot be removed now is removed another time.
func (r *Registry) sweep(since time.Time) {
	entries, _ := os.ReadDir(filepath.Join(r.o.Dir, "uploads"))
	for _, e := range entries {
		if st, err := e.Info(); err != nil || !st.ModTime().Before(since) {
			continue
		}
		if release, err := r.hold(e.Name()); err == nil {
			_ = os.Remove(r.uploadFile(e.Name()))
			release()
		}
	}
}

func created(w http.ResponseWriter, q *http.Request, digest string) {
	w.Header().Set("Location", fmt.Sprintf("/v2/%s/%s/blobs/%s", q.PathValue("space"), q.PathValue("name"), digest))
	w.Header().Set("Docker-Content-Digest", digest)
	w.WriteHeader(http.StatusCreated)
}

// accepted says how far an upload is.
func accepted(w http.ResponseWriter, q *http.Request, id string, size int64, status int) {
	w.Header().Set("Location", fmt.Sprintf("/v2/%s/%s/blobs/uploads/%s", q.PathValue("space"), q.PathValue("name"), id))
	w.Header().Set("Range", fmt.Sprintf("0-%d", max(0, size-1)))
	w.WriteHeader(status)
}

// hold makes this request the only one that writes to an upload.
func (r *Registry) hold(id string) (release func(), err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.busy[id] {
		return nil, fail(http.StatusConflict, "BLOB_UPLOAD_INVALID", "another request writes to this upload")
	}
	r.busy[id] = true
	return func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		delete(r.busy, id)
	}, nil
}

func unknownUpload(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return fail(http.StatusNotFound, "BLOB_UPLOAD_UNKNOWN", "there is no such upload")
	}
	return err
}

func (r *Registry) uploadStatus(w http.ResponseWriter, q *http.Request) error {
	st, err := os.Stat(r.uploadFile(q.PathValue("id")))
	if err != nil {
		return unknownUpload(err)
	}
	accepted(w, q, q.PathValue("id"), st.Size(), http.StatusNoContent)
	return nil
}

func (r *Registry) cancelUpload(w http.ResponseWriter, q *http.Request) error {
	if err := os.Remove(r.uploadFile(q.PathValue("id"))); err != nil {
		return unknownUpload(err)
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (r *Registry) appendUpload(w http.ResponseWriter, q *http.Request) error {
	release, err := r.hold(q.PathValue("id"))
	if err != nil {
		return err
	}
	defer release()
	size, err := r.take(q)
	if err != nil {
		return err
	}
	accepted(w, q, q.PathValue("id"), size, http.StatusAccepted)
	return nil
}

// take appends the request's body to the upload and returns its length. What came
// before a connection broke stays, so that the client can go on.
func (r *Registry) take(q *http.Request) (int64, error) {
	f, err := os.OpenFile(r.uploadFile(q.PathValue("id")), os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return 0, unknownUpload(err)
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return 0, err
	}
	if from, _, ok := strings.Cut(q.Header.Get("Content-Range"), "-"); ok && from != fmt.Sprint(st.Size()) {
		return 0, fail(http.StatusRequestedRangeNotSatisfiable, "BLOB_UPLOAD_INVALID", "the upload has %d bytes", st.Size())
	}
	n, err := io.Copy(f, q.Body)
	return st.Size() + n, err
}

// finishUpload takes the last part, if any, and makes a blob of the upload if it
// is what the digest says. One that is not is thrown away.
func (r *Registry) finishUpload(w http.ResponseWriter, q *http.Request) error {
	digest, id := q.URL.Query().Get("digest"), q.PathValue("id")
	if !digestPattern.MatchString(digest) {
		return fail(http.StatusBadRequest, "DIGEST_INVALID", "%q is no SHA-256 digest", digest)
	}
	release, err := r.hold(id)
	if err != nil {
		return err
	}
	defer release()
	if _, err := r.take(q); err != nil {
		return err
	}
	f, err := os.OpenFile(r.uploadFile(id), os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return err
	}
	if got := "sha256:" + hex.EncodeToString(h.Sum(nil)); got != digest {
		return errors.Join(os.Remove(r.uploadFile(id)), fail(http.StatusBadRequest, "DIGEST_INVALID", "the upload is %s", got))
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := rename(r.uploadFile(id), r.blob(digest)); err != nil {
		return err
	}
	created(w, q, digest)
	return nil
}
