package container

import (
	"slices"

	"github.com/updraft-cloud/updraft/internal/drift"
	"github.com/updraft-cloud/updraft/internal/resource"
)

// Works reports whether the container was seen to do its work. One that is not asked
// because its file or configuration is newer than its process runs, and is taken to.
func (r *Resource) Works(found drift.Report) bool {
	return !found.Has("state") && !found.Has("ready") && found.Status != drift.Unknown
}

// Disturbs reports whether it would be restarted or read its configuration anew.
func (r *Resource) Disturbs(found drift.Report, triggered []string) bool {
	touched := []string{"file", "loaded", "config"}
	return slices.ContainsFunc(touched, found.Has) || len(triggered) > 0
}

var _ resource.Service = (*Resource)(nil)
