// Package all lists every kind of host resource that updraft knows.
package all

import (
	"github.com/updraft-cloud/updraft/internal/resource"
	"github.com/updraft-cloud/updraft/internal/resource/authkey"
	"github.com/updraft-cloud/updraft/internal/resource/command"
	"github.com/updraft-cloud/updraft/internal/resource/container"
	"github.com/updraft-cloud/updraft/internal/resource/cron"
	"github.com/updraft-cloud/updraft/internal/resource/directory"
	"github.com/updraft-cloud/updraft/internal/resource/file"
	"github.com/updraft-cloud/updraft/internal/resource/group"
	"github.com/updraft-cloud/updraft/internal/resource/hostname"
	"github.com/updraft-cloud/updraft/internal/resource/hosts"
	"github.com/updraft-cloud/updraft/internal/resource/kernelmodule"
	"github.com/updraft-cloud/updraft/internal/resource/mount"
	"github.com/updraft-cloud/updraft/internal/resource/netif"
	"github.com/updraft-cloud/updraft/internal/resource/nftables"
	"github.com/updraft-cloud/updraft/internal/resource/pkg"
	"github.com/updraft-cloud/updraft/internal/resource/reboot"
	"github.com/updraft-cloud/updraft/internal/resource/repository"
	"github.com/updraft-cloud/updraft/internal/resource/symlink"
	"github.com/updraft-cloud/updraft/internal/resource/sysctl"
	"github.com/updraft-cloud/updraft/internal/resource/timer"
	"github.com/updraft-cloud/updraft/internal/resource/unit"
	"github.com/updraft-cloud/updraft/internal/resource/user"
)

// Registry returns all kinds.
func Registry() *resource.Registry {
	return resource.NewRegistry(
		authkey.Kind(),
		command.Kind(),
		container.Kind(),
		cron.Kind(),
		directory.Kind(),
		file.Kind(),
		group.Kind(),
		hostname.Kind(),
		hosts.Kind(),
		kernelmodule.Kind(),
		mount.Kind(),
		netif.Kind(),
		nftables.Kind(),
		pkg.Kind(),
		reboot.Kind(),
		repository.Kind(),
		symlink.Kind(),
		sysctl.Kind(),
		timer.Kind(),
		unit.Kind(),
		user.Kind(),
	)
}
