// Package catalogue is the list of what updraft can deploy. It is the one place
// that names every configset; a set that is not in it does not exist.
package catalogue

import (
	"github.com/updraft-cloud/updraft/internal/configset"
	"github.com/updraft-cloud/updraft/internal/configset/basebox"
	"github.com/updraft-cloud/updraft/internal/configset/containerhost"
	"github.com/updraft-cloud/updraft/internal/configset/edge"
	"github.com/updraft-cloud/updraft/internal/configset/web"
)

// Sets returns all configsets by name.
func Sets() []configset.Set {
	return []configset.Set{
		basebox.Set(),
		containerhost.Set(),
		edge.Set(),
		web.Set(),
	}
}
