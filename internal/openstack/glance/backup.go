package glance

import (
	"github.com/updraft-cloud/updraft/internal/backup"
	"github.com/updraft-cloud/updraft/internal/openstack/gluster"
	"github.com/updraft-cloud/updraft/internal/openstack/stack"
	"github.com/updraft-cloud/updraft/internal/spec"
	"github.com/updraft-cloud/updraft/internal/transport"
)

// stores are the images' data, once where all controllers have the same. Images that
// are there and not in a backup stay when it is put back.
func stores(d *stack.Deployment) []backup.Store {
	if len(d.Spec.Controllers) == 1 || d.Spec.Storage.Images == spec.StorageGluster {
		return []backup.Store{images("glance-images.tar", d.First())}
	}
	var out []backup.Store
	for _, h := range d.Spec.Controllers {
		out = append(out, images("glance-images-"+h.Name+".tar", h))
	}
	return out
}

func images(content string, h *spec.Host) backup.Store {
	dir := gluster.Target(gluster.Images)
	return backup.Store{
		Name: content, Host: h.Name, Large: true,
		Save: func(string) string {
			return transport.Quote("tar", "-C", dir, "--numeric-owner", "--sparse", "-cf", "-", ".")
		},
		Load: func(string) string { return transport.Quote("tar", "-C", dir, "--numeric-owner", "-xpf", "-") },
	}
}
