package containerhost

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/updraft-cloud/updraft/internal/configset/basebox"
	"github.com/updraft-cloud/updraft/internal/resource/conffile"
)

// containers renders the defaults. Limits are those of the units: podman's own on
// the number of processes would need a controller that not every host has.
// Source: containers.conf(5).
func (h *host) containers() string {
	cgroups := "enabled"
	if !h.cgroups {
		cgroups = "disabled"
	}
	return conffile.Header + `
[containers]
pids_limit = 0
cgroups = "` + cgroups + `"
netns = "host"
log_driver = "journald"
http_proxy = false

[engine]
cgroup_manager = "systemd"
runtime = "crun"
events_logger = "file"
` + h.proxy()
}

// proxy has podman pull through the cloud's proxy what is outside of the cloud.
// Containers do not get it (http_proxy above): what runs in them is asked by and asks
// the cloud, and most programs know no networks in no_proxy.
func (h *host) proxy() string {
	vars, _ := basebox.ProxyEnvironment(h.cloud)
	var words []string
	for _, v := range vars {
		words = append(words, strconv.Quote(v.Name+"="+v.Value))
	}
	if len(words) == 0 {
		return ""
	}
	return "env = [" + strings.Join(words, ", ") + "]\n"
}

// storage renders where images are. Source: containers-storage.conf(5).
func (h *host) storage() string {
	text := conffile.Header + `
[storage]
driver = "overlay"
graphroot = "/var/lib/containers/storage"
runroot = "/run/containers/storage"
`
	if len(h.Stores) == 0 {
		return text
	}
	quoted := make([]string, len(h.Stores))
	for i, s := range h.Stores {
		quoted[i] = `"` + s + `"`
	}
	return text + "\n[storage.options]\nadditionalimagestores = [" + strings.Join(quoted, ", ") + "]\n"
}

// registries renders what podman knows of the registry: its certificate is
// always checked. Source: containers-registries.conf(5).
func (h *host) registries() string {
	return fmt.Sprintf("%s\n[[registry]]\nlocation = %q\ninsecure = false\n", conffile.Header, h.Registry)
}

// tmpfiles renders the directories for each boot. Source: tmpfiles.d(5).
func (h *host) tmpfiles() string {
	var b strings.Builder
	b.WriteString(conffile.Header)
	for _, r := range h.Run {
		fmt.Fprintf(&b, "d /run/%s 0755 root root -\n", r)
	}
	return b.String()
}
