package cases

import (
	"context"

	"github.com/updraft-cloud/updraft/internal/resource"
	"github.com/updraft-cloud/updraft/internal/resource/pkg"
	"github.com/updraft-cloud/updraft/internal/resource/resourcetest"
)

// aptGet returns a step that runs apt-get without questions.
func aptGet(args ...string) step {
	return func(ctx context.Context, h resource.Host) error {
		_, err := h.Run(ctx, resource.Command{
			Name: "apt-get", Args: append([]string{"-y", "-q"}, args...), Env: []string{"DEBIAN_FRONTEND=noninteractive"},
		})
		return err
	}
}

// packageCases use htop, which is small and needs nothing that a base system
// lacks but libncursesw6 and libnl.
func packageCases() []resourcetest.Case {
	onApt := resourcetest.Real{Commands: []string{"apt-get"}}
	return []resourcetest.Case{
		{
			Name:     "a package is installed and purged",
			Resource: &pkg.Resource{Name: "htop"},
			Real:     onApt,
			Drifts:   []resourcetest.Drift{{Name: "removed", Do: aptGet("remove", "htop")}},
		},
		{
			Name:     "a version is pinned",
			Resource: &pkg.Resource{Name: "htop", Version: "3.*"},
			Real:     onApt,
			Drifts: []resourcetest.Drift{
				{Name: "the pin is gone", Do: remove("/etc/apt/preferences.d/updraft-htop.pref"), Attrs: []string{"pin"}},
			},
		},
		{
			Name:     "a package that is not wanted goes",
			Resource: &pkg.Resource{Name: "htop", State: pkg.Absent},
			Given:    aptGet("install", "htop"),
			Real:     onApt,
			Stays:    true,
			Drifts:   []resourcetest.Drift{{Name: "back", Do: aptGet("install", "htop"), Attrs: []string{"state"}}},
		},
		{
			Name:     "the latest version",
			Resource: &pkg.Resource{Name: "htop", State: pkg.Latest},
			Real:     onApt,
		},
	}
}
