package pkg

import (
	"context"
	"errors"
	"io/fs"

	"github.com/updraft-cloud/updraft/internal/drift"
	"github.com/updraft-cloud/updraft/internal/resource"
)

// manager is a package manager.
type manager interface {
	// prepare gathers the facts about the named packages that status gives.
	prepare(ctx context.Context, h resource.Host, names []string) error
	status(ctx context.Context, h resource.Host, name string) (status, error)
	// newest returns the version that an upgrade would install of each name,
	// "" where the lists do not have it.
	newest(ctx context.Context, h resource.Host, names []string) (map[string]string, error)
	// interrupted reports whether an earlier transaction was cut off.
	interrupted(h resource.Host) (bool, error)
	// settle finishes what an interruption left half done.
	settle(ctx context.Context, h resource.Host) error
	// install installs packages with the same options in one transaction.
	install(ctx context.Context, h resource.Host, some []*Resource) error
	remove(ctx context.Context, h resource.Host, names []string) error
	purge(ctx context.Context, h resource.Host, name string) error
	// dependents returns installed packages that would have to go with name.
	dependents(ctx context.Context, h resource.Host, name string) ([]string, error)
	// disown marks a package as installed only for the sake of others.
	disown(ctx context.Context, h resource.Host, name string) error
	// comparePin, pin and unpin keep a version from being moved by upgrades.
	comparePin(h resource.Host, r *Resource, b *drift.Builder) error
	pin(h resource.Host, r *Resource) error
	unpin(h resource.Host, name string) error
	brokenNote() string
}

// status is what is known of a package. The state is "" when it is not
// installed, Installed, or the word for a state in between.
type status struct{ state, version string }

// managerOf returns the host's package manager: apt where there is a dpkg
// database, dnf where there is a dnf.
func managerOf(h resource.Host) (manager, error) {
	v, err := h.Memo("package: manager", func() (any, error) {
		info, err := h.Stat(dpkgStatus)
		if err == nil && info.Size > 0 {
			return apt{}, nil
		}
		for _, p := range []string{"/usr/bin/dnf", "/usr/bin/dnf5"} {
			if _, err = h.Stat(p); err == nil {
				return dnf{}, nil
			}
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		return nil, errors.New("cannot manage packages: this host has neither apt nor dnf")
	})
	if err != nil {
		return nil, err
	}
	return v.(manager), nil
}
