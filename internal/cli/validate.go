package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/updraft-cloud/updraft/internal/diag"
)

func (a *app) validateCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "validate",
		Short: "Check the cloud file without touching the world",
		Long: `validate reads the cloud file and reports everything that is wrong with it, as
far as it can be known without touching the world: each fault with its position,
the reason and how to mend it.
` + exitHelp,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			s, err := a.load()
			if list, ok := err.(diag.List); ok && a.json { //nolint:errorlint // load returns it bare
				if err := a.printJSON(map[string]any{"valid": false, "diagnostics": list}); err != nil {
					return err
				}
				return &exitError{code: exitFailed}
			}
			if err != nil {
				return err
			}
			defer s.close()
			if a.json {
				return a.printJSON(map[string]any{"valid": true, "hosts": len(s.cloud.Hosts), "resources": len(s.out.Graph.Nodes())})
			}
			fmt.Fprintf(a.out, "%s is valid: %d hosts, %d resources, %d checks.\n",
				a.file, len(s.cloud.Hosts), len(s.out.Graph.Nodes()), len(s.out.Checks))
			return nil
		},
	}
}
