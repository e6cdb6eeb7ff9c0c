// Package all lists every kind of host resource that updraft knows.
package all

import (
	"github.com/updraft-cloud/updraft/internal/resource"
	"github.com/updraft-cloud/updraft/internal/resource/authkey"
	"github.com/updraft-cloud/updraft/internal/resource/directory"
	"github.com/updraft-cloud/updraft/internal/resource/file"
	"github.com/updraft-cloud/updraft/internal/resource/group"
	"github.com/updraft-cloud/updraft/internal/resource/hostname"
	"github.com/updraft-cloud/updraft/internal/resource/hosts"
	"github.com/updraft-cloud/updraft/internal/resource/mount"
	"github.com/updraft-cloud/updraft/internal/resource/symlink"
	"github.com/updraft-cloud/updraft/internal/resource/sysctl"
	"github.com/updraft-cloud/updraft/internal/resource/user"
)

// Registry returns all kinds.
func Registry() *resource.Registry {
	return resource.NewRegistry(
		authkey.Kind(),
		directory.Kind(),
		file.Kind(),
		group.Kind(),
		hostname.Kind(),
		hosts.Kind(),
		mount.Kind(),
		symlink.Kind(),
		sysctl.Kind(),
		user.Kind(),
	)
}
