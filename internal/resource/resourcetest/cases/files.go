package cases

import (
	"github.com/updraft-cloud/updraft/internal/resource"
	"github.com/updraft-cloud/updraft/internal/resource/directory"
	"github.com/updraft-cloud/updraft/internal/resource/file"
	"github.com/updraft-cloud/updraft/internal/resource/resourcetest"
	"github.com/updraft-cloud/updraft/internal/resource/symlink"
)

func fileCases() []resourcetest.Case {
	const motd = "/etc/updraft-test.conf"
	full := &file.Resource{Path: motd, Content: "one\ntwo\n", Mode: "0640", Owner: "daemon", Group: "daemon"}
	return []resourcetest.Case{
		{
			Name:     "a new file with everything given",
			Resource: full,
			Drifts: []resourcetest.Drift{
				{Name: "gone", Do: remove(motd)},
				{Name: "other content", Do: resourcetest.Steps(resourcetest.WriteText(motd, "other\n", 0o640), chown(motd, 1, 1)), Attrs: []string{"content"}},
				{Name: "same size, other content", Do: resourcetest.Steps(resourcetest.WriteText(motd, "one\nTWO\n", 0o640), chown(motd, 1, 1)), Attrs: []string{"content"}},
				{Name: "other mode", Do: chmod(motd, 0o666), Attrs: []string{"mode"}},
				{Name: "other owner", Do: chown(motd, 0, 1), Attrs: []string{"owner"}},
				{Name: "other group", Do: chown(motd, 1, 0), Attrs: []string{"group"}},
				{Name: "a symlink in its place", Do: resourcetest.Steps(remove(motd), link("/dev/null", motd)), Attrs: []string{"type"}},
			},
		},
		{
			Name:     "a file that was there comes back with its mode and owner",
			Resource: &file.Resource{Path: motd, Content: "ours\n", Mode: "0600", Owner: "root", Group: "root"},
			Given:    resourcetest.Steps(resourcetest.WriteText(motd, "theirs\n", 0o664), chown(motd, 1, 1)),
			Drifts:   []resourcetest.Drift{{Name: "gone", Do: resourcetest.Steps(remove(motd))}},
		},
		{
			Name:     "a symlink that was there comes back",
			Resource: &file.Resource{Path: motd, Content: "ours\n"},
			Given:    resourcetest.Steps(removeIfThere(motd), link("/etc/hostname", motd)),
		},
		{
			Name:     "a file keeps its content and gets a mode with setuid",
			Resource: &file.Resource{Path: motd, Content: "initial\n", Mode: "4755", Owner: "daemon", KeepContent: true},
			Given:    resourcetest.WriteText(motd, "theirs\n", 0o600),
		},
		{
			Name:     "a sensitive file",
			Resource: &file.Resource{Path: motd, Content: "password=sesame\n", Sensitive: true},
			Given:    removeIfThere(motd),
			Secrets:  []string{"sesame", "hunter"},
			Drifts: []resourcetest.Drift{
				{Name: "other secret", Do: resourcetest.WriteText(motd, "password=hunter\n", 0o600), Attrs: []string{"content"}},
				{Name: "other size", Do: resourcetest.WriteText(motd, "hunter\n", 0o600), Attrs: []string{"content"}},
			},
		},
		{
			Name:     "a validated file",
			Resource: &file.Resource{Path: motd, Content: "a\n", Check: []string{"test", "-s", "%s"}},
			Given:    removeIfThere(motd),
		},
		{
			Name:     "bytes that are no text",
			Resource: &file.Resource{Path: motd, Data: []byte{0xff, 0, 0x80}},
			Given:    removeIfThere(motd),
			Drifts: []resourcetest.Drift{
				{Name: "other bytes", Do: resourcetest.WriteText(motd, "\xfe\x00\x80", 0o644), Attrs: []string{"content"}},
			},
		},
	}
}

func directoryCases() []resourcetest.Case {
	const dir, deep = "/srv/updraft-test", "/srv/updraft-test/a/b"
	no := false
	return []resourcetest.Case{
		{
			Name:     "a new directory",
			Resource: &directory.Resource{Path: dir, Mode: "2750", Owner: "daemon", Group: "daemon"},
			Drifts: []resourcetest.Drift{
				{Name: "gone", Do: remove(dir)},
				{Name: "other mode", Do: chmod(dir, 0o700), Attrs: []string{"mode"}},
				{Name: "other owner and group", Do: chown(dir, 0, 0), Attrs: []string{"owner", "group"}},
			},
		},
		{Name: "missing parents are made and go again", Resource: &directory.Resource{Path: deep}},
		{Name: "a disposable directory", Resource: &directory.Resource{Path: dir, Disposable: true}, Drifts: []resourcetest.Drift{{Name: "gone", Do: remove(dir)}}},
		{Name: "parents that are there are enough", Resource: &directory.Resource{Path: dir, Parents: &no}},
		{
			Name:     "a directory that was there gets its mode and owner back",
			Resource: &directory.Resource{Path: dir, Mode: "0700", Owner: "daemon"},
			Given:    resourcetest.Steps(mkdir(dir, resource.Access{Mode: 0o775}), chmod(dir, 0o775), chown(dir, 0, 1)),
		},
	}
}

func symlinkCases() []resourcetest.Case {
	const path = "/etc/updraft-test.link"
	return []resourcetest.Case{
		{
			Name:     "a new link",
			Resource: &symlink.Resource{Path: path, Target: "hostname"},
			Drifts: []resourcetest.Drift{
				{Name: "gone", Do: remove(path)},
				{Name: "other target", Do: link("/dev/null", path), Attrs: []string{"target"}},
			},
		},
		{
			Name:     "a link that was there comes back",
			Resource: &symlink.Resource{Path: path, Target: "/nowhere"},
			Given:    resourcetest.Steps(removeIfThere(path), link("/etc/hosts", path)),
		},
		{
			Name:     "a file that was there is replaced by force and comes back",
			Resource: &symlink.Resource{Path: path, Target: "/etc/hosts", Force: true},
			Given:    resourcetest.Steps(removeIfThere(path), resourcetest.WriteText(path, "a file\n", 0o640), chown(path, 1, 1)),
			Drifts: []resourcetest.Drift{
				{Name: "a file in its place", Do: resourcetest.Steps(remove(path), resourcetest.WriteText(path, "again\n", 0o644)), Attrs: []string{"type"}},
			},
		},
	}
}
