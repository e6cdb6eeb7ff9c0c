package logbundle

import (
	"fmt"
	"io"
	"strings"
	"time"
)

// summary says what is probably wrong, what is missing and what is in the bundle.
func summary(w io.Writer, o *Options, res Result, items []*item) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s, packed on %s by updraft %s\n", o.Cloud, o.At.UTC().Format("2006-01-02 15:04:05 UTC"), o.Version)
	causes(&b, o, res)
	if len(res.Missed) > 0 {
		b.WriteString("\nNOT COLLECTED\n")
		for _, m := range res.Missed {
			fmt.Fprintf(&b, "  %s: %s\n", m.What, oneLine(m.Why))
		}
	}
	fmt.Fprintf(&b, "\nFILES (journals from %s on; secrets were taken out)\n", o.Since.UTC().Format(time.RFC3339))
	for _, it := range items {
		cut := ""
		if !it.whole {
			cut = "  cut off"
		}
		fmt.Fprintf(&b, "  %9d  %s%s\n", it.size, it.name, cut)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// causes puts what journals name before what was seen: a full disk is why services
// are down, and not the other way round.
func causes(b *strings.Builder, o *Options, res Result) {
	b.WriteString("\nPROBABLE CAUSE\n")
	var all []Cause
	for _, s := range res.Signs {
		all = append(all, Cause{fmt.Sprintf("%s %s (said %d times, the last time: %s)", s.Host, s.What, s.Times, oneLine(s.Last)), s.Mend})
	}
	all = append(all, o.Causes...)
	if len(all) == 0 {
		b.WriteString("  Nothing is known to be wrong.\n")
		return
	}
	for i, c := range all {
		if i == 1 {
			b.WriteString("\nWHAT ELSE IS WRONG\n")
		}
		fmt.Fprintf(b, "  %s\n      %s\n", oneLine(c.What), oneLine(c.Mend))
	}
}

// oneLine keeps what others wrote on a line of its own.
func oneLine(s string) string {
	const most = 500
	s = strings.Join(strings.Fields(s), " ")
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most], "") + "…"
	}
	return s
}
