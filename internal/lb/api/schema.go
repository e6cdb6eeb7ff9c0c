package api

import (
	"encoding/json"
	"math"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// opt is an attribute of a body: not sent, null, or a value. The three mean
// different things in an update.
type opt[T any] struct {
	v    T
	sent bool
	null bool
}

func (o opt[T]) has() bool { return o.sent && !o.null }

// or returns the value, or the default of an attribute that was not sent or null.
func (o opt[T]) or(def T) T {
	if o.has() {
		return o.v
	}
	return def
}

// apply changes what is stored, if the attribute was sent; null is the default.
func (o opt[T]) apply(to *T, def T) {
	if o.sent {
		*to = o.or(def)
	}
}

func (o *opt[T]) set(v T) { *o = opt[T]{v: v, sent: true} }

// field is one attribute that a body may have: its name, what it may be (for the
// OpenAPI document), and how it is read. A value of nil is JSON's null.
type field struct {
	name     string
	schema   schema
	required bool
	read     func(value any) *fault
	inner    func() []field // of an object, or of each object of an array
}

// required makes a field mandatory; null does not do.
func required(f field) field {
	f.required = true
	return f
}

// scalar makes a field from a function that returns a value or the reason why
// it cannot.
func scalar[T any](name string, to *opt[T], s schema, parse func(any) (T, string)) field {
	return field{name: name, schema: s, read: func(value any) *fault {
		if value == nil {
			*to = opt[T]{sent: true, null: true}
			return nil
		}
		v, reason := parse(value)
		if reason != "" {
			return invalidInput(name, value, reason)
		}
		to.set(v)
		return nil
	}}
}

// text is a string of at most limit characters.
func text(name string, to *opt[string], limit int) field {
	return scalar(name, to, schema{Type: "string", MaxLength: limit}, func(value any) (string, string) { return asText(value, limit) })
}

// pattern is a text that must match an expression, which the fault shows.
func pattern(name string, to *opt[string], limit int, re *regexp.Regexp) field {
	return scalar(name, to, schema{Type: "string", MaxLength: limit, Pattern: re.String()}, func(value any) (string, string) {
		s, reason := asText(value, limit)
		if reason == "" && !re.MatchString(s) {
			reason = "Value should match the pattern " + re.String()
		}
		return s, reason
	})
}

func asText(value any, limit int) (string, string) {
	s, ok := value.(string)
	if !ok {
		return "", "Value should be string"
	}
	if limit > 0 && utf8.RuneCountInString(s) > limit {
		return "", "Value should have a maximum character requirement of " + strconv.Itoa(limit)
	}
	return s, ""
}

func uuid(name string, to *opt[string]) field {
	return scalar(name, to, schema{Type: "string", Format: "uuid"}, asUUID)
}

// asUUID takes the forms that Python's uuid.UUID takes, and returns the
// canonical one.
func asUUID(value any) (string, string) {
	const reason = "Value should be UUID format"
	s, ok := value.(string)
	if !ok {
		return "", reason
	}
	hex := strings.ToLower(strings.NewReplacer("urn:", "", "uuid:", "").Replace(s))
	hex = strings.ReplaceAll(strings.Trim(hex, "{}"), "-", "")
	if len(hex) != 32 || strings.Trim(hex, "0123456789abcdef") != "" {
		return "", reason
	}
	return hex[:8] + "-" + hex[8:12] + "-" + hex[12:16] + "-" + hex[16:20] + "-" + hex[20:], ""
}

func address(name string, to *opt[string]) field {
	return scalar(name, to, schema{Type: "string", Format: "ip"}, func(value any) (string, string) {
		s, _ := value.(string)
		a, err := netip.ParseAddr(s)
		if err != nil || a.Zone() != "" {
			return "", "Value should be IPv4 or IPv6 format"
		}
		return s, ""
	})
}

// cidr clears the bits of the host, as ipaddress.ip_network(strict=False) does.
func cidr(value any) (string, string) {
	s, _ := value.(string)
	if p, err := netip.ParsePrefix(s); err == nil {
		return p.Masked().String(), ""
	}
	if a, err := netip.ParseAddr(s); err == nil && a.Zone() == "" {
		return netip.PrefixFrom(a, a.BitLen()).String(), ""
	}
	return "", "Value should be IPv4 or IPv6 CIDR format"
}

func boolean(name string, to *opt[bool]) field {
	return scalar(name, to, schema{Type: "boolean"}, func(value any) (bool, string) {
		b, ok := asBool(value)
		if !ok {
			return false, "Value not an unambiguous boolean: " + shown(value)
		}
		return b, ""
	})
}

// asBool takes the words that WSME takes.
func asBool(value any) (val, ok bool) {
	switch v := value.(type) {
	case bool:
		return v, true
	case json.Number:
		n, err := v.Int64()
		return n != 0, err == nil
	case string:
		switch strings.ToLower(v) {
		case "true", "t", "yes", "y", "on", "1":
			return true, true
		case "false", "f", "no", "n", "off", "0":
			return false, true
		}
	}
	return false, false
}

// maxInt is the largest integer that a client of 32 bits can read.
const maxInt = math.MaxInt32

// integer is a whole number from low to high. A string of digits counts as one,
// as in WSME.
func integer(name string, to *opt[int], low, high int) field {
	return scalar(name, to, schema{Type: "integer", Minimum: &low, Maximum: &high}, func(value any) (int, string) {
		n, ok := asInt(value)
		switch {
		case !ok:
			return 0, "Value should be an integer"
		case n < low:
			return 0, "Value should be greater or equal to " + strconv.Itoa(low)
		case n > high:
			return 0, "Value should be lower or equal to " + strconv.Itoa(high)
		}
		return n, ""
	})
}

func asInt(value any) (int, bool) {
	var digits string
	switch v := value.(type) {
	case json.Number:
		digits = v.String()
	case string:
		digits = strings.TrimSpace(v)
	default:
		return 0, false
	}
	if n, err := strconv.ParseInt(digits, 10, 64); err == nil {
		return int(n), true
	}
	f, err := strconv.ParseFloat(digits, 64)
	if _, isText := value.(string); err != nil || isText || f != math.Trunc(f) {
		return 0, false
	}
	return int(min(max(f, math.MinInt64/2), math.MaxInt64/2)), true
}

func enum(name string, to *opt[string], values ...string) field {
	return scalar(name, to, schema{Type: "string", Enum: values}, func(value any) (string, string) {
		s, ok := value.(string)
		if !ok || !slices.Contains(values, s) {
			return "", "Value should be one of: " + strings.Join(values, ", ")
		}
		return s, ""
	})
}

// codes is one of a few numbers.
func codes(name string, to *opt[int], values ...int) field {
	allowed := make([]string, len(values))
	for i, v := range values {
		allowed[i] = strconv.Itoa(v)
	}
	return scalar(name, to, schema{Type: "integer", Enum: allowed}, func(value any) (int, string) {
		n, ok := asInt(value)
		if !ok || !slices.Contains(values, n) {
			return 0, "Value should be one of: " + strings.Join(allowed, ", ")
		}
		return n, ""
	})
}

// list is an array of scalars.
func list(name string, to *opt[[]string], item schema, parse func(any) (string, string)) field {
	return field{name: name, schema: schema{Type: "array", Items: &item}, read: func(value any) *fault {
		*to = opt[[]string]{sent: true, null: value == nil}
		if value == nil {
			return nil
		}
		items, ok := value.([]any)
		if !ok {
			return invalidInput(name, value, "Value should be a list")
		}
		to.v = make([]string, 0, len(items))
		for _, it := range items {
			s, reason := parse(it)
			if reason != "" {
				return invalidInput(name, it, reason)
			}
			to.v = append(to.v, s)
		}
		return nil
	}}
}

func texts(name string, to *opt[[]string], limit int) field {
	return list(name, to, schema{Type: "string", MaxLength: limit}, func(v any) (string, string) { return asText(v, limit) })
}

// tags are compared and stored as a sorted set.
func tags(to *opt[[]string]) field {
	f := texts("tags", to, 255)
	read := f.read
	f.read = func(value any) *fault {
		err := read(value)
		slices.Sort(to.v)
		to.v = slices.Compact(to.v)
		return err
	}
	return f
}
