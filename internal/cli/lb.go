package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/updraft-cloud/updraft/internal/lb/serve"
	"github.com/updraft-cloud/updraft/internal/lb/store"
	"github.com/updraft-cloud/updraft/internal/secret"
)

// lbOptions are what all commands of load balancing share.
type lbOptions struct {
	a    *app
	data string
	etcd []string
	tls  serve.EtcdTLS
}

func (a *app) lbCommand() *cobra.Command {
	o := &lbOptions{a: a}
	cmd := &cobra.Command{
		Use:   "lb",
		Short: "Load balancing as a service, which OpenStack's clients speak to",
		Long: `lb runs a load-balancing service that speaks the API of OpenStack Octavia (v2),
so that "openstack loadbalancer", gophercloud, Terraform, Heat and Horizon work
with it unmodified. It needs no OpenStack.

  updraft lb serve      the API and a controller in one process
  updraft lb api        the API alone
  updraft lb controller a controller alone; any number work side by side
  updraft lb secret     certificates for listeners
  updraft lb status     how the service fares
  updraft lb why        why a load balancer is as it is
` + exitHelp,
	}
	f := cmd.PersistentFlags()
	f.StringVar(&o.data, "data", "", "`DIR` of everything that the service keeps (default: lb in the state)")
	f.StringSliceVar(&o.etcd, "etcd", nil, "`URL`s of an etcd cluster; without any the service has its own etcd in its data")
	f.StringVar(&o.tls.CA, "etcd-ca", "", "`FILE` with the authority of etcd's certificates")
	f.StringVar(&o.tls.Certificate, "etcd-cert", "", "`FILE` with the certificate to show to etcd")
	f.StringVar(&o.tls.Key, "etcd-key", "", "`FILE` with its key")
	cmd.AddCommand(
		o.serveCommand("serve", "Run the API and a controller", true, true),
		o.serveCommand("api", "Run the API alone", true, false),
		o.serveCommand("controller", "Run a controller alone", false, true),
		o.secretCommand(), o.statusCommand(), o.whyCommand(), o.checkCommand(), o.backupCommand(), o.restoreCommand(), o.rotateCommand(),
	)
	return cmd
}

func (o *lbOptions) dir() string {
	if o.data != "" {
		return o.data
	}
	return filepath.Join(o.a.stateDir, "lb")
}

func (o *lbOptions) identity() secret.Identity {
	if o.a.identity != "" {
		return secret.Identity{Path: o.a.identity, Given: true}
	}
	return serve.Identity(o.dir())
}

// open opens the store that a running service has: by its socket, if it is etcd
// of its own, and in its directory if no service runs.
func (o *lbOptions) open(ctx context.Context) (*store.Store, error) {
	tls, err := o.tls.Config()
	if err != nil {
		return nil, err
	}
	opts := store.Options{Endpoints: o.etcd, TLS: tls, CompactEvery: -1}
	if len(o.etcd) > 0 {
		return store.Open(ctx, opts)
	}
	dir := serve.StoreDir(o.dir())
	if _, err := os.Stat(dir); err != nil {
		return nil, fmt.Errorf("cannot find the store of a load-balancing service in %s; name its data directory: --data DIR", o.dir())
	}
	opts.Dir, opts.Attach = dir, true
	return store.Open(ctx, opts)
}

// with calls f with the store.
func (o *lbOptions) with(ctx context.Context, f func(*store.Store) error) error {
	s, err := o.open(ctx)
	if err != nil {
		return err
	}
	return errors.Join(f(s), s.Close())
}
