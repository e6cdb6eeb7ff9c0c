package cli

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/signal"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/updraft-cloud/updraft/internal/image/oci"
	"github.com/updraft-cloud/updraft/internal/image/registry"
)

// pushOptions are the flags of image push.
type pushOptions struct{ ca, passwordFile, user, cloud string }

func (a *app) imagePushCommand(o *imageOptions) *cobra.Command {
	p := &pushOptions{}
	cmd := &cobra.Command{
		Use: "push HOST:PORT [NAME ...]", Short: "Send images to a registry", Args: cobra.MinimumNArgs(1),
		Long: `push sends the named images of the release, or all of them, to a registry, as
HOST:PORT/updraft/NAME:TAG. What is there already is not sent again.
` + exitHelp,
		RunE: func(cmd *cobra.Command, args []string) error {
			recipes, err := o.recipes(args[1:])
			if err != nil {
				return err
			}
			to, err := a.registryOf(args[0], p)
			if err != nil {
				return err
			}
			var refs []string
			for _, r := range recipes {
				if err := a.images().Push(cmd.Context(), to, r.Ref(""), a.imageLog); err != nil {
					return err
				}
				refs = append(refs, to.Host+strings.TrimPrefix(r.Ref(""), "localhost"))
			}
			return a.printRefs(refs)
		},
	}
	f := cmd.Flags()
	f.StringVar(&p.ca, "ca", "", "authority of the registry's certificate: PEM `FILE`; this computer's own by default")
	f.StringVar(&p.user, "user", registry.User, "name that goes with the password")
	f.StringVar(&p.passwordFile, "password-file", "", "`FILE` with the password of who pushes")
	f.StringVar(&p.cloud, "cloud", "", "lab in whose network the registry is")
	return cmd
}

func (a *app) registryOf(host string, p *pushOptions) (oci.Registry, error) {
	to := oci.Registry{Host: host, User: p.user}
	if p.ca != "" {
		ca, err := os.ReadFile(p.ca)
		if err != nil {
			return to, fmt.Errorf("cannot read the registry's authority: %w", err)
		}
		to.CA = string(ca)
	}
	if p.passwordFile != "" {
		password, err := os.ReadFile(p.passwordFile)
		if err != nil {
			return to, fmt.Errorf("cannot read the registry's password: %w", err)
		}
		to.Password = strings.TrimSpace(string(password))
	}
	if p.cloud != "" {
		to.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
			return a.lab().DialContext(ctx, p.cloud, network, address)
		}
	}
	return to, nil
}

func (a *app) imageServeCommand() *cobra.Command {
	c := registry.Config{}
	cmd := &cobra.Command{
		Use: "serve", Short: "Run a registry of images", Args: cobra.NoArgs,
		Long: `serve runs a registry over TLS until it is ended by a signal. Whoever reaches it
may pull; pushing needs the password. A new certificate is taken up by itself.
` + exitHelp,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if c.Dir == "" || c.Certificate == "" || c.Key == "" {
				return errors.New("serve needs --dir, --cert and --cert-key")
			}
			ctx, stop := signal.NotifyContext(cmd.Context(), unix.SIGINT, unix.SIGTERM)
			defer stop()
			return registry.Serve(ctx, c, func(at net.Addr) { a.imageLog("serving %s on %s", c.Dir, at) })
		},
	}
	f := cmd.Flags()
	f.StringVar(&c.Dir, "dir", "", "`DIRECTORY` that holds the images")
	f.StringVar(&c.Listen, "listen", ":5000", "`ADDRESS:PORT` to listen on")
	f.StringVar(&c.Certificate, "cert", "", "certificate: PEM `FILE`")
	f.StringVar(&c.Key, "cert-key", "", "its key: PEM `FILE`")
	f.StringVar(&c.PasswordFile, "password-file", "", "`FILE` with the password of who pushes; nobody can without")
	return cmd
}
