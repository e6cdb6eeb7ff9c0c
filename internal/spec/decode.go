package spec

import (
	"bytes"
	"encoding"
	"encoding/json"
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/updraft-cloud/updraft/internal/diag"
)

// decoder fills tagged Go values from a tree. It reports and goes on.
type decoder struct {
	report func(diag.Diagnostic)
	raws   map[*node]Raw // those made before; nil to keep none
	budget *int          // how many more values Raws may hold; nil for no bound
}

// raw returns the Raw of a tree. Trees that many hosts share are made into one
// once.
func (d *decoder) raw(n *node) Raw {
	if r, ok := d.raws[n]; ok {
		return r
	}
	if d.budget != nil && *d.budget < 0 {
		return Raw{}
	}
	r := newRaw(n)
	if d.budget != nil {
		*d.budget -= len(r.Where)
	}
	if d.raws != nil {
		d.raws[n] = r
	}
	return r
}

func (d *decoder) errorf(n *node, path, mend, format string, args ...any) {
	d.report(diag.Diagnostic{Pos: n.pos, Path: path, Mend: mend, Summary: fmt.Sprintf(format, args...)})
}

// want reports a value of the wrong kind.
func (d *decoder) want(n *node, path, what, mend string) {
	d.errorf(n, path, mend, "%s: expected %s, got %s", path, what, n.shown())
}

// decode fills v, which can be set, from n. What is nothing (null) is left alone.
func (d *decoder) decode(n *node, v reflect.Value, path string) {
	if n.kind == nullKind || n.broken {
		return
	}
	if v.CanAddr() && d.special(n, v, path) {
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() {
			v.Set(reflect.New(v.Type().Elem()))
		}
		d.decode(n, v.Elem(), path)
	case reflect.Struct:
		d.structure(n, v, path)
	case reflect.Map:
		d.mapping(n, v, path)
	case reflect.Slice:
		d.list(n, v, path)
	case reflect.Interface:
		d.any(n, v, path)
	default:
		d.scalar(n, v, path)
	}
}

// special decodes types that say themselves how they are read.
func (d *decoder) special(n *node, v reflect.Value, path string) bool {
	switch p := v.Addr().Interface().(type) {
	case *Raw:
		*p = d.raw(n)
	case *json.RawMessage:
		*p = n.json()
	case *time.Duration:
		var long Duration
		d.text(n, &long, path)
		*p = time.Duration(long)
	case Forms:
		d.forms(n, p, path)
	case ordered:
		d.ordered(n, p, path)
	case *netip.Prefix:
		d.prefix(n, p, path)
	case *netip.Addr:
		d.addr(n, p, path)
	case encoding.TextUnmarshaler:
		d.text(n, p, path)
	case json.Unmarshaler:
		if err := p.UnmarshalJSON(n.json()); err != nil {
			d.errorf(n, path, "", "%s: %v", path, err)
		}
	default:
		return false
	}
	return true
}

func (d *decoder) forms(n *node, p Forms, path string) {
	var kinds []string
	for _, form := range p.Forms() {
		v := reflect.ValueOf(form).Elem()
		k := kindOf(v)
		if k == n.kind || k == textKind && n.kind == numberKind {
			d.decode(n, v, path)
			p.Take(form)
			return
		}
		kinds = append(kinds, k.String())
	}
	d.want(n, path, strings.Join(kinds, " or "), "")
}

// kindOf returns the kind of value that v decodes from.
func kindOf(v reflect.Value) kind {
	if _, ok := v.Addr().Interface().(ordered); ok {
		return mapKind
	}
	switch v.Kind() {
	case reflect.Bool:
		return boolKind
	case reflect.String:
		return textKind
	case reflect.Slice:
		return listKind
	case reflect.Struct, reflect.Map:
		return mapKind
	default:
		return numberKind
	}
}

func (d *decoder) ordered(n *node, m ordered, path string) {
	if n.kind != mapKind {
		d.want(n, path, "a map", "")
		return
	}
	for _, e := range n.entries {
		d.decode(e.val, reflect.ValueOf(m.add(e.key, &node{pos: e.pos})).Elem(), join(path, e.key))
	}
}

func (d *decoder) text(n *node, p encoding.TextUnmarshaler, path string) {
	if n.kind != textKind && n.kind != numberKind {
		d.want(n, path, "text", "")
		return
	}
	if err := p.UnmarshalText([]byte(n.text)); err != nil {
		d.errorf(n, path, "", "%s: %v", path, err)
	}
}

func (d *decoder) addr(n *node, p *netip.Addr, path string) {
	a, err := netip.ParseAddr(n.text)
	if err != nil || a.Zone() != "" || a.Is4In6() {
		d.want(n, path, "an IP address such as 10.88.0.1", "")
		return
	}
	*p = a
}

func (d *decoder) prefix(n *node, p *netip.Prefix, path string) {
	x, err := netip.ParsePrefix(n.text)
	if err != nil || x.Addr().Is4In6() {
		d.want(n, path, "a network such as 10.88.0.0/24", "")
		return
	}
	*p = x
}

func (d *decoder) mapping(n *node, v reflect.Value, path string) {
	if n.kind != mapKind {
		d.want(n, path, "a map", "")
		return
	}
	if v.Type().Key().Kind() != reflect.String {
		d.errorf(n, path, "", "%s: cannot be read from a file (%s)", path, v.Type())
		return
	}
	if v.IsNil() {
		v.Set(reflect.MakeMapWithSize(v.Type(), len(n.entries)))
	}
	for _, e := range n.entries {
		elem := reflect.New(v.Type().Elem()).Elem()
		d.decode(e.val, elem, join(path, e.key))
		v.SetMapIndex(reflect.ValueOf(e.key).Convert(v.Type().Key()), elem)
	}
}

func (d *decoder) list(n *node, v reflect.Value, path string) {
	if n.kind != listKind {
		mend := ""
		if n.kind == textKind || n.kind == numberKind {
			mend = "write [" + shorten(n.text) + "]"
		}
		d.want(n, path, "a list", mend)
		return
	}
	out := reflect.MakeSlice(v.Type(), len(n.items), len(n.items))
	for i, item := range n.items {
		at := join(path, strconv.Itoa(i))
		if item.kind == nullKind {
			d.errorf(item, at, "remove the dash, or write what is to follow it", "%s: the list has an empty item", at)
			continue
		}
		d.decode(item, out.Index(i), at)
	}
	v.Set(out)
}

func (d *decoder) any(n *node, v reflect.Value, path string) {
	dec := json.NewDecoder(bytes.NewReader(n.json()))
	if err := dec.Decode(v.Addr().Interface()); err != nil {
		d.errorf(n, path, "", "%s: %v", path, err)
	}
}

// structure decodes a map into a struct: known keys only, all required ones.
func (d *decoder) structure(n *node, v reflect.Value, path string) {
	if n.kind != mapKind {
		d.want(n, path, "a map", "")
		return
	}
	if at := v.FieldByName("At"); at.IsValid() && at.Type() == reflect.TypeFor[Where]() {
		at.Set(reflect.ValueOf(Where{n}))
	}
	fields := Fields(v.Type())
	part := slices.IndexFunc(fields, Field.IsPart)
	var parts []entry
	for _, e := range n.entries {
		i := slices.IndexFunc(fields, func(f Field) bool { return f.Name == e.key && !f.IsPart() })
		switch {
		case i >= 0:
			d.field(e.val, fields[i], v.FieldByIndex(fields[i].Index), join(path, e.key))
		case part >= 0:
			parts = append(parts, e)
		case path == "" && strings.HasPrefix(e.key, "x-"):
		default:
			d.unknown(e, fields, path)
		}
	}
	if part >= 0 {
		d.part(n, parts, fields, v.FieldByIndex(fields[part].Index), path)
	}
	d.complete(n, fields, v, path)
}

func (d *decoder) unknown(e entry, fields []Field, path string) {
	where := "here"
	if path != "" {
		where = "in " + path
	}
	d.errorf(&node{pos: e.pos}, join(path, e.key), DidYouMean(e.key, fieldNames(fields)), "unknown key %q %s", shorten(e.key), where)
}

func fieldNames(fields []Field) []string {
	var names []string
	for _, f := range fields {
		if !f.IsPart() {
			names = append(names, f.Name)
		}
	}
	return names
}

// part takes the one key that names a kind.
func (d *decoder) part(n *node, parts []entry, fields []Field, v reflect.Value, path string) {
	names := fieldNames(fields)
	if len(parts) > 1 { // one of them may be a misspelt key of the struct
		parts = slices.DeleteFunc(parts, func(e entry) bool {
			misspelt := Closest(e.key, names) != ""
			if misspelt {
				d.unknown(e, fields, path)
			}
			return misspelt
		})
	}
	switch len(parts) {
	case 0:
		d.errorf(n, path, "", "%s: the kind is missing", path)
	case 1:
		v.Set(reflect.ValueOf(Part{Name: parts[0].key, Body: d.raw(parts[0].val)}))
	default:
		d.errorf(&node{pos: parts[1].pos}, path, "make two entries of it", "%s: has two kinds, %s and %s",
			path, shorten(parts[0].key), shorten(parts[1].key))
	}
}

// complete fills in defaults and reports what is required and missing.
func (d *decoder) complete(n *node, fields []Field, v reflect.Value, path string) {
	for _, f := range fields {
		given := n.get(f.Name)
		if f.IsPart() || given != nil && given.kind != nullKind {
			continue
		}
		if f.Required {
			d.errorf(n, join(path, f.Name), f.example(), "%s is missing", join(path, f.Name))
			continue
		}
		fv := v.FieldByIndex(f.Index)
		if isPlainStruct(f.Type) {
			silent := decoder{report: func(diag.Diagnostic) {}}
			silent.structure(&node{kind: mapKind, pos: n.pos}, fv, join(path, f.Name))
		}
		if f.Default == "" || !fv.IsZero() || !isScalar(f.Type) {
			continue
		}
		def := &node{kind: resolve(f.Default), text: f.Default, plain: true, pos: n.pos}
		if f.Type.Kind() == reflect.String {
			def.kind = textKind
		}
		d.decode(def, fv, join(path, f.Name))
	}
}

// example says how a missing field could be written.
func (f Field) example() string {
	if len(f.Enum) > 0 {
		return fmt.Sprintf("write %s: %s", f.Name, f.Enum[0])
	}
	return ""
}

// isPlainStruct reports whether the type is read field by field.
func isPlainStruct(t reflect.Type) bool {
	if t.Kind() != reflect.Struct || t == reflect.TypeFor[Raw]() {
		return false
	}
	switch reflect.New(t).Interface().(type) {
	case Forms, ordered, encoding.TextUnmarshaler, json.Unmarshaler:
		return false
	}
	return true
}

// isScalar reports whether the type is written as one scalar.
func isScalar(t reflect.Type) bool {
	if reflect.PointerTo(t).Implements(reflect.TypeFor[encoding.TextUnmarshaler]()) {
		return true
	}
	switch t.Kind() {
	case reflect.Struct, reflect.Map, reflect.Slice, reflect.Interface, reflect.Pointer:
		return false
	}
	return true
}
