package ui

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode"

	"github.com/updraft-cloud/updraft/internal/drift"
	"github.com/updraft-cloud/updraft/internal/engine"
)

// PlanOptions choose how much of a plan is shown.
type PlanOptions struct {
	Color bool
	// Diff shows the lines that change in small text files.
	Diff bool
	// Only are the selectors of the part that was planned; none for the whole.
	Only []string
}

var marks = map[engine.Action]string{
	engine.Create: "+", engine.Update: "~", engine.Trigger: "↻", engine.Remove: "-", engine.Unclear: "?",
}

var colors = map[engine.Action]string{
	engine.Create: "32", engine.Update: "33", engine.Trigger: "36", engine.Remove: "31", engine.Unclear: "35",
}

// Plan writes a plan as text: machines and networks first, then host by host.
func Plan(w io.Writer, cloud string, p *engine.Plan, o PlanOptions) error {
	var b strings.Builder
	if !p.Empty() {
		fmt.Fprintf(&b, "Plan for %s%s:\n", cloud, part(o.Only))
	}
	scope := "\x00"
	for _, s := range byScope(p.Steps) {
		if s.Scope != scope && s.Scope != "" {
			fmt.Fprintf(&b, "\n  %s%s\n", s.Scope, behind(s))
		}
		scope = s.Scope
		writeStep(&b, s, o)
	}
	for _, blind := range p.Blind {
		fmt.Fprintf(&b, "\n  ! %s could not be observed: %s\n", cmp.Or(blind.Scope, "the deployer"), printable(blind.Err))
	}
	b.WriteString(planSummary(cloud, p, o))
	_, err := io.WriteString(w, b.String())
	return err
}

// byScope groups steps by scope, keeping the plan's order inside each.
func byScope(steps []engine.Step) []*engine.Step {
	out := make([]*engine.Step, len(steps))
	for i := range steps {
		out[i] = &steps[i]
	}
	slices.SortStableFunc(out, func(a, b *engine.Step) int { return cmp.Compare(a.Scope, b.Scope) })
	return out
}

func behind(s *engine.Step) string {
	if s.Behind == "" {
		return ""
	}
	return " (once " + s.Behind + " is there; what already agrees is left alone)"
}

func writeStep(b *strings.Builder, s *engine.Step, o PlanOptions) {
	name := strings.TrimPrefix(s.ID, s.Scope+"/")
	line := fmt.Sprintf("%s %s", marks[s.Action], name)
	if what := stepDetail(s); what != "" {
		line += "  " + what
	}
	line = printable(line)
	if o.Color {
		line = "\x1b[" + colors[s.Action] + "m" + line + "\x1b[0m"
	}
	fmt.Fprintf(b, "    %s\n", line)
	if !o.Diff {
		return
	}
	for _, c := range s.Changes {
		for _, l := range lineDiff(c.Text, c.NewText) {
			fmt.Fprintf(b, "        %s\n", printable(l))
		}
	}
}

// stepDetail says in a few words what a step would do.
func stepDetail(s *engine.Step) string {
	var parts []string
	for _, c := range s.Changes {
		parts = append(parts, changeText(c))
	}
	if len(s.Because) > 0 {
		names := make([]string, len(s.Because))
		for i, id := range s.Because {
			names[i] = strings.TrimPrefix(id, s.Scope+"/")
		}
		parts = append(parts, "because of "+strings.Join(names, ", "))
	}
	if s.Err != "" {
		parts = append(parts, s.Err)
	}
	if s.Needed {
		parts = append(parts, "(needed)")
	}
	if s.Turn > 0 {
		parts = append(parts, fmt.Sprintf("(turn %d)", s.Turn))
	}
	return strings.Join(parts, "; ")
}

func changeText(c drift.Change) string {
	const most = 60
	from, to := short(c.From, most), short(c.To, most)
	switch {
	case from == "" && to == "":
		return c.Attr
	case from == "":
		return c.Attr + ": " + to
	case to == "":
		return c.Attr + ": " + from + " → none"
	}
	return c.Attr + ": " + from + " → " + to
}

func short(s string, most int) string {
	s = strings.ReplaceAll(s, "\n", "⏎")
	if r := []rune(s); len(r) > most {
		return string(r[:most]) + "…"
	}
	return s
}

// printable shows control characters as U+FFFD, except tab and newline: what a
// host says must not move the cursor of whoever reads it, or write to the
// clipboard.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) && r != '\t' && r != '\n' {
			return unicode.ReplacementChar
		}
		return r
	}, s)
}

// part names the part that was planned.
func part(only []string) string {
	if len(only) == 0 {
		return ""
	}
	return ", only " + strings.Join(only, " and ")
}

func planSummary(cloud string, p *engine.Plan, o PlanOptions) string {
	if p.Empty() && len(o.Only) > 0 {
		return fmt.Sprintf("No changes. Of %s, %s is as the file says, with what it needs (%d resources).\n", cloud, strings.Join(o.Only, " and "), p.Nodes)
	}
	if p.Empty() {
		return fmt.Sprintf("No changes. %s is as its file says (%d resources).\n", cloud, p.Nodes)
	}
	counts := p.Counts()
	var parts []string
	for _, a := range []engine.Action{engine.Create, engine.Update, engine.Trigger, engine.Remove, engine.Unclear} {
		if counts[a] > 0 {
			parts = append(parts, fmt.Sprintf("%d to %s", counts[a], actionWords[a]))
		}
	}
	later := ""
	if len(p.Later) > 0 {
		later = fmt.Sprintf("Left for a run that has them, as they act on these changes: %s.\n", strings.Join(p.Later, ", "))
	}
	return fmt.Sprintf("\nPlan: %s, of %d resources.\n%s%s%s", strings.Join(parts, ", "), p.Nodes, byPhase(p), byTurn(p), later)
}

// byTurn says in which order hosts are changed of which not two must be at once.
func byTurn(p *engine.Plan) string {
	if len(p.Turns) == 0 {
		return ""
	}
	parts := make([]string, len(p.Turns))
	for k, t := range p.Turns {
		parts[k] = fmt.Sprintf("%s %d", t.Scope, t.Steps)
	}
	line := "One after the other, as they change what works: " + strings.Join(parts, ", then ") + ".\n"
	if held := p.Turns[0].Held; held != "" {
		line += "These do not begin before " + held + " is back from maintenance.\n"
	}
	return line
}

// byPhase says how many steps each phase has. Steps of several phases run at the
// same time: a phase is no barrier.
func byPhase(p *engine.Plan) string {
	counts := map[engine.Phase]int{}
	for i := range p.Steps {
		counts[p.Steps[i].Phase]++
	}
	var parts []string
	for _, ph := range []engine.Phase{engine.Provision, engine.Prepare, engine.Build, engine.Install, engine.Configure, engine.Start} {
		if counts[ph] > 0 {
			parts = append(parts, fmt.Sprintf("%s %d", ph, counts[ph]))
		}
	}
	if len(parts) == 0 {
		return ""
	}
	return "Steps by phase: " + strings.Join(parts, ", ") + ".\n"
}

var actionWords = map[engine.Action]string{
	engine.Create: "create", engine.Update: "update", engine.Trigger: "act on changes",
	engine.Remove: "remove", engine.Unclear: "look at again",
}
