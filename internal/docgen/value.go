package docgen

import (
	"encoding"
	"encoding/json"
	"reflect"
)

// text renders a default value as it would be written in a cloud file, or
// returns the empty string when it is better left out.
func text(v reflect.Value) string {
	for v.Kind() == reflect.Pointer {
		if v.IsNil() {
			return ""
		}
		v = v.Elem()
	}
	if m, ok := v.Interface().(encoding.TextMarshaler); ok {
		if out, err := m.MarshalText(); err == nil {
			return string(out)
		}
		return ""
	}
	switch v.Kind() {
	case reflect.String:
		return v.String()
	case reflect.Struct, reflect.Map:
		return ""
	}
	out, err := json.Marshal(v.Interface())
	if err != nil || string(out) == "[]" {
		return ""
	}
	return string(out)
}
