// Package kernelmodule is the resource kind kernelmodule: a module that is
// loaded now and at every boot, with its options.
//
// What is built into the kernel counts as loaded. A kernel that cannot load
// modules, as those of some virtual machines, is told apart from one that lacks
// this module: neither goes away by trying again.
package kernelmodule

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/updraft-cloud/updraft/internal/drift"
	"github.com/updraft-cloud/updraft/internal/resource"
	"github.com/updraft-cloud/updraft/internal/resource/conffile"
)

// Resource is a kernel module.
type Resource struct {
	Name     string            `json:"name" required:"true" doc:"Name of the module, such as br_netfilter."`
	Options  map[string]string `json:"options,omitempty" doc:"Parameters of the module. They are written for the next time it is loaded; a module in use is not reloaded."`
	Optional bool              `json:"optional,omitempty" doc:"Go on without the module where the kernel does not have it."`
}

// Kind describes the kind.
func Kind() resource.Kind {
	return resource.Kind{
		Name: "kernelmodule",
		Doc: "A kernel module, loaded now and at boot (modules-load.d, modprobe.d). Removing it unloads what was not loaded before, " +
			"unless it is in use.",
		New:     func() resource.Resource { return &Resource{} },
		Example: "name: br_netfilter\noptional: true\n",
	}
}

// Kind returns "kernelmodule".
func (*Resource) Kind() string { return "kernelmodule" }

// Key returns the module's name, with underscores: hyphens mean the same.
func (r *Resource) Key() string { return strings.ReplaceAll(r.Name, "-", "_") }

var (
	nameRE   = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_-]*$`)
	optionRE = regexp.MustCompile(`^[A-Za-z0-9_]+$`)
)

// Validate checks what goes into modprobe's configuration.
func (r *Resource) Validate() error {
	var errs []error
	if !nameRE.MatchString(r.Name) {
		errs = append(errs, resource.Fieldf("name", "use letters, digits, _ and -", "%q is not the name of a module", r.Name))
	}
	for _, k := range slices.Sorted(maps.Keys(r.Options)) {
		if !optionRE.MatchString(k) || !conffile.OneLine(r.Options[k]) || strings.ContainsAny(r.Options[k], " \\\"'") {
			errs = append(errs, resource.Fieldf("options", "write NAME: VALUE without spaces and quotes", "%s=%q is not a parameter", k, r.Options[k]))
		}
	}
	return errors.Join(errs...)
}

func (r *Resource) loadPath() string { return "/etc/modules-load.d/updraft-" + r.Key() + ".conf" }

func (r *Resource) optionsPath() string { return "/etc/modprobe.d/updraft-" + r.Key() + ".conf" }

// files are the configuration, in the order in which it is written: a module is
// not to be loaded without its options.
func (r *Resource) files() []conffile.File {
	load := conffile.File{Path: r.loadPath(), Text: conffile.Header + r.Key() + "\n"}
	if len(r.Options) == 0 {
		return []conffile.File{load}
	}
	words := []string{"options", r.Key()}
	for _, k := range slices.Sorted(maps.Keys(r.Options)) {
		words = append(words, k+"="+r.Options[k])
	}
	return []conffile.File{{Path: r.optionsPath(), Text: conffile.Header + strings.Join(words, " ") + "\n"}, load}
}

// loaded reports whether the module is loaded or built in with parameters
// (/sys/module), or built in without any (modules.builtin).
func (r *Resource) loaded(h resource.Host) (bool, error) {
	there, err := conffile.Exists(h, "/sys/module/"+r.Key())
	if there || err != nil {
		return there, err
	}
	return r.listed(h, "modules.builtin")
}

// obtainable reports whether the kernel could load the module.
func (r *Resource) obtainable(h resource.Host) (bool, error) {
	if loads, err := loadsModules(h); !loads || err != nil {
		return false, err
	}
	return r.listed(h, "modules.dep")
}

func loadsModules(h resource.Host) (bool, error) { return conffile.Exists(h, "/proc/modules") }

// listed looks for the module in a list of the running kernel's modules.
func (r *Resource) listed(h resource.Host, list string) (bool, error) {
	release, err := conffile.Read(h, "/proc/sys/kernel/osrelease")
	if err != nil {
		return false, err
	}
	text, err := conffile.Read(h, path.Join("/lib/modules", strings.TrimSpace(release), list))
	if err != nil {
		return false, err
	}
	for line := range strings.Lines(text) {
		file, _, _ := strings.Cut(line, ":")
		name, _, _ := strings.Cut(path.Base(strings.TrimSpace(file)), ".ko")
		if strings.ReplaceAll(name, "-", "_") == r.Key() {
			return true, nil
		}
	}
	return false, nil
}

// Observe compares the configuration and looks whether the module is loaded.
func (r *Resource) Observe(_ context.Context, h resource.Host) (drift.Report, error) {
	loaded, err := r.loaded(h)
	if err != nil {
		return drift.Report{}, err
	}
	if !loaded && r.Optional {
		if ok, err := r.obtainable(h); !ok || err != nil {
			return drift.Report{Status: drift.InSync, Notes: []string{"going on without " + r.Name + ", which this kernel does not have"}}, err
		}
	}
	var b drift.Builder
	written := false
	for _, f := range r.files() {
		there, err := f.Compare(h, &b, word(f.Path == r.loadPath(), "boot", "options"))
		if err != nil {
			return drift.Report{}, err
		}
		written = written || there
	}
	if left, err := r.leftOptions(h); err != nil {
		return drift.Report{}, err
	} else if left {
		b.Want("options", r.optionsPath(), "absent")
	}
	b.Want("loaded", word(loaded, "yes", "no"), "yes")
	if !written && !loaded {
		return drift.Missing(), nil
	}
	return b.Report(), nil
}

func (r *Resource) leftOptions(h resource.Host) (bool, error) {
	if len(r.Options) > 0 {
		return false, nil
	}
	return conffile.Exists(h, r.optionsPath())
}

func word(b bool, yes, no string) string {
	if b {
		return yes
	}
	return no
}

// Apply loads the module and writes its configuration.
func (r *Resource) Apply(ctx context.Context, h resource.Host, _ drift.Report, _ resource.Cause) error {
	loaded, err := r.loaded(h)
	if err != nil {
		return err
	}
	for _, f := range r.files() {
		if !loaded && f.Path == r.loadPath() {
			if err := r.load(ctx, h); err != nil {
				return err
			}
		}
		if _, err := f.Write(h); err != nil {
			return err
		}
	}
	if len(r.Options) == 0 {
		_, err = conffile.Remove(h, r.optionsPath())
	}
	return err
}

// load loads the module.
func (r *Resource) load(ctx context.Context, h resource.Host) error {
	if loads, err := loadsModules(h); err != nil {
		return err
	} else if !loads {
		return fmt.Errorf("cannot load kernel module %s: this kernel loads no modules and %s is not built in; "+
			"set optional: true to go on without it", r.Name, r.Name)
	}
	_, err := h.Run(ctx, resource.Command{Name: "modprobe", Args: []string{"--", r.Key()}})
	var exit *resource.ExitError
	if errors.As(err, &exit) {
		return fmt.Errorf("cannot load kernel module %s: %s", r.Name, exit.Stderr)
	}
	return err
}

// Remove takes the configuration back and unloads a module that was not loaded
// before, unless it is in use.
func (r *Resource) Remove(ctx context.Context, h resource.Host, made bool) error {
	loaded, err := conffile.Exists(h, "/sys/module/"+r.Key())
	if err != nil {
		return err
	}
	if loads, _ := loadsModules(h); made && loaded && loads {
		_, err := h.Run(ctx, resource.Command{Name: "modprobe", Args: []string{"-r", "--", r.Key()}})
		var exit *resource.ExitError
		if errors.As(err, &exit) {
			h.Logf("kernel module %s stays until the next boot: %s", r.Name, exit.Stderr)
		} else if err != nil {
			return err
		}
	}
	_, err = conffile.Remove(h, r.loadPath(), r.optionsPath())
	return err
}
