package unit

import (
	"context"
	"encoding/json"

	"github.com/updraft-cloud/updraft/internal/resource"
	"github.com/updraft-cloud/updraft/internal/resource/conffile"
	"github.com/updraft-cloud/updraft/internal/resource/original"
)

// before is how a unit was that updraft did not make; it stands in the text of
// the original.
type before struct {
	FileState string `json:"file_state"`
	Running   bool   `json:"running"`
}

// keep notes how the unit is before the first change of it.
func (r *Resource) keep(ctx context.Context, h resource.Host, made bool) error {
	var s state
	if !made && !r.isTemplate() {
		var err error
		if s, err = r.look(ctx, h); err != nil {
			return err
		}
	}
	return r.keepState(h, made, s)
}

// keepState is keep with what systemd says of the unit.
func (r *Resource) keepState(h resource.Host, made bool, s state) error {
	if made {
		return nil
	}
	var was original.Entry
	var err error
	if r.Content != "" {
		if was, err = original.Of(h, r.unitPath()); err != nil {
			return err
		}
		if string(was.Data) == r.Content {
			// Ours, from a run that was cut off: it is not known to the state yet.
			return nil
		}
	}
	if !r.isTemplate() {
		text, err := json.Marshal(before{s["UnitFileState"], s.running()})
		if err != nil {
			return err
		}
		was.Text = string(text)
	}
	return original.Keep(h, resource.Ref(r), was)
}

// Remove takes back what Apply made: the unit, if updraft made it, otherwise
// its file, enablement and run state as they were.
func (r *Resource) Remove(ctx context.Context, h resource.Host, made bool) error {
	was, kept, err := original.Load(h, resource.Ref(r))
	if err != nil {
		return err
	}
	if made {
		if err := r.takeDown(ctx, h); err != nil {
			return err
		}
	}
	if err := r.removeFiles(h, made); err != nil {
		return err
	}
	if kept && !made && r.Content != "" {
		if err := was.Restore(h, r.unitPath()); err != nil {
			return err
		}
	}
	if err := r.reloadManager(ctx, h); err != nil {
		return err
	}
	if kept && !made && !r.isTemplate() {
		if err := r.restore(ctx, h, was.Text); err != nil {
			return err
		}
	}
	return original.Drop(h, resource.Ref(r))
}

// removeFiles removes the drop-ins, the mark, and the unit file if updraft made it.
func (r *Resource) removeFiles(h resource.Host, made bool) error {
	paths := []string{r.marker()}
	for _, f := range r.files() {
		if made || f.Path != r.unitPath() {
			paths = append(paths, f.Path)
		}
	}
	if _, err := conffile.Remove(h, paths...); err != nil {
		return err
	}
	return conffile.Tidy(h, r.dropInDir(), loadedDir, "/run/updraft")
}

// reloadManager lets systemd know that files are gone or back, and restarts a
// unit that runs with what they said.
func (r *Resource) reloadManager(ctx context.Context, h resource.Host) error {
	if r.isTemplate() {
		return systemctl(ctx, h, "daemon-reload")
	}
	s, err := r.look(ctx, h)
	if err != nil || s["NeedDaemonReload"] != "yes" {
		return err
	}
	if err := systemctl(ctx, h, "daemon-reload"); err != nil || !s.running() {
		return err
	}
	return systemctl(ctx, h, "try-restart", r.Name)
}

// takeDown stops and disables a unit that updraft made.
func (r *Resource) takeDown(ctx context.Context, h resource.Host) error {
	if r.isTemplate() {
		return nil
	}
	s, err := r.look(ctx, h)
	if err != nil || !s.found() {
		return err
	}
	steps := []struct {
		needed bool
		verb   string
	}{
		{s.masked(), "unmask"},
		{!s.stopped(), "stop"},
		{!s.disabled(), "disable"},
		{s["ActiveState"] == "failed", "reset-failed"},
	}
	for _, step := range steps {
		if step.needed {
			if err := systemctl(ctx, h, step.verb, r.Name); err != nil {
				return err
			}
		}
	}
	return nil
}

// restore brings back enablement and run state.
func (r *Resource) restore(ctx context.Context, h resource.Host, text string) error {
	var was before
	if err := json.Unmarshal([]byte(text), &was); err != nil {
		return err
	}
	then := state{"UnitFileState": was.FileState}
	back := &Resource{Name: r.Name, State: word(was.Running, Started, Stopped)}
	if m := then.masked(); r.Masked != nil {
		back.Masked = &m
	}
	if e := then.enabled(); r.Enabled != nil && !then.masked() {
		back.Enabled = &e
	}
	if r.State == "" {
		back.State = ""
	}
	s, err := r.look(ctx, h)
	if err != nil || !s.found() {
		return err
	}
	if err := back.applyEnablement(ctx, h, s, false); err != nil {
		return err
	}
	return back.applyRunState(ctx, h, s, resource.Cause{})
}
