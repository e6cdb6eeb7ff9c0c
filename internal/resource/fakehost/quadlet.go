package fakehost

import (
	"context"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/updraft-cloud/updraft/internal/resource"
)

// Quadlet is podman as far as containers run under systemd: the generator that
// makes units of the files in /etc/containers/systemd, nsenter into a running
// container, and removal of what one leaves behind. As the real generator it
// refuses keys that it does not know, and leaves faulty files out.
type Quadlet struct{}

const (
	quadletDir   = "/etc/containers/systemd"
	generatedDir = "/run/systemd/generator"
	// fakePID is the number of every container's first process.
	fakePID = 4711
)

// Render returns nothing: all is in files.
func (*Quadlet) Render(*FS) string { return "" }

// Install registers the commands and makes the directory of the package.
func (q *Quadlet) Install(h *Host, f *FS) {
	must(f.MkdirAll(quadletDir))
	h.Handle("/usr/lib/systemd/system-generators/podman-system-generator", q.generator)
	h.Handle("podman", q.podman)
	h.Handle("nsenter", q.nsenter)
}

func (*Quadlet) generator(_ context.Context, h *Host, c resource.Command) (out resource.Output, err error) {
	dir, ok := "", false
	for _, e := range c.Env {
		if v, found := strings.CutPrefix(e, "QUADLET_UNIT_DIRS="); found {
			dir, ok = v, true
		}
	}
	if !ok || !slices.Equal(c.Args, []string{"--dryrun"}) {
		return out, Refuse(c, "want --dryrun and a directory")
	}
	var units, faults string
	err = h.View(func(f *FS) error {
		names, err := f.ReadDir(dir)
		for _, n := range names {
			data, _ := f.ReadFile(path.Join(dir, n))
			unit, fault := convert(n, string(data))
			if fault != "" {
				faults += fmt.Sprintf("quadlet-generator[7]: converting %q: %s\n", n, fault)
			} else {
				units += "---" + strings.TrimSuffix(n, ".container") + ".service---\n" + unit
			}
		}
		return err
	})
	if err != nil {
		return out, err
	}
	if faults != "" {
		return Exit(c, 1, "quadlet-generator[7]: Loading source unit file\n%s", strings.TrimSpace(faults))
	}
	return Print("%s", units)
}

// containerKeys are those of [Container] that are used.
var containerKeys = []string{
	"ContainerName", "Image", "Pull", "Network", "CgroupsMode", "LogDriver", "Exec", "User", "Environment", "Volume", "RunInit", "StopTimeout", "PodmanArgs",
}

// convert makes a unit of a file, or says why it cannot.
func convert(name, text string) (unit, fault string) {
	section, values := "", map[string]string{}
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		if line[0] == '[' {
			section = strings.Trim(line, "[]")
			continue
		}
		k, v, ok := strings.Cut(line, "=")
		switch {
		case !ok:
			return "", fmt.Sprintf("file contains line: “%s” which is not a key-value pair, group, or comment", line)
		case section == "Container" && !slices.Contains(containerKeys, k):
			return "", fmt.Sprintf("unsupported key '%s' in group 'Container' in %s", k, name)
		case section == "Service" && k == "KillMode" && v != "mixed" && v != "control-group":
			return "", fmt.Sprintf("invalid KillMode '%s'", v)
		}
		values[section+"."+k] = v
	}
	image := values["Container.Image"]
	switch {
	case image == "":
		return "", "no Image or Rootfs key specified"
	case strings.HasSuffix(image, ".image"):
		return "", fmt.Sprintf("requested Quadlet image %s was not found", image)
	}
	return strings.Replace(text, "[Container]", "[X-Container]", 1) +
		"[Service]\nType=notify\nExecStart=/usr/bin/podman run " + image + " " + values["Container.Exec"] + "\n", ""
}

// generate is what systemd has the generators do whenever it reloads.
func generate(f *FS) {
	f.RemoveAll(generatedDir)
	names, _ := f.ReadDir(quadletDir)
	for _, n := range names {
		data, err := f.ReadFile(path.Join(quadletDir, n))
		if unit, fault := convert(n, string(data)); err == nil && fault == "" {
			must(f.MkdirAll(generatedDir))
			must(f.WriteFile(generatedPath(n), []byte(unit), resource.Access{Mode: 0o644}))
		}
	}
	if names, _ := f.ReadDir("/run/systemd"); len(names) == 0 {
		f.RemoveAll("/run/systemd")
	}
}

func generatedPath(file string) string {
	return path.Join(generatedDir, strings.TrimSuffix(file, ".container")+".service")
}

// outdated reports whether the generator would make another unit than it has.
func outdated(f *FS, unit string) bool {
	now, err := f.ReadFile(path.Join(generatedDir, unit))
	if err != nil {
		return false
	}
	source := strings.TrimSuffix(unit, ".service") + ".container"
	data, _ := f.ReadFile(path.Join(quadletDir, source))
	want, _ := convert(source, string(data))
	return string(now) != want
}

// isGenerated reports whether the unit is the generator's.
func isGenerated(f *FS, unit string) bool {
	_, err := f.Lstat(path.Join(generatedDir, unit))
	return err == nil
}

// run does what a starting unit does to files: its directory and its pid file.
func (u *fakeUnit) run(f *FS) error {
	if dir := u.setting("RuntimeDirectory", ""); dir != "" {
		if err := f.MkdirAll("/run/" + dir); err != nil {
			return err
		}
	}
	for line := range strings.Lines(u.text) {
		if p, ok := strings.CutPrefix(strings.TrimSpace(line), "PodmanArgs=--pidfile="); ok {
			return f.WriteFile(p, []byte(strconv.Itoa(fakePID)), resource.Access{Mode: 0o644})
		}
	}
	return nil
}

// podman knows rm.
func (*Quadlet) podman(_ context.Context, _ *Host, c resource.Command) (resource.Output, error) {
	args, err := ParseArgs(c, "--force", "--ignore", "--volumes")
	if err != nil {
		return resource.Output{}, err
	}
	if len(args.Rest) != 2 || args.Rest[0] != "rm" || !args.Has("--ignore") {
		return resource.Output{}, Refuse(c, "only rm --force --ignore --volumes NAME is known")
	}
	return resource.Output{}, nil
}

// nsenter runs the command on the host: containers have no files of their own.
func (*Quadlet) nsenter(ctx context.Context, h *Host, c resource.Command) (resource.Output, error) {
	i := slices.Index(c.Args, "--")
	if i < 0 || !slices.Equal(c.Args[:i], []string{"--target", strconv.Itoa(fakePID), "--mount"}) || i+1 == len(c.Args) {
		return resource.Output{}, Refuse(c, "want --target PID --mount -- COMMAND")
	}
	return h.Run(ctx, resource.Command{Name: c.Args[i+1], Args: c.Args[i+2:], Reads: true, Quiet: true})
}
