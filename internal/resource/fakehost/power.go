package fakehost

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/updraft-cloud/updraft/internal/resource"
)

// Power is systemd-run as it is used to reboot, which happens at once. What is
// in /run is gone then.
type Power struct{ Reboots int }

// Install sets the boot time.
func (p *Power) Install(h *Host, f *FS) {
	p.boot(f)
	h.Handle("systemd-run", p.run)
}

// Render returns nothing: how often a host was rebooted is no state.
func (*Power) Render(*FS) string { return "" }

func (*Power) boot(f *FS) {
	// Thirty seconds after the kernel, as in a container that started later.
	f.SetKernel("/proc/stat", fmt.Sprintf("cpu  1 2 3\nbtime %d\nprocesses 1\n", f.now.Add(-30*time.Second).Unix()))
	f.SetKernel("/proc/1/stat", "1 (systemd (fake)) S 0 1 1 0 -1 4194560 1 1 0 0 1 1 1 1 20 0 1 0 3000 1 1\n")
}

func (p *Power) run(_ context.Context, h *Host, c resource.Command) (resource.Output, error) {
	want := []string{"--quiet", "--collect", "--on-active=1s", "--timer-property=AccuracySec=50ms", "systemctl", "reboot"}
	if !slices.Equal(c.Args, want) {
		return resource.Output{}, Refuse(c, "only a reboot is known")
	}
	return resource.Output{}, h.Change(func(f *FS) error {
		p.Reboots++
		f.RemoveAll("/run")
		must(f.MkdirAll("/run"))
		f.now = f.now.Add(time.Minute)
		p.boot(f)
		return nil
	})
}
