package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os/signal"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/updraft-cloud/updraft/internal/transport"
)

func (a *app) openCommand() *cobra.Command {
	var port uint16
	cmd := &cobra.Command{
		Use:   "open horizon | console SERVER | URL",
		Short: "Make an address in the cloud's networks reachable on 127.0.0.1",
		Long: `open listens on 127.0.0.1 of this computer, carries what comes there into the
cloud's networks, prints the URL to open in a browser, and goes on until it is
interrupted.

  horizon         the dashboard; its administrator is admin, and
                  updraft secrets show keystone-admin prints the password
  console SERVER  the screen of a server, by name or ID
  URL             any http or https URL, or tcp://HOST:PORT; hosts and virtual
                  addresses of the cloud can be named

Horizon and consoles are plain HTTP on 127.0.0.1, and TLS in the cloud's networks,
where updraft verifies the certificate. Horizon's pages with a server's console
work, too. Browsers keep cookies by name and not by port: to use the dashboards of
two clouds at a time, give one of them a name of its own, as in
http://NAME.localhost:PORT/.

Of any other URL the bytes pass as they are. A browser does not know the cloud's
authority, nor does the authority know 127.0.0.1: expect a question about the
certificate there.
` + exitHelp,
		Args: cobra.RangeArgs(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := a.load()
			if err != nil {
				return err
			}
			defer s.close()
			ctx, stop := signal.NotifyContext(cmd.Context(), unix.SIGINT, unix.SIGTERM)
			defer stop()
			target, err := s.openTarget(ctx, args)
			if err != nil {
				return err
			}
			l, err := listenHere(ctx, port)
			if err != nil {
				return err
			}
			defer func() { _ = l.Close() }() // it is closed already when the context has ended
			if slices.Contains(shownHere(), args[0]) {
				return s.openWeb(ctx, target, l)
			}
			return s.openForward(ctx, target, l)
		},
	}
	cmd.Flags().Uint16VarP(&port, "port", "p", 0, "port on 127.0.0.1 (default: any that is free)")
	return cmd
}

// openTarget returns the URL that the arguments mean.
func (s *session) openTarget(ctx context.Context, args []string) (*url.URL, error) {
	switch {
	case args[0] == "console" && len(args) == 2:
		return s.consoleURL(ctx, args[1])
	case args[0] == "console":
		return nil, errors.New("open console needs a server: updraft open console SERVER")
	case len(args) == 2:
		return nil, fmt.Errorf("open takes one argument, and %q is more", args[1])
	case args[0] == "horizon" && s.cloud.OpenStack == nil:
		return nil, fmt.Errorf("%s is no OpenStack: its file has no section openstack", s.cloud.Name)
	case args[0] == "horizon":
		return url.Parse(dashboard(s.cloud.OpenStack.UserAddress()))
	}
	return parseTarget(args[0])
}

// consoleURL asks Nova for a console's URL, which holds a token of some minutes.
func (s *session) consoleURL(ctx context.Context, server string) (*url.URL, error) {
	if strings.HasPrefix(server, "-") {
		return nil, fmt.Errorf("cannot open the console of %q: the client would take it for an option; name the server by its ID", server)
	}
	var out bytes.Buffer
	err := s.openstackClient(ctx, []string{"console", "url", "show", "--novnc", "-f", "value", "-c", "url", server}, nil, &out)
	var exit *transport.ExitError
	if errors.As(err, &exit) {
		return nil, fmt.Errorf("cannot open the console of %s; the client has said why", server)
	}
	if err != nil {
		return nil, err
	}
	return parseTarget(strings.TrimSpace(out.String()))
}

// defaultPort is what URLs of a scheme leave out. A tcp URL must name its own.
func defaultPort(scheme string) (string, bool) {
	switch scheme {
	case "https":
		return "443", true
	case "http":
		return "80", true
	}
	return "", scheme == "tcp"
}

// parseTarget takes URLs with a host and a port.
func parseTarget(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" {
		return nil, fmt.Errorf("cannot open %q: write horizon, console SERVER, https://HOST/… or tcp://HOST:PORT", text)
	}
	port, known := defaultPort(u.Scheme)
	if u.Port() != "" {
		port = u.Port()
	}
	if n, err := strconv.ParseUint(port, 10, 16); !known || err != nil || n == 0 {
		return nil, fmt.Errorf("cannot open %q: it is neither an http nor an https URL, nor tcp://HOST:PORT", text)
	}
	u.Host = net.JoinHostPort(u.Hostname(), port)
	return u, nil
}

// address returns where host:port is dialled: names of the cloud's own hosts and
// virtual addresses are known without DNS.
func (s *session) address(target string) string {
	name, port, err := net.SplitHostPort(target)
	if err != nil {
		return target
	}
	short := strings.TrimSuffix(name, "."+s.cloud.Domain)
	if v := s.cloud.VIP(short); v != nil {
		return net.JoinHostPort(v.Address.String(), port)
	}
	if h := s.cloud.Host(short); h != nil {
		switch {
		case len(h.NICs) > 0:
			return net.JoinHostPort(h.NICs[0].Address.Addr().String(), port)
		case h.Address != "":
			return net.JoinHostPort(h.Address, port)
		}
	}
	return target
}

// listenHere listens on a port of this computer; 0 means any.
func listenHere(ctx context.Context, port uint16) (net.Listener, error) {
	var lc net.ListenConfig
	return lc.Listen(ctx, "tcp4", net.JoinHostPort("127.0.0.1", strconv.Itoa(int(port))))
}

// openForward forwards to the target until the context ends.
func (s *session) openForward(ctx context.Context, target *url.URL, l net.Listener) error {
	addr := s.address(target.Host)
	f := &forward{
		listener: l,
		dial:     func(ctx context.Context) (net.Conn, error) { return s.dial(ctx, "tcp", addr) },
		failed:   func(err error) { fmt.Fprintf(s.a.err, "updraft: cannot reach %s: %v\n", addr, err) },
	}
	if err := s.a.showForward(localURL(target, l.Addr())); err != nil {
		return err
	}
	return f.serve(ctx)
}

// localURL is the target as seen on this computer.
func localURL(target *url.URL, local net.Addr) string {
	u := *target
	u.Host = local.String()
	if u.Scheme == "tcp" {
		return u.Host
	}
	return u.String()
}

func (a *app) showForward(at string) error {
	if a.json {
		return a.printJSON(map[string]string{"url": at})
	}
	if _, err := fmt.Fprintln(a.out, at); err != nil {
		return err
	}
	fmt.Fprintln(a.err, "Forwarding until interrupted (Ctrl-C).")
	return nil
}
