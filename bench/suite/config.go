package suite

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/updraft-cloud/updraft/bench/cloud"
	"github.com/updraft-cloud/updraft/bench/record"
	"github.com/updraft-cloud/updraft/bench/work"
)

// Cases of the configuration of hosts.
const (
	First = "first" // on hosts where nothing is done yet
	Again = "again" // nothing to do
	Drift = "drift" // one file on one host was changed
)

// againRuns is how often a run with nothing to do is measured in one cycle.
const againRuns = 3

// configCIDR and the others of the suite lie within 10.89.64.0/20.
const configCIDR = "10.89.64.0/22"

// fleet is a lab of hosts that configuration tools work on.
type fleet struct {
	*cloud.Cloud
	hosts []string
	work  work.Work
}

// MeasureConfig measures all tools, one after another, in each of the runs.
func (s *Suite) MeasureConfig(ctx context.Context) (err error) {
	tools, err := s.tools()
	if err != nil || !s.configMissing(tools) {
		return err
	}
	f, err := s.newFleet(ctx, tools)
	if f != nil {
		defer func() { err = errors.Join(err, f.Destroy(ctx)) }()
	}
	if err != nil {
		return err
	}
	for run := 1; run <= max(s.Runs, s.AnsibleRuns); run++ {
		for _, t := range tools {
			for _, n := range s.sizes(t) {
				if run > s.runs(t) {
					continue
				}
				if err := s.cycle(ctx, f, t, n, run); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func (s *Suite) runs(t *tool) int {
	if t.slow {
		return s.AnsibleRuns
	}
	return s.Runs
}

// sizes are the numbers of hosts that a tool is measured with: a slow one with
// less, and then its rivals with that number, too.
func (s *Suite) sizes(t *tool) []int {
	slow := slices.Contains(s.Tools, "ansible") && s.AnsibleHosts != s.Hosts
	switch {
	case t.slow:
		return []int{s.AnsibleHosts}
	case slow && t.withSlow:
		return []int{s.Hosts, s.AnsibleHosts}
	}
	return []int{s.Hosts}
}

// ids are the measurements of one cycle.
func (s *Suite) ids(t *tool, hosts, run int) []record.ID {
	var out []record.ID
	add := func(c string, run int) {
		out = append(out, record.ID{Part: Config, Tool: t.name, Case: c, Hosts: hosts, Run: run})
	}
	if !t.checks {
		add(First, run)
	}
	times := againRuns
	if t.slow {
		times = 1
	}
	for i := range times {
		add(Again, (run-1)*times+i+1)
	}
	if !t.slow {
		add(Drift, run)
	}
	return out
}

func (s *Suite) configMissing(tools []*tool) bool {
	for _, t := range tools {
		for _, n := range s.sizes(t) {
			for run := range s.runs(t) {
				if s.missing(s.ids(t, n, run+1)...) {
					return true
				}
			}
		}
	}
	return false
}

// cycle puts the hosts back and has the tool do the work, find nothing to do,
// and mend a file.
func (s *Suite) cycle(ctx context.Context, f *fleet, t *tool, n, run int) error {
	ids := s.ids(t, n, run)
	if !s.missing(ids...) {
		return nil
	}
	if err := f.reset(ctx); err != nil {
		return err
	}
	hosts := f.hosts[:n]
	do := func(ctx context.Context) (float64, error) { return t.run(ctx, f, hosts) }
	if t.checks { // needs a world in which there is nothing to do
		if err := f.apply(ctx, nil); err != nil {
			return err
		}
	}
	for _, id := range ids {
		if id.Case == Drift {
			if err := f.drift(ctx, hosts[0]); err != nil {
				return err
			}
		}
		if _, err := s.timed(ctx, id, do); err != nil {
			return err
		}
		if err := f.judge(ctx, t, id, hosts); err != nil {
			return fmt.Errorf("%s did not do what it was measured for: %w", t.name, err)
		}
	}
	return nil
}

// judge sees to it that nothing is measured that was not done.
func (f *fleet) judge(ctx context.Context, t *tool, id record.ID, hosts []string) error {
	if !t.checks {
		return f.verify(ctx, hosts)
	}
	want := "0"
	if id.Case == Drift {
		want = "1"
	}
	got, err := f.Script(ctx, "ctl", "cat /run/differ")
	if err == nil && strings.TrimSpace(got) != want {
		err = fmt.Errorf("it saw %s hosts that differ, there were %s", strings.TrimSpace(got), want)
	}
	return err
}

// newFleet makes the hosts, prepares them for all tools and saves that.
func (s *Suite) newFleet(ctx context.Context, tools []*tool) (*fleet, error) {
	packages := slices.Clone(work.W100().Packages)
	for _, t := range tools {
		packages = append(packages, t.packages...)
	}
	slices.Sort(packages)
	packages = slices.Compact(packages)
	spec := work.Cloud{Name: clouds[Config], CIDR: configCIDR, Hosts: s.Hosts, Control: true, Packages: strings.Join(packages, " ")}
	c, err := cloud.New(s.Bin, filepath.Join(s.Dir, "config"), spec.Name, spec.File())
	if err != nil {
		return nil, err
	}
	f := &fleet{Cloud: c, work: work.W100()}
	for i := range s.Hosts {
		f.hosts = append(f.hosts, fmt.Sprintf("h%d", i+1))
	}
	s.Log("making %d hosts", s.Hosts+1)
	if _, err := c.Run(ctx, "apply"); err != nil {
		return f, err
	}
	if err := c.AwaitAnswers(ctx); err != nil {
		return f, err
	}
	s.Log("preparing them")
	if err := f.prepare(ctx, tools); err != nil {
		return f, err
	}
	if err := f.versions(ctx, s.File.Tools, tools); err != nil {
		return f, err
	}
	if _, err := c.Run(ctx, "lab", "save", "--cloud", c.Name, "clean"); err != nil {
		return f, err
	}
	if err := copyTree(ctx, c.StateDir(), filepath.Join(c.Dir, "clean")); err != nil {
		return f, err
	}
	spec.Work = f.work
	return f, c.Write(spec.File())
}

// reset puts hosts and updraft's knowledge of them back to before the work.
func (f *fleet) reset(ctx context.Context) error {
	if _, err := f.Run(ctx, "lab", "restore", "--cloud", f.Name, "clean"); err != nil {
		return err
	}
	if err := copyTree(ctx, filepath.Join(f.Dir, "clean"), f.StateDir()); err != nil {
		return err
	}
	if err := f.AwaitAnswers(ctx); err != nil {
		return err
	}
	if f.verify(ctx, f.hosts[:1]) == nil {
		return errors.New("the work is done already on hosts that were put back")
	}
	return nil
}

func copyTree(ctx context.Context, from, to string) error {
	if err := os.RemoveAll(to); err != nil {
		return err
	}
	if out, err := exec.CommandContext(ctx, "cp", "-a", from, to).CombinedOutput(); err != nil {
		return fmt.Errorf("cannot copy %s: %w: %s", from, err, out)
	}
	return nil
}

// verify checks that the hosts have everything.
func (f *fleet) verify(ctx context.Context, hosts []string) error {
	return each(hosts, func(h string) error {
		_, err := f.Script(ctx, h, f.work.Check(h))
		return err
	})
}

// drift changes a file by hand.
func (f *fleet) drift(ctx context.Context, host string) error {
	path := f.work.Files[16].Path
	if _, err := f.Script(ctx, host, "echo changed by hand >>"+path); err != nil {
		return err
	}
	if f.verify(ctx, []string{host}) == nil {
		return fmt.Errorf("the check does not see that %s was changed", path)
	}
	return nil
}

// apply has updraft do the work: on all hosts, or on those given.
func (f *fleet) apply(ctx context.Context, only []string) error {
	args := []string{"apply"}
	for _, h := range only {
		args = append(args, "--only", h)
	}
	_, err := f.Run(ctx, args...)
	return err
}

// each calls do for all hosts, a few at a time.
func each(hosts []string, do func(string) error) error {
	var g errgroup.Group
	g.SetLimit(8)
	for _, h := range hosts {
		g.Go(func() error { return do(h) })
	}
	return g.Wait()
}
