package timer_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/updraft-cloud/updraft/internal/drift"
	"github.com/updraft-cloud/updraft/internal/resource"
	"github.com/updraft-cloud/updraft/internal/resource/fakehost"
	"github.com/updraft-cloud/updraft/internal/resource/timer"
)

var full = &timer.Resource{
	Name: "backup", Command: []string{"/bin/echo", `100% of "$HOME"`, `back\slash`}, OnCalendar: "Mon..Fri *-*-* 03:30:00", OnBoot: "10min",
	Every: "1h 30min", RandomDelay: "5min", Persistent: true, User: "daemon", Env: map[string]string{"A": "b c%d"}, Timeout: "1min",
}

func TestGolden(t *testing.T) {
	for name, got := range map[string]string{"backup.service": full.Service(), "backup.timer": full.Timer()} {
		want, err := os.ReadFile("testdata/" + name)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), got); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

// systemd's own parser reads the golden units without a word.
func TestSystemdAcceptsTheUnits(t *testing.T) {
	if _, err := exec.LookPath("systemd-analyze"); err != nil {
		if strings.Contains(os.Getenv("REQUIRE"), "lab") {
			t.Fatal("REQUIRE=lab, and there is no systemd-analyze")
		}
		t.Skip("no systemd-analyze")
	}
	dir := t.TempDir()
	for name, text := range map[string]string{"backup.service": full.Service(), "backup.timer": full.Timer()} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command("systemd-analyze", "verify", "--man=no", "--recursive-errors=no", filepath.Join(dir, "backup.timer"), filepath.Join(dir, "backup.service"))
	if out, err := cmd.CombinedOutput(); err != nil || strings.Contains(string(out), dir) {
		t.Errorf("%v: %s", err, out)
	}
}

func TestAUnitOfOthersIsRefused(t *testing.T) {
	for _, p := range []string{"/etc/systemd/system/backup.service", "/usr/lib/systemd/system/backup.timer"} {
		t.Run(p, func(t *testing.T) {
			h := fakehost.New()
			if err := h.WriteFile(p, []byte("[Service]\nExecStart=/bin/x\n"), resource.Access{Mode: 0o644}); err != nil {
				t.Fatal(err)
			}
			before := h.String()
			err := full.Apply(t.Context(), h, drift.Missing(), resource.Cause{})
			if err == nil || !strings.Contains(err.Error(), "choose another name") {
				t.Errorf("error is %v", err)
			}
			if err := full.Remove(t.Context(), h, true); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(before, h.String()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestFaultsOfFields(t *testing.T) {
	ok := timer.Resource{Name: "x", Command: []string{"/bin/true"}, OnCalendar: "daily"}
	for _, c := range []struct {
		reason, field string
		change        func(*timer.Resource)
	}{
		{"a name is a unit's", "name", func(r *timer.Resource) { r.Name = "-x" }},
		{"a program has a path", "command", func(r *timer.Resource) { r.Command = []string{"true"} }},
		{"an argument is one line", "command", func(r *timer.Resource) { r.Command = []string{"/bin/true", "a\nExecStart=/bin/evil"} }},
		{"a time is given", "on_calendar", func(r *timer.Resource) { r.OnCalendar = "" }},
		{"a time is one line", "on_calendar", func(r *timer.Resource) { r.OnCalendar = "daily\nx=y" }},
		{"a span is a time", "every", func(r *timer.Resource) { r.Every = "often" }},
		{"a variable has a name", "env", func(r *timer.Resource) { r.Env = map[string]string{"A B": ""} }},
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
