package report

import (
	"fmt"
	"strings"

	"github.com/updraft-cloud/updraft/bench/record"
	"github.com/updraft-cloud/updraft/bench/suite"
)

// target is a promise about one figure. got is false when there is nothing
// measured yet.
type target struct {
	text    string
	measure func(*record.File) (value float64, got bool)
	most    float64 // the value may be no more
	least   float64 // and no less
	unit    string
}

// targets are held against what was measured.
func targets(b *strings.Builder, f *record.File) {
	var rows strings.Builder
	for _, t := range allTargets(f) {
		v, got := t.measure(f)
		if !got {
			continue
		}
		met := "yes"
		if (t.most > 0 && v > t.most) || v < t.least {
			met = "**no**"
		}
		fmt.Fprintf(&rows, "| %s | %s%s | %s |\n", t.text, number(v), t.unit, met)
	}
	if rows.Len() > 0 {
		b.WriteString("\n## Targets\n\n| target | measured | met |\n|---|---|---|\n" + rows.String())
	}
}

func allTargets(f *record.File) []target {
	var out []target
	for _, n := range sizes(f, suite.Config) {
		out = append(out, configTargets(n)...)
	}
	for _, l := range []struct {
		hosts   int
		seconds float64
	}{{5, 3}, {20, 7}, {100, 38}} {
		out = append(out, target{
			text:    fmt.Sprintf("lab of %d hosts in under %g s", l.hosts, l.seconds),
			measure: median(record.ID{Part: suite.Lab, Case: suite.Up, Hosts: l.hosts}), most: l.seconds, unit: " s",
		})
	}
	return append(out,
		target{text: "plan of 1,000 hosts × 300 resources in under 3 s", measure: median(planID(suite.PlanTime)), most: 3, unit: " s"},
		target{text: "… with under 500 MB", measure: median(planID(suite.PlanRSS)), most: 477, unit: " MiB"},
		target{text: "no-op `up` of the example in under 1 s", measure: median(webID(suite.WebNoop)), most: 1, unit: " s"},
		target{text: "OpenStack with nothing at hand in under 7 min", measure: median(stackID(suite.StackCold)), most: 420, unit: " s"},
		target{text: "OpenStack with images at hand in under 100 s", measure: median(stackID(suite.StackWarm)), most: 100, unit: " s"},
		target{text: "OpenStack, nothing to do, in under 2 s", measure: median(stackID(suite.StackNoop)), most: 2, unit: " s"},
		target{text: "OpenStack, one option of Nova, in under 15 s", measure: median(stackID(suite.StackOption)), most: 15, unit: " s"},
		target{text: "controller under 2 GiB", measure: median(stackID(suite.Controller)), most: 2048, unit: " MiB"},
		target{text: "compute under 800 MiB", measure: median(stackID(suite.Compute)), most: 800, unit: " MiB"},
		target{text: "host agent under 8 MB: program", measure: median(webID(suite.AgentBin)), most: 7.6, unit: " MiB"},
	)
}

func configTargets(hosts int) []target {
	all := []struct {
		text, tool, c string
		least         float64
	}{
		{"no change: no slower than the floor", "floor", suite.Again, 1},
		{"one file changed: no slower than the floor", "floor", suite.Drift, 1},
		{"first run: 5× faster than CFEngine", "cfengine", suite.First, 5},
		{"no change: 10× faster than CFEngine", "cfengine", suite.Again, 10},
		{"no change: 500× faster than Ansible", "ansible", suite.Again, 500},
	}
	var out []target
	for _, a := range all {
		out = append(out, target{
			text:    fmt.Sprintf("%d hosts, %s", hosts, a.text),
			measure: times(record.ID{Part: suite.Config, Tool: a.tool, Case: a.c, Hosts: hosts}), least: a.least, unit: "×",
		})
	}
	return out
}

func planID(c string) record.ID { return record.ID{Part: suite.Plan, Case: c, Hosts: 1000} }
func stackID(c string) record.ID {
	return record.ID{Part: suite.OpenStack, Case: c, Hosts: 2}
}
func webID(c string) record.ID { return record.ID{Part: suite.Noop, Case: c, Hosts: 5} }

func median(id record.ID) func(*record.File) (float64, bool) {
	return func(f *record.File) (float64, bool) {
		s := of(f, id)
		return s.Median(), len(s) > 0
	}
}

// times is how many times as long as updraft a rival takes.
func times(rival record.ID) func(*record.File) (float64, bool) {
	return func(f *record.File) (float64, bool) {
		own := rival
		own.Tool = "updraft"
		a, b := of(f, own), of(f, rival)
		if len(a) == 0 || len(b) == 0 || a.Median() == 0 {
			return 0, false
		}
		return b.Median() / a.Median(), true
	}
}
