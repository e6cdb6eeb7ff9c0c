package openstack

import (
	"slices"

	"github.com/updraft-cloud/updraft/internal/configset/containerhost"
	"github.com/updraft-cloud/updraft/internal/openstack/gluster"
	"github.com/updraft-cloud/updraft/internal/openstack/registry"
	"github.com/updraft-cloud/updraft/internal/openstack/stack"
	"github.com/updraft-cloud/updraft/internal/resource"
	"github.com/updraft-cloud/updraft/internal/spec"
)

// Packages are what a host of containers is made of, and what it holds or mounts
// shared storage with. What optional services ask for comes later: a machine is not made
// anew for one that is added to a cloud or taken out.
func Packages(o *spec.OpenStack, h *spec.Host) []string {
	without := *o
	without.Storage.Volumes = ""
	return slices.Concat(containerhost.Packages(), morePackages(), gluster.Packages(&without, h))
}

// morePackages are what scripts of the services use on the hosts themselves: nft
// keeps packets that Open vSwitch has taken from the kernel.
func morePackages() []string { return []string{"nftables"} }

// podman adds what containers run by, and returns references to it: the configset
// containerhost, with images from where the cloud file says.
func podman(b *stack.Builder) []string {
	p := containerhost.Params{Packages: morePackages()}
	if b.D.FromRegistry() {
		p.Registry, p.CA = registry.Address(b.D.Spec), b.D.Secrets.Authority()
	} else {
		p.Stores = []string{SharedImages}
	}
	var needs []string
	for _, it := range containerhost.Items(b.D.Cloud, b.Host, p) {
		b.Add(it)
		switch it.Resource.Kind() {
		case "package", "file":
			needs = append(needs, resource.Ref(it.Resource))
		}
	}
	return needs
}
