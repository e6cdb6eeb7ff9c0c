package cli

import (
	"slices"

	"github.com/spf13/cobra"

	"github.com/updraft-cloud/updraft/internal/compile"
	"github.com/updraft-cloud/updraft/internal/engine"
)

func (a *app) restartCommand() *cobra.Command {
	var only []string
	cmd := &cobra.Command{
		Use:   "restart",
		Short: "Restart services, on one controller at a time",
		Long: `restart restarts the containers of the cloud, or of a part of it, and brings in
what differs from the cloud file on the way, as up does. Controllers have their
turns: the services of one are taken out of HAProxy, restarted and ready again
before the next begins, so that no request to an API is lost. When one does not
become ready the others are left as they are. Other hosts restart side by side;
servers run on.

  updraft restart --only role=controller
  updraft restart --only container:keystone

A selector KIND:NAME means that resource on all hosts; for the others see
updraft up --help. Cut off in its middle, say it again: it begins anew.
` + exitHelp,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := a.loadToApply()
			if err != nil {
				return err
			}
			defer s.close()
			chosen, err := s.restarts(only)
			if err != nil {
				return err
			}
			s.part = onlyArgs(only)
			_, err = s.converge(cmd.Context(), "updraft restart", engine.Options{Again: chosen}, nil)
			return err
		},
	}
	cmd.Flags().StringArrayVar(&only, "only", nil, "restart the part that `SELECTOR` stands for, such as role=controller or container:keystone (repeatable)")
	return cmd
}

// restarts tells which nodes the selectors mean: containers, of hosts that there are.
func (s *session) restarts(selectors []string) (func(*engine.Node) bool, error) {
	var names, rest []string
	for _, sel := range selectors {
		if isRef(s.out.Graph, sel) {
			names = append(names, sel)
		} else {
			rest = append(rest, sel)
		}
	}
	match := func(*engine.Node) bool { return len(selectors) == 0 }
	if len(rest) > 0 {
		var err error
		if match, err = compile.Select(s.cloud, s.out.Graph, rest); err != nil {
			return nil, err
		}
	}
	return func(n *engine.Node) bool {
		return n.Kind == "container" && (match(n) || slices.Contains(names, n.Kind+":"+n.Key))
	}, nil
}

// isRef reports whether text names a resource without its host.
func isRef(g *engine.Graph, text string) bool {
	return slices.ContainsFunc(g.Nodes(), func(n *engine.Node) bool { return n.Scope != "" && n.Kind+":"+n.Key == text })
}
