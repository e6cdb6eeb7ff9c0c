package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/updraft-cloud/updraft/internal/handoff"
	"github.com/updraft-cloud/updraft/internal/openstack"
	"github.com/updraft-cloud/updraft/internal/openstack/stack"
	"github.com/updraft-cloud/updraft/internal/secret"
	"github.com/updraft-cloud/updraft/internal/transport"
)

func (a *app) openstackCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "openstack [--] ARG ...",
		Short: "Run the stock openstack client as the cloud's administrator",
		Long: `openstack runs the stock client in a container on the first controller, from the
image that Keystone runs from (those of an optional service, such as stack, from
that service's). Standard input, output and error are the client's;
so is the exit status, unless the client could not be started.

  updraft openstack server list
  updraft openstack image create --disk-format qcow2 NAME < FILE

Files that arguments name are those in the container: pass them on standard input.
The client gets the administrator's password on a channel of its own and keeps it
in memory only: it is in no argument, environment or file of the controller.

To use a client on this computer, take clouds.yaml or openrc of updraft handoff.

EXIT STATUS
  The client's. 1 also if it could not be started; the message says why.`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := a.load()
			if err != nil {
				return err
			}
			defer s.close()
			err = s.openstackClient(cmd.Context(), args, a.in, a.out)
			var exit *transport.ExitError
			if errors.As(err, &exit) {
				return &exitError{code: exit.Code} // the client has said why
			}
			return err
		},
	}
	cmd.Flags().SetInterspersed(false) // what follows the first word is the client's
	return cmd
}

// openstackClient runs the stock client on the first controller. An exit status
// other than zero is a [*transport.ExitError].
func (s *session) openstackClient(ctx context.Context, args []string, stdin io.Reader, stdout io.Writer) error {
	o, err := s.openstackAccess()
	if err != nil {
		return err
	}
	// It runs where services are, and works while addresses for users are being made.
	inside := *o
	inside.AuthURL, inside.Interface = authURL(s.cloud.OpenStack.VIP.Address), "internal"
	from := openstack.ClientFrom(openstack.Services(s.cloud.OpenStack), args)
	line, input, err := clientLine(inside, s.cloud.Name, from, args, stdin)
	if err != nil {
		return err
	}
	return s.fleet.Exec(ctx, s.cloud.OpenStack.Controllers[0].Name, line, input, stdout, s.a.err)
}

// errNotMade means that the cloud has no administrator yet.
var errNotMade = errors.New("there is no OpenStack to use yet; updraft up makes it")

// openstackAccess is how the administrator uses the cloud's API.
func (s *session) openstackAccess() (*handoff.OpenStack, error) {
	o := s.cloud.OpenStack
	if o == nil {
		return nil, fmt.Errorf("%s is no OpenStack: its file has no section openstack", s.cloud.Name)
	}
	store, err := secret.Open(s.a.secretOptions(s.cloud.Name))
	if err != nil {
		return nil, err
	}
	admin, err := store.Reveal(stack.SecretAdmin)
	if err != nil {
		return nil, errNotMade
	}
	ca, err := store.Reveal(secret.CAName)
	if err != nil {
		return nil, errNotMade
	}
	d := &stack.Deployment{Cloud: s.cloud, Spec: o}
	return &handoff.OpenStack{
		AuthURL: d.PublicAuthURL(), Region: o.Region, Project: "admin", User: "admin", Password: admin.Secret[0], CA: ca.Public,
		Endpoints: endpoints(d, openstack.Services(o)),
	}, nil
}

// endpoints are those in the catalogue, and the two that only people use.
func endpoints(d *stack.Deployment, services []stack.Service) []handoff.Endpoint {
	var out []handoff.Endpoint
	for _, s := range services {
		for _, e := range s.Endpoints {
			he := handoff.Endpoint{Service: e.Service, Type: e.Type, URL: d.URL(e)}
			switch {
			case !e.ForUsers():
				continue
			case e.Port == stack.DashboardPort:
				he.Service = "horizon"
			case e.Port == stack.ConsolePort:
				he.Service = "console"
			}
			out = append(out, he)
		}
	}
	return out
}

// dashboard is where Horizon answers.
func dashboard(vip netip.Addr) string {
	return "https://" + netip.AddrPortFrom(vip, stack.DashboardPort).String() + "/"
}

// clientLine returns a shell line that runs the client from the image of a
// controller's container, and what it reads: first
// the client's configuration, then stdin. Within the container, a shell puts the
// configuration into a file system in memory that ends with the container. The
// output is the client's alone: podman must not copy it into the journal, as it
// may hold tokens.
func clientLine(o handoff.OpenStack, cloud, from string, args []string, stdin io.Reader) (string, io.Reader, error) {
	const dir = "/etc/openstack" // one of the places where openstacksdk looks
	clouds, err := o.CloudsYAML(cloud, dir+"/ca.pem")
	if err != nil {
		return "", nil, err
	}
	inside := "umask 077; head -c " + strconv.Itoa(len(clouds)) + " >" + dir + "/clouds.yaml && " +
		"head -c " + strconv.Itoa(len(o.CA)) + " >" + dir + `/ca.pem && exec openstack "$@"`
	podman := []string{
		"podman", "run", "--rm", "--interactive", "--pull=never", "--network=host", "--log-driver=none",
		"--tmpfs=" + dir + ":rw,nosuid,nodev,noexec,size=1m,mode=0700", "--env=OS_CLOUD=" + cloud,
	}
	line := "from=" + transport.Quote(from) + "; " + clientImage + `; exec $sudo ` + transport.Quote(podman...) + ` "$image" ` +
		transport.Quote(append([]string{"sh", "-c", inside, "openstack"}, args...)...)
	input := []io.Reader{bytes.NewReader(clouds), strings.NewReader(o.CA)}
	if stdin != nil {
		input = append(input, stdin)
	}
	return line, io.MultiReader(input...), nil
}

// clientImage is shell text that finds the image that $from runs from, which holds
// the client too, and how to become root.
const clientImage = `unit=/etc/containers/systemd/$from.container; ` +
	`image=$(sed -n 's/^Image=//p' $unit 2>/dev/null | head -n 1); ` +
	`[ -n "$image" ] || { echo "updraft: there is no $from on this host ($unit); updraft up puts it there" >&2; exit 1; }; ` +
	`sudo=; [ "$(id -u)" = 0 ] || sudo="sudo -n"`
