// Package backup is the form of backups: named contents with their sums.
//
// It guarantees that [Walk] returns no error only for an archive that is whole:
// every content that the manifest lists is there with its size and SHA-256 sum,
// nothing else is, and nothing follows. An archive is written and read in one go,
// with a few MiB of memory, whatever its contents' sizes, and nothing of it lies
// on a disk in between: what encrypts it stands directly behind.
//
// An archive is a tar (pax). A content is cut into parts, NAME/0000 and so on, since
// a tar tells sizes in advance; the manifest is the last entry. So without updraft
//
//	age -d -i IDENTITY FILE | tar -x && cat mariadb.sql.gz/* | gunzip
//
// gives a content.
package backup

import (
	"archive/tar"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"path"
	"strconv"
	"time"
)

const (
	version      = 1
	manifestName = "manifest.json"
	// partSize is how much of a content is one entry, in bytes.
	partSize = 4 << 20
	// maxManifest bounds what is read into memory, in bytes.
	maxManifest = 16 << 20
)

// Manifest says what is in an archive.
type Manifest struct {
	Version int       `json:"version"`
	Cloud   string    `json:"cloud"`
	Created time.Time `json:"created"`
	Updraft string    `json:"updraft"`
	// Release is that of OpenStack; empty where there is none.
	Release string `json:"release,omitempty"`
	// Keys are SHA-256 sums of keys without which contents cannot be read, by name.
	Keys     map[string]string `json:"keys,omitempty"`
	Contents []Content         `json:"contents"`
}

// Content is one of an archive's.
type Content struct {
	Name   string `json:"name"`
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"`
	// From is the host that it came from.
	From string `json:"from,omitempty"`
}

// Writer writes an archive.
type Writer struct {
	out *tar.Writer
	m   Manifest
}

// NewWriter begins an archive. Contents and version of m are filled in.
func NewWriter(w io.Writer, m Manifest) *Writer {
	m.Version, m.Contents = version, nil
	return &Writer{tar.NewWriter(w), m}
}

// Add adds what write writes under a name.
func (w *Writer) Add(name, from string, write func(io.Writer) error) error {
	p := &parts{w: w, name: name, sum: sha256.New()}
	if err := errors.Join(write(p), p.flush()); err != nil {
		return fmt.Errorf("cannot back up %s: %w", name, err)
	}
	w.m.Contents = append(w.m.Contents, Content{name, p.size, hex.EncodeToString(p.sum.Sum(nil)), from})
	return nil
}

// Close writes the manifest. It returns what was written.
func (w *Writer) Close() (Manifest, error) {
	data, err := json.MarshalIndent(w.m, "", " ")
	if err == nil {
		err = w.entry(manifestName, data)
	}
	return w.m, errors.Join(err, w.out.Close())
}

func (w *Writer) entry(name string, data []byte) error {
	head := &tar.Header{Typeflag: tar.TypeReg, Name: name, Size: int64(len(data)), Mode: 0o600, ModTime: w.m.Created, Format: tar.FormatPAX}
	if err := w.out.WriteHeader(head); err != nil {
		return err
	}
	_, err := w.out.Write(data)
	return err
}

// parts cuts a content.
type parts struct {
	w    *Writer
	name string
	sum  hash.Hash
	size int64
	next int
	buf  []byte
}

// Write implements [io.Writer].
func (p *parts) Write(data []byte) (int, error) {
	n := len(data)
	for len(data) > 0 {
		take := min(partSize-len(p.buf), len(data))
		p.buf = append(p.buf, data[:take]...)
		data = data[take:]
		if len(p.buf) == partSize {
			if err := p.flush(); err != nil {
				return 0, err
			}
		}
	}
	return n, nil
}

// flush writes a part. A content of nothing has one, too.
func (p *parts) flush() error {
	if len(p.buf) == 0 && p.next > 0 {
		return nil
	}
	p.sum.Write(p.buf)
	p.size += int64(len(p.buf))
	err := p.w.entry(fmt.Sprintf("%s/%04d", p.name, p.next), p.buf)
	p.next++
	p.buf = p.buf[:0]
	return err
}

// Walk reads an archive, and hands each content to visit, which may leave some of
// it unread. Until Walk has returned without an error, nothing is known of what
// visit has seen.
func Walk(r io.Reader, visit func(name string, content io.Reader) error) (Manifest, error) {
	in := &walker{in: tar.NewReader(r)}
	if err := in.next(); err != nil {
		return Manifest{}, err
	}
	var found []Content
	for in.name != manifestName {
		c := &content{in: in, name: in.name, sum: sha256.New()}
		if in.part != 0 {
			return Manifest{}, fmt.Errorf("%s does not begin with its first part", in.name)
		}
		if err := visit(c.name, c); err != nil {
			return Manifest{}, err
		}
		if _, err := io.Copy(io.Discard, c); err != nil {
			return Manifest{}, err
		}
		found = append(found, Content{Name: c.name, Size: c.size, SHA256: hex.EncodeToString(c.sum.Sum(nil))})
	}
	return in.manifest(r, found)
}

// walker is where a reader of an archive is.
type walker struct {
	in   *tar.Reader
	name string // of the content of the present entry
	part int
}

// next goes to the next entry.
func (w *walker) next() error {
	head, err := w.in.Next()
	if errors.Is(err, io.EOF) {
		return errors.New("it has no manifest: it was cut off")
	}
	if err != nil {
		return err
	}
	if head.Name == manifestName {
		w.name = manifestName
		return nil
	}
	dir, base := path.Split(head.Name)
	if w.part, err = strconv.Atoi(base); err != nil || dir == "" {
		return fmt.Errorf("it has an entry %q, which updraft has not written", head.Name)
	}
	w.name = path.Clean(dir)
	return nil
}

// manifest holds what was found against the manifest, which is the present entry.
func (w *walker) manifest(r io.Reader, found []Content) (Manifest, error) {
	var m Manifest
	data, err := io.ReadAll(io.LimitReader(w.in, maxManifest))
	if err != nil {
		return m, err
	}
	if err := json.Unmarshal(data, &m); err != nil {
		return m, fmt.Errorf("its manifest cannot be read: %w", err)
	}
	if m.Version != version {
		return m, fmt.Errorf("it has format %d, and this updraft knows %d: use the updraft that wrote it", m.Version, version)
	}
	if len(m.Contents) != len(found) {
		return m, fmt.Errorf("its manifest lists %d contents, and there are %d", len(m.Contents), len(found))
	}
	for i, c := range m.Contents {
		c.From = ""
		if c != found[i] {
			return m, fmt.Errorf("%s is not what was backed up", c.Name)
		}
	}
	if _, err := w.in.Next(); !errors.Is(err, io.EOF) {
		return m, errors.New("something follows its manifest")
	}
	_, err = io.Copy(io.Discard, r) // the end of the encryption is proven by reading it
	return m, err
}

// content reads the parts of one content.
type content struct {
	in   *walker
	name string
	sum  hash.Hash
	size int64
	done bool
}

// Read implements [io.Reader].
func (c *content) Read(p []byte) (int, error) {
	for !c.done {
		n, err := c.in.in.Read(p)
		c.sum.Write(p[:n])
		c.size += int64(n)
		if err != nil && !errors.Is(err, io.EOF) {
			return n, err
		}
		if err != nil {
			was := c.in.part
			if err := c.in.next(); err != nil {
				return n, err
			}
			c.done = c.in.name != c.name
			if !c.done && c.in.part != was+1 {
				return n, fmt.Errorf("%s lacks a part", c.name)
			}
		}
		if n > 0 {
			return n, nil
		}
	}
	return 0, io.EOF
}
