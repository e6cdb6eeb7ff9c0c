package cli

import (
	"github.com/spf13/cobra"
)

func (a *app) upCommand() *cobra.Command {
	var only []string
	var noVerify bool
	var reports reportFlags
	cmd := &cobra.Command{
		Use:   "up",
		Short: "Make it, prove it, hand it over",
		Long: `up makes the world as the cloud file says (apply), runs all checks (verify)
and writes the hand-off files (handoff). Run again, it changes nothing. Killed
anywhere, the next run finishes the job.
` + linesHelp + exitHelp,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := a.loadToApply()
			if err != nil {
				return err
			}
			defer s.close()
			opts, err := s.only(only)
			if err != nil {
				return err
			}
			if _, err := s.converge(cmd.Context(), "updraft up", opts, nil); err != nil {
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
	addOnly(cmd, &only)
	cmd.Flags().BoolVar(&noVerify, "no-verify", false, "leave the checks out")
	reports.add(cmd)
	return cmd
}
