package cli

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"
)

func (a *app) sshCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "ssh HOST [-- COMMAND [ARG ...]]",
		Short: "Log in to a host with the system's ssh",
		Long: `ssh starts the system's ssh with the configuration that updraft hands over, so
that it reaches lab hosts too. The same works without updraft:

  ssh -F DIR/ssh_config HOST       scp -F DIR/ssh_config FILE HOST:
` + exitHelp,
		Args: cobra.MinimumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			s, err := a.load()
			if err != nil {
				return err
			}
			defer s.close()
			if s.cloud.Host(args[0]) == nil {
				return fmt.Errorf("there is no host %q in %s", args[0], s.cloud.Name)
			}
			if err := s.handoff(s.handoffDir()); err != nil {
				return err
			}
			return runSSH(filepath.Join(s.handoffDir(), "ssh_config"), args)
		},
	}
	return cmd
}

// runSSH becomes ssh: its terminal handling and exit status are the user's.
func runSSH(config string, args []string) error {
	path, err := exec.LookPath("ssh")
	if err != nil {
		return errors.New("there is no ssh on this computer; install openssh-client")
	}
	argv := append([]string{"ssh", "-F", config, "--"}, args...)
	return unix.Exec(path, argv, os.Environ())
}
