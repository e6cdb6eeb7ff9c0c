// Package report renders a benchmark for people: tables of medians, ratios to
// rivals of the same run, and whether the project's targets are met.
package report

import (
	"fmt"
	"slices"
	"strings"

	"github.com/updraft-cloud/updraft/bench/record"
	"github.com/updraft-cloud/updraft/bench/suite"
)

// busy is the share of the computer in use by others at which a measurement is
// marked as disturbed.
const busy = 0.25

// enough is how many undisturbed runs there must be for the others to be left out.
const enough = 3

// of returns the runs of a measurement that count.
func of(f *record.File, id record.ID) record.Series {
	return f.Of(id).Undisturbed(busy, enough)
}

// Markdown returns the whole report.
func Markdown(f *record.File) string {
	var b strings.Builder
	c := f.Computer
	b.WriteString("# Measurements\n\nWritten by `go run ./bench/cmd/bench`; see docs/benchmarks.md for what is measured and how.\n\n")
	fmt.Fprintf(&b, "Computer: %s, %d cores, %.0f GiB of memory, Linux %s, %s. updraft %s", c.CPU, c.Cores, float64(c.Memory)/(1<<30), c.Kernel, c.System, f.Version)
	for _, name := range []string{"cfengine", "puppet", "ansible"} {
		if v := f.Tools[name]; v != "" {
			fmt.Fprintf(&b, "; %s: %s", name, v)
		}
	}
	fmt.Fprintf(&b, ". Medians, with the range in brackets, of the runs before and during which other work used no more than %.0f %% of the computer.\n", 100*busy)
	disturbed(&b, f)
	targets(&b, f)
	for _, n := range sizes(f, suite.Config) {
		config(&b, f, n)
	}
	lab(&b, f)
	plan(&b, f)
	web(&b, f)
	openstack(&b, f)
	return b.String()
}

// Marks of the place in a document that holds the tables.
const (
	begin = "<!-- results: written by the benchmark -->\n"
	end   = "<!-- end of results -->\n"
)

// fromDocs is the way from the documents to the report.
const fromDocs = "../bench/results/"

// Insert puts the tables of a report into the place that a document of docs has for
// them.
func Insert(doc, report string) (string, error) {
	head, rest, ok := strings.Cut(doc, begin)
	_, tail, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		return "", fmt.Errorf("the document has no place for results: no lines %q and %q", begin, end)
	}
	_, tables, _ := strings.Cut(report, "\n\n") // without the title
	tables = strings.NewReplacer("\n## ", "\n### ", "](openstack-", "]("+fromDocs+"openstack-").Replace(tables)
	return head + begin + "\n" + tables + "\n" + end + tail, nil
}

// disturbed says how many measurements others disturbed.
func disturbed(b *strings.Builder, f *record.File) {
	n, worst := 0, 0.0
	for _, s := range f.Samples {
		if s.Others > busy {
			n++
		}
		worst = max(worst, s.Others)
	}
	if n > 0 {
		fmt.Fprintf(b, "\n**Disturbed:** in %d of %d measurements other work used more than that, at most %.0f %%. Where fewer than %d runs "+
			"of a measurement are left without these, all of its runs count, and the figure is marked with *.\n", n, len(f.Samples), 100*worst, enough)
	}
}

// sizes are the numbers of hosts that a part was measured with, most first.
func sizes(f *record.File, part string) []int {
	var out []int
	for _, s := range f.Samples {
		if s.Part == part && !slices.Contains(out, s.Hosts) {
			out = append(out, s.Hosts)
		}
	}
	slices.Sort(out)
	slices.Reverse(out)
	return out
}

// tools are in the order of the table.
var tools = []struct{ name, title string }{
	{"updraft", "updraft"},
	{"floor", "floor: fresh ssh and one batched shell check"},
	{"cfengine", "CFEngine"},
	{"puppet", "Puppet"},
	{"ansible", "Ansible"},
}

// cases of config in the order of the table.
var cases = []string{suite.First, suite.Again, suite.Drift}

func config(b *strings.Builder, f *record.File, hosts int) {
	fmt.Fprintf(b, "\n## Configuration: %d hosts, 100 things on each\n\n", hosts)
	b.WriteString("| seconds | first run | no change | one file changed on one host | processors, no change |\n|---|---|---|---|---|\n")
	for _, t := range tools {
		id := record.ID{Part: suite.Config, Tool: t.name, Hosts: hosts}
		var cells []string
		found := false
		for _, c := range cases {
			id.Case = c
			s := of(f, id)
			found = found || len(s) > 0
			cells = append(cells, cell(s)+ratio(f, id))
		}
		if !found {
			continue
		}
		id.Case = suite.Again
		cpu := "–"
		if again := of(f, id); len(again) > 0 {
			cpu = fmt.Sprintf("%.1f", again.CPU())
		}
		fmt.Fprintf(b, "| %s | %s | %s |\n", t.title, strings.Join(cells, " | "), cpu)
	}
}

// cell is the median with the range.
func cell(s record.Series) string {
	if len(s) == 0 {
		return "–"
	}
	mark := ""
	if slices.ContainsFunc(s, func(x record.Sample) bool { return x.Others > busy }) {
		mark = "*"
	}
	if len(s) == 1 {
		return number(s.Median()) + mark
	}
	low, high := s.Range()
	return fmt.Sprintf("%s%s (%s–%s)", number(s.Median()), mark, number(low), number(high))
}

// number has three digits or so.
func number(v float64) string {
	switch {
	case v >= 100:
		return fmt.Sprintf("%.0f", v)
	case v >= 10:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.2f", v)
}

// ratio is how many times as long as updraft's the median is.
func ratio(f *record.File, id record.ID) string {
	own := id
	own.Tool = "updraft"
	base, s := of(f, own).Median(), of(f, id)
	if id.Tool == "updraft" || base == 0 || len(s) == 0 {
		return ""
	}
	return fmt.Sprintf(", %s×", number(s.Median()/base))
}

func lab(b *strings.Builder, f *record.File) {
	ns := sizes(f, suite.Lab)
	if len(ns) == 0 {
		return
	}
	slices.Reverse(ns)
	b.WriteString("\n## Lab: from nothing, root file system at hand\n\n")
	b.WriteString("| hosts | until all sshd answer, s | memory of an idle host, MiB | stop all, s | destroy, s |\n|---|---|---|---|---|\n")
	for _, n := range ns {
		fmt.Fprintf(b, "| %d |", n)
		for _, c := range []string{suite.Up, suite.Memory, suite.Stop, suite.Destroy} {
			fmt.Fprintf(b, " %s |", cell(of(f, record.ID{Part: suite.Lab, Case: c, Hosts: n})))
		}
		b.WriteString("\n")
	}
}

func plan(b *strings.Builder, f *record.File) {
	ns := sizes(f, suite.Plan)
	if len(ns) == 0 {
		return
	}
	slices.Reverse(ns)
	b.WriteString("\n## Plan: 300 resources on each host, observed state held in a fake\n\n")
	b.WriteString("| hosts | time, s | µs for each resource | heap at the end, MiB | largest resident set, MiB |\n|---|---|---|---|---|\n")
	for _, n := range ns {
		id := record.ID{Part: suite.Plan, Case: suite.PlanTime, Hosts: n}
		t := of(f, id)
		fmt.Fprintf(b, "| %d | %s | %.1f |", n, cell(t), t.Median()*1e6/float64(n*300))
		for _, c := range []string{suite.PlanHeap, suite.PlanRSS} {
			id.Case = c
			fmt.Fprintf(b, " %s |", cell(of(f, id)))
		}
		b.WriteString("\n")
	}
}

// webRows are the measurements on the example.
var webRows = []struct{ name, title string }{
	{suite.WebUp, "`updraft up` from nothing, s"},
	{suite.WebNoop, "`updraft up` with nothing to do, checks and hand-off included, s"},
	{suite.WebApply, "`updraft apply` with nothing to do, s"},
	{suite.AgentRSS, "host agent: largest resident set, MiB"},
	{suite.AgentBin, "host agent: program, MiB"},
	{suite.Program, "updraft: program, MiB"},
}

func web(b *strings.Builder, f *record.File) {
	if len(sizes(f, suite.Noop)) == 0 {
		return
	}
	b.WriteString("\n## The example `examples/web.yaml`: five hosts\n\n| | |\n|---|---|\n")
	for _, row := range webRows {
		if s := of(f, record.ID{Part: suite.Noop, Case: row.name, Hosts: 5}); len(s) > 0 {
			fmt.Fprintf(b, "| %s | %s |\n", row.title, cell(s))
		}
	}
}

// stackRows are the measurements on the OpenStack cloud.
var stackRows = []struct{ name, title string }{
	{suite.StackCold, "`updraft up` with nothing at hand, until a server answers at its floating IP, s"},
	{suite.StackWarm, "`updraft up` from nothing, packages and images at hand, until a server answers at its floating IP, s"},
	{suite.StackPlan, "`updraft plan` with nothing to do, s"},
	{suite.StackNoop, "`updraft apply` with nothing to do, s"},
	{suite.StackOption, "one option of Nova changed: `updraft apply`, s"},
	{suite.StackCut, "`updraft up` after a power cut of all hosts, until a server answers at its floating IP, s"},
	{suite.StackDestroy, "`updraft destroy`, s"},
	{suite.Controller, "memory of the controller, MiB"},
	{suite.Compute, "memory of the compute, MiB"},
}

// openstack also says how much processor time a measurement took: divided by the
// computer's cores it is the floor that no order of the same work can get below.
func openstack(b *strings.Builder, f *record.File) {
	if len(sizes(f, suite.OpenStack)) == 0 {
		return
	}
	b.WriteString("\n## The example `examples/openstack-small.yaml`: an OpenStack on two hosts\n\n| | | processors, s | … divided by the cores |\n|---|---|---|---|\n")
	for _, row := range stackRows {
		s := of(f, record.ID{Part: suite.OpenStack, Case: row.name, Hosts: 2})
		if len(s) == 0 {
			continue
		}
		cpu, floor := "–", "–"
		if s.CPU() > 0 && f.Computer.Cores > 0 {
			cpu, floor = number(s.CPU()), number(s.CPU()/float64(f.Computer.Cores))
		}
		fmt.Fprintf(b, "| %s | %s | %s | %s |\n", row.title, cell(s), cpu, floor)
	}
	pictures(b, f)
}

// pictures points to the timelines beside the report of what was measured.
func pictures(b *strings.Builder, f *record.File) {
	var links []string
	for _, c := range []string{suite.StackCold, suite.StackWarm} {
		if len(of(f, record.ID{Part: suite.OpenStack, Case: c, Hosts: 2})) > 0 {
			links = append(links, fmt.Sprintf("[%[1]s](openstack-%[1]s.svg)", c))
		}
	}
	if len(links) > 0 {
		fmt.Fprintf(b, "\nTimelines of the last runs: %s.\n", strings.Join(links, ", "))
	}
}
