// Package cases holds the cases in which each kind of resource is tried, on the
// host in memory and on real ones.
package cases

import (
	"context"
	"io/fs"

	"github.com/updraft-cloud/updraft/internal/resource"
	"github.com/updraft-cloud/updraft/internal/resource/resourcetest"
)

// For returns the cases of a kind; none for a kind that is not known.
func For(kind string) []resourcetest.Case {
	all := map[string]func() []resourcetest.Case{
		"authkey":      authkeyCases,
		"container":    containerCases,
		"directory":    directoryCases,
		"file":         fileCases,
		"group":        groupCases,
		"hostname":     hostnameCases,
		"hosts":        hostsCases,
		"mount":        mountCases,
		"symlink":      symlinkCases,
		"sysctl":       sysctlCases,
		"unit":         unitCases,
		"command":      commandCases,
		"interface":    interfaceCases,
		"repository":   repositoryCases,
		"nftables":     nftablesCases,
		"cron":         cronCases,
		"timer":        timerCases,
		"kernelmodule": kernelmoduleCases,
		"reboot":       rebootCases,
		"package":      packageCases,
		"user":         userCases,
	}
	if f := all[kind]; f != nil {
		return f()
	}
	return nil
}

// step is what cases and drifts do to a host.
type step = func(context.Context, resource.Host) error

func chmod(path string, mode uint32) step {
	return func(_ context.Context, h resource.Host) error { return h.Chmod(path, fs.FileMode(mode)) }
}

func chown(path string, uid, gid int) step {
	return func(_ context.Context, h resource.Host) error { return h.Chown(path, uid, gid) }
}

func remove(path string) step {
	return func(_ context.Context, h resource.Host) error { return h.Remove(path) }
}

func link(target, path string) step {
	return func(_ context.Context, h resource.Host) error { return h.Symlink(target, path) }
}

// mkdir makes a directory unless there is one.
func mkdir(path string, a resource.Access) step {
	return func(_ context.Context, h resource.Host) error {
		if _, err := h.Stat(path); err == nil {
			return nil
		}
		return h.Mkdir(path, a)
	}
}

func removeIfThere(path string) step {
	return func(_ context.Context, h resource.Host) error {
		if _, err := h.Lstat(path); err != nil {
			return nil //nolint:nilerr // it is not there
		}
		return h.Remove(path)
	}
}
