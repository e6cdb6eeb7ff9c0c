package maintain

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/google/renameio/v2"
)

// Phase is how far a host is.
type Phase string

// The phases. A host is left alone by plan and up in the first two.
const (
	Entering Phase = "entering" // something of it may run still
	In       Phase = "in"
	Leaving  Phase = "leaving" // something of it may not run yet
)

// Entry is a host in maintenance.
type Entry struct {
	Host  string    `json:"host"`
	Phase Phase     `json:"phase"`
	Since time.Time `json:"since"`
}

// List remembers which hosts are in maintenance, in a file of the cloud's state: it is
// about the moment and not part of what the cloud is to be.
type List struct{ path string }

// Open returns the list in that file, which need not exist.
func Open(path string) List { return List{path} }

// All returns all entries, by host.
func (l List) All() ([]Entry, error) {
	data, err := os.ReadFile(l.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var out []Entry
	if err := json.Unmarshal(data, &out); err != nil {
		return nil, fmt.Errorf("cannot read which hosts are in maintenance: %s: %w", l.path, err)
	}
	return out, nil
}

// Get returns the entry of a host; ok is false if there is none.
func (l List) Get(host string) (e Entry, ok bool, err error) {
	all, err := l.All()
	i := slices.IndexFunc(all, func(e Entry) bool { return e.Host == host })
	if err != nil || i < 0 {
		return Entry{}, false, err
	}
	return all[i], true, nil
}

// Put notes how far a host is. It keeps since when.
func (l List) Put(host string, phase Phase, now time.Time) error {
	e, ok, err := l.Get(host)
	if err != nil {
		return err
	}
	if !ok {
		e = Entry{Host: host, Since: now.UTC().Truncate(time.Second)}
	}
	e.Phase = phase
	return l.edit(host, &e)
}

// Drop forgets a host.
func (l List) Drop(host string) error { return l.edit(host, nil) }

func (l List) edit(host string, e *Entry) error {
	all, err := l.All()
	if err != nil {
		return err
	}
	all = slices.DeleteFunc(all, func(o Entry) bool { return o.Host == host })
	if e != nil {
		all = append(all, *e)
	}
	slices.SortFunc(all, func(a, b Entry) int { return strings.Compare(a.Host, b.Host) })
	data, err := json.MarshalIndent(all, "", "  ")
	if err != nil {
		return err
	}
	return renameio.WriteFile(l.path, append(data, '\n'), 0o600)
}
