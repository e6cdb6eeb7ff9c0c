package fakehost

import (
	"context"

	"github.com/updraft-cloud/updraft/internal/resource"
)

// Kernel is /proc/sys and the hostname command.
type Kernel struct{}

// Render returns nothing: all is in files.
func (*Kernel) Render(*FS) string { return "" }

// baseSysctl are the settings that a new host has.
var baseSysctl = map[string]string{
	"kernel/hostname":               "fake",
	"kernel/pid_max":                "32768",
	"fs/inotify/max_user_instances": "128",
	"net/core/somaxconn":            "4096",
	"net/ipv4/ip_forward":           "0",
	"net/ipv4/ip_local_port_range":  "32768\t60999",
	"net/ipv4/ip_nonlocal_bind":     "0",
	"vm/swappiness":                 "60",
}

// Install lays down /proc/sys.
func (k *Kernel) Install(h *Host, f *FS) {
	for name, value := range baseSysctl {
		f.SetKernel("/proc/sys/"+name, value+"\n")
	}
	h.Handle("hostname", k.hostname)
}

// hostname sets the name, or prints it.
func (*Kernel) hostname(_ context.Context, h *Host, c resource.Command) (resource.Output, error) {
	args, err := ParseArgs(c)
	if err != nil {
		return resource.Output{}, err
	}
	const file = "/proc/sys/kernel/hostname"
	switch len(args.Rest) {
	case 0:
		data, err := h.ReadFile(file)
		return resource.Output{Stdout: data}, err
	case 1:
		return resource.Output{}, h.Change(func(f *FS) error {
			f.SetKernel(file, args.Rest[0]+"\n")
			return nil
		})
	default:
		return resource.Output{}, Refuse(c, "too many arguments")
	}
}
