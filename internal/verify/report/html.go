package report

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"strings"
	"time"

	"github.com/updraft-cloud/updraft/internal/timeline"
	"github.com/updraft-cloud/updraft/internal/verify"
)

//go:embed page.html
var page string

// pageData is what page.html shows.
type pageData struct {
	verify.Report
	CSS      template.CSS
	Rows     []row
	Spreads  []spread
	Checks   template.HTML // drawing
	Run      template.HTML // drawing; empty without steps
	RunLists template.HTML
	RunTime  time.Duration
}

// row is one line of the page's table.
type row struct {
	verify.Result
	Mark  string
	Found string // the whole reason, but for spreads, which are told below
}

// spread is one plot with what it says.
type spread struct {
	Name, From string
	Status     verify.Status
	verify.SpreadDetail
	Plot template.HTML
}

// HTML writes one self-contained page: the results, a plot of every spread, a
// timeline of the checks and, where steps are given, one of the run before.
func HTML(w io.Writer, r verify.Report, run []timeline.Step) error {
	funcs := template.FuncMap{"short": timeline.Short, "p": verify.FormatP, "clean": clean}
	tmpl, err := template.New("page").Funcs(funcs).Parse(page)
	if err != nil {
		return err
	}
	data := pageData{
		Report: r,
		CSS:    template.CSS(timeline.CSS + plotCSS),
		Checks: template.HTML(timeline.New(steps(r)).Fragment()), // escaped by Fragment
	}
	for _, res := range r.Results {
		d, isSpread := res.Detail.(verify.SpreadDetail)
		found := clean(res.Reason)
		if isSpread && d.Tested {
			found = short(res)
		}
		data.Rows = append(data.Rows, row{res, outcome(res.Status, true), found})
		if isSpread {
			data.Spreads = append(data.Spreads, spread{res.Name, res.From, res.Status, d, template.HTML(plot(d))})
		}
	}
	if len(run) > 0 {
		t := timeline.New(run)
		lists, err := t.Tables()
		if err != nil {
			return err
		}
		data.Run, data.RunLists, data.RunTime = template.HTML(t.Fragment()), template.HTML(lists), t.Duration()
	}
	var b strings.Builder
	if err := tmpl.Execute(&b, data); err != nil {
		return fmt.Errorf("cannot write the page: %w", err)
	}
	_, err = io.WriteString(w, b.String())
	return err
}

// steps shows checks as the steps of a timeline, a lane for each vantage point.
func steps(r verify.Report) []timeline.Step {
	var out []timeline.Step
	for i, res := range r.Results {
		if res.Tries == 0 {
			continue
		}
		s := timeline.Step{
			ID: fmt.Sprintf("%d. %s", i+1, res.Name), Phase: "verify", Scope: res.From,
			Start: res.Start, End: res.Start.Add(res.Duration), Status: string(res.Status),
		}
		if res.Status != verify.Passed {
			s.Status = "failed"
		}
		out = append(out, s)
	}
	return out
}
