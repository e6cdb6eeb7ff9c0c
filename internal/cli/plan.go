package cli

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/google/renameio/v2"
	"github.com/spf13/cobra"

	"github.com/updraft-cloud/updraft/internal/engine"
	"github.com/updraft-cloud/updraft/internal/ui"
)

func (a *app) planCommand() *cobra.Command {
	var output string
	var diff bool
	var only onlyFlags
	cmd := &cobra.Command{
		Use:   "plan",
		Short: "Show what up would do, and change nothing",
		Long: `plan compares the cloud file with the world and shows what would be done. It
changes nothing, and two runs print the same bytes as long as nothing moves.
` + onlyHelp + exitHelp,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := a.load()
			if err != nil {
				return err
			}
			defer s.close()
			opts, err := only.options(s)
			if err != nil {
				return err
			}
			s.tellAway()
			e := s.engine(nil, opts)
			p, err := e.Plan(cmd.Context())
			if err != nil {
				return err
			}
			if err := a.showPlan(s, e, p, planFlags{output, diff, only.selectors}); err != nil {
				return err
			}
			if err := errors.Join(p.Objections(), only.refuse(p)); err != nil {
				return err
			}
			if len(p.Blind) > 0 {
				return &exitError{code: exitFailed}
			}
			if !p.Empty() {
				return &exitError{code: exitChanges}
			}
			return nil
		},
	}
	cmd.Flags().StringVarP(&output, "out", "o", "", "also save the plan to `FILE`, for apply")
	cmd.Flags().BoolVar(&diff, "diff", false, "show the lines that change in text files")
	only.add(cmd)
	return cmd
}

// planFlags are the flags of plan.
type planFlags struct {
	output string
	diff   bool
	only   []string
}

func (a *app) showPlan(s *session, e *engine.Engine, p *engine.Plan, f planFlags) error {
	if f.output != "" {
		if err := savePlan(a, s, e, p, f); err != nil {
			return err
		}
	}
	if a.json {
		return a.printJSON(p)
	}
	return ui.Plan(a.out, s.cloud.Name, p, ui.PlanOptions{Color: a.color(), Diff: f.diff, Only: f.only})
}

func savePlan(a *app, s *session, e *engine.Engine, p *engine.Plan, f planFlags) error {
	file, err := filepath.Abs(a.file)
	if err != nil {
		return err
	}
	var b bytes.Buffer
	saved := engine.Saved{
		Cloud: s.cloud.Name, File: file, Set: a.set, Only: f.only, Inputs: s.cloud.Digest, Graph: e.Digest(), Plan: p,
	}
	if err := saved.Save(&b); err != nil {
		return err
	}
	if err := renameio.WriteFile(f.output, b.Bytes(), 0o600); err != nil {
		return fmt.Errorf("cannot save the plan: %w", err)
	}
	return nil
}

// color reports whether stdout is a terminal that wants colours.
func (a *app) color() bool {
	f, ok := a.out.(*os.File)
	if !ok || a.noColor {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
