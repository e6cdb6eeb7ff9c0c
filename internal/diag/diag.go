// Package diag holds diagnostics: messages to people about what they wrote.
//
// A diagnostic says what is wrong, where (file:line:col), why, and how to mend
// it. Readers of user input collect every fault they can find into a [List]
// before they give up, so that one run shows all of them.
package diag

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Severity tells whether a diagnostic stops the work.
type Severity int

// The severities, worst first.
const (
	Error Severity = iota
	Warning
)

// String returns "error" or "warning".
func (s Severity) String() string {
	if s == Warning {
		return "warning"
	}
	return "error"
}

// MarshalText encodes the severity by name.
func (s Severity) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Pos is a position in a file. Line and Col count from one; zero means unknown.
type Pos struct {
	File string `json:"file,omitempty"`
	Line int    `json:"line,omitempty"`
	Col  int    `json:"col,omitempty"`
}

// IsZero reports whether nothing is known of the position.
func (p Pos) IsZero() bool { return p == Pos{} }

// String renders file:line:col, leaving out what is not known.
func (p Pos) String() string {
	switch {
	case p.Line == 0:
		return p.File
	case p.Col == 0:
		return fmt.Sprintf("%s:%d", p.File, p.Line)
	default:
		return fmt.Sprintf("%s:%d:%d", p.File, p.Line, p.Col)
	}
}

// Diagnostic is one message.
type Diagnostic struct {
	Severity Severity `json:"severity"`
	Pos      Pos      `json:"pos,omitzero"`
	// Path names the thing in the cloud file, such as groups.web.count.
	Path string `json:"path,omitempty"`
	// Summary says what is wrong, in one line without a full stop.
	Summary string `json:"summary"`
	// Detail says why, where that is not plain from the summary.
	Detail string `json:"detail,omitempty"`
	// Mend says what to do about it.
	Mend string `json:"mend,omitempty"`
}

// String renders the diagnostic on one line:
// file:line:col: error: summary: detail (mend).
func (d Diagnostic) String() string {
	var b strings.Builder
	if !d.Pos.IsZero() {
		fmt.Fprintf(&b, "%s: ", d.Pos)
	}
	fmt.Fprintf(&b, "%s: %s", d.Severity, d.Summary)
	if d.Detail != "" {
		fmt.Fprintf(&b, ": %s", d.Detail)
	}
	if d.Mend != "" {
		fmt.Fprintf(&b, " (%s)", d.Mend)
	}
	return b.String()
}

// List is a collection of diagnostics. The zero value is empty and ready to use.
type List []Diagnostic

// Add appends d.
func (l *List) Add(d Diagnostic) { *l = append(*l, d) }

// Errorf appends an error at pos; mend may be empty.
func (l *List) Errorf(pos Pos, path, mend, format string, args ...any) {
	l.Add(Diagnostic{Severity: Error, Pos: pos, Path: path, Mend: mend, Summary: fmt.Sprintf(format, args...)})
}

// Warnf appends a warning at pos; mend may be empty.
func (l *List) Warnf(pos Pos, path, mend, format string, args ...any) {
	l.Add(Diagnostic{Severity: Warning, Pos: pos, Path: path, Mend: mend, Summary: fmt.Sprintf(format, args...)})
}

// HasErrors reports whether any diagnostic is an error.
func (l List) HasErrors() bool {
	return slices.ContainsFunc(l, func(d Diagnostic) bool { return d.Severity == Error })
}

// Sort orders the list by position, then path, then text, and drops repeats.
func (l *List) Sort() {
	slices.SortStableFunc(*l, func(a, b Diagnostic) int {
		return cmp.Or(
			cmp.Compare(a.Pos.File, b.Pos.File), cmp.Compare(a.Pos.Line, b.Pos.Line), cmp.Compare(a.Pos.Col, b.Pos.Col),
			cmp.Compare(a.Path, b.Path), cmp.Compare(a.Summary, b.Summary))
	})
	*l = slices.Compact(*l)
}

// Err returns the list as an error when it has errors, otherwise nil.
func (l List) Err() error {
	if !l.HasErrors() {
		return nil
	}
	return l
}

// Error renders every diagnostic on its own line.
func (l List) Error() string {
	lines := make([]string, len(l))
	for i, d := range l {
		lines[i] = d.String()
	}
	return strings.Join(lines, "\n")
}
