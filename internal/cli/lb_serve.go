package cli

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"

	"github.com/google/renameio/v2"
	"github.com/spf13/cobra"

	"github.com/updraft-cloud/updraft/internal/hostagent/embedded"
	"github.com/updraft-cloud/updraft/internal/lb/auth"
	"github.com/updraft-cloud/updraft/internal/lb/serve"
)

// passwordVariable holds the password of the service's account in OpenStack: a
// flag would be seen in the list of processes.
const passwordVariable = "OS_PASSWORD"

func (o *lbOptions) serveCommand(name, short string, api, controller bool) *cobra.Command {
	c := serve.Config{WithAPI: api, WithController: controller}
	cmd := &cobra.Command{
		Use: name, Short: short, Args: cobra.NoArgs,
		Long: short + `. It runs until it is ended by a signal; then it finishes what it
is at. A second signal cuts that off: nothing is lost by it.

Without --etcd the service keeps its data itself, and is one process. API and
controllers in processes of their own share an etcd cluster.

The account for keystone, neutron and barbican is named by flags, and its
password by the variable ` + passwordVariable + `.
` + exitHelp,
		RunE: func(cmd *cobra.Command, _ []string) error { return o.serve(cmd.Context(), c) },
	}
	f := cmd.Flags()
	if api {
		apiFlags(cmd, &c)
	}
	f.StringVar(&c.Name, "name", "", "`NAME` of this process among others (default: the host's)")
	f.StringVar(&c.Metrics, "metrics", "", "`ADDRESS` to serve Prometheus metrics at (default: none)")
	f.StringVar(&c.Compute, "compute", "noop", "what runs amphorae: `noop|netns`")
	f.StringVar(&c.Network, "network", "noop", "what gives addresses: `noop|local|neutron`")
	f.StringVar(&c.Networks, "networks", "", "`FILE` that declares local networks")
	f.StringVar(&c.Secrets, "secrets", "noop", "what keeps certificates: `noop|local|barbican`")
	f.DurationVar(&c.Limits.Heartbeat, "heartbeat", 0, "how often amphorae tell that they live (default 3s)")
	f.DurationVar(&c.Limits.Silence, "silence", 0, "for how long an amphora may be silent before it is asked, and replaced if it does not answer (default: four heartbeats)")
	f.DurationVar(&c.Limits.Patience, "patience", 0, "how long a load balancer may be PENDING before it is ERROR (default 3m)")
	f.DurationVar(&c.Limits.Expire, "expire", 0, "how long deleted load balancers are kept (default 168h)")
	cloudFlags(cmd, &c)
	return cmd
}

func apiFlags(cmd *cobra.Command, c *serve.Config) {
	f := cmd.Flags()
	f.StringVar(&c.Listen, "listen", "127.0.0.1:9876", "`ADDRESS` of the API")
	f.StringVar(&c.TLS.Certificate, "tls-cert", "", "`FILE` with the certificate of the API, PEM, which may be replaced (default: plain HTTP)")
	f.StringVar(&c.TLS.Key, "tls-key", "", "`FILE` with its key")
	f.StringVar(&c.Auth, "auth", "noauth", "who may do what: `noauth|keystone`")
	f.StringVar(&c.Roles, "roles", "default", "the rules: `default|advanced|legacy`, as Octavia's three sets of policies")
	f.StringSliceVar(&c.PolicyFiles, "policy", nil, "`FILE`s of oslo.policy with other rules")
	f.DurationVar(&c.Keystone.CacheFor, "token-cache", auth.DefaultCacheFor, "how long a token holds before Keystone is asked again; at most so long does one that was revoked")
	f.StringVar(&c.API.PublicURL, "public-url", "", "`URL` in links (default: that of the request)")
	f.StringVar(&c.API.Topology, "topology", "SINGLE", "of load balancers whose flavor names none: `SINGLE|ACTIVE_STANDBY`")
	f.BoolVar(&c.API.HealthCheck, "healthcheck", false, "serve /healthcheck")
}

func cloudFlags(cmd *cobra.Command, c *serve.Config) {
	f := cmd.Flags()
	f.StringVar(&c.Cloud.AuthURL, "os-auth-url", os.Getenv("OS_AUTH_URL"), "`URL` of Keystone")
	f.StringVar(&c.Cloud.CA, "os-cacert", os.Getenv("OS_CACERT"), "`FILE` with the authority of the cloud's certificates (default: this computer's)")
	f.StringVar(&c.Cloud.Region, "os-region", os.Getenv("OS_REGION_NAME"), "region `NAME`")
	f.StringVar(&c.Cloud.Username, "os-username", "octavia", "account of the service")
	f.StringVar(&c.Cloud.UserDomain, "os-user-domain", "Default", "its domain")
	f.StringVar(&c.Cloud.Project, "os-project", "service", "its project")
	f.StringVar(&c.Cloud.ProjectDomain, "os-project-domain", "Default", "the domain of that")
}

func (o *lbOptions) serve(ctx context.Context, c serve.Config) error {
	ctx, stop, done := interruptible(ctx, o.a.err)
	defer done()
	run, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		select {
		case <-stop:
		case <-run.Done():
		}
		cancel()
	}()
	level := slog.LevelInfo
	if o.a.verbose {
		level = slog.LevelDebug
	}
	c.Log = slog.New(slog.NewTextHandler(o.a.err, &slog.HandlerOptions{Level: level}))
	c.Data, c.Etcd, c.EtcdTLS, c.Identity = o.dir(), o.etcd, o.tls, o.identity()
	c.Cloud.Password = os.Getenv(passwordVariable)
	if c.WithController && c.Compute == "netns" {
		path, err := amphoraAgent(filepath.Join(c.Data, "bin"))
		if err != nil {
			return err
		}
		c.Agent = path
	}
	c.Ready = func(url string) {
		if url != "" {
			fmt.Fprintf(o.a.err, "updraft: the load-balancing API is at %s\n", url)
		}
	}
	return serve.Run(run, c)
}

// amphoraAgent writes the agent that updraft carries. Its name says its content:
// agents that run keep the program that they were started with.
func amphoraAgent(dir string) (string, error) {
	data, err := embedded.Unpacked(embedded.Amphora, runtime.GOARCH)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(data)
	path := filepath.Join(dir, string(embedded.Amphora)+"-"+hex.EncodeToString(sum[:6]))
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	return path, renameio.WriteFile(path, data, 0o755)
}
