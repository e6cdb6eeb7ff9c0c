package api

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/updraft-cloud/updraft/internal/drift"
	"github.com/updraft-cloud/updraft/internal/resource"
)

// Image is what servers are started from. API reference:
// docs.openstack.org/api-ref/image/v2.
type Image struct {
	Name       string            `json:"name" required:"true" doc:"Name of the image."`
	File       string            `json:"file" required:"true" doc:"File with the content, on the deploy host."`
	Format     string            `json:"format,omitempty" default:"raw" enum:"raw,qcow2,vmdk,vdi,vhd,vhdx,iso,aki,ari,ami" doc:"Form of the content: raw and qcow2 are disks, aki is a kernel, ari its initial RAM disk."`
	Project    string            `json:"project,omitempty" doc:"Project that it belongs to; admin's when not given."`
	Visibility string            `json:"visibility,omitempty" default:"public" enum:"public,private,shared,community" doc:"Who can use it."`
	Kernel     string            `json:"kernel,omitempty" doc:"Name of the image with the kernel that is started directly."`
	Ramdisk    string            `json:"ramdisk,omitempty" doc:"Name of the image with the initial RAM disk of the kernel."`
	MinDisk    int               `json:"min_disk,omitempty" doc:"Least size of a disk in GiB; left alone when not given."`
	MinRAM     int               `json:"min_ram,omitempty" doc:"Least memory in MiB; left alone when not given."`
	Protected  *bool             `json:"protected,omitempty" doc:"Whether it cannot be removed; left alone when not given."`
	Properties map[string]string `json:"properties,omitempty" doc:"Further properties, such as hw_disk_bus. Those not given are left alone."`
}

func imageKind() Kind {
	return Kind{
		"image", "An image of Glance with the content of a file. It comes into being under its name when all of its content is there; one whose content differs is replaced.",
		"name: debian\nfile: debian-13.qcow2\nformat: qcow2\n", func() Resource { return &Image{} },
	}
}

// Kind returns "image".
func (*Image) Kind() string { return "image" }

// Key returns project and name.
func (i *Image) Key() string { return inProject(i.Project, i.Name) }

// Services returns "image".
func (*Image) Services() []string { return []string{"image"} }

// Needs returns the project and the images of kernel and RAM disk.
func (i *Image) Needs() []string {
	needs := projectNeed(i.Project)
	for _, name := range []string{i.Kernel, i.Ramdisk} {
		if name != "" {
			needs = append(needs, "image:"+name, "image:"+inProject(i.Project, name))
		}
	}
	return needs
}

// Validate checks the declaration.
func (i *Image) Validate() error {
	errs := []error{
		validName("name", i.Name), validOptional("project", i.Project), validOptional("kernel", i.Kernel), validOptional("ramdisk", i.Ramdisk),
		validOneOf("format", i.Format, "raw", "qcow2", "vmdk", "vdi", "vhd", "vhdx", "iso", "aki", "ari", "ami"),
		validOneOf("visibility", i.Visibility, "public", "private", "shared", "community"),
	}
	if i.File == "" {
		errs = append(errs, resource.Fieldf("file", "name a file on the deploy host", "is required"))
	}
	if i.MinDisk < 0 || i.MinRAM < 0 {
		errs = append(errs, resource.Fieldf("min_disk", "use 0 or more, also for min_ram", "a size is not negative"))
	}
	if strings.HasSuffix(i.Name, unfinished) {
		errs = append(errs, resource.Fieldf("name", "choose another", "%q marks images that are being uploaded", unfinished))
	}
	for _, k := range slices.Sorted(maps.Keys(i.Properties)) {
		if k == "" || strings.ContainsAny(k, "/~ \t\r\n") || slices.Contains(ownAttributes(), k) {
			errs = append(errs, resource.Fieldf("properties", "use the field of that name, or another name", "%q cannot be a property", k))
		}
	}
	return errors.Join(errs...)
}

// ownAttributes are those of images that cannot be properties.
func ownAttributes() []string {
	return []string{
		"id", "name", "status", "visibility", "owner", "checksum", "os_hash_algo", "os_hash_value", "size", "virtual_size", "disk_format",
		"container_format", "min_disk", "min_ram", "protected", "tags", "file", "schema", "self", "created_at", "updated_at", "locations",
		"direct_url", "os_hidden", "kernel_id", "ramdisk_id", "stores",
	}
}

func (i *Image) identity() Resource { return &Image{Name: i.Name, Project: i.Project} }

func (i *Image) thing(ctx context.Context, v *view) (*thing, error) {
	owner, err := v.project(ctx, i.Project)
	if err != nil {
		return nil, err
	}
	t := &thing{
		coll: images(), name: i.Key(), match: object{"name": i.Name, "owner": owner},
		anew: []string{"status", "content", "disk_format"},
	}
	format := cmp.Or(i.Format, "raw")
	t.optional("disk_format", format)
	t.optional("container_format", containerOf(format))
	t.optional("visibility", cmp.Or(i.Visibility, "public"))
	t.optional("min_disk", i.MinDisk)
	t.optional("min_ram", i.MinRAM)
	t.optional("protected", i.Protected)
	for _, p := range []struct{ property, name string }{{"kernel_id", i.Kernel}, {"ramdisk_id", i.Ramdisk}} {
		if p.name == "" {
			continue
		}
		id, err := v.image(ctx, p.name, owner)
		if err != nil {
			return nil, err
		}
		t.optional(p.property, id)
	}
	for _, k := range slices.Sorted(maps.Keys(i.Properties)) {
		t.attrs = append(t.attrs, attr{name: k, want: i.Properties[k]})
	}
	u := &upload{image: i, thing: t, v: v}
	t.also = u.compare
	t.make = u.replace
	t.patch = u.patch
	t.empty = func(ctx context.Context, got object) error {
		if got["protected"] != true {
			return nil
		}
		_, err := u.patch(ctx, got, object{"protected": false})
		return err
	}
	return t, nil
}

// containerOf is the container format that goes with a disk format: kernels and
// RAM disks are containers of their own kind.
func containerOf(format string) string {
	if slices.Contains([]string{"aki", "ari", "ami"}, format) {
		return format
	}
	return "bare"
}

// image returns the ID of an image: that of the owner, or else another's.
func (v *view) image(ctx context.Context, name, owner string) (string, error) {
	id, err := v.ref(ctx, images(), name, object{"name": name, "owner": owner})
	var absent *absentError
	if !errors.As(err, &absent) {
		return id, err
	}
	return v.ref(ctx, images(), name, object{"name": name})
}

// compare tells whether the image can be used and has the file's content.
func (u *upload) compare(_ context.Context, got object, b *drift.Builder) (object, error) {
	if status := got.text("status"); status != "active" {
		b.Want("status", status, "active")
		return nil, nil
	}
	sum, err := sumOf(u.image.File, got.text("os_hash_algo"))
	if err != nil {
		return nil, fmt.Errorf("cannot compare image %s: %w", u.image.Name, err)
	}
	b.Want("content", short(got.text("os_hash_value")), short(sum.value))
	return nil, nil
}

// short is as much of a checksum as people compare, in hexadecimal digits.
func short(sum string) string {
	const digits = 16
	return sum[:min(len(sum), digits)]
}
