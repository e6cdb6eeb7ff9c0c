package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/updraft-cloud/updraft/internal/spec"
	"github.com/updraft-cloud/updraft/internal/transport"
)

func (a *app) execCommand() *cobra.Command {
	var parallel int
	cmd := &cobra.Command{
		Use:   "exec SELECTOR -- COMMAND [ARG ...]",
		Short: "Run a command on hosts, in parallel",
		Long: `exec runs a command on every host that the selector stands for: a host, a
group, a role, or all. Each host's output is shown as a whole, with the host's
name before every line; with --json each host is one line with one object. The
exit status is 1 if the command failed anywhere.
` + exitHelp,
		Args: cobra.MinimumNArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := a.load()
			if err != nil {
				return err
			}
			defer s.close()
			hosts := s.cloud.Select(args[0])
			if len(hosts) == 0 {
				return fmt.Errorf("there is no host, group or role %q in %s", args[0], s.cloud.Name)
			}
			return s.exec(cmd.Context(), hosts, same(transport.Quote(args[1:]...)), parallel)
		},
	}
	cmd.Flags().IntVarP(&parallel, "parallel", "p", 32, "how many hosts at once")
	return cmd
}

// execResult is what a command did on one host.
type execResult struct {
	Host   string `json:"host"`
	Status int    `json:"status"`
	Stdout string `json:"stdout,omitempty"`
	Stderr string `json:"stderr,omitempty"`
	Err    string `json:"error,omitempty"`
}

// order is a shell line with the input that it wants.
type order struct{ line, stdin string }

// exec runs a shell line on hosts and shows each host's output when it is
// complete, in the order in which they end.
func (s *session) exec(ctx context.Context, hosts []*spec.Host, orderFor func(*spec.Host) (order, error), parallel int) error {
	var g errgroup.Group
	g.SetLimit(max(parallel, 1))
	var mu sync.Mutex
	failed := 0
	for _, h := range hosts {
		g.Go(func() error {
			o, err := orderFor(h)
			if err != nil {
				return err
			}
			r := s.execOn(ctx, h.Name, o)
			mu.Lock()
			defer mu.Unlock()
			if r.Status != 0 || r.Err != "" {
				failed++
			}
			return s.showExec(r, len(hosts) > 1)
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	if failed > 0 {
		return fmt.Errorf("failed on %d of %d hosts", failed, len(hosts))
	}
	return nil
}

// same is one shell line for all hosts.
func same(line string) func(*spec.Host) (order, error) {
	return func(*spec.Host) (order, error) { return order{line: line}, nil }
}

func (s *session) execOn(ctx context.Context, host string, o order) execResult {
	var stdout, stderr bytes.Buffer
	err := s.fleet.Exec(ctx, host, o.line, strings.NewReader(o.stdin), &stdout, &stderr)
	r := execResult{Host: host, Stdout: stdout.String(), Stderr: stderr.String()}
	var exit *transport.ExitError
	switch {
	case errors.As(err, &exit):
		r.Status = exit.Code
	case err != nil:
		r.Status, r.Err = -1, err.Error()
	}
	return r
}

func (s *session) showExec(r execResult, prefix bool) error {
	if s.a.json {
		return json.NewEncoder(s.a.out).Encode(r) // a line for each host
	}
	name := ""
	if prefix {
		name = r.Host + ": "
	}
	if err := prefixLines(s.a.out, name, r.Stdout); err != nil {
		return err
	}
	if err := prefixLines(s.a.err, name, r.Stderr); err != nil {
		return err
	}
	if r.Err != "" {
		fmt.Fprintf(s.a.err, "%s%s\n", name, r.Err)
	} else if r.Status != 0 {
		fmt.Fprintf(s.a.err, "%sexit status %d\n", name, r.Status)
	}
	return nil
}

func prefixLines(w io.Writer, prefix, text string) error {
	for line := range bytes.Lines([]byte(text)) {
		if _, err := fmt.Fprintf(w, "%s%s\n", prefix, bytes.TrimRight(line, "\n")); err != nil {
			return err
		}
	}
	return nil
}
