// Package release knows the releases of OpenStack that updraft can deploy, each
// as one file of data: the distribution's packages that its images are made of,
// where they have things, and the newest revisions of its database schemas.
//
// It is pure: the reference of an image is known before anything is built. What
// a file says of an image (paths, revisions) is compared with the image itself in
// the lab tier of tests.
package release

import (
	"bytes"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/updraft-cloud/updraft/internal/image/oci"
)

// Default is the release that is deployed unless the cloud file names another.
const Default = "epoxy"

// Release is one release on one suite of a distribution.
type Release struct {
	// Name is what a cloud file calls it.
	Name string `json:"name"`
	// Title is for people.
	Title string `json:"title"`
	// Images are what its services run in.
	Images []oci.Recipe `json:"images"`
	// Optional are those of services that a cloud has only when its file says so.
	// They are images of their own, so that other clouds neither build, pull nor
	// keep any of it.
	Optional []oci.Recipe `json:"optional,omitempty"`
	// Paths are where the images have files and directories, by names of our own.
	Paths map[string]string `json:"paths"`
	// Heads are the rows of alembic_version that a fully upgraded schema has, by
	// database. A database that is missing here is compared with what the last
	// upgrade left behind.
	Heads map[string][]string `json:"heads"`

	registry string
}

//go:embed *.json
var files embed.FS

// Names returns the names of all releases.
func Names() []string {
	entries, err := files.ReadDir(".")
	if err != nil {
		panic("release: " + err.Error()) // it is part of the program
	}
	var out []string
	for _, e := range entries {
		out = append(out, strings.TrimSuffix(e.Name(), ".json"))
	}
	return out
}

// Load returns the release of that name.
func Load(name string) (*Release, error) {
	if !slices.Contains(Names(), name) {
		return nil, fmt.Errorf("there is no release %q; known are %s", name, strings.Join(Names(), ", "))
	}
	data, err := files.ReadFile(name + ".json")
	if err != nil {
		return nil, err
	}
	r, err := decode(data)
	if err != nil {
		return nil, fmt.Errorf("cannot read release %s: %w", name, err)
	}
	if r.Name != name {
		return nil, fmt.Errorf("cannot read release %s: it calls itself %q", name, r.Name)
	}
	return r, nil
}

// paths are those that services ask for; every release has them all.
func paths() []string {
	return []string{
		"keystone-wsgi", "glance-wsgi", "placement-wsgi", "nova-api-wsgi", "nova-metadata-wsgi", "neutron-api-wsgi",
		"heat-api-wsgi", "heat-api-cfn-wsgi", "masakari-wsgi", "cinder-wsgi", "novnc", "horizon", "horizon-wsgi", "horizon-static",
	}
}

// decode reads a file strictly.
func decode(data []byte) (*Release, error) {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	var r Release
	if err := dec.Decode(&r); err != nil {
		return nil, err
	}
	var errs []error
	for _, i := range r.all() {
		errs = append(errs, i.Check())
	}
	for _, name := range paths() {
		if !path.IsAbs(r.Paths[name]) {
			errs = append(errs, fmt.Errorf("path %s is %q, and must be absolute", name, r.Paths[name]))
		}
	}
	return &r, errors.Join(errs...)
}

// From returns the release with its images named as the registry at HOST:PORT has
// them.
func (r *Release) From(registry string) *Release {
	c := *r
	c.registry = registry
	return &c
}

// all are the images of a cloud that asks for everything.
func (r *Release) all() []oci.Recipe { return slices.Concat(r.Images, r.Optional) }

// Recipe returns what the image of that name is made of.
func (r *Release) Recipe(name string) (oci.Recipe, error) {
	for _, i := range r.all() {
		if i.Name == name {
			return i, nil
		}
	}
	return oci.Recipe{}, fmt.Errorf("release %s has no image %q", r.Name, name)
}

// Image returns the reference of the image of that name, or nothing if there is
// no such image.
func (r *Release) Image(name string) string {
	recipe, err := r.Recipe(name)
	if err != nil {
		return ""
	}
	return recipe.Ref(r.registry)
}

// Head returns the newest revisions of the schema of a database, or nothing
// where the release does not say.
func (r *Release) Head(database string) []string { return slices.Clone(r.Heads[database]) }

// Path returns where the images have what services know by that name.
func (r *Release) Path(name string) string { return r.Paths[name] }

// UID returns the number that the user and its group have in all images.
func (r *Release) UID(user string) int { return oci.UID(user) }
