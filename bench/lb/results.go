package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/google/renameio/v2"

	"github.com/updraft-cloud/updraft/bench/record"
)

// results are what is kept: all samples of the last run of each figure.
type results struct {
	Computer record.Computer      `json:"computer"`
	At       time.Time            `json:"at"`
	Samples  map[string][]float64 `json:"samples"`
}

func load(dir string) (*results, error) {
	r := &results{Samples: map[string][]float64{}}
	data, err := os.ReadFile(filepath.Join(dir, "lb.json"))
	if errors.Is(err, fs.ErrNotExist) {
		return r, nil
	}
	if err != nil {
		return nil, err
	}
	return r, json.Unmarshal(data, r)
}

func (r *results) take(samples map[string][]float64) {
	r.Computer, r.At = record.ThisComputer(), time.Now().UTC().Truncate(time.Second)
	for k, v := range samples {
		r.Samples[k] = v
	}
}

func (r *results) write(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil { //nolint:gosec // results are for everybody
		return err
	}
	data, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	if err := renameio.WriteFile(filepath.Join(dir, "lb.json"), append(data, '\n'), 0o644); err != nil {
		return err
	}
	return renameio.WriteFile(filepath.Join(dir, "lb.md"), []byte(r.table()), 0o644)
}

// row is a line of the table. A target is the least or the most that is wanted.
type row struct {
	text     string
	upstream string
	figure   string
	unit     string
	least    float64
	most     float64
}

// rows are the figures of the issue, beside those of Octavia 16.0.
var rows = []row{
	{"GET of one load balancer, CPU", "7.9 ms", "get cpu ms", "ms", 0, 0.1},
	{"… at 8 connections", "231 req/s", "get req/s", "req/s", 15000, 0},
	{"… p50", "34 ms", "get p50 ms", "ms", 0, 0},
	{"GET of a pool with 200 members, CPU", "110–134 ms", "pool200 cpu ms", "ms", 0, 0.3},
	{"… of the 200 members in full, CPU", "", "members200 cpu ms", "ms", 0, 0},
	{"… of the status tree with them, CPU", "", "tree200 cpu ms", "ms", 0, 0},
	{"list of 1,000 load balancers, alone", "347 ms", "list1000 alone ms", "ms", 0, 8},
	{"… CPU", "", "list1000 cpu ms", "ms", 0, 0},
	{"POST at 8 clients", "32 req/s", "post req/s", "req/s", 1500, 0},
	{"… p99", "329 ms (4 clients)", "post p99 ms", "ms", 0, 20},
	{"create → ACTIVE, no-op drivers", "3.3–3.8 LB/s", "active LB/s", "LB/s", 800, 0},
	{"memory with 1,000 load balancers", "1,300 MB without its database", "rss 1000", "MB", 0, 120},
	{"memory with 100,000", "", "rss 100000", "MB", 0, 1000},
	{"GET of one among 100,000, p99", "", "scale get p99 ms", "ms", 0, 5},
	{"POST up to 100,000, at 32 clients", "", "scale post req/s", "req/s", 0, 0},
	{"first answer through an amphora in a namespace, after POST", "", "first answer s", "s", 0, 0.7},
	{"change of a member in effect", "", "member ms", "ms", 0, 100},
	{"… connections lost", "", "member lost", "", 0, 0.5},
	{"requests through it, of those through HAProxy by hand", "", "throughput %", "%", 95, 0},
	{"megabytes through it, of those through HAProxy by hand", "", "throughput mb %", "%", 95, 0},
}

func (r *results) table() string {
	var b strings.Builder
	c := r.Computer
	fmt.Fprintf(&b, "# The load-balancing service beside Octavia 16.0\n\nWritten by `go run ./bench/lb` at %s on %d × %s, %d GiB, %s, Linux %s.\n",
		r.At.Format("2006-01-02 15:04 UTC"), c.Cores, c.CPU, c.Memory>>30, c.System, c.Kernel)
	b.WriteString("Medians; the service, with its etcd and every write on disk before it is answered, and its client share the computer.\n\n")
	b.WriteString("| | Octavia 16.0 | updraft | target | met |\n|---|---|---|---|---|\n")
	for _, w := range rows {
		s := r.Samples[w.figure]
		if len(s) == 0 {
			continue
		}
		fmt.Fprintf(&b, "| %s | %s | %s %s | %s |\n", w.text, w.upstream, number(median(s)), w.unit, w.verdict(median(s)))
	}
	return b.String()
}

func (w row) verdict(v float64) string {
	var target string
	var met bool
	switch {
	case w.least > 0:
		target, met = "≥ "+number(w.least), v >= w.least
	case w.most > 0 && w.most < 1 && w.unit == "":
		target, met = "none", v < w.most
	case w.most > 0:
		target, met = "≤ "+number(w.most), v <= w.most
	default:
		return "|"
	}
	return strings.TrimSpace(target+" "+w.unit) + " | " + map[bool]string{true: "yes", false: "**no**"}[met]
}

func median(s []float64) float64 {
	s = slices.Clone(s)
	slices.Sort(s)
	return s[len(s)/2]
}

// number has three digits that count.
func number(v float64) string {
	switch {
	case v >= 100:
		return fmt.Sprintf("%.0f", v)
	case v >= 10:
		return fmt.Sprintf("%.1f", v)
	}
	return strings.TrimSuffix(strings.TrimRight(fmt.Sprintf("%.3f", v), "0"), ".")
}
