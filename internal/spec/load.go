package spec

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/updraft-cloud/updraft/internal/diag"
)

// Options change how a cloud file is read.
type Options struct {
	// Set holds KEY=VALUE settings that override vars of the file.
	Set []string
	// Read returns the content of an included file; it fails with an error
	// that wraps fs.ErrNotExist when there is none. Nil reads from disk.
	Read func(path string) ([]byte, error)
}

// errTooLarge is returned for a file above the limit.
var errTooLarge = fmt.Errorf("it is larger than %d MiB", maxBytes>>20)

// Load reads the cloud file at path and what it includes. The Cloud is nil when
// the list has errors; with warnings alone it is complete.
func Load(path string, opts Options) (*Cloud, diag.List) {
	data, err := readFile(path)
	if err != nil {
		d := diag.Diagnostic{Pos: diag.Pos{File: path}, Summary: "cannot read the cloud file: " + cause(err)}
		if errors.Is(err, fs.ErrNotExist) {
			d.Mend = "updraft init writes one"
		}
		return nil, diag.List{d}
	}
	return Parse(path, data, opts)
}

// Parse is Load for content that is already there. name stands in diagnostics
// and is what relative includes are relative to.
func Parse(name string, data []byte, opts Options) (*Cloud, diag.List) {
	f := &faults{}
	if opts.Read == nil {
		opts.Read = readRegular
	}
	r := &reader{opts: opts, faults: f, digest: sha256.New()}
	root := r.read(name, data)
	var c *Cloud
	if root != nil {
		root = substitute(root, opts.Set, f)
		c = expand(root, f)
	}
	f.list.Sort()
	if f.list.HasErrors() || c == nil {
		return nil, f.list
	}
	for _, s := range opts.Set {
		fmt.Fprintf(r.digest, "set %d:%s\n", len(s), s)
	}
	c.Files, c.Digest = r.files, hex.EncodeToString(r.digest.Sum(nil))
	return c, f.list
}

func readFile(path string) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, maxBytes+1))
	if err == nil && len(data) > maxBytes {
		err = errTooLarge
	}
	return data, err
}

// readRegular reads an included file. A device or a pipe is refused: reading it
// may never end.
func readRegular(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, errors.New("it is not a regular file")
	}
	return readFile(path)
}

// cause strips the operation and path that os puts before an error: the
// diagnostic names the file already.
func cause(err error) string {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return pe.Err.Error()
	}
	return err.Error()
}
