package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/updraft-cloud/updraft/internal/handoff"
	"github.com/updraft-cloud/updraft/internal/machine/lab"
	"github.com/updraft-cloud/updraft/internal/spec"
)

func (a *app) handoffCommand() *cobra.Command {
	var dir string
	cmd := &cobra.Command{
		Use:   "handoff",
		Short: "Write the files by which other tools reach the cloud",
		Long: `handoff writes inventories for Ansible (hosts, hosts.yaml), ssh_config, a fragment
for /etc/hosts (etc-hosts), DNS zones (zone, zone.*) and everything as JSON (facts.json). They hold no
secrets, only the paths of keys. up writes them too.

Of an OpenStack it also writes clouds.yaml and openrc, which hold the administrator's
password and are for you alone, the certificates to trust (ca.pem), and the list of
endpoints (endpoints.json, endpoints.txt).

  ansible all -m ping -i DIR/hosts        ssh -F DIR/ssh_config web1
` + exitHelp,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			s, err := a.load()
			if err != nil {
				return err
			}
			defer s.close()
			if dir == "" {
				dir = s.handoffDir()
			}
			if err := s.handoff(dir); err != nil {
				return err
			}
			if a.json {
				return a.printJSON(map[string]string{"dir": dir})
			}
			fmt.Fprintln(a.out, dir)
			return nil
		},
	}
	cmd.Flags().StringVarP(&dir, "dir", "d", "", "directory to write to (default: in the cloud's state)")
	return cmd
}

func (s *session) handoffDir() string { return filepath.Join(s.dir, "handoff") }

// handoff writes the files to dir.
func (s *session) handoff(dir string) error {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	in := handoff.Input{Cloud: s.cloud.Name, Domain: s.cloud.Domain, Dir: dir}
	for _, h := range s.cloud.Hosts {
		host, err := s.handoffHost(h)
		if err != nil {
			return err
		}
		in.Hosts = append(in.Hosts, host)
	}
	for _, v := range s.cloud.VIPs {
		in.VIPs = append(in.VIPs, handoff.VIP{Name: v.Name, Network: v.Network, Address: v.Address, Group: v.Group})
	}
	for _, n := range s.cloud.Networks {
		in.Networks = append(in.Networks, handoff.Network{Name: n.Name, CIDR: n.CIDR, CIDR6: n.CIDR6, Deployer: n.Deployer})
	}
	if s.cloud.OpenStack != nil {
		in.OpenStack, err = s.openstackAccess()
		if err != nil && !errors.Is(err, errNotMade) {
			return err
		}
		if _, ok := s.provider.(*lab.Provider); ok && in.OpenStack != nil {
			in.OpenStack.Through = []string{"ip", "netns", "exec", lab.Namespace(s.cloud.Name)}
		}
	}
	files, err := handoff.Files(in)
	if err != nil {
		return err
	}
	return handoff.Write(dir, files)
}

func (s *session) handoffHost(h *spec.Host) (handoff.Host, error) {
	m := s.out.Machines[h.Name]
	t, err := s.provider.Target(context.Background(), m)
	if err != nil {
		return handoff.Host{}, err
	}
	host := handoff.Host{
		Name: h.Name, Group: h.Group, Roles: h.Roles,
		SSH: handoff.SSH{
			Address: t.Address, Port: t.Port, User: t.User, Identity: m.Access.Identity,
			KnownHosts: t.KnownHosts, HostKeyAlias: t.HostKeyAlias, ProxyJump: m.Access.Jump,
		},
	}
	if _, ok := s.provider.(*lab.Provider); ok {
		if host.SSH.ProxyCommand, err = s.connectCommand(); err != nil {
			return host, err
		}
	}
	host.SSH.User = cmp.Or(host.SSH.User, "root")
	for _, n := range h.NICs {
		host.NICs = append(host.NICs, handoff.NIC{Name: n.Name, Network: n.Network, MAC: n.MAC, Address: n.Address, Address6: n.Address6})
	}
	return host, nil
}

// connectCommand is the ProxyCommand into the lab.
func (s *session) connectCommand() ([]string, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	return []string{program, "lab", "connect", "--cloud", s.cloud.Name, "%h", "%p"}, nil
}
