package lab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os/exec"
	"strconv"

	"github.com/updraft-cloud/updraft/internal/machine"
	"github.com/updraft-cloud/updraft/internal/netns"
	"github.com/updraft-cloud/updraft/internal/transport"
)

// DialContext dials from the cloud's namespace, where the deployer's addresses are.
func (p *Provider) DialContext(ctx context.Context, cloud, network, addr string) (net.Conn, error) {
	ns, err := netns.Open(Namespace(cloud))
	if err != nil {
		return nil, err
	}
	defer ns.Close()
	return ns.DialContext(ctx, network, addr)
}

// Listen listens in the cloud's namespace.
func (p *Provider) Listen(ctx context.Context, cloud, network, addr string) (net.Listener, error) {
	ns, err := netns.Open(Namespace(cloud))
	if err != nil {
		return nil, err
	}
	defer ns.Close()
	return ns.Listen(ctx, network, addr)
}

// Target says how to reach a machine: at its first address, dialled from inside
// the cloud's namespace, known by its name in known_hosts.
func (p *Provider) Target(_ context.Context, m machine.Machine) (transport.Target, error) {
	if len(m.NICs) == 0 {
		return transport.Target{}, fmt.Errorf("cannot reach machine %s: it has no network interface", m.Name)
	}
	t := transport.Target{
		Name: m.Name, Address: m.NICs[0].Address.Addr().String(), Port: m.Access.Port, User: m.Access.User,
		KnownHosts: m.Access.KnownHosts, HostKeyAlias: m.Name,
		Dial: func(ctx context.Context, network, addr string) (net.Conn, error) {
			return p.DialContext(ctx, m.Cloud, network, addr)
		},
	}
	if m.Access.Identity != "" {
		t.Identities = []string{m.Access.Identity}
	}
	return t, nil
}

// Command returns a command that runs inside the machine without ssh, for
// looking at one that does not answer. Its environment is a plain root login's.
func (p *Provider) Command(ctx context.Context, cloud, host string, argv ...string) (*exec.Cmd, error) {
	if len(argv) == 0 {
		return nil, errors.New("cannot enter machine: no command")
	}
	pid := p.initPID(cloud, host)
	if pid == 0 {
		return nil, fmt.Errorf("cannot enter machine %s: it does not run", host)
	}
	args := []string{
		"--target", strconv.Itoa(pid), "--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup", "--",
		"env", "-i", "HOME=/root", "USER=root", "TERM=linux", "LANG=C.UTF-8",
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
	}
	cmd := exec.CommandContext(ctx, "nsenter", append(args, argv...)...)
	cmd.Dir = "/"
	return cmd, nil
}

// Enter runs a command inside the machine without ssh and returns its output.
func (p *Provider) Enter(ctx context.Context, cloud, host string, argv ...string) ([]byte, error) {
	cmd, err := p.Command(ctx, cloud, host, argv...)
	if err != nil {
		return nil, err
	}
	cmd.Stdin = nil
	out, err := cmd.Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return out, fmt.Errorf("%s in machine %s: %w: %s", argv[0], host, err, tail(string(exit.Stderr), 5))
	}
	return out, err
}

// Shell runs a command inside the machine with the given streams, such as those
// of a terminal.
func (p *Provider) Shell(ctx context.Context, cloud, host string, in io.Reader, out, errs io.Writer, argv ...string) error {
	cmd, err := p.Command(ctx, cloud, host, argv...)
	if err != nil {
		return err
	}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = in, out, errs
	return cmd.Run()
}
