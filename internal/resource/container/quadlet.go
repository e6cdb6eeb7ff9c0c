package container

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/updraft-cloud/updraft/internal/resource"
	"github.com/updraft-cloud/updraft/internal/resource/conffile"
	"github.com/updraft-cloud/updraft/internal/resource/original"
	"github.com/updraft-cloud/updraft/internal/resource/unit"
)

// place writes the file, unless it is there already.
func (r *Resource) place(ctx context.Context, h resource.Host, made bool) error {
	f := r.quadlet()
	if ok, err := f.Agrees(h); ok || err != nil {
		return err
	}
	if err := r.free(h); err != nil {
		return err
	}
	if err := judge(ctx, h, r); err != nil {
		return err
	}
	if !made {
		if err := r.keep(ctx, h); err != nil {
			return err
		}
	}
	_, err := f.Write(h)
	return err
}

// isOld reports whether the unit that Quadlet has made is older than the file. What
// systemd says of a needed reload tells it only of units that are in memory: it
// forgets one that does not run, and then takes the old unit for that of the file.
func (r *Resource) isOld(h resource.Host) (bool, error) {
	file, err := h.Stat(r.quadletPath())
	if err != nil {
		return false, err
	}
	made, err := h.Stat(path.Join("/run/systemd/generator", r.unitName()))
	if errors.Is(err, fs.ErrNotExist) {
		return true, nil
	}
	return made.ChangeTime.Before(file.ChangeTime), err
}

// load has systemd read the file if it has not. A container that runs by an older
// one is restarted by a trigger of its own.
func (r *Resource) load(ctx context.Context, h resource.Host, triggers []string) ([]string, error) {
	old, err := r.isOld(h)
	if err != nil || !old {
		return triggers, err
	}
	if err := systemctl(ctx, h, "daemon-reload"); err != nil {
		return nil, err
	}
	return append(slices.Clone(triggers), "file:"+r.quadletPath()), nil
}

// free refuses a name that a unit has already: one of /etc would be run in place
// of the container, and one of a package would no longer be.
func (r *Resource) free(h resource.Host) error {
	for _, dir := range []string{"/etc/systemd/system", "/usr/lib/systemd/system"} {
		p := path.Join(dir, r.unitName())
		there, err := conffile.Exists(h, p)
		if err != nil {
			return err
		}
		if there {
			return fmt.Errorf("cannot name a container %s: the host has a unit of that name in %s; remove it, or give the container another name", r.Name, p)
		}
	}
	return nil
}

// generator is Quadlet, as systemd runs it.
const generator = "/usr/lib/systemd/system-generators/podman-system-generator"

// judgeDir is where the generator sees the file on trial.
func (r *Resource) judgeDir() string { return path.Join(runDir, "quadlet-"+r.Name) }

// endTrial removes what a trial leaves.
func (r *Resource) endTrial(h resource.Host) error {
	if _, err := conffile.Remove(h, path.Join(r.judgeDir(), path.Base(r.quadletPath()))); err != nil {
		return err
	}
	return conffile.Tidy(h, r.judgeDir(), runDir)
}

// judge has the real generator look at the file, in a directory of its own.
func judge(ctx context.Context, h resource.Host, r *Resource) error {
	f := r.quadlet()
	f.Path = path.Join(r.judgeDir(), path.Base(f.Path))
	if _, err := f.Write(h); err != nil {
		return err
	}
	out, err := h.Run(ctx, resource.Command{
		Name: generator, Args: []string{"--dryrun"}, Env: []string{"QUADLET_UNIT_DIRS=" + r.judgeDir()}, Quiet: true, Reads: true,
	})
	if endErr := r.endTrial(h); endErr != nil {
		return errors.Join(err, endErr)
	}
	var exit *resource.ExitError
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("cannot make container %s: the host has no podman with Quadlet (podman 5, %s)", r.Name, generator)
	case errors.As(err, &exit), err == nil && !strings.Contains(string(out.Stdout), "---"+r.unitName()+"---"):
		return fmt.Errorf("quadlet refuses the file of container %s: %s", r.Name, verdict(string(out.Stderr)))
	}
	return err
}

// verdict returns what the generator says of a file, without its name, number
// and progress.
func verdict(stderr string) string {
	var out []string
	for line := range strings.Lines(stderr) {
		line = strings.TrimSpace(line)
		if _, rest, ok := strings.Cut(line, "]: "); ok && strings.HasPrefix(line, "quadlet-generator[") {
			line = rest
		}
		if line != "" && !strings.HasPrefix(line, "Loading source unit file") && !strings.HasPrefix(line, "No files parsed from") {
			out = append(out, line)
		}
	}
	if len(out) == 0 {
		return "it makes no unit of it, and does not say why"
	}
	return strings.Join(out, "; ")
}

// runs is noted of a container that ran before updraft changed it.
const runs = "runs"

// keep notes the file that was there, and whether it ran.
func (r *Resource) keep(ctx context.Context, h resource.Host) error {
	was, err := original.Of(h, r.quadletPath())
	if err != nil {
		return err
	}
	s, err := unit.Look(ctx, h, r.unitName())
	if err != nil {
		return err
	}
	if was.Type == original.TypeName(resource.Regular) && s.Running {
		was.Text = runs
	}
	return original.Keep(h, resource.Ref(r), was)
}

// takeDown stops the container, and removes what podman keeps of one that a
// power cut has ended.
func (r *Resource) takeDown(ctx context.Context, h resource.Host) error {
	s, err := unit.Look(ctx, h, r.unitName())
	if err != nil {
		return err
	}
	if s.Found && s.Active != "inactive" && s.Active != "failed" {
		if err := systemctl(ctx, h, "stop", r.unitName()); err != nil {
			return err
		}
		h.Forget()
		if s, err = unit.Look(ctx, h, r.unitName()); err != nil {
			return err
		}
	}
	if s.Active == "failed" {
		if err := systemctl(ctx, h, "reset-failed", r.unitName()); err != nil {
			return err
		}
	}
	_, err = h.Run(ctx, resource.Command{Name: "podman", Args: []string{"rm", "--force", "--ignore", "--volumes", r.Name}, Quiet: true})
	if errors.Is(err, fs.ErrNotExist) {
		return nil // podman is not installed (any more)
	}
	return err
}

// clear removes the files of the container.
func (r *Resource) clear(h resource.Host) error {
	loaded := path.Join(runDir, "loaded")
	if _, err := conffile.Remove(h, r.quadletPath(), r.pidFile(), r.mark().Path, path.Join(loaded, r.unitName())); err != nil {
		return err
	}
	return conffile.Tidy(h, loaded, runDir)
}

func systemctl(ctx context.Context, h resource.Host, args ...string) error {
	_, err := h.Run(ctx, resource.Command{Name: "systemctl", Args: args})
	return err
}
