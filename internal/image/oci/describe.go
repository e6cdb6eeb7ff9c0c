package oci

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash"
	"io"
	"os"
	"runtime"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// Labels of our images.
const (
	LabelRecipe = "cloud.updraft.recipe" // Recipe.Digest
	LabelSuite  = "cloud.updraft.suite"
	labelTitle  = "org.opencontainers.image.title"
)

// described is an image of one layer as its manifest and configuration say.
type described struct {
	created  time.Time
	diffID   v1.Hash // of the layer's tar
	size     int64   // of the layer's tar
	config   v1.Hash // which is the image's ID
	manifest v1.Hash
	arch     string
	labels   map[string]string

	rawConfig, rawManifest []byte
}

// describe reads the finished root.
func describe(r Recipe, root string) (described, error) {
	var d described
	st, err := os.Stat(root)
	if err != nil {
		return d, err
	}
	d.created = st.ModTime().UTC().Truncate(time.Second)
	d.arch = runtime.GOARCH
	sum := &counter{h: sha256.New()}
	if err := writeTar(sum, root); err != nil {
		return d, err
	}
	d.diffID, d.size = sum.digest(), sum.n
	if d.rawConfig, err = json.Marshal(configFile(r, d)); err != nil {
		return d, err
	}
	return d, d.seal(v1.Descriptor{MediaType: types.OCIUncompressedLayer, Digest: d.diffID, Size: d.size})
}

// seal makes the manifest for the layer as it is kept in one place or another.
func (d *described) seal(layer v1.Descriptor) error {
	config, size, err := v1.SHA256(bytes.NewReader(d.rawConfig))
	if err != nil {
		return err
	}
	d.config = config
	m := v1.Manifest{
		SchemaVersion: 2, MediaType: types.OCIManifestSchema1,
		Config: v1.Descriptor{MediaType: types.OCIConfigJSON, Digest: config, Size: size},
		Layers: []v1.Descriptor{layer},
	}
	if d.rawManifest, err = json.Marshal(m); err != nil {
		return err
	}
	d.manifest, _, err = v1.SHA256(bytes.NewReader(d.rawManifest))
	return err
}

// configFile is the image's configuration: what a container has unless its unit
// says otherwise.
func configFile(r Recipe, d described) v1.ConfigFile {
	return v1.ConfigFile{
		Architecture: runtime.GOARCH, OS: "linux", Created: v1.Time{Time: d.created},
		Config: v1.Config{
			Env: []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8"},
			Cmd: []string{"/bin/sh"}, WorkingDir: "/",
			Labels: map[string]string{
				labelTitle: r.Name, LabelRecipe: r.Digest(), LabelSuite: r.Suite,
				"org.opencontainers.image.description": fmt.Sprintf("%d packages of %s and what they depend on", len(r.Packages), r.Suite),
			},
		},
		RootFS:  v1.RootFS{Type: "layers", DiffIDs: []v1.Hash{d.diffID}},
		History: []v1.History{{Created: v1.Time{Time: d.created}, CreatedBy: "updraft image build " + r.Name}},
	}
}

// counter sums up what passes.
type counter struct {
	w io.Writer // may be nil
	h hash.Hash
	n int64
}

func (c *counter) Write(p []byte) (int, error) {
	c.h.Write(p)
	c.n += int64(len(p))
	if c.w == nil {
		return len(p), nil
	}
	return c.w.Write(p)
}

func (c *counter) digest() v1.Hash {
	return v1.Hash{Algorithm: "sha256", Hex: hex.EncodeToString(c.h.Sum(nil))}
}

// stored returns what is known of an image of the store.
func (b Builder) stored(i imageRecord) (described, error) {
	raw, err := b.store().config(i)
	if err != nil {
		return described{}, err
	}
	return decodeConfig(raw)
}

// decodeConfig understands the configuration of an image of ours.
func decodeConfig(raw []byte) (described, error) {
	var c v1.ConfigFile
	if err := json.Unmarshal(raw, &c); err != nil {
		return described{}, err
	}
	if len(c.RootFS.DiffIDs) != 1 {
		return described{}, fmt.Errorf("its configuration has %d layers, and ours have one", len(c.RootFS.DiffIDs))
	}
	return described{created: c.Created.Time, diffID: c.RootFS.DiffIDs[0], arch: c.Architecture, rawConfig: raw, labels: c.Config.Labels}, nil
}

func readCloser(data []byte) io.ReadCloser { return io.NopCloser(bytes.NewReader(data)) }
