package suite

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/updraft-cloud/updraft/bench/cloud"
	"github.com/updraft-cloud/updraft/bench/record"
)

// Cases of the OpenStack cloud. The first two end with a server that answers at
// its floating IP.
const (
	StackCold    = "cold"    // from nothing: no package, root file system or image at hand
	StackWarm    = "warm"    // from nothing, with what the cold run has left behind
	StackNoop    = "no-op"   // apply with nothing to do
	StackPlan    = "plan"    // plan with nothing to do
	StackOption  = "option"  // apply of one option of Nova that changed
	StackCut     = "cut"     // up after a power cut of all hosts
	StackDestroy = "destroy" // all of it away
	Controller   = "controller"
	Compute      = "compute"
)

// stackHosts is how many hosts the example has.
const stackHosts = 2

func stackID(c string, run int) record.ID {
	return record.ID{Part: OpenStack, Case: c, Hosts: stackHosts, Run: run}
}

// MeasureOpenStack measures examples/openstack-small.yaml. What it has in its
// cache is its own, so that the first run finds nothing.
func (s *Suite) MeasureOpenStack(ctx context.Context) (err error) {
	todo := []record.ID{stackID(StackCold, 1)}
	for run := range s.Runs {
		todo = append(todo, stackID(StackWarm, run+1), stackID(StackNoop, run+1), stackID(StackOption, run+1), stackID(StackCut, run+1))
	}
	if !s.missing(todo...) {
		return nil
	}
	c, err := s.stackCloud()
	if err != nil {
		return err
	}
	cache := filepath.Join(s.Dir, "cache")
	c.Env = []string{"XDG_CACHE_HOME=" + cache}
	defer func() { err = errors.Join(err, c.Destroy(ctx), os.RemoveAll(cache)) }()
	if err := errors.Join(s.stackUp(ctx, c, stackID(StackCold, 1)), wasCold(cache)); err != nil {
		return err
	}
	for run := range s.Runs {
		if err := s.stackCycle(ctx, c, run+1); err != nil {
			return err
		}
	}
	return nil
}

// wasCold makes sure that all that a cold run has to make was made in its own cache:
// what it had found elsewhere would not be there.
func wasCold(cache string) error {
	for _, made := range []string{"packages/*", "roots/*", "images/sbom/*", "images/testvm-*"} {
		found, err := filepath.Glob(filepath.Join(cache, "updraft", made))
		if err != nil {
			return err
		}
		if len(found) == 0 {
			return fmt.Errorf("the cold run was not cold: it made no %s in %s", made, cache)
		}
	}
	return nil
}

// stackUp raises the cloud and keeps the picture of the run beside the results.
func (s *Suite) stackUp(ctx context.Context, c *cloud.Cloud, id record.ID) error {
	if _, err := s.timed(ctx, id, s.stackRun(c, "up")); err != nil {
		return err
	}
	_, err := c.Run(ctx, "timeline", "--svg", filepath.Join(s.Results, "openstack-"+id.Case+".svg"))
	return err
}

// stackRun returns a measurement of one command.
func (s *Suite) stackRun(c *cloud.Cloud, args ...string) func(context.Context) (float64, error) {
	return func(ctx context.Context) (float64, error) {
		_, err := c.Run(ctx, args...)
		return 0, err
	}
}

// stackCycle takes the cloud away, raises it, and has it live through a few things.
func (s *Suite) stackCycle(ctx context.Context, c *cloud.Cloud, run int) error {
	file, err := os.ReadFile(c.FilePath())
	if err != nil {
		return err
	}
	optioned := strings.Replace(string(file), "openstack:\n", "openstack:\n  overrides: {nova: {DEFAULT: {reserved_host_disk_mb: 100}}}\n", 1)
	if optioned == string(file) {
		return errors.New("examples/openstack-small.yaml has no section openstack")
	}
	for _, step := range []func() error{
		func() error { return s.stackTimed(ctx, c, StackDestroy, run, "destroy", "--yes") },
		func() error { return s.stackUp(ctx, c, stackID(StackWarm, run)) },
		func() error { return s.stackMemory(ctx, c, run) },
		func() error { return s.stackTimed(ctx, c, StackPlan, run, "plan") },
		func() error { return s.stackTimed(ctx, c, StackNoop, run, "apply") },
		func() error { return c.Write(optioned) },
		func() error { return s.stackTimed(ctx, c, StackOption, run, "apply") },
		func() error { return c.Write(string(file)) },
		func() error { _, err := c.Run(ctx, "apply"); return err },
		func() error { _, err := c.Run(ctx, "lab", "cut"); return err },
		func() error { return s.stackTimed(ctx, c, StackCut, run, "up") },
	} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

func (s *Suite) stackTimed(ctx context.Context, c *cloud.Cloud, what string, run int, args ...string) error {
	_, err := s.timed(ctx, stackID(what, run), s.stackRun(c, args...))
	return err
}

// stackMemory keeps what the hosts use when nobody asks anything of them.
func (s *Suite) stackMemory(ctx context.Context, c *cloud.Cloud, run int) error {
	hosts, err := c.Memories(ctx)
	if err != nil {
		return err
	}
	return errors.Join(
		s.keep(stackID(Controller, run), hosts["controller1"], "MiB"),
		s.keep(stackID(Compute, run), hosts["compute1"], "MiB"))
}

// stackCloud is the example under another name and with other networks.
func (s *Suite) stackCloud() (*cloud.Cloud, error) {
	data, err := os.ReadFile(filepath.Join(s.Repo, "examples", "openstack-small.yaml"))
	if err != nil {
		return nil, err
	}
	file := strings.NewReplacer("cloud: openstack\n", "cloud: "+clouds[OpenStack]+"\n", "10.88.", "10.89.").Replace(string(data))
	if !strings.Contains(file, "cloud: "+clouds[OpenStack]+"\n") {
		return nil, errors.New("examples/openstack-small.yaml has another name than the benchmark knows")
	}
	return cloud.New(s.Bin, filepath.Join(s.Dir, "openstack"), clouds[OpenStack], file)
}
