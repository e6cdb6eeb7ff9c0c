package fakehost

import (
	"context"

	"github.com/updraft-cloud/updraft/internal/resource"
)

// Coreutils are the few general commands that tests and validations use.
type Coreutils struct{}

// Render returns nothing: there is no state.
func (*Coreutils) Render(*FS) string { return "" }

// Install registers true, false, test and rm.
func (u *Coreutils) Install(h *Host, _ *FS) {
	h.Handle("true", func(context.Context, *Host, resource.Command) (resource.Output, error) {
		return resource.Output{}, nil
	})
	h.Handle("false", func(_ context.Context, _ *Host, c resource.Command) (resource.Output, error) {
		return Exit(c, 1, "")
	})
	h.Handle("test", u.test)
	h.Handle("rm", u.rm)
}

// test knows test -s FILE and test -e FILE.
func (*Coreutils) test(_ context.Context, h *Host, c resource.Command) (resource.Output, error) {
	if len(c.Args) != 2 || c.Args[0] != "-s" && c.Args[0] != "-e" {
		return resource.Output{}, Refuse(c, "want -s or -e and a path")
	}
	fi, err := h.Stat(c.Args[1])
	if err != nil || c.Args[0] == "-s" && fi.Size == 0 {
		return Exit(c, 1, "")
	}
	return resource.Output{}, nil
}

// rm knows rm -rf --one-file-system -- PATH….
func (*Coreutils) rm(_ context.Context, h *Host, c resource.Command) (resource.Output, error) {
	args, err := ParseArgs(c, "-r=", "--one-file-system")
	if err != nil {
		return resource.Output{}, err
	}
	if args.Get("-r") != "f" || !args.Has("--one-file-system") || len(args.Rest) == 0 {
		return resource.Output{}, Refuse(c, "want -rf --one-file-system -- and paths")
	}
	return resource.Output{}, h.Change(func(f *FS) error {
		for _, p := range args.Rest {
			f.RemoveAll(p)
		}
		return nil
	})
}
