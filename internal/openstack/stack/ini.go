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

// setting is a key with its values: one, but for options that are repeated.
type setting struct {
	key    string
	values []string
}

// Set sets a key. Values are taken as they are: newlines become continuation
// lines, and a dollar sign is escaped.
func (f *INI) Set(sect, key string, value any) {
	f.setRaw(sect, key, []string{strings.ReplaceAll(fmt.Sprint(value), "$", "$$")})
}

// setRaw sets a key to values in the file's own notation, each on a line.
func (f *INI) setRaw(sect, key string, values []string) {
	s := f.section(sect)
	for i := range s.values {
		if s.values[i].key == key {
			s.values[i].values = values
			return
		}
	}
	s.values = append(s.values, setting{key, values})
}

// mergeInto sets everything in another file.
func (f *INI) mergeInto(other *INI) {
	for _, s := range f.sections {
		for _, v := range s.values {
			other.setRaw(s.name, v.key, v.values)
		}
	}
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
				return strings.Join(v.values, "\n"), true
			}
		}
	}
	return "", false
}

// Lines returns a section's settings as KEY=VALUE, in order.
func (f *INI) Lines(sect string) []string {
	var out []string
	for _, v := range f.section(sect).values {
		for _, text := range v.values {
			out = append(out, v.key+"="+text)
		}
	}
	return out
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
			for _, text := range v.values {
				fmt.Fprintf(&b, "%s = %s\n", v.key, strings.ReplaceAll(text, "\n", "\n    "))
			}
		}
	}
	return b.String()
}

// Header begins every file that updraft writes whole.
const Header = "# Written by updraft. Changes made by hand are lost.\n"
