package docgen

import (
	"encoding"
	"encoding/json"
	"net/netip"
	"reflect"
	"strconv"
	"strings"

	"github.com/updraft-cloud/updraft/internal/spec"
)

// schema is a node of a JSON Schema, draft 2020-12. Maps are written with their
// keys sorted, so the output is deterministic.
type schema map[string]any

// Schema returns the JSON Schema of the struct that root points to.
//
// It is as strict as a schema can be without refusing what Parse takes: a value
// that holds a ${variable} may stand wherever a scalar may.
func Schema(root any, parts Parts) ([]byte, error) {
	g := &generator{parts: parts, defs: map[string]any{}}
	top := g.structure(reflect.TypeOf(root).Elem(), reflect.Value{})
	top["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	top["title"] = "updraft cloud file"
	top["patternProperties"] = schema{"^x-": schema{"description": "Left alone: a place for anchors."}}
	g.defs["variable"] = schema{"type": "string", "pattern": `\$\{[^}]+\}`, "description": "A value that holds a variable."}
	top["$defs"] = g.defs
	out, err := json.MarshalIndent(top, "", "  ")
	return append(out, '\n'), err
}

type generator struct {
	parts  Parts
	defs   map[string]any
	active []reflect.Type // structs being written, to notice one within itself
}

// typ returns the schema of values of a type, as field f writes them.
func (g *generator) typ(t reflect.Type, f spec.Field, sample reflect.Value) schema {
	if t.Kind() == reflect.Pointer {
		return g.typ(t.Elem(), f, sample)
	}
	if f.Parts != "" && t != reflect.TypeFor[spec.Part]() {
		if s, ok := g.table(t, f); ok {
			return s
		}
	}
	switch t {
	case reflect.TypeFor[spec.Raw]():
		return schema{"type": []string{"object", "null"}}
	case reflect.TypeFor[json.RawMessage]():
		return schema{}
	}
	if forms, ok := formsOf(t); ok {
		return g.forms(forms, f)
	}
	if elem, ok := elemOf(t); ok {
		return g.mapOf(elem, f)
	}
	if s, ok := scalarType(t, f); ok {
		return s
	}
	switch t.Kind() {
	case reflect.Struct:
		return g.structure(t, sample)
	case reflect.Map:
		return g.mapOf(t.Elem(), f)
	case reflect.Slice, reflect.Array:
		return schema{"type": []string{"array", "null"}, "items": g.typ(t.Elem(), f, reflect.Value{})}
	}
	return schema{}
}

func (g *generator) forms(forms []any, f spec.Field) schema {
	var any []schema
	for _, form := range forms {
		s := g.typ(reflect.TypeOf(form).Elem(), f, reflect.Value{})
		delete(s, "default")
		any = append(any, s)
	}
	if len(any) > 0 && g.stringsFromParts(forms) {
		any[0]["enum"] = names(g.parts[spec.PartsProviders])
	}
	return schema{"anyOf": any}
}

// stringsFromParts reports whether a text among the forms is the name of a
// provider.
func (g *generator) stringsFromParts(forms []any) bool {
	if len(forms) != 2 || len(g.parts[spec.PartsProviders]) == 0 {
		return false
	}
	t := reflect.TypeOf(forms[1]).Elem()
	if t.Kind() != reflect.Struct {
		return false
	}
	fields := spec.Fields(t)
	return len(fields) == 1 && fields[0].Parts == spec.PartsProviders
}

func names(parts []Part) []string {
	out := make([]string, len(parts))
	for i, p := range parts {
		out[i] = p.Name
	}
	return out
}

func (g *generator) mapOf(elem reflect.Type, f spec.Field) schema {
	s := schema{"type": []string{"object", "null"}}
	keys := f.Keys
	f.Keys = ""
	s["additionalProperties"] = orNull(g.typ(elem, f, reflect.Value{}))
	if format, ok := spec.Formats[keys]; ok {
		s["propertyNames"] = schema{"pattern": format.Pattern}
	}
	return s
}

// orNull lets a value be left empty, which says the same as leaving it out.
func orNull(s schema) schema {
	if t, ok := s["type"].(string); ok {
		s["type"] = []string{t, "null"}
	} else if any, ok := s["anyOf"].([]schema); ok {
		s["anyOf"] = append(any, schema{"type": "null"})
	}
	return s
}

// structure returns the schema of a struct.
func (g *generator) structure(t reflect.Type, sample reflect.Value) schema {
	for _, a := range g.active {
		if a == t {
			return schema{"type": "object"}
		}
	}
	g.active = append(g.active, t)
	defer func() { g.active = g.active[:len(g.active)-1] }()
	properties, required := schema{}, []string{}
	s := schema{"type": "object", "additionalProperties": false}
	for _, f := range spec.Fields(t) {
		if f.IsPart() {
			g.choice(s, properties, f)
			continue
		}
		properties[f.Name] = g.property(f, sample)
		if f.Required {
			required = append(required, f.Name)
		}
	}
	s["properties"] = properties
	if len(required) > 0 {
		s["required"] = required
	}
	return s
}

// property returns the schema of one field with what its tags say.
func (g *generator) property(f spec.Field, sample reflect.Value) schema {
	s := g.typ(f.Type, f, ownSample(f, sample))
	if !f.Required {
		orNull(s)
	}
	if f.Doc != "" {
		s["description"] = f.Doc
	}
	if d := defaultOf(f, sample); d != "" {
		s["default"] = literal(d, f.Type)
	}
	return s
}

// literal returns a default as a JSON value of the type.
func literal(text string, t reflect.Type) any {
	var v any
	if _, isText := scalarText(t); !isText && json.Unmarshal([]byte(text), &v) == nil {
		return v
	}
	return text
}

// choice adds the keys of a table to a struct of which exactly one is given.
func (g *generator) choice(s, properties schema, f spec.Field) {
	table := g.parts.sorted(f.Parts)
	if len(table) == 0 {
		delete(s, "additionalProperties")
		return
	}
	var one []schema
	for _, p := range table {
		properties[p.Name] = schema{"$ref": g.part(f.Parts, p)}
		one = append(one, schema{"required": []string{p.Name}})
	}
	s["oneOf"] = one
}

// table returns the schema of a map whose keys are a table's.
func (g *generator) table(t reflect.Type, f spec.Field) (schema, bool) {
	elem, ok := elemOf(t)
	if !ok || elem != reflect.TypeFor[spec.Raw]() || len(g.parts[f.Parts]) == 0 {
		return nil, false
	}
	properties := schema{}
	for _, p := range g.parts.sorted(f.Parts) {
		properties[p.Name] = schema{"$ref": g.part(f.Parts, p)}
	}
	return schema{"type": []string{"object", "null"}, "properties": properties, "additionalProperties": false}, true
}

// part puts an entry of a table among the definitions and returns where it is.
func (g *generator) part(table string, p Part) string {
	name := table + "." + p.Name
	ref := "#/$defs/" + name
	if _, done := g.defs[name]; done {
		return ref
	}
	s := schema{"type": "object", "additionalProperties": false}
	if v, ok := structOf(p.Sample); ok {
		s = g.structure(v.Type(), v)
		orNull(s) // nothing at all says the same as {}
	} else if p.Sample != nil {
		s = g.typ(reflect.TypeOf(p.Sample).Elem(), spec.Field{}, reflect.Value{})
	}
	if p.Doc != "" {
		s["description"] = p.Doc
	}
	g.defs[name] = s
	return ref
}

// scalarText tells whether a type is written as text, and with which pattern.
func scalarText(t reflect.Type) (pattern string, ok bool) {
	switch t {
	case reflect.TypeFor[spec.Size]():
		return `^[0-9]+(\.[0-9]+)? *([KMGT]iB|[kKMGT]?B)$`, true
	case reflect.TypeFor[netip.Addr]():
		return spec.Formats["address"].Pattern, true
	case reflect.TypeFor[netip.Prefix]():
		return `^[0-9a-fA-F.:]+/[0-9]{1,3}$`, true
	}
	if isDuration(t) {
		return `^([0-9]+(\.[0-9]+)?(ns|us|µs|ms|s|m|h))+$`, true
	}
	if reflect.PointerTo(t).Implements(reflect.TypeFor[encoding.TextUnmarshaler]()) {
		return "", true
	}
	return "", t.Kind() == reflect.String
}

// isDuration reports whether the type is time.Duration, or one like it that
// another package reads from text.
func isDuration(t reflect.Type) bool { return t.Kind() == reflect.Int64 && t.Name() == "Duration" }

// scalarType returns the schema of a type that is written as one scalar.
func scalarType(t reflect.Type, f spec.Field) (schema, bool) {
	var s schema
	switch pattern, isText := scalarText(t); {
	case isText:
		s = textSchema(pattern, f)
	case t.Kind() == reflect.Bool:
		s = schema{"type": "boolean"}
	case t.Kind() >= reflect.Int && t.Kind() <= reflect.Uint64:
		s = bounded(schema{"type": "integer"}, f)
	case t.Kind() == reflect.Float32 || t.Kind() == reflect.Float64:
		s = bounded(schema{"type": "number"}, f)
	default:
		return nil, false
	}
	return schema{"anyOf": []schema{s, {"$ref": "#/$defs/variable"}}}, true
}

func textSchema(pattern string, f spec.Field) schema {
	s := schema{"type": "string"}
	if format, ok := spec.Formats[f.Format]; ok {
		pattern = format.Pattern
	}
	if len(f.Enum) > 0 {
		s["enum"] = f.Enum
	}
	if pattern != "" {
		s["pattern"] = pattern
	} else if len(f.Enum) == 0 {
		s["type"] = []string{"string", "number"} // a number without quotes is taken as text
	}
	return s
}

func bounded(s schema, f spec.Field) schema {
	for key, text := range map[string]string{"minimum": f.Min, "maximum": f.Max} {
		if n, err := strconv.ParseFloat(text, 64); err == nil {
			s[key] = n
		}
	}
	var enum []json.Number
	for _, e := range f.Enum {
		enum = append(enum, json.Number(strings.TrimSpace(e)))
	}
	if len(enum) > 0 {
		s["enum"] = enum
	}
	return s
}
