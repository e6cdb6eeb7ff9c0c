package api

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/updraft-cloud/updraft/internal/drift"
	"github.com/updraft-cloud/updraft/internal/resource"
)

// Flavor is a size of servers.
type Flavor struct {
	Name      string `json:"name" required:"true" doc:"Name of the flavor."`
	ID        string `json:"id,omitempty" doc:"ID that the flavor gets; by default one that Nova chooses. A flavor that exists keeps its own."`
	VCPUs     int    `json:"vcpus" required:"true" doc:"Virtual processors."`
	RAM       int    `json:"ram" required:"true" doc:"Memory in MiB."`
	Disk      int    `json:"disk,omitempty" default:"0" doc:"Size of the root disk in GiB; 0 means that of the image."`
	Ephemeral int    `json:"ephemeral,omitempty" default:"0" doc:"Size of a second, ephemeral disk in GiB."`
	Swap      int    `json:"swap,omitempty" default:"0" doc:"Size of a swap disk in MiB."`
	Public    *bool  `json:"public,omitempty" doc:"Whether all projects can use it; true when not given."`
	// ExtraSpecs are compared as a whole when given.
	ExtraSpecs map[string]string `json:"extra_specs,omitempty" doc:"Extra specs, such as hw:mem_page_size. Given, there are no others; left alone when not given."`
}

func flavorKind() Kind {
	return Kind{
		"flavor", "A flavor of Nova. As Nova cannot change flavors, one that differs is replaced; servers keep the size that they were made with.",
		"name: tiny\nvcpus: 1\nram: 128\ndisk: 1\n", func() Resource { return &Flavor{} },
	}
}

// Kind returns "flavor".
func (*Flavor) Kind() string { return "flavor" }

// Key returns the name.
func (f *Flavor) Key() string { return f.Name }

// Services returns "compute".
func (*Flavor) Services() []string { return []string{"compute"} }

// Needs returns nothing.
func (*Flavor) Needs() []string { return nil }

// Validate checks the declaration.
func (f *Flavor) Validate() error {
	errs := []error{validName("name", f.Name), validOptional("id", f.ID)}
	if f.VCPUs < 1 {
		errs = append(errs, resource.Fieldf("vcpus", "use 1 or more", "a server needs a processor"))
	}
	if f.RAM < 1 {
		errs = append(errs, resource.Fieldf("ram", "use a number of MiB", "a server needs memory"))
	}
	for _, size := range []struct {
		field string
		n     int
	}{{"disk", f.Disk}, {"ephemeral", f.Ephemeral}, {"swap", f.Swap}} {
		if size.n < 0 {
			errs = append(errs, resource.Fieldf(size.field, "use 0 or more", "%d is no size", size.n))
		}
	}
	for _, k := range slices.Sorted(maps.Keys(f.ExtraSpecs)) {
		if k == "" || strings.ContainsFunc(k, func(r rune) bool { return r <= ' ' || r > '~' || r == '/' }) {
			errs = append(errs, resource.Fieldf("extra_specs", "use letters, digits, and . _ - :", "%q is no name of an extra spec", k))
		}
	}
	return errors.Join(errs...)
}

func (f *Flavor) identity() Resource { return &Flavor{Name: f.Name} }

func (f *Flavor) thing(_ context.Context, v *view) (*thing, error) {
	public := f.Public == nil || *f.Public
	t := &thing{
		coll: flavors(), name: f.Name, match: object{"name": f.Name},
		attrs: []attr{
			{name: "vcpus", want: f.VCPUs}, {name: "ram", want: f.RAM}, {name: "disk", want: f.Disk},
			{name: "OS-FLV-EXT-DATA:ephemeral", want: f.Ephemeral}, {name: "os-flavor-access:is_public", want: public},
		},
		anew: []string{"vcpus", "ram", "disk", "OS-FLV-EXT-DATA:ephemeral", "os-flavor-access:is_public", "swap"},
		once: object{"swap": f.Swap},
	}
	if f.ID != "" {
		t.once["id"] = f.ID
	}
	t.also = func(_ context.Context, got object, b *drift.Builder) (object, error) {
		b.Want("swap", swapOf(got), canonical(f.Swap))
		if f.ExtraSpecs != nil {
			b.Want("extra_specs", got.text("extra_specs"), canonical(f.ExtraSpecs))
		}
		return nil, nil
	}
	t.settle = func(ctx context.Context, got object) error { return f.settle(ctx, v, got) }
	return t, nil
}

// swapOf returns the size of swap, for which Nova says "" if there is none
// (before microversion 2.75).
func swapOf(got object) string {
	if s := got.text("swap"); s != "" {
		return s
	}
	return "0"
}

// settle makes the extra specs agree.
func (f *Flavor) settle(ctx context.Context, v *view, got object) error {
	if f.ExtraSpecs == nil || got.text("extra_specs") == canonical(f.ExtraSpecs) {
		return nil
	}
	defer v.forget(flavors())
	path := "flavors/" + got.text("id") + "/os-extra_specs"
	have, _ := got["extra_specs"].(map[string]any)
	for _, k := range slices.Sorted(maps.Keys(have)) {
		if _, wanted := f.ExtraSpecs[k]; wanted {
			continue
		}
		r := request{service: "compute", method: http.MethodDelete, path: path + "/" + escape(k), doing: "remove extra spec " + k + " of flavor " + f.Name}
		if err := v.write(ctx, r); err != nil {
			return err
		}
	}
	if len(f.ExtraSpecs) == 0 {
		return nil
	}
	return v.write(ctx, request{
		service: "compute", method: http.MethodPost, path: path, body: map[string]any{"extra_specs": f.ExtraSpecs},
		doing: "set extra specs of flavor " + f.Name,
	})
}
