// Command bench measures updraft beside its rivals and writes the results.
//
//	go run ./bench/cmd/bench                       everything; takes half an hour, most of it Ansible
//	go run ./bench/cmd/bench -parts config -tools updraft,floor,cfengine
//	go run ./bench/cmd/bench -resume               go on where the last one was cut off
//
// It needs root and a built bin/updraft (make build).
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/updraft-cloud/updraft/bench/record"
	"github.com/updraft-cloud/updraft/bench/report"
	"github.com/updraft-cloud/updraft/bench/suite"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stderr)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// flags are the command line.
type flags struct {
	suite.Options
	parts, tools, sizes string
	out, doc            string
	resume, render      bool
}

func parse(args []string, errs io.Writer) (*flags, error) {
	f := &flags{}
	fs := flag.NewFlagSet("bench", flag.ContinueOnError)
	fs.SetOutput(errs)
	fs.StringVar(&f.Bin, "bin", "bin/updraft", "updraft's `program`")
	fs.StringVar(&f.out, "out", "bench/results", "`directory` of latest.json and latest.md")
	fs.StringVar(&f.doc, "doc", "", "document with a place for the results, such as docs/benchmarks.md")
	fs.StringVar(&f.parts, "parts", "plan,lab,noop,openstack,config", "what to measure")
	fs.StringVar(&f.tools, "tools", "updraft,floor,cfengine,ansible", "who configures hosts; there is also puppet")
	fs.IntVar(&f.Hosts, "hosts", 20, "hosts to configure")
	fs.IntVar(&f.Runs, "runs", 3, "how often everything is measured")
	fs.IntVar(&f.AnsibleRuns, "ansible-runs", 1, "how often Ansible is measured")
	fs.IntVar(&f.AnsibleHosts, "ansible-hosts", 0, "hosts for Ansible, and for updraft and the floor beside it; as -hosts when 0")
	fs.StringVar(&f.sizes, "lab-sizes", "5,20,100", "numbers of hosts of the labs")
	fs.IntVar(&f.NoopRuns, "noop-runs", 7, "how often the example with nothing to do is measured")
	fs.Float64Var(&f.Most, "quiet", 0.15, "share of the computer that others may use when a measurement begins")
	fs.DurationVar(&f.Patience, "patience", time.Minute, "how long to wait for that")
	fs.BoolVar(&f.resume, "resume", false, "keep what was measured before and measure the rest")
	fs.BoolVar(&f.render, "render", false, "write latest.md from latest.json and measure nothing")
	if err := fs.Parse(args); err != nil {
		return nil, err
	}
	if f.AnsibleHosts <= 0 || f.AnsibleHosts > f.Hosts {
		f.AnsibleHosts = f.Hosts
	}
	f.Tools = strings.Split(f.tools, ",")
	for n := range strings.SplitSeq(f.sizes, ",") {
		size, err := strconv.Atoi(n)
		if err != nil {
			return nil, fmt.Errorf("cannot read -lab-sizes: %w", err)
		}
		f.LabSizes = append(f.LabSizes, size)
	}
	return f, nil
}

func run(ctx context.Context, args []string, errs io.Writer) error {
	f, err := parse(args, errs)
	if err != nil {
		return err
	}
	f.Log = func(format string, args ...any) { fmt.Fprintf(errs, format+"\n", args...) }
	if err := f.open(); err != nil {
		return err
	}
	if f.render {
		return f.write()
	}
	if os.Geteuid() != 0 {
		return errors.New("the lab needs root")
	}
	if f.Repo, err = os.Getwd(); err != nil {
		return err
	}
	if f.Results, err = filepath.Abs(f.out); err != nil {
		return err
	}
	if f.Dir, err = os.MkdirTemp("", "updraft-bench-"); err != nil {
		return err
	}
	if err := f.program(ctx); err != nil {
		return err
	}
	err = f.measure(ctx)
	_ = os.Remove(f.Bin) // the copy
	if os.Remove(f.Dir) != nil {
		f.Log("what could not be removed is known in %s", f.Dir)
	}
	return errors.Join(err, f.write())
}

// open begins the record of results, or goes on with it.
func (f *flags) open() (err error) {
	path := filepath.Join(f.out, "latest.json")
	f.File = record.New(path)
	if f.resume || f.render {
		if f.File, err = record.Open(path); err != nil {
			return err
		}
	}
	if !f.render {
		f.File.Computer = record.ThisComputer()
	}
	return nil
}

// program copies updraft, so that a build meanwhile changes nothing.
func (f *flags) program(ctx context.Context) error {
	data, err := os.ReadFile(f.Bin)
	if err != nil {
		return fmt.Errorf("cannot read updraft's program: %w; make build makes it", err)
	}
	f.Bin = filepath.Join(f.Dir, "updraft")
	if err := os.WriteFile(f.Bin, data, 0o700); err != nil {
		return err
	}
	out, err := exec.CommandContext(ctx, f.Bin, "--version").Output()
	if err != nil {
		return fmt.Errorf("cannot run updraft: %w", err)
	}
	f.File.Version = strings.TrimSpace(strings.TrimPrefix(string(out), "updraft version"))
	return nil
}

// measure makes the parts in order; a part that fails does not stop the others.
func (f *flags) measure(ctx context.Context) error {
	s := suite.New(f.Options)
	var errs []error
	for _, p := range []struct {
		name string
		do   func(context.Context) error
	}{{suite.Plan, s.MeasurePlan}, {suite.Lab, s.MeasureLab}, {suite.Noop, s.MeasureNoop}, {suite.OpenStack, s.MeasureOpenStack}, {suite.Config, s.MeasureConfig}} {
		if !slices.Contains(strings.Split(f.parts, ","), p.name) || ctx.Err() != nil {
			continue
		}
		if err := p.do(ctx); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// write renders the results, and into the document that has a place for them.
func (f *flags) write() error {
	if len(f.File.Samples) == 0 {
		return nil
	}
	text := report.Markdown(f.File)
	if err := os.WriteFile(filepath.Join(f.out, "latest.md"), []byte(text), 0o644); err != nil {
		return err
	}
	if f.doc == "" {
		return nil
	}
	doc, err := os.ReadFile(f.doc)
	if err != nil {
		return err
	}
	whole, err := report.Insert(string(doc), text)
	if err != nil {
		return fmt.Errorf("cannot write the results into %s: %w", f.doc, err)
	}
	return os.WriteFile(f.doc, []byte(whole), 0o644)
}
