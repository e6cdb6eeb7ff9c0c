// Package suite makes the measurements of the benchmark.
//
// Rivals do the same work on the same hosts in the same run, each from the same
// saved state, and after each run that is to have changed something a check that
// knows nothing of the tools says whether the hosts are as wanted: nobody is
// praised for a failure. Before each measurement the computer's load by others
// is waited out, as far as patience goes, and noted.
package suite

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	"github.com/updraft-cloud/updraft/bench/record"
)

// Names of the parts.
const (
	Config = "config"
	Lab    = "lab"
	Plan   = "plan"
	Noop   = "noop"
	// OpenStack is the example that make up runs.
	OpenStack = "openstack"
)

// Options say what is measured and how often.
type Options struct {
	Bin  string // updraft's program
	Repo string // root of the repository
	Dir  string // for the clouds' files and states
	// Results is the directory where pictures of runs are kept.
	Results string

	Hosts int
	Runs  int
	Tools []string
	// AnsibleHosts and AnsibleRuns are less where Ansible's time is too long.
	AnsibleHosts, AnsibleRuns int
	LabSizes                  []int
	NoopRuns                  int

	// Most is the share of the computer that others may use when a measurement
	// begins, Patience how long it may take until then.
	Most     float64
	Patience time.Duration

	File *record.File
	Log  func(format string, args ...any)
}

// Suite makes measurements.
type Suite struct{ Options }

// New returns a suite.
func New(o Options) *Suite { return &Suite{o} }

// missing reports whether one of the measurements is still to be made.
func (s *Suite) missing(ids ...record.ID) bool {
	for _, id := range ids {
		if !s.File.Has(id) {
			return true
		}
	}
	return false
}

// settle waits for a quiet computer and returns the share that others use.
func (s *Suite) settle(ctx context.Context) (float64, error) {
	share, err := record.Quiet(ctx, s.Most, s.Patience)
	if err == nil && share > s.Most {
		s.Log("others use %.0f %% of the computer", 100*share)
	}
	return share, err
}

// clouds are the names of the clouds by part.
var clouds = map[string]string{Config: "bench", Lab: "benchlab", Noop: "benchweb", OpenStack: "benchos"}

// groups are where the lab may keep the control groups of a part's cloud: with
// version 2 alone, and beside version 1. Under systemd hosts are units of
// their own, which are not told from others' here.
func groups(part string) []string {
	return []string{
		filepath.Join("/sys/fs/cgroup/updraft.lab", clouds[part]),
		filepath.Join("/sys/fs/cgroup/unified/updraft.lab", clouds[part]),
		"/sys/fs/cgroup/updraft.slice",
	}
}

// timed measures what do takes. A do that knows better than the clock outside
// returns its own seconds, otherwise 0.
func (s *Suite) timed(ctx context.Context, id record.ID, do func(context.Context) (float64, error)) (record.Sample, error) {
	if s.File.Has(id) { // made again only because what follows needs it
		_, err := do(ctx)
		return record.Sample{ID: id}, err
	}
	others, err := s.settle(ctx)
	if err != nil {
		return record.Sample{}, err
	}
	watch, err := record.Start(groups(id.Part)...)
	if err != nil {
		return record.Sample{}, err
	}
	own, err := do(ctx)
	if err != nil {
		return record.Sample{}, fmt.Errorf("%s %s, %s: %w", id.Part, id.Tool, id.Case, err)
	}
	wall, cpu, during, err := watch.Stop()
	if err != nil {
		return record.Sample{}, err
	}
	others = max(others, during)
	if own > 0 {
		wall = own
	}
	s.Log("%-6s %-10s %-14s %4d hosts: %8.3f s (%.1f s of processors, others %.0f %%)", id.Part, id.Tool, id.Case, id.Hosts, wall, cpu, 100*others)
	sample := record.Sample{ID: id, Value: wall, Unit: "s", CPU: cpu, Others: others}
	return sample, s.File.Add(sample)
}

// keep adds a value that was not timed.
func (s *Suite) keep(id record.ID, value float64, unit string) error {
	if s.File.Has(id) {
		return nil
	}
	s.Log("%-6s %-10s %-14s %4d hosts: %8.1f %s", id.Part, id.Tool, id.Case, id.Hosts, value, unit)
	return s.File.Add(record.Sample{ID: id, Value: value, Unit: unit})
}
