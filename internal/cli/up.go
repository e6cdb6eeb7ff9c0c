package cli

import (
	"github.com/spf13/cobra"
)

func (a *app) upCommand() *cobra.Command {
	var only onlyFlags
	var noVerify bool
	var reports reportFlags
	cmd := &cobra.Command{
		Use:   "up",
		Short: "Make it, prove it, hand it over",
		Long: `up makes the world as the cloud file says (apply), runs all checks (verify)
and writes the hand-off files (handoff). Run again, it changes nothing. Killed
anywhere, the next run finishes the job.

With --only the checks are left out: they are about the whole.
` + onlyHelp + linesHelp + exitHelp,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := a.loadToApply()
			if err != nil {
				return err
			}
			defer s.close()
			opts, err := only.options(s)
			if err != nil {
				return err
			}
			if _, err := s.converge(cmd.Context(), "updraft up", opts, only.confirm(s)); err != nil {
				return err
			}
			if err := s.handoff(s.handoffDir()); err != nil {
				return err
			}
			if noVerify || opts.Partial {
				return nil
			}
			reports.line = s.a.json
			return s.verify(cmd.Context(), reports)
		},
	}
	only.add(cmd)
	cmd.Flags().BoolVar(&noVerify, "no-verify", false, "leave the checks out")
	reports.add(cmd)
	return cmd
}
