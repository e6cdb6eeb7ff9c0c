package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/updraft-cloud/updraft/internal/engine/statedir"
	"github.com/updraft-cloud/updraft/internal/machine"
	"github.com/updraft-cloud/updraft/internal/machine/lab"
)

// stopDeadline is how long a host may take to shut down in order. Measured: 2 s
// for an idle host, over 10 s with a database.
const stopDeadline = 60 * time.Second

// answerDeadline is how long a host may take from being switched on to its sshd.
// Measured: 0.3 s for one host, 38 s for a hundred on two loaded cores.
const answerDeadline = 2 * time.Minute

func (a *app) labCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "lab",
		Short: "Work with the lab on this computer",
		Long: `lab controls the machines of a cloud whose provider is the lab: real systemd
systems in network namespaces on this computer.
` + exitHelp,
	}
	cmd.PersistentFlags().StringVar(&a.cloud, "cloud", "", "the cloud's name; otherwise it is read from the cloud file")
	cmd.AddCommand(
		a.labListCommand(),
		a.labPowerCommand("start", "Switch hosts on and wait until they answer", func(p *lab.Provider, ctx context.Context, cloud, host string) error {
			if err := p.Start(ctx, cloud, host); err != nil {
				return err
			}
			return awaitSSH(ctx, p, cloud, host)
		}),
		a.labPowerCommand("stop", "Shut hosts down in order", func(p *lab.Provider, ctx context.Context, cloud, host string) error {
			ctx, cancel := context.WithTimeout(ctx, stopDeadline)
			defer cancel()
			return p.Stop(ctx, cloud, host)
		}),
		a.labPowerCommand("cut", "Take the power away from hosts", (*lab.Provider).Cut),
		a.labSnapshotCommand("save", "Stop the lab, keep a copy under a name, start it again", machine.Snapshots.Save),
		a.labSnapshotCommand("restore", "Put the lab back to how it was when saved", machine.Snapshots.Restore),
		a.labConnectCommand(),
		a.labEnterCommand(),
		a.labPruneCommand(),
	)
	return cmd
}

// cloudName returns the name given, or the one in the cloud file.
func (a *app) cloudName() (string, error) {
	if a.cloud != "" {
		return a.cloud, nil
	}
	s, err := a.load()
	if err != nil {
		return "", err
	}
	defer s.close()
	return s.cloud.Name, nil
}

func (a *app) labListCommand() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List the lab's hosts", Long: "list shows the hosts of the lab and whether they run.\n" + exitHelp,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cloud, err := a.cloudName()
			if err != nil {
				return err
			}
			inv, err := a.lab().List(cmd.Context(), cloud)
			if err != nil {
				return err
			}
			if a.json {
				return a.printJSON(inv)
			}
			w := tabwriter.NewWriter(a.out, 0, 8, 2, ' ', 0)
			fmt.Fprintln(w, "HOST\tSTATE\tPID")
			for _, m := range inv.Machines {
				state := "off"
				if m.Running {
					state = "running"
				}
				fmt.Fprintf(w, "%s\t%s\t%d\n", m.Name, state, m.PID)
			}
			return w.Flush()
		},
	}
}

// labPowerCommand makes a command that switches the named hosts, or all, at once.
func (a *app) labPowerCommand(name, short string, do func(*lab.Provider, context.Context, string, string) error) *cobra.Command {
	return &cobra.Command{
		Use: name + " [HOST ...]", Short: short, Long: short + ". Without a name, all hosts of the lab.\n" + exitHelp,
		RunE: func(cmd *cobra.Command, hosts []string) error {
			cloud, err := a.cloudName()
			if err != nil {
				return err
			}
			p := a.lab()
			if len(hosts) == 0 {
				inv, err := p.List(cmd.Context(), cloud)
				if err != nil {
					return err
				}
				for _, m := range inv.Machines {
					hosts = append(hosts, m.Name)
				}
			}
			// One that fails does not keep the others from it.
			errs := make([]error, len(hosts))
			var g errgroup.Group
			for i, h := range hosts {
				g.Go(func() error { errs[i] = do(p, cmd.Context(), cloud, h); return nil })
			}
			_ = g.Wait() // the errors are in errs
			return errors.Join(errs...)
		},
	}
}

func (a *app) labSnapshotCommand(name, short string, do func(machine.Snapshots, context.Context, string, string, machine.Log) error) *cobra.Command {
	return &cobra.Command{
		Use: name + " SNAPSHOT", Short: short, Long: short + ".\n" + exitHelp, Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			cloud, err := a.cloudName()
			if err != nil {
				return err
			}
			unlock, err := a.lockCloud(cmd.Context(), cloud, "updraft lab "+name)
			if err != nil {
				return err
			}
			defer func() { _ = unlock() }() // the end of the process would do it, too
			log := func(format string, v ...any) { fmt.Fprintf(a.err, format+"\n", v...) }
			if err := do(a.lab(), cmd.Context(), cloud, args[0], log); err != nil {
				return err
			}
			return a.allAnswer(cmd.Context(), cloud)
		},
	}
}

// allAnswer waits for all hosts of the lab that run.
func (a *app) allAnswer(ctx context.Context, cloud string) error {
	p := a.lab()
	inv, err := p.List(ctx, cloud)
	if err != nil {
		return err
	}
	errs := make([]error, len(inv.Machines))
	var g errgroup.Group
	for i, m := range inv.Machines {
		if m.Running {
			g.Go(func() error { errs[i] = awaitSSH(ctx, p, cloud, m.Name); return nil })
		}
	}
	_ = g.Wait() // the errors are in errs
	return errors.Join(errs...)
}

func awaitSSH(ctx context.Context, p *lab.Provider, cloud, host string) error {
	ctx, cancel := context.WithTimeout(ctx, answerDeadline)
	defer cancel()
	return p.Answer(ctx, cloud, host)
}

// lockCloud makes this process the only writer of a cloud. One that was never
// applied has nothing to lock, and gets no state by being asked for.
func (a *app) lockCloud(ctx context.Context, cloud, command string) (func() error, error) {
	if _, err := os.Stat(a.cloudDir(cloud)); err != nil {
		return func() error { return nil }, nil //nolint:nilerr // there is no state
	}
	return statedir.Open(a.cloudDir(cloud)).Lock(ctx, holder(command))
}

// labConnectCommand is the ProxyCommand of the handed-over ssh_config: it joins
// stdin and stdout with a TCP connection made inside the lab.
func (a *app) labConnectCommand() *cobra.Command {
	return &cobra.Command{
		Use: "connect ADDRESS PORT", Short: "Join stdin and stdout with a TCP connection into the lab",
		Long: "connect is meant as ssh's ProxyCommand.\n" + exitHelp, Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			cloud, err := a.cloudName()
			if err != nil {
				return err
			}
			conn, err := a.lab().DialContext(cmd.Context(), cloud, "tcp", net.JoinHostPort(args[0], args[1]))
			if err != nil {
				return err
			}
			defer conn.Close()
			return splice(conn, a.in, a.out)
		},
	}
}

// splice copies both ways until the far end closes.
func splice(conn net.Conn, in io.Reader, out io.Writer) error {
	go func() {
		_, _ = io.Copy(conn, in) // the far end sees the end of input either way
		if c, ok := conn.(interface{ CloseWrite() error }); ok {
			_ = c.CloseWrite()
		}
	}()
	_, err := io.Copy(out, conn)
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// labEnterCommand runs a command on a lab host past its network and sshd.
func (a *app) labEnterCommand() *cobra.Command {
	return &cobra.Command{
		Use: "enter HOST [-- COMMAND [ARG ...]]", Short: "Run a command or a shell on a host without its network",
		Long: "enter is the lab's console cable: it needs neither network nor sshd on the host.\n" + exitHelp, Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			cloud, err := a.cloudName()
			if err != nil {
				return err
			}
			argv := args[1:]
			if len(argv) == 0 {
				argv = []string{"/bin/bash", "-l"}
			}
			return a.lab().Shell(cmd.Context(), cloud, args[0], a.in, a.out, a.err, argv...)
		},
	}
}

func (a *app) labPruneCommand() *cobra.Command {
	return &cobra.Command{
		Use: "prune", Short: "Remove cached root file systems that no lab uses", Args: cobra.NoArgs,
		Long: "prune removes root file systems from the cache that no machine and no snapshot is made of.\n" + exitHelp,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.lab().Prune(cmd.Context(), func(format string, v ...any) { fmt.Fprintf(a.err, format+"\n", v...) })
		},
	}
}
