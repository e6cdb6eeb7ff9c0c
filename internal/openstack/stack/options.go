package stack

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// options are the settings that a service knows: section → name → type.
type options map[string]map[string]optionType

// parseOptions reads what tools/oslo-options.py writes.
func parseOptions(text string) options {
	out, section := options{}, ""
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "[") {
			section = strings.Trim(line, "[]")
			out[section] = map[string]optionType{}
			continue
		}
		if name, kind, ok := strings.Cut(line, " "); ok {
			out[section][name] = optionType(kind)
		}
	}
	return out
}

// optionType is a type as it is written there, such as bool, int:1..65535,
// choice:a|b or text.
type optionType string

// fault says what is wrong with a value of the type, and how to mend it; nothing
// if it can be one. A reference to another setting ($name) can be anything.
func (t optionType) fault(values []string) (mend string) {
	kind, rest, _ := strings.Cut(string(t), ":")
	if kind == "text" || slices.ContainsFunc(values, func(v string) bool { return strings.Contains(v, "$") }) {
		return ""
	}
	if len(values) == 1 && t.takes(kind, rest, strings.TrimSpace(values[0])) {
		return ""
	}
	switch kind {
	case "bool":
		return "write true or false"
	case "choice":
		return "write one of " + strings.ReplaceAll(rest, "|", ", ")
	}
	word := map[string]string{"int": "a whole number", "float": "a number"}[kind]
	least, most, _ := strings.Cut(rest, "..")
	if least != "" {
		word += " from " + least
	}
	if most != "" {
		word += " up to " + most
	}
	return "write " + word
}

// takes reports whether the type takes the value.
//
// Source: oslo_config/types.py.
func (optionType) takes(kind, rest, value string) bool {
	switch kind {
	case "bool":
		return slices.Contains([]string{"true", "1", "on", "yes", "false", "0", "off", "no"}, strings.ToLower(value))
	case "choice":
		return slices.Contains(strings.Split(rest, "|"), value)
	case "int":
		if _, err := strconv.ParseInt(value, 10, 64); err != nil {
			return false
		}
	}
	n, err := strconv.ParseFloat(value, 64)
	return err == nil && within(n, rest)
}

// within reports whether n is within bounds as they are written, LEAST..MOST.
func within(n float64, bounds string) bool {
	least, most, _ := strings.Cut(bounds, "..")
	if l, err := strconv.ParseFloat(least, 64); err == nil && n < l {
		return false
	}
	m, err := strconv.ParseFloat(most, 64)
	return err != nil || n <= m
}

// wrongType renders values for people, without those of secrets.
func wrongType(key string, values []string) string {
	if secretRE.MatchString(key) {
		return "this value"
	}
	return fmt.Sprintf("%q", strings.Join(values, ", "))
}
