package unit

import (
	"path"

	"github.com/updraft-cloud/updraft/internal/drift"
	"github.com/updraft-cloud/updraft/internal/resource"
)

// Works reports whether the unit runs, where it is to.
func (r *Resource) Works(found drift.Report) bool {
	return found.Status != drift.Unknown && (r.State != Started || !found.Has("state"))
}

// Disturbs reports whether a service would be ended, restarted or made to read its
// configuration anew. Units of other types do no work of their own.
func (r *Resource) Disturbs(found drift.Report, triggered []string) bool {
	if path.Ext(r.Name) != ".service" || found.Status == drift.Absent {
		return false
	}
	for _, c := range found.Changes {
		if c.Attr != "enabled" {
			return true
		}
	}
	return len(triggered) > 0 && r.State != Stopped
}

var _ resource.Service = (*Resource)(nil)
