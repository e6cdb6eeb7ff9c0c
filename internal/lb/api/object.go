package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// object is a nested object, such as session_persistence.
func object[T any](name string, to *opt[T], fields func(*T) []field) field {
	return field{name: name, schema: schema{Type: "object"}, inner: func() []field { return fields(new(T)) }, read: func(value any) *fault {
		*to = opt[T]{sent: true, null: value == nil}
		if value == nil {
			return nil
		}
		return readObject(name, fields(&to.v), value)
	}}
}

// objects is an array of nested objects, such as the members of a pool.
func objects[T any](name string, to *opt[[]T], fields func(*T) []field) field {
	return field{name: name, schema: schema{Type: "array"}, inner: func() []field { return fields(new(T)) }, read: func(value any) *fault {
		*to = opt[[]T]{sent: true, null: value == nil}
		if value == nil {
			return nil
		}
		items, ok := value.([]any)
		if !ok {
			return invalidInput(name, value, "Value should be a list")
		}
		to.v = nil // grows with what was read: an element is larger than its JSON
		for _, it := range items {
			var one T
			if err := readObject(name, fields(&one), it); err != nil {
				return err
			}
			to.v = append(to.v, one)
		}
		return nil
	}}
}

// readObject reads an object's fields. In this order, as WSME: unknown names,
// then each field as it stands in the list. path is how the fault about unknown
// names calls the object.
func readObject(path string, fields []field, value any) *fault {
	m, ok := value.(map[string]any)
	if !ok {
		return invalidInput(lastOf(path), value, "Value should be an object")
	}
	if err := unknownNames(path, fields, m); err != nil {
		return err
	}
	for _, f := range fields {
		v, sent := m[f.name]
		switch {
		case sent && (v != nil || !f.required):
			if err := f.read(v); err != nil {
				return nested(path, err)
			}
		case f.required:
			return invalidInput(f.name, nil, "Mandatory field missing.")
		}
	}
	return nil
}

const unknownAttribute = "Unknown attribute"

func unknownNames(path string, fields []field, m map[string]any) *fault {
	var unknown []string
	for _, name := range slices.Sorted(maps.Keys(m)) {
		if !slices.ContainsFunc(fields, func(f field) bool { return f.name == name }) {
			unknown = append(unknown, name)
		}
	}
	if len(unknown) == 0 {
		return nil
	}
	plural := ""
	if len(unknown) > 1 {
		plural = "s"
	}
	return badRequest(unknownAttribute+"%s for argument %s: %s", plural, path, strings.Join(unknown, ", "))
}

// nested puts the path of an object before that of one in it, in a fault about
// unknown names.
func nested(path string, err *fault) *fault {
	before, after, ok := strings.Cut(err.text, " for argument ")
	if !ok || !strings.HasPrefix(before, unknownAttribute) {
		return err
	}
	return badRequest("%s for argument %s.%s", before, path, after)
}

func lastOf(path string) string { return path[strings.LastIndexByte(path, '.')+1:] }

// What a request may send. A load balancer with ten thousand members fits; the
// memory that it takes is bounded by the values in it, of which "{}," is one too.
const (
	maxBody   = 4 << 20
	maxValues = 200_000
	// largeBody is from which size on requests wait for each other: see
	// [Server.large].
	largeBody = 256 << 10
)

// json reads the request's body.
func (c *call) json() (any, *fault) {
	data, err := io.ReadAll(http.MaxBytesReader(nil, c.r.Body, maxBody))
	if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
		return nil, newFault(http.StatusRequestEntityTooLarge, "Request is too large: at most %d bytes are read.", maxBody)
	}
	if err != nil {
		return nil, badRequest("Request could not be read.")
	}
	if len(data) > largeBody {
		if valuesIn(data) > maxValues {
			return nil, newFault(http.StatusRequestEntityTooLarge, "Request is too large: at most %d values are read.", maxValues)
		}
		if !c.queue() {
			return nil, badRequest("Request could not be read.")
		}
	}
	return parseBody(c.r, data, c.route.argument)
}

// valuesIn is at least how many values there are in JSON.
func valuesIn(data []byte) int {
	return bytes.Count(data, []byte{','}) + bytes.Count(data, []byte{'['}) + bytes.Count(data, []byte{'{'})
}

// queue waits until few large requests are worked on, or the client has gone.
func (c *call) queue() bool {
	select {
	case c.s.large <- struct{}{}:
		c.queued = true
	case <-c.r.Context().Done():
	}
	return c.queued
}

// unqueue lets the next large request in.
func (c *call) unqueue() {
	if c.queued {
		c.queued = false
		<-c.s.large
	}
}

func parseBody(r *http.Request, data []byte, argument string) (any, *fault) {
	if strings.HasPrefix(r.Header.Get("Content-Type"), "application/x-www-form-urlencoded") {
		return nil, formFault(data, argument)
	}
	if len(bytes.TrimSpace(data)) == 0 {
		return nil, badRequest("Missing argument: %q", argument)
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	var value any
	if err := dec.Decode(&value); err == nil {
		if _, err = dec.Token(); errors.Is(err, io.EOF) {
			return value, nil
		}
	}
	return nil, badRequest("Request is not in valid JSON format")
}

// formFault is what WSME says to the body of a form.
func formFault(data []byte, argument string) *fault {
	form, err := url.ParseQuery(string(data))
	if err != nil || len(form) == 0 {
		return badRequest("Missing argument: %q", argument)
	}
	return badRequest("Unknown argument: %q", slices.Min(slices.Collect(maps.Keys(form))))
}

// unwrap returns what stands under the wrapper, which must be there and alone.
func unwrap(value any, argument, wrapper string) (any, *fault) {
	m, ok := value.(map[string]any)
	if !ok {
		return nil, invalidInput(argument, value, "Value should be an object")
	}
	if err := unknownNames(argument, []field{{name: wrapper}}, m); err != nil {
		return nil, err
	}
	if m[wrapper] == nil {
		return nil, invalidInput(wrapper, nil, "Mandatory field missing.")
	}
	return m[wrapper], nil
}
