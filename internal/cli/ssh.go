package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/updraft-cloud/updraft/internal/transport/ssh"
)

func (a *app) sshCommand() *cobra.Command {
	var accept bool
	cmd := &cobra.Command{
		Use:   "ssh HOST [-- COMMAND [ARG ...]]",
		Short: "Log in to a host with the system's ssh",
		Long: `ssh starts the system's ssh with the configuration that updraft hands over, so
that it reaches lab hosts too. The same works without updraft:

  ssh -F DIR/ssh_config HOST       scp -F DIR/ssh_config FILE HOST:

A host that shows another key than before is refused. If you know why it changed,
--accept-new-key forgets the old key and takes the one it shows now.
` + exitHelp,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := a.load()
			if err != nil {
				return err
			}
			defer s.close()
			if s.cloud.Host(args[0]) == nil {
				return fmt.Errorf("there is no host %q in %s", args[0], s.cloud.Name)
			}
			if accept {
				if err := s.acceptKey(cmd.Context(), args[0]); err != nil {
					return err
				}
			}
			if err := s.handoff(s.handoffDir()); err != nil {
				return err
			}
			return runSSH(filepath.Join(s.handoffDir(), "ssh_config"), args)
		},
	}
	cmd.Flags().BoolVar(&accept, "accept-new-key", false, "forget the host's old key and take the one that it shows now")
	return cmd
}

// acceptKey replaces what is known of a host's key by what it shows now.
func (s *session) acceptKey(ctx context.Context, host string) error {
	t, err := s.target(host)
	if err != nil {
		return err
	}
	var d ssh.Dialer
	if _, err := d.Forget(t); err != nil {
		return err
	}
	t.AcceptNew = true
	conn, err := d.Connect(ctx, t)
	if err != nil {
		return err
	}
	return conn.Close()
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
