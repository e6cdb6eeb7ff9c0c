package fakehost

import (
	"context"
	"strings"

	"github.com/updraft-cloud/updraft/internal/resource"
)

// Modules are modprobe and the kernel's lists of modules.
type Modules struct {
	// Busy modules cannot be unloaded.
	Busy map[string]bool
}

const fakeModules = "/lib/modules/6.12.0-fake"

// Install lays down a kernel that has br_netfilter and dummy as modules, and
// loop and overlay built in.
func (m *Modules) Install(h *Host, f *FS) {
	m.Busy = map[string]bool{}
	f.SetKernel("/proc/modules", "")
	f.SetKernel("/proc/sys/kernel/osrelease", "6.12.0-fake\n")
	f.SetKernel("/sys/module/loop/parameters/max_loop", "0\n")
	must(f.MkdirAll(fakeModules))
	must(f.MkdirAll("/etc/modprobe.d"))
	for name, text := range map[string]string{
		"modules.dep":     "kernel/net/bridge/br_netfilter.ko.xz: kernel/net/bridge/bridge.ko.xz\nkernel/drivers/net/dummy.ko.xz:\n",
		"modules.builtin": "kernel/fs/overlayfs/overlay.ko\nkernel/drivers/block/loop.ko\n",
	} {
		must(f.WriteFile(fakeModules+"/"+name, []byte(text), resource.Access{Mode: 0o644}))
	}
	h.Handle("modprobe", m.modprobe)
}

// Render returns nothing: all is in files.
func (*Modules) Render(*FS) string { return "" }

func (m *Modules) modprobe(_ context.Context, h *Host, c resource.Command) (resource.Output, error) {
	args, err := ParseArgs(c, "-r")
	if err != nil || len(args.Rest) != 1 {
		return resource.Output{}, Refuse(c, "want one module: %v", err)
	}
	name := args.Rest[0]
	dep, err := h.ReadFile(fakeModules + "/modules.dep")
	if err != nil {
		return resource.Output{}, err
	}
	switch {
	case !strings.Contains(string(dep), "/"+name+".ko"):
		return Exit(c, 1, "modprobe: FATAL: Module %s not found in directory %s", name, fakeModules)
	case args.Has("-r") && m.Busy[name]:
		return Exit(c, 1, "modprobe: FATAL: Module %s is in use.", name)
	}
	return resource.Output{}, h.Change(func(f *FS) error {
		if args.Has("-r") {
			f.RemoveAll("/sys/module/" + name)
		} else {
			f.SetKernel("/sys/module/"+name+"/initstate", "live\n")
		}
		return nil
	})
}
