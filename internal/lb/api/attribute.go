package api

import (
	"bytes"
	"cmp"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"time"
)

// attribute is one attribute of a kind of object in answers: how it is shown,
// searched and ordered. The table of a kind's attributes is at the same time its
// schema, its projection (fields=), its filters and its sort keys.
//
// Objects are written straight into the answer's bytes: a list of a thousand
// load balancers is written in the time in which reflection would have looked at
// a hundred.
type attribute[T any] struct {
	name   string
	schema schema
	// show appends the value as JSON; nil for what can be searched but is not
	// shown.
	show func(b []byte, o T) []byte
	// match makes a filter of the text of a query; nil when it cannot be searched.
	match func(text string) (func(T) bool, bool)
	// compare orders; nil when it cannot.
	compare func(a, b T) int
}

// hidden makes an attribute one for queries only.
func hidden[T any](a attribute[T]) attribute[T] {
	a.show = nil
	return a
}

// renamed is the same attribute by another name.
func renamed[T any](name string, a attribute[T]) attribute[T] {
	a.name = name
	return a
}

func (s schema) nullable() schema {
	s.Nullable = true
	return s
}

// textual is a string that is never null.
func textual[T any, S ~string](name string, get func(T) S) attribute[T] {
	return attribute[T]{
		name: name, schema: schema{Type: "string"},
		show: func(b []byte, o T) []byte { return appendText(b, string(get(o))) },
		match: func(text string) (func(T) bool, bool) {
			return func(o T) bool { return string(get(o)) == text }, true
		},
		compare: func(a, b T) int { return cmp.Compare(get(a), get(b)) },
	}
}

// optional is a string of which the empty one is null.
func optional[T any, S ~string](name string, get func(T) S) attribute[T] {
	a := textual(name, get)
	a.schema = a.schema.nullable()
	a.show = func(b []byte, o T) []byte { return appendOptional(b, string(get(o))) }
	return a
}

func number[T any](name string, get func(T) int) attribute[T] {
	return attribute[T]{
		name: name, schema: schema{Type: "integer"},
		show: func(b []byte, o T) []byte { return strconv.AppendInt(b, int64(get(o)), 10) },
		match: func(text string) (func(T) bool, bool) {
			n, err := strconv.Atoi(text)
			return func(o T) bool { return get(o) == n }, err == nil
		},
		compare: func(a, b T) int { return cmp.Compare(get(a), get(b)) },
	}
}

// optionalNumber is a number of which zero is null.
func optionalNumber[T any](name string, get func(T) int) attribute[T] {
	a := number(name, get)
	show := a.show
	a.schema = a.schema.nullable()
	a.show = func(b []byte, o T) []byte {
		if get(o) == 0 {
			return append(b, "null"...)
		}
		return show(b, o)
	}
	return a
}

func toggle[T any](name string, get func(T) bool) attribute[T] {
	return attribute[T]{
		name: name, schema: schema{Type: "boolean"},
		show: func(b []byte, o T) []byte { return strconv.AppendBool(b, get(o)) },
		match: func(text string) (func(T) bool, bool) {
			want, ok := asBool(text)
			return func(o T) bool { return get(o) == want }, ok
		},
		compare: func(a, b T) int { return cmp.Compare(strconv.FormatBool(get(a)), strconv.FormatBool(get(b))) },
	}
}

// timeForm is how the API writes times: UTC, without a zone.
const timeForm = "2006-01-02T15:04:05"

// moment is a time; the zero one is null.
func moment[T any](name string, get func(T) time.Time) attribute[T] {
	return attribute[T]{
		name: name, schema: schema{Type: "string", Format: "date-time"}.nullable(),
		show: func(b []byte, o T) []byte { return appendTime(b, get(o)) },
		match: func(text string) (func(T) bool, bool) {
			t, err := time.Parse(timeForm, strings.Replace(text, " ", "T", 1))
			return func(o T) bool { return get(o).Truncate(time.Second).Equal(t) }, err == nil
		},
		compare: func(a, b T) int { return get(a).Compare(get(b)) },
	}
}

// shownAs is an attribute that cannot be searched or ordered by.
func shownAs[T any](name string, s schema, show func(b []byte, o T) []byte) attribute[T] {
	return attribute[T]{name: name, schema: s, show: show}
}

func appendTime(b []byte, t time.Time) []byte {
	if t.IsZero() {
		return append(b, "null"...)
	}
	b = append(b, '"')
	return append(t.UTC().AppendFormat(b, timeForm), '"')
}

func appendOptional(b []byte, s string) []byte {
	if s == "" {
		return append(b, "null"...)
	}
	return appendText(b, s)
}

// appendText appends a string as JSON.
func appendText(b []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c >= 0x7f || c == '"' || c == '\\' {
			return append(b, encode(s)...)
		}
	}
	b = append(b, '"')
	b = append(b, s...)
	return append(b, '"')
}

// appendTexts appends a list of strings.
func appendTexts(b []byte, list []string) []byte {
	b = append(b, '[')
	for i, s := range list {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendText(b, s)
	}
	return append(b, ']')
}

// appendOptionalTexts appends a list of strings, the empty one as null.
func appendOptionalTexts(b []byte, list []string) []byte {
	if len(list) == 0 {
		return append(b, "null"...)
	}
	return appendTexts(b, list)
}

// encode is JSON of what always can be written: maps and slices of plain values.
func encode(v any) []byte {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if enc.Encode(v) != nil {
		return []byte("null")
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

// kind is a kind of object in answers: its keys, and its attributes in the order
// in which they are written.
type kind[T any] struct {
	one, many string
	// links are the names of the list of links: Octavia's, and the one that
	// clients expect where the two differ.
	links []string
	attrs []attribute[T]
	id    func(T) string
	tags  func(T) []string
}

// linkKeys are the names under which links are written.
func (k *kind[T]) linkKeys() []string {
	if k.links != nil {
		return k.links
	}
	return []string{k.many + "_links"}
}

func (k *kind[T]) attr(name string) (*attribute[T], bool) {
	i := slices.IndexFunc(k.attrs, func(a attribute[T]) bool { return a.name == name })
	if i < 0 {
		return nil, false
	}
	return &k.attrs[i], true
}

// chosen are the attributes that are wanted, all if none are named.
func (k *kind[T]) chosen(fields []string) []attribute[T] {
	if fields == nil {
		return k.attrs
	}
	var out []attribute[T]
	for _, a := range k.attrs {
		if slices.Contains(fields, a.name) {
			out = append(out, a)
		}
	}
	return out
}

// appendObject appends an object with some of its attributes.
func appendObject[T any](b []byte, o T, attrs []attribute[T]) []byte {
	b = append(b, '{')
	first := true
	for i := range attrs {
		a := &attrs[i]
		if a.show == nil {
			continue
		}
		if !first {
			b = append(b, ',')
		}
		first = false
		b = append(b, '"')
		b = append(b, a.name...)
		b = append(b, '"', ':')
		b = a.show(b, o)
	}
	return append(b, '}')
}
