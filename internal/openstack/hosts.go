package openstack

import (
	"path"

	"github.com/updraft-cloud/updraft/internal/configset"
	"github.com/updraft-cloud/updraft/internal/configset/basebox"
	"github.com/updraft-cloud/updraft/internal/engine"
	"github.com/updraft-cloud/updraft/internal/openstack/stack"
	"github.com/updraft-cloud/updraft/internal/resource/directory"
	"github.com/updraft-cloud/updraft/internal/resource/file"
	"github.com/updraft-cloud/updraft/internal/resource/pkg"
	"github.com/updraft-cloud/updraft/internal/spec"
)

// Packages are what a host of containers is made of.
func Packages() []string { return []string{"podman", "crun", "nftables"} }

const (
	storageConf    = "/etc/containers/storage.conf"
	containersConf = "/etc/containers/containers.conf.d/50-updraft.conf"
)

// containersText makes podman a starter of processes: limits are systemd's, by
// the unit, and a control group without controllers is no fault, as a container
// may be a host itself. Source: containers.conf(5).
const containersText = stack.Header + `
[containers]
pids_limit = 0
cgroups = "disabled"
netns = "host"
log_driver = "journald"

[engine]
cgroup_manager = "systemd"
runtime = "crun"
events_logger = "file"
`

// storageText says where images are. Source: containers-storage.conf(5).
func storageText(d *stack.Deployment) string {
	text := stack.Header + `
[storage]
driver = "overlay"
graphroot = "` + ownImages + `"
runroot = "/run/containers/storage"
`
	if d.Spec.Images == spec.ImagesShared {
		text += `
[storage.options]
additionalimagestores = ["` + SharedImages + `"]
`
	}
	return text
}

// podman adds what containers run by, and returns references to it.
func podman(b *stack.Builder) []string {
	var needs []string
	for _, name := range Packages() {
		b.Add(configset.Item{Resource: &pkg.Resource{Name: name}, Needs: basebox.BeforePackages(b.D.Cloud, b.Host)})
		needs = append(needs, "package:"+name)
	}
	b.Add(configset.Item{Resource: &directory.Resource{Path: path.Dir(containersConf)}, Phase: engine.Configure, Needs: []string{"package:podman"}})
	for _, f := range []file.Resource{{Path: storageConf, Content: storageText(b.D)}, {Path: containersConf, Content: containersText}} {
		f.Mode, f.Owner, f.Group = "0644", "root", "root"
		b.Add(configset.Item{Resource: &f, Phase: engine.Configure, Needs: []string{"package:podman"}})
		needs = append(needs, "file:"+f.Path)
	}
	return needs
}
