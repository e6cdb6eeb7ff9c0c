package fakehost

import (
	"context"
	"strings"

	"github.com/updraft-cloud/updraft/internal/resource"
)

// Shell is a /bin/sh that runs one command of plain words, touch, and runuser.
type Shell struct{}

// Install registers the commands.
func (s *Shell) Install(h *Host, _ *FS) {
	h.Handle("/bin/sh", s.sh)
	h.Handle("runuser", s.runuser)
	h.Handle("touch", func(_ context.Context, h *Host, c resource.Command) (resource.Output, error) {
		args, err := ParseArgs(c)
		if err != nil || len(args.Rest) != 1 {
			return resource.Output{}, Refuse(c, "want one path")
		}
		return resource.Output{}, h.Change(func(f *FS) error {
			return f.WriteFile(args.Rest[0], c.Stdin, resource.Access{Mode: 0o644})
		})
	})
}

// Render returns nothing: there is no state.
func (*Shell) Render(*FS) string { return "" }

func (*Shell) sh(ctx context.Context, h *Host, c resource.Command) (resource.Output, error) {
	if len(c.Args) != 2 || c.Args[0] != "-c" && c.Args[0] != "-euc" || strings.ContainsAny(c.Args[1], "&;|$\"'\n") {
		return resource.Output{}, Refuse(c, "want -c and plain words")
	}
	words := strings.Fields(c.Args[1])
	h.mu.Lock()
	known := h.commands[words[0]] != nil
	h.mu.Unlock()
	if !known {
		return Exit(c, 127, "/bin/sh: 1: %s: not found", words[0])
	}
	inner := c
	inner.Name, inner.Args = words[0], words[1:]
	return h.Run(ctx, inner)
}

// runuser knows -u USER -- COMMAND….
func (*Shell) runuser(ctx context.Context, h *Host, c resource.Command) (resource.Output, error) {
	if len(c.Args) < 4 || c.Args[0] != "-u" || c.Args[2] != "--" {
		return resource.Output{}, Refuse(c, "want -u USER -- COMMAND")
	}
	passwd, err := h.ReadFile("/etc/passwd")
	if err != nil {
		return resource.Output{}, err
	}
	if !strings.Contains("\n"+string(passwd), "\n"+c.Args[1]+":") {
		return Exit(c, 1, "runuser: user %s does not exist", c.Args[1])
	}
	inner := c
	inner.Name, inner.Args = c.Args[3], c.Args[4:]
	return h.Run(ctx, inner)
}
