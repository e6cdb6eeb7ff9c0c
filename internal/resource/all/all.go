// Package all lists every kind of host resource that updraft knows.
package all

import (
	"github.com/updraft-cloud/updraft/internal/resource"
	"github.com/updraft-cloud/updraft/internal/resource/directory"
	"github.com/updraft-cloud/updraft/internal/resource/file"
	"github.com/updraft-cloud/updraft/internal/resource/symlink"
)

// Registry returns all kinds.
func Registry() *resource.Registry {
	return resource.NewRegistry(
		directory.Kind(),
		file.Kind(),
		symlink.Kind(),
	)
}
