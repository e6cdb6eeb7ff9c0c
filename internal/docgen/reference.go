package docgen

import (
	"bytes"
	_ "embed"
	"fmt"
	"reflect"
	"strings"

	"github.com/updraft-cloud/updraft/internal/spec"
)

//go:embed intro.md
var intro string

// Reference returns the reference of the cloud file in Markdown: an introduction
// about what no tag can say, the keys of the file, and the tables.
func Reference(root any, parts Parts) []byte {
	r := &reference{parts: parts, seen: map[reflect.Type]string{}}
	r.WriteString(intro)
	r.WriteString("\n## The file\n")
	r.structure("", "", reflect.TypeOf(root).Elem(), reflect.Value{})
	for len(r.later) > 0 {
		next := r.later[0]
		r.later = r.later[1:]
		next()
	}
	r.table(spec.PartsProviders, "Providers", "One stands under `provider`.")
	r.table(spec.PartsConfigsets, "Configsets", "They stand under `configsets` of the cloud, a group or a host.")
	r.table(spec.PartsResources, "Resources", "Each is the key of an entry under `resources`.")
	r.table(spec.PartsChecks, "Checks", "Each is the key of an entry under `verify`.")
	return r.Bytes()
}

type reference struct {
	bytes.Buffer
	parts Parts
	later []func()                // sections of structs that were mentioned
	seen  map[reflect.Type]string // heading of the section of a struct
}

// structure writes the table of a struct's keys. Structs below it get sections
// of their own, after it.
func (r *reference) structure(path, doc string, t reflect.Type, sample reflect.Value) {
	if doc != "" {
		fmt.Fprintf(r, "\n%s\n", doc)
	}
	fields := spec.Fields(t)
	if len(fields) == 0 {
		r.WriteString("\nIt takes no keys.\n")
		return
	}
	r.WriteString("\n| key | value | default | |\n|---|---|---|---|\n")
	for _, f := range fields {
		r.row(path, f, sample)
	}
}

func (r *reference) row(path string, f spec.Field, sample reflect.Value) {
	name, def := "`"+f.Name+"`", defaultOf(f, sample)
	switch {
	case f.IsPart():
		name = "*kind*"
	case f.Required:
		def = "*required*"
	case def != "":
		def = "`" + strings.ReplaceAll(def, "\n", `\n`) + "`"
	}
	below := f.Name
	if path != "" {
		below = path + "." + f.Name
	}
	own := ownSample(f, sample)
	fmt.Fprintf(r, "| %s | %s | %s | %s |\n", name, cell(r.value(below, f.Type, f, own)), cell(def), cell(f.Doc))
}

// cell escapes what would end a cell of a table.
func cell(s string) string {
	return strings.ReplaceAll(strings.ReplaceAll(s, "\n", " "), "|", `\|`)
}

// value says in words what values of a type look like, and queues a section for
// every struct in it.
func (r *reference) value(path string, t reflect.Type, f spec.Field, sample reflect.Value) string {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch t {
	case reflect.TypeFor[spec.Raw]():
		return "map"
	case reflect.TypeFor[spec.Part]():
		return "one of the [" + f.Parts + "](#" + f.Parts + ")"
	}
	if f.Parts != "" {
		return "map of [" + f.Parts + "](#" + f.Parts + ")"
	}
	if forms, ok := formsOf(t); ok {
		var words []string
		for _, form := range forms {
			words = append(words, r.value(path, reflect.TypeOf(form).Elem(), f, reflect.Value{}))
		}
		return strings.Join(words, ", or ")
	}
	if elem, ok := elemOf(t); ok {
		return "map of " + r.value(path+".NAME", elem, f, reflect.Value{})
	}
	if words, ok := scalarWords(t, f); ok {
		return words
	}
	switch t.Kind() {
	case reflect.Struct:
		return r.section(path, t, sample)
	case reflect.Map:
		return "map of " + r.value(path+".NAME", t.Elem(), f, reflect.Value{})
	case reflect.Slice, reflect.Array:
		return "list of " + r.value(path+".N", t.Elem(), f, reflect.Value{})
	}
	return "anything"
}

// section queues a section for a struct and returns a link to it.
func (r *reference) section(path string, t reflect.Type, sample reflect.Value) string {
	if fields := spec.Fields(t); len(fields) == 1 && fields[0].IsPart() {
		return "map of one of the [" + fields[0].Parts + "](#" + fields[0].Parts + ")"
	}
	if heading, ok := r.seen[t]; ok && !sample.IsValid() {
		return "[map](#" + anchor(heading) + ")"
	}
	r.seen[t] = path
	r.later = append(r.later, func() {
		fmt.Fprintf(r, "\n### %s\n", path)
		r.structure(path, "", t, sample)
	})
	return "[map](#" + anchor(path) + ")"
}

// anchor returns the anchor that Markdown readers give to a heading.
func anchor(heading string) string {
	return strings.ToLower(strings.NewReplacer(".", "", ":", "", " ", "-").Replace(heading))
}

// scalarWords describes a scalar.
func scalarWords(t reflect.Type, f spec.Field) (string, bool) {
	if len(f.Enum) > 0 {
		return "`" + strings.Join(f.Enum, "`, `") + "`", true
	}
	switch {
	case t == reflect.TypeFor[spec.Size]():
		return "size such as `256MiB`, `2GiB`, `10GB`", true
	case isDuration(t):
		return "duration such as `500ms`, `5s`, `2m`", true
	}
	if format, ok := spec.Formats[f.Format]; ok && t.Kind() == reflect.String {
		words, _, _ := strings.Cut(format.What, ":")
		_, words, _ = strings.Cut(words, " ") // the article
		return words, true
	}
	if _, isText := scalarText(t); isText {
		return "text", true
	}
	switch {
	case t.Kind() == reflect.Bool:
		return "`true` or `false`", true
	case t.Kind() >= reflect.Int && t.Kind() <= reflect.Uint64:
		return "whole number" + bounds(f), true
	case t.Kind() == reflect.Float32 || t.Kind() == reflect.Float64:
		return "number" + bounds(f), true
	}
	return "", false
}

func bounds(f spec.Field) string {
	switch {
	case f.Min != "" && f.Max != "":
		return " from " + f.Min + " to " + f.Max
	case f.Min != "":
		return " from " + f.Min
	case f.Max != "":
		return " up to " + f.Max
	}
	return ""
}

// table writes a chapter with a section for each entry of a table.
func (r *reference) table(table, title, doc string) {
	if len(r.parts[table]) == 0 {
		return
	}
	fmt.Fprintf(r, "\n## %s\n\n%s\n", title, doc)
	for _, p := range r.parts.sorted(table) {
		heading := fmt.Sprintf("%s: %s", strings.TrimSuffix(table, "s"), p.Name)
		fmt.Fprintf(r, "\n### %s\n", heading)
		if v, ok := structOf(p.Sample); ok {
			r.structure(heading, p.Doc, v.Type(), v)
		} else {
			fmt.Fprintf(r, "\n%s\n", p.Doc)
		}
		if p.Example != "" {
			fmt.Fprintf(r, "\n```yaml\n%s\n```\n", strings.TrimRight(p.Example, "\n"))
		}
		for len(r.later) > 0 {
			next := r.later[0]
			r.later = r.later[1:]
			next()
		}
	}
}
