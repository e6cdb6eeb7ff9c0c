package api

import (
	"net/http"
	"strings"
	"sync"
)

// schema is the part of JSON Schema that the API's attributes need.
type schema struct {
	Type       string            `json:"type,omitempty"`
	Format     string            `json:"format,omitempty"`
	Pattern    string            `json:"pattern,omitempty"`
	MaxLength  int               `json:"maxLength,omitempty"`
	Minimum    *int              `json:"minimum,omitempty"`
	Maximum    *int              `json:"maximum,omitempty"`
	Enum       []string          `json:"enum,omitempty"`
	Nullable   bool              `json:"nullable,omitempty"`
	Items      *schema           `json:"items,omitempty"`
	Properties map[string]schema `json:"properties,omitempty"`
	Required   []string          `json:"required,omitempty"`
	Additional *bool             `json:"additionalProperties,omitempty"`
}

type dict map[string]any

// OpenAPI returns the description of the API (OpenAPI 3.0), made from the table
// of routes, the lists of fields and the tables of attributes: it cannot say
// anything that is not so.
func (s *Server) OpenAPI() []byte { return s.openAPI() }

func (s *Server) newOpenAPI() func() []byte {
	return sync.OnceValue(func() []byte {
		paths := map[string]dict{}
		for _, r := range s.routes() {
			full := "/v2.0/lbaas" + r.path
			if strings.HasPrefix(r.path, "/amphorae") {
				full = "/v2.0/octavia" + r.path
			}
			if paths[full] == nil {
				paths[full] = dict{}
			}
			paths[full][strings.ToLower(r.method)] = s.operation(r)
		}
		return append(encode(dict{
			"openapi": "3.0.3",
			"info":    dict{"title": "Load Balancing (Octavia API v2)", "version": versions[len(versions)-1].id},
			"paths":   paths,
		}), '\n')
	})
}

func (s *Server) operation(r *route) dict {
	op := dict{"x-policy": r.action}
	var params []dict
	for seg := range strings.SplitSeq(r.path, "/") {
		if name, ok := strings.CutPrefix(seg, "{"); ok {
			params = append(params, dict{"name": strings.TrimSuffix(name, "}"), "in": "path", "required": true, "schema": schema{Type: "string"}})
		}
	}
	if params != nil {
		op["parameters"] = params
	}
	if r.fields != nil {
		one := objectSchema(r.fields())
		body := one
		if r.wrapper == "members" {
			body = schema{Type: "array", Items: &one}
		}
		op["requestBody"] = dict{"required": true, "content": jsonOf(wrapped(r.wrapper, body))}
	}
	answer := dict{"description": http.StatusText(r.status)}
	if r.answer != "" {
		answer["content"] = jsonOf(wrapped(r.answer, s.answers()[r.answer]))
	}
	op["responses"] = map[int]dict{r.status: answer}
	return op
}

func jsonOf(s schema) dict { return dict{"application/json": dict{"schema": s}} }

func wrapped(name string, inner schema) schema {
	return schema{Type: "object", Properties: map[string]schema{name: inner}, Required: []string{name}}
}

// objectSchema is the schema of a body with these fields, and no others.
func objectSchema(fields []field) schema {
	closed := false
	s := schema{Type: "object", Properties: map[string]schema{}, Additional: &closed}
	for _, f := range fields {
		of := f.schema
		if f.inner != nil {
			inner := objectSchema(f.inner())
			if of.Type == "array" {
				of.Items = &inner
			} else {
				of = inner
			}
		}
		of.Nullable = !f.required
		s.Properties[f.name] = of
		if f.required {
			s.Required = append(s.Required, f.name)
		}
	}
	return s
}

// attributesOf is the schema of an object in answers.
func attributesOf[T any](k *kind[T]) schema {
	s := schema{Type: "object", Properties: map[string]schema{}}
	for _, a := range k.attrs {
		if a.show != nil {
			s.Properties[a.name] = a.schema
		}
	}
	return s
}

// answers are the schemas of what answers have under their keys.
func (s *Server) answers() map[string]schema {
	out := map[string]schema{"statuses": {Type: "object"}, "stats": {Type: "object"}, "amphora_stats": arrayOf("object")}
	add(out, s.kinds.lb)
	add(out, s.kinds.listener)
	add(out, s.kinds.pool)
	add(out, s.kinds.member)
	add(out, s.kinds.monitor)
	add(out, s.kinds.policy)
	add(out, s.kinds.rule)
	add(out, s.operator.flavor)
	add(out, s.operator.flavorProfile)
	add(out, s.operator.zone)
	add(out, s.operator.zoneProfile)
	add(out, s.operator.amphora)
	add(out, s.operator.quota)
	for _, k := range s.operator.named {
		add(out, k)
	}
	return out
}

func add[T any](out map[string]schema, k *kind[T]) {
	one := attributesOf(k)
	if k.one != "" {
		out[k.one] = one
	}
	out[k.many] = schema{Type: "array", Items: &one}
}
