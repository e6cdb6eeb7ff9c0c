package cli

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/google/renameio/v2"
	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"github.com/updraft-cloud/updraft/internal/image/bundle"
	"github.com/updraft-cloud/updraft/internal/image/oci"
	"github.com/updraft-cloud/updraft/internal/image/testvm"
	"github.com/updraft-cloud/updraft/internal/openstack/release"
)

// imageOptions are the flags of the commands below image.
type imageOptions struct {
	release string
	proxy   string
	layouts bool
	all     bool
	output  string
	keys    []string
}

func (a *app) imageCommand() *cobra.Command {
	o := &imageOptions{}
	cmd := &cobra.Command{
		Use: "image", Short: "Work with container images on this computer",
		Long: `image builds the images that OpenStack's services run in, from the packages of
the distribution, and keeps them on this computer. up does it by itself.
` + exitHelp,
	}
	cmd.PersistentFlags().StringVar(&o.release, "release", release.Default, "release of OpenStack: "+strings.Join(release.Names(), ", "))
	cmd.AddCommand(
		a.imageBuildCommand(o), a.imageListCommand(), a.imageExportCommand(o), a.imageImportCommand(o), a.imagePruneCommand(o),
		a.imagePushCommand(o), a.imageServeCommand(),
	)
	return cmd
}

// images returns where this computer keeps container images.
func (a *app) images() oci.Builder { return oci.Builder{Dir: filepath.Join(a.cacheDir(), "images")} }

// imageLog writes progress for people.
func (a *app) imageLog(format string, v ...any) { fmt.Fprintf(a.err, format+"\n", v...) }

// recipes returns those of the named images of the release, or of all.
func (o *imageOptions) recipes(names []string) ([]oci.Recipe, error) {
	r, err := release.Load(o.release)
	if err != nil || len(names) == 0 {
		return allRecipes(r), err
	}
	var out []oci.Recipe
	for _, name := range names {
		recipe, err := r.Recipe(name)
		if err != nil {
			return nil, err
		}
		out = append(out, recipe)
	}
	return out, nil
}

func allRecipes(r *release.Release) []oci.Recipe {
	if r == nil {
		return nil
	}
	return r.Images
}

func (a *app) imageBuildCommand(o *imageOptions) *cobra.Command {
	cmd := &cobra.Command{
		Use: "build [NAME ...]", Short: "Build images, unless they are there",
		Long: `build makes the named images of the release, or those of every cloud. Packages come from
where apt on this computer gets its own. An image that is there is not built again.
` + exitHelp,
		RunE: func(cmd *cobra.Command, names []string) error {
			recipes, err := o.recipes(names)
			if err != nil {
				return err
			}
			b := a.images()
			b.Layouts, b.Source.Proxy = o.layouts, o.proxy
			ctx, stop := signal.NotifyContext(cmd.Context(), unix.SIGINT, unix.SIGTERM)
			defer stop()
			g, ctx := errgroup.WithContext(ctx)
			for _, r := range recipes {
				g.Go(func() error { return b.Ensure(ctx, r, a.imageLog) })
			}
			if err := g.Wait(); err != nil {
				return err
			}
			return a.showImages(b, recipes)
		},
	}
	cmd.Flags().BoolVar(&o.layouts, "layout", false, "also write the images in OCI layout, for registries and other tools")
	cmd.Flags().StringVar(&o.proxy, "proxy", "", "HTTP proxy for packages, such as a package cache: `URL`")
	return cmd
}

func (a *app) imageListCommand() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List the images on this computer", Args: cobra.NoArgs,
		Long: "list shows the images that are kept, of all releases.\n" + exitHelp,
		RunE: func(*cobra.Command, []string) error { return a.showImages(a.images(), nil) },
	}
}

// showImages prints the images of the recipes, or all.
func (a *app) showImages(b oci.Builder, only []oci.Recipe) error {
	images, err := b.List()
	if err != nil {
		return err
	}
	if len(only) > 0 {
		images = slices.DeleteFunc(images, func(i oci.Image) bool {
			return !slices.ContainsFunc(only, func(r oci.Recipe) bool { return r.Ref("") == i.Ref })
		})
	}
	if a.json {
		return a.printJSON(append([]oci.Image{}, images...))
	}
	w := tabwriter.NewWriter(a.out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "IMAGE\tSUITE\tSIZE\tPACKAGES OF\tPACKAGE LIST")
	for _, i := range images {
		fmt.Fprintf(w, "%s\t%s\t%d MiB\t%s\t%s\n", strings.TrimPrefix(i.Ref, oci.LocalPrefix), i.Suite, i.Size>>20, i.Created.Format("2006-01-02"), i.SBOM)
	}
	return w.Flush()
}

func (a *app) imageExportCommand(o *imageOptions) *cobra.Command {
	cmd := &cobra.Command{
		Use: "export [NAME ...]", Short: "Write images into one signed file",
		Long: `export writes the named images of the release, or all of them, into one file that
can be carried to where no network leads. It is signed by a key of this state
directory, whose public half the other side needs: bundle.key.pub.
` + exitHelp,
		RunE: func(cmd *cobra.Command, names []string) error {
			recipes, err := o.recipes(names)
			if err != nil {
				return err
			}
			key, err := bundle.Key(a.stateDir)
			if err != nil {
				return err
			}
			return a.exportImages(cmd.Context(), o.output, recipes, key)
		},
	}
	cmd.Flags().StringVarP(&o.output, "output", "o", "updraft-images.tar", "`FILE` to write")
	return cmd
}

// exportImages writes the file whole or not at all.
func (a *app) exportImages(ctx context.Context, path string, recipes []oci.Recipe, key ed25519.PrivateKey) error {
	var refs []string
	for _, r := range recipes {
		refs = append(refs, r.Ref(""))
	}
	f, err := renameio.NewPendingFile(path, renameio.WithPermissions(0o644))
	if err != nil {
		return fmt.Errorf("cannot write %s: %w", path, err)
	}
	defer f.Cleanup() //nolint:errcheck // nothing is left to clean after the replacement
	if err := a.images().Export(ctx, f, refs, key, a.imageLog); err != nil {
		return err
	}
	if err := f.CloseAtomicallyReplace(); err != nil {
		return fmt.Errorf("cannot write %s: %w", path, err)
	}
	a.imageLog("wrote %s; the other side needs %s", path, filepath.Join(a.stateDir, bundle.KeyName+".pub"))
	if a.json {
		return a.printJSON(map[string]any{"file": path, "images": refs})
	}
	return nil
}

func (a *app) imageImportCommand(o *imageOptions) *cobra.Command {
	cmd := &cobra.Command{
		Use: "import FILE", Short: "Take the images of a signed file", Args: cobra.ExactArgs(1),
		Long: `import takes in the images of a file that export wrote. One that was changed, or
that was signed by a key that is not trusted here, is refused as a whole. Trusted
are the key of this state directory and those given.
` + exitHelp,
		RunE: func(cmd *cobra.Command, args []string) error {
			keys, err := a.trustedKeys(o.keys)
			if err != nil {
				return err
			}
			f, err := os.Open(args[0])
			if err != nil {
				return fmt.Errorf("cannot import images: %w", err)
			}
			defer f.Close()
			refs, err := a.images().Import(cmd.Context(), f, keys, a.imageLog)
			if err != nil {
				return err
			}
			return a.printRefs(refs)
		},
	}
	cmd.Flags().StringArrayVar(&o.keys, "key", nil, "public key to trust: PEM `FILE` (repeatable)")
	return cmd
}

// trustedKeys are those of the files, and this state directory's own.
func (a *app) trustedKeys(paths []string) ([]ed25519.PublicKey, error) {
	var keys []ed25519.PublicKey
	for _, path := range paths {
		key, err := bundle.PublicKey(path)
		if err != nil {
			return nil, err
		}
		keys = append(keys, key)
	}
	own, err := bundle.PublicKey(filepath.Join(a.stateDir, bundle.KeyName+".pub"))
	switch {
	case err == nil:
		keys = append(keys, own)
	case !errors.Is(err, os.ErrNotExist):
		return nil, err
	}
	return keys, nil
}

func (a *app) imagePruneCommand(o *imageOptions) *cobra.Command {
	cmd := &cobra.Command{
		Use: "prune", Short: "Remove images that no release of this updraft is made of", Args: cobra.NoArgs,
		Long: `prune removes images that an older updraft built, and what is left of builds that
were cut off. Images that a container on this computer runs from always stay.
` + exitHelp,
		RunE: func(cmd *cobra.Command, _ []string) error {
			keep, err := currentImages()
			if err != nil {
				return err
			}
			if err := (testvm.Builder{Dir: a.images().Dir}).Prune(); err != nil {
				return err
			}
			gone, err := a.images().Prune(cmd.Context(), func(ref string) bool { return !o.all && keep[ref] }, a.imageLog)
			if err != nil {
				return err
			}
			return a.printRefs(gone)
		},
	}
	cmd.Flags().BoolVar(&o.all, "all", false, "also those that would be built again")
	return cmd
}

// currentImages are those of all releases that this updraft knows.
func currentImages() (map[string]bool, error) {
	keep := map[string]bool{}
	for _, name := range release.Names() {
		r, err := release.Load(name)
		if err != nil {
			return nil, err
		}
		for _, i := range slices.Concat(r.Images, r.Optional) {
			keep[i.Ref("")] = true
		}
	}
	return keep, nil
}

// printRefs prints references, one a line.
func (a *app) printRefs(refs []string) error {
	if a.json {
		return a.printJSON(append([]string{}, refs...))
	}
	for _, ref := range refs {
		fmt.Fprintln(a.out, ref)
	}
	return nil
}
