package suite

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/updraft-cloud/updraft/bench/cloud"
	"github.com/updraft-cloud/updraft/bench/record"
	"github.com/updraft-cloud/updraft/bench/work"
)

// Cases of the lab.
const (
	Up      = "up"      // from nothing until all sshd answer
	Memory  = "memory"  // of an idle host
	Stop    = "stop"    // all hosts, in order
	Destroy = "destroy" // until nothing is left
)

const labCIDR = "10.89.68.0/22"

// MeasureLab makes labs of several sizes from nothing, with a root file system
// that was built before.
func (s *Suite) MeasureLab(ctx context.Context) error {
	warm := false
	for run := 1; run <= s.Runs; run++ {
		for _, n := range s.LabSizes {
			id := record.ID{Part: Lab, Case: Up, Hosts: n, Run: run}
			stop, memory, destroy := id, id, id
			stop.Case, memory.Case, destroy.Case = Stop, Memory, Destroy
			if !s.missing(id, stop, memory, destroy) {
				continue
			}
			if !warm {
				if err := s.warm(ctx); err != nil {
					return err
				}
				warm = true
			}
			if err := s.lab(ctx, id, memory, stop, destroy); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *Suite) newLab(hosts int) (*cloud.Cloud, error) {
	spec := work.Cloud{Name: clouds[Lab], CIDR: labCIDR, Hosts: hosts}
	return cloud.New(s.Bin, filepath.Join(s.Dir, "lab"), spec.Name, spec.File())
}

// warm makes one host and takes it away, so that the root file system is there
// and in memory.
func (s *Suite) warm(ctx context.Context) error {
	c, err := s.newLab(1)
	if err != nil {
		return err
	}
	_, err = c.Run(ctx, "apply")
	return errors.Join(err, c.Destroy(ctx))
}

func (s *Suite) lab(ctx context.Context, up, memory, stop, destroy record.ID) (err error) {
	c, err := s.newLab(up.Hosts)
	if err != nil {
		return err
	}
	gone := false
	defer func() {
		if !gone {
			err = errors.Join(err, c.Destroy(ctx))
		}
	}()
	if _, err := s.timed(ctx, up, func(ctx context.Context) (float64, error) {
		if _, err := c.Run(ctx, "apply"); err != nil {
			return 0, err
		}
		return 0, c.AwaitAnswers(ctx)
	}); err != nil {
		return err
	}
	if _, err := s.settle(ctx); err != nil { // until they are idle
		return err
	}
	mib, err := c.Memory(ctx)
	if err != nil {
		return err
	}
	if err := s.keep(memory, mib, "MiB"); err != nil {
		return err
	}
	if _, err := s.timed(ctx, stop, func(ctx context.Context) (float64, error) {
		_, err := c.Run(ctx, "lab", "stop", "--cloud", c.Name)
		return 0, err
	}); err != nil {
		return err
	}
	_, err = s.timed(ctx, destroy, func(ctx context.Context) (float64, error) { return 0, c.Destroy(ctx) })
	if gone = err == nil; !gone {
		return fmt.Errorf("the lab of %d hosts stays: %w", up.Hosts, err)
	}
	return nil
}
