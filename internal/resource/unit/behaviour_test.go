package unit_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/updraft-cloud/updraft/internal/drift"
	"github.com/updraft-cloud/updraft/internal/resource"
	"github.com/updraft-cloud/updraft/internal/resource/fakehost"
	"github.com/updraft-cloud/updraft/internal/resource/unit"
)

func newHost(t *testing.T) (*fakehost.Host, *fakehost.Systemd) {
	t.Helper()
	h := fakehost.New()
	t.Cleanup(func() {
		for _, err := range h.Refused() {
			t.Errorf("refused: %v", err)
		}
	})
	return h, fakehost.Get[*fakehost.Systemd](h)
}

func apply(t *testing.T, h resource.Host, r *unit.Resource, triggers ...string) error {
	t.Helper()
	rep, err := r.Observe(t.Context(), h)
	if err != nil {
		t.Fatal(err)
	}
	return r.Apply(t.Context(), h, rep, resource.Cause{Triggered: triggers})
}

func verbs(h *fakehost.Host, name string) (out []string) {
	for _, line := range h.Ran() {
		if f := strings.Fields(line); f[0] == "systemctl" && f[1] != "show" && f[len(f)-1] == name {
			out = append(out, f[1])
		}
	}
	return out
}

func TestAUnitThatDoesNotStartIsAnErrorWithItsLastWords(t *testing.T) {
	for name, service := range map[string]string{
		"it fails while it starts": "[Service]\nType=notify\nExecStart=/bin/false false\n",
		"it dies right after":      "[Service]\nType=simple\nExecStart=/bin/x dies\n",
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h, _ := newHost(t)
				err := apply(t, h, &unit.Resource{Name: "x.service", Content: service, State: unit.Started})
				if err == nil {
					t.Fatal("no error")
				}
				for _, want := range []string{"cannot start x.service", "journalctl -u x.service", "bad configuration in line 3"} {
					if !strings.Contains(err.Error(), want) {
						t.Errorf("error lacks %q: %v", want, err)
					}
				}
			})
		})
	}
}

func TestASimpleServiceIsWatched(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, _ := newHost(t)
		if err := apply(t, h, &unit.Resource{Name: "x.service", Content: "[Service]\nExecStart=/bin/x\n", State: unit.Started}); err != nil {
			t.Error(err)
		}
	})
}

func TestErrorsSayWhatIsWrong(t *testing.T) {
	on := true
	for name, c := range map[string]struct {
		r    unit.Resource
		want string
	}{
		"no such unit":               {unit.Resource{Name: "none.service", State: unit.Started}, "there is no unit none.service on this host"},
		"nothing says when to start": {unit.Resource{Name: "x.service", Content: "[Service]\nExecStart=/bin/x\n", Enabled: &on}, "no [Install] section"},
		"a oneshot cannot be kept started": {
			unit.Resource{Name: "x.service", Content: "[Service]\nType=oneshot\nExecStart=/bin/x\n", State: unit.Started}, "RemainAfterExit=yes",
		},
	} {
		t.Run(name, func(t *testing.T) {
			h, _ := newHost(t)
			if err := apply(t, h, &c.r); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error is %v", err)
			}
		})
	}
}

func TestAllUnitsAreObservedByOneProcess(t *testing.T) {
	h, _ := newHost(t)
	var all []resource.Resource
	for i := range 40 {
		all = append(all, &unit.Resource{Name: fmt.Sprintf("u%d.service", i), State: unit.Started})
	}
	if err := all[0].(resource.Preparer).Prepare(t.Context(), h, all); err != nil {
		t.Fatal(err)
	}
	for _, r := range all {
		if rep, err := r.Observe(t.Context(), h); err != nil || rep.Status != drift.Absent {
			t.Fatal(rep, err)
		}
	}
	if n := len(h.Ran()); n != 1 {
		t.Errorf("%d processes", n)
	}
}

func TestTriggers(t *testing.T) {
	const conf = "/etc/ssh/sshd_config"
	for _, c := range []struct{ reason, unit, trigger, want string }{
		{"a file reloads", "ssh.service", "file:" + conf, "reload-or-restart"},
		{"a file in restart_on restarts", "ssh.service", "file:/etc/strict", "restart"},
		{"a package restarts", "ssh.service", "package:openssh-server", "restart"},
	} {
		t.Run(c.reason, func(t *testing.T) {
			h, _ := newHost(t)
			r := &unit.Resource{Name: c.unit, State: unit.Started, RestartOn: []string{"/etc/strict"}}
			if err := apply(t, h, r, c.trigger); err != nil {
				t.Fatal(err)
			}
			if got := verbs(h, c.unit); len(got) != 1 || got[0] != c.want {
				t.Errorf("ran %q, want %s", got, c.want)
			}
		})
	}
	t.Run("a unit that does not run is left alone", func(t *testing.T) {
		h, s := newHost(t)
		if err := s.Crash(h, "ssh.service"); err != nil {
			t.Fatal(err)
		}
		if err := apply(t, h, &unit.Resource{Name: "ssh.service"}, "file:"+conf); err != nil {
			t.Fatal(err)
		}
		if got := verbs(h, "ssh.service"); len(got) > 0 {
			t.Errorf("ran %q", got)
		}
	})
}

func TestAnOldSystemdPrintsWholeSeconds(t *testing.T) {
	h, s := newHost(t)
	s.Coarse = true
	r := &unit.Resource{Name: "ssh.service", State: unit.Started, ReloadOn: []string{"/etc/hosts"}}
	if rep, err := r.Observe(t.Context(), h); err != nil || !rep.Agrees() {
		t.Fatal(rep, err)
	}
	if err := h.WriteFile("/etc/hosts", []byte("x"), resource.Access{Mode: 0o644}); err != nil {
		t.Fatal(err)
	}
	rep, err := r.Observe(t.Context(), h)
	if err != nil || !rep.Has("config") || rep.Changes[0].To != "reload" {
		t.Errorf("report is %+v, %v", rep, err)
	}
}

func TestWhereSystemdDoesNotRun(t *testing.T) {
	h, s := newHost(t)
	s.Booted = false
	_, err := (&unit.Resource{Name: "ssh.service"}).Observe(t.Context(), h)
	if err == nil || err.Error() != "cannot manage units: systemd does not run on this host" {
		t.Errorf("error is %v", err)
	}
}

func TestAUnitThatIsOffNeedNotExist(t *testing.T) {
	h, _ := newHost(t)
	off := false
	rep, err := (&unit.Resource{Name: "telnet.socket", State: unit.Stopped, Enabled: &off}).Observe(t.Context(), h)
	if err != nil || !rep.Agrees() {
		t.Errorf("report is %+v, %v", rep, err)
	}
}

func TestFaultsOfFields(t *testing.T) {
	on := true
	for _, c := range []struct {
		reason, field string
		r             unit.Resource
	}{
		{"a name has its type", "name", unit.Resource{Name: "nginx"}},
		{"a name is no option", "name", unit.Resource{Name: "--now.service"}},
		{"a name is no path", "name", unit.Resource{Name: "../x.service"}},
		{"a name is one word", "name", unit.Resource{Name: "a b.service"}},
		{"a template does not run", "name", unit.Resource{Name: "x@.service", State: unit.Started}},
		{"a state is known", "state", unit.Resource{Name: "x.service", State: "running"}},
		{"what is masked does not run", "masked", unit.Resource{Name: "x.service", Masked: &on, State: unit.Started}},
		{"a file ends in a newline", "content", unit.Resource{Name: "x.service", Content: "[Service]"}},
		{"a drop-in's name is no path", "dropins", unit.Resource{Name: "x.service", DropIns: map[string]string{"../a": ""}}},
		{"a path is absolute", "reload_on", unit.Resource{Name: "x.service", ReloadOn: []string{"etc/x"}}},
	} {
		t.Run(c.reason, func(t *testing.T) {
			var f *resource.FieldError
			if err := c.r.Validate(); !errors.As(err, &f) || f.Field != c.field {
				t.Errorf("got %v", err)
			}
		})
	}
}
