// Command ha raises examples/openstack-ha.yaml in a lab, takes its controllers and
// the leaders of their clusters away one after the other, and writes which API did
// not answer for how long.
//
//	go run ./bench/ha                  everything; about an hour on two cores
//	go run ./bench/ha -events 'cut'    only events whose name matches
//	go run ./bench/ha -keep            and leave the cloud there for the next run
//
// It needs root and bin/updraft (make build).
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"time"

	"github.com/updraft-cloud/updraft/bench/cloud"
)

// name and addresses are not the example's, so that both can be there.
const name = "benchha"

type flags struct {
	bin, file, dir, out string
	every, timeout      time.Duration
	events              *regexp.Regexp
	keep                bool
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stderr)
	stop()
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "ha:", err)
		os.Exit(1)
	}
}

func parse(args []string, errs io.Writer) (*flags, error) {
	f := &flags{}
	var events string
	fs := flag.NewFlagSet("ha", flag.ContinueOnError)
	fs.SetOutput(errs)
	fs.StringVar(&f.bin, "bin", "bin/updraft", "updraft's `program`")
	fs.StringVar(&f.file, "file", "examples/openstack-ha.yaml", "cloud file")
	fs.StringVar(&f.dir, "dir", filepath.Join(os.TempDir(), "updraft-bench-ha"), "`directory` of the cloud's state")
	fs.StringVar(&f.out, "out", "bench/results", "`directory` of ha.json and ha.md")
	fs.DurationVar(&f.every, "every", 100*time.Millisecond, "how often each API is asked")
	fs.DurationVar(&f.timeout, "timeout", 10*time.Second, "how long an answer may take")
	fs.StringVar(&events, "events", "", "only events whose name this `pattern` matches")
	fs.BoolVar(&f.keep, "keep", false, "leave the cloud there")
	if err := fs.Parse(args); err != nil {
		return nil, err
	}
	var err error
	if f.events, err = regexp.Compile(events); err != nil {
		return nil, fmt.Errorf("cannot read -events: %w", err)
	}
	return f, nil
}

func run(ctx context.Context, args []string, errs io.Writer) (err error) {
	f, err := parse(args, errs)
	if err != nil {
		return err
	}
	if os.Geteuid() != 0 {
		return errors.New("the lab needs root")
	}
	file, err := os.ReadFile(f.file)
	if err != nil {
		return err
	}
	text := regexp.MustCompile(`(?m)^cloud: .*$`).ReplaceAllString(strings.ReplaceAll(string(file), "10.88.", "10.89."), "cloud: "+name)
	c, err := cloud.New(f.bin, f.dir, name, text)
	if err != nil {
		return err
	}
	if !f.keep {
		defer func() { err = errors.Join(err, c.Destroy(ctx)) }()
	}
	b := &bench{flags: f, cloud: c, log: func(format string, args ...any) { fmt.Fprintf(errs, format+"\n", args...) }}
	return b.measure(ctx)
}
