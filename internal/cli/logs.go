package cli

import (
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/updraft-cloud/updraft/internal/spec"
	"github.com/updraft-cloud/updraft/internal/transport"
)

func (a *app) logsCommand() *cobra.Command {
	var lines int
	var unit, since string
	cmd := &cobra.Command{
		Use:   "logs [SELECTOR]",
		Short: "Show the hosts' journals",
		Long: `logs shows the newest journal entries of every host that the selector stands
for (a host, a group, a role, or all), each line with its host's name.
` + exitHelp,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := a.load()
			if err != nil {
				return err
			}
			defer s.close()
			selector := "all"
			if len(args) > 0 {
				selector = args[0]
			}
			hosts := s.cloud.Select(selector)
			if len(hosts) == 0 {
				return fmt.Errorf("there is no host, group or role %q in %s", selector, s.cloud.Name)
			}
			words := []string{"journalctl", "--no-pager", "-o", "short-iso", "-n", strconv.Itoa(lines)}
			if unit != "" {
				words = append(words, "--unit="+unit)
			}
			if since != "" {
				words = append(words, "--since="+since)
			}
			return s.exec(cmd.Context(), hosts, func(h *spec.Host) (order, error) { return s.asRoot(h, words) }, 32)
		},
	}
	cmd.Flags().IntVarP(&lines, "lines", "n", 50, "how many entries of each host")
	cmd.Flags().StringVarP(&unit, "unit", "u", "", "of this systemd unit only")
	cmd.Flags().StringVar(&since, "since", "", "since this time, as journalctl understands it")
	return cmd
}

// asRoot is a command that root runs on the host: by sudo, where the login is
// somebody else's, as the journal is not for everybody's eyes.
func (s *session) asRoot(h *spec.Host, words []string) (order, error) {
	t, err := s.target(h.Name)
	if err != nil {
		return order{}, err
	}
	return elevated(t, words)
}

func elevated(t transport.Target, words []string) (order, error) {
	switch {
	case t.User == "" || t.User == "root":
		return order{line: transport.Quote(words...)}, nil
	case t.SudoPassword == nil:
		return order{line: transport.Quote(append([]string{"sudo", "-n", "--"}, words...)...)}, nil
	}
	password, err := t.SudoPassword()
	if err != nil {
		return order{}, err
	}
	// The password is read by sudo if it wants one; the command reads nothing.
	return order{line: transport.Quote(append([]string{"sudo", "-S", "-p", "", "--"}, words...)...), stdin: password + "\n"}, nil
}
