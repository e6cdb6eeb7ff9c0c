package suite

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"

	"github.com/updraft-cloud/updraft/bench/record"
)

// Cases of the plan.
const (
	PlanTime = "time" // of one plan, graph and text included
	PlanHeap = "heap" // in use at the end
	PlanRSS  = "rss"  // largest resident set of the process
)

// planHosts are the sizes of BenchmarkPlan, with 300 resources on each host.
var planHosts = []int{10, 100, 1000}

// MeasurePlan runs BenchmarkPlan of the engine, each size and run in a process
// of its own, so that its memory is its own.
func (s *Suite) MeasurePlan(ctx context.Context) error {
	var todo []record.ID
	for run := range s.Runs {
		for _, n := range planHosts {
			id := record.ID{Part: Plan, Case: PlanTime, Hosts: n, Run: run + 1}
			if s.missing(id) {
				todo = append(todo, id)
			}
		}
	}
	if len(todo) == 0 {
		return nil
	}
	bin := filepath.Join(s.Dir, "engine.test")
	build := exec.CommandContext(ctx, "go", "test", "-c", "-o", bin, "./internal/engine")
	build.Dir = s.Repo
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("cannot build the benchmark of plans: %w\n%s", err, out)
	}
	defer func() { _ = os.Remove(bin) }() // in a directory that goes, too
	for _, id := range todo {
		if err := s.plan(ctx, bin, id); err != nil {
			return err
		}
	}
	return nil
}

func (s *Suite) plan(ctx context.Context, bin string, id record.ID) error {
	others, err := s.settle(ctx)
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, bin, "-test.run", "^$", "-test.benchtime", "1x",
		"-test.bench", fmt.Sprintf("^BenchmarkPlan$/^hosts=%d$", id.Hosts))
	var out bytes.Buffer
	cmd.Dir, cmd.Stdout, cmd.Stderr = s.Dir, &out, &out
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("cannot run the benchmark of plans: %w\n%s", err, out.String())
	}
	seconds, heap, err := parsePlan(out.String())
	if err != nil {
		return err
	}
	s.Log("%-6s %-10s %-14s %4d hosts: %8.3f s, %.0f MiB (others %.0f %%)", Plan, "", "300 resources", id.Hosts, seconds, heap, 100*others)
	heapID, rssID := id, id
	heapID.Case, rssID.Case = PlanHeap, PlanRSS
	return s.File.Add(
		record.Sample{ID: id, Value: seconds, Unit: "s", Others: others},
		record.Sample{ID: heapID, Value: heap, Unit: "MiB", Others: others},
		record.Sample{ID: rssID, Value: maxRSS(cmd.ProcessState), Unit: "MiB", Others: others},
	)
}

// maxRSS returns ru_maxrss of getrusage(2), which is in KiB, in MiB.
func maxRSS(p *os.ProcessState) float64 {
	usage, ok := p.SysUsage().(*syscall.Rusage)
	if !ok {
		return 0
	}
	return float64(usage.Maxrss) / 1024
}

var metric = regexp.MustCompile(`([0-9.e+]+) (ns/op|peak-MiB)`)

// parsePlan reads the line of a benchmark.
func parsePlan(out string) (seconds, heap float64, err error) {
	for line := range strings.Lines(out) {
		if !strings.HasPrefix(line, "BenchmarkPlan/") {
			continue
		}
		for _, m := range metric.FindAllStringSubmatch(line, -1) {
			v, err := strconv.ParseFloat(m[1], 64)
			if err != nil {
				return 0, 0, fmt.Errorf("cannot read %q: %w", line, err)
			}
			if m[2] == "ns/op" {
				seconds = v / 1e9
			} else {
				heap = v
			}
		}
	}
	if seconds == 0 || heap == 0 {
		return 0, 0, fmt.Errorf("cannot read the benchmark of plans in %q", out)
	}
	return seconds, heap, nil
}
