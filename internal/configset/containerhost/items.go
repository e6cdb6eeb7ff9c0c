package containerhost

import (
	"path"

	"github.com/updraft-cloud/updraft/internal/configset"
	"github.com/updraft-cloud/updraft/internal/configset/basebox"
	"github.com/updraft-cloud/updraft/internal/resource/directory"
	"github.com/updraft-cloud/updraft/internal/resource/file"
	"github.com/updraft-cloud/updraft/internal/resource/pkg"
	"github.com/updraft-cloud/updraft/internal/resource/unit"
)

// Where podman reads its settings, and systemd-tmpfiles what to make at boot.
const (
	storageFile    = "/etc/containers/storage.conf"
	containersFile = "/etc/containers/containers.conf.d/50-updraft.conf"
	registriesFile = "/etc/containers/registries.conf.d/50-updraft.conf"
	certsDir       = "/etc/containers/certs.d"
	tmpfilesFile   = "/etc/tmpfiles.d/updraft-containers.conf"
)

// Packages are podman with the runtime that takes least, and the init that
// containers may ask for.
func Packages() []string { return []string{"podman", "crun", "catatonit"} }

// items returns the resources. podman reads its files whenever it runs: nothing
// has to be restarted when they change.
func (h *host) items() []configset.Item {
	var out []configset.Item
	for _, name := range append(Packages(), h.Packages...) {
		out = append(out, configset.Item{Resource: &pkg.Resource{Name: name}, Needs: basebox.BeforePackages(h.cloud, h.on)})
	}
	after := []string{"package:podman"}
	put := func(p, content string) *file.Resource {
		f := &file.Resource{Path: p, Content: content, Mode: "0644", Owner: "root", Group: "root"}
		out = append(out,
			configset.Item{Resource: &directory.Resource{Path: path.Dir(p)}, Needs: after},
			configset.Item{Resource: f, Needs: after},
		)
		return f
	}
	out = append(out, configset.Item{
		Resource: &file.Resource{Path: storageFile, Content: h.storage(), Mode: "0644", Owner: "root", Group: "root"}, Needs: after,
	})
	defaults := put(containersFile, h.containers())
	if _, secret := basebox.ProxyEnvironment(h.cloud); secret {
		defaults.Sensitive, defaults.Mode = true, "0600" // podman is root's here
	}
	if h.Registry != "" {
		put(registriesFile, h.registries())
	}
	if h.CA != "" {
		put(path.Join(certsDir, h.Registry, "ca.crt"), h.CA)
	}
	for _, r := range h.Run {
		out = append(out, configset.Item{Resource: &directory.Resource{Path: path.Join("/run", r), Mode: "0755", Owner: "root", Group: "root"}})
	}
	if len(h.Run) > 0 {
		put(tmpfilesFile, h.tmpfiles())
	}
	return append(out, dhcpProxy(after))
}

// dhcpProxy switches off what asks for addresses on networks of podman's own:
// containers have the host's network, and the socket fails where the kernel or
// the control group does not let it be.
func dhcpProxy(after []string) configset.Item {
	yes := true
	return configset.Item{Resource: &unit.Resource{Name: "netavark-dhcp-proxy.socket", Masked: &yes, State: unit.Stopped}, Needs: after}
}
