package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/updraft-cloud/updraft/internal/engine/statedir"
	"github.com/updraft-cloud/updraft/internal/secret"
	"github.com/updraft-cloud/updraft/internal/spec"
)

func (a *app) secretsCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "secrets",
		Short: "List, show and rotate the cloud's passwords, keys and certificates",
		Long: `secrets works with what updraft has made for the cloud and keeps encrypted in
its state (secrets.age). It is an age file: with the identity, age reads it too.

  age -d -i STATE/identity.age STATE/clouds/NAME/secrets.age

Keep a copy of the identity in another place than the state: without it nothing
can be read again.
` + exitHelp,
	}
	cmd.PersistentFlags().StringVar(&a.cloud, "cloud", "", "the cloud's name; otherwise it is read from the cloud file")
	cmd.AddCommand(a.secretsListCommand(), a.secretsShowCommand(), a.secretsRotateCommand(), a.secretsExportCACommand())
	return cmd
}

// secretOptions say where a cloud's secrets are.
func (a *app) secretOptions(cloud string) secret.Options {
	id := secret.Identity{Path: filepath.Join(a.stateDir, secret.IdentityName)}
	if a.identity != "" {
		id = secret.Identity{Path: a.identity, Given: true}
	}
	return secret.Options{Cloud: cloud, Dir: a.cloudDir(cloud), Identity: id}
}

// keptSecrets opens the secrets of the cloud that the command line means.
func (a *app) keptSecrets() (*secret.Store, error) {
	name := a.cloud
	if strings.ContainsAny(name, "/\x00") || strings.HasPrefix(name, ".") {
		return nil, fmt.Errorf("%q is not the name of a cloud", name)
	}
	if name == "" {
		cloud, diags := spec.Load(a.file, spec.Options{Set: a.set})
		if cloud == nil || diags.HasErrors() {
			return nil, diags
		}
		name = cloud.Name
	}
	a.cloud = name
	store, err := secret.Open(a.secretOptions(name))
	if err == nil && len(store.List()) == 0 {
		err = fmt.Errorf("%s has no secrets yet; updraft up makes them", name)
	}
	return store, err
}

func (a *app) secretsListCommand() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List the secrets, without their values", Args: cobra.NoArgs,
		Long: "list shows every secret's name, kind, generation (one more with each rotation),\nwhen that was made, and when a certificate ends. It shows no values.\n" + exitHelp,
		RunE: func(*cobra.Command, []string) error {
			store, err := a.keptSecrets()
			if err != nil {
				return err
			}
			if a.json {
				return a.printJSON(store.List())
			}
			w := tabwriter.NewWriter(a.out, 0, 8, 2, ' ', 0)
			fmt.Fprintln(w, "NAME\tKIND\tGENERATION\tCREATED\tEXPIRES")
			for _, i := range store.List() {
				fmt.Fprintf(w, "%s\t%s\t%d\t%s\t%s\n", i.Name, i.Kind, i.Generation, date(i.Created), date(i.Expires))
			}
			return w.Flush()
		},
	}
}

func date(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.DateOnly)
}

func (a *app) secretsShowCommand() *cobra.Command {
	var public bool
	cmd := &cobra.Command{
		Use: "show NAME", Short: "Print a secret", Args: cobra.ExactArgs(1),
		Long: `show prints the value of a secret on stdout: a password, a private key, bytes in
base64, or the keys of a key repository, one a line, from index 0. With --public
it prints the public half instead: a certificate or a public SSH key.
` + exitHelp,
		RunE: func(_ *cobra.Command, args []string) error {
			store, err := a.keptSecrets()
			if err != nil {
				return err
			}
			v, err := store.Reveal(args[0])
			if err != nil {
				return err
			}
			return a.showSecret(v, public)
		},
	}
	cmd.Flags().BoolVar(&public, "public", false, "print the public half of a key")
	return cmd
}

func (a *app) showSecret(v secret.Value, public bool) error {
	lines := v.Secret
	if public {
		if v.Public == "" {
			return fmt.Errorf("the secret %s is of kind %s, which has no public half", v.Name, v.Kind)
		}
		lines, v.Secret = []string{v.Public}, nil
	} else if a.stdoutIsTerminal() {
		fmt.Fprintf(a.err, "updraft: what follows is secret, and stays in what the terminal has shown; to pass it on: updraft secrets show %s | COMMAND\n", v.Name)
	}
	if a.json {
		return a.printJSON(v)
	}
	for _, l := range lines {
		if _, err := fmt.Fprintln(a.out, strings.TrimSuffix(l, "\n")); err != nil {
			return err
		}
	}
	return nil
}

// stdoutIsTerminal reports whether a person is looking at the results.
func (a *app) stdoutIsTerminal() bool {
	f, ok := a.out.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

func (a *app) secretsRotateCommand() *cobra.Command {
	return &cobra.Command{
		Use: "rotate NAME ...", Short: "Put new values in place of secrets", Args: cobra.MinimumNArgs(1),
		Long: `rotate makes new values and keeps them; the next up brings them to the hosts and
restarts what uses them. All that are named are rotated, or none.

A key repository (fernet) moves on by one key, so that what the old primary key
encrypted can still be read.

CERTIFICATES
  certs  stands for all certificates. They are issued anew, and the next up
         distributes them; nothing is restarted.
  ca     is the authority. It is replaced in three phases, each of which is an up
         of its own: the new authority is believed beside the old one; all
         certificates are issued by the new one; the old one is not believed any
         longer. An up that is interrupted, or fails on a host, leaves the phase as
         it is, and the next one finishes it. Between the first and the second is
         the time to hand the new ca.pem to whoever uses the cloud from outside.
` + exitHelp,
		RunE: func(cmd *cobra.Command, names []string) error {
			if _, err := a.keptSecrets(); err != nil {
				return err // before a lock is made for a cloud that is not there
			}
			unlock, err := statedir.Open(a.cloudDir(a.cloud)).Lock(cmd.Context(), holder("updraft secrets rotate"))
			if err != nil {
				return err
			}
			return errors.Join(a.rotate(cmd.Context(), names), unlock())
		},
	}
}

// rotate rotates under the cloud's lock.
func (a *app) rotate(ctx context.Context, names []string) error {
	store, err := a.keptSecrets()
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := store.Rotate(name); err != nil {
			return err
		}
	}
	if err := store.Save(ctx); err != nil {
		return err
	}
	var rotated []secret.Info
	for _, i := range store.List() {
		if slices.Contains(names, i.Name) || i.Kind == secret.KindCertificate && slices.Contains(names, secret.AllCertificates) {
			rotated = append(rotated, i)
		}
	}
	if a.json {
		return a.printJSON(rotated)
	}
	for _, i := range rotated {
		fmt.Fprintf(a.out, "%s is of generation %d now\n", i.Name, i.Generation)
	}
	fmt.Fprintln(a.err, "The next updraft up brings this to the hosts.")
	if slices.Contains(names, secret.CAName) {
		fmt.Fprintln(a.err, "For the authority that is "+phaseText(store.Phase())+".")
	}
	return nil
}

func (a *app) secretsExportCACommand() *cobra.Command {
	return &cobra.Command{
		Use: "export-ca", Short: "Print the certificates of the cloud's authority", Args: cobra.NoArgs,
		Long: "export-ca prints what clients shall trust, as PEM: the cloud's authority, and\nearlier ones until they end.\n" + exitHelp,
		RunE: func(*cobra.Command, []string) error {
			store, err := a.keptSecrets()
			if err != nil {
				return err
			}
			ca, err := store.Reveal(secret.CAName)
			if err != nil {
				return err
			}
			return a.showSecret(ca, true)
		},
	}
}
