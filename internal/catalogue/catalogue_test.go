package catalogue

import (
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/updraft-cloud/updraft/internal/configset"
	"github.com/updraft-cloud/updraft/internal/spec"
)

func TestSetsAreInOrderAndNamedOnce(t *testing.T) {
	sets := Sets()
	if !slices.IsSortedFunc(sets, func(a, b configset.Set) int { return strings.Compare(a.Name, b.Name) }) {
		t.Error("sets are not in the order of their names")
	}
	seen := map[string]bool{}
	for _, s := range sets {
		if seen[s.Name] || !regexp.MustCompile(`^[a-z][a-z0-9-]*$`).MatchString(s.Name) {
			t.Errorf("name %q is taken or cannot be written", s.Name)
		}
		seen[s.Name] = true
	}
}

func TestEverythingIsDocumented(t *testing.T) {
	for _, s := range Sets() {
		if !strings.HasSuffix(s.Doc, ".") {
			t.Errorf("%s: Doc is no sentence: %q", s.Name, s.Doc)
		}
		documented(t, s.Name, reflect.TypeOf(s.Params()).Elem())
	}
}

// documented checks that each field, at any depth, says what it is.
func documented(t *testing.T, path string, typ reflect.Type) {
	t.Helper()
	for typ.Kind() == reflect.Pointer || typ.Kind() == reflect.Slice {
		typ = typ.Elem()
	}
	if typ.Kind() != reflect.Struct {
		return
	}
	for _, f := range spec.Fields(typ) {
		at := path + "." + f.Name
		if !strings.HasSuffix(f.Doc, ".") {
			t.Errorf("%s: doc is no sentence: %q", at, f.Doc)
		}
		if f.Name != strings.ToLower(f.Name) {
			t.Errorf("%s is not in lower case", at)
		}
		if _, ok := spec.Formats[f.Format]; f.Format != "" && !ok {
			t.Errorf("%s: there is no format %q", at, f.Format)
		}
		documented(t, at, f.Type)
	}
}

func TestParamsAreNewEachTime(t *testing.T) {
	for _, s := range Sets() {
		if s.Params() == s.Params() {
			t.Errorf("%s: Params returns the same value twice", s.Name)
		}
		if v := reflect.ValueOf(s.Params()); v.Kind() != reflect.Pointer || v.Elem().Kind() != reflect.Struct {
			t.Errorf("%s: Params returns %T, not a pointer to a struct", s.Name, s.Params())
		}
	}
}
