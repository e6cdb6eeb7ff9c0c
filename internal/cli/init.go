package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/spf13/cobra"

	"github.com/updraft-cloud/updraft/internal/spec"
)

func (a *app) initCommand() *cobra.Command {
	var name string
	cmd := &cobra.Command{
		Use:   "init",
		Short: "Write a commented cloud file to start from",
		Long: `init writes a cloud file with comments to the path given by --file. It never
replaces a file.
` + exitHelp,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			text := spec.Starter(name)
			cloud, diags := spec.Parse(a.file, text, spec.Options{})
			if diags.HasErrors() || cloud.Name != name {
				return fmt.Errorf("%q is not the name of a cloud: write lower-case letters, digits and -, a letter first", name)
			}
			f, err := os.OpenFile(a.file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
			if errors.Is(err, fs.ErrExist) {
				return fmt.Errorf("%s is there already; name another with --file", a.file)
			}
			if err != nil {
				return err
			}
			_, err = f.Write(text)
			if err := errors.Join(err, f.Close()); err != nil {
				return err
			}
			fmt.Fprintf(a.err, "wrote %s; next: updraft plan -f %s\n", a.file, a.file)
			return nil
		},
	}
	cmd.Flags().StringVar(&name, "name", "my-cloud", "name of the cloud")
	return cmd
}
