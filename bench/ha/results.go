package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/google/renameio/v2"

	"github.com/updraft-cloud/updraft/bench/outage"
	"github.com/updraft-cloud/updraft/bench/record"
)

// results are what is kept of a run.
type results struct {
	Computer record.Computer `json:"computer"`
	At       time.Time       `json:"at"`
	Up       float64         `json:"up_s,omitempty"` // of a cloud that was not there
	NoChange float64         `json:"no_change_s"`
	Memory   float64         `json:"memory_mib"` // of all hosts with three servers
	Every    time.Duration   `json:"every_ns"`
	Timeout  time.Duration   `json:"timeout_ns"`
	Events   []result        `json:"events"`
}

// result is what an event did to each API.
type result struct {
	Event string  `json:"event"`
	Took  float64 `json:"took_s"` // until all was well
	APIs  []api   `json:"apis"`
}

type api struct {
	Name    string  `json:"name"`
	Asked   int     `json:"asked"`
	Failed  int     `json:"failed"`
	Gap     float64 `json:"gap_s"`     // longest time without an answer
	Slowest float64 `json:"slowest_s"` // of the requests that were answered
	First   string  `json:"first_failure,omitempty"`
}

func (r *results) add(event string, took time.Duration, rows []outage.Row) {
	e := result{Event: event, Took: took.Seconds()}
	for _, row := range rows {
		a := api{Name: row.Target, Asked: row.Asked, Failed: row.Failed, Gap: row.Gap.Seconds(), Slowest: row.Slowest.Seconds()}
		if row.First != nil {
			a.First = row.First.Error()
		}
		e.APIs = append(e.APIs, a)
	}
	r.Events = append(r.Events, e)
}

// write keeps the results as data and as a table.
func (r *results) write(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil { //nolint:gosec // results are for everybody
		return err
	}
	data, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	if err := renameio.WriteFile(filepath.Join(dir, "ha.json"), append(data, '\n'), 0o644); err != nil {
		return err
	}
	return renameio.WriteFile(filepath.Join(dir, "ha.md"), []byte(r.table()), 0o644)
}

// table has a line for each event and a column for each API: requests that failed
// of those made, and the longest time without an answer where some did.
func (r *results) table() string {
	var b strings.Builder
	raised := ""
	if r.Up > 0 {
		raised = fmt.Sprintf(" Raised and verified in %.0f s.", r.Up)
	}
	fmt.Fprintf(&b, "# What a highly available OpenStack does not answer\n\n"+
		"%s, %s cores, %s.%s An apply without changes takes %.1f s; five hosts with three servers use %.1f GiB.\n"+
		"Each API is asked through the virtual address: every %s who it is, and every %s for something that it looks up for an\n"+
		"authenticated user. A request may take %s. A cell says how many failed of how many (work of work), and the longest time\n"+
		"without an answer where some did.\n\n",
		r.Computer.CPU, fmt.Sprint(r.Computer.Cores), r.At.Format(time.DateOnly), raised, r.NoChange, r.Memory/1024, r.Every, each, r.Timeout)
	if len(r.Events) == 0 {
		return b.String()
	}
	columns := r.Events[0].columns()
	fmt.Fprintf(&b, "| event | well after, s | %s |\n|---|---|%s\n", strings.Join(columns, " | "), strings.Repeat("---|", len(columns)))
	for _, e := range r.Events {
		fmt.Fprintf(&b, "| %s | %.0f |", e.Event, e.Took)
		for _, c := range columns {
			fmt.Fprintf(&b, " %s |", e.cell(c))
		}
		b.WriteString("\n")
	}
	return b.String()
}

// columns are the names of those asked, each once.
func (r result) columns() []string {
	var out []string
	for _, a := range r.APIs {
		if !strings.HasSuffix(a.Name, atWork) {
			out = append(out, a.Name)
		}
	}
	return out
}

// cell tells how one did, and how it did at work.
func (r result) cell(name string) string {
	var parts []string
	for _, a := range r.APIs {
		if a.Name == name || a.Name == name+atWork {
			part := fmt.Sprintf("%d / %d", a.Failed, a.Asked)
			if a.Failed > 0 {
				part += fmt.Sprintf(" **%.1f s**", a.Gap)
			}
			parts = append(parts, part)
		}
	}
	return strings.Join(parts, ", ")
}
