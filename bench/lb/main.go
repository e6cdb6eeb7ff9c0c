// Command lb measures the load-balancing service and writes the figures beside
// those of Octavia 16.0, which were measured on a computer of the same kind (two
// cores, uwsgi, MariaDB, RabbitMQ and a worker, no-op drivers).
//
//	go run ./bench/lb                  everything, medians of three; some minutes
//	go run ./bench/lb -parts api       only what a client of the API sees
//	go run ./bench/lb -parts api,scale,traffic
//
// It needs bin/updraft (make build), and root for the part traffic. Client and
// service share the computer.
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
	"strings"
	"syscall"
)

type flags struct {
	bin, out, parts string
	runs, many      int
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stderr)
	stop()
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "lb:", err)
		os.Exit(1)
	}
}

func parse(args []string, errs io.Writer) (*flags, error) {
	f := &flags{}
	fs := flag.NewFlagSet("lb", flag.ContinueOnError)
	fs.SetOutput(errs)
	fs.StringVar(&f.bin, "bin", "bin/updraft", "updraft's `program`")
	fs.StringVar(&f.out, "out", "bench/results", "`directory` of lb.json and lb.md")
	fs.StringVar(&f.parts, "parts", "api,scale,traffic", "what to measure")
	fs.IntVar(&f.runs, "runs", 3, "how often everything but the part scale is measured")
	fs.IntVar(&f.many, "many", 100_000, "load balancers of the part scale")
	return f, fs.Parse(args)
}

// parts in the order in which they are measured.
var parts = []struct {
	name    string
	once    bool
	measure func(context.Context, *bench) error
}{
	{"api", false, measureAPI},
	{"scale", true, measureScale},
	{"traffic", false, measureTraffic},
}

func run(ctx context.Context, args []string, errs io.Writer) error {
	f, err := parse(args, errs)
	if err != nil {
		return err
	}
	if f.bin, err = filepath.Abs(f.bin); err != nil {
		return err
	}
	r, err := load(f.out)
	if err != nil {
		return err
	}
	for _, p := range parts {
		if !strings.Contains(","+f.parts+",", ","+p.name+",") {
			continue
		}
		samples := map[string][]float64{}
		for n := range f.runs {
			if p.once && n > 0 {
				break
			}
			fmt.Fprintf(errs, "%s, run %d\n", p.name, n+1)
			b := &bench{flags: f, samples: samples, log: func(format string, args ...any) { fmt.Fprintf(errs, "  "+format+"\n", args...) }}
			if err := p.measure(ctx, b); err != nil {
				return fmt.Errorf("cannot measure %s: %w", p.name, err)
			}
		}
		r.take(samples)
		if err := r.write(f.out); err != nil {
			return err
		}
	}
	return nil
}

// bench is one run of a part.
type bench struct {
	*flags
	samples map[string][]float64
	log     func(format string, args ...any)
}

func (b *bench) got(figure string, v float64) {
	b.log("%-28s %10.3f", figure, v)
	b.samples[figure] = append(b.samples[figure], v)
}
