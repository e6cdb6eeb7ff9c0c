package oci

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/google/renameio/v2"
)

// store is a graph root of containers/storage with driver overlay, as podman
// reads it through additionalimagestores (containers-storage.conf(5)). It is
// written here and read by podman; nothing else writes to it.
//
// An image is in it from the moment that overlay-images/images.json names it,
// and everything that it needs was put in place before.
//
// Written by podman 4.3, read by 4.3 and 5.4, this is what must be there:
//
//	overlay/LAYER/diff, link         the files; a short name
//	overlay/l/SHORT → ../LAYER/diff  the short name, for mount(2)
//	overlay-layers/layers.json       the layers
//	overlay-images/images.json       the images, their names and layers
//	overlay-images/IMAGE/…           manifest and configuration
//	*.lock                           opened for reading, so they must exist
type store struct{ dir string }

// layerRecord and imageRecord are those of containers/storage, layers.go and
// images.go.
type layerRecord struct {
	ID               string    `json:"id"`
	Created          time.Time `json:"created"`
	CompressedDigest string    `json:"compressed-diff-digest"`
	CompressedSize   int64     `json:"compressed-size"`
	DiffDigest       string    `json:"diff-digest"`
	DiffSize         int64     `json:"diff-size"`
}

type imageRecord struct {
	ID             string            `json:"id"`
	Digest         string            `json:"digest"`
	Names          []string          `json:"names"`
	Layer          string            `json:"layer"`
	Metadata       string            `json:"metadata"`
	BigDataNames   []string          `json:"big-data-names"`
	BigDataSizes   map[string]int64  `json:"big-data-sizes"`
	BigDataDigests map[string]string `json:"big-data-digests"`
	Created        time.Time         `json:"created"`
}

func (s store) path(elem ...string) string { return filepath.Join(append([]string{s.dir}, elem...)...) }

// init makes what even an empty store has.
func (s store) init() error {
	for _, dir := range []string{"overlay/l", "overlay-layers", "overlay-images", "overlay-containers"} {
		if err := os.MkdirAll(s.path(dir), 0o700); err != nil {
			return err
		}
	}
	for _, name := range []string{"storage.lock", "userns.lock", "overlay-layers/layers.lock", "overlay-images/images.lock", "overlay-containers/containers.lock"} {
		f, err := os.OpenFile(s.path(name), os.O_CREATE|os.O_RDONLY, 0o644)
		if err != nil {
			return err
		}
		f.Close()
	}
	return nil
}

// readList decodes one of the lists; an absent one is empty.
func readList[T any](path string) ([]T, error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var out []T
	if err := json.Unmarshal(data, &out); err != nil {
		return nil, fmt.Errorf("cannot read %s: %w", path, err)
	}
	return out, nil
}

// writeList replaces one of the lists, and then what its lock file says of the last
// change (containers/storage, pkg/lockfile: 64 bytes that no other change has).
func writeList[T any](path string, list []T) error {
	data, err := json.Marshal(list)
	if err != nil {
		return err
	}
	if err := renameio.WriteFile(path, data, 0o600); err != nil {
		return err
	}
	mark := make([]byte, 64)
	if _, err := rand.Read(mark); err != nil {
		return err
	}
	return os.WriteFile(strings.TrimSuffix(path, ".json")+".lock", mark, 0o644)
}

func (s store) layersFile() string { return s.path("overlay-layers", "layers.json") }
func (s store) imagesFile() string { return s.path("overlay-images", "images.json") }

// images returns what the store holds.
func (s store) images() ([]imageRecord, error) { return readList[imageRecord](s.imagesFile()) }

// find returns the image of that name whose layer is in place.
func (s store) find(ref string) (imageRecord, bool, error) {
	all, err := s.images()
	if err != nil {
		return imageRecord{}, false, err
	}
	for _, i := range all {
		if !slices.Contains(i.Names, ref) {
			continue
		}
		if _, err := os.Stat(s.root(i)); err == nil {
			return i, true, nil
		}
	}
	return imageRecord{}, false, nil
}

// root returns the directory with the image's files.
func (s store) root(i imageRecord) string { return s.path("overlay", i.Layer, "diff") }

// config returns the image's configuration.
func (s store) config(i imageRecord) ([]byte, error) {
	return os.ReadFile(s.path("overlay-images", i.ID, dataFile("sha256:"+i.ID)))
}

// dataFile returns the name of the file of an image's data of that name
// (containers/storage, makeBigDataBaseName).
func dataFile(name string) string {
	if name == "manifest" {
		return name
	}
	return "=" + base64.StdEncoding.EncodeToString([]byte(name))
}

// add takes the directory root into the store as an image. It is called with
// the store locked; root is on the same file system and is gone afterwards.
func (s store) add(ref, root string, m described) error {
	if err := s.init(); err != nil {
		return err
	}
	layer := m.diffID.Hex
	if err := s.placeLayer(layer, root); err != nil {
		return err
	}
	layers, err := readList[layerRecord](s.layersFile())
	if err != nil {
		return err
	}
	layers = slices.DeleteFunc(layers, func(l layerRecord) bool { return l.ID == layer })
	layers = append(layers, layerRecord{
		ID: layer, Created: m.created, CompressedDigest: m.diffID.String(), CompressedSize: m.size,
		DiffDigest: m.diffID.String(), DiffSize: m.size,
	})
	if err := writeList(s.layersFile(), layers); err != nil {
		return err
	}
	return s.addImage(ref, layer, m)
}

// placeLayer moves the files to where the layer's are.
func (s store) placeLayer(layer, root string) error {
	dir := s.path("overlay", layer)
	if _, err := os.Stat(filepath.Join(dir, "diff")); err == nil {
		return os.RemoveAll(root) // the same files, of another recipe
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	short := shortName()
	if err := os.WriteFile(filepath.Join(dir, "link"), []byte(short), 0o644); err != nil {
		return err
	}
	if err := os.Symlink("../"+layer+"/diff", s.path("overlay", "l", short)); err != nil {
		return err
	}
	for _, name := range []string{"work", "merged", "empty"} {
		if err := os.MkdirAll(filepath.Join(dir, name), 0o700); err != nil {
			return err
		}
	}
	return os.Rename(root, filepath.Join(dir, "diff"))
}

// shortName is of the form that the driver makes: 26 letters and digits.
func shortName() string { return rand.Text()[:26] }

func (s store) addImage(ref, layer string, m described) error {
	id, digest := m.config.Hex, m.manifest
	dir := s.path("overlay-images", id)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	r := imageRecord{
		ID: id, Digest: digest.String(), Names: []string{ref}, Layer: layer, Metadata: "{}", Created: m.created,
		BigDataSizes: map[string]int64{}, BigDataDigests: map[string]string{},
	}
	for _, d := range []struct {
		name   string
		data   []byte
		digest string
	}{
		{m.config.String(), m.rawConfig, m.config.String()},
		{"manifest-" + digest.String(), m.rawManifest, digest.String()},
		{"manifest", m.rawManifest, digest.String()},
	} {
		if err := renameio.WriteFile(filepath.Join(dir, dataFile(d.name)), d.data, 0o600); err != nil {
			return err
		}
		r.BigDataNames = append(r.BigDataNames, d.name)
		r.BigDataSizes[d.name], r.BigDataDigests[d.name] = int64(len(d.data)), d.digest
	}
	all, err := s.images()
	if err != nil {
		return err
	}
	all = slices.DeleteFunc(all, func(i imageRecord) bool {
		if i.ID == id {
			r.Names = append(r.Names, i.Names...)
		}
		return i.ID == id
	})
	slices.Sort(r.Names)
	r.Names = slices.Compact(r.Names)
	return writeList(s.imagesFile(), append(all, r))
}
