package logbundle

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"sync"

	"github.com/updraft-cloud/updraft/internal/secret"
)

// spool keeps what was collected in files until it can be packed: an archive tells
// the size of a file before its content.
type spool struct {
	dir string
	red *secret.Redactor

	mu    sync.Mutex
	next  int
	items []*item
	signs signs
}

// item is a file of the bundle.
type item struct {
	name  string // in the bundle
	path  string
	size  int64
	whole bool // nothing was cut off
}

// kind says how text is filtered.
type kind struct {
	config bool
	host   string // whose journal it is; empty for other text
	limit  int64  // in bytes; 0 is no bound
}

// add takes what write writes as a file of the bundle. What was written before an
// error is kept.
func (s *spool) add(name string, k kind, write func(io.Writer) error) (err error) {
	s.mu.Lock()
	s.next++
	path := filepath.Join(s.dir, strconv.Itoa(s.next))
	s.mu.Unlock()
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	out := &filter{w: f, red: s.red, config: k.config, left: -1}
	if k.limit > 0 {
		out.left = k.limit
	}
	if k.host != "" {
		out.line = func(line string) { s.sign(k.host, line) }
	}
	failure := errors.Join(write(out), out.Close())
	info, err := f.Stat()
	if err != nil {
		return errors.Join(failure, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.items = append(s.items, &item{name: name, path: path, size: info.Size(), whole: !out.cut})
	return failure
}
