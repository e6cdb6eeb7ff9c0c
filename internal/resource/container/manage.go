package container

import (
	"context"
	"errors"
	"fmt"
	"path"
	"strings"
	"time"

	"github.com/updraft-cloud/updraft/internal/drift"
	"github.com/updraft-cloud/updraft/internal/resource"
	"github.com/updraft-cloud/updraft/internal/resource/conffile"
	"github.com/updraft-cloud/updraft/internal/resource/original"
	"github.com/updraft-cloud/updraft/internal/resource/unit"
)

func (r *Resource) stopTimeout() time.Duration {
	d, _ := duration(r.StopTimeout, stopTimeout) // Validate has read it
	return d
}

// Prepare asks systemd once for all containers.
func (r *Resource) Prepare(ctx context.Context, h resource.Host, all []resource.Resource) error {
	var names []string
	for _, a := range all {
		names = append(names, a.(*Resource).unitName())
	}
	return unit.Show(ctx, h, names...)
}

// Observe compares file and run state, and looks whether it is ready.
func (r *Resource) Observe(ctx context.Context, h resource.Host) (drift.Report, error) {
	var b drift.Builder
	exists, err := r.quadlet().Compare(h, &b, "file")
	if err != nil || !exists {
		return drift.Missing(), err
	}
	u, err := r.unit().Observe(ctx, h)
	if err != nil {
		return drift.Report{}, err
	}
	if u.Status == drift.Absent {
		b.Want("state", "not loaded", "active")
	}
	for _, c := range u.Changes {
		b.Add(c)
	}
	if rep := b.Report(); !rep.Agrees() {
		return rep, nil
	}
	if err := r.ask(ctx, h); err != nil {
		b.Want("ready", "no", "yes")
	}
	return b.Report(), nil
}

// Apply writes the file if the generator takes it, starts or restarts the
// container where that is due, and waits until it is ready.
func (r *Resource) Apply(ctx context.Context, h resource.Host, found drift.Report, why resource.Cause) error {
	if err := r.writeFile(ctx, h, why.Made); err != nil {
		return err
	}
	if err := r.unit().Apply(ctx, h, found, resource.Cause{Triggered: why.Triggered, Made: true}); err != nil {
		return err
	}
	if err := r.await(ctx, h); err != nil {
		return err
	}
	h.Forget()
	return nil
}

func (r *Resource) writeFile(ctx context.Context, h resource.Host, made bool) error {
	f := r.quadlet()
	if ok, err := f.Agrees(h); ok || err != nil {
		return err
	}
	if err := r.judge(ctx, h); err != nil {
		return err
	}
	if !made {
		was, err := original.Of(h, f.Path)
		if err != nil {
			return err
		}
		if err := original.Keep(h, resource.Ref(r), was); err != nil {
			return err
		}
	}
	if _, err := f.Write(h); err != nil {
		return err
	}
	_, err := h.Run(ctx, resource.Command{Name: "systemctl", Args: []string{"daemon-reload"}})
	return err
}

// generator is Quadlet, as systemd runs it.
const generator = "/usr/lib/systemd/system-generators/podman-system-generator"

// judge has the real generator look at the file, in a directory of its own.
func (r *Resource) judge(ctx context.Context, h resource.Host) error {
	dir := path.Join(runDir, "quadlet-"+r.Name)
	f := r.quadlet()
	f.Path = path.Join(dir, r.Name+".container")
	if _, err := f.Write(h); err != nil {
		return err
	}
	out, err := h.Run(ctx, resource.Command{
		Name: generator, Args: []string{"--dryrun"}, Env: []string{"QUADLET_UNIT_DIRS=" + dir}, Quiet: true, Reads: true,
	})
	if _, rmErr := conffile.Remove(h, f.Path); rmErr != nil {
		err = errors.Join(err, rmErr)
	}
	err = errors.Join(err, conffile.Tidy(h, dir))
	if err != nil {
		return fmt.Errorf("quadlet refuses container %s: %w", r.Name, err)
	}
	if !strings.Contains(string(out.Stdout), "---"+r.unitName()+"---") {
		return fmt.Errorf("quadlet makes no unit of container %s: %s", r.Name, strings.TrimSpace(string(out.Stderr)))
	}
	return nil
}

// Remove stops the container and takes its file away; what was there before
// comes back.
func (r *Resource) Remove(ctx context.Context, h resource.Host, made bool) error {
	if _, err := h.Run(ctx, resource.Command{Name: "systemctl", Args: []string{"stop", r.unitName()}}); err != nil && !gone(err) {
		return err
	}
	if _, err := conffile.Remove(h, r.quadletPath(), r.pidFile()); err != nil {
		return err
	}
	was, kept, err := original.Load(h, resource.Ref(r))
	if err != nil {
		return err
	}
	if kept && !made {
		if err := was.Restore(h, r.quadletPath()); err != nil {
			return err
		}
	}
	_, err = h.Run(ctx, resource.Command{Name: "systemctl", Args: []string{"daemon-reload"}})
	if err != nil {
		return err
	}
	return original.Drop(h, resource.Ref(r))
}

// gone reports whether systemd says that there is no such unit.
func gone(err error) bool {
	var exit *resource.ExitError
	return errors.As(err, &exit) && (exit.Code == 5 || strings.Contains(exit.Stderr, "not loaded"))
}
