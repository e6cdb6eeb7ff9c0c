package report

import (
	"strings"
	"testing"

	"github.com/updraft-cloud/updraft/bench/record"
	"github.com/updraft-cloud/updraft/bench/suite"
)

func sample(tool, c string, run int, v float64) record.Sample {
	return record.Sample{ID: record.ID{Part: suite.Config, Tool: tool, Case: c, Hosts: 20, Run: run}, Value: v, Unit: "s"}
}

func TestReport(t *testing.T) {
	f := &record.File{Version: "v1", Computer: record.Computer{CPU: "a processor", Cores: 2, Memory: 8 << 30}, Samples: []record.Sample{
		sample("updraft", suite.Again, 1, 0.5), sample("updraft", suite.Again, 2, 0.4), sample("updraft", suite.Again, 3, 0.9),
		sample("floor", suite.Again, 1, 0.6),
		sample("cfengine", suite.Again, 1, 4),
		sample("updraft", suite.Drift, 1, 0.5), sample("updraft", suite.Drift, 2, 0.6), sample("updraft", suite.Drift, 3, 0.7),
		sample("updraft", suite.Drift, 4, 5),
	}}
	f.Samples[8].Others = 0.5
	f.Samples[4].Others = 0.5
	got := Markdown(f)
	for rule, want := range map[string]string{
		"a cell is the median with its range": "| updraft | – | 0.50 (0.40–0.90) |",
		"rivals are told as multiples":        "0.60, 1.20×",
		"a disturbed measurement is marked":   "4.00*, 8.00×",
		"disturbance is said at the top":      "in 2 of 9 measurements",
		"a target that is met is told":        "no slower than the floor | 1.20× | yes |",
		"a target that is missed is told":     "10× faster than CFEngine | 8.00× | **no** |",
		"the computer is described":           "a processor, 2 cores, 8 GiB",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("%s: there is no %q in\n%s", rule, want, got)
		}
	}
	if strings.Contains(got, "Ansible |") || strings.Contains(got, "## Lab") {
		t.Errorf("what was not measured is told:\n%s", got)
	}
}

func TestInsertPutsTablesIntoTheirPlace(t *testing.T) {
	doc := "before\n" + begin + "old\n" + end + "after\n"
	got, err := Insert(doc, "# Title\n\ntext\n\n## Table\n")
	if want := "before\n" + begin + "\ntext\n\n### Table\n\n" + end + "after\n"; err != nil || got != want {
		t.Errorf("got %v\n%s", err, got)
	}
	if again, err := Insert(got, "# Title\n\ntext\n\n## Table\n"); err != nil || again != got {
		t.Errorf("a second time it is %v\n%s", err, again)
	}
	if _, err := Insert("nothing\n", "x"); err == nil {
		t.Error("a document without a place is taken")
	}
}
