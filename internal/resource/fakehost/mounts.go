package fakehost

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/updraft-cloud/updraft/internal/resource"
)

// Mounts are mount and umount, which keep /proc/self/mounts. Mounting does not
// hide what the mount point holds.
type Mounts struct{ table []mountLine }

type mountLine struct{ source, target, fstype, options string }

// Render returns nothing: /proc/self/mounts is a file.
func (*Mounts) Render(*FS) string { return "" }

// Install registers the commands.
func (m *Mounts) Install(h *Host, f *FS) {
	m.table = []mountLine{{"/dev/vda1", "/", "ext4", "rw,relatime"}, {"proc", "/proc", "proc", "rw,nosuid,nodev,noexec,relatime"}}
	m.publish(f)
	h.Handle("mount", m.mount)
	h.Handle("umount", m.umount)
}

func (m *Mounts) publish(f *FS) {
	escape := strings.NewReplacer(`\`, `\134`, " ", `\040`, "\t", `\011`, "\n", `\012`)
	var b strings.Builder
	for _, l := range m.table {
		fmt.Fprintf(&b, "%s %s %s %s 0 0\n", escape.Replace(l.source), escape.Replace(l.target), l.fstype, l.options)
	}
	f.SetKernel("/proc/self/mounts", b.String())
}

// mount knows mount -t TYPE [-o OPTIONS] SOURCE TARGET, with remount and bind
// among the options.
func (m *Mounts) mount(_ context.Context, h *Host, c resource.Command) (resource.Output, error) {
	args, err := ParseArgs(c, "-t=", "-o=")
	if err != nil {
		return resource.Output{}, err
	}
	if len(args.Rest) != 2 || (args.Get("-t") == "" && !isBind(args.Get("-o"))) {
		return resource.Output{}, Refuse(c, "want -t TYPE, a source and a target")
	}
	source, target := args.Rest[0], args.Rest[1]
	msg := ""
	err = h.Change(func(f *FS) error {
		if fi, err := f.Stat(target); err != nil || fi.Type != resource.Directory {
			msg = target + ": mount point does not exist."
			return nil //nolint:nilerr // the command says so and fails
		}
		options := splitList(args.Get("-o"))
		if slices.Contains(options, "remount") {
			if !m.remount(target, options) {
				msg = target + ": mount point not mounted or bad option."
			}
		} else {
			m.table = append(m.table, mountLine{source, target, args.Get("-t"), liveOptions(options)})
		}
		m.publish(f)
		return nil
	})
	if err == nil && msg != "" {
		return Exit(c, 32, "mount: %s", msg)
	}
	return resource.Output{}, err
}

func isBind(options string) bool {
	list := splitList(options)
	return slices.Contains(list, "bind") || slices.Contains(list, "rbind")
}

// remount changes the options of the topmost mount at target.
func (m *Mounts) remount(target string, options []string) bool {
	for i := range slices.Backward(m.table) {
		if m.table[i].target == target {
			m.table[i].options = liveOptions(slices.DeleteFunc(options, func(o string) bool { return o == "remount" }))
			return true
		}
	}
	return false
}

// liveOptions are options as the kernel shows them: rw or ro first, without
// those that undo another or that only mount(8) and systemd know.
func liveOptions(options []string) string {
	out, atime := []string{"rw"}, "relatime"
	for _, o := range options {
		switch o {
		case "ro":
			out[0] = "ro"
		case "noatime":
			atime = o
		case "rw", "suid", "dev", "exec", "atime", "relatime", "defaults", "auto", "noauto", "nofail", "_netdev", "bind":
		default:
			if !strings.HasPrefix(o, "x-") {
				out = append(out, o)
			}
		}
	}
	return strings.Join(append(out, atime), ",")
}

func (m *Mounts) umount(_ context.Context, h *Host, c resource.Command) (resource.Output, error) {
	args, err := ParseArgs(c)
	if err != nil {
		return resource.Output{}, err
	}
	if len(args.Rest) != 1 {
		return resource.Output{}, Refuse(c, "want one target")
	}
	mounted := false
	err = h.Change(func(f *FS) error {
		for i := range slices.Backward(m.table) {
			if m.table[i].target == args.Rest[0] {
				m.table, mounted = slices.Delete(m.table, i, i+1), true
				break
			}
		}
		m.publish(f)
		return nil
	})
	if err == nil && !mounted {
		return Exit(c, 32, "umount: %s: not mounted.", args.Rest[0])
	}
	return resource.Output{}, err
}
