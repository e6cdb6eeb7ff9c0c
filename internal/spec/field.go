package spec

import (
	"reflect"
	"strings"
	"sync"
)

// Field is what the tags of one struct field say.
type Field struct {
	Name     string // as in the file
	Index    []int  // for reflect.Value.FieldByIndex
	Type     reflect.Type
	Doc      string   // tag doc: a sentence or two
	Default  string   // tag default, as it would be written
	Enum     []string // tag enum, separated by commas
	Required bool     // tag required
	Format   string   // tag format: a key of [Formats]
	Keys     string   // tag keys: the format of a map's keys
	Min, Max string   // tags min and max, both included
	// Parts is the tag parts: the name of the table from which the keys below
	// this field come, such as "configsets". On a field of type [Part] the key
	// stands beside the struct's other keys.
	Parts string
}

// Part is one key of a struct that names something other packages know (a kind
// of resource, a kind of check), with its body.
type Part struct {
	Name string
	Body Raw
}

// Forms is a type that can be written in several ways, such as a list of names
// or a map. Forms returns a pointer to a zero value for each way, no two of
// which decode from the same kind of value; Take receives the one decoded.
type Forms interface {
	Forms() []any
	Take(form any)
}

// Map is a map that keeps the order of the file.
type Map[T any] []Entry[T]

// Entry is one key of a [Map].
type Entry[T any] struct {
	Key   string
	Value T
	Where Where // of the key
}

// Where is the place of a struct or key in the file. A field At of this type is
// filled in by the decoder.
type Where struct{ n *node }

// ordered is implemented by pointers to a [Map].
type ordered interface {
	// add appends an entry and returns a pointer to its value.
	add(key string, where *node) any
	Elem() reflect.Type
}

func (m *Map[T]) add(key string, where *node) any {
	*m = append(*m, Entry[T]{Key: key, Where: Where{where}})
	return &(*m)[len(*m)-1].Value
}

// Elem returns the type of the values.
func (m *Map[T]) Elem() reflect.Type { return reflect.TypeFor[T]() }

// Get returns the value under the key, or nil.
func (m Map[T]) Get(key string) *T {
	for i := range m {
		if m[i].Key == key {
			return &m[i].Value
		}
	}
	return nil
}

// Keys returns the keys in order.
func (m Map[T]) Keys() []string {
	keys := make([]string, len(m))
	for i, e := range m {
		keys[i] = e.Key
	}
	return keys
}

var fieldCache sync.Map // reflect.Type → []Field

// Fields returns the fields of a struct type that can be written in a file, in
// order of declaration, those of embedded structs in their place.
func Fields(t reflect.Type) []Field {
	if cached, ok := fieldCache.Load(t); ok {
		return cached.([]Field)
	}
	fields := collectFields(t, nil)
	fieldCache.Store(t, fields)
	return fields
}

func collectFields(t reflect.Type, index []int) []Field {
	var out []Field
	for i := range t.NumField() {
		sf := t.Field(i)
		at := append(append([]int(nil), index...), i)
		tag, hasTag := sf.Tag.Lookup("json")
		name, _, _ := strings.Cut(tag, ",")
		switch {
		case sf.Anonymous && !hasTag && sf.Type.Kind() == reflect.Struct:
			out = append(out, collectFields(sf.Type, at)...)
			continue
		case !sf.IsExported(), name == "-" && sf.Type != reflect.TypeFor[Part]():
			continue
		case name == "":
			name = sf.Name
		}
		out = append(out, newField(sf, name, at))
	}
	return out
}

func newField(sf reflect.StructField, name string, index []int) Field {
	f := Field{
		Name: name, Index: index, Type: sf.Type,
		Doc: sf.Tag.Get("doc"), Default: sf.Tag.Get("default"), Format: sf.Tag.Get("format"), Keys: sf.Tag.Get("keys"),
		Min: sf.Tag.Get("min"), Max: sf.Tag.Get("max"), Parts: sf.Tag.Get("parts"),
		Required: sf.Tag.Get("required") == "true",
	}
	if enum := sf.Tag.Get("enum"); enum != "" {
		f.Enum = strings.Split(enum, ",")
	}
	return f
}

// IsPart reports whether the field takes a key that other packages know.
func (f Field) IsPart() bool { return f.Type == reflect.TypeFor[Part]() }
