package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/updraft-cloud/updraft/internal/engine"
	"github.com/updraft-cloud/updraft/internal/transport"
	"github.com/updraft-cloud/updraft/internal/ui"
)

func (a *app) applyCommand() *cobra.Command {
	var only onlyFlags
	cmd := &cobra.Command{
		Use:   "apply [PLAN]",
		Short: "Make the world as the cloud file says, without checks and hand-off",
		Long: `apply does what plan shows. Given a file written by plan -o, it does exactly
what that plan says, or refuses and says what has moved since. The cloud file,
variables and --only are then those of the plan.
` + onlyHelp + linesHelp + exitHelp,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			saved, err := a.openSaved(args)
			if err != nil {
				return err
			}
			s, err := a.loadToApply()
			if err != nil {
				return err
			}
			defer s.close()
			if saved != nil {
				only.selectors = saved.Only
			}
			opts, err := only.options(s)
			if err != nil {
				return err
			}
			confirm := only.confirm(s)
			if saved != nil {
				if confirm, err = s.sameAs(cmd.Context(), saved, opts); err != nil {
					return err
				}
			}
			_, err = s.converge(cmd.Context(), "updraft apply", opts, confirm)
			return err
		},
	}
	only.add(cmd)
	return cmd
}

// sameAs returns what compares the plan that is about to be carried out with a
// saved one. Plans know of secrets that are not made yet only that they will be
// (package secret), so the saved one is compared with a plan that knows no more,
// which has to be made before they are.
func (s *session) sameAs(ctx context.Context, saved *engine.Saved, opts engine.Options) (func(*engine.Engine, *engine.Plan) error, error) {
	if s.vault == nil || !s.vault.Dirty() {
		return func(e *engine.Engine, p *engine.Plan) error { return saved.Same(s.cloud.Digest, e.Digest(), p) }, nil
	}
	planned := *s
	planned.vault, planned.api, planned.images = nil, nil, nil
	if _, err := planned.compile(false); err != nil {
		return nil, err
	}
	if _, err := planned.only(saved.Only); err != nil {
		return nil, err
	}
	return func(*engine.Engine, *engine.Plan) error {
		e := planned.engine(nil, opts)
		p, err := e.Plan(ctx)
		if planned.api != nil {
			planned.api.Close()
		}
		if err != nil {
			return err
		}
		return saved.Same(s.cloud.Digest, e.Digest(), p)
	}, nil
}

// openSaved reads the plan named on the command line, and takes the cloud file
// and variables from it.
func (a *app) openSaved(args []string) (*engine.Saved, error) {
	if len(args) == 0 {
		return nil, nil // no plan was named
	}
	f, err := os.Open(args[0])
	if err != nil {
		return nil, err
	}
	defer f.Close()
	saved, err := engine.ReadSaved(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", args[0], err)
	}
	a.file, a.set = saved.File, saved.Set
	return saved, nil
}

// converge checks what the computer lacks, locks, plans and applies, and says
// how it ended.
func (s *session) converge(ctx context.Context, command string, opts engine.Options, confirm func(*engine.Engine, *engine.Plan) error) (engine.Result, error) {
	if err := errors.Join(s.torn(), s.precheck(ctx)); err != nil {
		return engine.Result{}, err
	}
	unlock, err := s.lock(ctx, command)
	if err != nil {
		return engine.Result{}, err
	}
	defer func() { _ = unlock() }() // the end of the process would do it, too
	r, err := s.begin()
	if err != nil {
		return engine.Result{}, err
	}
	ctx, stop, done := interruptible(ctx, s.a.err)
	defer done()
	res, err := r.apply(ctx, stop, opts, confirm)
	if err != nil {
		return res, err
	}
	if err := s.a.concluded(res, s.a.again(command, s.part...)); err != nil {
		return res, err
	}
	if opts.Partial {
		return res, nil // the rest may be behind
	}
	return res, s.endPhase(ctx)
}

// onlyArgs are the arguments that select a part.
func onlyArgs(selectors []string) []string {
	var args []string
	for _, sel := range selectors {
		args = append(args, "--only", sel)
	}
	return args
}

// again returns the command line that continues, with what this one was told.
func (a *app) again(command string, more ...string) string {
	args := more
	if a.cloud == "" {
		args = append(args, "-f", a.file)
	} else {
		args = append(args, "--cloud", a.cloud)
	}
	for _, kv := range a.set {
		args = append(args, "--set", kv)
	}
	if kept, err := filepath.Abs(defaultStateDir()); err != nil || kept != a.stateDir {
		args = append(args, "--state", a.stateDir)
	}
	if a.identity != "" {
		args = append(args, "--identity", a.identity)
	}
	return command + " " + transport.Quote(args...)
}

// concluded shows how a run ended and turns it into an error.
func (a *app) concluded(res engine.Result, again string) error {
	if a.json {
		if err := ui.JSONLine(a.out, "result", res); err != nil {
			return err
		}
	} else {
		ui.Summary(a.err, res, again)
	}
	switch {
	case len(res.Failed) > 0:
		return &exitError{code: exitFailed}
	case res.Stopped:
		return &exitError{code: exitInterrupted}
	}
	return nil
}
