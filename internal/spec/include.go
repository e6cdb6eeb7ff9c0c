package spec

import (
	"fmt"
	"hash"
	"path/filepath"
	"slices"
	"strings"

	"github.com/updraft-cloud/updraft/internal/diag"
)

// maxFiles bounds how many files one cloud file may include, however often.
const maxFiles = 64

// reader reads a file with its includes.
type reader struct {
	opts   Options
	faults *faults
	digest hash.Hash
	files  []string
	stack  []string // the files being read, outermost first
	bytes  int
	reads  int
}

// read parses the file, and merges it over the files that it includes, of which
// later ones go over earlier ones. It returns nil when nothing can be used.
func (r *reader) read(name string, data []byte) *node {
	r.bytes += len(data)
	if r.bytes > maxBytes {
		r.faults.errorf(diag.Pos{File: name}, "", "keep large contents in files of their own", "the cloud file is larger than %d MiB", maxBytes>>20)
		return nil
	}
	fmt.Fprintf(r.digest, "file %d:", len(data))
	r.digest.Write(data)
	if !slices.Contains(r.files, name) {
		r.files = append(r.files, name)
	}
	n := parseYAML(name, data, r.faults)
	if n == nil {
		return nil
	}
	if n.kind != mapKind {
		r.faults.errorf(n.pos, "", "it begins with version: 1", "a cloud file is a map, not %s", n.kind)
		return nil
	}
	var base *node
	r.stack = append(r.stack, filepath.Clean(name))
	for i, item := range r.includes(n) {
		base = merge(base, r.include(name, fmt.Sprintf("include.%d", i), item))
	}
	r.stack = r.stack[:len(r.stack)-1]
	return merge(base, n)
}

// includes returns the names under include, those that can be used.
func (r *reader) includes(n *node) []*node {
	list := n.get("include")
	if list == nil || list.kind != listKind {
		return nil // a wrong type is reported by the decoder
	}
	return slices.DeleteFunc(slices.Clone(list.items), func(n *node) bool { return n.kind != textKind || n.text == "" })
}

func (r *reader) include(from, path string, item *node) *node {
	name := item.text
	if !filepath.IsAbs(name) {
		name = filepath.Join(filepath.Dir(from), name)
	}
	if i := slices.Index(r.stack, filepath.Clean(name)); i >= 0 {
		chain := strings.Join(append(slices.Clone(r.stack[i:]), filepath.Clean(name)), " → ")
		r.faults.errorf(item.pos, path, "remove one of the includes", "files include each other: %s", chain)
		return nil
	}
	if r.reads++; r.reads > maxFiles {
		r.faults.errorf(item.pos, path, "", "more than %d files are included", maxFiles)
		return nil
	}
	data, err := r.opts.Read(name)
	if err != nil {
		r.faults.errorf(item.pos, path, "names are relative to the file that includes", "cannot include %s: %s", item.text, cause(err))
		return nil
	}
	return r.read(name, data)
}
