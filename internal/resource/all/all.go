// Package all lists every kind of host resource that updraft knows.
package all

import (
	"github.com/updraft-cloud/updraft/internal/resource"
	"github.com/updraft-cloud/updraft/internal/resource/directory"
	"github.com/updraft-cloud/updraft/internal/resource/file"
	"github.com/updraft-cloud/updraft/internal/resource/group"
	"github.com/updraft-cloud/updraft/internal/resource/symlink"
	"github.com/updraft-cloud/updraft/internal/resource/user"
)

// Registry returns all kinds.
func Registry() *resource.Registry {
	return resource.NewRegistry(
		directory.Kind(),
		file.Kind(),
		symlink.Kind(),
		user.Kind(),
		group.Kind(),
	)
}
