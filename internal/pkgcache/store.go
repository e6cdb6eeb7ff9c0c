package pkgcache

import (
	"cmp"
	"container/list"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/google/renameio/v2"
)

// meta describes a stored object. It is the content of its metadata file.
type meta struct {
	URL     string      `json:"url"`
	Header  http.Header `json:"header"`
	Size    int64       `json:"size"` // bytes
	Blob    string      `json:"blob"` // file name of the content
	Fetched time.Time   `json:"fetched"`
}

// entry is a stored object in the index. The store's mutex guards it.
type entry struct {
	key     string
	meta    meta
	checked time.Time // last agreement with the upstream
	pins    int       // readers
	place   *list.Element
}

// store keeps objects in a directory: objects/KEY.json beside objects/KEY-N.blob,
// spread over 256 subdirectories, and unfinished ones in tmp.
type store struct {
	dir  string
	max  int64
	log  *slog.Logger
	lock *os.File
	free func() int64 // bytes that the file system has left

	mu       sync.Mutex
	entries  map[string]*entry
	recent   *list.List // of *entry, most recently used first
	used     int64      // bytes of stored objects
	reserved int64      // bytes promised to flights
	evicted  int64      // objects dropped for want of space, for statistics
}

// ErrInUse means that another process has the store.
var ErrInUse = errors.New("used by another process")

// openStore takes dir over: another process that has it open is an error.
func openStore(dir string, limit int64, log *slog.Logger) (*store, error) {
	for _, d := range []string{dir, filepath.Join(dir, "tmp"), filepath.Join(dir, "objects")} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			return nil, err
		}
	}
	lock, err := lockFile(filepath.Join(dir, "lock"))
	if err != nil {
		return nil, err
	}
	s := &store{dir: dir, max: limit, log: log, lock: lock, entries: map[string]*entry{}, recent: list.New()}
	s.free = s.freeBytes
	if err := s.load(); err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	s.mu.Lock()
	s.makeRoom(0)
	s.mu.Unlock()
	return s, nil
}

func lockFile(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil, errors.Join(fmt.Errorf("%s is %w", filepath.Dir(path), ErrInUse), f.Close())
	}
	return f, nil
}

func (s *store) close() error { return s.lock.Close() }

// load builds the index from the metadata files and removes what a crash has
// left behind: temporary files, content that no metadata names, metadata whose
// content is gone.
func (s *store) load() error {
	tmp, err := filepath.Glob(filepath.Join(s.dir, "tmp", "*"))
	if err != nil {
		return err
	}
	for _, f := range tmp {
		if err := os.Remove(f); err != nil {
			return err
		}
	}
	type found struct {
		e    *entry
		used time.Time
	}
	var all []found
	shards, err := os.ReadDir(filepath.Join(s.dir, "objects"))
	if err != nil {
		return err
	}
	for _, shard := range shards {
		err := s.loadShard(shard.Name(), func(e *entry, used time.Time) { all = append(all, found{e, used}) })
		if err != nil {
			return err
		}
	}
	slices.SortFunc(all, func(a, b found) int {
		return cmp.Or(b.used.Compare(a.used), cmp.Compare(a.e.key, b.e.key))
	})
	for _, f := range all {
		f.e.place = s.recent.PushBack(f.e)
		s.entries[f.e.key] = f.e
		s.used += f.e.meta.Size
	}
	return nil
}

func (s *store) loadShard(shard string, add func(*entry, time.Time)) error {
	dir := filepath.Join(s.dir, "objects", shard)
	files, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	blobs := map[string]bool{}
	for _, f := range files {
		key, isMeta := strings.CutSuffix(f.Name(), ".json")
		if !isMeta {
			continue
		}
		path := filepath.Join(dir, f.Name())
		e, used, err := readEntry(path, key)
		if err != nil {
			s.log.Warn("cache object dropped", "file", f.Name(), "why", err)
			if err := os.Remove(path); err != nil {
				return err
			}
			continue
		}
		blobs[e.meta.Blob] = true
		add(e, used)
	}
	for _, f := range files {
		if !blobs[f.Name()] && !strings.HasSuffix(f.Name(), ".json") {
			if err := os.Remove(filepath.Join(dir, f.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}

func readEntry(path, key string) (*entry, time.Time, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, time.Time{}, err
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, time.Time{}, err
	}
	e := &entry{key: key}
	if err := json.Unmarshal(data, &e.meta); err != nil {
		return nil, time.Time{}, err
	}
	if !strings.HasPrefix(e.meta.Blob, key) || strings.ContainsRune(e.meta.Blob, '/') {
		return nil, time.Time{}, errors.New("metadata names a file that is not its own")
	}
	blob, err := os.Stat(filepath.Join(filepath.Dir(path), e.meta.Blob))
	if err != nil {
		return nil, time.Time{}, err
	}
	if blob.Size() != e.meta.Size {
		return nil, time.Time{}, fmt.Errorf("content has %d bytes in place of %d", blob.Size(), e.meta.Size)
	}
	return e, info.ModTime(), nil
}

func (s *store) path(key, name string) string { return filepath.Join(s.dir, "objects", key[:2], name) }

// object is a stored object that is open for reading. While it is open it is
// not evicted.
type object struct {
	*os.File
	meta    meta
	checked time.Time
	s       *store
	e       *entry
}

// open returns the object of that key, or nil if there is none.
func (s *store) open(key string) *object {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.entries[key]
	if e == nil {
		return nil
	}
	f, err := os.Open(s.path(key, e.meta.Blob))
	if err != nil {
		s.log.Warn("cache object dropped", "url", e.meta.URL, "why", err)
		s.drop(e)
		return nil
	}
	e.pins++
	s.recent.MoveToFront(e.place)
	now := time.Now()
	if err := os.Chtimes(s.path(key, key+".json"), now, now); err != nil {
		s.log.Debug("cannot note time of use", "url", e.meta.URL, "why", err)
	}
	return &object{File: f, meta: e.meta, checked: e.checked, s: s, e: e}
}

// release lets the object be evicted again.
func (o *object) release() {
	o.s.mu.Lock()
	o.e.pins--
	o.s.mu.Unlock()
	_ = o.Close() // it was only read
}

// current returns when the upstream last said that this is the object.
func (o *object) current() time.Time {
	if o.checked.After(o.meta.Fetched) {
		return o.checked
	}
	return o.meta.Fetched
}

// confirm notes that the upstream has just said that the object is current.
func (s *store) confirm(key string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := s.entries[key]; e != nil {
		e.checked = time.Now()
	}
}

// put makes the finished temporary file tmp the content of key. The bytes must
// have been reserved; the reservation is used up, whatever comes of it.
func (s *store) put(key string, m meta, tmp *os.File) error {
	err := s.commit(key, &m, tmp)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reserved -= m.Size
	if err != nil {
		return err
	}
	if old := s.entries[key]; old != nil {
		s.forget(old)
		s.unlink(old.meta.Blob, key)
	}
	e := &entry{key: key, meta: m, checked: m.Fetched}
	e.place = s.recent.PushFront(e)
	s.entries[key] = e
	s.used += m.Size
	return nil
}

// commit makes the object durable. Content goes before the metadata that names
// it; each has a name of its own, so that the old object is whole until then.
func (s *store) commit(key string, m *meta, tmp *os.File) error {
	if err := tmp.Sync(); err != nil {
		return err
	}
	m.Blob = key + "-" + strings.TrimPrefix(filepath.Base(tmp.Name()), "fetch-") + ".blob"
	blob := s.path(key, m.Blob)
	if err := os.MkdirAll(filepath.Dir(blob), 0o755); err != nil {
		return err
	}
	if err := os.Rename(tmp.Name(), blob); err != nil {
		return err
	}
	data, err := json.Marshal(m)
	if err == nil {
		err = renameio.WriteFile(s.path(key, key+".json"), data, 0o644)
	}
	if err != nil {
		return errors.Join(err, os.Remove(blob))
	}
	return nil
}
