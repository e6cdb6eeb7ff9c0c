package cli

import (
	"context"
	"encoding/json"
	"errors"
	"net/netip"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/updraft-cloud/updraft/internal/machine/lab"
	"github.com/updraft-cloud/updraft/internal/pkgcache"
	"github.com/updraft-cloud/updraft/internal/pkgcache/daemon"
	"github.com/updraft-cloud/updraft/internal/provision"
)

// cachePort is where hosts find the package cache, as is usual for such proxies.
const cachePort = 3142

func (a *app) cacheCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "cache", Short: "The package cache beside a cloud", Long: "cache runs the caching proxy for package repositories.\n" + exitHelp}
	var config string
	serve := &cobra.Command{
		Use: "serve", Short: "Run the package cache that up starts by itself", Args: cobra.NoArgs,
		Long: "serve runs until it is ended by a signal. up starts it as a process of its own.\n" + exitHelp,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if config == "" {
				return errors.New("serve needs --config")
			}
			ctx, stop, done := interruptible(cmd.Context(), a.err)
			defer done()
			ctx, cancel := context.WithCancel(ctx)
			go func() { <-stop; cancel() }()
			return daemon.Serve(ctx, config)
		},
	}
	serve.Flags().StringVar(&config, "config", "", "configuration `FILE`, as up writes it")
	cmd.AddCommand(serve)
	return cmd
}

// cache returns the package cache that the cloud asks for, or nil.
func (s *session) cache() provision.Service {
	pc := s.cloud.PackageCache
	if pc == nil {
		return nil
	}
	c := daemon.Config{
		Cloud: s.cloud.Name, Listen: pc.Listen, Pool: s.a.packagePool(),
		MaxBytes: pc.Size, Offline: pc.Offline, Hosts: pkgcache.HostsOf(s.mirrors()...), Dir: filepath.Join(s.dir, "cache"),
	}
	if c.Listen == "" && len(s.cloud.Networks) > 0 {
		c.Listen = netip.AddrPortFrom(s.cloud.Networks[0].Deployer, cachePort).String()
	}
	if _, ok := s.provider.(*lab.Provider); ok {
		c.Namespace = lab.Namespace(s.cloud.Name)
		if pc.Listen == "" {
			// In all networks of the lab: nothing else is in its namespace.
			c.Listen = netip.AddrPortFrom(netip.IPv4Unspecified(), cachePort).String()
		}
	}
	return &daemon.Service{Config: c}
}

// mirrors are the package repositories that hosts may be sent to.
func (s *session) mirrors() []string {
	out := lab.Mirrors()
	for _, m := range s.cloud.Mirrors {
		out = append(out, m)
	}
	return out
}

func (s *session) removeCache(ctx context.Context, removal json.RawMessage) error {
	return daemon.Remove(ctx, removal)
}
