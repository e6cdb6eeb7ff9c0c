package oci

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/match"
)

// Image is one that is kept on this computer.
type Image struct {
	Ref     string    `json:"ref"`
	ID      string    `json:"id"`      // SHA-256 of its configuration
	Recipe  string    `json:"recipe"`  // Recipe.Digest
	Suite   string    `json:"suite"`   // of the distribution
	Created time.Time `json:"created"` // time of the youngest package
	Size    int64     `json:"size"`    // bytes, of the layer's tar
	Layout  bool      `json:"layout"`  // is there in OCI layout, too
	SBOM    string    `json:"sbom"`    // path of the list of its packages, SPDX
}

// List returns the images that are kept, by reference.
func (b Builder) List() ([]Image, error) {
	records, err := b.store().images()
	if err != nil {
		return nil, fmt.Errorf("cannot list images: %w", err)
	}
	layers, err := readList[layerRecord](b.store().layersFile())
	if err != nil {
		return nil, fmt.Errorf("cannot list images: %w", err)
	}
	sizes := map[string]int64{}
	for _, l := range layers {
		sizes[l.ID] = l.DiffSize
	}
	var out []Image
	for _, r := range records {
		d, err := b.stored(r)
		if err != nil {
			return nil, fmt.Errorf("cannot list images: %w", err)
		}
		for _, name := range r.Names {
			has, err := b.hasLayout(name)
			if err != nil {
				return nil, fmt.Errorf("cannot list images: %w", err)
			}
			out = append(out, Image{
				Ref: name, ID: r.ID, Recipe: d.labels[LabelRecipe], Suite: d.labels[LabelSuite], Created: r.Created,
				Size: sizes[r.Layer], Layout: has, SBOM: b.sbomFile(name),
			})
		}
	}
	slices.SortFunc(out, func(x, y Image) int { return cmp.Compare(x.Ref, y.Ref) })
	return out, nil
}

// Prune removes images that are not to be kept and that no container on this
// computer runs from, and returns their references.
func (b Builder) Prune(ctx context.Context, keep func(ref string) bool, log Log) ([]string, error) {
	if _, err := os.Stat(b.path()); os.IsNotExist(err) {
		return nil, nil
	}
	b.sweep()
	var gone []string
	err := b.locked(ctx, func() (err error) {
		gone, err = b.prune(keep, log)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("cannot prune images: %w", err)
	}
	return gone, nil
}

func (b Builder) prune(keep func(string) bool, log Log) ([]string, error) {
	all, err := b.store().images()
	if err != nil {
		return nil, err
	}
	var gone []string
	var left []imageRecord
	used := map[string]bool{}
	for _, i := range all {
		names := slices.Clone(i.Names)
		if !b.store().mounted(i.Layer) {
			names = slices.DeleteFunc(names, func(n string) bool { return !keep(n) })
		}
		for _, n := range i.Names {
			if !slices.Contains(names, n) {
				log("removing image %s", strings.TrimPrefix(n, LocalPrefix))
				gone = append(gone, n)
			}
		}
		if i.Names = names; len(names) > 0 {
			left, used[i.Layer] = append(left, i), true
		}
	}
	if err := writeList(b.store().imagesFile(), left); err != nil {
		return nil, err
	}
	if err := b.store().collect(left, used); err != nil {
		return nil, err
	}
	return gone, b.pruneLayout(gone)
}

// collect removes layers and images that no list names any more.
func (s store) collect(images []imageRecord, used map[string]bool) error {
	layers, err := readList[layerRecord](s.layersFile())
	if err != nil {
		return err
	}
	layers = slices.DeleteFunc(layers, func(l layerRecord) bool { return !used[l.ID] })
	if err := writeList(s.layersFile(), layers); err != nil {
		return err
	}
	ids := map[string]bool{}
	for _, i := range images {
		ids[i.ID] = true
	}
	if err := removeOthers(s.path("overlay-images"), ids); err != nil {
		return err
	}
	links, err := filepath.Glob(s.path("overlay", "l", "*"))
	if err != nil {
		return err
	}
	for _, link := range links {
		target, err := os.Readlink(link)
		if err == nil && !used[filepath.Base(filepath.Dir(target))] {
			err = os.Remove(link)
		}
		if err != nil {
			return err
		}
	}
	return removeOthers(s.path("overlay"), used)
}

// idLength is that of layers' and images' names, in hexadecimal digits.
const idLength = 64

// removeOthers removes what is named like a layer, an image or a blob.
func removeOthers(dir string, keep map[string]bool) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if len(e.Name()) == idLength && !keep[e.Name()] {
			if err := os.RemoveAll(filepath.Join(dir, e.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}

// mounted reports whether a container on this computer has the layer mounted,
// which names it by its short name.
func (s store) mounted(layer string) bool {
	short, err := os.ReadFile(s.path("overlay", layer, "link"))
	if err != nil || len(short) == 0 {
		return false
	}
	tables, _ := filepath.Glob("/proc/[0-9]*/mounts")
	for _, path := range tables {
		b, _ := os.ReadFile(path) // the process may be gone
		if strings.Contains(string(b), "overlay/l/"+string(short)) {
			return true
		}
	}
	return false
}

// pruneLayout removes images from the layout, blobs that none is made of, and
// lists of their packages.
func (b Builder) pruneLayout(refs []string) error {
	for _, ref := range refs {
		if err := os.RemoveAll(b.sbomFile(ref)); err != nil {
			return err
		}
	}
	if _, err := os.Stat(b.path("layout", "index.json")); err != nil {
		return nil //nolint:nilerr // there is no layout
	}
	p, err := layout.FromPath(b.LayoutDir())
	if err != nil {
		return err
	}
	for _, ref := range refs {
		if err := p.RemoveDescriptors(match.Annotation(refName, ref)); err != nil {
			return err
		}
	}
	return collectBlobs(p)
}

// collectBlobs removes blobs that no image of the index is made of.
func collectBlobs(p layout.Path) error {
	used := map[string]bool{}
	refs, err := layoutImages(p)
	if err != nil {
		return err
	}
	for _, img := range refs {
		for _, h := range img.blobs {
			used[h.Hex] = true
		}
	}
	return removeOthers(filepath.Join(string(p), "blobs", "sha256"), used)
}
