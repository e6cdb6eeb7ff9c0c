package logbundle

import (
	"archive/tar"
	"cmp"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"slices"
	"time"

	"github.com/updraft-cloud/updraft/internal/secret"
)

// Options say what is packed.
type Options struct {
	// Name is the directory that everything is below, in the archive.
	Name  string
	Cloud string
	At    time.Time
	Hosts []Host
	// Run runs shell text as root on a host.
	Run func(ctx context.Context, host, script string, out io.Writer) error
	// Redactor knows the cloud's secrets.
	Redactor *secret.Redactor
	// Since is where journals begin, Journal how much of each is taken at most, in
	// bytes, from its end.
	Since   time.Time
	Journal int64
	// Files are those of this computer.
	Files []File
	// Causes are what is known to be wrong, the gravest first.
	Causes []Cause
	// Version is the updraft's that packs.
	Version string
}

// File is one of this computer's.
type File struct {
	Name  string
	Write func(io.Writer) error
	// Config says that it is configuration, whose settings may be secrets.
	Config bool
}

// Cause is something that is wrong, and how to mend it.
type Cause struct{ What, Mend string }

// Result tells what was packed.
type Result struct {
	File   string   `json:"file,omitempty"`
	Files  int      `json:"files"`
	Missed []Missed `json:"missed,omitempty"`
	Causes []Cause  `json:"causes,omitempty"`
	Signs  []Sign   `json:"signs,omitempty"`
}

// Write collects and writes the archive (tar in gzip). What could not be had is in
// the result and the summary; an error means that there is no archive.
func Write(ctx context.Context, w io.Writer, o Options) (Result, error) {
	dir, err := os.MkdirTemp("", "updraft-bundle-")
	if err != nil {
		return Result{}, err
	}
	defer func() { _ = os.RemoveAll(dir) }() // what was copied is of no use to anybody
	s := &spool{dir: dir, red: o.Redactor}
	c := &collector{o: &o, spool: s}
	c.hosts(ctx)
	for _, f := range o.Files {
		if err := s.add(f.Name, kind{config: f.Config}, f.Write); err != nil {
			c.miss(f.Name, err)
		}
	}
	if err := ctx.Err(); err != nil {
		return Result{}, err
	}
	slices.SortFunc(s.items, func(a, b *item) int { return cmp.Compare(a.name, b.name) })
	slices.SortFunc(c.missed, func(a, b Missed) int { return cmp.Compare(a.What, b.What) })
	res := Result{Files: len(s.items) + 1, Missed: c.missed, Causes: o.Causes, Signs: s.found(o.Hosts)}
	head := s.items
	if err := s.add("summary.txt", kind{}, func(w io.Writer) error { return summary(w, &o, res, head) }); err != nil {
		return Result{}, err
	}
	items := append([]*item{s.items[len(s.items)-1]}, head...)
	return res, pack(w, &o, items)
}

// pack writes the archive, the summary first.
func pack(w io.Writer, o *Options, items []*item) error {
	zip := gzip.NewWriter(w)
	out := tar.NewWriter(zip)
	for _, it := range items {
		if err := packOne(out, o, it); err != nil {
			return fmt.Errorf("cannot pack %s: %w", it.name, err)
		}
	}
	return errors.Join(out.Close(), zip.Close())
}

func packOne(out *tar.Writer, o *Options, it *item) error {
	f, err := os.Open(it.path)
	if err != nil {
		return err
	}
	defer f.Close()
	head := &tar.Header{Typeflag: tar.TypeReg, Name: path.Join(o.Name, it.name), Size: it.size, Mode: 0o600, ModTime: o.At, Format: tar.FormatPAX}
	if err := out.WriteHeader(head); err != nil {
		return err
	}
	_, err = io.Copy(out, f)
	return err
}
