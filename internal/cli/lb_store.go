package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/google/renameio/v2"
	"github.com/spf13/cobra"

	"github.com/updraft-cloud/updraft/internal/lb/control"
	"github.com/updraft-cloud/updraft/internal/lb/serve"
	"github.com/updraft-cloud/updraft/internal/lb/store"
)

func (o *lbOptions) checkCommand() *cobra.Command {
	return &cobra.Command{
		Use: "check", Short: "Check that what is stored holds together", Args: cobra.NoArgs,
		Long: "check reads everything and says what does not hold together. The service may run.\n" + exitHelp,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return o.with(cmd.Context(), func(s *store.Store) error {
				found, err := s.Check(cmd.Context())
				if err != nil {
					return err
				}
				if o.a.json {
					return errors.Join(o.a.printJSON(append([]store.Problem{}, found...)), broken(len(found)))
				}
				for _, p := range found {
					fmt.Fprintln(o.a.out, p)
				}
				if len(found) == 0 {
					fmt.Fprintln(o.a.out, "all invariants hold")
				}
				return broken(len(found))
			})
		},
	}
}

func broken(n int) error {
	if n == 0 {
		return nil
	}
	return &exitError{exitChecks, fmt.Errorf("%d invariants do not hold", n)}
}

func (o *lbOptions) backupCommand() *cobra.Command {
	return &cobra.Command{
		Use: "backup FILE", Short: "Write everything that is stored to a file", Args: cobra.ExactArgs(1),
		Long: `backup writes what is stored, as it was at one moment, to a file. The service may
run. Keys in it are encrypted to the identity, which is not in it: keep that in
another place. Local secrets and networks are files in the data directory.
` + exitHelp,
		RunE: func(cmd *cobra.Command, args []string) error {
			return o.with(cmd.Context(), func(s *store.Store) error {
				f, err := renameio.NewPendingFile(args[0], renameio.WithPermissions(0o600))
				if err != nil {
					return err
				}
				defer func() { _ = f.Cleanup() }() // nothing is left when it was replaced
				if err := s.Backup(cmd.Context(), f); err != nil {
					return err
				}
				return f.CloseAtomicallyReplace()
			})
		},
	}
}

func (o *lbOptions) restoreCommand() *cobra.Command {
	return &cobra.Command{
		Use: "restore FILE", Short: "Fill an empty store from a backup", Args: cobra.ExactArgs(1),
		Long: "restore fills a store in which nothing is. No service may run with it.\n" + exitHelp,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(o.etcd) == 0 {
				if err := os.MkdirAll(serve.StoreDir(o.dir()), 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
					return err
				}
			}
			f, err := os.Open(args[0])
			if err != nil {
				return err
			}
			defer f.Close()
			return o.with(cmd.Context(), func(s *store.Store) error { return s.Restore(cmd.Context(), f) })
		},
	}
}

func (o *lbOptions) rotateCommand() *cobra.Command {
	return &cobra.Command{
		Use: "rotate-ca", Short: "Replace the certificate authority of controllers and agents, a phase at a time", Args: cobra.NoArgs,
		Long: `rotate-ca begins to replace the authority by which controllers and the agents on
amphorae know each other, or takes that a phase further. There are three: the next
authority is trusted; it issues; the former is forgotten. Each ends when all agents
have heard of it, and the command refuses to go on before. Nothing is restarted,
and no amphora is replaced.
` + exitHelp,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return o.with(cmd.Context(), func(s *store.Store) error {
				ca, err := control.OpenAuthority(cmd.Context(), control.StoreVault(s), o.identity(), time.Now)
				if err != nil {
					return err
				}
				if n := control.Behind(s.View(), ca.Generation()); n > 0 {
					return fmt.Errorf("%d agents have not heard of the phase before; run the command again in a minute", n)
				}
				if err := ca.Advance(cmd.Context()); err != nil {
					return err
				}
				phase := []string{"done: the former authority is forgotten", "the next authority is trusted", "the next authority issues"}
				fmt.Fprintln(o.a.out, phase[ca.Rotating()])
				return nil
			})
		},
	}
}
