// Package statedir keeps the state of a cloud in a local directory.
//
// It guarantees what [engine.Store] asks for with two files: state.json, a
// snapshot of all records, and journal.jsonl, the entries since. An entry is
// durable when Append returns; concurrent appends share one fsync. The snapshot
// is replaced atomically and names the journal's generation that it contains,
// so a crash between writing it and emptying the journal loses and repeats
// nothing. A torn last line is dropped.
package statedir

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"github.com/google/renameio/v2"

	"github.com/updraft-cloud/updraft/internal/engine"
)

const (
	snapshotName = "state.json"
	journalName  = "journal.jsonl"
	lockName     = "lock"
	version      = 1
)

// Dir is a state directory.
type Dir struct {
	path string

	mu      sync.Mutex
	journal *os.File
	gen     int
	size    int64
	pending *batch // entries waiting for the next sync
	syncing bool
}

// batch is a group of appends that share one write and one fsync.
type batch struct {
	buf  bytes.Buffer
	done chan struct{}
	err  error
}

type header struct {
	Version int `json:"version"`
	// Generation is that of the journal that follows this snapshot.
	Generation int             `json:"generation"`
	Records    []engine.Record `json:"records"`
}

type journalHeader struct {
	Version    int `json:"version"`
	Generation int `json:"generation"`
}

// Open returns the state directory at path, which is made (mode 0700) with the
// first write.
func Open(path string) *Dir { return &Dir{path: path} }

// Path returns the directory's path.
func (d *Dir) Path() string { return d.path }

// Records implements [engine.Store].
func (d *Dir) Records(context.Context) (map[string]engine.Record, error) {
	records, _, err := d.load()
	return records, err
}

// load folds the snapshot and the journal that belongs to it.
func (d *Dir) load() (map[string]engine.Record, int, error) {
	records := map[string]engine.Record{}
	gen, err := d.readSnapshot(records)
	if err != nil {
		return nil, 0, err
	}
	if err := d.readJournal(gen, records); err != nil {
		return nil, 0, err
	}
	return records, gen, nil
}

func (d *Dir) readSnapshot(into map[string]engine.Record) (gen int, err error) {
	data, err := os.ReadFile(filepath.Join(d.path, snapshotName))
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	var h header
	if err := json.Unmarshal(data, &h); err != nil {
		return 0, fmt.Errorf("%s is damaged: %w", filepath.Join(d.path, snapshotName), err)
	}
	if h.Version != version {
		return 0, fmt.Errorf("%s has format %d; this updraft knows %d", filepath.Join(d.path, snapshotName), h.Version, version)
	}
	for _, r := range h.Records {
		into[r.ID] = r
	}
	return h.Generation, nil
}

func (d *Dir) readJournal(gen int, into map[string]engine.Record) error {
	f, err := os.Open(filepath.Join(d.path, journalName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	r := bufio.NewReaderSize(f, 1<<16)
	for n := 1; ; n++ {
		line, err := r.ReadBytes('\n')
		if err == io.EOF {
			return nil // what is left in line was torn by a crash
		}
		if err != nil {
			return err
		}
		if n == 1 {
			var h journalHeader
			if err := json.Unmarshal(line, &h); err != nil {
				return d.damaged(n, err)
			}
			if h.Generation != gen {
				return nil // the snapshot already contains it
			}
			continue
		}
		var e engine.Entry
		if err := json.Unmarshal(line, &e); err != nil {
			return d.damaged(n, err)
		}
		engine.Fold(into, e)
	}
}

func (d *Dir) damaged(line int, err error) error {
	return fmt.Errorf("%s:%d is damaged: %w", filepath.Join(d.path, journalName), line, err)
}

// Append implements [engine.Store].
func (d *Dir) Append(_ context.Context, entries ...engine.Entry) error {
	d.mu.Lock()
	if d.pending == nil {
		d.pending = &batch{done: make(chan struct{})}
	}
	b := d.pending
	enc := json.NewEncoder(&b.buf)
	for i := range entries {
		if err := enc.Encode(&entries[i]); err != nil {
			d.mu.Unlock()
			return err
		}
	}
	if !d.syncing {
		d.syncing = true
		go d.flush()
	}
	d.mu.Unlock()
	<-b.done
	return b.err
}

// flush writes batches until none is pending. Whatever arrives during one sync
// goes into the next.
func (d *Dir) flush() {
	for {
		d.mu.Lock()
		b := d.pending
		d.pending = nil
		if b == nil {
			d.syncing = false
			d.mu.Unlock()
			return
		}
		d.mu.Unlock()
		b.err = d.write(b.buf.Bytes())
		close(b.done)
	}
}

func (d *Dir) write(p []byte) error {
	if d.journal == nil {
		if err := d.openJournal(); err != nil {
			return err
		}
	}
	n, err := d.journal.Write(p)
	d.size += int64(n)
	if err == nil {
		err = syncData(d.journal)
	}
	if err != nil {
		// The tail may be torn. Cut it off, so that what is appended later
		// does not follow half a line.
		d.size -= int64(n)
		return errors.Join(err, d.journal.Truncate(d.size))
	}
	return nil
}

// openJournal compacts what is there into a new snapshot and starts an empty
// journal.
func (d *Dir) openJournal() error {
	if err := os.MkdirAll(d.path, 0o700); err != nil {
		return err
	}
	records, gen, err := d.load()
	if err != nil {
		return err
	}
	gen++
	h := header{Version: version, Generation: gen, Records: make([]engine.Record, 0, len(records))}
	for _, r := range records {
		h.Records = append(h.Records, r)
	}
	sortRecords(h.Records)
	data, err := json.Marshal(h)
	if err != nil {
		return err
	}
	if err := renameio.WriteFile(filepath.Join(d.path, snapshotName), data, 0o600); err != nil {
		return err
	}
	return d.startJournal(gen)
}

func (d *Dir) startJournal(gen int) error {
	line, err := json.Marshal(journalHeader{version, gen})
	if err != nil {
		return err
	}
	name := filepath.Join(d.path, journalName)
	if err := renameio.WriteFile(name, append(line, '\n'), 0o600); err != nil {
		return err
	}
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return err
	}
	d.journal, d.gen, d.size = f, gen, int64(len(line)+1)
	return nil
}

// Remove implements [engine.Store]. The directory is moved away first: another
// updraft that asks for the lock meanwhile makes a new one.
func (d *Dir) Remove(context.Context) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.journal != nil {
		_ = d.journal.Close() // it is about to be removed
		d.journal = nil
	}
	path := filepath.Clean(d.path)
	parent, base := filepath.Dir(path), filepath.Base(path)
	gone, err := os.MkdirTemp(parent, ".gone-"+base+"-")
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := os.Rename(path, filepath.Join(gone, base)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return errors.Join(err, os.Remove(gone))
	}
	// With what a Remove that was killed has left.
	left, err := filepath.Glob(filepath.Join(parent, ".gone-"+base+"-*"))
	for _, dir := range append(left, gone) {
		err = errors.Join(err, os.RemoveAll(dir))
	}
	return err
}
