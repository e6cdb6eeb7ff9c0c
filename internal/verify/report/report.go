// Package report renders the outcome of a verify run: as a table for people, as
// JSON and JUnit XML for programs, and as one self-contained HTML page.
//
// It guarantees that every result appears in every form, in the order of the
// run; that nothing a server said can play with a terminal, break the XML or
// add mark-up to the page; and that the same report gives the same bytes.
package report

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/updraft-cloud/updraft/internal/timeline"
	"github.com/updraft-cloud/updraft/internal/verify"
)

// JSON writes the report as one JSON document.
func JSON(w io.Writer, r verify.Report) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(struct {
		OK     bool          `json:"ok"`
		Counts verify.Counts `json:"counts"`
		verify.Report
	}{r.OK(), r.Counts(), r})
}

// Table writes one line for each check and a line that sums up. With symbols,
// as suits a terminal, outcomes are shown as ✓, ✗, ! and -; the reasons of
// checks that did not pass follow in full below the table.
func Table(w io.Writer, r verify.Report, symbols bool) error {
	var b strings.Builder
	tw := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "\tCHECK\tKIND\tFROM\tTIME\tTRIES\tFOUND")
	for _, res := range r.Results {
		fmt.Fprintf(tw, "%s\t%s\t%s\t%s\t%s\t%d\t%s\n", outcome(res.Status, symbols), clean(res.Name), res.Kind, clean(res.From),
			timeline.Short(res.Duration), res.Tries, short(res))
	}
	if err := tw.Flush(); err != nil {
		return err
	}
	writeReasons(&b, r)
	fmt.Fprintf(&b, "\n%s in %s", r.Counts(), timeline.Short(r.Duration))
	if r.Interrupted {
		b.WriteString(" (interrupted)")
	}
	b.WriteString("\n")
	_, err := io.WriteString(w, trimRight(b.String()))
	return err
}

func outcome(s verify.Status, symbols bool) string {
	if !symbols {
		return string(s)
	}
	switch s {
	case verify.Passed:
		return "✓"
	case verify.Failed:
		return "✗"
	case verify.Errored:
		return "!"
	default:
		return "-"
	}
}

// short is what fits into the last column; what is longer is told below.
func short(r verify.Result) string {
	const most = 60
	if d, ok := r.Detail.(verify.SpreadDetail); ok && d.Tested {
		return fmt.Sprintf("p = %s of %d requests over %d members", verify.FormatP(d.P), d.Answers, len(d.Members))
	}
	s := []rune(clean(r.Reason))
	if len(s) > most {
		return string(s[:most-1]) + "…"
	}
	return string(s)
}

func writeReasons(b *strings.Builder, r verify.Report) {
	for _, res := range r.Results {
		_, isSpread := res.Detail.(verify.SpreadDetail)
		if res.Status == verify.Failed || res.Status == verify.Errored || isSpread && res.Status == verify.Passed {
			fmt.Fprintf(b, "\n%s (%s from %s): %s\n", clean(res.Name), res.Status, clean(res.From), clean(res.Reason))
		}
	}
}

// clean keeps text on one line and free of control characters, which neither
// terminals nor XML 1.0 bear.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t' || r == '\r':
			return ' '
		case r < ' ' || r >= 0x7f && r < 0xa0 || r == 0xfffe || r == 0xffff:
			return '\uFFFD'
		}
		return r
	}, strings.ToValidUTF8(s, "\uFFFD"))
}

func trimRight(s string) string {
	lines := strings.Split(s, "\n")
	for i, l := range lines {
		lines[i] = strings.TrimRight(l, " ")
	}
	return strings.Join(lines, "\n")
}
