package pkgcache

import (
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"sync"
)

// outcome is how an upstream answered a flight.
type outcome int

const (
	streaming   outcome = iota // 200: the body is on its way
	notModified                // 304: the stored object is current
	answered                   // another status, with a short body
	unkeepable                 // larger than the cache may grow: to be relayed
)

// flight is one upstream fetch that any number of clients follow.
type flight struct {
	// ready is closed when the upstream has answered or cannot be reached. The
	// fields below it are constant from then on.
	ready   chan struct{}
	outcome outcome
	err     error // the upstream cannot be reached
	status  int
	header  http.Header
	size    int64  // bytes, or -1 when unknown
	body    []byte // of answered

	mu      sync.Mutex
	refs    int // followers and the fetcher
	file    *os.File
	written int64
	ended   bool
	failure error         // why the body broke off
	more    chan struct{} // closed at each progress, then replaced
}

func newFlight() *flight {
	return &flight{ready: make(chan struct{}), more: make(chan struct{}), size: -1, refs: 1}
}

// hold adds a follower, who calls release when done.
func (f *flight) hold() {
	f.mu.Lock()
	f.refs++
	f.mu.Unlock()
}

// release lets go of the flight. The last one closes the file.
func (f *flight) release() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.refs--
	if f.refs == 0 && f.file != nil {
		f.file.Close() // read-only use is over and the content was synced
	}
}

// progress publishes n more bytes.
func (f *flight) progress(n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.written += int64(n)
	close(f.more)
	f.more = make(chan struct{})
}

// end publishes that no more bytes come; failure is nil when all are there.
func (f *flight) end(failure error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.ended, f.failure = true, failure
	close(f.more)
	f.more = make(chan struct{})
}

// follower reads the body of a flight from its beginning, waiting for what has
// not yet come.
type follower struct {
	ctx context.Context // of the request it serves, no longer than a ServeHTTP
	f   *flight
	off int64
	// tick is called before each read, to extend the client's deadline.
	tick func()
}

// Read implements io.Reader.
func (r *follower) Read(p []byte) (int, error) {
	for {
		n, more, err := r.available(len(p))
		switch {
		case n > 0:
			r.tick()
			n, err = r.f.file.ReadAt(p[:n], r.off)
			r.off += int64(n)
			return n, err
		case err != nil:
			return 0, err
		}
		select {
		case <-more:
		case <-r.ctx.Done():
			return 0, r.ctx.Err()
		}
	}
}

// available returns how many of up to limit bytes are there to be read; when
// none are, a channel that is closed at the next change, or why none will come.
func (r *follower) available(limit int) (int, <-chan struct{}, error) {
	f := r.f
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case r.off < f.written:
		return int(min(int64(limit), f.written-r.off)), nil, nil
	case f.failure != nil:
		return 0, nil, f.failure
	case f.ended:
		return 0, nil, io.EOF
	}
	return 0, f.more, nil
}

// Seek implements io.Seeker, as far as http.ServeContent needs it: only for a
// flight of known size.
func (r *follower) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekStart:
	case io.SeekCurrent:
		offset += r.off
	case io.SeekEnd:
		offset += r.f.size
	}
	if r.f.size < 0 || offset < 0 {
		return 0, errors.New("cannot seek in a body of unknown size")
	}
	r.off = offset
	return offset, nil
}
