package pkgcache

import (
	"errors"
	"io/fs"
	"math"
	"os"
	"syscall"
)

// spare is what the cache leaves free on its file system, for everybody else.
const spare = 64 << 20

// reserve promises n more bytes to a flight, dropping objects to make room. It
// returns false when there cannot be room: the object is larger than the cache,
// everything else is being served, or the disk is full of other things.
func (s *store) reserve(n int64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.makeRoom(n) {
		return false
	}
	s.reserved += n
	return true
}

// freeBytes returns what the file system has left for this user. A file system
// that does not say is taken to be empty: a write then tells.
func (s *store) freeBytes() int64 {
	var fs syscall.Statfs_t
	if err := syscall.Statfs(s.dir, &fs); err != nil {
		return math.MaxInt64
	}
	return int64(min(fs.Bavail, math.MaxInt64/uint64(fs.Bsize))) * fs.Bsize
}

// release gives back a promise that was not used.
func (s *store) release(n int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reserved -= n
}

// makeRoom drops the least recently used objects that nobody reads until n more
// bytes fit, into the cache and onto the disk. It drops nothing when that cannot
// succeed.
func (s *store) makeRoom(n int64) bool {
	over := max(s.used+s.reserved+n-s.max, n+spare-s.free())
	if over <= 0 {
		return true
	}
	var victims []*entry
	var gain int64
	for p := s.recent.Back(); p != nil && gain < over; p = p.Prev() {
		if e := p.Value.(*entry); e.pins == 0 {
			victims = append(victims, e)
			gain += e.meta.Size
		}
	}
	if gain < over {
		return false
	}
	for _, e := range victims {
		s.log.Info("cache object evicted", "url", e.meta.URL, "bytes", e.meta.Size)
		s.drop(e)
		s.evicted++
	}
	return true
}

// drop removes an object from the index and the disk, its metadata first: what
// a crash leaves of it is content without a name, which load removes.
func (s *store) drop(e *entry) {
	s.forget(e)
	s.unlink(e.key+".json", e.key)
	s.unlink(e.meta.Blob, e.key)
}

func (s *store) forget(e *entry) {
	delete(s.entries, e.key)
	s.recent.Remove(e.place)
	s.used -= e.meta.Size
}

func (s *store) unlink(name, key string) {
	if err := os.Remove(s.path(key, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		s.log.Error("cannot remove cache file", "file", name, "why", err)
	}
}
