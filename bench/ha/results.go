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
	Up       float64         `json:"up_s"`
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
	fmt.Fprintf(&b, "# What a highly available OpenStack does not answer\n\n"+
		"%s, %s cores, %s. Raised in %.0f s. Each API is asked every %s through the virtual address, by requests that may take %s;\n"+
		"a cell says how many failed of how many, and the longest time without an answer.\n\n",
		r.Computer.CPU, fmt.Sprint(r.Computer.Cores), r.At.Format(time.DateOnly), r.Up, r.Every, r.Timeout)
	if len(r.Events) == 0 {
		return b.String()
	}
	b.WriteString("| event | well after, s |")
	for _, a := range r.Events[0].APIs {
		fmt.Fprintf(&b, " %s |", a.Name)
	}
	b.WriteString("\n|---|" + strings.Repeat("---|", len(r.Events[0].APIs)+1) + "\n")
	for _, e := range r.Events {
		fmt.Fprintf(&b, "| %s | %.0f |", e.Event, e.Took)
		for _, a := range e.APIs {
			cell := fmt.Sprintf("0 / %d", a.Asked)
			if a.Failed > 0 {
				cell = fmt.Sprintf("%d / %d, %.1f s", a.Failed, a.Asked, a.Gap)
			}
			fmt.Fprintf(&b, " %s |", cell)
		}
		b.WriteString("\n")
	}
	return b.String()
}
