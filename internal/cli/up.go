package cli

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/updraft-cloud/updraft/internal/engine"
	"github.com/updraft-cloud/updraft/internal/openstack/stack"
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
anywhere, the next run finishes the job. After a change, a check that does not
pass is tried again for up to 30 s.

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
			res, err := s.converge(cmd.Context(), "updraft up", opts, only.confirm(s))
			if err != nil {
				return err
			}
			if err := s.handoff(s.handoffDir()); err != nil {
				return err
			}
			if !noVerify && !opts.Partial {
				reports.line = s.a.json
				err = s.verify(cmd.Context(), reports, settlingAfter(res))
			}
			if res.Changed+res.Removed > 0 && !s.a.json {
				s.nextSteps()
			}
			return err
		},
	}
	only.add(cmd)
	cmd.Flags().BoolVar(&noVerify, "no-verify", false, "leave the checks out")
	reports.add(cmd)
	return cmd
}

// settlingAfter is how long checks have patience after a run: what was changed, or
// started with its host, has to be seen by health checks a few times.
func settlingAfter(res engine.Result) time.Duration {
	if res.Changed+res.Removed == 0 {
		return 0
	}
	return 30 * time.Second
}

// nextSteps says where what was handed over is, and how to begin.
func (s *session) nextSteps() {
	fmt.Fprintf(s.a.err, "\nFiles for other tools (ssh_config, inventories, …) are in %s\n", s.handoffDir())
	if s.cloud.OpenStack == nil {
		return
	}
	fmt.Fprintf(s.a.err, "The stock client, which clouds.yaml there is for as well:  %s -- server list\n", s.a.again("updraft openstack"))
	fmt.Fprintf(s.a.err, "Horizon, where admin has the password %s:  %s\n",
		s.a.again("updraft secrets show", stack.SecretAdmin), s.a.again("updraft open", "horizon"))
}
