package spec

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"reflect"

	"github.com/updraft-cloud/updraft/internal/diag"
)

// newRaw makes a Raw of a tree.
func newRaw(n *node) Raw {
	r := Raw{JSON: n.json(), Where: map[string]diag.Pos{}, tree: n}
	n.walk("", func(path string, n *node) { r.Where[path] = n.pos })
	return r
}

// Decode fills into, a pointer to a struct tagged as those in this package are
// (json, doc, default, enum, required, format, min, max), and appends every
// fault to diags: unknown keys with the closest match, wrong types, what is
// required and missing, values out of their bounds. path is that of the whole
// in the cloud file; it begins the paths and texts of faults. An empty Raw, or
// one that is nothing (null), is decoded as an empty map.
//
// Values that into holds already are kept where the file says nothing, so that
// defaults can be filled in before. Repeated calls are independent.
func (r Raw) Decode(into any, path string, diags *diag.List) {
	n, err := r.node()
	if err != nil {
		diags.Errorf(r.PosOf(""), path, "", "cannot read %s: %v", path, err)
		return
	}
	if n.kind == nullKind {
		n = &node{kind: mapKind, pos: n.pos}
	}
	d := decoder{report: func(f diag.Diagnostic) {
		if len(*diags) < mostFaults {
			diags.Add(f)
		}
	}}
	d.decode(n, reflect.ValueOf(into).Elem(), path)
}

// IsZero reports whether nothing was written.
func (r Raw) IsZero() bool { return len(r.JSON) == 0 || string(r.JSON) == "null" }

// node returns the tree, made from the JSON when the Raw was not read from a file.
func (r Raw) node() (*node, error) {
	if r.tree != nil {
		return r.tree, nil
	}
	if len(r.JSON) == 0 {
		return &node{pos: r.PosOf("")}, nil
	}
	dec := json.NewDecoder(bytes.NewReader(r.JSON))
	dec.UseNumber()
	n, err := r.fromJSON(dec, "")
	if err != nil {
		return nil, err
	}
	if _, err := dec.Token(); err != io.EOF {
		return nil, fmt.Errorf("text after the end of the value")
	}
	return n, nil
}

func (r Raw) fromJSON(dec *json.Decoder, path string) (*node, error) {
	n := &node{pos: r.PosOf(path)}
	token, err := dec.Token()
	if err != nil {
		return nil, err
	}
	switch t := token.(type) {
	case nil:
	case bool:
		n.kind, n.text = boolKind, fmt.Sprint(t)
	case json.Number:
		n.kind, n.text = numberKind, t.String()
	case string:
		n.kind, n.text = textKind, t
	case json.Delim:
		err = r.container(dec, n, t, path)
	}
	return n, err
}

func (r Raw) container(dec *json.Decoder, n *node, open json.Delim, path string) error {
	n.kind = listKind
	if open == '{' {
		n.kind = mapKind
	}
	for dec.More() {
		name := fmt.Sprint(len(n.items))
		if open == '{' {
			key, err := dec.Token()
			if err != nil {
				return err
			}
			name, _ = key.(string)
		}
		child, err := r.fromJSON(dec, join(path, name))
		if err != nil {
			return err
		}
		if open == '{' {
			n.entries = append(n.entries, entry{name, child.pos, child})
		} else {
			n.items = append(n.items, child)
		}
	}
	_, err := dec.Token()
	return err
}
