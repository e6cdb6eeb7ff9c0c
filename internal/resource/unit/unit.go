// Package unit is the resource kind unit: a systemd unit, its file or drop-ins,
// whether it is enabled, whether it runs, and whether it runs with its present
// configuration.
//
// It guarantees that all units of a batch are observed by one process; that
// Apply returns without an error only when the unit is as wanted, and otherwise
// with the last lines of its journal; and that a unit whose configuration is
// newer than its process is recognised from the world (the times of files and
// of the process), so that a reload is not lost when updraft is killed between
// the change and the reload.
package unit

import (
	"errors"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/updraft-cloud/updraft/internal/resource"
	"github.com/updraft-cloud/updraft/internal/resource/conffile"
)

// The run states that can be asked for. The empty one is left alone.
const (
	Started = "started"
	Stopped = "stopped"
)

// Resource is a systemd unit.
type Resource struct {
	Name      string            `json:"name" required:"true" doc:"Full name of the unit, such as nginx.service or backup.timer."`
	Content   string            `json:"content,omitempty" doc:"Text of the whole unit file, written to /etc/systemd/system. Without it the unit must come from elsewhere, such as a package."`
	DropIns   map[string]string `json:"dropins,omitempty" doc:"Drop-in files by name: each is the text of a file that changes single settings of the unit."`
	Enabled   *bool             `json:"enabled,omitempty" doc:"Whether the unit is started at boot. Left alone when not given."`
	State     string            `json:"state,omitempty" enum:"started,stopped" doc:"Whether the unit runs now. Left alone when not given."`
	Masked    *bool             `json:"masked,omitempty" doc:"Whether the unit is made impossible to start. Left alone when not given."`
	RestartOn []string          `json:"restart_on,omitempty" doc:"Files, or directories with the files directly in them, that the unit reads only when it starts: it is restarted when one of them is newer than its process. The unit's own file and drop-ins always count."`
	ReloadOn  []string          `json:"reload_on,omitempty" doc:"Files and directories as in restart_on, for which a reload is enough. A unit that cannot reload is restarted."`
}

// Kind describes the kind.
func Kind() resource.Kind {
	return resource.Kind{
		Name: "unit",
		Doc: "A systemd unit: its file or drop-ins, enablement, run state, and restart or reload when its configuration is newer than its process. " +
			"A trigger that is a package or stands in restart_on restarts it; any other reloads it, or restarts it if it cannot reload. " +
			"Removing a unit that updraft made stops, disables and deletes it; any other gets back the file, enablement and run state that it had.",
		New:     func() resource.Resource { return &Resource{} },
		Example: "name: nginx.service\nenabled: true\nstate: started\nreload_on: [/etc/nginx/nginx.conf, /etc/nginx/conf.d]\n",
	}
}

// Kind returns "unit".
func (*Resource) Kind() string { return "unit" }

// Key returns the unit's name.
func (r *Resource) Key() string { return r.Name }

var (
	// nameRE is the syntax of systemd.unit(5), without names that begin like an option.
	nameRE   = regexp.MustCompile(`^[A-Za-z0-9:_.\\][A-Za-z0-9:_.\\@-]*\.(service|socket|timer|path|mount|automount|swap|target|slice)$`)
	dropInRE = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.-]*$`)
)

const maxName = 255

// ValidName reports whether name is the full name of a unit.
func ValidName(name string) bool { return len(name) <= maxName && nameRE.MatchString(name) }

// Validate checks names and contradictions.
func (r *Resource) Validate() error {
	var errs []error
	fault := func(field, mend, format string, args ...any) {
		errs = append(errs, resource.Fieldf(field, mend, format, args...))
	}
	if !ValidName(r.Name) {
		fault("name", "write the full name, such as "+strings.TrimLeft(r.Name, "-")+".service", "%q is not the name of a unit", r.Name)
	}
	if !slices.Contains([]string{"", Started, Stopped}, r.State) {
		fault("state", "started or stopped", "%q is not a run state", r.State)
	}
	if isTrue(r.Masked) && (r.Content != "" || r.State == Started || isTrue(r.Enabled)) {
		fault("masked", "leave one of them out", "a masked unit can have no content, not be enabled and not run")
	}
	if r.isTemplate() && (r.Enabled != nil || r.State != "" || r.Masked != nil) {
		fault("name", "name an instance, such as "+strings.Replace(r.Name, "@.", "@x.", 1), "a template by itself cannot be enabled or run")
	}
	if r.Content != "" && !strings.HasSuffix(r.Content, "\n") {
		fault("content", "end the text with a newline", "the last line is not complete")
	}
	for name := range r.DropIns {
		if !dropInRE.MatchString(name) || strings.HasSuffix(name, ".conf") {
			fault("dropins", "use letters, digits, dots, hyphens; without .conf", "%q is not a name for a drop-in", name)
		}
	}
	check := func(field string, paths []string) {
		for _, p := range paths {
			if !path.IsAbs(p) || path.Clean(p) != p || !conffile.OneLine(p) {
				fault(field, "write an absolute path without . and ..", "%q is not a path", p)
			}
		}
	}
	check("restart_on", r.RestartOn)
	check("reload_on", r.ReloadOn)
	slices.SortFunc(errs, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return errors.Join(errs...)
}

// Needs names what makes the files that the unit reads.
func (r *Resource) Needs() []string {
	var out []string
	for _, p := range slices.Concat(r.RestartOn, r.ReloadOn) {
		out = append(out, "file:"+p, "directory:"+p, "symlink:"+p)
	}
	return out
}

// Removal keeps the names of what Apply made, not their text.
func (r *Resource) Removal() resource.Resource {
	small := &Resource{Name: r.Name, Masked: r.Masked, Enabled: r.Enabled, State: r.State}
	if r.Content != "" {
		small.Content = conffile.Header
	}
	for name := range r.DropIns {
		if small.DropIns == nil {
			small.DropIns = map[string]string{}
		}
		small.DropIns[name] = ""
	}
	return small
}

const (
	unitDir   = "/etc/systemd/system"
	loadedDir = "/run/updraft/loaded"
	// dropInPrefix marks drop-ins as updraft's. It sorts after the digits with
	// which others begin, so that ours have the last word.
	dropInPrefix = "updraft-"
)

func (r *Resource) isTemplate() bool { return strings.Contains(r.Name, "@.") }

func (r *Resource) unitPath() string { return path.Join(unitDir, r.Name) }

func (r *Resource) dropInDir() string { return r.unitPath() + ".d" }

// marker is touched after a reload, which the times of the process do not show.
func (r *Resource) marker() string { return path.Join(loadedDir, r.Name) }

// files are the files that the unit is made of, as far as they are managed.
func (r *Resource) files() []conffile.File {
	var out []conffile.File
	if r.Content != "" {
		out = append(out, conffile.File{Path: r.unitPath(), Text: r.Content})
	}
	for name, text := range r.DropIns {
		out = append(out, conffile.File{Path: path.Join(r.dropInDir(), dropInPrefix+name+".conf"), Text: text})
	}
	slices.SortFunc(out, func(a, b conffile.File) int { return strings.Compare(a.Path, b.Path) })
	return out
}

// leftDropIns returns drop-ins of updraft's that are no longer wanted.
func (r *Resource) leftDropIns(h resource.Host) ([]string, error) {
	names, err := conffile.List(h, r.dropInDir())
	var out []string
	for _, n := range names {
		bare, ours := strings.CutPrefix(strings.TrimSuffix(n, ".conf"), dropInPrefix)
		if _, wanted := r.DropIns[bare]; ours && !wanted {
			out = append(out, path.Join(r.dropInDir(), n))
		}
	}
	return out, err
}

func isTrue(b *bool) bool { return b != nil && *b }
