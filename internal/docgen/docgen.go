// Package docgen makes the JSON Schema and the reference of the cloud file.
//
// Both come from the tags of the structs that the file is decoded into, so they
// cannot say anything else than the decoder does. What is known elsewhere (kinds
// of resources, configsets, checks, providers) is given as tables. The output is
// the same for the same input, byte by byte.
package docgen

import (
	"reflect"
	"slices"
	"strings"

	"github.com/updraft-cloud/updraft/internal/spec"
)

// Part is one entry of a table: a kind of resource, a configset, a kind of
// check or a provider.
type Part struct {
	Name string
	Doc  string
	// Sample is a pointer to the struct its body is decoded into, with the
	// defaults filled in where they are not in tags; nil when it takes nothing.
	Sample any
	// Example is YAML of a body; may be empty.
	Example string
}

// Parts are the tables by the names that package spec gives them
// (spec.PartsResources and so on). Of a table that is missing, any key is taken.
type Parts map[string][]Part

// sorted returns the table in the order of names.
func (p Parts) sorted(table string) []Part {
	return slices.SortedFunc(slices.Values(p[table]), func(a, b Part) int { return strings.Compare(a.Name, b.Name) })
}

// structOf returns the struct type of a sample and its value, or false.
func structOf(sample any) (reflect.Value, bool) {
	v := reflect.ValueOf(sample)
	for v.Kind() == reflect.Pointer && !v.IsNil() {
		v = v.Elem()
	}
	return v, v.Kind() == reflect.Struct
}

// formsOf returns the ways in which a type can be written, if it is one of
// several.
func formsOf(t reflect.Type) ([]any, bool) {
	if f, ok := reflect.New(t).Interface().(spec.Forms); ok {
		return f.Forms(), true
	}
	return nil, false
}

// elemOf returns the type of the values of a spec.Map.
func elemOf(t reflect.Type) (reflect.Type, bool) {
	if m, ok := reflect.New(t).Interface().(interface{ Elem() reflect.Type }); ok && t.Kind() == reflect.Slice {
		return m.Elem(), true
	}
	return nil, false
}

// ownSample returns what the sample holds in a field, behind a pointer too. It is
// not valid when there is nothing.
func ownSample(f spec.Field, sample reflect.Value) reflect.Value {
	if !sample.IsValid() {
		return reflect.Value{}
	}
	v, err := sample.FieldByIndexErr(f.Index)
	if err != nil {
		return reflect.Value{}
	}
	for v.Kind() == reflect.Pointer {
		v = v.Elem() // not valid for nil
	}
	return v
}

// defaultOf returns the default of a field: that of its tag, else what the
// sample holds.
func defaultOf(f spec.Field, sample reflect.Value) string {
	if f.Default != "" || !sample.IsValid() {
		return f.Default
	}
	v := ownSample(f, sample)
	if !v.IsValid() || v.IsZero() || !v.CanInterface() {
		return ""
	}
	return text(v)
}
