// Package reboot is the resource kind reboot: a host that is restarted when
// something asks for it.
//
// Whether a reboot is due is seen from the world: a file that says so, or files
// that were changed since the host booted. So it is neither forgotten nor done
// twice when updraft is killed around it.
package reboot

import (
	"context"
	"errors"
	"fmt"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/updraft-cloud/updraft/internal/drift"
	"github.com/updraft-cloud/updraft/internal/resource"
)

// Resource is a reboot that may be due.
type Resource struct {
	Name    string   `json:"name" required:"true" doc:"Name of the reason, such as kernel."`
	When    []string `json:"when,omitempty" doc:"Paths that ask for a reboot by existing, and are gone after it; /run/reboot-required, that of Debian and Ubuntu, when left out."`
	Changed []string `json:"changed,omitempty" doc:"Files that are read at boot only: a reboot is due when one was changed since."`
}

// Kind describes the kind.
func Kind() resource.Kind {
	return resource.Kind{
		Name: "reboot",
		Doc: "A reboot when a file asks for it, when a file that is read at boot only was changed since, or when something that triggers it changes. " +
			"updraft waits until the host is back.",
		New:     func() resource.Resource { return &Resource{} },
		Example: "name: kernel\nchanged: [/etc/default/grub]\n",
	}
}

// Kind returns "reboot".
func (*Resource) Kind() string { return "reboot" }

// Key returns the name.
func (r *Resource) Key() string { return r.Name }

// Reboots reports true.
func (*Resource) Reboots() bool { return true }

// Works reports true: a host that is due for a reboot does its work.
func (*Resource) Works(drift.Report) bool { return true }

// Disturbs reports whether the host would be rebooted.
func (*Resource) Disturbs(found drift.Report, triggered []string) bool {
	return !found.Agrees() || len(triggered) > 0
}

// Removal keeps the name.
func (r *Resource) Removal() resource.Resource { return &Resource{Name: r.Name} }

// Needs names what makes the files.
func (r *Resource) Needs() []string {
	var out []string
	for _, p := range r.Changed {
		out = append(out, "file:"+p, "symlink:"+p)
	}
	return out
}

// Validate checks the paths.
func (r *Resource) Validate() error {
	var errs []error
	if r.Name == "" || strings.ContainsAny(r.Name, "\n\x00") {
		errs = append(errs, resource.Fieldf("name", "give the reason a name", "%q is not a name", r.Name))
	}
	check := func(field string, paths []string) {
		for _, p := range paths {
			if !path.IsAbs(p) || strings.ContainsRune(p, 0) {
				errs = append(errs, resource.Fieldf(field, "write a path that begins with /", "%q is not an absolute path", p))
			}
		}
	}
	check("when", r.When)
	check("changed", r.Changed)
	return errors.Join(errs...)
}

func (r *Resource) when() []string {
	if r.When == nil {
		return []string{"/run/reboot-required"}
	}
	return r.When
}

// Observe looks for what asks for a reboot.
func (r *Resource) Observe(_ context.Context, h resource.Host) (drift.Report, error) {
	var b drift.Builder
	for _, p := range r.when() {
		if _, err := h.Stat(p); err == nil {
			b.Add(drift.Change{Attr: "boot", From: p + " asks for it", To: "reboot"})
			return b.Report(), nil
		}
	}
	if len(r.Changed) == 0 {
		return b.Report(), nil
	}
	booted, err := BootTime(h)
	if err != nil {
		return drift.Report{}, err
	}
	for _, p := range r.Changed {
		if info, err := h.Stat(p); err == nil && info.ChangeTime.After(booted) {
			b.Add(drift.Change{Attr: "boot", From: "older than " + p, To: "reboot"})
			break
		}
	}
	return b.Report(), nil
}

// BootTime returns when the host's init process began, up to a second late, as
// the kernel gives its own boot time rounded down: no file that updraft changes
// is changed within a second after boot. Unlike the kernel's boot time and boot
// ID this is right in containers, too.
func BootTime(h resource.Host) (time.Time, error) {
	stat, err := h.ReadFile("/proc/stat")
	if err != nil {
		return time.Time{}, err
	}
	pid1, err := h.ReadFile("/proc/1/stat")
	if err != nil {
		return time.Time{}, err
	}
	_, rest, _ := strings.Cut(string(stat), "\nbtime ")
	line, _, _ := strings.Cut(rest, "\n")
	kernel, err := strconv.ParseInt(strings.TrimSpace(line), 10, 64)
	if err != nil {
		return time.Time{}, fmt.Errorf("cannot read the boot time from /proc/stat: %w", err)
	}
	// Field 22 is the start time in ticks since the kernel's start, of which
	// there are 100 a second for user space (proc_pid_stat(5)). Fields are
	// counted behind the second, the name in parentheses, which may hold some.
	fields := strings.Fields(string(pid1)[strings.LastIndexByte(string(pid1), ')')+1:])
	const startField, ticks = 22 - 3, 100
	if len(fields) <= startField {
		return time.Time{}, errors.New("cannot read the start of init from /proc/1/stat")
	}
	started, err := strconv.ParseInt(fields[startField], 10, 64)
	if err != nil {
		return time.Time{}, fmt.Errorf("cannot read the start of init from /proc/1/stat: %w", err)
	}
	return time.Unix(kernel+1, 0).Add(time.Duration(started) * time.Second / ticks), nil
}

// delay leaves time for the answer to reach the deployer before the network
// goes down.
const delay = "1s"

// Apply lets the host reboot shortly after.
func (r *Resource) Apply(ctx context.Context, h resource.Host, _ drift.Report, why resource.Cause) error {
	rep, err := r.Observe(ctx, h)
	if err != nil || rep.Agrees() && len(why.Triggered) == 0 {
		return err
	}
	_, err = h.Run(ctx, resource.Command{Name: "systemd-run", Args: []string{
		"--quiet", "--collect", "--on-active=" + delay, "--timer-property=AccuracySec=50ms", "systemctl", "reboot",
	}})
	return err
}

// Remove does nothing: a reboot cannot be taken back.
func (*Resource) Remove(context.Context, resource.Host, bool) error { return nil }
