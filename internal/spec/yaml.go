package spec

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/updraft-cloud/updraft/internal/diag"
	"go.yaml.in/yaml/v4"
	"go.yaml.in/yaml/v4/plugin/loaderlimits"
)

// Bounds on what is read. They are far above what a person writes, and low
// enough that junk is refused within a second and a few hundred megabytes.
const (
	maxBytes = 10 << 20 // of all files together
	maxDepth = 64       // of nesting
	maxNodes = 300_000  // values, aliases expanded
	maxKey   = 1024     // bytes of a key
)

// parseYAML reads one document into a tree. It returns nil after faults that
// leave nothing to go on with; an empty file is an empty map.
func parseYAML(file string, data []byte, f *faults) *node {
	if !checkText(file, data, f) {
		return nil
	}
	loader, err := yaml.NewLoader(bytes.NewReader(data), yaml.WithPlugin(loaderlimits.New(loaderlimits.DepthValue(maxDepth))))
	if err != nil {
		f.errorf(diag.Pos{File: file}, "", "", "cannot read YAML: %v", err)
		return nil
	}
	var doc, second yaml.Node
	switch err := loader.Load(&doc); {
	case errors.Is(err, io.EOF):
		return &node{kind: mapKind, pos: diag.Pos{File: file, Line: 1, Col: 1}}
	case err != nil:
		f.add(yamlFault(file, data, err))
		return nil
	}
	if err := loader.Load(&second); err == nil {
		f.errorf(diag.Pos{File: file, Line: second.Line, Col: second.Column}, "",
			"keep one document, and name other files under include", "a second YAML document starts here")
	} else if !errors.Is(err, io.EOF) {
		f.add(yamlFault(file, data, err))
	}
	b := builder{file: file, faults: f, within: map[*yaml.Node]bool{}}
	return b.build(&doc, 0)
}

// checkText refuses what is not text, or too much of it. What could be a value
// is counted before the parser makes a node of each.
func checkText(file string, data []byte, f *faults) bool {
	line, start, marks := 1, 0, 0
	for i := 0; i < len(data); {
		r, n := rune(data[i]), 1
		if r >= utf8.RuneSelf {
			r, n = utf8.DecodeRune(data[i:])
		}
		at := diag.Pos{File: file, Line: line, Col: i - start + 1}
		switch {
		case r == utf8.RuneError && n == 1:
			f.errorf(at, "", "save the file as UTF-8", "the file is not text in UTF-8")
			return false
		case r < ' ' && r != '\n' && r != '\t' && r != '\r' || r == 0x7f:
			f.errorf(at, "", `inside double quotes it can be written as \x..`, "control character %#02x", r)
			return false
		case r == '\n':
			line, start, marks = line+1, i+1, marks+1
		case strings.ContainsRune(",[{:?&*!", r):
			marks++
		case r == '-' && i+1 < len(data) && data[i+1] == ' ':
			marks++
		}
		i += n
		if marks > 2*maxNodes {
			f.errorf(at, "", "keep large texts in files of their own", "the file holds too many values (more than %d)", maxNodes)
			return false
		}
	}
	return true
}

// yamlFault turns an error of the YAML reader into a diagnostic.
func yamlFault(file string, data []byte, err error) diag.Diagnostic {
	d := diag.Diagnostic{Pos: diag.Pos{File: file}}
	var le *yaml.LoadError
	if !errors.As(err, &le) {
		d.Summary = "cannot read YAML: " + err.Error()
		return d
	}
	mark := le.Mark
	if mark.Line == 0 {
		mark = le.ContextMark
	}
	d.Pos.Line, d.Pos.Col = mark.Line, mark.Column
	d.Summary, d.Mend = yamlWords(le, runeAt(data, mark.Line, mark.Column))
	return d
}

// yamlWords says what the parser's message means.
func yamlWords(le *yaml.LoadError, at rune) (summary, mend string) {
	msg := le.Message
	switch {
	case strings.Contains(msg, "max depth"):
		return "values are nested too deeply", ""
	case strings.Contains(msg, "cannot start any token") && at == '\t':
		return "a tab is used for indentation", "YAML wants spaces"
	case strings.Contains(msg, "cannot start any token"):
		return "a value cannot start with " + string(at), "put it in quotes"
	case strings.Contains(msg, "mapping values are not allowed"):
		return `": " is not allowed here`, "put the value in quotes, or check the indentation"
	case strings.Contains(msg, "unexpected end of stream"):
		return "the file ends " + le.ContextMsg, "close the quote or bracket"
	case strings.Contains(msg, "expected ',' or"):
		return "a bracket is not closed: " + msg, "[ ] and { } hold values separated by commas"
	case strings.Contains(msg, "expected"):
		return strings.TrimSuffix("cannot read YAML: "+msg+" "+le.ContextMsg, " "), "check the indentation of this line and the one before"
	}
	return "cannot read YAML: " + msg, ""
}

func runeAt(data []byte, line, col int) rune {
	for ; line > 1; line-- {
		i := bytes.IndexByte(data, '\n')
		if i < 0 {
			return utf8.RuneError
		}
		data = data[i+1:]
	}
	for ; col > 1 && len(data) > 0; col-- {
		_, n := utf8.DecodeRune(data)
		data = data[n:]
	}
	r, _ := utf8.DecodeRune(data)
	return r
}

// builder makes our nodes of the parser's, with aliases replaced by copies of
// what they stand for.
type builder struct {
	file   string
	faults *faults
	count  int
	within map[*yaml.Node]bool // what is being built, to notice an alias of itself
}

// build returns the node, never nil.
func (b *builder) build(y *yaml.Node, depth int) *node {
	n := &node{pos: diag.Pos{File: b.file, Line: y.Line, Col: y.Column}}
	b.count++
	switch {
	case b.count > maxNodes || depth > maxDepth:
		if b.count <= maxNodes+1 {
			b.count = maxNodes + 2 // said once; nothing more is built
			b.faults.errorf(n.pos, "", "use fewer aliases", "the file holds too many values (more than %d), or they are nested too deeply", maxNodes)
		}
		return n
	case b.within[y]:
		b.faults.errorf(n.pos, "", "", "the alias stands for something that it is a part of")
		return n
	}
	switch y.Kind {
	case yaml.DocumentNode:
		return b.build(y.Content[0], depth)
	case yaml.AliasNode:
		return b.build(y.Alias, depth+1)
	case yaml.ScalarNode:
		b.scalar(n, y)
		return n
	}
	b.within[y] = true
	if y.Kind == yaml.SequenceNode {
		b.list(n, y, depth)
	} else {
		b.mapping(n, y, depth)
	}
	delete(b.within, y)
	return n
}

func (b *builder) scalar(n *node, y *yaml.Node) {
	quoted := y.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle|yaml.LiteralStyle|yaml.FoldedStyle) != 0
	n.text, n.plain = y.Value, !quoted
	n.kind = textKind
	if n.plain {
		n.kind = resolve(y.Value)
	}
	if y.Style&yaml.TaggedStyle == 0 {
		return
	}
	if y.Tag != "!!str" {
		b.faults.errorf(n.pos, "", "remove the tag", "the YAML tag %s is not known here", y.Tag)
		return
	}
	n.kind, n.plain = textKind, false
}

func (b *builder) list(n *node, y *yaml.Node, depth int) {
	n.kind = listKind
	b.refuseTag(n, y)
	for _, item := range y.Content {
		n.items = append(n.items, b.build(item, depth+1))
	}
}

func (b *builder) refuseTag(n *node, y *yaml.Node) {
	if y.Style&yaml.TaggedStyle != 0 && y.Tag != "!!map" && y.Tag != "!!seq" {
		b.faults.errorf(n.pos, "", "remove the tag", "the YAML tag %s is not known here", y.Tag)
	}
}

func (b *builder) mapping(n *node, y *yaml.Node, depth int) {
	n.kind = mapKind
	b.refuseTag(n, y)
	first := make(map[string]diag.Pos, len(y.Content)/2)
	var merged []*node
	for i := 0; i+1 < len(y.Content); i += 2 {
		k, v := y.Content[i], b.build(y.Content[i+1], depth+1)
		pos := diag.Pos{File: b.file, Line: k.Line, Col: k.Column}
		before, dup := first[k.Value]
		if v.pos.Line > pos.Line || v.kind == nullKind {
			v.pos = pos // what follows on the next lines is found by its key
		}
		switch {
		case k.Kind != yaml.ScalarNode:
			b.faults.errorf(pos, "", "", "a key is plain text, not a list, a map or an alias")
		case len(k.Value) > maxKey:
			b.faults.errorf(pos, "", "", "a key of more than %d characters", maxKey)
		case k.Value == "<<" && k.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle) == 0:
			merged = append(merged, b.mergeKey(v)...)
		case dup:
			b.faults.errorf(pos, k.Value, "keep one of them", "key %q is given twice, first in line %d", k.Value, before.Line)
		default:
			first[k.Value] = pos
			n.entries = append(n.entries, entry{k.Value, pos, v})
		}
	}
	for _, m := range merged {
		for _, e := range m.entries {
			if _, own := first[e.key]; !own {
				first[e.key] = e.pos
				n.entries = append(n.entries, e)
			}
		}
	}
}

// mergeKey returns the maps that the value of a merge key (<<) names: one, or a
// list of which earlier ones win.
func (b *builder) mergeKey(v *node) []*node {
	maps := []*node{v}
	if v.kind == listKind {
		maps = v.items
	}
	for _, m := range maps {
		if m.kind != mapKind {
			b.faults.errorf(m.pos, "", "", "<< wants a map or a list of maps, not %s", m.kind)
			return nil
		}
	}
	return maps
}
