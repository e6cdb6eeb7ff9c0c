// Command updraft-host is the agent that updraft runs on a managed host. It is
// not meant to be started by hand: it speaks frames over its standard input and
// output, and ends with its input.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"syscall"
	"time"

	"github.com/updraft-cloud/updraft/internal/hostagent/agent"
	"github.com/updraft-cloud/updraft/internal/resource"
	"github.com/updraft-cloud/updraft/internal/resource/all"
	"github.com/updraft-cloud/updraft/internal/resource/hostos"
)

// exitGrace is how long commands that were killed may take to end. What is left
// then dies with this process (PR_SET_PDEATHSIG).
const exitGrace = 5 * time.Second

// maxWorkers bounds how many files are waited for at once.
const maxWorkers = 4

func main() {
	// A host may have little memory to spare: collect often, and never let the
	// heap grow to a multiple of what is in use. A request of 64 MiB still fits.
	// What is free goes back to the system when there is nothing to do.
	debug.SetGCPercent(10)
	// One thread runs Go code, and others wait in the kernel, which is where this
	// program spends its time. With more, a third of what it takes to find
	// nothing to do on a host went into waking them for work that was done before
	// they woke. What it costs: content is hashed by one processor.
	runtime.GOMAXPROCS(1)
	debug.SetMemoryLimit(256 << 20)
	// Without this, a write to a connection that is gone would end the process
	// before it has ended its children.
	signal.Ignore(syscall.SIGPIPE, syscall.SIGHUP)
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "updraft-host:", err)
		os.Exit(1)
	}
}

func run() error {
	// Commands must not get hold of the connection, and nothing but frames may
	// be written to it.
	out := os.Stdout
	os.Stdout = os.Stderr
	host, err := hostos.New(hostos.Options{})
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	served := make(chan error, 1)
	ended := make(chan struct{})
	go func() {
		served <- agent.Serve(ctx, &input{ended: ended}, out, agent.Options{
			Hello:    agent.Hello(),
			Registry: all.Registry(),
			Host:     func(log func(string)) resource.Host { return host.WithLog(log) },
			Facts:    agent.Facts,
			Workers:  min(runtime.NumCPU(), maxWorkers),
			Idle:     debug.FreeOSMemory,
		})
	}()
	select {
	case err = <-served:
		return err
	case <-ended:
	case <-ctx.Done():
	}
	select {
	case err = <-served:
		return err
	case <-time.After(exitGrace):
		return errors.New("commands did not end in time")
	}
}

// input is the standard input, which tells when it has ended.
type input struct {
	ended chan struct{}
	done  bool
}

// Read reads from the standard input.
func (i *input) Read(b []byte) (int, error) {
	n, err := os.Stdin.Read(b)
	if err != nil && !i.done {
		i.done = true
		close(i.ended)
	}
	return n, err
}
