package unit

import (
	"context"
	"path"
	"strings"
	"time"

	"github.com/updraft-cloud/updraft/internal/drift"
	"github.com/updraft-cloud/updraft/internal/resource"
	"github.com/updraft-cloud/updraft/internal/resource/conffile"
)

// Prepare asks systemd once for all units.
func (r *Resource) Prepare(ctx context.Context, h resource.Host, all []resource.Resource) error {
	var names []string
	for _, a := range all {
		if u := a.(*Resource); !u.isTemplate() {
			names = append(names, u.Name)
		}
	}
	if len(names) == 0 {
		return nil
	}
	return Show(ctx, h, names...)
}

// Observe compares files, enablement, run state and the age of the process.
func (r *Resource) Observe(ctx context.Context, h resource.Host) (drift.Report, error) {
	var b drift.Builder
	exists, err := r.compareFiles(h, &b)
	if err != nil || r.isTemplate() {
		return reportOf(&b, exists), err
	}
	states, err := lookup(ctx, h, r.Name)
	if err != nil {
		return drift.Report{}, err
	}
	s := states[r.Name]
	if r.Content == "" {
		exists = s.found() || r.wantsNothing()
	}
	if !exists {
		return drift.Missing(), nil
	}
	r.compareState(&b, s)
	act, newer, err := r.stale(h, s)
	if err != nil {
		return drift.Report{}, err
	}
	if act != nothing {
		b.Add(drift.Change{Attr: "config", From: "older than " + newer, To: string(act)})
	}
	return b.Report(), nil
}

func reportOf(b *drift.Builder, exists bool) drift.Report {
	if !exists {
		return drift.Missing()
	}
	return b.Report()
}

// compareFiles compares the unit's files; exists is about the unit file, or
// true when updraft does not write it.
func (r *Resource) compareFiles(h resource.Host, b *drift.Builder) (exists bool, err error) {
	exists = true
	for _, f := range r.files() {
		attr := "content"
		if f.Path != r.unitPath() {
			attr = "drop-in " + path.Base(f.Path)
		}
		there, err := f.Compare(h, b, attr)
		if err != nil {
			return false, err
		}
		exists = exists && (there || f.Path != r.unitPath())
	}
	left, err := r.leftDropIns(h)
	for _, p := range left {
		b.Add(drift.Change{Attr: "drop-in " + path.Base(p), From: "present", To: "absent"})
	}
	return exists, err
}

// wantsNothing reports whether a unit that does not exist is as good as one
// that is off.
func (r *Resource) wantsNothing() bool {
	return r.Content == "" && len(r.DropIns) == 0 && !isTrue(r.Enabled) && !isTrue(r.Masked) && r.State != Started
}

func (r *Resource) compareState(b *drift.Builder, s state) {
	if r.Masked != nil && *r.Masked != s.masked() {
		b.Want("masked", word(s.masked(), "masked", "unmasked"), word(*r.Masked, "masked", "unmasked"))
	}
	if r.Enabled != nil && (*r.Enabled && !s.enabled() || !*r.Enabled && !s.disabled()) {
		b.Want("enabled", word(s["UnitFileState"] != "", s["UnitFileState"], "unknown"), word(*r.Enabled, "enabled", "disabled"))
	}
	switch {
	case r.State == Started && !s.running():
		b.Want("state", strings.TrimSpace(s["ActiveState"]+" "+s["SubState"]), "active")
	case r.State == Stopped && !s.stopped():
		b.Want("state", s["ActiveState"], "inactive")
	}
	if s["NeedDaemonReload"] == "yes" && len(r.files()) > 0 {
		b.Add(drift.Change{Attr: "loaded", From: "older than the unit's files", To: "reload"})
	}
}

// Settles tells that what others enable at the moment makes every unit look older
// than its files, until systemd has read them.
func (*Resource) Settles(attr string) bool { return attr == "loaded" }

func word(b bool, yes, no string) string {
	if b {
		return yes
	}
	return no
}

// action is what brings a running unit to its present configuration.
type action string

const (
	nothing action = ""
	reload  action = "reload"
	restart action = "restart"
)

// stale tells what a running unit needs because a file is newer than what it
// has read, and which file that is.
func (r *Resource) stale(h resource.Host, s state) (action, string, error) {
	if !s.running() || r.State == Stopped {
		return nothing, "", nil
	}
	loaded, err := s.startedAt()
	if err != nil {
		return nothing, "", err
	}
	if info, err := h.Stat(r.marker()); err == nil && info.ModTime.After(loaded) {
		loaded = info.ModTime
	}
	if p, err := newerThan(h, loaded, append(r.ownFiles(), r.RestartOn...)); p != "" || err != nil {
		return restart, p, err
	}
	if p, err := newerThan(h, loaded, r.ReloadOn); p != "" || err != nil {
		return reload, p, err
	}
	return nothing, "", nil
}

// ownFiles are the unit's own files where a change of them asks for a restart.
// Mounts, targets and slices are left alone: a restart takes down what is
// inside, and their changed settings act with the next start.
func (r *Resource) ownFiles() []string {
	switch path.Ext(r.Name) {
	case ".service", ".timer", ".path", ".socket":
	default:
		return nil
	}
	var out []string
	for _, f := range r.files() {
		out = append(out, f.Path)
	}
	return out
}

// newerThan returns the first path that was changed after t. A directory stands
// also for the files directly in it, a symlink also for what it points to. What
// does not exist is not newer.
func newerThan(h resource.Host, t time.Time, paths []string) (string, error) {
	for _, p := range paths {
		if changedAfter(h, p, t) {
			return p, nil
		}
		if info, err := h.Stat(p); err != nil || info.Type != resource.Directory {
			continue
		}
		names, err := conffile.List(h, p)
		if err != nil {
			return "", err
		}
		for _, n := range names {
			if q := path.Join(p, n); changedAfter(h, q, t) {
				return q, nil
			}
		}
	}
	return "", nil
}

func changedAfter(h resource.Host, p string, t time.Time) bool {
	if info, err := h.Lstat(p); err != nil || info.ChangeTime.After(t) {
		return err == nil
	}
	info, err := h.Stat(p)
	return err == nil && info.ChangeTime.After(t)
}
