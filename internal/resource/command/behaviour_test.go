package command_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/updraft-cloud/updraft/internal/drift"
	"github.com/updraft-cloud/updraft/internal/resource"
	"github.com/updraft-cloud/updraft/internal/resource/command"
	"github.com/updraft-cloud/updraft/internal/resource/fakehost"
)

const done = "/var/tmp/done"

func apply(t *testing.T, h resource.Host, r *command.Resource, triggers ...string) error {
	t.Helper()
	rep, err := r.Observe(t.Context(), h)
	if err != nil {
		t.Fatal(err)
	}
	return r.Apply(t.Context(), h, rep, resource.Cause{Triggered: triggers})
}

func TestErrorsSayWhatIsWrong(t *testing.T) {
	for _, c := range []struct {
		reason string
		r      command.Resource
		want   string
	}{
		{
			"a command that does not do its work", command.Resource{Name: "lazy", Run: []string{"true"}, Creates: done},
			"command lazy has run, but its work is not done: /var/tmp/done does not exist",
		},
		{
			"a command that fails", command.Resource{Name: "bad", Run: []string{"test", "-e", "/none"}, Creates: done},
			"command bad ended with status 1",
		},
		{
			"a user that does not exist", command.Resource{Name: "x", Run: []string{"true"}, Creates: done, User: "nobody-here"},
			"cannot run command x: there is no user nobody-here yet",
		},
		{
			"a guard that is not there", command.Resource{Name: "x", Run: []string{"true"}, OnlyIf: "missing --check"},
			"cannot run command x: onlyif names a command that is not there yet",
		},
	} {
		t.Run(c.reason, func(t *testing.T) {
			if err := apply(t, fakehost.New(), &c.r); err == nil || err.Error() != c.want {
				t.Errorf("error is %v, want %s", err, c.want)
			}
		})
	}
}

func TestATriggerRunsItThoughItsWorkIsDone(t *testing.T) {
	h := fakehost.New()
	r := &command.Resource{Name: "x", Run: []string{"touch", done}, Creates: done}
	for range 2 {
		if err := apply(t, h, r, "file:/etc/x"); err != nil {
			t.Fatal(err)
		}
	}
	count := len(slices.DeleteFunc(h.Ran(), func(s string) bool { return !strings.HasPrefix(s, "touch") }))
	if count != 2 {
		t.Errorf("it ran %d times", count)
	}
}

func TestAllGuardsMustAskForIt(t *testing.T) {
	h := fakehost.New()
	r := &command.Resource{Name: "x", Run: []string{"true"}, Creates: done, OnlyIf: "false"}
	if rep, err := r.Observe(t.Context(), h); err != nil || !rep.Agrees() {
		t.Errorf("report is %+v, %v", rep, err)
	}
	r = &command.Resource{Name: "x", Run: []string{"true"}, Unless: "missing", OnlyIf: "true"}
	if rep, err := r.Observe(t.Context(), h); err != nil || rep.Status != drift.Differs {
		t.Errorf("report is %+v, %v", rep, err)
	}
}

func TestFaultsOfFields(t *testing.T) {
	ok := command.Resource{Name: "x", Run: []string{"true"}, Creates: done}
	for _, c := range []struct {
		reason, field string
		change        func(*command.Resource)
	}{
		{"a guard is required", "unless", func(r *command.Resource) { r.Creates = "" }},
		{"something is run", "run", func(r *command.Resource) { r.Run = nil }},
		{"one thing is run", "script", func(r *command.Resource) { r.Script = "true" }},
		{"a user is one", "user", func(r *command.Resource) { r.User = "-c" }},
		{"a variable has a name", "env", func(r *command.Resource) { r.Env = map[string]string{"A=B": ""} }},
		{"a directory is absolute", "cwd", func(r *command.Resource) { r.Dir = "tmp" }},
		{"a timeout is a duration", "timeout", func(r *command.Resource) { r.Timeout = "soon" }},
		{"a timeout passes", "timeout", func(r *command.Resource) { r.Timeout = "0s" }},
		{"a name is no line", "name", func(r *command.Resource) { r.Name = "a\nb" }},
	} {
		t.Run(c.reason, func(t *testing.T) {
			r := ok
			c.change(&r)
			var f *resource.FieldError
			if err := r.Validate(); !errors.As(err, &f) || f.Field != c.field {
				t.Errorf("got %v", err)
			}
		})
	}
}
