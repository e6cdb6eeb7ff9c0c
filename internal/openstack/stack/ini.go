package stack

import (
	"fmt"
	"slices"
	"strings"
)

// INI is a configuration file in the format of oslo.config: sections of keys
// with values, in the order in which they were first set.
//
// Source: oslo.config's documentation, "Configuration File Format": a line that
// begins with whitespace continues the one before, "$name" stands for the value
// of another key and "$$" for a dollar sign.
type INI struct{ sections []section }

type section struct {
	name   string
	values []setting
}

type setting struct{ key, value string }

// Set sets a key. Values are taken as they are: newlines become continuation
// lines, and a dollar sign is escaped.
func (f *INI) Set(sect, key string, value any) {
	s := f.section(sect)
	text := strings.ReplaceAll(fmt.Sprint(value), "$", "$$")
	for i := range s.values {
		if s.values[i].key == key {
			s.values[i].value = text
			return
		}
	}
	s.values = append(s.values, setting{key, text})
}

// SetAll sets keys of one section from pairs of key and value.
func (f *INI) SetAll(sect string, pairs ...any) {
	for i := 0; i+1 < len(pairs); i += 2 {
		f.Set(sect, fmt.Sprint(pairs[i]), pairs[i+1])
	}
}

// Get returns a value.
func (f *INI) Get(sect, key string) (string, bool) {
	for _, s := range f.sections {
		if s.name != sect {
			continue
		}
		for _, v := range s.values {
			if v.key == key {
				return v.value, true
			}
		}
	}
	return "", false
}

// Sections returns the names of the sections, in order.
func (f *INI) Sections() []string {
	var out []string
	for _, s := range f.sections {
		out = append(out, s.name)
	}
	return out
}

func (f *INI) section(name string) *section {
	i := slices.IndexFunc(f.sections, func(s section) bool { return s.name == name })
	if i < 0 {
		f.sections = append(f.sections, section{name: name})
		i = len(f.sections) - 1
	}
	return &f.sections[i]
}

// String renders the file.
func (f *INI) String() string {
	var b strings.Builder
	b.WriteString(Header)
	for _, s := range f.sections {
		fmt.Fprintf(&b, "\n[%s]\n", s.name)
		for _, v := range s.values {
			fmt.Fprintf(&b, "%s = %s\n", v.key, strings.ReplaceAll(v.value, "\n", "\n    "))
		}
	}
	return b.String()
}

// Header begins every file that updraft writes whole.
const Header = "# Written by updraft. Changes made by hand are lost.\n"
