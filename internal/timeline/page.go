package timeline

import (
	"html/template"
	"io"
	"strings"
	"time"
)

// page is the template of [Timeline.HTML]; it takes a pageData.
const page = `<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">
<meta name="color-scheme" content="light dark"><title>{{.Title}}</title>
<style>
:root{--ink:#1c2430;--soft:#66707f;--rule:#e3e7ec;--paper:#fff}
@media (prefers-color-scheme:dark){:root{--ink:#e4e8ee;--soft:#97a1b0;--rule:#2a323d;--paper:#0e131a}}
body{font:15px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--paper);max-width:1240px;margin:2rem auto;padding:0 1rem}
h1{font-size:1.4rem;margin:0}h2{font-size:1.05rem;margin:2rem 0 .5rem}p{color:var(--soft);margin:.2rem 0 1rem}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}td,th{text-align:left;padding:.25rem .75rem .25rem 0;border-bottom:1px solid var(--rule);vertical-align:top}
th{color:var(--soft);font-weight:500;font-size:.85rem}td.n,th.n{text-align:right;white-space:nowrap;width:5.5rem}td.o{width:7rem}td.id{font-family:ui-monospace,monospace;font-size:.85rem;word-break:break-all}
.wide{overflow-x:auto}.wide svg{min-width:760px}
{{.CSS}}</style></head><body>
<h1>{{.Title}}</h1><p>{{.Summary}}</p>
<div class="wide">{{.Drawing}}</div>
{{.Tables}}
</body></html>
`

const tables = `<h2>Critical path</h2><p>The run could not have been shorter than this chain: each step waited for the one before it.</p>
<table><tr><th class="n">began</th><th class="n">took</th><th class="n">waited</th><th>step</th></tr>
{{range .Links}}<tr><td class="n">+{{short (since .Start)}}</td><td class="n">{{short .Duration}}</td><td class="n">{{short .Wait}}</td><td class="id">{{.ID}}</td></tr>
{{end}}</table>{{if .Left}}<p>and {{.Left}} shorter ones</p>{{end}}
<h2>By phase</h2>
<table><tr><th>phase</th><th class="n">steps</th><th class="n">wall time</th><th class="n">work</th></tr>
{{range .Phases}}<tr><td>{{.Name}}</td><td class="n">{{.Steps}}</td><td class="n">{{short .Wall}}</td><td class="n">{{short .Work}}</td></tr>
{{end}}</table>
<h2>Slowest steps</h2>
<table><tr><th class="n">took</th><th>step</th><th>outcome</th></tr>
{{range .Slowest}}<tr><td class="n">{{short .Duration}}</td><td class="id">{{.ID}}</td><td class="o">{{.Status}}</td></tr>
{{end}}</table>
`

type pageData struct {
	Title, Summary  string
	CSS             template.CSS
	Drawing, Tables template.HTML
}

// HTML writes a page with the drawing, the critical path and the totals.
func (t *Timeline) HTML(w io.Writer, title string) error {
	p, err := template.New("page").Parse(page)
	if err != nil {
		return err
	}
	lists, err := t.Tables()
	if err != nil {
		return err
	}
	return p.Execute(w, pageData{
		Title:   title,
		Summary: count(len(t.Steps), "step") + " in " + Short(t.Duration()),
		CSS:     template.CSS(CSS),
		Drawing: template.HTML(t.Fragment()), // escaped by Fragment
		Tables:  template.HTML(lists),        // escaped by the template of Tables
	})
}

// Tables returns the critical path, the phases and the slowest steps as
// elements of an HTML page.
func (t *Timeline) Tables() (string, error) {
	funcs := template.FuncMap{
		"short": Short,
		"since": func(at time.Time) time.Duration { return at.Sub(t.Start) },
	}
	tmpl, err := template.New("tables").Funcs(funcs).Parse(tables)
	if err != nil {
		return "", err
	}
	links, left := t.shownCritical()
	var b strings.Builder
	err = tmpl.Execute(&b, struct {
		Links   []Link
		Left    int
		Phases  []Total
		Slowest []Step
	}{links, left, t.Phases(), t.Slowest(slowestShown)})
	return b.String(), err
}
