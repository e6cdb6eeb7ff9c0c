package report

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"flag"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/updraft-cloud/updraft/internal/stats"
	"github.com/updraft-cloud/updraft/internal/timeline"
	"github.com/updraft-cloud/updraft/internal/verify"
)

var update = flag.Bool("update", false, "rewrite the golden files")

var zero = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// spreadOf returns the detail of a spread with the given counts, as judged
// against equal shares.
func spreadOf(t *testing.T, counts ...int) verify.SpreadDetail {
	t.Helper()
	fit, err := stats.GoodnessOfFit(counts, nil)
	if err != nil {
		t.Fatal(err)
	}
	d := verify.SpreadDetail{
		Endpoint: verify.Endpoint{Name: "front", Addr: "10.88.0.100"}, URL: "http://front/",
		Requests: fit.N, Answers: fit.N, Hypothesis: "each request goes to web1, web2 and web3 with equal chance",
		Statistic: fit.Statistic, DF: fit.DF, P: fit.P, Alpha: 0.001, Tested: true,
		Critical: stats.ChiSquareCritical(0.001, fit.DF), Verdict: "the verdict",
	}
	for i, c := range counts {
		d.Members = append(d.Members, verify.MemberCount{
			Name: "web" + string(rune('1'+i)), Count: c, Weight: 1, Expected: fit.Expected[i], Share: stats.Wilson(c, fit.N, 0.95),
		})
	}
	return d
}

// sample is a report with every outcome, and with text that means harm.
func sample(t *testing.T) verify.Report {
	t.Helper()
	at := func(ms int) time.Time { return zero.Add(time.Duration(ms) * time.Millisecond) }
	ms := func(n int) time.Duration { return time.Duration(n) * time.Millisecond }
	return verify.Report{
		Cloud: "web", Start: zero, Duration: ms(2310),
		Results: []verify.Result{
			{Name: "hosts answer", Kind: "icmp", From: "deployer", Status: verify.Passed, Reason: "all 5 answered, slowest in 0.4ms", Start: at(0), Duration: ms(420), Tries: 1},
			{Name: "ssh", Kind: "banner", From: "deployer", Status: verify.Failed, Reason: "web2 (10.88.0.12) port 22 says \x1b[31m<script>alert(1)</script>", Start: at(2), Duration: ms(1200), Tries: 7},
			{Name: "fair", Kind: "spread", From: "deployer", Status: verify.Passed, Reason: "the verdict", Detail: spreadOf(t, 98, 104, 98), Start: at(3), Duration: ms(610), Tries: 1},
			{Name: "biased", Kind: "spread", From: "web1", Status: verify.Failed, Reason: "the verdict", Detail: spreadOf(t, 240, 31, 29), Start: at(3), Duration: ms(703), Tries: 1},
			{Name: "names", Kind: "dns", From: "web2", Status: verify.Errored, Reason: "cannot look from there (web2): no route to host", Start: at(10), Duration: ms(2300), Tries: 3},
			{Name: "later", Kind: "tcp", From: "web3", Status: verify.Skipped, Reason: "interrupted before it began", Start: at(2310)},
		},
	}
}

func TestFormsAgreeWithTheGoldenFiles(t *testing.T) {
	r := sample(t)
	forms := map[string]func(io.Writer) error{
		"table.txt":    func(w io.Writer) error { return Table(w, r, false) },
		"terminal.txt": func(w io.Writer) error { return Table(w, r, true) },
		"report.json":  func(w io.Writer) error { return JSON(w, r) },
		"junit.xml":    func(w io.Writer) error { return JUnit(w, r) },
		"page.html":    func(w io.Writer) error { return HTML(w, r, runSteps()) },
	}
	for name, write := range forms {
		t.Run(name, func(t *testing.T) {
			var b bytes.Buffer
			if err := write(&b); err != nil {
				t.Fatal(err)
			}
			if bytes.Contains(b.Bytes(), []byte("\x1b")) {
				t.Error("an escape sequence got through")
			}
			path := filepath.Join("testdata", name)
			if *update {
				if err := os.WriteFile(path, b.Bytes(), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(b.Bytes(), want) {
				t.Errorf("differs from %s; got:\n%s", path, b.String())
			}
		})
	}
}

func runSteps() []timeline.Step {
	step := func(id, phase, scope string, from, to int, needs ...string) timeline.Step {
		return timeline.Step{ID: id, Phase: phase, Scope: scope, Needs: needs,
			Start: zero.Add(time.Duration(from) * time.Millisecond), End: zero.Add(time.Duration(to) * time.Millisecond)}
	}
	return []timeline.Step{
		step("machine:web1", "provision", "", 0, 900),
		step("web1/package:nginx", "install", "web1", 950, 4000, "machine:web1"),
		step("web1/unit:nginx.service", "start", "web1", 4000, 4200, "web1/package:nginx"),
	}
}

func TestJUnitIsWellFormedAndCountsAsTheReport(t *testing.T) {
	r := sample(t)
	r.Results[0].Name = "a \x00 b \xff ]]> <c>"
	var b bytes.Buffer
	if err := JUnit(&b, r); err != nil {
		t.Fatal(err)
	}
	var got suites
	if err := xml.Unmarshal(b.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	failures, errs, skipped := 0, 0, 0
	for _, c := range got.Suite.Cases {
		failures, errs, skipped = failures+count(c.Failure), errs+count(c.Error), skipped+count(c.Skipped)
	}
	c := r.Counts()
	if failures != c.Failed || errs != c.Errors || skipped != c.Skipped || len(got.Suite.Cases) != c.Total() {
		t.Errorf("cases: %d failures, %d errors, %d skipped of %d", failures, errs, skipped, len(got.Suite.Cases))
	}
	if got.Tests != c.Total() || got.Suite.Fails != c.Failed || got.Suite.Errors != c.Errors || got.Suite.Skipped != c.Skipped {
		t.Errorf("attributes: %+v", got.Suite)
	}
}

func count(p *problem) int {
	if p == nil {
		return 0
	}
	return 1
}

func TestJSONHoldsTheWholeSpread(t *testing.T) {
	var b bytes.Buffer
	if err := JSON(&b, sample(t)); err != nil {
		t.Fatal(err)
	}
	var got struct {
		OK      bool
		Counts  verify.Counts
		Results []struct{ Detail verify.SpreadDetail }
	}
	if err := json.Unmarshal(b.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	if d := got.Results[3].Detail; got.OK || got.Counts.Failed != 2 || d.P > 1e-60 || d.Members[0].Count != 240 || d.Addr != "10.88.0.100" {
		t.Errorf("got %+v", got)
	}
}

func TestPageNeedsNothingElse(t *testing.T) {
	var b bytes.Buffer
	if err := HTML(&b, sample(t), nil); err != nil {
		t.Fatal(err)
	}
	page := b.String()
	for _, bad := range []string{"<script", "src=", "<link", "@import", "url("} {
		if strings.Contains(page, bad) {
			t.Errorf("the page holds %q", bad)
		}
	}
	if strings.Contains(page, "Timeline of the run") {
		t.Error("a run is shown that was not given")
	}
	if n := strings.Count(page, `class="plot"`); n != 2 {
		t.Errorf("%d plots for 2 spreads", n)
	}
}

func TestReportWithoutResults(t *testing.T) {
	var r verify.Report
	for name, write := range map[string]func(io.Writer) error{
		"table": func(w io.Writer) error { return Table(w, r, true) },
		"json":  func(w io.Writer) error { return JSON(w, r) },
		"junit": func(w io.Writer) error { return JUnit(w, r) },
		"html":  func(w io.Writer) error { return HTML(w, r, nil) },
	} {
		if err := write(io.Discard); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestWriteMakesTheFilesThatAreWanted(t *testing.T) {
	dir := t.TempDir()
	page := filepath.Join(dir, "page.html")
	if err := Write(sample(t), page, "", runSteps()...); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(page)
	want, _ := os.ReadFile("testdata/page.html")
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("the page differs, %v", err)
	}
	if err := Write(sample(t), "", filepath.Join(dir, "none", "junit.xml")); err == nil {
		t.Error("a directory that does not exist is no error")
	}
}
