package cli

import (
	"errors"
	"fmt"
	"os"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/updraft-cloud/updraft/internal/lb/driver/secrets"
	"github.com/updraft-cloud/updraft/internal/lb/serve"
)

func (o *lbOptions) secretCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "secret", Short: "Certificates and other secrets of load balancers",
		Long: `secret keeps certificates with their keys, authorities and revocation lists for a
service with --secrets local. Each is encrypted by age to the service's identity.
Its ref, local:NAME, is what a listener names as its container:

  updraft lb secret put web --cert web.pem --key web.key
  openstack loadbalancer listener create --protocol TERMINATED_HTTPS \
    --default-tls-container-ref local:web …

A secret that is put again under its name reaches the load balancers that use it.
` + exitHelp,
	}
	cmd.AddCommand(o.secretPutCommand(), o.secretListCommand(), o.secretRemoveCommand())
	return cmd
}

func (o *lbOptions) secrets() *secrets.Store {
	return secrets.Open(serve.SecretsDir(o.dir()), o.identity())
}

func (o *lbOptions) secretPutCommand() *cobra.Command {
	var cert, key, chain, pkcs12, file, passphrase string
	cmd := &cobra.Command{
		Use: "put NAME", Short: "Keep a secret, and print its ref", Args: cobra.ExactArgs(1),
		Long: `put keeps a certificate with its key (--cert, --key and --chain, PEM), the same as
a PKCS #12 bundle (--pkcs12), or anything else, such as authorities or a revocation
list (--file). One of the same name is replaced.
` + exitHelp,
		RunE: func(_ *cobra.Command, args []string) error {
			ref, err := o.put(args[0], []string{cert, key, chain}, pkcs12, passphrase, file)
			if err != nil {
				return err
			}
			if o.a.json {
				return o.a.printJSON(map[string]string{"ref": ref})
			}
			fmt.Fprintln(o.a.out, ref)
			return nil
		},
	}
	f := cmd.Flags()
	f.StringVar(&cert, "cert", "", "`FILE` with the certificate, PEM; its key and chain may be in it, too")
	f.StringVar(&key, "key", "", "`FILE` with its key, PEM, not encrypted")
	f.StringVar(&chain, "chain", "", "`FILE` with the certificates above it, PEM")
	f.StringVar(&pkcs12, "pkcs12", "", "`FILE` with all of that, PKCS #12")
	f.StringVar(&passphrase, "passphrase-file", "", "`FILE` with the pass phrase of the PKCS #12 bundle")
	f.StringVar(&file, "file", "", "`FILE` to keep as it is")
	cmd.MarkFlagsMutuallyExclusive("cert", "pkcs12", "file")
	cmd.MarkFlagsOneRequired("cert", "pkcs12", "file")
	return cmd
}

func (o *lbOptions) put(name string, pems []string, pkcs12, passphrase, file string) (string, error) {
	if file != "" {
		data, err := os.ReadFile(file)
		if err != nil {
			return "", err
		}
		return o.secrets().Put(name, data)
	}
	phrase, err := firstLine(passphrase)
	if err != nil {
		return "", err
	}
	var data []byte
	for _, f := range append(pems, pkcs12) {
		if f == "" {
			continue
		}
		part, err := os.ReadFile(f)
		if err != nil {
			return "", err
		}
		data = append(data, part...)
		if pkcs12 == "" {
			data = append(data, '\n')
		}
	}
	c, err := secrets.Parse(data, phrase)
	if err != nil {
		return "", fmt.Errorf("cannot use the certificate %s: %w", name, err)
	}
	return o.secrets().PutCertificate(name, c)
}

// firstLine reads a pass phrase; without a file it is empty.
func firstLine(path string) (string, error) {
	if path == "" {
		return "", nil
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	for i, b := range data {
		if b == '\n' || b == '\r' {
			return string(data[:i]), nil
		}
	}
	return string(data), nil
}

func (o *lbOptions) secretListCommand() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List the secrets, without what is secret", Args: cobra.NoArgs, Long: "list shows names, kinds and ends.\n" + exitHelp,
		RunE: func(*cobra.Command, []string) error {
			list, err := o.secrets().List()
			if err != nil {
				return err
			}
			if o.a.json {
				return o.a.printJSON(append([]secrets.Entry{}, list...))
			}
			w := tabwriter.NewWriter(o.a.out, 0, 8, 2, ' ', 0)
			fmt.Fprintln(w, "REF\tKIND\tEXPIRES\tNAMES")
			for _, e := range list {
				expires := "-"
				if !e.Expires.IsZero() {
					expires = e.Expires.UTC().Format("2006-01-02")
				}
				fmt.Fprintf(w, "%s\t%s\t%s\t%v\n", e.Ref, e.Kind, expires, e.Names)
			}
			return w.Flush()
		},
	}
}

func (o *lbOptions) secretRemoveCommand() *cobra.Command {
	return &cobra.Command{
		Use: "remove NAME ...", Short: "Forget secrets", Args: cobra.MinimumNArgs(1),
		Long: "remove forgets secrets. Load balancers that use one keep what they have until they\nare changed.\n" + exitHelp,
		RunE: func(_ *cobra.Command, names []string) error {
			var errs []error
			for _, n := range names {
				errs = append(errs, o.secrets().Remove(n))
			}
			return errors.Join(errs...)
		},
	}
}
