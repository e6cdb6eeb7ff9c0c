package spec

import (
	"maps"
	"slices"
	"strings"

	"github.com/updraft-cloud/updraft/internal/diag"
)

// maxExpanded bounds the text that variables may add up to.
const maxExpanded = maxBytes

// substituter puts variables into scalar values.
type substituter struct {
	vars   map[string]*node
	faults *faults
	added  int
}

// substitute replaces ${name} in every scalar value but those of vars itself.
// Keys are left alone.
func substitute(root *node, set []string, f *faults) *node {
	s := &substituter{vars: map[string]*node{}, faults: f}
	if vars := root.get("vars"); vars != nil && vars.kind == mapKind {
		for _, e := range vars.entries {
			s.define(e)
		}
	}
	for _, setting := range set {
		s.override(setting)
	}
	out := *root
	out.entries = slices.Clone(root.entries)
	for i, e := range out.entries {
		if e.key != "vars" && e.key != "include" {
			out.entries[i].val = s.replace(e.val, e.key)
		}
	}
	return &out
}

func (s *substituter) define(e entry) {
	path := "vars." + e.key
	switch {
	case !isVarName(e.key):
		s.faults.errorf(e.pos, path, "use letters, digits and _", "%q cannot be the name of a variable", e.key)
	case e.val.kind == listKind || e.val.kind == mapKind || e.val.kind == nullKind:
		s.faults.errorf(e.val.pos, path, "", "variable %s is %s: a variable is text, a number, true or false", e.key, e.val.kind)
	case strings.Contains(e.val.text, "${"):
		s.faults.errorf(e.val.pos, path, "write its value out", "variable %s refers to another variable", e.key)
	}
	s.vars[e.key] = e.val
}

// override takes one KEY=VALUE of --set.
func (s *substituter) override(setting string) {
	key, value, ok := strings.Cut(setting, "=")
	if !ok || !isVarName(key) {
		s.faults.errorf(diag.Pos{}, "", "write --set name=value", "--set %s: no name and value", setting)
		return
	}
	old, known := s.vars[key]
	if !known {
		s.faults.errorf(diag.Pos{}, "vars."+key, s.mend(key), "--set %s: the cloud file has no variable %q", setting, key)
		return
	}
	n := &node{kind: resolve(value), text: value, plain: true, pos: old.pos}
	if n.kind == nullKind {
		n.kind = textKind
	}
	s.vars[key] = n
}

func (s *substituter) mend(name string) string {
	names := slices.Collect(maps.Keys(s.vars))
	if m := DidYouMean(name, names); m != "" {
		return m
	}
	return "declare it under vars"
}

// replace returns n with variables put in. What holds none is returned as it is.
func (s *substituter) replace(n *node, path string) *node {
	out := *n
	switch n.kind {
	case textKind:
		if !strings.Contains(n.text, "${") {
			return n
		}
		return s.scalar(n, path)
	case listKind:
		out.items = slices.Clone(n.items)
		for i, item := range out.items {
			out.items[i] = s.replace(item, path)
		}
	case mapKind:
		out.entries = slices.Clone(n.entries)
		for i, e := range out.entries {
			out.entries[i].val = s.replace(e.val, join(path, e.key))
		}
	default:
		return n
	}
	return &out
}

// scalar puts variables into one text. A text that is one variable takes over
// its type, in quotes or not.
func (s *substituter) scalar(n *node, path string) *node {
	if name, ok := strings.CutPrefix(n.text, "${"); ok && strings.IndexByte(name, '}') == len(name)-1 {
		if v := s.lookup(strings.TrimSuffix(name, "}"), n.pos, path); v != nil {
			return &node{kind: v.kind, text: v.text, plain: v.plain, pos: n.pos}
		}
		return broken(n)
	}
	var b strings.Builder
	rest := n.text
	for {
		before, after, found := strings.Cut(rest, "${")
		if !found {
			b.WriteString(rest)
			break
		}
		if escaped, ok := strings.CutSuffix(before, "$"); ok {
			b.WriteString(escaped + "${")
			rest = after
			continue
		}
		b.WriteString(before)
		name, tail, closed := strings.Cut(after, "}")
		if !closed {
			s.faults.errorf(n.pos, path, "write $${ for a plain ${", "${ is not closed")
			return broken(n)
		}
		v := s.lookup(name, n.pos, path)
		if v == nil {
			return broken(n)
		}
		if s.tooMuch(len(v.text), n, path) {
			return broken(n)
		}
		b.WriteString(v.text)
		rest = tail
	}
	out := &node{kind: textKind, text: b.String(), plain: n.plain, pos: n.pos}
	if n.plain {
		out.kind = resolve(out.text)
	}
	return out
}

// tooMuch counts what variables add, and reports when it is more than a file
// may hold.
func (s *substituter) tooMuch(length int, n *node, path string) bool {
	before := s.added
	s.added += length
	if before <= maxExpanded && s.added > maxExpanded {
		s.faults.errorf(n.pos, path, "", "variables make the file larger than %d MiB", maxExpanded>>20)
	}
	return s.added > maxExpanded
}

// broken marks a value about which enough was said.
func broken(n *node) *node {
	out := *n
	out.broken = true
	return &out
}

func (s *substituter) lookup(name string, pos diag.Pos, path string) *node {
	v, ok := s.vars[name]
	if !ok {
		mend := s.mend(name) + "; write $${ for a plain ${"
		s.faults.errorf(pos, path, mend, "unknown variable ${%s}", shorten(name))
		return nil
	}
	return v
}

func shorten(s string) string {
	const most = 40
	if len(s) > most {
		return strings.ToValidUTF8(s[:most], "") + "…"
	}
	return s
}

func isVarName(s string) bool {
	if s == "" || s[0] >= '0' && s[0] <= '9' {
		return false
	}
	return strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-") == ""
}
