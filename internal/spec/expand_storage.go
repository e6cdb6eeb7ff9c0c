package spec

import (
	"cmp"
	"slices"
)

// Storage is where an OpenStack keeps what is larger than a database.
type Storage struct {
	Instances, Images string // StorageLocal or StorageGluster
	// Volumes is where Cinder's are: StorageGluster; "" in a cloud without Cinder.
	Volumes string
	Network string // between computes and controllers
}

// The kinds of storage.
const (
	StorageLocal   = "local"
	StorageGluster = "gluster"
)

// Copies is on how many controllers GlusterFS keeps everything. With three, the
// two that still see each other outvote the third, whatever has happened to it.
// With two nobody can, and the alternatives (an arbiter on a third host, one of
// the two that decides) either need three hosts as well or stop with the wrong one.
const Copies = 3

// Shared reports whether anything is kept by GlusterFS.
func (s Storage) Shared() bool {
	return s.Instances == StorageGluster || s.Images == StorageGluster || s.Volumes == StorageGluster
}

// Bricks are the controllers that hold the copies. One controller can hold volumes
// of Cinder, in one copy.
func (o *OpenStack) Bricks() []*Host { return o.Controllers[:min(Copies, len(o.Controllers))] }

// openstackStorage resolves where things are kept, and checks that the hosts
// concerned can reach it.
func (e *expander) openstackStorage(o *OpenStack, f openstackStorageFile) {
	otherwise := StorageLocal
	if len(o.Controllers) >= Copies {
		otherwise = StorageGluster
	}
	o.Storage = Storage{
		Instances: cmp.Or(f.Instances, otherwise), Images: cmp.Or(f.Images, otherwise), Network: cmp.Or(f.Network, o.VIP.Network),
	}
	for _, c := range []struct{ field, value string }{{"instances", f.Instances}, {"images", f.Images}} {
		if path := "openstack.storage." + c.field; c.value == StorageGluster && len(o.Controllers) < Copies {
			e.faults.errorf(e.pos(path), path, "write local, or have three controllers",
				"gluster keeps everything on %d controllers, as fewer cannot tell which of them is right, and there are %d", Copies, len(o.Controllers))
		}
	}
	if n := len(o.Controllers); f.Images == "" && n > 1 && n < Copies {
		e.faults.errorf(e.pos("openstack"), "openstack.storage.images", "have three controllers, or write storage: {images: local} and mount a file system that they share where Glance keeps images",
			"with %d controllers, an image would only be on the one that took the upload", n)
	}
	e.openstackVolumes(o, f)
	if f.Network == "" { // that all hosts are on that of the virtual address was checked
		return
	}
	path := "openstack.storage.network"
	if o.Storage.Network == o.Tunnel || slices.Contains(o.External, o.Storage.Network) {
		e.faults.errorf(e.pos(path), path, "take another one", "network %s cannot carry storage: Open vSwitch takes its NICs over, after disks are mounted", o.Storage.Network)
		return
	}
	var hosts []*Host
	if o.Storage.Shared() {
		hosts = o.Controllers
	}
	if o.Storage.Instances == StorageGluster || o.Storage.Volumes == StorageGluster {
		hosts = slices.Concat(hosts, o.Computes)
	}
	e.openstackNetwork(o.Storage.Network, path, hosts)
}

// openstackVolumes resolves where Cinder keeps volumes. With one controller there is
// one copy of each, which is what databases have there as well.
func (e *expander) openstackVolumes(o *OpenStack, f openstackStorageFile) {
	const path = "openstack.storage.volumes"
	if !slices.Contains(o.Services, ServiceCinder) {
		if f.Volumes != "" {
			e.faults.errorf(e.pos(path), path, "write services: [cinder], or take it out", "there are no volumes without Cinder")
		}
		return
	}
	o.Storage.Volumes = cmp.Or(f.Volumes, StorageGluster)
	if n := len(o.Controllers); n > 1 && n < Copies {
		e.faults.errorf(e.pos("openstack.services"), path, "have one controller or three",
			"gluster keeps volumes on %d controllers, as fewer cannot tell which of them is right, or on the only one, and there are %d", Copies, n)
	}
}
