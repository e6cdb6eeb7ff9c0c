package timeline

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
)

// Lengths of the lists in the text and on the page.
const (
	slowestShown  = 10
	criticalShown = 30
)

// Text writes a summary: totals by phase, the critical path, the slowest steps.
func (t *Timeline) Text(w io.Writer) error {
	if len(t.Steps) == 0 {
		_, err := fmt.Fprintln(w, "Nothing was done.")
		return err
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s in %s\n", count(len(t.Steps), "step"), Short(t.Duration()))
	tw := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintf(tw, "\nPHASE\tSTEPS\tWALL\tWORK\n")
	for _, p := range t.Phases() {
		fmt.Fprintf(tw, "%s\t%d\t%s\t%s\n", orDash(p.Name), p.Steps, Short(p.Wall), Short(p.Work))
	}
	if err := tw.Flush(); err != nil {
		return err
	}
	fmt.Fprintf(&b, "\nCRITICAL PATH (%s of work in %s)\n", Short(work(t.Critical)), count(len(t.Critical), "step"))
	links, left := t.shownCritical()
	for _, l := range links {
		fmt.Fprintf(tw, "+%s\t%s\t%s\t%s\n", Short(l.Start.Sub(t.Start)), Short(l.Duration()), printable(l.ID), waited(l.Wait))
	}
	if err := tw.Flush(); err != nil {
		return err
	}
	if left > 0 {
		fmt.Fprintf(&b, "and %d shorter ones\n", left)
	}
	fmt.Fprintf(&b, "\nSLOWEST STEPS\n")
	for _, s := range t.Slowest(slowestShown) {
		fmt.Fprintf(tw, "%s\t%s\t%s\n", Short(s.Duration()), printable(s.ID), printable(s.Status))
	}
	if err := tw.Flush(); err != nil {
		return err
	}
	_, err := io.WriteString(w, trimLines(b.String()))
	return err
}

// shownCritical leaves out the shortest links of a long path, and says how many.
func (t *Timeline) shownCritical() (links []Link, left int) {
	if len(t.Critical) <= criticalShown {
		return t.Critical, 0
	}
	bound := time.Duration(0)
	for _, s := range New(stepsOf(t.Critical)).Slowest(criticalShown) {
		bound = s.Duration()
	}
	for _, l := range t.Critical {
		if l.Duration() >= bound && len(links) < criticalShown {
			links = append(links, l)
		}
	}
	return links, len(t.Critical) - len(links)
}

func stepsOf(links []Link) []Step {
	out := make([]Step, len(links))
	for i, l := range links {
		out[i] = l.Step
	}
	return out
}

func work(links []Link) (sum time.Duration) {
	for _, l := range links {
		sum += l.Duration()
	}
	return sum
}

// waited tells of waits that a person could notice.
func waited(d time.Duration) string {
	if d < 10*time.Millisecond {
		return ""
	}
	return "after waiting " + Short(d)
}

// Short renders a duration in at most six characters: 0, 340µs, 12ms, 1.23s,
// 2m05s, 1h02m.
func Short(d time.Duration) string {
	switch {
	case d <= 0:
		return "0"
	case d < time.Millisecond:
		return fmt.Sprintf("%dµs", d.Microseconds())
	case d < time.Second:
		return fmt.Sprintf("%dms", d.Milliseconds())
	case d < 10*time.Second:
		return fmt.Sprintf("%.2fs", d.Truncate(10*time.Millisecond).Seconds())
	case d < time.Minute:
		return fmt.Sprintf("%.1fs", d.Truncate(100*time.Millisecond).Seconds())
	case d < time.Hour:
		return fmt.Sprintf("%dm%02ds", int(d.Minutes()), int(d.Seconds())%60)
	default:
		return fmt.Sprintf("%dh%02dm", int(d.Hours()), int(d.Minutes())%60)
	}
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return printable(s)
}

// printable replaces what could play with a terminal or is not allowed in XML.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 || r == 0xfffe || r == 0xffff {
			return '\uFFFD'
		}
		return r
	}, strings.ToValidUTF8(s, "\uFFFD"))
}

// trimLines removes the blanks that tabwriter leaves at the ends of lines.
func trimLines(s string) string {
	lines := strings.Split(s, "\n")
	for i, l := range lines {
		lines[i] = strings.TrimRight(l, " ")
	}
	return strings.Join(lines, "\n")
}
