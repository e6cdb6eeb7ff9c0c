package spec

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/updraft-cloud/updraft/internal/diag"
)

// kind is what a node is.
type kind uint8

const (
	nullKind kind = iota
	boolKind
	numberKind
	textKind
	listKind
	mapKind
)

// String names the kind as diagnostics do.
func (k kind) String() string {
	return [...]string{"nothing", "true or false", "a number", "text", "a list", "a map"}[k]
}

// node is a value of the cloud file with its position. Trees share no nodes
// until they are merged; from then on they are not changed.
type node struct {
	kind    kind
	pos     diag.Pos
	text    string // of a scalar, as written
	plain   bool   // a scalar without quotes
	broken  bool   // its variable is unknown, as was reported
	items   []*node
	entries []entry
}

// entry is one key of a map.
type entry struct {
	key string
	pos diag.Pos // of the key
	val *node
}

// get returns the value of the key, or nil.
func (n *node) get(key string) *node {
	if n == nil {
		return nil
	}
	for _, e := range n.entries {
		if e.key == key {
			return e.val
		}
	}
	return nil
}

// at returns the position of the path below n ("nics.0.address"), or of the
// nearest thing around it.
func (n *node) at(path string) diag.Pos {
	if n == nil {
		return diag.Pos{}
	}
	pos := n.pos
	for part := range strings.SplitSeq(path, ".") {
		n = n.child(part)
		if n == nil {
			break
		}
		pos = n.pos
	}
	return pos
}

func (n *node) child(name string) *node {
	if n.kind == mapKind {
		return n.get(name)
	}
	if i, err := strconv.Atoi(name); err == nil && i >= 0 && i < len(n.items) {
		return n.items[i]
	}
	return nil
}

// shown renders the value for a diagnostic: short and on one line.
func (n *node) shown() string {
	switch n.kind {
	case boolKind, numberKind:
		return n.text
	case textKind:
		const most = 40
		s := n.text
		if len(s) > most {
			s = strings.ToValidUTF8(s[:most], "") + "…"
		}
		return strconv.Quote(s)
	default:
		return n.kind.String()
	}
}

// merge returns base with over laid upon it: maps key by key, everything else
// replaced. A key that over gives as nothing (null) stays as in base. Keys keep
// the order of base; new ones follow. Neither argument is changed.
func merge(base, over *node) *node {
	switch {
	case over == nil || over.kind == nullKind && base != nil:
		return base
	case base == nil || base.kind != mapKind || over.kind != mapKind:
		return over
	}
	out := &node{kind: mapKind, pos: over.pos, entries: slices.Clone(base.entries)}
	where := make(map[string]int, len(base.entries))
	for i, e := range base.entries {
		where[e.key] = i
	}
	for _, e := range over.entries {
		if i, ok := where[e.key]; ok {
			e.val = merge(out.entries[i].val, e.val)
			out.entries[i] = e
			continue
		}
		out.entries = append(out.entries, e)
	}
	return out
}

// json returns the node as JSON.
func (n *node) json() []byte {
	var b bytes.Buffer
	n.encode(&b)
	return b.Bytes()
}

// encode writes the node as JSON, maps in the order of the file.
func (n *node) encode(b *bytes.Buffer) {
	switch n.kind {
	case nullKind:
		b.WriteString("null")
	case boolKind:
		b.WriteString(strings.ToLower(n.text))
	case numberKind:
		b.WriteString(jsonNumber(n.text))
	case textKind:
		quoted, _ := json.Marshal(n.text) // text cannot fail
		b.Write(quoted)
	case listKind:
		n.encodeList(b)
	case mapKind:
		n.encodeMap(b)
	}
}

func (n *node) encodeList(b *bytes.Buffer) {
	b.WriteByte('[')
	for i, item := range n.items {
		if i > 0 {
			b.WriteByte(',')
		}
		item.encode(b)
	}
	b.WriteByte(']')
}

func (n *node) encodeMap(b *bytes.Buffer) {
	b.WriteByte('{')
	for i, e := range n.entries {
		if i > 0 {
			b.WriteByte(',')
		}
		key, _ := json.Marshal(e.key)
		b.Write(key)
		b.WriteByte(':')
		e.val.encode(b)
	}
	b.WriteByte('}')
}

// jsonNumber renders a YAML number as JSON: as written where JSON allows that.
func jsonNumber(text string) string {
	if json.Valid([]byte(text)) {
		return text
	}
	if i, err := strconv.ParseInt(text, 0, 64); err == nil && !hasLeadingZero(text) {
		return strconv.FormatInt(i, 10)
	}
	if hasLeadingZero(text) {
		return strconv.Quote(text)
	}
	if f, err := strconv.ParseFloat(strings.TrimPrefix(text, "+"), 64); err == nil {
		if out, err := json.Marshal(f); err == nil {
			return string(out)
		}
	}
	quoted, _ := json.Marshal(text) // .inf, .nan and out of range
	return string(quoted)
}

// walk calls visit for n and everything below it with its path, as far as the
// path is not too long to be of use.
func (n *node) walk(path string, visit func(path string, n *node)) {
	visit(path, n)
	if len(path) > longestPath {
		return
	}
	for i, item := range n.items {
		item.walk(join(path, strconv.Itoa(i)), visit)
	}
	for _, e := range n.entries {
		e.val.walk(join(path, e.key), visit)
	}
}

// longestPath bounds paths, which junk could make of any length.
const longestPath = 512

// join puts a name after a path.
func join(path, name string) string {
	switch {
	case path == "":
		return name
	case len(path) > longestPath:
		return path
	}
	return path + "." + name
}

// faults collects diagnostics and stops taking them when there are more than a
// person would read.
type faults struct {
	list diag.List
	full bool
}

// mostFaults bounds what junk can produce.
const mostFaults = 200

func (f *faults) add(d diag.Diagnostic) {
	switch {
	case len(f.list) < mostFaults:
		f.list.Add(d)
	case !f.full:
		f.full = true
		f.list.Add(diag.Diagnostic{Pos: diag.Pos{File: d.Pos.File}, Summary: fmt.Sprintf("more than %d faults: the rest is not shown", mostFaults)})
	}
}

func (f *faults) errorf(pos diag.Pos, path, mend, format string, args ...any) {
	f.add(diag.Diagnostic{Pos: pos, Path: path, Mend: mend, Summary: fmt.Sprintf(format, args...)})
}

func (f *faults) warnf(pos diag.Pos, path, mend, format string, args ...any) {
	f.add(diag.Diagnostic{Severity: diag.Warning, Pos: pos, Path: path, Mend: mend, Summary: fmt.Sprintf(format, args...)})
}
