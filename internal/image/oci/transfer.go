package oci

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/klauspost/compress/zstd"

	"github.com/google/renameio/v2"
	"github.com/updraft-cloud/updraft/internal/image/bundle"
)

// Export writes images, with the lists of their packages, into one archive that
// key signs. Inside is an OCI layout.
func (b Builder) Export(ctx context.Context, w io.Writer, refs []string, key ed25519.PrivateKey, log Log) error {
	for _, ref := range refs {
		if err := b.EnsureLayout(ctx, ref, log); err != nil {
			return err
		}
	}
	work, done, err := b.Scratch(ctx, "export")
	if err != nil {
		return fmt.Errorf("cannot export images: %w", err)
	}
	defer done()
	// Nothing is removed while it is read.
	err = b.locked(ctx, func() error { return b.export(w, work, refs, key) })
	if err != nil {
		return fmt.Errorf("cannot export images: %w", err)
	}
	return nil
}

// EnsureLayout packs an image of the store into the layout.
func (b Builder) EnsureLayout(ctx context.Context, ref string, log Log) error {
	fail := func(err error) error { return fmt.Errorf("cannot pack image %s: %w", ref, err) }
	i, ok, err := b.store().find(ref)
	if err != nil {
		return fail(err)
	}
	if !ok {
		return fail(errors.New("it is not built yet; build it with `updraft image build`"))
	}
	work, done, err := b.Scratch(ctx, fileName(ref))
	if err != nil {
		return fail(err)
	}
	defer done()
	if err := b.addLayout(ctx, i, ref, work, log); err != nil {
		return fail(err)
	}
	return nil
}

// export makes a layout of just these images, out of links to the blobs.
func (b Builder) export(w io.Writer, work string, refs []string, key ed25519.PrivateKey) error {
	index := v1.IndexManifest{SchemaVersion: 2, MediaType: "application/vnd.oci.image.index.v1+json"}
	names := []string{"oci-layout", "index.json"}
	created := time.Time{}
	for _, ref := range refs {
		i, ok, err := b.findLayout(ref)
		if err != nil || !ok {
			return errors.Join(err, fmt.Errorf("%s is not in the layout", ref))
		}
		d, files, err := b.linkImage(work, i)
		if err != nil {
			return err
		}
		index.Manifests = append(index.Manifests, d)
		names = append(names, files...)
		if s, _, err := b.store().find(ref); err == nil && s.Created.After(created) {
			created = s.Created
		}
	}
	raw, err := json.Marshal(index)
	if err != nil {
		return err
	}
	for name, data := range map[string]string{"oci-layout": `{"imageLayoutVersion":"1.0.0"}`, "index.json": string(raw)} {
		if err := os.WriteFile(filepath.Join(work, name), []byte(data), 0o600); err != nil {
			return err
		}
	}
	return bundle.Write(w, work, unique(names), refs, created, key)
}

// unique keeps the first of each: images may share blobs.
func unique(names []string) []string {
	seen := map[string]bool{}
	var out []string
	for _, n := range names {
		if !seen[n] {
			out = append(out, n)
		}
		seen[n] = true
	}
	return out
}

// linkImage puts an image's blobs and list of packages into the directory.
func (b Builder) linkImage(work string, i packed) (v1.Descriptor, []string, error) {
	var names []string
	link := func(from, name string) error {
		to := filepath.Join(work, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
			return err
		}
		names = append(names, name)
		if err := os.Link(from, to); err != nil && !os.IsExist(err) {
			return err
		}
		return nil
	}
	for _, h := range i.blobs {
		if err := link(b.path("layout", "blobs", h.Algorithm, h.Hex), path.Join("blobs", h.Algorithm, h.Hex)); err != nil {
			return v1.Descriptor{}, nil, err
		}
	}
	sbom := b.sbomFile(i.ref)
	if err := link(sbom, "sbom/"+filepath.Base(sbom)); err != nil {
		return v1.Descriptor{}, nil, err
	}
	st, err := os.Stat(b.path("layout", "blobs", i.blobs[0].Algorithm, i.blobs[0].Hex))
	if err != nil {
		return v1.Descriptor{}, nil, err
	}
	return v1.Descriptor{
		MediaType: i.manifest.MediaType, Digest: i.blobs[0], Size: st.Size(), Annotations: map[string]string{refName: i.ref},
	}, names, nil
}

// Import takes the images of an archive that one of the keys signed into the
// store, and returns their references. Those that are there stay as they are.
func (b Builder) Import(ctx context.Context, r io.Reader, keys []ed25519.PublicKey, log Log) ([]string, error) {
	refs, err := b.importAll(ctx, r, keys, log)
	if err != nil {
		return nil, fmt.Errorf("cannot import images: %w", err)
	}
	return refs, nil
}

func (b Builder) importAll(ctx context.Context, r io.Reader, keys []ed25519.PublicKey, log Log) ([]string, error) {
	if err := os.MkdirAll(b.path("sbom"), 0o755); err != nil {
		return nil, err
	}
	work, done, err := b.Scratch(ctx, "import")
	if err != nil {
		return nil, err
	}
	defer done()
	if _, err := bundle.Read(r, work, keys); err != nil {
		return nil, err
	}
	images, err := layoutImages(layout.Path(work))
	if err != nil {
		return nil, err
	}
	var refs []string
	for _, i := range images {
		if err := b.importImage(ctx, work, i, log); err != nil {
			return nil, fmt.Errorf("%s: %w", i.ref, err)
		}
		refs = append(refs, i.ref)
	}
	return refs, nil
}

func (b Builder) importImage(ctx context.Context, work string, i packed, log Log) error {
	if _, ok, err := b.store().find(i.ref); ok || err != nil {
		return err
	}
	blobs := filepath.Join(work, "blobs", "sha256")
	d, err := checkImport(blobs, i)
	if err != nil {
		return err
	}
	log("%s: unpacking", strings.TrimPrefix(i.ref, LocalPrefix))
	root := filepath.Join(work, "root")
	if err := os.Mkdir(root, 0o755); err != nil {
		return err
	}
	size, err := unpackLayer(filepath.Join(blobs, i.manifest.Layers[0].Digest.Hex), root, d)
	if err != nil {
		return err
	}
	d.size = size
	if err := d.seal(v1.Descriptor{MediaType: "application/vnd.oci.image.layer.v1.tar", Digest: d.diffID, Size: size}); err != nil {
		return err
	}
	sbom, err := os.ReadFile(filepath.Join(work, "sbom", filepath.Base(b.sbomFile(i.ref))))
	if err != nil {
		return err
	}
	return b.locked(ctx, func() error {
		if err := renameio.WriteFile(b.sbomFile(i.ref), sbom, 0o644); err != nil {
			return err
		}
		return b.store().add(i.ref, root, d)
	})
}

// checkImport reads the configuration, and makes sure that the image is what its
// name says.
func checkImport(blobs string, i packed) (described, error) {
	raw, err := os.ReadFile(filepath.Join(blobs, i.manifest.Config.Digest.Hex))
	if err != nil {
		return described{}, err
	}
	if got, _, err := v1.SHA256(bytes.NewReader(raw)); err != nil || got != i.manifest.Config.Digest {
		return described{}, errors.Join(err, errors.New("its configuration is not what its manifest says"))
	}
	d, err := decodeConfig(raw)
	if err != nil {
		return d, err
	}
	name, tag, _ := strings.Cut(strings.TrimPrefix(i.ref, LocalPrefix), ":")
	if !strings.HasPrefix(i.ref, LocalPrefix) || !namePattern.MatchString(name) || !strings.HasPrefix(d.labels[LabelRecipe], tag) || len(tag) != tagLength {
		return d, errors.New("its name is not that of its recipe")
	}
	if len(i.manifest.Layers) != 1 {
		return d, fmt.Errorf("it has %d layers, and ours have one", len(i.manifest.Layers))
	}
	return d, nil
}

// unpackLayer unpacks a layer that is compressed with zstd and returns the length
// of its tar. One that is not what the configuration says is refused.
func unpackLayer(blob, root string, d described) (int64, error) {
	f, err := os.Open(blob)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	z, err := zstd.NewReader(f)
	if err != nil {
		return 0, err
	}
	defer z.Close()
	sum := &counter{h: sha256.New()}
	whole := io.TeeReader(z, sum)
	if err := readTar(whole, root); err != nil {
		return 0, err
	}
	if _, err := io.Copy(io.Discard, whole); err != nil { // the padding after its end
		return 0, err
	}
	if sum.digest() != d.diffID {
		return 0, errors.New("its layer is not what its configuration says")
	}
	return sum.n, os.Chtimes(root, d.created, d.created)
}
